//! Events: what happened, numbered, for the log on the screen and (later) the journal.

use std::time::Duration;

use super::bytes::Bytes;
use super::keep_alive::KeepAlive;
use super::name::ModelName;
use super::timing::Moment;

/// How many events a snapshot carries.
pub const RING: usize = 512;

/// Why a model is released when another instance drops it.
pub const DROPPED_BY_ANOTHER: &str = "another resident asked for it";

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counts up from 1 without gaps.
    pub number: u64,
    /// When it was seen.
    pub at: Moment,
    /// The model it happened to, if one.
    pub model: Option<ModelName>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A model was installed while we watched.
    Appeared,
    /// A model was removed from the server.
    Removed,
    /// A load began; ours or another client's.
    Loading {
        /// Whether we asked for it.
        ours: bool,
    },
    /// It is in VRAM now.
    Loaded {
        /// How long it took, where the start was seen.
        took: Option<Duration>,
        /// Percent of it that was in RAM when the load began, where known.
        from_ram: Option<u8>,
        /// Whether we asked for it.
        ours: bool,
    },
    /// It left VRAM because somebody asked.
    Unloaded {
        /// From asking to gone, if we asked.
        took: Option<Duration>,
    },
    /// The server threw it out for another model.
    Evicted {
        /// The model it made room for, where that is known.
        by: Option<ModelName>,
    },
    /// Its keep_alive ran out.
    Expired,
    /// It left VRAM, and nobody can say why.
    Left,
    /// It was loaded when the server went, and is not since it came back.
    LostWithServer,
    /// Its runner is gone though the server still lists it.
    RunnerDied,
    /// It is pinned now.
    Pinned,
    /// It is no longer pinned, by us.
    Unpinned,
    /// Another client overwrote the pin.
    PinOverridden {
        /// What it is now.
        to: KeepAlive,
    },
    /// Its keep_alive was restarted or changed by us.
    Touched {
        /// What it is now, where that is known.
        keep_alive: Option<KeepAlive>,
    },
    /// Its files were brought into RAM.
    Warmed {
        /// From the first byte asked to the last one there.
        took: Duration,
        /// What came from the disk.
        read: Bytes,
        /// Percent of it that is in RAM, read again afterwards; `None` where that cannot be read.
        percent: Option<u8>,
        /// That is from samples.
        estimate: bool,
    },
    /// Its files were taken out of RAM.
    Dropped {
        /// What was there before.
        was: Bytes,
        /// What is still there.
        left: Bytes,
    },
    /// Its files are kept in RAM until they are released.
    Held,
    /// Its files are no longer kept in RAM.
    Released {
        /// Why, if nobody asked for it here.
        why: Option<String>,
    },
    /// The kernel took a part of it out of RAM.
    Faded {
        /// Percent that was there.
        from: u8,
        /// Percent that is left.
        to: u8,
    },
    /// Something that the user should know of the server before relying on what is in RAM.
    Warned {
        /// What, and what to do.
        why: String,
    },
    /// What keeps it in RAM has trouble.
    HoldTrouble {
        /// What, and what to do.
        why: String,
    },
    /// An act did not work.
    Failed {
        /// What was asked.
        verb: &'static str,
        /// Why.
        why: String,
    },
    /// An act was cancelled by the user.
    Cancelled {
        /// What was asked.
        verb: &'static str,
        /// During what, and what is loaded now, of a load or a swap.
        left: Option<String>,
    },
    /// The primary model comes back by itself: an agent's run is over.
    Returns {
        /// For so long nothing was used.
        after: Duration,
    },
    /// It is loaded by itself: by the config it is pinned.
    BringsIn,
    /// It is brought back by itself: it is pinned, and left VRAM.
    BringsBack {
        /// What was loaded in its place, where that is known.
        by: Option<ModelName>,
        /// The how manieth time lately, from 1.
        time: u32,
        /// After so many it is given up.
        of: u32,
    },
    /// It is pinned, and brought back no more.
    PinGivenUp {
        /// What was loaded in its place, where that is known.
        by: Option<ModelName>,
        /// How often.
        times: u32,
    },
    /// It is in use: its countdown is restarted by itself from now on, until nobody has used it for so long.
    Refreshes {
        /// The config's `keep_alive`.
        until: KeepAlive,
    },
    /// Start-up has it ready in VRAM.
    Ready {
        /// How long that took.
        took: Duration,
    },
    /// Start-up found it where it is to be.
    There,
    /// Start-up did not find it.
    NotInstalled,
    /// Start-up does not move it yet.
    StartupWaits {
        /// What is in the way.
        why: String,
    },
    /// Start-up is over.
    StartupOver {
        /// How long it took.
        took: Duration,
        /// So many models are where they are to be.
        ready: usize,
        /// Of so many.
        all: usize,
    },
    /// What acts by itself was stopped here, or goes on.
    HandsOff(bool),
    /// The server stopped answering.
    ServerGone {
        /// Why.
        why: String,
    },
    /// The server answers again.
    ServerBack {
        /// How long it was gone.
        after: Duration,
    },
}
