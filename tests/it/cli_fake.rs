//! A snapshot made by hand, and a fake engine: the other ends of a handle's channels, held by the test.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use resident::engine::{Command, Handle};
use resident::residency::act::{Act, ActId, ActKind, ActState};
use resident::residency::bytes::{Bytes, GIB};
use resident::residency::expiry::Expiry;
use resident::residency::host::{Card, Cards, Ram};
use resident::residency::keep_alive::KeepAlive;
use resident::residency::name::ModelName;
use resident::residency::snapshot::{Details, Host, Loaded, Model, Reach, Server, Snapshot, State};
use resident::residency::tier::{Cached, Tiers};
use resident::residency::timing::{Clock, Moment, Reading};
use tokio::sync::{mpsc, watch};

/// A moment at 12:00 on some day.
#[expect(clippy::disallowed_methods, reason = "a test makes its own clock; any instant will do")]
pub fn noon() -> Moment {
    Moment { mono: Instant::now(), wall: "2026-11-23T12:00:00Z".parse().unwrap() }
}

pub fn after(moment: Moment, seconds: u64) -> Moment {
    let time = Duration::from_secs(seconds);
    Moment { mono: moment.mono + time, wall: moment.wall + time }
}

/// A clock that stands.
pub fn stopped(at: Moment) -> Clock {
    Arc::new(move || at)
}

pub fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

/// A model of `size` of which `cached` are in the page cache.
pub fn on_disk(text: &str, size: u64, cached: u64) -> Model {
    let percent = Bytes(cached).percent_of(Bytes(size));
    Model {
        digest: "ab".repeat(32),
        size: Bytes(size),
        details: Details { format: "gguf".into(), quantisation: "Q4_K_M".into(), ..Details::default() },
        state: if percent == 0 { State::OnDisk } else { State::InRam { percent, estimate: false } },
        tiers: Tiers { ram: Bytes(cached), disk: Bytes(size - cached), ..Tiers::default() },
        cached: Cached::Exact(Bytes(cached)),
        ..Model::named(name(text))
    }
}

/// The model, loaded wholly on the card.
pub fn in_vram(text: &str, size: u64, expiry: Expiry) -> Model {
    Model {
        state: State::Idle,
        pinned: expiry == Expiry::Never,
        tiers: Tiers { vram: Bytes(size), ..Tiers::default() },
        loaded: Some(Loaded {
            size: Bytes(size + size / 10),
            size_vram: Bytes(size + size / 10),
            context: Some(4096),
            expiry,
            keep_alive: Some(KeepAlive::For(Duration::from_secs(300))),
            runner: None,
        }),
        ..on_disk(text, size, 0)
    }
}

/// A local server that answers and has these models, on a machine with one card.
pub fn snapshot(at: Moment, models: Vec<Model>) -> Snapshot {
    let card = Card {
        name: "RTX 2070".into(),
        total: Bytes(8 * GIB),
        used: Bytes(5 * GIB),
        free: Bytes(3 * GIB),
        ..Card::default()
    };
    let ram = Ram {
        total: Bytes(32 * GIB),
        used: Bytes(10 * GIB),
        available: Bytes(22 * GIB),
        free: Bytes(2 * GIB),
        page_cache: Bytes(20 * GIB),
        ..Ram::default()
    };
    Snapshot {
        at,
        host: Host {
            name: "box".into(),
            ram: Some(Reading { value: ram, at }),
            holds: Bytes::ZERO,
            cards: Some(Reading { value: Cards::Known(vec![card]), at }),
        },
        servers: vec![Server {
            url: "http://127.0.0.1:11434".into(),
            reach: Reach::Up { latency: Duration::from_millis(3) },
            version: Some("0.32.15".into()),
            local: true,
            demo_scale: None,
            models_dir: Some("/models".into()),
            models_dir_unknown: None,
            files_owner: None,
            findings: None,
            models,
            ps_at: Some(at),
            tags_at: Some(at),
            runners: Some(1),
        }],
        events: VecDeque::new(),
        acts: Vec::new(),
        past: std::sync::Arc::default(),
        keeping: resident::residency::guard::Keeping::default(),
        tunings: None,
    }
}

/// The engine's ends.
pub struct FakeEngine {
    pub publish: watch::Sender<Arc<Snapshot>>,
    pub commands: mpsc::Receiver<Command>,
}

pub fn engine(first: Snapshot) -> (Handle, FakeEngine) {
    let (publish, snapshots) = watch::channel(Arc::new(first));
    let (sender, commands) = mpsc::channel(4);
    (Handle::new(snapshots, sender), FakeEngine { publish, commands })
}

impl FakeEngine {
    /// The next act that is asked for; other commands are an error.
    pub async fn act(&mut self) -> (ActId, ActKind, ModelName) {
        match self.commands.recv().await {
            Some(Command::Act { id, kind, model }) => (id, kind, model),
            other => panic!("an act, not {other:?}"),
        }
    }

    /// Publishes the snapshot changed by `change`.
    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.publish.send_modify(|snapshot| change(Arc::make_mut(snapshot)));
    }

    /// Publishes that this act is as far as `state`.
    pub fn show(&self, (id, kind, model): &(ActId, ActKind, ModelName), state: ActState) {
        self.change(|snapshot| {
            snapshot.acts.retain(|act| act.id != *id);
            snapshot.acts.push(Act {
                id: *id,
                kind: *kind,
                model: model.clone(),
                state,
                progress: None,
                swap: None,
                first_token: None,
            });
        });
    }
}
