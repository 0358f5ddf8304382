//! How long models are idle: the page, its key, and what it says where little is known.

use std::sync::Arc;

use crate::residency::snapshot::Snapshot;
use crate::residency::tune::Tuning;
use crate::residency::tune::generate::{Shape, generate};
use crate::residency::tune::policy::Rule;
use crate::residency::tune::trace::Trace;
use crate::tui::app::App;
use crate::tui::fixture::{drawn, name, now, on, picture, press, text};
use crate::tui::theme;

/// Four weeks of a model with sessions, of a timer's, and of one that was used five times.
fn tunings() -> Arc<[Tuning]> {
    let [timer, sessions, rare] = <[Trace; 3]>::try_from(generate(Shape::Mix, 1)).unwrap();
    let few = rare.uses[..5].to_vec();
    let until = few[4].at;
    [
        Trace { model: name("deepseek-r1:14b"), uses: few, until, size: None },
        Trace { model: name("openthinker3-7b"), ..timer },
        Trace { model: name("qwen2.5-coder:7b"), ..sessions },
    ]
    .map(|trace| Tuning::of(&trace, Rule::default()))
    .into()
}

fn open(model: &str, tunings: Option<&Arc<[Tuning]>>) -> App {
    let mut app = on(model, |snapshot| snapshot.tunings = tunings.cloned());
    press(&mut app, "i");
    app
}

