//! The snapshot: everything that is known at one moment, joined; the one thing front ends read.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::act::Act;
use super::bytes::Bytes;
use super::event::Event;
use super::expiry::Expiry;
use super::finding::Finding;
use super::fit::{Fit, Hits};
use super::guard::Keeping;
use super::hold::Held;
use super::host::{Card, Cards, Ram, Runner, used_on};
use super::keep_alive::KeepAlive;
use super::map::Map;
use super::name::ModelName;
use super::predict::Prediction;
use super::progress::LoadProgress;
use super::record::Past;
use super::tier::{Cached, Tiers};
use super::timing::{Moment, Reading};
use super::tune::Tuning;

/// Everything that is known at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was joined.
    pub at: Moment,
    /// The machine we run on.
    pub host: Host,
    /// The servers; one at first.
    pub servers: Vec<Server>,
    /// The last [`super::event::RING`] events, oldest first.
    pub events: VecDeque<Arc<Event>>,
    /// Acts that run, and those that ended lately, oldest first.
    pub acts: Vec<Act>,
    /// What the journal knows; empty before it was read, and where there is none.
    pub past: Arc<Past>,
    /// What acts by itself, and the pins.
    pub keeping: Keeping,
    /// What the uses in the journal say of each model's keep_alive, by model; `None` before they were read, and where
    /// there is none.
    pub tunings: Option<Arc<[Tuning]>>,
}

/// The machine we run on.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its memory, and how old the reading is; `None` before the first.
    pub ram: Option<Reading<Ram>>,
    /// Its cards; the moment is when the driver last answered.
    pub cards: Option<Reading<Cards>>,
    /// Files that this process keeps in RAM; they count as its own memory.
    pub holds: Bytes,
}

impl Host {
    /// Its cards; none where they are not known.
    pub fn card_list(&self) -> &[Card] {
        self.cards.as_ref().map_or(&[][..], |reading| reading.value.list())
    }

    /// What a process has on all cards; `None` where the driver says nothing of it.
    pub fn on_cards(&self, pid: u32) -> Option<Bytes> {
        let cards = self.card_list();
        let is_named = |card: &Card| card.processes.iter().any(|one| one.pid == pid && one.used.is_some());
        cards.iter().any(is_named).then(|| used_on(cards, pid))
    }
}

/// One server and its models.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens, such as `http://127.0.0.1:11434`.
    pub url: String,
    /// Whether it answers.
    pub reach: Reach,
    /// What it calls itself; untrusted text.
    pub version: Option<String>,
    /// Whether it runs on this machine: only then are RAM and disk readable.
    pub local: bool,
    /// The scale of the embedded demo server (16 for 1:16); `None` for a real one.
    pub demo_scale: Option<u64>,
    /// Where its models lie, if that was found.
    pub models_dir: Option<PathBuf>,
    /// Why the models directory is unknown, if it is.
    pub models_dir_unknown: Option<String>,
    /// Whose the files there are, where they are not ours: a user's name, or `#` and a number.
    pub files_owner: Option<String>,
    /// All models: the preload list in its order, then by name.
    pub models: Vec<Model>,
    /// What is wrong with it or with how it is used, the worst first; `None` before enough was seen to judge.
    pub findings: Option<Arc<[Finding]>>,
    /// When `/api/ps` last answered; `None` before the first.
    pub ps_at: Option<Moment>,
    /// When `/api/tags` last answered.
    pub tags_at: Option<Moment>,
    /// How many runner processes the last look found; `None` before it, and where nobody looks.
    pub runners: Option<usize>,
}

impl Server {
    /// The model of that name.
    pub fn model(&self, name: &ModelName) -> Option<&Model> {
        self.models.iter().find(|model| model.name == *name)
    }
}

/// Whether a server answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// Not asked yet.
    Connecting,
    /// It answers.
    Up {
        /// How long the last answer took.
        latency: Duration,
    },
    /// The last question is unanswered for longer than usual: busy with a load or an unload.
    Slow {
        /// Since when.
        since: Moment,
    },
    /// It does not answer.
    Down {
        /// Since when.
        since: Moment,
        /// Something answers there, but not as an Ollama server does.
        answers: bool,
        /// Why.
        why: String,
    },
}

