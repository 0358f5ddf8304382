//! A workflow as it runs: each step's model, swap and work with their times; what the panel and `--json` show.

use std::sync::Arc;
use std::time::Duration;

use super::bytes::Bytes;
use super::name::ModelName;
use super::swap::Swapping;
use super::timing::Moment;

/// One run of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// The workflow's name.
    pub name: String,
    /// Which run this is, from 1.
    pub run: u32,
    /// Of how many, in a comparison.
    pub of: u32,
    /// How its models come near.
    pub manner: Manner,
    /// When it began.
    pub began: Moment,
    /// How far it is.
    pub state: FlowState,
    /// Its steps, in their order; those only run on failure after the step they belong to.
    pub steps: Vec<FlowStep>,
    /// Time spent working so far.
    pub work: Duration,
    /// Time spent waiting for models so far.
    pub swaps: Duration,
    /// What lookahead read while work ran for loads that came: how much, and how long they would have waited for it.
    pub hidden: (Bytes, Duration),
    /// What lookahead did, step by step, newest last: for the table.
    pub ahead: Vec<Ahead>,
    /// The whole time of this workflow's last run, if there was one.
    pub last: Option<Duration>,
    /// The work's times are this many times smaller than written (the demo's scale).
    pub scale: u64,
}

/// How models come near in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Their files are dropped before each swap: every swap waits for the disk.
    Cold,
    /// All are in RAM before the run.
    Warm,
    /// Cold at first, and the next phases' models are read while a phase works.
    Lookahead,
}

impl Manner {
    /// All of them.
    pub const ALL: [Manner; 3] = [Manner::Cold, Manner::Warm, Manner::Lookahead];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Manner::Cold => "cold",
            Manner::Warm => "warm",
            Manner::Lookahead => "lookahead",
        }
    }
}

impl std::str::FromStr for Manner {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Manner, Self::Err> {
        Manner::ALL.into_iter().find(|manner| manner.word() == text).ok_or("write cold, warm or lookahead")
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowState {
    /// It runs.
    Running,
    /// It goes on when it is told to; what was begun ends.
    Paused,
    /// All steps are done.
    Done {
        /// The whole time.
        took: Duration,
    },
    /// It did not get to its end.
    Failed {
        /// Why.
        why: String,
    },
    /// The user ended it.
    Cancelled,
}

impl FlowState {
    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        !matches!(self, FlowState::Running | FlowState::Paused)
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowStep {
    /// Its phase.
    pub phase: String,
    /// Its model.
    pub model: ModelName,
    /// It only runs if the step before it fails.
    pub on_failure: bool,
    /// How far it is.
    pub state: StepState,
    /// When its swap began, from the run's beginning, and how long it took so far.
    pub swap: Option<(Duration, Duration)>,
    /// The swap's stages.
    pub swapping: Option<Arc<Swapping>>,
    /// When its work began, from the run's beginning, and how long it took so far.
    pub work: Option<(Duration, Duration)>,
    /// How long its work will take, where that is set.
    pub planned: Option<Duration>,
    /// Tokens that a prompt gave, and the time to its first one.
    pub tokens: Option<(u64, Duration)>,
    /// The same step's swap and work in the last run.
    pub last: Option<(Duration, Duration)>,
    /// How much of its model is read, while it is read for later, in percent.
    pub warming: Option<u8>,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Not its turn.
    Waiting,
    /// Its model is made ready, since then.
    Swapping(Moment),
    /// It works, since then.
    Working(Moment),
    /// Done.
    Done,
    /// Its work failed, or was marked so.
    Failed {
        /// Why.
        why: String,
    },
    /// Skipped by the user, or not needed.
    Skipped,
}

/// One thing that lookahead did.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// While which step worked.
    pub during: usize,
    /// For which model.
    pub model: ModelName,
    /// What.
    pub did: AheadDid,
}

/// What lookahead did.
#[derive(Debug, Clone, PartialEq)]
pub enum AheadDid {
    /// It read so much, in so long.
    Warmed {
        /// From the disk.
        read: Bytes,
        /// In this time.
        took: Duration,
    },
    /// All of it was in RAM already.
    Kept,
    /// It did not: why.
    Refused {
        /// Such as the budget's sentence.
        why: String,
    },
}
