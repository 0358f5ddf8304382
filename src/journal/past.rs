//! The past as the screen shows it: today's swaps summed up, the latest swaps, the runs of the last day; read again
//! only when there is something new.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row;
use crate::residency::bytes::Bytes;
use crate::residency::day::Swapped;
use crate::residency::name::ModelName;
use crate::residency::record::{Day, Past, Run};

/// A run is shown until its last phase is so old.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So many phases are shown at most, of all runs together.
const PHASES: usize = 2000;
/// So many swaps from the disk say what cold would be.
const COLD: usize = 200;

/// Of which server the past is wanted, and what of it is known.
#[derive(Debug)]
pub(super) struct Recall {
    server: String,
    zone: TimeZone,
    /// The file's version at the last look; `None` to look again in any case.
    version: Option<i64>,
    /// What was in the file then.
    mark: Option<Mark>,
    /// The day that was today then.
    today: Option<Today>,
}

/// The highest numbers that were given: they rise with each row.
type Mark = [Option<i64>; 3];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Today {
    begins: Timestamp,
    ends: Timestamp,
}

impl Recall {
    pub(super) fn new(server: String, zone: TimeZone) -> Recall {
        Recall { server, zone, version: None, mark: None, today: None }
    }

    /// Whether this is what is recalled already.
    pub(super) fn is_of(&self, server: &str) -> bool {
        self.server == server
    }

    /// Of which server.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Looks again in any case: something was written here, or the file is another one.
    pub(super) fn is_stale(&mut self) {
        self.version = None;
    }

    /// Reads the past, if there is anything new since the last time. `version` is the file's.
    pub(super) fn read(
        &mut self,
        connection: &Connection,
        version: i64,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Past>> {
        let is_today = |today: Today| (today.begins..today.ends).contains(&now);
        let today = self.today.filter(|today| is_today(*today)).unwrap_or_else(|| today(now, &self.zone));
        let same_day = self.today == Some(today);
        if same_day && self.version == Some(version) {
            return Ok(None);
        }
        let highest = "SELECT (SELECT max(id) FROM swap), (SELECT max(id) FROM phase), \
             (SELECT max(id) FROM forecast)";
        let mark: Mark =
            connection.prepare(highest)?.query_row([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
        let is_known = same_day && self.mark == Some(mark);
        let past = if is_known { None } else { Some(past(connection, &self.server, today, now)?) };
        (self.version, self.mark, self.today) = (Some(version), Some(mark), Some(today));
        Ok(past)
    }
}

/// The day that `now` is in. Where the calendar ends, all is today.
fn today(now: Timestamp, zone: &TimeZone) -> Today {
    let begins = now.to_zoned(zone.clone()).start_of_day();
    let ends = begins.as_ref().ok().and_then(|begins| begins.tomorrow().ok());
    Today {
        begins: begins.map_or(Timestamp::MIN, |begins| begins.timestamp()),
        ends: ends.map_or(Timestamp::MAX, |ends| ends.timestamp()),
    }
}

fn past(connection: &Connection, server: &str, today: Today, now: Timestamp) -> rusqlite::Result<Past> {
    let server: Option<i64> = connection
        .prepare("SELECT id FROM name WHERE text = ?1")?
        .query_row([server], |row| row.get(0))
        .optional()?;
    // A server that nothing was ever written of.
    let Some(server) = server else { return Ok(Past::default()) };
    let swaps = latest(connection, server, "swap", row::SWAP, row::swap)?;
    let forecasts = latest(connection, server, "forecast", row::FORECAST, row::foreseen)?;
    let (today, runs) = (day(connection, server, today)?, runs(connection, server, now)?);
    Ok(Past { today, swaps, runs, forecasts, used: used(connection, server, now)? })
}

/// The latest rows of a table, newest first, at most [`Past::SWAPS`].
fn latest<T>(
    connection: &Connection,
    server: i64,
    table: &str,
    columns: &str,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection
        .prepare(&format!(
            "SELECT {columns} FROM {table} WHERE server = ?1 ORDER BY at DESC, id DESC LIMIT {}",
            Past::SWAPS
        ))?
        .query_map([server], read)?
        .collect()
}

/// The sum of the swaps that began within a day.
fn day(connection: &Connection, server: i64, today: Today) -> rusqlite::Result<Day> {
    let columns = "(SELECT text FROM name WHERE name.id = swap.model), whole, total, cold";
    let swapped = |row: &rusqlite::Row<'_>| {
        Ok(Swapped {
            model: row::model_in(row, 0)?,
            whole: Bytes(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)),
            took: row
                .get::<_, Option<i64>>(2)?
                .and_then(|t| u64::try_from(t).ok())
                .map(Duration::from_micros),
            cold: row.get(3)?,
        })
    };
    let swaps: Vec<Swapped> = connection
        .prepare(&format!(
            "SELECT {columns} FROM swap WHERE server = ?1 AND at >= ?2 AND at < ?3 \
             AND ended = 'ready' AND NOT in_vram"
        ))?
        .query_map(params![server, today.begins.as_microsecond(), today.ends.as_microsecond()], swapped)?
        .collect::<rusqlite::Result<_>>()?;
    if swaps.is_empty() {
        return Ok(Day::default());
    }
    let cold: Vec<Swapped> = connection
        .prepare(&format!(
            "SELECT {columns} FROM swap WHERE server = ?1 AND cold ORDER BY at DESC LIMIT {COLD}"
        ))?
        .query_map([server], swapped)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Day::sum(&swaps, &cold))
}

/// The sum of one day, for who asks for nothing else.
pub(super) fn day_of(
    connection: &Connection,
    server: i64,
    zone: &TimeZone,
    now: Timestamp,
) -> rusqlite::Result<Day> {
    day(connection, server, today(now, zone))
}

/// When each model was used last, within a day.
fn used(
    connection: &Connection,
    server: i64,
    now: Timestamp,
) -> rusqlite::Result<Vec<(ModelName, Timestamp)>> {
    let since = now.as_microsecond().saturating_sub(row::micros(DAY));
    connection
        .prepare(
            "SELECT (SELECT text FROM name WHERE name.id = used.model), max(at) FROM used \
             WHERE server = ?1 AND at >= ?2 GROUP BY model",
        )?
        .query_map([server, since], |row| {
            let at = Timestamp::from_microsecond(row.get(1)?).unwrap_or_default();
            Ok((row::model_in(row, 0)?, at))
        })?
        .collect()
}

/// The runs whose last phase is younger than a day, newest first.
fn runs(connection: &Connection, server: i64, now: Timestamp) -> rusqlite::Result<Vec<Run>> {
    let since = now.as_microsecond().saturating_sub(row::micros(DAY));
    let mut statement = connection.prepare(&format!(
        "SELECT {} FROM phase WHERE server = ?1 \
         AND run IN (SELECT run FROM phase WHERE server = ?1 AND at >= ?2) ORDER BY at DESC, id DESC LIMIT {PHASES}",
        row::PHASE
    ))?;
    let mut runs: Vec<Run> = Vec::new();
    for phase in statement.query_map(params![server, since], row::phase)? {
        let (at, phase) = phase?;
        match runs.iter_mut().find(|run| run.run == phase.run) {
            Some(run) => run.phases.push((at, phase)),
            None => runs.push(Run { run: phase.run.clone(), phases: vec![(at, phase)] }),
        }
    }
    for run in &mut runs {
        run.phases.reverse();
    }
    Ok(runs)
}

#[cfg(test)]
mod tests;
