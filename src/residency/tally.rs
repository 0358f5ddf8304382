//! The tally: everything that the journal ever counted of a server, for who keeps counters of it.

use std::time::Duration;

use super::bytes::Bytes;
use super::name::ModelName;

/// The longest times of the classes into which swaps are counted, in milliseconds; what took longer is in a
/// last one.
pub const CLASSES: [u64; 12] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000];

/// So many times something of one kind happened, and what that came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What.
    pub what: What,
    /// How often.
    pub times: u64,
    /// How long it took together, as far as it was timed.
    pub took: Duration,
    /// What our own reader brought from the disk for it.
    pub read: Bytes,
}

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A model was made ready in VRAM, or that failed. One that was there already does not count.
    Swap {
        /// Which.
        model: ModelName,
        /// By an act of ours, else by another client's.
        ours: bool,
        /// How it ended.
        end: End,
        /// Where its bytes were.
        from: Origin,
        /// The place in [`CLASSES`] of the time that it took, or their number where it was longer; `None` where
        /// it was not timed, or did not become ready.
        class: Option<usize>,
    },
    /// A model left VRAM.
    Left {
        /// Which.
        model: ModelName,
        /// How.
        how: How,
    },
    /// A model was used by somebody.
    Used {
        /// Which.
        model: ModelName,
    },
    /// A phase of a workflow or of an agent's work was made ready.
    Phase,
    /// A load was compared with what was foreseen of it.
    Foreseen {
        /// Whether those who went for it, and no others, were foreseen.
        right: bool,
    },
}

/// How a swap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The model was ready.
    Ready,
    /// It was not.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// Where a model's bytes were when its swap began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// At most a tenth in RAM.
    Disk,
    /// Nearly all in RAM.
    Ram,
    /// In between.
    Both,
    /// Nobody knows.
    Unknown,
}

/// How a model left VRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Somebody asked for it.
    Unloaded,
    /// The server threw it out for another one.
    Evicted,
    /// Its keep_alive ran out.
    Expired,
    /// Its runner died.
    Died,
    /// Nobody can say.
    Unknown,
}

impl End {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            End::Ready => "ready",
            End::Failed => "failed",
            End::Cancelled => "cancelled",
        }
    }
}

impl Origin {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Disk => "disk",
            Origin::Ram => "ram",
            Origin::Both => "both",
            Origin::Unknown => "unknown",
        }
    }
}

impl How {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            How::Unloaded => "unloaded",
            How::Evicted => "evicted",
            How::Expired => "expired",
            How::Died => "died",
            How::Unknown => "unknown",
        }
    }
}
