//! One full frame, 160×50 with 200 models: `cargo bench --bench frame`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use resident::config::Config;
use resident::residency::bytes::{Bytes, GIB};
use resident::residency::event::{Event, What};
use resident::residency::expiry::Expiry;
use resident::residency::host::{Card, Cards, Ram};
use resident::residency::keep_alive::KeepAlive;
use resident::residency::name::ModelName;
use resident::residency::snapshot::{Details, Host, Loaded, Model, Reach, Server, Snapshot, State};
use resident::residency::tier::{Cached, Tiers};
use resident::residency::timing::{Moment, Reading};
use resident::tui::ProposeConfig;
use resident::tui::app::{App, Settings};
use resident::tui::keymap::Keymap;
use resident::tui::theme::Depth;
use resident::tui::view::view;

#[expect(clippy::disallowed_methods, reason = "a benchmark stands outside; it is its own clock")]
fn now() -> Moment {
    Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() }
}

/// Every fiftieth is loaded, the others lie half in RAM.
fn model(i: usize, now: Moment) -> Model {
    let size = Bytes(4 * GIB + i as u64);
    let half = Bytes(size.0 / 2);
    let is_loaded = i.is_multiple_of(50);
    let loaded = Loaded {
        size,
        size_vram: half,
        context: Some(4096),
        expiry: Expiry::At(now.wall + Duration::from_secs(1000)),
        keep_alive: Some(KeepAlive::For(Duration::from_secs(3600))),
        runner: None,
    };
    Model {
        digest: "845dbda0ea48".repeat(5),
        size,
        details: Details { quantisation: "Q4_K_M".into(), ..Details::default() },
        listed: (i < 3).then_some(i),
        state: if is_loaded { State::Idle } else { State::InRam { percent: 50, estimate: false } },
        tiers: Tiers { ram: half, disk: half, ..Tiers::default() },
        cached: Cached::Exact(half),
        cached_at: Some(now),
        loaded: is_loaded.then_some(loaded),
        ..Model::named(ModelName::from_server(&format!("model-{i:03}:7b")))
    }
}

fn snapshot(now: Moment) -> Snapshot {
    let ram =
        Ram { total: Bytes(32 * GIB), used: Bytes(5 * GIB), page_cache: Bytes(20 * GIB), ..Ram::default() };
    let card =
        Card { name: "RTX 2070".into(), total: Bytes(8 * GIB), used: Bytes(6 * GIB), ..Card::default() };
    let event = |number| Arc::new(Event { number, at: now, model: None, what: What::Expired });
    Snapshot {
        at: now,
        host: Host {
            name: "bench".into(),
            ram: Some(Reading { value: ram, at: now }),
            holds: Bytes::ZERO,
            cards: Some(Reading { value: Cards::Known(vec![card]), at: now }),
        },
        servers: vec![Server {
            url: "http://127.0.0.1:11434".into(),
            reach: Reach::Up { latency: Duration::from_millis(2) },
            version: Some("0.32.15".into()),
            local: true,
            demo_scale: None,
            models_dir: None,
            models_dir_unknown: None,
            files_owner: None,
            findings: None,
            runners: None,
            models: (0..200).map(|i| model(i, now)).collect(),
            ps_at: Some(now),
            tags_at: Some(now),
        }],
        events: (1..=512).map(event).collect::<VecDeque<_>>(),
        acts: Vec::new(),
        past: std::sync::Arc::default(),
        keeping: resident::residency::guard::Keeping::default(),
        tunings: None,
    }
}

fn main() {
    let now = now();
    let propose: ProposeConfig = Box::new(|_| Err("not here".into()));
    let settings = Settings::of(&Config::default(), Depth::Sixteen, TimeZone::UTC, propose);
    let mut app = App::new(settings, Keymap::default(), None, now);
    app.see(Arc::new(snapshot(now)));
    let mut buffer = Buffer::empty(Rect::new(0, 0, 160, 50));
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("frame 160x50, 200 models", |bencher| {
        bencher.iter(|| {
            buffer.reset();
            view(black_box(&mut buffer), &app, now);
        });
    });
    criterion.final_summary();
}
