//! A bench as it runs: which loads it measures, what each took or why it was thrown away; what the screen and the
//! subcommand show.

use std::time::Duration;

use super::bytes::Bytes;
use super::host::LoadMode;
use super::name::ModelName;
use super::snapshot::{Model, Server, State};
use super::swap::{Before, Way};

/// Valid runs of each kind unless said otherwise; the median counts.
pub const RUNS: u32 = 3;

/// How long nothing is done before each run unless said otherwise.
pub const COOLDOWN: Duration = Duration::from_secs(1);

/// Why the loads of a model cannot be measured; `None` if they can.
pub fn why_not_measured(model: &Model) -> Option<&'static str> {
    match model.state {
        State::Cloud => Some("runs in the cloud"),
        State::NotHere => Some("has no files on this machine"),
        _ => None,
    }
}

/// Why nothing of a server can be measured; `None` if it can.
pub fn why_not_here(server: &Server) -> Option<&'static str> {
    (!server.local).then_some(
        "the server is on another machine: what is in its RAM cannot be read, so no run can be shown to be cold; run \
         resident there",
    )
}

/// What a bench will disturb, to be asked first.
pub fn question(server: &Server, models: &[ModelName], kinds: &[Kind], runs: u32) -> String {
    let loads = models.len() * kinds.len() * runs as usize;
    format!(
        "bench {}, and loads {loads} times; afterwards what was loaded and pinned comes back",
        disturbs(server, models)
    )
}

/// `unloads qwen2.5-coder:7b (pinned), drops llama3.1:8b from RAM again and again`.
pub(super) fn disturbs(server: &Server, models: &[ModelName]) -> String {
    let loaded: Vec<String> = server
        .models
        .iter()
        .filter(|model| model.loaded.is_some())
        .map(|model| if model.pinned { format!("{} (pinned)", model.name) } else { model.name.to_string() })
        .collect();
    let unloads = if loaded.is_empty() { String::new() } else { format!("unloads {}, ", loaded.join(", ")) };
    let names: Vec<String> = models.iter().map(ToString::to_string).collect();
    format!("{unloads}drops {} from RAM again and again", names.join(", "))
}

/// How a measured load begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing of it in RAM; its files are read ahead in that way.
    Cold(Way),
    /// All of it in RAM.
    Warm,
}

impl Kind {
    /// Cold and warm, as the server loads by itself.
    pub const PLAIN: [Kind; 2] = [Kind::Cold(Way::Off), Kind::Warm];
    /// Also with our reader before or beside the cold load.
    pub const WAYS: [Kind; 4] =
        [Kind::Cold(Way::Off), Kind::Cold(Way::First), Kind::Cold(Way::Beside), Kind::Warm];

    /// Its word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Cold(Way::Off) => "cold",
            Kind::Cold(Way::First) => "cold, read first",
            Kind::Cold(Way::Beside) => "cold, read beside",
            Kind::Warm => "warm",
        }
    }

    /// How its swap reads ahead.
    pub fn way(self) -> Way {
        match self {
            Kind::Cold(way) => way,
            Kind::Warm => Way::Off,
        }
    }
}

/// One load that was measured, or tried.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchRun {
    /// Which model.
    pub model: ModelName,
    /// How it began.
    pub kind: Kind,
    /// Which of its runs, from 1.
    pub round: u32,
    /// Where its bytes were when the load was asked for; `None` if it did not come to that.
    pub before: Option<Before>,
    /// How the runner reads its file, once that was seen.
    pub mode: LoadMode,
    /// From the load asked to its answer, with what was read before it; or why the run does not count.
    pub took: Result<Duration, String>,
}

impl BenchRun {
    /// All of the model's files.
    pub fn size(&self) -> Bytes {
        self.before.map(|before| before.whole).unwrap_or_default()
    }
}

/// What is measured at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    /// Which model.
    pub model: ModelName,
    /// How it is to begin.
    pub kind: Kind,
    /// Which of its runs, from 1.
    pub round: u32,
    /// What is done for it, such as `unloading` or `loading`.
    pub stage: &'static str,
}

/// How far a measurement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BenchState {
    /// It measures.
    Running,
    /// It has ended, and what was loaded, pinned and in RAM before comes back.
    PuttingBack,
    /// All runs are done.
    Done,
    /// It gave up.
    Failed {
        /// Why.
        why: String,
    },
    /// The user ended it.
    Cancelled,
}

impl BenchState {
    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        matches!(self, BenchState::Done | BenchState::Failed { .. } | BenchState::Cancelled)
    }
}

/// A bench.
#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    /// What is measured, in this order.
    pub models: Vec<ModelName>,
    /// How each load begins.
    pub kinds: Vec<Kind>,
    /// Valid runs of each.
    pub rounds: u32,
    /// How far it is.
    pub state: BenchState,
    /// What it measures now.
    pub doing: Option<Doing>,
    /// What was measured or thrown away, oldest first.
    pub runs: Vec<BenchRun>,
    /// What could not be put back, and why.
    pub left: Vec<String>,
}

impl Bench {
    /// How many valid runs there are, and how many there are to be.
    pub fn progress(&self) -> (usize, usize) {
        let valid = self.runs.iter().filter(|run| run.took.is_ok()).count();
        (valid, self.models.len() * self.kinds.len() * self.rounds as usize)
    }
}
