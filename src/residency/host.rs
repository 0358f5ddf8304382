//! The machine: RAM, cards and the runner processes on it, as they were read.

use super::bytes::Bytes;

/// Main memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ram {
    /// Installed, or the cgroup's limit where that is lower.
    pub total: Bytes,
    /// Held by programs: total less available.
    pub used: Bytes,
    /// What programs can still get without swapping (`MemAvailable`).
    pub available: Bytes,
    /// Not used for anything.
    pub free: Bytes,
    /// The page cache (`Cached` + `Buffers`, less shared memory).
    pub page_cache: Bytes,
    /// Swap space.
    pub swap_total: Bytes,
    /// Swap in use.
    pub swap_used: Bytes,
    /// The cgroup's limit, if one is lower than the machine.
    pub cgroup_limit: Option<Bytes>,
    /// We are in a container ourselves: an Ollama beside us counts page cache as used memory.
    pub contained: bool,
}

/// The cards, or why there are none to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Cards {
    /// Not read yet.
    Unread,
    /// Read; may be empty.
    Known(Vec<Card>),
    /// Not readable: the reason, such as `no NVIDIA driver`.
    Unknown(String),
}

impl Cards {
    /// The cards that are known.
    pub fn list(&self) -> &[Card] {
        match self {
            Cards::Known(cards) => cards,
            Cards::Unread | Cards::Unknown(_) => &[],
        }
    }
}

/// One card. What the driver does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// As the driver names it.
    pub name: String,
    /// All its memory.
    pub total: Bytes,
    /// In use by anybody.
    pub used: Bytes,
    /// Not in use.
    pub free: Bytes,
    /// Busy time of its cores, percent.
    pub utilisation: Option<u8>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
    /// Watts.
    pub power: Option<f32>,
    /// PCIe now and at most.
    pub pcie: Option<Pcie>,
    /// Bytes a second that the card receives over PCIe.
    pub receive_rate: Option<Bytes>,
    /// Memory by process.
    pub processes: Vec<CardProcess>,
    /// The card sleeps and was not woken to be asked.
    pub asleep: bool,
    /// It shares the machine's RAM.
    pub unified: bool,
}

impl Card {
    /// What a process has on it, where the driver says so.
    pub fn used_by(&self, pid: u32) -> Bytes {
        self.processes.iter().filter(|process| process.pid == pid).filter_map(|process| process.used).sum()
    }
}

/// What a process has on all of these cards together, where the driver says so.
pub fn used_on(cards: &[Card], pid: u32) -> Bytes {
    cards.iter().map(|card| card.used_by(pid)).sum()
}

/// A card's PCIe link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pcie {
    /// Generation now.
    pub generation: u32,
    /// Lanes now.
    pub width: u32,
    /// Highest generation of card and slot.
    pub max_generation: u32,
    /// Most lanes of card and slot.
    pub max_width: u32,
}

/// One process on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardProcess {
    /// Its process id.
    pub pid: u32,
    /// Its memory on this card; `None` where the driver hides it (WSL2).
    pub used: Option<Bytes>,
}

/// The runner processes, as they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runners {
    /// All of them, by pid.
    pub list: Vec<Runner>,
    /// The server's own process, where it is known and its children can be listed: then what is not among them is not
    /// there.
    pub server: Option<u32>,
}

impl std::ops::Deref for Runners {
    type Target = [Runner];

    fn deref(&self) -> &[Runner] {
        &self.list
    }
}

impl<'a> IntoIterator for &'a Runners {
    type Item = &'a Runner;
    type IntoIter = std::slice::Iter<'a, Runner>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// A runner: the server's child process that holds one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runner {
    /// Its process id.
    pub pid: u32,
    /// Its parent's: the server's.
    pub parent: Option<u32>,
    /// The blob in its argv (`--model`).
    pub blob: String,
    /// The loopback port it listens on.
    pub port: Option<u16>,
    /// How it reads the weights.
    pub load_mode: LoadMode,
    /// `-c` of its argv: context length times parallel slots.
    pub context: Option<u64>,
    /// `-np` of its argv: how many requests it works on at once.
    pub slots: Option<u32>,
    /// `-ngl` of its argv: layers on the card, a number or a word; untrusted text.
    pub gpu_layers: Option<String>,
    /// Anonymous memory of the process (`RssAnon`).
    pub anonymous: Bytes,
    /// File-backed memory of the process (`RssFile`).
    pub file_backed: Bytes,
    /// The server that started it has ended.
    pub left_behind: bool,
    /// It runs in a container, whose server counts page cache as used memory (discover/cpu_linux.go:64-74).
    pub contained: bool,
    /// Its `/health`: ready or still loading; `None` where it was not asked.
    pub ready: Option<bool>,
    /// Its `/slots`: working on a request; `None` where it was not asked.
    pub busy: Option<bool>,
    /// Its `/health` while it loads: percent, where it tells (servers before 0.30).
    pub told: Option<u8>,
    /// What it has read so far, while it loads; `None` where that may not be read: another user's process.
    pub read: Option<BytesRead>,
}

/// What a process has read since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BytesRead {
    /// By reading calls, from wherever (`rchar`): the page cache, the disk, past the cache.
    pub called: Bytes,
    /// From the disk on its behalf (`read_bytes`), also for what it has mapped.
    pub disk: Bytes,
}

/// How a runner reads weights, from its argv.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadMode {
    /// llama.cpp's default: mapped, through the page cache.
    Mmap,
    /// Buffered reads, through the page cache.
    Buffered,
    /// Direct I/O: RAM has no effect on the next load.
    Direct,
    /// The in-tree engine of servers before 0.30: parallel buffered reads.
    InTree,
    /// Not known.
    #[default]
    Unknown,
}