#[test]
fn the_page_begins_with_the_selected_model_and_fits_a_small_terminal() {
    insta::assert_snapshot!(picture(&open("qwen2.5-coder:7b", Some(&tunings())), 80, 24), @r#"
    127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
    VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
    RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

    TUNING   only shown: with `keep_alive: auto` in the config it would be applied
    qwen2.5-coder:7b   4.7 GB   1896 uses in 27 days
      under 1m    465  ███████████████████   POLICY             COLD STARTS  GIB·H
      1m to 2m    429  ██████████████████    fixed 5m           500 of 1896  366.3
      2m to 5m    502  ████████████████████  fixed 1h           105 of 1896  996.2
     5m to 10m    245  ██████████            fixed 16m          179 of 1896  582.5
    10m to 20m     90  ████                  auto               175 of 1896  605.2
    20m to 40m     41  ░░                    auto, loads ahead  175 of 1896  605.2
     40m to 1h     19  ░                     best possible      105 of 1896  540.2
      1h to 2h     27  ░░
      2h to 4h     24  ░
       over 4h     53  ░░░
    █ keep_alive 16m would have kept 95 % of its returns within 1h in VRAM, 90 %
      of all, at 582.5 GiB·h

    deepseek-r1:14b   9.0 GB   5 uses in 36 h
      under 1m      0                        POLICY             COLD STARTS  GIB·H
    … 25 more below

    j down   k up   esc close
    "#);
}

#[test]
fn a_wide_terminal_shows_what_was_for_nothing_and_all_models() {
    insta::assert_snapshot!(picture(&open("deepseek-r1:14b", Some(&tunings())), 120, 50), @r"
    resident   127.0.0.1:11434   ollama 0.32.15   ● 2 ms                             preload 2/3 in RAM   workshop   12:04
    VRAM RTX 2070        ███████████████ qwen 4.4+0.5 ████████████████▓▓▓▓▓██▓▚▚▚▚▚                            5.7/8.0 GiB
    RAM                  ▓▓ system ▓▓▚▒▒▒▒▒▒▒▒▒▒ ▒▒ qwen ▒▒ ▒ deepseek ▒▒ ▒· cache 4.8 ·                     19.2/31.0 GiB

    TUNING   only shown: with `keep_alive: auto` in the config it would be applied
    deepseek-r1:14b   9.0 GB   5 uses in 36 h
      under 1m      0                                                   POLICY             COLD STARTS  GIB·H  FOR NOTHING
      1m to 2m      0                                                   fixed 5m                4 of 5    2.7          2.1
      2m to 5m      1  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  fixed 1h                3 of 5   18.5         16.8
     5m to 10m      1  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  auto                    4 of 5    2.7          2.1
    10m to 20m      0                                                   auto, loads ahead       4 of 5    2.7          2.1
    20m to 40m      0                                                   best possible           3 of 5    1.7          0.0
     40m to 1h      0
      1h to 2h      0
      2h to 4h      1  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
       over 4h      1  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
      too few to say: 4 of at least 20 idle times are known; the server's own keep_alive applies

    openthinker3-7b   2.0 GB   368 uses in 27 days
      under 1m      0                                                   POLICY             COLD STARTS  GIB·H  FOR NOTHING
      1m to 2m      0                                                   fixed 5m            368 of 368   57.1         57.1
      2m to 5m      0                                                   fixed 1h             20 of 368  390.4         37.3
     5m to 10m      0                                                   fixed 40m            20 of 368  378.0         24.8
    10m to 20m      0                                                   auto                 39 of 368  360.5         26.7
    20m to 40m    348  ███████████████████████████████████████████████  auto, loads ahead    39 of 368   71.0         10.9
     40m to 1h      0                                                   best possible        20 of 368  353.1          0.0
      1h to 2h      0
      2h to 4h      0
       over 4h     19  ░░░
    █ keep_alive 40m would have kept 100 % of its returns within 1h in VRAM, 94 % of all, at 378.0 GiB·h; it hardly ever
      comes back before 30m

    qwen2.5-coder:7b   4.7 GB   1896 uses in 27 days
      under 1m    465  ████████████████████████████████████████████     POLICY             COLD STARTS  GIB·H  FOR NOTHING
      1m to 2m    429  █████████████████████████████████████████        fixed 5m           500 of 1896  366.3        182.4
      2m to 5m    502  ███████████████████████████████████████████████  fixed 1h           105 of 1896  996.2        456.1
     5m to 10m    245  ███████████████████████                          fixed 16m          179 of 1896  582.5        208.6
    10m to 20m     90  ████████░                                        auto               175 of 1896  605.2        225.4
    20m to 40m     41  ░░░░                                             auto, loads ahead  175 of 1896  605.2        225.4
     40m to 1h     19  ░░                                               best possible      105 of 1896  540.2          0.0
      1h to 2h     27  ░░░
      2h to 4h     24  ░░░
       over 4h     53  ░░░░░
    █ keep_alive 16m would have kept 95 % of its returns within 1h in VRAM, 90 % of all, at 582.5 GiB·h





    j down   k up   esc close
    ");
}

#[test]
fn a_narrow_one_has_the_policies_below() {
    let mut app = open("qwen2.5-coder:7b", Some(&tunings()));
    let whole = picture(&app, 50, 40);
    for words in ["10m to 20m     90", "fixed 5m           500 of 1896", "keep_alive 16m would have kept"] {
        assert!(whole.contains(words), "{whole}");
    }
    press(&mut app, "pgdn pgdn pgdn pgdn pgdn");
    let end = picture(&app, 50, 40);
    assert!(end.contains("openthinker3-7b") && !end.contains("TUNING"), "{end}");
    press(&mut app, "esc");
    assert!(picture(&app, 80, 24).contains("STATE"));
}

#[test]
fn of_a_model_that_nobody_used_that_is_said_and_so_is_a_journal_that_was_not_read() {
    let shown = picture(&open("mistral:7b", Some(&tunings())), 80, 24);
    assert!(shown.contains("mistral:7b   no use of it is known yet"), "{shown}");
    assert!(shown.contains("deepseek-r1:14b   9.0 GB   5 uses in "), "{shown}");
    let gone = |snapshot: &mut Snapshot| {
        snapshot.servers[0].models.retain(|model| model.name != name("deepseek-r1:14b"));
        snapshot.tunings = Some(tunings());
    };
    let mut app = on("mistral:7b", gone);
    press(&mut app, "i");
    let shown = picture(&app, 80, 24);
    assert!(shown.contains("deepseek-r1:14b   ?   5 uses in ") && shown.contains("HOURS"), "{shown}");
    let shown = picture(&open("mistral:7b", None), 80, 24);
    assert!(shown.contains("was not read yet"), "{shown}");
}

#[test]
fn the_page_says_whether_it_is_applied() {
    let mut app = open("mistral:7b", Some(&tunings()));
    assert!(picture(&app, 80, 24).contains("TUNING   only shown"));
    app.settings.keep_alive_auto = true;
    assert!(picture(&app, 80, 24).contains("TUNING   keep_alive is auto"));
}

#[test]
fn what_would_have_been_kept_differs_by_glyph_and_by_style() {
    let app = open("qwen2.5-coder:7b", Some(&tunings()));
    let buffer = drawn(&app, 120, 24, now());
    let shown = text(&buffer);
    // 16 minutes lie within this stretch.
    let (y, line) = shown.lines().enumerate().find(|(_, line)| line.contains("10m to 20m")).unwrap();
    let bar: Vec<usize> =
        line.chars().enumerate().filter(|(_, c)| "█░".contains(*c)).map(|(x, _)| x).collect();
    let cell = |x: usize| &buffer[(u16::try_from(x).unwrap(), u16::try_from(y).unwrap())];
    let (first, last) = (cell(bar[0]), cell(bar[bar.len() - 1]));
    assert_eq!((first.symbol(), last.symbol()), (theme::VRAM, theme::DISK), "{line}");
    assert_ne!(first.fg, last.fg);
}

#[test]
fn the_footer_names_the_key_once_something_is_known() {
    let keys = |tunings: Option<Arc<[Tuning]>>| {
        let app = on("qwen2.5-coder:7b", |snapshot| snapshot.tunings.clone_from(&tunings));
        picture(&app, 200, 50).lines().last().unwrap().contains("i tune")
    };
    assert_eq!([None, Some(Arc::from([])), Some(tunings())].map(keys), [false, false, true]);
}
