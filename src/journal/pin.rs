//! Pins: one row for each model that is to stay in VRAM, or whose pin a swap displaced; all instances read them.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row, TransactionBehavior, named_params, params};

use super::row::{self, micros};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::pin::{Change, GaveUp, Pin, Suspended, Whose};

/// One thing to be remembered.
#[derive(Debug)]
pub(super) struct Note {
    pub server: String,
    pub model: ModelName,
    pub at: Timestamp,
    pub change: Change,
}

/// So many wait while the file cannot be written; of more the oldest go.
const WAITING: usize = 256;

/// What is to be remembered, and how far it was read.
#[derive(Debug, Default)]
pub(super) struct Pins {
    notes: Vec<Note>,
    /// The file's version at the last reading; `None` to read again in any case.
    version: Option<i64>,
}

impl Pins {
    /// Takes one more.
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(note);
        let excess = self.notes.len().saturating_sub(WAITING);
        self.notes.drain(..excess);
    }

    /// Whether something waits to be written.
    pub(super) fn waits(&self) -> bool {
        !self.notes.is_empty()
    }

    /// The file is another one, or another server's pins are wanted: reads again in any case.
    pub(super) fn is_stale(&mut self) {
        self.version = None;
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        if self.waits() {
            write(connection, &self.notes)?;
            self.notes.clear();
            self.version = None;
        }
        Ok(())
    }

    /// Reads a server's pins, if there may be anything new. `version` is the file's.
    pub(super) fn read(
        &mut self,
        connection: &Connection,
        server: &str,
        version: i64,
    ) -> rusqlite::Result<Option<Vec<Pin>>> {
        if self.version == Some(version) {
            return Ok(None);
        }
        let pins = read(connection, server)?;
        self.version = Some(version);
        Ok(Some(pins))
    }
}

/// The number that stands for a keep_alive without an end.
const FOREVER: i64 = -1;

/// Reads all pins of a server, by name.
fn read(connection: &Connection, server: &str) -> rusqlite::Result<Vec<Pin>> {
    let name = |column: &str| format!("(SELECT text FROM name WHERE name.id = pin.{column})");
    connection
        .prepare(&format!(
            "SELECT {} AS model, since, whose, before, {} AS suspended_by, suspended, tries, gave_up, {} AS gave_up_by \
             FROM pin WHERE server = (SELECT id FROM name WHERE text = ?1) ORDER BY model",
            name("model"),
            name("suspended_by"),
            name("gave_up_by"),
        ))?
        .query_map([server], of_row)?
        .collect()
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<Pin> {
    let time = |column: &str| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(|at| Timestamp::from_microsecond(at).unwrap_or_default()))
    };
    let suspended = row::model_of(row, "suspended_by")?.zip(time("suspended")?);
    let gave_up_by = row::model_of(row, "gave_up_by")?;
    Ok(Pin {
        model: row::model_in(row, "model")?,
        since: time("since")?.unwrap_or_default(),
        whose: Whose::of_word(&row::text(row, "whose")?.unwrap_or_default()),
        before: row.get::<_, Option<i64>>("before")?.map(keep_alive),
        suspended: suspended.map(|(by, since)| Suspended { by, since }),
        tries: u32::try_from(row.get::<_, i64>("tries")?).unwrap_or(u32::MAX),
        gave_up: time("gave_up")?.map(|at| GaveUp { by: gave_up_by, at }),
    })
}

fn keep_alive(stored: i64) -> KeepAlive {
    u64::try_from(stored).map_or(KeepAlive::Forever, |micros| KeepAlive::For(Duration::from_micros(micros)))
}

fn stored(keep_alive: KeepAlive) -> i64 {
    match keep_alive {
        KeepAlive::Forever => FOREVER,
        KeepAlive::For(time) => micros(time),
    }
}

/// Remembers all of it, or nothing.
fn write(connection: &mut Connection, notes: &[Note]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for note in notes {
        apply(&transaction, note)?;
    }
    transaction.commit()
}

fn apply(connection: &Connection, note: &Note) -> rusqlite::Result<()> {
    let server = row::name(connection, &note.server)?;
    let model = row::name(connection, note.model.as_str())?;
    let at = note.at.as_microsecond();
    let pinned = Pinned { connection, server, model };
    match &note.change {
        Change::Pin { before } => {
            pinned.make(at)?;
            connection
                .prepare(
                    "UPDATE pin SET since = CASE whose WHEN 'user' THEN since ELSE :at END, whose = 'user', \
                     before = coalesce(:before, before), suspended = NULL, suspended_by = NULL, tries = 0, \
                     gave_up = NULL, gave_up_by = NULL WHERE server = :server AND model = :model",
                )?
                .execute(named_params! {
                    ":at": at,
                    ":before": before.map(stored),
                    ":server": server,
                    ":model": model,
                })
                .map(|_| ())
        }
        Change::Unpin { configured: false } => pinned.forget("1"),
        Change::Unpin { configured: true } => {
            pinned.forget("1")?;
            pinned.make(at)?;
            pinned.set("whose = 'released'", [])
        }
        Change::Suspend { by } => {
            let by = row::name(connection, by.as_str())?;
            pinned.make(at)?;
            pinned.set("suspended_by = ?3, suspended = ?4", [Some(by), Some(at)])
        }
        Change::Resume => {
            pinned.set("suspended_by = NULL, suspended = NULL", [])?;
            pinned.forget("whose = 'other' AND tries = 0 AND gave_up IS NULL")
        }
        Change::Tried { tries, gave_up } => {
            let by = gave_up.as_ref().and_then(|gave_up| gave_up.by.as_ref());
            let by = by.map(|by| row::name(connection, by.as_str())).transpose()?;
            let gave_up = gave_up.as_ref().map(|gave_up| gave_up.at.as_microsecond());
            pinned.make(at)?;
            pinned.set("tries = ?3, gave_up = ?4, gave_up_by = ?5", [Some(i64::from(*tries)), gave_up, by])
        }
        Change::Anew => pinned.forget("whose = 'released'"),
    }
}

/// The row of one model.
struct Pinned<'a> {
    connection: &'a Connection,
    server: i64,
    model: i64,
}

impl Pinned<'_> {
    /// Makes it where it is missing.
    fn make(&self, at: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare(
                "INSERT INTO pin (server, model, since, whose, tries) VALUES (?1, ?2, ?3, 'other', 0) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![self.server, self.model, at])
            .map(|_| ())
    }

    fn set<const N: usize>(&self, columns: &str, values: [Option<i64>; N]) -> rusqlite::Result<()> {
        let numbers = [Some(self.server), Some(self.model)].into_iter().chain(values);
        self.connection
            .prepare(&format!("UPDATE pin SET {columns} WHERE server = ?1 AND model = ?2"))?
            .execute(rusqlite::params_from_iter(numbers))
            .map(|_| ())
    }

    fn forget(&self, only_if: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare(&format!("DELETE FROM pin WHERE server = ?1 AND model = ?2 AND ({only_if})"))?
            .execute([self.server, self.model])
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests;
