//! Snapshots and screens for the tests: the card and the models of the demo, at 12:04:31.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Proposal;
use super::app::{App, Effect, Settings};
use super::keymap::Keymap;
use super::theme::{Depth, Wardrobe};
use super::view::view;
use crate::config::{self, Confirm, Memory, OnExit, Preload};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::{Bytes, GIB, MIB};
use crate::residency::event::{Event, What};
use crate::residency::expiry::Expiry;
use crate::residency::fit::{Fit, OnCard, Place};
use crate::residency::forecast::Forecast;
use crate::residency::guard::Keeping;
use crate::residency::host::{Card, Cards, LoadMode, Ram, Runner};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::map::{CELLS, Map};
use crate::residency::name::ModelName;
use crate::residency::predict::Prediction;
use crate::residency::snapshot::{Blob, Details, Host, Loaded, Model, Reach, Server, Snapshot, State};
use crate::residency::tier::{Cached, Tiers};
use crate::residency::timing::{Moment, Reading};

/// One moment for the whole test binary, so that differences are exact.
pub(crate) fn now() -> Moment {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's clock: any instant will do, far enough from zero"
    )]
    let mono = *START.get_or_init(|| std::time::Instant::now() + Duration::from_secs(100_000));
    Moment { mono, wall: "2026-11-23T12:04:31Z".parse().unwrap() }
}

/// So many seconds after [`now`], or before it.
pub(crate) fn after(seconds: i64) -> Moment {
    let Moment { mono, wall } = now();
    let by = Duration::from_secs(seconds.unsigned_abs());
    let mono = if seconds < 0 { mono.checked_sub(by).unwrap() } else { mono + by };
    Moment { mono, wall: wall + jiff::SignedDuration::from_secs(seconds) }
}

pub(crate) fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

fn size(gb: f64) -> Bytes {
    Bytes::parse(&format!("{gb}GB")).unwrap()
}

/// A model that lies on disk.
pub(crate) fn model(text: &str, gb: f64) -> Model {
    let size = size(gb);
    Model {
        digest: "845dbda0ea48".repeat(5),
        size,
        details: Details {
            format: "gguf".into(),
            family: "qwen2".into(),
            parameters: "7.6B".into(),
            quantisation: "Q4_K_M".into(),
            capabilities: vec!["completion".into(), "tools".into()],
            train_context: Some(32_768),
            remote_host: None,
        },
        state: State::OnDisk,
        tiers: Tiers { disk: size, ..Tiers::default() },
        cached: Cached::Exact(Bytes::ZERO),
        cached_at: Some(now()),
        ..Model::named(name(text))
    }
}

/// The same, with so much of it in RAM.
pub(crate) fn in_ram(mut model: Model, percent: u8) -> Model {
    let ram = Bytes(model.size.0 / 100 * u64::from(percent));
    model.tiers = Tiers { ram, disk: model.size.minus(ram), ..Tiers::default() };
    model.cached = Cached::Exact(if percent == 100 { model.size } else { ram + Bytes(99) });
    model.state = State::InRam { percent, estimate: false };
    model
}

/// The same, loaded on the card for so long.
pub(crate) fn loaded(mut model: Model, expiry: Expiry, keep_alive: KeepAlive) -> Model {
    let whole = model.size + Bytes(GIB / 2);
    model.tiers = Tiers { vram: model.size, ..Tiers::default() };
    model.cached = Cached::Exact(model.size);
    model.state = State::Idle;
    model.pinned = keep_alive.is_forever();
    model.loaded = Some(Loaded {
        size: whole,
        size_vram: whole,
        context: Some(4096),
        expiry,
        keep_alive: Some(keep_alive),
        runner: Some(Runner {
            pid: 4711,
            blob: "/models/blobs/sha256-60e05f21".into(),
            port: Some(40_123),
            parent: Some(4001),
            load_mode: LoadMode::Mmap,
            context: Some(4096),
            slots: Some(1),
            gpu_layers: Some("29".into()),
            anonymous: Bytes(300 * MIB),
            ready: Some(true),
            busy: Some(false),
            ..Runner::default()
        }),
    });
    model.blobs = vec![Blob {
        digest: "sha256:60e05f21".into(),
        role: "weights",
        size: model.size,
        path: Some("/models/blobs/sha256-60e05f21".into()),
        cached: Cached::Exact(model.size),
        map: Some(Map::of([(1, 1); CELLS])),
    }];
    model
}

fn expires(seconds: i64) -> Expiry {
    Expiry::At(after(seconds).wall)
}

