//! The three tiers, and how many of a model's bytes are in each.

use super::bytes::Bytes;

/// Where bytes of a model can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// On the card.
    Vram,
    /// In RAM: the page cache, or the runner's own memory.
    Ram,
    /// Only on disk.
    Disk,
}

/// A model's bytes by tier; they sum to the size of its weights' files (the server's size counts a few hundred bytes of
/// templates and licences more). `unknown` is what could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tiers {
    /// On the card.
    pub vram: Bytes,
    /// In the runner's RAM or the page cache.
    pub ram: Bytes,
    /// Only on disk.
    pub disk: Bytes,
    /// Not readable: RAM or disk, nobody can say.
    pub unknown: Bytes,
}

impl Tiers {
    /// All bytes together.
    pub fn whole(&self) -> Bytes {
        self.vram + self.ram + self.disk + self.unknown
    }
}

/// How much of a file or a model is in the page cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cached {
    /// Not read yet.
    Unread,
    /// Counted by the kernel.
    Exact(Bytes),
    /// Estimated from samples: shown with `~`.
    Sampled(Bytes),
    /// The kernel hides it, or the file is not here: the reason.
    Unknown(String),
}

impl Cached {
    /// The bytes, if they are known at all.
    pub fn bytes(&self) -> Option<Bytes> {
        match self {
            Cached::Exact(bytes) | Cached::Sampled(bytes) => Some(*bytes),
            Cached::Unread | Cached::Unknown(_) => None,
        }
    }

    /// Whether it is an estimate.
    pub fn is_estimate(&self) -> bool {
        matches!(self, Cached::Sampled(_))
    }
}
