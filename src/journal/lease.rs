//! Leases: the rows that say which process holds which blob in RAM, and whether it is asked to let go.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::process::Process;
use super::row::text;

/// A living process holds this blob in RAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The blob.
    pub digest: String,
    /// The process; this one too.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// Another process wants to drop the blob.
    pub asked_to_let_go: bool,
}

/// What this process is to hold, and since when.
pub(super) type Held = BTreeMap<String, Timestamp>;

/// All that a reading found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What living processes hold, by digest and pid.
    pub leases: Vec<Lease>,
    /// The living processes that the file knows.
    pub alive: Vec<Process>,
    /// Those it still knows, though they are dead.
    pub dead: Vec<Process>,
}

/// Reads all rows; those of the dead do not count. `boot` is the present start of the machine.
pub(super) fn read(connection: &Connection, boot: &str) -> rusqlite::Result<Found> {
    let mut statement = connection.prepare(
        "SELECT boot, pid, started, digest, since, asked \
         FROM process LEFT JOIN lease ON lease.process = process.id ORDER BY digest, pid",
    )?;
    let mut rows = statement.query([])?;
    let mut lives: HashMap<Process, bool> = HashMap::new();
    let mut leases = Vec::new();
    while let Some(row) = rows.next()? {
        // No process has the number 0: what is none is dead.
        let pid = u32::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        let process = Process { boot: text(row, 0)?.unwrap_or_default(), pid, started: row.get(2)? };
        let is_alive = *lives.entry(process).or_insert_with_key(|process| process.is_alive(boot));
        if let (true, Some(digest)) = (is_alive, text(row, 3)?) {
            let since = Timestamp::from_microsecond(row.get(4)?).unwrap_or_default();
            leases.push(Lease { digest, pid, since, asked_to_let_go: row.get(5)? });
        }
    }
    let (alive, dead): (Vec<_>, Vec<_>) = lives.into_iter().partition(|(_, is_alive)| *is_alive);
    let processes = |some: Vec<(Process, bool)>| some.into_iter().map(|(process, _)| process).collect();
    Ok(Found { leases, alive: processes(alive), dead: processes(dead) })
}

/// Deletes a process with all its rows. Named by all that it is: a number of its row may be another's by now.
pub(super) fn forget(connection: &Connection, process: &Process) -> rusqlite::Result<()> {
    connection
        .prepare("DELETE FROM process WHERE boot = ?1 AND pid = ?2 AND started = ?3")?
        .execute(params![process.boot, process.pid, process.started])
        .map(|_| ())
}

/// Makes the rows of `me` say what is held, no more and no less; what was held before stays as it is.
pub(super) fn write(connection: &mut Connection, me: &Process, held: &Held) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if held.is_empty() {
        forget(&transaction, me)?;
        return transaction.commit();
    }
    transaction
        .prepare("INSERT INTO process (boot, pid, started) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![me.boot, me.pid, me.started])?;
    let row = row_of(&transaction, me)?;
    let mut statement = transaction.prepare("SELECT digest FROM lease WHERE process = ?1")?;
    let known = statement.query_map([row], |row| text(row, 0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    drop(statement);
    let mut delete = transaction.prepare("DELETE FROM lease WHERE process = ?1 AND digest = ?2")?;
    for digest in known.iter().flatten().filter(|digest| !held.contains_key(*digest)) {
        delete.execute(params![row, digest])?;
    }
    drop(delete);
    // Let go and held anew: a new lease, which nobody has asked for.
    let mut insert = transaction.prepare(
        "INSERT INTO lease (process, digest, since, asked) VALUES (?1, ?2, ?3, 0) \
         ON CONFLICT (process, digest) DO UPDATE SET since = excluded.since, asked = 0 \
         WHERE since <> excluded.since",
    )?;
    for (digest, since) in held {
        insert.execute(params![row, digest, since.as_microsecond()])?;
    }
    drop(insert);
    transaction.commit()
}

/// Marks the leases that others than `me` have on these blobs.
pub(super) fn ask(connection: &mut Connection, me: &Process, digests: &[String]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let row = row_of(&transaction, me)?;
    let mut statement = transaction
        .prepare("UPDATE lease SET asked = 1 WHERE digest = ?1 AND process IS NOT ?2 AND asked = 0")?;
    for digest in digests {
        statement.execute(params![digest, row])?;
    }
    drop(statement);
    transaction.commit()
}

/// The row of a process, if it has one.
fn row_of(connection: &Connection, process: &Process) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare("SELECT id FROM process WHERE boot = ?1 AND pid = ?2 AND started = ?3")?
        .query_row(params![process.boot, process.pid, process.started], |row| row.get(0))
        .optional()
}