/// One installed (or loaded) model, joined from all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: ModelName,
    /// Digest of its manifest, 64 hex digits.
    pub digest: String,
    /// On disk, as the server reports it.
    pub size: Bytes,
    /// What the server says of it.
    pub details: Details,
    /// Its place in the preload list, from 0.
    pub listed: Option<usize>,
    /// What state it is in.
    pub state: State,
    /// It is pinned: its keep_alive is for ever.
    pub pinned: bool,
    /// The user wishes it pinned, whatever its keep_alive is now.
    pub wished: bool,
    /// Where its bytes are.
    pub tiers: Tiers,
    /// How much of its blobs is in the page cache.
    pub cached: Cached,
    /// When that was read.
    pub cached_at: Option<Moment>,
    /// How much it was, in whole percents, oldest first; empty while that never changed.
    pub ram_history: Arc<[u8]>,
    /// Where it is loaded.
    pub loaded: Option<Loaded>,
    /// While it comes or goes: what its runner has on the cards, where the driver says so.
    pub arriving: Bytes,
    /// While a load of it is under way: how far it is, where that can be told.
    pub progress: Option<LoadProgress>,
    /// What keeps its files in RAM.
    pub kept: Option<Kept>,
    /// Its files, as far as they are known.
    pub blobs: Vec<Blob>,
    /// Other names of the same weights.
    pub shared_with: Vec<ModelName>,
    /// What loading it would do (a forecast: shown with `~`); `None` where it cannot be told.
    pub forecast: Option<super::forecast::Forecast>,
    /// What it would come to: its size, and what of it would be on which card; known whenever `forecast` is.
    pub fit: Option<Fit>,
    /// How forecasts of its loads turned out.
    pub hits: Hits,
    /// How long it would take to be in VRAM from where it is now, learned from loads before; `None` where nothing was
    /// learned yet, and for one that is there.
    pub to_vram: Option<Prediction>,
}

/// From this share of its bytes in RAM on, a load needs (nearly) no disk; the page cache drops a page here and there.
pub const PRELOADED_PERCENT: u8 = 95;

impl Model {
    /// Why it is not to leave VRAM unasked, in a word or two: it is pinned, or meant to be.
    pub fn pin_word(&self) -> Option<&'static str> {
        match (self.pinned, self.wished) {
            (true, _) => Some("pinned"),
            (false, true) => Some("listed as pinned"),
            (false, false) => None,
        }
    }

    /// What the server says of it where a living runner holds it.
    pub fn living(&self) -> Option<&Loaded> {
        self.loaded.as_ref().filter(|_| self.state != State::Ghost)
    }

    /// Whether a living runner holds it.
    pub fn has_runner(&self) -> bool {
        self.living().is_some()
    }

    /// Whether it is loaded, or (nearly) all of it is in RAM, so that its load need not wait for the disk.
    pub fn needs_no_disk(&self) -> bool {
        self.has_runner() || self.tiers.ram.percent_of(self.tiers.whole()) >= PRELOADED_PERCENT
    }

    /// A model of which nothing but its name is known.
    pub fn named(name: ModelName) -> Model {
        Model {
            name,
            digest: String::new(),
            size: Bytes::ZERO,
            details: Details::default(),
            listed: None,
            state: State::NotLoaded,
            pinned: false,
            wished: false,
            tiers: Tiers::default(),
            cached: Cached::Unread,
            cached_at: None,
            loaded: None,
            arriving: Bytes::ZERO,
            progress: None,
            ram_history: Arc::default(),
            kept: None,
            blobs: Vec::new(),
            shared_with: Vec::new(),
            forecast: None,
            fit: None,
            hits: Hits::default(),
            to_vram: None,
        }
    }
}

/// What the server says of a model; all of it untrusted and optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// `gguf` or `safetensors`.
    pub format: String,
    /// Architecture family.
    pub family: String,
    /// Such as `7.6B`.
    pub parameters: String,
    /// Such as `Q4_K_M`.
    pub quantisation: String,
    /// `completion`, `embedding`, `vision`, …
    pub capabilities: Vec<String>,
    /// The context it was trained for.
    pub train_context: Option<u64>,
    /// It runs in the cloud: never loaded or unloaded by us.
    pub remote_host: Option<String>,
}

