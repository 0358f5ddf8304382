//! Records: what the journal keeps of what happened, and the summary of it that the screen shows.

use std::time::Duration;

use jiff::Timestamp;

use super::bytes::Bytes;
use super::host::LoadMode;
use super::name::ModelName;
use super::swap::{Before, Ended, Stages, Way};

/// One thing that happened, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it was asked for, or seen first.
    pub at: Timestamp,
    /// On which server: its URL without user and password.
    pub server: String,
    /// What.
    pub what: Happened,
}

/// What the journal calls a server: its URL without user and password, one name for this machine's own; the demo, which
/// has another address each time, by its scale.
pub fn server_name(url: &str, demo_scale: Option<u64>) -> String {
    if let Some(scale) = demo_scale {
        return format!("demo 1:{scale}");
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix("localhost") {
        Some(port) if port.is_empty() || port.starts_with(':') => format!("127.0.0.1{port}"),
        _ => host.to_owned(),
    };
    format!("{scheme}://{host}{}", path.trim_end_matches('/'))
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A model was made ready in VRAM, or that failed.
    Swap(SwapRecord),
    /// A model left VRAM.
    Left {
        /// Which.
        model: ModelName,
        /// How.
        how: Left,
    },
    /// A model was used by somebody.
    Used {
        /// Which.
        model: ModelName,
        /// How long nobody had used it before; `None` at the first use that was seen.
        idle: Option<Duration>,
    },
    /// A phase of somebody's work began.
    Phase(PhaseRecord),
    /// A load was compared with what was foreseen of it.
    Foreseen(Foreseen),
}

/// A load or a swap.
#[derive(Debug, Clone, PartialEq)]
pub struct SwapRecord {
    /// What was to be in VRAM.
    pub model: ModelName,
    /// An act of ours, with exact stages; else another client's, timed by watching (`~`).
    pub ours: bool,
    /// What left VRAM for it; the model itself where its runner was ended for one with other options. `None` where that
    /// is not known.
    pub displaced: Option<Vec<ModelName>>,
    /// Where its bytes were.
    pub before: Before,
    /// Whether its files were read ahead.
    pub way: Way,
    /// How the runner reads its file.
    pub mode: LoadMode,
    /// The context it was loaded with.
    pub num_ctx: Option<u64>,
    /// What took how long.
    pub stages: Stages,
    /// How it ended.
    pub ended: Ended,
}

impl SwapRecord {
    /// Whether the model was made ready from the disk: at most a tenth of it was in RAM, as far as that is known.
    pub fn was_cold(&self) -> bool {
        let before = &self.before;
        let on_disk = before.ram.is_some_and(|ram| u128::from(ram.0) * 10 <= u128::from(before.whole.0));
        on_disk && !before.in_vram && before.whole > Bytes::ZERO && self.took().is_some()
    }

    /// How long it took to make the model ready; `None` where it did not become so, or nobody saw it begin.
    pub fn took(&self) -> Option<Duration> {
        self.stages.total.filter(|_| self.ended == Ended::Ready)
    }
}

/// How a model left VRAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Somebody asked for it.
    Unloaded,
    /// The server threw it out for another one.
    Evicted {
        /// For which, where that is known.
        by: Option<ModelName>,
    },
    /// Its keep_alive ran out.
    Expired,
    /// Its runner died.
    Died,
    /// Nobody can say.
    Unknown,
}

/// A phase of a workflow or of an agent's work, made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseRecord {
    /// Whose work: what the agent calls its run, or a workflow's own number.
    pub run: String,
    /// The phase; empty once the run is over.
    pub phase: String,
    /// Its model.
    pub model: Option<ModelName>,
    /// What comes next, if that was said.
    pub next: Option<ModelName>,
    /// How long it took to make the model ready; zero where it was already.
    pub swap: Duration,
}

/// What was foreseen of a load, and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// What was loaded.
    pub model: ModelName,
    /// With which context.
    pub num_ctx: Option<u64>,
    /// Whether those who went for it, and no others, were foreseen; `None` where that was not compared.
    pub right: Option<bool>,
    /// What it was to take on the cards, or of RAM where there are none; `None` where nothing was said.
    pub said: Option<Bytes>,
    /// What it took of that.
    pub took: Bytes,
    /// All its buffers.
    pub size: Bytes,
}

/// What the journal knows that the screen shows: read again when it changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// Today's swaps.
    pub today: Day,
    /// The latest loads and swaps of this server, newest first, at most [`Past::SWAPS`].
    pub swaps: Vec<(Timestamp, SwapRecord)>,
    /// Runs whose last phase is younger than a day, newest first; each run's phases oldest first.
    pub runs: Vec<Run>,
    /// When each model was last used by somebody else than us, within a day, as it was when the rest was read.
    pub used: Vec<(ModelName, Timestamp)>,
    /// The latest loads beside what was foreseen of them, newest first, at most [`Past::SWAPS`].
    pub forecasts: Vec<(Timestamp, Foreseen)>,
}

impl Past {
    /// How many swaps are kept at hand: what predictions are learned from.
    pub const SWAPS: usize = 500;
}

/// One day's swaps, by anybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Day {
    /// How many models were made ready.
    pub swaps: u32,
    /// How many of them nobody saw begin: they count in no time.
    pub not_timed: u32,
    /// How long that took together.
    pub waited: Duration,
    /// How long it would have taken with all of them on disk (computed: `~`); `None` where no cold one was seen.
    pub cold: Option<Duration>,
    /// The median.
    pub median: Option<Duration>,
}

/// An agent's run, as its phases were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What the agent calls it.
    pub run: String,
    /// Its phases, oldest first.
    pub phases: Vec<(Timestamp, PhaseRecord)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_name_without_secrets() {
        for (url, name) in [
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
            ("http://localhost:11434/", "http://127.0.0.1:11434"),
            ("https://me:secret@box/ollama/", "https://box/ollama"),
            ("http://localhost.example:1", "http://localhost.example:1"),
        ] {
            assert_eq!(server_name(url, None), name);
        }
        assert_eq!(server_name("http://127.0.0.1:40123", Some(16)), "demo 1:16");
    }
}
