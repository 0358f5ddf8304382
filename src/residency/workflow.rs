//! Workflows as they are run: the steps, what happens to them, and what is to be done; the machine is in [`course`].

pub mod course;

use std::sync::Arc;
use std::time::Duration;

use super::flow::Manner;
use super::name::ModelName;
use super::swap::Swapping;

/// What a step does once its model is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// It takes this long.
    For(Duration),
    /// The model answers a prompt.
    Prompt {
        /// What is asked.
        text: String,
        /// How many tokens at most; `None` until the model stops by itself.
        max_tokens: Option<u64>,
    },
    /// A program and its arguments; no shell reads them.
    Command(Vec<String>),
}

/// One step as it is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its phase.
    pub phase: String,
    /// Its model.
    pub model: ModelName,
    /// The context it needs.
    pub num_ctx: Option<u64>,
    /// What it does; nothing is done at once.
    pub work: Option<Work>,
    /// It only runs if the step before it that is not one of these fails.
    pub on_failure: bool,
}

/// What a person may do with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Begin no further step until it is told again; the step that has begun ends.
    Pause,
    /// Go on with the next step: this one is skipped.
    Skip,
    /// The work of this step has failed.
    Fail,
    /// End the run.
    Cancel,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The step's files are as the manner wants them.
    Prepared,
    /// How far the swap is.
    Swapping(Arc<Swapping>),
    /// The step's model is ready.
    Ready,
    /// It is not, and will not be.
    NotReady {
        /// Why.
        why: String,
    },
    /// The work is done; with its tokens and the time to the first one, if it was a prompt.
    Worked {
        /// How many, and when the first came.
        tokens: Option<(u64, Duration)>,
    },
    /// The work failed.
    WorkFailed {
        /// Why.
        why: String,
    },
    /// A person said so.
    Control(Control),
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Take the files of this step's model out of RAM, unless it is in VRAM.
    Prepare(usize),
    /// Make this step's model ready.
    MakeReady(usize),
    /// Begin this step's work.
    Work(usize),
    /// Stop what was begun for this step; it is answered no more.
    Stop(usize),
    /// One round of a workflow that repeats is over: it has begun again.
    Round,
    /// There is nothing more to do.
    Finished,
}

/// The times of the last run of the same workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Last {
    /// All of it.
    pub took: Duration,
    /// Each step's swap and work; `None` for one that did not run.
    pub steps: Vec<Option<(Duration, Duration)>>,
}

/// What a run is begun with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The workflow's name.
    pub name: String,
    /// Its steps.
    pub tasks: Vec<Task>,
    /// After the last step it begins again.
    pub repeat: bool,
    /// How its models come near.
    pub manner: Manner,
    /// Which run this is, and of how many.
    pub run: (u32, u32),
    /// Fixed times are divided by this.
    pub scale: u64,
    /// The last run.
    pub last: Option<Last>,
}

/// A fixed time, this many times smaller.
pub fn scaled(time: Duration, scale: u64) -> Duration {
    let nanos = time.as_nanos() / u128::from(scale.max(1));
    u64::try_from(nanos).map_or(time, Duration::from_nanos)
}
