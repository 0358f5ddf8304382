//! The uses of a server's models as traces, and what is made of them: read once, then only what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::row;
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::record::Happened;
use crate::residency::tune::Tuning;
use crate::residency::tune::policy::Rule;
use crate::residency::tune::trace::{Trace, Use};

/// Of each model so many uses count, the latest: habits change, and a replay goes through all of them.
const MOST: usize = 5000;

/// The uses of all models of a server up to `now`, by model. A model that was never used has no trace.
pub(super) fn traces(
    connection: &Connection,
    server: &str,
    now: Timestamp,
) -> rusqlite::Result<BTreeMap<ModelName, Trace>> {
    let mut traces = BTreeMap::new();
    for (_, model, one) in after(connection, server, 0)? {
        note(&mut traces, model, one);
    }
    for trace in traces.values_mut() {
        complete(connection, server, trace, now)?;
    }
    Ok(traces)
}

/// The uses with a higher number than this, in the order in which they were written.
fn after(connection: &Connection, server: &str, number: i64) -> rusqlite::Result<Vec<(i64, ModelName, Use)>> {
    let mut statement = connection.prepare(&format!(
        "SELECT id, {} FROM used WHERE server = (SELECT id FROM name WHERE text = ?1) AND id > ?2 ORDER BY id",
        row::USED
    ))?;
    let rows = statement
        .query_map(params![server, number], |row| Ok((row.get::<_, i64>("id")?, row::used(row)?)))?;
    let mut found = Vec::new();
    for row in rows {
        if let (number, (at, Happened::Used { model, idle })) = row? {
            found.push((number, model, Use { at, idle }));
        }
    }
    Ok(found)
}

fn note(traces: &mut BTreeMap<ModelName, Trace>, model: ModelName, one: Use) {
    let trace = traces.entry(model.clone()).or_insert_with(|| Trace {
        model,
        size: None,
        uses: Vec::new(),
        until: one.at,
    });
    // Rarely many at once, so that what is kept is moved rarely.
    if trace.uses.len() >= MOST + MOST / 10 {
        trace.uses.drain(..=MOST / 10);
    }
    trace.uses.push(one);
}

/// What the uses do not say of it.
fn complete(
    connection: &Connection,
    server: &str,
    trace: &mut Trace,
    now: Timestamp,
) -> rusqlite::Result<()> {
    trace.uses.drain(..trace.uses.len().saturating_sub(MOST));
    trace.until = now;
    trace.size = size_of(connection, server, &trace.model)?;
    Ok(())
}

/// The model's files, as they were when it was last loaded.
fn size_of(connection: &Connection, server: &str, model: &ModelName) -> rusqlite::Result<Option<Bytes>> {
    let whole: Option<i64> = connection
        .prepare(
            "SELECT whole FROM swap WHERE server = (SELECT id FROM name WHERE text = ?1) \
             AND model IN (SELECT id FROM name WHERE text = ?2 COLLATE NOCASE) AND whole > 0 \
             ORDER BY at DESC, id DESC LIMIT 1",
        )?
        .query_row([server, model.as_str()], |row| row.get(0))
        .optional()?;
    Ok(whole.and_then(|whole| u64::try_from(whole).ok()).map(Bytes))
}

/// Of which server the uses are followed, and what is known of them.
#[derive(Debug)]
pub(super) struct Uses {
    server: String,
    rule: Rule,
    /// The file's version at the last look; `None` to look again in any case.
    version: Option<i64>,
    /// The highest number that was read; `None` before the first look.
    read: Option<i64>,
    traces: BTreeMap<ModelName, Trace>,
    tunings: BTreeMap<ModelName, Tuning>,
}

impl Uses {
    pub(super) fn new(server: String, rule: Rule) -> Uses {
        let (traces, tunings) = (BTreeMap::new(), BTreeMap::new());
        Uses { server, rule, version: None, read: None, traces, tunings }
    }

    /// Whether this is what is followed already.
    pub(super) fn is_of(&self, server: &str, rule: Rule) -> bool {
        self.server == server && self.rule == rule
    }

    /// Looks again in any case: something was written here.
    pub(super) fn is_stale(&mut self) {
        self.version = None;
    }

    /// The file is another one: all is read again.
    pub(super) fn begin_anew(&mut self) {
        *self = Uses::new(std::mem::take(&mut self.server), self.rule);
    }

    /// Reads what is new, and makes of it what can be said of each model, by name; `None` if there is nothing new.
    /// `version` is the file's.
    pub(super) fn read(
        &mut self,
        connection: &Connection,
        version: i64,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Arc<[Tuning]>>> {
        if self.version == Some(version) {
            return Ok(None);
        }
        let new = after(connection, &self.server, self.read.unwrap_or(0))?;
        self.version = Some(version);
        if new.is_empty() && self.read.is_some() {
            return Ok(None);
        }
        let highest = new.last().map(|(number, ..)| *number);
        self.read = highest.or(self.read).or(Some(0));
        let changed: BTreeSet<ModelName> = new.iter().map(|(_, model, _)| model.clone()).collect();
        for (_, model, one) in new {
            note(&mut self.traces, model, one);
        }
        for trace in self.traces.values_mut().filter(|trace| changed.contains(&trace.model)) {
            complete(connection, &self.server, trace, now)?;
            self.tunings.insert(trace.model.clone(), Tuning::of(trace, self.rule));
        }
        Ok(Some(self.tunings.values().cloned().collect()))
    }
}

#[cfg(test)]
mod tests;
