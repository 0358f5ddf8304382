//! Writing down what happened: many records at once, each thing once though several instances saw it, and what is too
//! old or too much goes.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, named_params, params};

use super::row::{self, micros};
use super::tally;
use crate::residency::record::{Happened, Record, SwapRecord};
use crate::residency::swap::Ended;

/// Older records go.
const AGE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Of each kind no more records are kept.
const ROWS: i64 = 200_000;
/// After so many records it is looked again for what may go.
const PRUNE: usize = 1000;

/// Two instances see one thing at most so far apart.
const APART: Duration = Duration::from_secs(3);
/// A load that was watched by the keeper lasts no longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// When it was last looked for what may go.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// Records since then; `None` before the first look.
    records: Option<usize>,
}

/// Writes all records, or none.
pub(super) fn write(
    connection: &mut Connection,
    records: &[Record],
    pruned: &mut Pruned,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for record in records {
        let server = row::name(&transaction, &record.server)?;
        let at = record.at.as_microsecond();
        if is_news(&transaction, server, at, &record.what)? {
            row::insert(&transaction, server, at, &record.what)?;
        }
    }
    let since = pruned.records.map(|before| before + records.len());
    let is_time = since.is_none_or(|since| since >= PRUNE);
    if is_time {
        prune(&transaction, now, ROWS)?;
    }
    transaction.commit()?;
    pruned.records = Some(since.filter(|_| !is_time).unwrap_or(0));
    Ok(())
}

/// Whether no other instance has written this down already. A swap of our own that another instance only watched takes
/// the place of what that one wrote.
fn is_news(connection: &Connection, server: i64, at: i64, what: &Happened) -> rusqlite::Result<bool> {
    match what {
        Happened::Swap(swap) => {
            let model = row::name(connection, swap.model.as_str())?;
            if swap.ours {
                forget_watched(connection, server, at, model, swap)?;
                return Ok(true);
            }
            let known: bool = connection
                .prepare(
                    "SELECT EXISTS (SELECT 1 FROM swap WHERE server = :server AND at >= :from AND at <= :until \
                     AND model = :model AND ours AND ended = 'ready' \
                     AND at + coalesce(total, 0) + :apart >= :at)",
                )?
                .query_row(
                    named_params! {
                        ":server": server,
                        ":from": at.saturating_sub(micros(LONGEST)),
                        ":until": end_of(at, swap),
                        ":model": model,
                        ":apart": micros(APART),
                        ":at": at,
                    },
                    |row| row.get(0),
                )?;
            Ok(!known)
        }
        // A model leaves once between two loads.
        Happened::Left { model, .. } => {
            let model = row::name(connection, model.as_str())?;
            let known: bool = connection
                .prepare(
                    "SELECT EXISTS (SELECT 1 FROM gone WHERE gone.server = ?1 AND gone.at >= ?2 - ?4 \
                     AND gone.at <= ?2 + ?4 AND gone.model = ?3 AND NOT EXISTS (SELECT 1 FROM swap \
                     WHERE swap.server = ?1 AND swap.at > gone.at AND swap.at <= ?2 AND swap.model = ?3))",
                )?
                .query_row(params![server, at, model, micros(APART)], |row| row.get(0))?;
            Ok(!known)
        }
        Happened::Foreseen(foreseen) => {
            let model = row::name(connection, foreseen.model.as_str())?;
            connection
                .prepare(
                    "SELECT NOT EXISTS (SELECT 1 FROM forecast WHERE server = ?1 AND at >= ?2 - ?4 \
                     AND at <= ?2 + ?4 AND model = ?3)",
                )?
                .query_row(params![server, at, model, micros(APART)], |row| row.get(0))
        }
        Happened::Used { .. } | Happened::Phase(_) => Ok(true),
    }
}

fn forget_watched(
    connection: &Connection,
    server: i64,
    at: i64,
    model: i64,
    swap: &SwapRecord,
) -> rusqlite::Result<()> {
    if swap.ended != Ended::Ready {
        return Ok(());
    }
    connection
        .prepare(
            "DELETE FROM swap WHERE server = :server AND at >= :from AND at <= :until AND model = :model \
             AND NOT ours AND at + coalesce(total, 0) + :apart >= :at",
        )?
        .execute(named_params! {
            ":server": server,
            ":from": at.saturating_sub(micros(LONGEST)),
            ":until": end_of(at, swap),
            ":model": model,
            ":apart": micros(APART),
            ":at": at,
        })
        .map(|_| ())
}

/// Until when another instance may say that it saw this.
fn end_of(at: i64, swap: &SwapRecord) -> i64 {
    at.saturating_add(micros(swap.stages.total.unwrap_or_default())).saturating_add(micros(APART))
}

/// Deletes what is too old or too much, which stays counted. Rows are looked at from the oldest on, and no further than to the first that
/// stays.
fn prune(connection: &Connection, now: Timestamp, rows: i64) -> rusqlite::Result<()> {
    let oldest = now.as_microsecond().saturating_sub(micros(AGE));
    for table in ["swap", "gone", "used", "phase", "forecast"] {
        let goes = format!(
            "(id <= (SELECT max(id) FROM {table}) - ?1 OR id < coalesce(\
             (SELECT id FROM {table} WHERE at >= ?2 ORDER BY id LIMIT 1), {}))",
            i64::MAX
        );
        tally::keep(connection, table, &goes, params![rows, oldest])?;
        connection.prepare(&format!("DELETE FROM {table} WHERE {goes}"))?.execute(params![rows, oldest])?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
