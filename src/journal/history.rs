//! History: what is asked of the journal beside the running of things, on a connection and a thread of its own. Works
//! while nothing else runs, changes nothing, and makes no file.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tokio::sync::oneshot;

pub use super::tally::Tally;
use super::{file, past, row, uses};
use crate::residency::name::ModelName;
use crate::residency::record::{Day, Happened, Record};
use crate::residency::text::printable;
use crate::residency::tune::trace::Trace;

/// How long it waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which kinds of records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Loads and swaps.
    #[default]
    Swaps,
    /// How models left VRAM.
    Left,
    /// When models were used.
    Used,
    /// Phases of workflows and of agents' work.
    Phases,
    /// All of these.
    All,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Of which server, as records name it.
    pub server: String,
    /// Only of these models; of all if there is none.
    pub models: Vec<ModelName>,
    /// Only what happened then or later.
    pub since: Option<Timestamp>,
    /// Only this kind.
    pub kind: Kind,
    /// The latest so many.
    pub limit: usize,
}

/// An answer that comes, or why it does not.
pub type Answer<T> = oneshot::Receiver<Result<T, String>>;

/// Asks for records, newest first. A journal that is not there has none.
pub fn records(path: &Path, query: Query) -> io::Result<Answer<Vec<Record>>> {
    ask(path, move |connection| read(connection, &query))
}

/// Asks for the sum of the day that `now` is in.
pub fn day(path: &Path, server: String, zone: TimeZone, now: Timestamp) -> io::Result<Answer<Day>> {
    ask(path, move |connection| match number(connection, &server)? {
        Some(server) => past::day_of(connection, server, &zone, now),
        None => Ok(Day::default()),
    })
}

/// Asks for the latest uses of each of these models (of all if there is none) up to `now`, by name. A model that was
/// never used has no trace.
pub fn uses(
    path: &Path,
    server: String,
    models: Vec<ModelName>,
    now: Timestamp,
) -> io::Result<Answer<Vec<Trace>>> {
    ask(path, move |connection| {
        let all = uses::traces(connection, &server, now)?;
        Ok(all.into_values().filter(|trace| models.is_empty() || models.contains(&trace.model)).collect())
    })
}

/// Counts all that ever happened on a server, on from what was counted before. What is counted once stays counted.
pub fn tally(path: &Path, server: String, before: Tally, now: Timestamp) -> io::Result<Answer<Tally>> {
    ask(path, move |connection| match number(connection, &server)? {
        Some(server) => before.read(connection, server, now),
        None => Ok(Tally::default()),
    })
}

fn ask<T: Default + Send + 'static>(
    path: &Path,
    what: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> io::Result<Answer<T>> {
    let path = path.to_owned();
    let (answer, asked) = oneshot::channel();
    thread::Builder::new().name("history".to_owned()).spawn(move || {
        let found = match open(&path) {
            Ok(Some(connection)) => what(&connection).map_err(|error| said(&path, &error)),
            Ok(None) => Ok(T::default()),
            Err(why) => Err(why),
        };
        // Who does not wait any more does not hear it.
        let _ = answer.send(found);
    })?;
    Ok(asked)
}

fn said(path: &Path, why: &impl std::fmt::Display) -> String {
    let path = path.to_string_lossy();
    format!("the journal cannot be read: {}: {}", printable(&path), file::in_short(&why.to_string()))
}

/// A connection that cannot change anything; `None` where there is nothing to read.
fn open(path: &Path) -> Result<Option<Connection>, String> {
    if !path.try_exists().map_err(|error| said(path, &error))? {
        return Ok(None);
    }
    let opened = || {
        // To read the log of changes, SQLite must be able to write beside the file; what is in it stays as it is.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "query_only", true)?;
        let version = file::version_of(&connection)?;
        Ok((connection, version))
    };
    match opened().map_err(|error: rusqlite::Error| said(path, &error))? {
        (_, Err(why)) => Err(said(path, &why)),
        // One of the time before anything was recorded, or just being made.
        (_, Ok(0 | 1)) => Ok(None),
        (connection, Ok(_)) => Ok(Some(connection)),
    }
}

/// The number of a server.
fn number(connection: &Connection, server: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT id FROM name WHERE text = ?1", [server], |row| row.get(0)).optional()
}

/// The columns of a swap; a file that no resident of this version has opened lacks the latest.
fn swap_columns(connection: &Connection) -> rusqlite::Result<String> {
    let waited = "SELECT count(*) FROM pragma_table_info('swap') WHERE name = 'waited'";
    let is_there = connection.query_row(waited, [], |row| row.get::<_, i64>(0))? > 0;
    Ok(if is_there { row::SWAP.to_owned() } else { row::SWAP.replace(" waited", " NULL AS waited") })
}

fn read(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Record>> {
    let Some(server) = number(connection, &query.server)? else { return Ok(Vec::new()) };
    let wants = |kind| query.kind == kind || query.kind == Kind::All;
    let mut found = Vec::new();
    if wants(Kind::Swaps) {
        let swaps = select(connection, server, query, ("swap", &swap_columns(connection)?), row::swap)?;
        found.extend(swaps.into_iter().map(|(at, swap)| (at, Happened::Swap(swap))));
    }
    if wants(Kind::Left) {
        found.extend(select(connection, server, query, ("gone", row::GONE), row::left)?);
    }
    if wants(Kind::Used) {
        found.extend(select(connection, server, query, ("used", row::USED), row::used)?);
    }
    if wants(Kind::Phases) {
        let phases = select(connection, server, query, ("phase", row::PHASE), row::phase)?;
        found.extend(phases.into_iter().map(|(at, phase)| (at, Happened::Phase(phase))));
    }
    found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    found.truncate(query.limit);
    let server = &query.server;
    Ok(found.into_iter().map(|(at, what)| Record { at, server: server.clone(), what }).collect())
}

fn select<T>(
    connection: &Connection,
    server: i64,
    query: &Query,
    (table, columns): (&str, &str),
    read: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    // As the server has it, names that differ only by case are one.
    let names: Vec<&str> = query.models.iter().map(ModelName::as_str).collect();
    let names = (!names.is_empty()).then(|| serde_json::Value::from(names).to_string());
    let since = query.since.map_or(i64::MIN, Timestamp::as_microsecond);
    connection
        .prepare(&format!(
            "SELECT {columns} FROM {table} WHERE server = ?1 AND at >= ?2 AND (?3 IS NULL OR {table}.model IN \
             (SELECT name.id FROM name JOIN json_each(?3) ON name.text = value COLLATE NOCASE)) \
             ORDER BY at DESC, id DESC LIMIT ?4"
        ))?
        .query_map(params![server, since, names, i64::try_from(query.limit).unwrap_or(i64::MAX)], read)?
        .collect()
}
