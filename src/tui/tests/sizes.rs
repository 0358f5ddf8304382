//! Every size draws, every panel draws, and nothing hostile gets into the picture.

use std::sync::Arc;
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::flows::flow;
use crate::config::{Phase, Step, Workflow};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::event::{Event, What};
use crate::residency::flow::{Ahead, AheadDid, Flow, FlowState, StepState};
use crate::residency::forecast::Forecast;
use crate::residency::guard::startup::{Goal, Item, ItemState, Startup};
use crate::residency::host::{Cards, Ram};
use crate::residency::name::ModelName;
use crate::residency::record::{Past, PhaseRecord, Run, SwapRecord};
use crate::residency::snapshot::{Blob, Reach, Snapshot, State};
use crate::residency::swap::{Ended, Stage};
use crate::residency::tier::Cached;
use crate::residency::timing::Reading;
use crate::tui::app::{App, Panel};
use crate::tui::fixture::{
    app, drawn, many, model, name, now, picture, press, server, snapshot, text, usual,
};
use crate::tui::view::view;

#[test]
fn every_size_draws() {
    let app = app(many(200));
    let mut buffer = Buffer::default();
    for height in 0..=100 {
        for width in 0..=300 {
            buffer.resize(Rect::new(0, 0, width, height));
            buffer.reset();
            view(&mut buffer, &app, now());
        }
    }
}

/// Keys that open each panel, question, prompt and page.
const OPENED: [&str; 15] = [
    "g",
    "tab",
    "tab j j pgdn",
    "tab tab",
    "tab tab j j j",
    "tab tab tab",
    "tab tab tab k k",
    "? pgdn",
    "I pgdn",
    "/ 日",
    "/ 7 enter",
    "f j",
    "y pgdn",
    "i j",
    "q",
];

#[test]
fn every_panel_draws_at_every_kind_of_size_with_no_model_one_and_many() {
    for count in [0, 1, 200] {
        for keys in OPENED {
            let mut snapshot = many(count);
            if keys == "q" {
                let state = ActState::Queued { why: "a load is pending".into(), since: now() };
                snapshot.acts = vec![Act {
                    id: ActId(1),
                    kind: ActKind::Load,
                    model: name("x"),
                    state,
                    progress: None,
                    swap: None,
                    first_token: None,
                }];
            }
            snapshot.past = Arc::new(super::swaps::past());
            let mut app = app(snapshot);
            app.settings.workflows = vec![Workflow { name: "loop".into(), repeat: true, steps: Vec::new() }];
            if count != 1 {
                app.see_flow(Arc::new(super::flows::flow()));
            }
            press(&mut app, keys);
            for width in [0, 1, 2, 29, 30, 31, 79, 80, 81, 139, 140, 300] {
                for height in [0, 1, 7, 8, 9, 23, 24, 25, 50, 100] {
                    let buffer = drawn(&app, width, height, now());
                    let says = text(&buffer).trim().is_empty();
                    assert!(!says || width == 0 || height == 0, "{keys} at {width}x{height} shows nothing");
                }
            }
        }
    }
}

const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{7}\r\n\t\0日本語\u{1b}]0;x\u{7}\u{e0041}";

/// A snapshot in which every text of the server, the machine and the files is hostile.
fn hostile() -> Snapshot {
    let evil = || HOSTILE.to_owned();
    let mut one = model("x", 4.7);
    one.name = ModelName::from_server(HOSTILE);
    one.digest = evil();
    one.details.format = evil();
    one.details.family = evil();
    one.details.parameters = evil();
    one.details.quantisation = evil();
    one.details.capabilities = vec![evil()];
    one.details.remote_host = Some(evil());
    one.cached = Cached::Unknown(evil());
    one.shared_with = vec![ModelName::from_server(HOSTILE)];
    one.forecast = Some(Forecast { evicts: vec![ModelName::from_server(HOSTILE)], why: evil() });
    one.blobs = vec![Blob {
        digest: evil(),
        role: "weights",
        size: one.size,
        path: Some(HOSTILE.into()),
        cached: Cached::Unread,
        map: None,
    }];
    let mut snapshot = snapshot(server(vec![one]));
    snapshot.host.name = evil();
    snapshot.host.cards = Some(Reading { value: Cards::Unknown(evil()), at: now() });
    let server = &mut snapshot.servers[0];
    server.url = evil();
    server.version = Some(evil());
    server.models_dir_unknown = Some(evil());
    let happened = [
        What::Failed { verb: "load", why: evil() },
        What::ServerGone { why: evil() },
        What::Evicted { by: Some(ModelName::from_server(HOSTILE)) },
    ];
    let event =
        |what| Arc::new(Event { number: 1, at: now(), model: Some(ModelName::from_server(HOSTILE)), what });
    snapshot.events = happened.map(event).into();
    let state = ActState::Queued { why: evil(), since: now() };
    snapshot.acts = vec![Act {
        swap: None,
        first_token: None,
        id: ActId(1),
        kind: ActKind::Load,
        model: ModelName::from_server(HOSTILE),
        state,
        progress: None,
    }];
    let failed = |stage| Ended::Failed { stage, why: evil() };
    let swap =
        SwapRecord { model: ModelName::from_server(HOSTILE), ended: failed(Stage::Load), ..first_swap() };
    let phase = PhaseRecord {
        run: evil(),
        phase: evil(),
        model: Some(ModelName::from_server(HOSTILE)),
        next: None,
        swap: Duration::ZERO,
    };
    let runs = vec![Run { run: evil(), phases: vec![(now().wall, phase)] }];
    snapshot.past = Arc::new(Past { swaps: vec![(now().wall, swap)], runs, ..Past::default() });
    snapshot
}

