//! Swaps: live stage by stage, when they are over, and what the journal knows of those before.

use std::sync::Arc;
use std::time::Duration;

use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::{Bytes, GB};
use crate::residency::event::{Event, What};
use crate::residency::host::LoadMode;
use crate::residency::record::{Day, Past, SwapRecord};
use crate::residency::snapshot::Snapshot;
use crate::residency::swap::{Before, Ended, Plan, Stage, Stages, Swapping, Way};
use crate::residency::timing::Moment;
use crate::residency::warm::Progress;
use crate::tui::app::App;
use crate::tui::fixture::{after, app, drawn, name, now, on, picture, press, text, usual, wall};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn before(percent: u64) -> Before {
    Before { whole: Bytes(5 * GB), ram: Some(Bytes(5 * GB / 100 * percent)), ..Before::default() }
}

/// All stages of a warm swap.
fn warm() -> Stages {
    Stages {
        unload: Some(ms(140)),
        gone: Some(ms(180)),
        card_free: Some(ms(210)),
        read: Some(Bytes::ZERO),
        load: Some(ms(380)),
        first_token: Some(ms(90)),
        total: Some(ms(820)),
        ..Stages::default()
    }
}

/// A swap to openthinker that displaces qwen, in that state.
fn swap(state: ActState, stages: Stages, now: Option<Stage>) -> Act {
    let plan = Plan {
        server_chooses: false,
        goes: vec![name("qwen2.5-coder:7b")],
        stays: vec![name("nomic-embed-text")],
        way: Way::Beside,
        before: before(100),
        num_ctx: None,
    };
    let ended = now.is_none().then_some(Ended::Ready);
    let swap = Some(Arc::new(Swapping { plan, stages, stage: now, ended, went: Some(Vec::new()) }));
    Act {
        id: ActId(9),
        kind: ActKind::Swap,
        model: name("openthinker3-7b"),
        state,
        progress: None,
        swap,
        first_token: None,
    }
}

pub(super) fn record(model: &str, ours: bool, percent: u64, total: u64) -> SwapRecord {
    SwapRecord {
        model: name(model),
        ours,
        displaced: Some(Vec::new()),
        before: before(percent),
        way: Way::Off,
        mode: LoadMode::Mmap,
        num_ctx: None,
        stages: Stages { load: ours.then_some(ms(total)), total: Some(ms(total)), ..Stages::default() },
        ended: Ended::Ready,
    }
}

/// Newest first, as the journal gives them: a cold and a failed one, then fourteen to and fro.
pub(super) fn past() -> Past {
    let mut swaps = vec![
        (wall(-60), record("deepseek-r1:14b", true, 3, 5200)),
        (
            wall(-90),
            SwapRecord {
                ended: Ended::Failed { stage: Stage::Load, why: "out of memory".into() },
                ..record("llama3.1:8b", true, 100, 900)
            },
        ),
        (wall(-120), SwapRecord { stages: warm(), ..record("qwen2.5-coder:7b", true, 100, 820) }),
    ];
    for i in 0..14 {
        let model = ["openthinker3-7b", "qwen2.5-coder:7b"][i % 2];
        swaps.push((
            wall(-300 - 10 * i64::try_from(i).unwrap()),
            record(model, false, 100, 800 + 10 * i as u64),
        ));
    }
    let today =
        Day { swaps: 143, not_timed: 0, waited: ms(130_000), cold: Some(ms(830_000)), median: Some(ms(900)) };
    Past { today, swaps, ..Past::default() }
}

fn with(change: impl Fn(&mut Snapshot)) -> App {
    let mut snapshot = usual();
    change(&mut snapshot);
    app(snapshot)
}

#[test]
fn a_running_swap_shows_its_stage_with_a_clock_of_its_own_and_its_plan() {
    let stages = Stages { unload: Some(ms(140)), card_free: Some(ms(210)), ..Stages::default() };
    let app = with(|snapshot| {
        let state = ActState::Running { stage: "loading", since: after(-1) };
        snapshot.acts = vec![swap(state, stages, Some(Stage::Load))];
    });
    let shown = picture(&app, 140, 24);
    let words = "swap openthinker3-7b   unload 0.14 │ card free 0.21 │ load 0.8 s   \
                 qwen2.5-coder:7b goes, nomic-embed-text stays, read beside the load";
    assert!(shown.contains(words), "{shown}");
    assert_eq!(shown.matches("load 0.8 s").count(), 3, "in the row, the details and the message\n{shown}");
    let later = text(&drawn(&app, 140, 24, after(2)));
    assert_eq!(later.matches("load 2.8 s").count(), 3, "{later}");
}

