//! The manager: the only owner of I/O. Polls, joins all into one snapshot, carries out acts; front ends hold a
//! [`Handle`], read snapshots from it and send [`Command`]s that never wait.

mod acts;
mod agents;
pub mod answers;
mod ask;
pub mod bench;
mod chronicle;
pub mod clock;
pub mod compare;
mod departure;
mod drop;
mod due;
mod facts;
mod findings;
pub mod flow;
mod foresee;
mod foresight;
mod hold;
mod homing;
mod journals;
mod keep;
mod known;
mod manager;
mod observe;
mod poll;
mod ram;
mod readings;
mod replies;
mod swap;
mod tier;
mod warm;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ollama::Client;
use crate::probe::page_cache::PageCache;
use crate::probe::watched::Watched;
use crate::residency::act::{ActId, ActKind};
use crate::residency::host::{Cards, Ram, Runners};
use crate::residency::name::ModelName;
use crate::residency::record::PhaseRecord;
use crate::residency::snapshot::Snapshot;
use crate::residency::swap::Wish;
use crate::residency::timing::Clock;

use known::Known;

pub use journals::Journals;
pub use tier::RamTier;

/// What a front end may ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Carry out an act; its progress is in the snapshot's acts.
    Act {
        /// Names it.
        id: ActId,
        /// What.
        kind: ActKind,
        /// To which model.
        model: ModelName,
    },
    /// A swap, as `Act`, with what else is asked of it.
    Swap {
        /// Names it.
        id: ActId,
        /// To which model.
        model: ModelName,
        /// What else.
        wish: Wish,
    },
    /// Ask the journal for the past: predictions are learned from it. Whoever only looks asks where there is one.
    Recall,
    /// Keep this in the journal: a phase of a workflow or of an agent's work.
    Phase(PhaseRecord),
    /// Cancel what runs or waits for this model.
    Cancel {
        /// Which model.
        model: ModelName,
    },
    /// Cancel everything.
    CancelAll,
    /// Nothing acts by itself here from now on, or what the config says does again.
    HandsOff(bool),
    /// Nobody looks at this server now, or somebody does again: it is asked less often meanwhile.
    Ease(bool),
    /// Load the primary model and read the preload list now, as start-up does.
    Preload,
    /// The preload list is these models from now on.
    List {
        /// In this order.
        models: Vec<ModelName>,
    },
    /// The user looks at this model: read its residency and details now.
    Look {
        /// Which model.
        model: ModelName,
    },
}

/// The engine's queue is full: say so at the key, and try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("busy: too many commands are waiting; try again")]
pub struct Busy;

/// A front end's hold on the engine.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The latest snapshot; `changed` wakes only when more than reading times changed.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
    next: Arc<AtomicU64>,
    lasts: flow::Lasts,
    client: Option<Client>,
}

impl Handle {
    /// Joins the two ends; the engine and the tests of front ends call it.
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>, commands: mpsc::Sender<Command>) -> Handle {
        let next = Arc::new(AtomicU64::new(1));
        Handle { snapshots, commands, next, lasts: flow::Lasts::default(), client: None }
    }

    /// The way to the server, for work that is none of the engine's acts; `None` where there is no engine.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Sends a command without waiting.
    pub fn send(&self, command: Command) -> Result<(), Busy> {
        self.commands.try_send(command).map_err(|_| Busy)
    }

    /// Asks for an act without waiting; its progress appears in the snapshot under the returned number.
    pub fn act(&self, kind: ActKind, model: ModelName) -> Result<ActId, Busy> {
        let id = ActId(self.next.fetch_add(1, Ordering::Relaxed));
        self.send(Command::Act { id, kind, model })?;
        Ok(id)
    }

    /// Lets go of the engine and waits until it has ended: what it did is recorded then.
    pub async fn end(self) {
        let Handle { mut snapshots, commands, .. } = self;
        drop(commands);
        while snapshots.changed().await.is_ok() {}
    }

    /// Asks for a swap without waiting, as [`Handle::act`].
    pub fn swap(&self, model: ModelName, wish: Wish) -> Result<ActId, Busy> {
        let id = ActId(self.next.fetch_add(1, Ordering::Relaxed));
        self.send(Command::Swap { id, model, wish })?;
        Ok(id)
    }
}

/// Everything the engine is handed, since it cannot know it.
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// The way to the server.
    pub client: Client,
    /// The one clock.
    pub clock: Clock,
    /// The machine's name.
    pub host_name: String,
    /// The user's home directory.
    pub home: Option<std::path::PathBuf>,
    /// Whether the server runs on this machine, so that RAM, files and runners can be read.
    pub local: bool,
    /// The embedded server's scale.
    pub demo_scale: Option<u64>,
    /// Reads main memory; it cannot hang.
    pub ram: Box<dyn FnMut() -> Option<Ram> + Send>,
    /// The cards.
    pub cards: Option<Watched<Cards>>,
    /// The page cache.
    pub pages: Option<PageCache>,
    /// The runner processes.
    pub runners: Option<Watched<Runners>>,
    /// What moves and keeps files in RAM; `None` where the server's files are elsewhere.
    pub tier: Option<RamTier>,
    /// The way to the journal.
    pub journal: Journals,
    /// The one way to stop everything.
    pub stop: CancellationToken,
}

/// Commands that may wait; beyond it a key answers "busy".
const COMMANDS: usize = 64;

/// Starts the engine on the current tokio runtime.
pub fn start(parts: Parts) -> Handle {
    let now = (parts.clock)();
    let mut known = Known::new(Arc::clone(&parts.config), parts.host_name, parts.local, parts.demo_scale);
    known.home = parts.home;
    let first = Arc::new(poll::join(&known, &VecDeque::new(), Vec::new(), now));
    let (publish, snapshots) = tokio::sync::watch::channel(first);
    let (send, commands) = mpsc::channel(COMMANDS);
    let manager = manager::Manager {
        known,
        client: parts.client,
        clock: parts.clock,
        ram: parts.ram,
        cards: parts.cards,
        readings: parts.pages.as_ref().map(|pages| pages.readings.clone()),
        pages: parts.pages,
        runners: parts.runners,
        tier: parts.tier,
        journals: parts.journal,
        chronicle: chronicle::Chronicle::default(),
        keep: keep::Keep::new(parts.config.hands_off),
        ram_acts: Vec::new(),
        paused: false,
        commands,
        publish,
        stop: parts.stop,
        acts: acts::Acts::default(),
        events: VecDeque::new(),
        due: due::Due::at_start(now),
        flying: tokio::task::JoinSet::new(),
        sent: Vec::new(),
    };
    let client = Some(manager.client.clone());
    tokio::spawn(manager.run());
    Handle { client, ..Handle::new(snapshots, send) }
}