/// A server that answers, with these models.
pub(crate) fn server(models: Vec<Model>) -> Server {
    Server {
        url: "http://127.0.0.1:11434".into(),
        reach: Reach::Up { latency: Duration::from_millis(2) },
        version: Some("0.32.15".into()),
        local: true,
        demo_scale: None,
        models_dir: Some("/models".into()),
        models_dir_unknown: None,
        files_owner: None,
        findings: None,
        models,
        ps_at: Some(now()),
        tags_at: Some(now()),
        runners: Some(1),
    }
}

/// A snapshot of a machine with an RTX 2070 and that server.
pub(crate) fn snapshot(server: Server) -> Snapshot {
    let used: Bytes =
        server.models.iter().filter_map(|model| model.loaded.as_ref()).map(|loaded| loaded.size_vram).sum();
    let card = Card {
        name: "NVIDIA GeForce RTX 2070".into(),
        total: Bytes(8 * GIB),
        used: used + Bytes(GIB / 2),
        free: Bytes(8 * GIB).minus(used + Bytes(GIB / 2)),
        ..Card::default()
    };
    let ram = Ram {
        total: Bytes(31 * GIB),
        used: Bytes(5 * GIB),
        available: Bytes(26 * GIB),
        free: Bytes(7 * GIB),
        page_cache: Bytes(19 * GIB),
        ..Ram::default()
    };
    Snapshot {
        at: now(),
        host: Host {
            name: "workshop".into(),
            ram: Some(Reading { value: ram, at: now() }),
            holds: Bytes::ZERO,
            cards: Some(Reading { value: Cards::Known(vec![card]), at: now() }),
        },
        servers: vec![server],
        events: VecDeque::new(),
        acts: Vec::new(),
        past: Arc::default(),
        keeping: Keeping::default(),
        tunings: None,
    }
}

/// The models of the idea and two small ones: on the card, in RAM, partly in RAM, on disk, unreadable.
pub(crate) fn usual() -> Snapshot {
    let hour = KeepAlive::For(Duration::from_secs(3600));
    let mut models = vec![
        in_ram(model("openthinker3-7b", 4.7), 100),
        loaded(model("qwen2.5-coder:7b", 4.7), expires(2530), hour),
        in_ram(model("deepseek-r1:14b", 9.0), 62),
        model("llama3.1:8b", 4.9),
        model("mistral:7b", 4.1),
        loaded(model("nomic-embed-text", 0.274), Expiry::Never, KeepAlive::Forever),
    ];
    for (i, model) in models.iter_mut().take(3).enumerate() {
        model.listed = Some(i);
    }
    let evicts = vec![name("qwen2.5-coder:7b")];
    models[0].forecast = Some(Forecast { evicts, why: "needs 5.2 GiB, 2.6 are free".into() });
    let evicts = vec![name("qwen2.5-coder:7b"), name("nomic-embed-text")];
    models[2].forecast = Some(Forecast { evicts, why: "needs all of the card".into() });
    for model in &mut models[3..5] {
        model.forecast = Some(Forecast { evicts: Vec::new(), why: "needs 2.1 GiB".into() });
    }
    for (model, millis, error) in [(0, 600, None), (2, 2300, None), (3, 5400, Some(0.08))] {
        models[model].to_vram = Some(Prediction { took: Duration::from_millis(millis), error });
    }
    for (model, place) in [
        (0, Place::Whole { left: Bytes(3_000_000_000), card: OnCard::Only }),
        (2, Place::Partly { too_big: true, on_card: Bytes(7_200_000_000), card: OnCard::Only }),
        (3, Place::Whole { left: Bytes(900_000_000), card: OnCard::Only }),
    ] {
        let model = &mut models[model];
        let cache = Bytes(500_000_000);
        model.fit = Some(Fit {
            context: 4096,
            size: model.size + cache,
            cache: Some(cache),
            learned: false,
            expected: model.size + cache,
            limit: Some(Bytes(2_200_000_000)),
            place,
        });
    }
    models[4].forecast = None;
    models[4].state = State::NotLoaded;
    models[4].cached = Cached::Unknown("the file is another user's: mincore hides it".into());
    models[4].tiers = Tiers { unknown: models[4].size, ..Tiers::default() };
    let small = models[5].loaded.as_mut().unwrap();
    small.size = Bytes(300_000_000);
    small.size_vram = Bytes(300_000_000);
    let mut snapshot = snapshot(server(models));
    let event = |number, seconds, model: &str, what| {
        Arc::new(Event { number, at: after(seconds), model: Some(name(model)), what })
    };
    snapshot.events = VecDeque::from([
        event(1, -88, "nomic-embed-text", What::Pinned),
        event(2, -4, "openthinker3-7b", What::Evicted { by: Some(name("qwen2.5-coder:7b")) }),
        event(3, -4, "qwen2.5-coder:7b", What::Loading { ours: true }),
        event(
            4,
            0,
            "qwen2.5-coder:7b",
            What::Loaded { took: Some(Duration::from_millis(610)), from_ram: Some(100), ours: true },
        ),
    ]);
    snapshot
}

