//! `tune`: what the uses that the journal knows say about each model's keep_alive, as a table or JSON. Needs no server.

mod document;
mod sheet;

use std::path::Path;

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

pub use self::document::{SCHEMA_VERSION, json};
pub use self::sheet::{nothing, sheet};
use super::out::Out;
use super::{Cli, Exit, Flags, demo, state};
use crate::config::Config;
use crate::journal::history;
use crate::residency::name::ModelName;
use crate::residency::record::server_name;
use crate::residency::tune::Tuning;
use crate::residency::tune::generate::{Shape, generate};
use crate::residency::tune::policy::Rule;
use crate::residency::tune::trace::Trace;

/// What one call of `tune` asks for.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Asked {
    /// Only these models
    #[arg(value_name = "MODEL", value_parser = super::args::model)]
    pub models: Vec<ModelName>,
    /// Of the returns that can be waited for (by default those within an hour) so many percent find the model in VRAM; 95
    /// unless the config says otherwise
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,
    /// Not the journal's uses but generated ones of this shape, four weeks of them
    #[arg(long, value_enum, value_name = "SHAPE")]
    pub generate: Option<Generated>,
    /// What the generated uses are made from
    #[arg(long, value_name = "N", default_value_t = 1, requires = "generate")]
    pub seed: u64,
}

/// The shape of generated uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// Timers, nearly regular
    Periodic,
    /// A person's sessions
    Bursty,
    /// A few visits a day
    Rare,
    /// One model of each
    Mix,
}

impl From<Generated> for Shape {
    fn from(shape: Generated) -> Shape {
        match shape {
            Generated::Periodic => Shape::Periodic,
            Generated::Bursty => Shape::Bursty,
            Generated::Rare => Shape::Rare,
            Generated::Mix => Shape::Mix,
        }
    }
}

/// The subcommand: from the file alone.
pub async fn print(asked: &Asked, cli: &Cli, config: &Config, now: Timestamp) -> anyhow::Result<Exit> {
    let demo = cli.wants_demo().then(|| cli.flags.demo_scale.unwrap_or(demo::SCALE));
    let path = state::journal_path(demo.is_some()).context("no home directory: set XDG_STATE_HOME")?;
    let server = server_name(&config.url, demo);
    let (mut results, mut remarks) = (std::io::stdout(), std::io::stderr());
    let mut out = Out::new(&mut results, &mut remarks);
    Ok(run(asked, &cli.flags, Place { path: &path, server: &server, rule: config.tuning, now }, &mut out)
        .await)
}

/// Where and when it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The journal.
    pub path: &'a Path,
    /// What the journal calls the server.
    pub server: &'a str,
    /// How the config makes a keep_alive of uses.
    pub rule: Rule,
    /// Now.
    pub now: Timestamp,
}

/// Prints what the uses say that the journal knows.
pub async fn run(asked: &Asked, flags: &Flags, place: Place<'_>, out: &mut Out<'_>) -> Exit {
    let rule = Rule { percent: asked.percent.unwrap_or(place.rule.percent), ..place.rule };
    let printed = traces(asked, place).await.and_then(|traces| {
        let tunings: Vec<Tuning> = traces.iter().map(|trace| Tuning::of(trace, rule)).collect();
        let text = match () {
            () if flags.json => super::status::pretty(&json(place.server, rule, &tunings)),
            () if tunings.is_empty() => nothing(place.server, &asked.models),
            () => sheet(&tunings, flags.ascii),
        };
        out.result(&text).map_err(|error| error.to_string())
    });
    if let Err(why) = printed {
        out.remark(&why);
        return Exit::Failed;
    }
    Exit::Done
}

async fn traces(asked: &Asked, place: Place<'_>) -> Result<Vec<Trace>, String> {
    if let Some(shape) = asked.generate {
        return Ok(generated(asked, shape));
    }
    let Place { path, server, now, .. } = place;
    let answer = history::uses(path, server.to_owned(), asked.models.clone(), now)
        .map_err(|error| format!("the journal cannot be read: {error}"))?;
    answer.await.unwrap_or_else(|_| Err("the journal gave no answer".to_owned()))
}

fn generated(asked: &Asked, shape: Generated) -> Vec<Trace> {
    let wanted = |trace: &Trace| asked.models.is_empty() || asked.models.contains(&trace.model);
    generate(shape.into(), asked.seed).into_iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests;