impl Details {
    /// Whether it can only embed, so that it loads through `/api/embed`.
    pub fn is_embedding_only(&self) -> bool {
        self.capabilities.iter().any(|c| c == "embedding")
            && !self.capabilities.iter().any(|c| c == "completion")
    }
}

/// A model in VRAM.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// All its buffers, on the card and in RAM, as the server reports.
    pub size: Bytes,
    /// Those on the card.
    pub size_vram: Bytes,
    /// The context length it runs with.
    pub context: Option<u64>,
    /// When it will go.
    pub expiry: Expiry,
    /// Its keep_alive, learned from how far `expires_at` jumped.
    pub keep_alive: Option<KeepAlive>,
    /// Its process, where that is visible.
    pub runner: Option<Runner>,
}

impl Loaded {
    /// What of its time is left at `now`, to be given back after it had to go for a while: never more than it had. Of one
    /// whose time is past, or not said, it is its whole keep_alive.
    pub fn left(&self, now: Moment) -> Option<KeepAlive> {
        match self.expiry {
            Expiry::Never => Some(KeepAlive::Forever),
            Expiry::At(_) if !self.expiry.is_past(now.wall) => {
                let seconds = self.expiry.remaining(now)?.as_secs().max(1);
                Some(KeepAlive::For(Duration::from_secs(seconds)))
            }
            Expiry::At(_) | Expiry::Unknown => self.keep_alive.filter(|whole| !whole.is_forever()),
        }
    }
}

/// How a model is kept in RAM by this process, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Asked for by name: until it is released, whatever its countdown says.
    pub held: bool,
    /// When it is let go unless it is used; `None` is never.
    pub ends: Option<Moment>,
    /// The whole of that time.
    pub total: Option<Duration>,
    /// How, and how much of its files; `None` before the first look.
    pub files: Option<Held>,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:…`
    pub digest: String,
    /// `weights`, `projector`, `adapter`, `draft`, `tensor`.
    pub role: &'static str,
    /// Its size.
    pub size: Bytes,
    /// Where it lies, if it is on this machine.
    pub path: Option<PathBuf>,
    /// How much of it is in the page cache.
    pub cached: Cached,
    /// Which parts of it, where that is known.
    pub map: Option<Map>,
}

/// What state a model is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not loaded, (next to) nothing of it in RAM.
    OnDisk,
    /// Not loaded; this much of it is in RAM.
    InRam {
        /// Whole percent.
        percent: u8,
        /// From samples: shown with `~`.
        estimate: bool,
    },
    /// Not loaded; whether RAM holds it cannot be read.
    NotLoaded,
    /// A load of it is under way.
    Loading {
        /// Since when it was seen.
        since: Moment,
        /// Whether we asked for it.
        ours: bool,
    },
    /// Loaded, not working.
    Idle,
    /// Loaded and working on a request.
    Busy,
    /// Loaded, its time is past: busy or unloading, the server does not say which.
    BusyOrUnloading,
    /// We asked for its unload and it is still there.
    Unloading,
    /// Its time is past, it is idle, and the server has not let it go.
    Overdue,
    /// The server lists it but its runner is dead.
    Ghost,
    /// Installed on the server, but its files are not on this machine.
    NotHere,
    /// It runs in the cloud.
    Cloud,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_more_than_it_had() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Moment { mono: std::time::Instant::now(), wall: "2026-11-25T12:00:00Z".parse().unwrap() };
        let at = |text: &str| Expiry::At(text.parse().unwrap());
        let seconds = |seconds| Some(KeepAlive::For(Duration::from_secs(seconds)));
        for (expiry, left) in [
            (Expiry::Never, Some(KeepAlive::Forever)),
            (at("2026-11-25T12:05:00.9Z"), seconds(300)),
            (at("2026-11-25T12:00:00.2Z"), seconds(1)),
            (at("2026-11-25T11:59:59Z"), seconds(3600)),
            (Expiry::Unknown, seconds(3600)),
        ] {
            let loaded = Loaded {
                size: Bytes::ZERO,
                size_vram: Bytes::ZERO,
                context: None,
                expiry,
                keep_alive: seconds(3600),
                runner: None,
            };
            assert_eq!(loaded.left(now), left, "{expiry:?}");
        }
    }
}
