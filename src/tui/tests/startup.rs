//! Start-up on the screen: each model's state, the primary first, what waits, the end, and the keys that skip.

use std::sync::Arc;
use std::time::Duration;

use crate::residency::act::{ActKind, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::event::{Event, What};
use crate::residency::guard::startup::{Goal, Item, ItemState, Startup};
use crate::residency::snapshot::Snapshot;
use crate::residency::warm::Progress;
use crate::tui::app::{App, Effect};
use crate::tui::fixture::{after, app, drawn, name, now, on, picture, press, running, text, usual};

const PRIMARY: &str = "nomic-embed-text";
const LISTED: [&str; 4] = ["openthinker3-7b", "deepseek-r1:14b", "llama3.1:8b", "ghost:1b"];

/// A start-up that began four seconds ago, with the primary model and the listed ones in these states.
fn startup(states: [ItemState; 5]) -> Startup {
    let item = |(model, state): (&str, ItemState)| {
        let goal = if model == PRIMARY { Goal::Vram } else { Goal::Ram };
        Item { model: name(model), goal, state }
    };
    let names = [PRIMARY].into_iter().chain(LISTED);
    Startup { began: after(-4), items: names.zip(states).map(item).collect(), latest: None, took: None }
}

fn with(startup: Startup) -> Snapshot {
    let mut snapshot = usual();
    snapshot.keeping.startup = Some(Arc::new(startup));
    snapshot
}

fn ready(millis: u64, read: Option<u64>) -> ItemState {
    ItemState::Ready { took: Duration::from_millis(millis), read: read.map(Bytes) }
}

fn under_way() -> Snapshot {
    let mut snapshot = with(startup([
        ready(2900, None),
        ready(2000, Some(3_800_000_000)),
        ItemState::Working,
        ItemState::Queued,
        ItemState::Missing,
    ]));
    let mut act = running(ActKind::Warm, "deepseek-r1:14b", 1);
    act.state = ActState::Running { stage: "reading", since: after(-1) };
    act.progress = Some(Progress {
        total: Bytes(9_000_000_000),
        there: Bytes(5_000_000_000),
        read: Bytes(1_000_000_000),
        rate: Some(Bytes(1_000_000_000)),
        paused: false,
        readers: 2,
    });
    snapshot.acts = vec![act];
    let read = Bytes(3_800_000_000);
    let what = What::Warmed { took: Duration::from_millis(1900), read, percent: Some(100), estimate: false };
    let number = snapshot.events.back().unwrap().number + 1;
    let event = Event { number, at: after(-1), model: Some(name("openthinker3-7b")), what };
    snapshot.events.push_back(Arc::new(event));
    snapshot
}

/// The panel's rows.
fn panel(app: &App, columns: u16, rows: u16) -> Vec<String> {
    let shown = picture(app, columns, rows);
    let lines: Vec<&str> = shown.lines().collect();
    // The message and the keys stand below.
    let lines = lines[..lines.len() - 2].iter().skip_while(|line| !line.starts_with(" start-up"));
    let is_log = |line: &str| line.starts_with(" today") || line.starts_with(" 12:");
    lines.take_while(|line| !is_log(line)).filter(|line| !line.is_empty()).map(ToString::to_string).collect()
}

#[test]
fn at_80_by_24_each_model_says_how_far_it_is() {
    let app = app(under_way());
    insta::assert_snapshot!(picture(&app, 80, 24), @r"
     127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
     VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
     RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

       MODEL               SIZE  █VRAM ▒RAM ░    STAYS  STATE       FITS     TO VRAM
    ▸* openthinker3-7b   4.7 GB  ▒▒▒▒▒▒▒▒▒▒▒▒           in RAM      ~evicts   ~0.6 s
     * qwen2.5-coder:7b  4.7 GB  ████████████    42:10  idle                    here
     * deepseek-r1:14b   9.0 GB  ▒▒▒▒▒▒▒░░░░░           warm 66%    ~big      ~2.3 s
       llama3.1:8b       4.9 GB  ░░░░░░░░░░░░           on disk     ~fits     ~5.4 s
       mistral:7b        4.1 GB  ????????????           not loaded  ?              ?
       nomic-embed-text  274 MB  ████████████   pinned  idle                    here

     start-up   ready for nomic-embed-text (2.90 s)   2 of 5 ready            4.0 s
     nomic-embed-text   ready   2.90 s   94 MB/s
     openthinker3-7b    ready   2.00 s   2.0 GB/s
     deepseek-r1:14b    reading   ━━━━━━━━──── 66 %   1.0 GB/s   3.0 s left
     llama3.1:8b        waiting
     ghost:1b           not installed: ollama pull ghost:1b

     12:04:27  qwen2.5-coder:7b    loading
     12:04:30  openthinker3-7b     read 3.8 GB in 1.90 s   2.0 GB/s   100 % in RAM
     12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s

     enter swap   l load   tab panel   / filter   q quit   C cancel all   ? help
    ");
}

#[test]
fn what_the_panel_says_of_a_reading_is_not_said_once_more_below_the_log() {
    let below = |app: &App, columns: u16, rows: u16| {
        picture(app, columns, rows).contains("warm deepseek-r1:14b   6.0 GB of 9.0 GB")
    };
    let mut app = app(under_way());
    assert!(!below(&app, 80, 24));
    assert!(below(&app, 80, 12), "the panel has no room for that model's row");
    press(&mut app, "?");
    assert!(below(&app, 80, 24), "a page covers the panel");
    press(&mut app, "esc");
    let mut snapshot = under_way();
    snapshot.acts.push(running(ActKind::Unload, "qwen2.5-coder:7b", 1));
    app.see(Arc::new(snapshot));
    assert!(picture(&app, 80, 24).contains("unload qwen2.5-coder:7b   "), "{}", picture(&app, 80, 24));
}

#[test]
fn every_state_has_its_words() {
    let app = app(with(startup([
        ItemState::Waits("qwen2.5-coder:7b is in use".into()),
        ItemState::There,
        ItemState::Failed("no \u{1b}[2Jroom".into()),
        ItemState::Skipped,
        ItemState::Working,
    ])));
    insta::assert_snapshot!(panel(&app, 80, 24).join("\n"), @r"
    start-up   primary waits: qwen2.5-coder:7b is in use   1 of 5 ready      4.0 s
    nomic-embed-text   waits: qwen2.5-coder:7b is in use
    openthinker3-7b    in RAM already
    deepseek-r1:14b    failed: no �[2Jroom
    llama3.1:8b        skipped
    ghost:1b           reading
    ");
}

#[test]
fn while_all_that_is_left_waits_one_row_says_why() {
    let waits = ItemState::Waits("qwen2.5-coder:7b is in use".into());
    let there = || ItemState::There;
    let mut app = app(with(startup([waits, there(), there(), there(), ItemState::Missing])));
    let stuck = " start-up   primary waits: qwen2.5-coder:7b is in use   3 of 5 ready   C ends it";
    assert_eq!(panel(&app, 80, 24), [stuck]);
    assert_eq!(app.next_tick(now()), app_tick_of_usual(), "nothing moves, so no frame is asked for");
    // Nothing of it runs: the keys reach it all the same.
    assert_eq!(press(&mut app, "C"), Some(Effect::CancelAll));
}

fn app_tick_of_usual() -> Option<Duration> {
    app(usual()).next_tick(now())
}

#[test]
fn c_skips_a_model_whose_turn_has_not_come_and_nothing_else() {
    let mut waiting = on("llama3.1:8b", |snapshot| {
        snapshot.keeping.startup = under_way().keeping.startup;
    });
    assert!(picture(&waiting, 80, 24).contains(" c cancel"), "{}", picture(&waiting, 80, 24));
    assert_eq!(press(&mut waiting, "c"), Some(Effect::Cancel(name("llama3.1:8b"))));
    let mut done = on("openthinker3-7b", |snapshot| {
        snapshot.keeping.startup = under_way().keeping.startup;
    });
    assert_eq!(press(&mut done, "c"), None);
    assert_eq!(done.notice.as_deref(), Some("nothing of ours runs or waits for openthinker3-7b"));
}

#[test]
fn the_end_is_said_for_a_while_then_the_room_is_given_back() {
    let over = |missing: bool| {
        let last = if missing { ItemState::Missing } else { ItemState::There };
        let mut over = startup([
            ready(2900, None),
            ItemState::There,
            ItemState::There,
            ready(500, Some(1_000_000_000)),
            last,
        ]);
        over.took = Some(Duration::from_millis(3500));
        with(over)
    };
    let all = app(over(false));
    assert_eq!(
        panel(&all, 80, 24)[0],
        " start-up   ready for nomic-embed-text (2.90 s)   all ready in 3.50 s"
    );
    let some = app(over(true));
    let title = &panel(&some, 80, 24)[0];
    assert!(title.ends_with("   4 of 5 ready in 3.50 s"), "{title}");
    // It ended half a second before now.
    let shown = |seconds| text(&drawn(&all, 80, 24, after(seconds))).contains("start-up");
    assert_eq!([0, 9, 10, 600].map(shown), [true, true, false, false]);
    let mut still = over(false);
    still.servers[0].models.clear();
    let still = app(still);
    assert_eq!(
        still.next_tick(now()),
        Some(Duration::from_millis(9500)),
        "a frame is asked for when it goes"
    );
    assert_eq!(still.next_tick(after(10)), None);
}

#[test]
fn it_draws_at_every_size_and_keeps_what_is_under_way_in_sight() {
    let mut app = app(under_way());
    for height in 0..=60 {
        for width in (0..=200).step_by(7) {
            drawn(&app, width, height, now());
        }
    }
    for (columns, rows) in [(80, 16), (80, 12), (40, 16), (160, 50)] {
        let shown = panel(&app, columns, rows);
        assert!(!shown.is_empty(), "{columns}x{rows}: {}", picture(&app, columns, rows));
    }
    let short = panel(&app, 80, 17);
    assert!(short.len() < 6 && short.iter().any(|line| line.contains("reading")), "{short:?}");
    app.settings.ascii = true;
    assert!(picture(&app, 80, 24).is_ascii());
}