#[test]
fn when_a_swap_is_over_its_stages_are_opened_until_the_next_key_and_in_the_log() {
    let line = "unload 0.14 │ card free 0.21 │ read 0 (RAM 100 %) │ load 0.38 │ first token 0.09 = 0.82 s";
    let state = ActState::Running { stage: "loading", since: after(-1) };
    let mut app =
        with(|snapshot| snapshot.acts = vec![swap(state.clone(), Stages::default(), Some(Stage::Load))]);
    let mut over = usual();
    over.acts = vec![swap(ActState::Done { took: ms(820), at: now() }, warm(), None)];
    let what = What::Loaded { took: Some(ms(820)), from_ram: Some(100), ours: true };
    over.events.push_back(Arc::new(Event {
        number: 5,
        at: now(),
        model: Some(name("openthinker3-7b")),
        what,
    }));
    app.see(Arc::new(over.clone()));
    let shown = picture(&app, 160, 24);
    assert_eq!(shown.matches(line).count(), 1, "there is no room in the log beside the details\n{shown}");
    assert_eq!(picture(&app, 138, 24).matches(line).count(), 2, "{}", picture(&app, 138, 24));
    let narrow = picture(&app, 80, 24);
    assert!(narrow.contains("loaded in 0.82 s   from RAM 100 %"), "{narrow}");
    press(&mut app, "j");
    assert_eq!(picture(&app, 138, 24).matches(line).count(), 1, "the log keeps it");
    press(&mut app, "tab tab");
    let whole = picture(&app, 60, 24).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(whole.contains(line), "{whole}");
}

#[test]
fn the_details_say_how_far_predictions_were_off_and_draw_cold_and_warm_swaps_apart() {
    let mut app = on("llama3.1:8b", |snapshot| {
        let mut past = past();
        for (i, (percent, total)) in [(100, 900), (0, 5400), (98, 1800), (40, 4200)].into_iter().enumerate() {
            past.swaps
                .push((wall(-900 - i64::try_from(i).unwrap()), record("llama3.1:8b", true, percent, total)));
        }
        snapshot.past = Arc::new(past);
    });
    press(&mut app, "tab");
    let shown = picture(&app, 80, 34);
    let lines: Vec<_> = shown
        .lines()
        .filter(|line| [" to VRAM", " cold", " warm"].iter().any(|word| line.starts_with(word)))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    to VRAM    ~5.4 s   predictions were off by 8 %
    cold       ▇█   median 4.80 s of 2
    warm       ▄▃   median 1.35 s of 2
    ");
}

