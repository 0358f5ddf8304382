//! Acts: what a person asked for, from the asking to the end that a snapshot shows.

use std::sync::Arc;
use std::time::Duration;

use super::keep_alive::KeepAlive;
use super::name::ModelName;
use super::swap::Swapping;
use super::timing::Moment;
use super::warm::Progress;

/// Names one act for as long as the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActId(pub u64);

impl ActId {
    /// Numbers of acts that nobody asked for by key begin here.
    const OWN: u64 = 1 << 63;

    /// Names the engine's act of this number, below 2^63, that nobody asked for by key.
    pub fn own(number: u64) -> ActId {
        ActId(Self::OWN + number)
    }

    /// Whether nobody asked for that act by key.
    pub fn is_own(self) -> bool {
        self.0 >= Self::OWN
    }
}

/// What is to be done with a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    /// Load it beside what is loaded.
    Load,
    /// Make it ready in VRAM; what must go for it goes.
    Swap,
    /// Unload it.
    Unload,
    /// Keep it in VRAM.
    Pin,
    /// Let it expire again.
    Unpin,
    /// Restart its keep_alive.
    Touch,
    /// Give it another keep_alive.
    KeepAlive(KeepAlive),
    /// Bring its files into RAM.
    Warm,
    /// Keep its files in RAM until they are released.
    Hold,
    /// No longer keep its files in RAM; they stay as long as the kernel lets them.
    Release,
    /// Take its files out of RAM.
    Drop,
}

impl ActKind {
    /// The verb, as in `load qwen`.
    pub fn verb(self) -> &'static str {
        match self {
            ActKind::Load => "load",
            ActKind::Swap => "swap",
            ActKind::Unload => "unload",
            ActKind::Pin => "pin",
            ActKind::Unpin => "unpin",
            ActKind::Touch => "touch",
            ActKind::KeepAlive(_) => "keep_alive",
            ActKind::Warm => "warm",
            ActKind::Hold => "hold",
            ActKind::Release => "release",
            ActKind::Drop => "drop",
        }
    }

    /// Whether it is about files in RAM; the others are about what the server has loaded.
    pub fn is_of_ram(self) -> bool {
        matches!(self, ActKind::Warm | ActKind::Hold | ActKind::Release | ActKind::Drop)
    }
}

/// One act and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Its number.
    pub id: ActId,
    /// What is done.
    pub kind: ActKind,
    /// To which model.
    pub model: ModelName,
    /// How far it is.
    pub state: ActState,
    /// How far the reading is, of an act that reads.
    pub progress: Option<Progress>,
    /// The plan and the stopwatch, of a load or a swap that has begun.
    pub swap: Option<Arc<Swapping>>,
    /// What the first token took, of a swap to a model that was there already and was asked for one.
    pub first_token: Option<Duration>,
}

/// How far an act is.
#[derive(Debug, Clone, PartialEq)]
pub enum ActState {
    /// It waits: the reason (a load is pending).
    Queued {
        /// Why it waits.
        why: String,
        /// Since when.
        since: Moment,
    },
    /// It runs; `stage` says what it is doing.
    Running {
        /// What it is doing, such as `loading` or `waiting until it is gone`.
        stage: &'static str,
        /// Since when.
        since: Moment,
    },
    /// A snapshot showed it done.
    Done {
        /// From asking to done.
        took: Duration,
        /// When it was done.
        at: Moment,
    },
    /// It did not work: what the server said, or `cancelled`.
    Failed {
        /// Why.
        why: String,
        /// Whether the user cancelled it.
        cancelled: bool,
        /// When it failed.
        at: Moment,
    },
}

impl Act {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ActState::Running { .. })
    }

    /// Whether it still runs or waits.
    pub fn is_live(&self) -> bool {
        matches!(self.state, ActState::Queued { .. } | ActState::Running { .. })
    }
}