/// So many models of every kind.
pub(crate) fn many(count: usize) -> Snapshot {
    let hour = KeepAlive::For(Duration::from_secs(3600));
    let models = (0..count)
        .map(|i| {
            let text = format!("model-{i:03}:{}b", i % 70);
            let model = model(&text, 1.0 + f64::from(u8::try_from(i % 40).unwrap()));
            match i % 5 {
                0 => model,
                1 => in_ram(model, 100),
                2 => in_ram(model, u8::try_from(i % 99).unwrap()),
                3 if i < 9 => loaded(model, expires(i64::try_from(i).unwrap() * 100), hour),
                _ => Model { state: State::Loading { since: after(-3), ours: false }, ..model },
            }
        })
        .collect();
    let mut snapshot = snapshot(server(models));
    snapshot.events = (1..=512)
        .map(|number| {
            let what = What::Failed { verb: "load", why: "no more room for another runner process".into() };
            Arc::new(Event { number, at: now(), model: Some(name("model-007:7b")), what })
        })
        .collect();
    snapshot
}

/// An act of ours that began so many seconds ago.
pub(crate) fn running(kind: ActKind, model: &str, seconds: i64) -> Act {
    let state = ActState::Running { stage: "loading", since: after(-seconds) };
    Act { id: ActId(1), kind, model: name(model), state, progress: None, swap: None, first_token: None }
}

/// A screen without colours' worries: dark theme, UTC, no config.
pub(crate) fn app(snapshot: Snapshot) -> App {
    let propose = |_: &Snapshot| {
        let text = "ollama:\n  # kept near\n  preload:\n    models: [qwen2.5-coder:7b]\n".to_owned();
        Ok(Proposal { path: "/home/me/.config/resident/config.yaml".into(), text, exists: false })
    };
    let wardrobe = Wardrobe::new(config::Theme::default(), Depth::Sixteen);
    let settings = Settings {
        read_only: false,
        confirm: Confirm::Risky,
        ascii: false,
        mouse: true,
        notify: config::Notify::None,
        refresh: Duration::from_secs(1),
        url: "http://127.0.0.1:11434".into(),
        memory: Memory::Auto,
        preload: Preload::default(),
        phases: Vec::new(),
        workflows: Vec::new(),
        may_act: false,
        keep_alive_auto: false,
        on_exit: OnExit::Keep,
        list_place: None,
        has_config: true,
        auto_off: None,
        demo_place: None,
        zone: TimeZone::UTC,
        theme: wardrobe.theme(),
        wardrobe,
        propose: Box::new(propose),
    };
    let mut app = App::new(settings, Keymap::default(), None, now());
    app.see(Arc::new(snapshot));
    app
}

/// The usual models, with the row of that model selected.
pub(crate) fn on(model: &str, change: impl Fn(&mut Snapshot)) -> App {
    let mut snapshot = usual();
    change(&mut snapshot);
    let mut app = app(snapshot);
    for _ in 0..app.models().iter().position(|m| m.name == name(model)).unwrap() {
        press(&mut app, "j");
    }
    app
}

/// Presses keys as they are written in a config, blanks between; says what the last one asked for.
pub(crate) fn press(app: &mut App, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for key in keys.split(' ') {
        let (key, modifiers) = match key.strip_prefix("ctrl-") {
            Some(rest) => (rest, KeyModifiers::CONTROL),
            None => (key, KeyModifiers::NONE),
        };
        let code = match key {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "space" => KeyCode::Char(' '),
            "pgdn" => KeyCode::PageDown,
            "backspace" => KeyCode::Backspace,
            key => KeyCode::Char(key.chars().next().unwrap()),
        };
        effect = app.key(KeyEvent::new(code, modifiers), now());
    }
    effect
}

/// The picture at that size.
pub(crate) fn drawn(app: &App, width: u16, height: u16, now: Moment) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    view(&mut buffer, app, now);
    buffer
}

/// The picture as text, without what is blank at the right.
pub(crate) fn picture(app: &App, width: u16, height: u16) -> String {
    text(&drawn(app, width, height, now()))
}

/// A buffer as text.
pub(crate) fn text(buffer: &Buffer) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut lines = Vec::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(symbol.width()).unwrap().max(1);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

/// The wall clock so many seconds after [`now`].
pub(crate) fn wall(seconds: i64) -> Timestamp {
    after(seconds).wall
}
