//! What subcommands are asked with: models, one to swap in, a workflow, how long to wait.

use std::time::Duration;

use clap::Args;

use super::bench;
use crate::residency::flow::Manner;
use crate::residency::keep_alive::{KeepAlive, parse_duration};
use crate::residency::name::{ModelName, NameError};
use crate::residency::swap::Way;

/// Which models, and how long to wait for them.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Models {
    /// Names as Ollama writes them, such as qwen2.5-coder:7b
    #[arg(required = true, value_name = "MODEL", value_parser = model)]
    pub models: Vec<ModelName>,
    /// Give up after this long, such as 90s or 5m
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Duration>,
}

/// Which models, and how long each is to stay after its last use.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Stay {
    /// How long, such as 30m or 2h; for ever is a pin, and 0 an unload
    #[arg(value_name = "TIME", value_parser = stay, allow_negative_numbers = true)]
    pub time: KeepAlive,
    /// Which.
    #[command(flatten)]
    pub models: Models,
}

/// Which model, and how it is made ready.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Swap {
    /// Its name as Ollama writes it, such as qwen2.5-coder:7b
    #[arg(value_name = "MODEL", value_parser = model)]
    pub model: ModelName,
    /// Read its files ahead of the server: off, first (before the unload) or beside (with the load); what was fastest
    /// here unless said
    #[arg(long, value_name = "WAY", value_parser = way)]
    pub warm: Option<Way>,
    /// Load it with this context, in tokens; loads it anew if it runs with another one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub num_ctx: Option<u64>,
    /// Ask for one token after the load, and time it too
    #[arg(long)]
    pub first_token: bool,
    /// If it fails, load what it had unloaded again
    #[arg(long)]
    pub restore: bool,
    /// Give up after this long, such as 90s or 5m
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Duration>,
}

/// Which workflow is run, and how.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Flow {
    /// The workflow's name in the config; without one they are listed
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// How models come near: lookahead (the next ones are read while a step works), warm (all are read first) or cold
    /// (each is dropped from RAM before its swap)
    #[arg(long, value_name = "MANNER", default_value = "lookahead")]
    pub manner: Manner,
    /// How many times; a workflow that repeats goes on until Ctrl-C unless this is given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: Option<u32>,
    /// Run it cold, warm and with lookahead, interleaved, and print them beside each other; asks first
    #[arg(long, conflicts_with = "manner")]
    pub compare: bool,
    /// How a comparison is made and printed.
    #[command(flatten)]
    pub print: bench::Print,
}

/// Models by name, or those of the preload list.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Listed {
    /// Names as Ollama writes them, such as qwen2.5-coder:7b
    #[arg(required_unless_present = "all", value_name = "MODEL", value_parser = model)]
    pub models: Vec<ModelName>,
    /// All models of the config's preload list
    #[arg(long, conflicts_with = "models")]
    pub all: bool,
    /// Give up after this long, such as 90s or 5m
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Duration>,
}

impl Listed {
    /// The models that are meant, with `preload` as the config's list.
    pub fn resolved(&self, preload: &[ModelName]) -> Models {
        let models = if self.all { preload } else { &self.models };
        Models { models: models.to_vec(), timeout: self.timeout }
    }
}

pub(super) fn model(text: &str) -> Result<ModelName, NameError> {
    ModelName::parse(text)
}

pub(super) fn timeout(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).filter(|d| !d.is_zero()).ok_or("not a duration; write 90s, 5m or 1h30m")
}

/// What is another act is not done under this name: it asks first.
fn stay(text: &str) -> Result<KeepAlive, String> {
    match KeepAlive::parse(text).map_err(|_| "not a duration; write 30m or 2h".to_owned())? {
        KeepAlive::Forever => Err("for ever is a pin: resident pin MODEL".to_owned()),
        KeepAlive::For(Duration::ZERO) => Err("0 is an unload: resident unload MODEL".to_owned()),
        time @ KeepAlive::For(_) => Ok(time),
    }
}

fn way(text: &str) -> Result<Way, &'static str> {
    text.parse()
}