fn first_swap() -> SwapRecord {
    super::swaps::past().swaps.remove(0).1
}

/// A workflow in which every text is hostile.
fn hostile_flow() -> Flow {
    let evil = || HOSTILE.to_owned();
    let mut flow = super::flows::flow();
    flow.name = evil();
    flow.state = FlowState::Failed { why: evil() };
    for step in &mut flow.steps {
        step.phase = evil();
        step.model = ModelName::from_server(HOSTILE);
        step.state = StepState::Failed { why: evil() };
    }
    flow.steps[3].state = StepState::Waiting;
    let did = AheadDid::Refused { why: evil() };
    flow.ahead = vec![Ahead { during: 0, model: ModelName::from_server(HOSTILE), did }];
    flow
}

fn assert_clean(app: &App) {
    for (width, height) in [(30, 8), (80, 24), (160, 50)] {
        for cell in &drawn(app, width, height, now()).content {
            let bad = cell.symbol().chars().find(|c| {
                c.is_control()
                    || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{e0000}'..)
            });
            assert_eq!(bad, None, "{:?} at {width}x{height}", cell.symbol());
        }
    }
}

#[test]
fn nothing_hostile_gets_into_the_picture() {
    for keys in [
        "g",
        "tab",
        "tab tab",
        "tab tab tab",
        "q",
        "/ \u{1b}",
        "l",
        "I",
        "1",
        "f",
        "f enter",
        "f b",
        "y",
        "?",
    ] {
        let mut hostile = app(hostile());
        assert_clean(&hostile);
        hostile.see_flow(Arc::new(hostile_flow()));
        hostile.settings.auto_off = Some(HOSTILE.into());
        let model = ModelName::from_server(HOSTILE);
        hostile.settings.phases = vec![Phase { name: HOSTILE.into(), model, num_ctx: Some(1) }];
        let step =
            Step { phase: HOSTILE.into(), model: None, num_ctx: None, work: None, on_failure: Vec::new() };
        hostile.settings.workflows = vec![Workflow { name: HOSTILE.into(), repeat: true, steps: vec![step] }];
        press(&mut hostile, keys);
        hostile.paste(HOSTILE);
        assert_clean(&hostile);
    }
    let mut down = hostile();
    down.servers[0].models.clear();
    down.servers[0].reach = Reach::Down { since: now(), answers: false, why: HOSTILE.into() };
    let mut down = app(down);
    down.settings.demo_place = Some((HOSTILE.into(), crate::residency::bytes::Bytes(5)));
    assert_clean(&down);
    press(&mut down, "d");
    assert_clean(&down);
}

#[test]
fn absurd_figures_draw() {
    let mut absurd = usual();
    let most = crate::residency::bytes::Bytes(u64::MAX);
    absurd.host.ram =
        Some(Reading { value: Ram { used: most, page_cache: most, ..Ram::default() }, at: now() });
    for model in &mut absurd.servers[0].models {
        model.size = most;
        model.tiers.disk = most;
        model.tiers.ram = most;
        model.cached = Cached::Exact(most);
        model.state = State::InRam { percent: 255, estimate: true };
        if let Some(loaded) = &mut model.loaded {
            loaded.size = crate::residency::bytes::Bytes::ZERO;
            loaded.size_vram = most;
            loaded.context = Some(u64::MAX);
        }
    }
    absurd.servers[0].reach = Reach::Up { latency: Duration::MAX };
    let mut app = app(absurd);
    press(&mut app, "j");
    for (width, height) in [(30, 8), (80, 24), (160, 50)] {
        assert!(text(&drawn(&app, width, height, now())).contains("127.0.0.1"));
    }
}

#[test]
fn a_help_page_that_is_cut_says_so_until_its_end_is_seen() {
    let mut app = app(usual());
    press(&mut app, "?");
    let top = picture(&app, 80, 24);
    assert!(top.contains(" more below"), "{top}");
    for _ in 0..20 {
        press(&mut app, "pgdn");
    }
    let end = picture(&app, 80, 24);
    assert!(!end.contains(" more below") && end.contains("in the preload list"), "{end}");
    assert!(!picture(&app, 100, 120).contains(" more below"));
}

#[test]
fn the_table_keeps_its_heading_whatever_is_said_below_it() {
    let heading = |app: &App, height: u16| {
        let shown = picture(app, 80, height);
        assert!(shown.contains("  MODEL  "), "{height}\n{shown}");
    };
    for lines in 1..=4 {
        for height in 16..=30 {
            let mut snapshot = many(12);
            snapshot.keeping.startup = Some(Arc::new(long_startup()));
            let mut app = app(snapshot);
            app.see_flow(Arc::new(flow()));
            app.notice = Some("words ".repeat(12 * lines));
            heading(&app, height);
            app.panel = Panel::Flow;
            heading(&app, height);
        }
    }
}

/// One with more models than there is room for.
fn long_startup() -> Startup {
    let item =
        |i: u32| Item { model: name(&format!("model-{i}:7b")), goal: Goal::Ram, state: ItemState::Working };
    Startup { began: now(), items: (0..9).map(item).collect(), latest: None, took: None }
}
