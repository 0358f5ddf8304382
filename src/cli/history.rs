//! `history`: what happened, from the journal: a table, JSON or CSV. Needs no server and starts no engine.

mod document;
mod sheet;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub use self::document::{SCHEMA_VERSION, csv, day_csv, day_json, json};
pub(super) use self::sheet::when;
pub use self::sheet::{day_line, nothing, table};
use super::out::Out;
use super::{Cli, Exit, Flags, demo, state};
use crate::journal::history::{self, Query};
use crate::residency::keep_alive::parse_duration;
use crate::residency::name::ModelName;
use crate::residency::record::server_name;

/// So many records are printed, unless it is said how many or since when.
const LIMIT: usize = 100;

/// What one call of `history` asks for.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Asked {
    /// Only these models
    #[arg(value_name = "MODEL", value_parser = super::args::model)]
    pub models: Vec<ModelName>,
    /// Only what happened since then: 2h, 7d, 2026-11-24 or 2026-11-24T15:30
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
    /// The latest so many; 100 unless --since is given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// What of it
    #[arg(long, value_enum, default_value_t)]
    pub kind: Kind,
    /// Only the sum of today's swaps, in one line
    #[arg(long, conflicts_with_all = ["models", "since", "limit", "kind"])]
    pub today: bool,
    /// Answer in CSV
    #[arg(long)]
    pub csv: bool,
}

impl Asked {
    /// Said where there is nothing.
    fn nothing(&self, server: &str) -> String {
        let what = match self.kind {
            Kind::Swaps => "swaps",
            Kind::Left => "departures",
            Kind::Used => "uses",
            Kind::Phases => "phases",
            Kind::All => "events",
        };
        nothing(what, server, &self.models, self.since.is_some())
    }
}

/// What of the journal is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Kind {
    /// Loads and swaps
    #[default]
    Swaps,
    /// How models left VRAM
    Left,
    /// When models were used
    Used,
    /// Phases of workflows and of agents
    Phases,
    /// All of these
    All,
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// At that time of the clock on the wall.
    At(DateTime),
}

fn since(text: &str) -> Result<Since, &'static str> {
    let ago = || parse_duration(text).map(Since::Ago);
    let at = || text.trim().parse().ok().map(Since::At);
    ago().or_else(at).ok_or("write 2h, 7d, 2026-11-24 or 2026-11-24T15:30")
}

impl Since {
    fn timestamp(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Since::Ago(ago) => now.saturating_sub(ago).unwrap_or(Timestamp::MIN),
            Since::At(at) => zone.to_timestamp(at).unwrap_or(Timestamp::MIN),
        }
    }
}

/// The subcommand: from the file alone.
pub async fn print(
    asked: &Asked,
    cli: &Cli,
    url: &str,
    now: Timestamp,
    columns: Option<usize>,
) -> anyhow::Result<Exit> {
    let demo = cli.wants_demo().then(|| cli.flags.demo_scale.unwrap_or(demo::SCALE));
    let path = state::journal_path(demo.is_some()).context("no home directory: set XDG_STATE_HOME")?;
    let (server, zone) = (server_name(url, demo), TimeZone::system());
    let place = Place { path: &path, server: &server, now, zone: &zone, columns };
    let (mut results, mut remarks) = (std::io::stdout(), std::io::stderr());
    let mut out = Out::new(&mut results, &mut remarks);
    Ok(run(asked, &cli.flags, place, &mut out).await)
}

/// Where and when it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The journal.
    pub path: &'a Path,
    /// What the journal calls the server.
    pub server: &'a str,
    /// Now.
    pub now: Timestamp,
    /// In which times are printed, and days begin.
    pub zone: &'a TimeZone,
    /// Columns of the terminal; `None` if stdout is none: nothing is cut then.
    pub columns: Option<usize>,
}

/// Prints what the journal knows.
pub async fn run(asked: &Asked, flags: &Flags, place: Place<'_>, out: &mut Out<'_>) -> Exit {
    let answer =
        if asked.today { today(asked, flags, place).await } else { records(asked, flags, place).await };
    let printed = answer.and_then(|text| out.result(&text).map_err(|error| error.to_string()));
    if let Err(why) = printed {
        out.remark(&why);
        return Exit::Failed;
    }
    Exit::Done
}

async fn today(asked: &Asked, flags: &Flags, place: Place<'_>) -> Result<String, String> {
    let Place { path, server, now, zone, .. } = place;
    let day = answer(history::day(path, server.to_owned(), zone.clone(), now)).await?;
    Ok(match () {
        () if flags.json => super::status::pretty(&day_json(server, &day)),
        () if asked.csv => day_csv(&day),
        () => day_line(&day),
    })
}

async fn records(asked: &Asked, flags: &Flags, place: Place<'_>) -> Result<String, String> {
    let unlimited = if asked.since.is_some() { usize::MAX } else { LIMIT };
    let query = Query {
        server: place.server.to_owned(),
        models: asked.models.clone(),
        since: asked.since.map(|since| since.timestamp(place.now, place.zone)),
        kind: match asked.kind {
            Kind::Swaps => history::Kind::Swaps,
            Kind::Left => history::Kind::Left,
            Kind::Used => history::Kind::Used,
            Kind::Phases => history::Kind::Phases,
            Kind::All => history::Kind::All,
        },
        limit: asked.limit.map_or(unlimited, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    };
    let records = answer(history::records(place.path, query)).await?;
    Ok(match () {
        () if flags.json => super::status::pretty(&json(place.server, &records)),
        () if asked.csv => csv(&records),
        () if records.is_empty() => asked.nothing(place.server),
        () => table(&records, place.now, place.zone, place.columns),
    })
}

async fn answer<T>(asked: std::io::Result<history::Answer<T>>) -> Result<T, String> {
    let asked = asked.map_err(|error| format!("the journal cannot be read: {error}"))?;
    asked.await.unwrap_or_else(|_| Err("the journal gave no answer".to_owned()))
}

#[cfg(test)]
mod tests;
