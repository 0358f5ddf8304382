//! Swaps and loads as they are timed: the plan, the stages with their clocks, and the end; the screen shows it live and
//! the journal keeps it.

use std::fmt;
use std::time::Duration;

use super::bytes::Bytes;
use super::name::ModelName;

/// What is asked of a swap beside its model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// The context that its load carries, in tokens; `None` is what the config or the last load says.
    pub num_ctx: Option<u64>,
    /// Whether and when its files are read ahead of the server; `None` is what measured fastest here.
    pub way: Option<Way>,
    /// Ask for one token after the load, so that the first one is timed too.
    pub first_token: bool,
    /// Nobody is there to be asked: rather fail than displace a model that is pinned or busy.
    pub spare: bool,
}

/// Whether our own reader helps a load that would wait for the disk, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Not at all: the server reads for itself.
    #[default]
    Off,
    /// All is read before the load is asked for.
    First,
    /// It reads beside the server's own reading.
    Beside,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 3] = [Way::Off, Way::First, Way::Beside];

    /// Its word on the command line and in the journal.
    pub fn word(self) -> &'static str {
        match self {
            Way::Off => "off",
            Way::First => "first",
            Way::Beside => "beside",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for Way {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Way, Self::Err> {
        Way::ALL.into_iter().find(|way| way.word() == text).ok_or("write off, first or beside")
    }
}

/// Where a model's bytes were when the act began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// All its files.
    pub whole: Bytes,
    /// It was in VRAM already.
    pub in_vram: bool,
    /// Of its files in RAM; `None` where that cannot be read.
    pub ram: Option<Bytes>,
    /// That is from samples.
    pub estimate: bool,
}

impl Before {
    /// What only the disk had; `None` where that cannot be read.
    pub fn disk(&self) -> Option<Bytes> {
        self.ram.map(|ram| self.whole.minus(ram))
    }
}

/// What a swap is going to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What must go for it to fit, in the forecast's order; where the server chooses, what was seen to have gone.
    pub goes: Vec<ModelName>,
    /// Others are loaded and nobody can say beforehand which of them the server will throw out.
    pub server_chooses: bool,
    /// What stays in VRAM beside it.
    pub stays: Vec<ModelName>,
    /// Whether its files are read ahead.
    pub way: Way,
    /// Where its bytes were.
    pub before: Before,
    /// The context that its load carries.
    pub num_ctx: Option<u64>,
}

impl Plan {
    /// What it does, in a few words: `a goes, b stays, 100 % in RAM`.
    pub fn words(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.goes.iter().map(|model| format!("{model} goes")));
        words.extend(self.stays.iter().map(|model| format!("{model} stays")));
        if let Some(ram) = self.before.ram {
            let about = if self.before.estimate { "~" } else { "" };
            words.push(format!("{about}{} % in RAM", ram.percent_of(self.before.whole)));
        } else {
            words.push("? % in RAM".to_owned());
        }
        match self.way {
            Way::Off => {}
            Way::First => words.push("read first".to_owned()),
            Way::Beside => words.push("read beside the load".to_owned()),
        }
        if self.before.in_vram {
            words.push("loaded anew".to_owned());
        }
        words.extend(self.num_ctx.map(|context| format!("context {context}")));
        words.join(", ")
    }
}

/// What each stage took; `None` is one that did not happen, is not over, or could not be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// How long it waited before it could do its own work: for acts before it, then for the work of a model that has to
    /// go.
    pub waited: Option<Duration>,
    /// From the first unload asked to the last one answered.
    pub unload: Option<Duration>,
    /// From the first unload asked until the server lists none of what had to go; from the load asked where the
    /// server chose.
    pub gone: Option<Duration>,
    /// From the first unload asked until the driver has their memory back.
    pub card_free: Option<Duration>,
    /// What our own reader brought from the disk.
    pub read: Option<Bytes>,
    /// And how long it read.
    pub read_took: Option<Duration>,
    /// From the load asked, or from when it waited for nobody any more, to its answer.
    pub load: Option<Duration>,
    /// What the server itself says the load took.
    pub server_load: Option<Duration>,
    /// From the first token asked to its coming.
    pub first_token: Option<Duration>,
    /// From the asking to ready (the load answered; the first token, where it was asked for).
    pub total: Option<Duration>,
}

/// What a swap is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Unloads are asked for.
    Unload,
    /// The files are read ahead of the load.
    Read,
    /// The load is asked for, and a model that has to go for it is at work.
    Wait,
    /// The load is asked for.
    Load,
    /// The first token is asked for.
    FirstToken,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 5] = [Stage::Unload, Stage::Read, Stage::Wait, Stage::Load, Stage::FirstToken];

    /// Its word on the screen and in the journal.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Unload => "unload",
            Stage::Read => "read",
            Stage::Wait => "wait",
            Stage::Load => "load",
            Stage::FirstToken => "first token",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The model is ready.
    Ready,
    /// It did not work.
    Failed {
        /// In which stage.
        stage: Stage,
        /// Why.
        why: String,
    },
    /// The user cancelled it.
    Cancelled {
        /// In which stage.
        stage: Stage,
    },
}

/// A swap as far as it is; what an [`super::act::Act`] of it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapping {
    /// What it does.
    pub plan: Plan,
    /// What took how long so far. `gone` and `card_free` may come after the end.
    pub stages: Stages,
    /// What it does now; `None` once it is over.
    pub stage: Option<Stage>,
    /// How it ended.
    pub ended: Option<Ended>,
    /// What went for it so far; `None` where the server chooses and that is not seen.
    pub went: Option<Vec<ModelName>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_said_in_a_few_words() {
        let names = |names: &[&str]| names.iter().map(|name| ModelName::from_server(name)).collect();
        let before = Before { whole: Bytes(1000), ram: Some(Bytes(1000)), ..Before::default() };
        let plan = Plan { goes: names(&["a:1b"]), stays: names(&["b:1b"]), before, ..Plan::default() };
        assert_eq!(plan.words(), "a:1b goes, b:1b stays, 100 % in RAM");
        let cold = Before { ram: Some(Bytes(200)), estimate: true, ..before };
        let plan = Plan { way: Way::Beside, before: cold, num_ctx: Some(8192), ..plan };
        assert_eq!(plan.words(), "a:1b goes, b:1b stays, ~20 % in RAM, read beside the load, context 8192");
        let anew = Before { ram: None, in_vram: true, ..before };
        let plan = Plan { goes: vec![], stays: vec![], way: Way::Off, before: anew, ..plan };
        assert_eq!(plan.words(), "? % in RAM, loaded anew, context 8192");
    }
}