#[test]
fn the_history_lists_the_latest_swaps_and_folds_those_to_and_fro() {
    let mut app = with(|snapshot| snapshot.past = Arc::new(past()));
    press(&mut app, "y");
    insta::assert_snapshot!(picture(&app, 80, 24), @r"
    127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
    VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
    RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

    LAST 46 s
    VRAM                                                   ▆  5.7 of 8.0 GiB
    in RAM                                                 ▅  14.2 of 31.0 GiB

    SWAPS   today 143 swaps   waited 2:10   (cold would be ~13:50)   median 0.90 s

              MODEL               LATEST
              deepseek-r1:14b     █                    5.20 s
              qwen2.5-coder:7b    ▃▃▃▃▃▃▃▃             median ~0.86 s of 8
              openthinker3-7b     ▃▃▃▃▃▃▃              median ~0.86 s of 7

              MODEL               FROM RAM      TOOK   STAGES
    12:03:31  deepseek-r1:14b          3 %    5.20 s   load 5.20
    12:03:01  llama3.1:8b            100 %    0.90 s
              failed in load: out of memory
    12:02:31  qwen ⇄ openthinker             ~0.86 s   ×15, the median



    j down   k up   esc close
    ");
    insta::assert_snapshot!(picture(&app, 140, 14), @r"
    resident   127.0.0.1:11434   ollama 0.32.15   ● 2 ms                                                 preload 2/3 in RAM   workshop   12:04
    VRAM RTX 2070        █████████████████████ qwen 4.4+0.5 █████████████████████▓▓▓▓▓▓███▓▚▚▚▚▚▚                                  5.7/8.0 GiB
    RAM                  ▓ system 4.4 ▓▓▚▚▒openthinker▒ ▒ qwen 4.4 ▒▒ ▒ deepseek 5.2 ▒ ▒·· cache 4.8 ···                         19.2/31.0 GiB
    SWAPS   today 143 swaps   waited 2:10   (cold would be ~13:50)   median 0.90 s

              MODEL                               FROM RAM      TOOK   STAGES
    12:03:31  deepseek-r1:14b                          3 %    5.20 s   load 5.20
    12:03:01  llama3.1:8b                            100 %    0.90 s   failed in load: out of memory
    12:02:31  qwen2.5-coder:7b ⇄ openthinker3-7b             ~0.86 s   ×15, the median



    12:04:31  qwen2.5-coder:7b            loaded in 0.61 s   from RAM 100 %   7.7 GB/s
    j down   k up   esc close
    ");
    press(&mut app, "esc");
    assert!(!picture(&app, 80, 24).contains("SWAPS"));
    let mut none = with(|_| ());
    press(&mut none, "y");
    assert!(picture(&none, 80, 24).contains("no swap is known yet"));
}

#[test]
fn the_day_s_sum_stands_above_the_log() {
    let app = with(|snapshot| snapshot.past = Arc::new(past()));
    let shown = picture(&app, 80, 24);
    let lines: Vec<_> = shown.lines().collect();
    let sum = " today 143 swaps   waited 2:10   (cold would be ~13:50)   median 0.90 s";
    let at = lines.iter().position(|line| *line == sum).unwrap_or_else(|| panic!("{shown}"));
    assert!(lines[at + 1].contains("pinned"), "{shown}");
}

#[test]
fn a_swap_that_reads_says_its_stage_and_its_plan_beside_how_far_it_is() {
    let running = ActState::Running { stage: "loading", since: after(-2) };
    let stages = Stages { unload: Some(ms(140)), ..Stages::default() };
    let progress = Progress {
        total: Bytes(4 * GB),
        there: Bytes::ZERO,
        read: Bytes(GB),
        readers: 1,
        rate: None,
        paused: false,
    };
    let act = Act { progress: Some(progress), ..swap(running, stages, Some(Stage::Load)) };
    let shown = picture(&with(|snapshot| snapshot.acts = vec![act.clone()]), 100, 30);
    assert!(shown.contains("25 %   unload 0.14 │ load"), "{shown}");
    assert!(
        shown.contains("qwen2.5-coder:7b goes,\n nomic-embed-text stays, read beside the load"),
        "{shown}"
    );
}

#[test]
fn the_stages_in_the_log_are_those_of_the_act_that_ended_then() {
    let mut snapshot = usual();
    snapshot.events.clear();
    for (number, millis) in [(1, 0), (2, 900), (3, 1800)] {
        let what = What::Loaded { took: Some(ms(80)), from_ram: Some(100), ours: true };
        let at = Moment { mono: now().mono + ms(millis), ..now() };
        let event = Event { number, at, model: Some(name("openthinker3-7b")), what };
        snapshot.events.push_back(Arc::new(event));
        if number > 1 {
            let stages = Stages { load: Some(ms(80 * number)), first_token: Some(ms(1)), ..warm() };
            let at = Moment { mono: at.mono + ms(30), ..at };
            let state = ActState::Done { took: ms(80), at };
            snapshot.acts.push(Act { id: ActId(number), ..swap(state, stages, None) });
        }
    }
    let shown = picture(&app(snapshot), 139, 40);
    let loads: Vec<_> = shown.lines().filter(|line| line.contains("openthinker3-7b  ")).collect();
    let log: Vec<_> = loads.iter().rev().take(3).rev().collect();
    assert!(log[0].contains("loaded in 0.08 s"), "its act is forgotten\n{shown}");
    assert!(log[1].contains("load 0.16") && log[2].contains("load 0.24"), "{shown}");
}
