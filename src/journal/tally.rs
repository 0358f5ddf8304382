//! The tally of all that ever happened: counted from the rows that are there and from what was kept of those
//! that went. A counter made of it never falls.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::row::{self, micros};
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::tally::{CLASSES, Count, End, How, Origin, What};

/// A swap counts so long after its end: until then a watched one may give way to the same one as its own
/// instance has it, and what was counted must not be taken back.
const SETTLED: Duration = Duration::from_secs(15);

/// How the rows of a table are counted.
struct Counted {
    table: &'static str,
    /// What they are called in the tally.
    what: &'static str,
    /// Columns or expressions.
    model: &'static str,
    ours: &'static str,
    how: &'static str,
    origin: &'static str,
    took: &'static str,
    read: &'static str,
    /// Which of them count.
    which: &'static str,
}

/// The plus keeps SQLite from an index of the server's rows, which are all there are: the few new ones are
/// found by number.
const OF_SERVER: &str = "+server = ?1";

const TIMED: &str = "ended = 'ready' AND total IS NOT NULL";

const ALL: [Counted; 5] = [
    Counted {
        table: "swap",
        what: "swap",
        model: "model",
        ours: "ours",
        how: "ended",
        // Nearly all in RAM needs nearly no disk: the page cache drops a page here and there.
        origin: "CASE WHEN ram IS NULL OR whole = 0 THEN 'unknown' WHEN ram * 10 <= whole THEN 'disk' \
                 WHEN ram * 20 >= whole * 19 THEN 'ram' ELSE 'both' END",
        took: "CASE WHEN ended = 'ready' THEN total END",
        read: "read",
        which: "NOT (in_vram AND ended = 'ready')",
    },
    Counted { table: "gone", what: "left", how: "how", ..PLAIN },
    Counted { table: "used", what: "used", ..PLAIN },
    Counted { table: "phase", what: "phase", model: "0", took: "swap", which: "phase <> ''", ..PLAIN },
    Counted {
        table: "forecast",
        what: "forecast",
        model: "0",
        how: "CASE WHEN right THEN 'right' ELSE 'wrong' END",
        which: "right IS NOT NULL",
        ..PLAIN
    },
];

const PLAIN: Counted = Counted {
    table: "",
    what: "",
    model: "model",
    ours: "0",
    how: "''",
    origin: "''",
    took: "0",
    read: "0",
    which: "true",
};

/// The class of a swap's time, as the file has it.
fn class() -> String {
    let mut class = format!("CASE WHEN NOT ({TIMED}) THEN -1");
    for millis in CLASSES {
        // Writing to a string cannot fail.
        let _ = write!(class, " WHEN total <= {} THEN {millis}", millis * 1000);
    }
    class + " ELSE 0 END"
}

impl Counted {
    /// Counts the rows of which `and` is true, by all that tells them apart.
    fn select(&self, and: &str) -> String {
        let Counted { table, what, model, ours, how, origin, took, read, which } = self;
        let class = if *table == "swap" { class() } else { "-1".to_owned() };
        format!(
            "SELECT server, '{what}' AS what, {model} AS model, {ours} AS ours, {how} AS how, {origin} AS origin, \
             {class} AS class, count(*) AS times, CAST(total({took}) AS INTEGER) AS took, \
             CAST(total({read}) AS INTEGER) AS read FROM {table} WHERE {which} AND {and} \
             GROUP BY 1, 2, 3, 4, 5, 6, 7"
        )
    }
}

/// Keeps the counts of those rows of a table that are about to go.
pub(super) fn keep(
    connection: &Connection,
    table: &str,
    goes: &str,
    params: impl Params,
) -> rusqlite::Result<()> {
    let Some(counted) = ALL.iter().find(|counted| counted.table == table) else { return Ok(()) };
    connection
        .prepare(&format!(
            "INSERT INTO tally {} ON CONFLICT DO UPDATE SET times = times + excluded.times, \
             took = took + excluded.took, read = read + excluded.read",
            counted.select(goes)
        ))?
        .execute(params)
        .map(|_| ())
}

/// What was counted so far of one server, and up to which rows: what comes later is added, so that only the
/// first count goes through the whole file. Hand it back at the next count.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// What is certain.
    sums: BTreeMap<Key, Sum>,
    names: BTreeMap<i64, ModelName>,
    /// Of each table the highest number up to which all rows are in it; `None` before the first count.
    marks: Option<[i64; ALL.len()]>,
    /// And what came after that and counts already.
    latest: Vec<Count>,
}

/// What tells counts apart, as the file has it; by model first, so that they stay in the order of models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    model: i64,
    what: String,
    ours: bool,
    how: String,
    origin: String,
    class: i64,
}

/// What a count comes to: times, microseconds, bytes.
type Sum = [u64; 3];

impl Tally {
    /// All counts, models in the order in which the file first heard of them.
    pub fn counts(&self) -> &[Count] {
        &self.latest
    }

    /// Counts on.
    pub(super) fn read(
        mut self,
        connection: &Connection,
        server: i64,
        now: Timestamp,
    ) -> rusqlite::Result<Tally> {
        // All of one moment: what another process moves from a table into the tally must not be missed.
        let moment = connection.unchecked_transaction()?;
        let highest: [i64; ALL.len()] = moment.query_row(&highest(), [], |row| {
            let mut all = [0; ALL.len()];
            for (at, one) in all.iter_mut().enumerate() {
                *one = row.get(at)?;
            }
            Ok(all)
        })?;
        // Numbers rise: where they fell, this is another file.
        if self.marks.is_some_and(|marks| marks.iter().zip(highest).any(|(mark, highest)| highest < *mark)) {
            self = Tally::default();
        }
        let before = now.as_microsecond().saturating_sub(micros(SETTLED));
        let settled = format!("at + coalesce(total, 0) <= {before}");
        let mut marks = self.marks.unwrap_or_default();
        if self.marks.is_none() && has_tally(&moment)? {
            self.add(&moment, "SELECT * FROM tally WHERE server = ?1", server)?;
        }
        let mut early = Tally::default();
        for ((counted, mark), highest) in ALL.iter().zip(&mut marks).zip(highest) {
            let mut to = highest;
            if counted.table == "swap" {
                let open = format!("SELECT min(id) FROM swap WHERE id > {mark} AND NOT ({settled})");
                let open: Option<i64> = moment.query_row(&open, [], |row| row.get(0))?;
                to = open.map_or(highest, |open| open - 1);
                let after = format!("{OF_SERVER} AND id > {to} AND {settled}");
                early.add(&moment, &counted.select(&after), server)?;
            }
            let new = format!("{OF_SERVER} AND id > {mark} AND id <= {to}");
            self.add(&moment, &counted.select(&new), server)?;
            *mark = to;
        }
        moment.finish()?;
        self.marks = Some(marks);
        let mut all = self.sums.clone();
        let mut names = self.names.clone();
        names.append(&mut early.names);
        for (key, sum) in early.sums {
            add(all.entry(key).or_default(), sum);
        }
        self.latest = all.into_iter().map(|(key, sum)| count(&key, sum, &names)).collect();
        Ok(self)
    }

    /// Adds what a selection counts.
    fn add(&mut self, connection: &Connection, selection: &str, server: i64) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!(
            "SELECT model, what, ours, how, origin, class, times, took, read, \
             (SELECT text FROM name WHERE name.id = model) AS name FROM ({selection})"
        ))?;
        let mut rows = statement.query([server])?;
        while let Some(row) = rows.next()? {
            let word = |column: &str| row::text(row, column).map(Option::unwrap_or_default);
            let key = Key {
                model: row.get("model")?,
                what: word("what")?,
                ours: row.get("ours")?,
                how: word("how")?,
                origin: word("origin")?,
                class: row.get("class")?,
            };
            if let Some(name) = row::model_of(row, "name")? {
                self.names.entry(key.model).or_insert(name);
            }
            add(self.sums.entry(key).or_default(), sum(row)?);
        }
        Ok(())
    }
}

/// The highest number of each table.
fn highest() -> String {
    let of = |counted: &Counted| format!("coalesce((SELECT max(id) FROM {}), 0)", counted.table);
    format!("SELECT {}", ALL.iter().map(of).collect::<Vec<_>>().join(", "))
}

/// A file that no resident of this version has opened has none.
fn has_tally(connection: &Connection) -> rusqlite::Result<bool> {
    let tally = "SELECT 1 FROM sqlite_schema WHERE name = 'tally'";
    Ok(connection.query_row(tally, [], |_| Ok(())).optional()?.is_some())
}

fn sum(row: &Row<'_>) -> rusqlite::Result<Sum> {
    let number = |name: &str| -> rusqlite::Result<u64> {
        Ok(u64::try_from(row.get::<_, i64>(name)?).unwrap_or_default())
    };
    Ok([number("times")?, number("took")?, number("read")?])
}

fn add(to: &mut Sum, more: Sum) {
    for (to, more) in to.iter_mut().zip(more) {
        *to = to.saturating_add(more);
    }
}

fn count(key: &Key, [times, took, read]: Sum, names: &BTreeMap<i64, ModelName>) -> Count {
    let model = || names.get(&key.model).cloned().unwrap_or_else(|| ModelName::from_server("?"));
    let what = match key.what.as_str() {
        "swap" => What::Swap {
            model: model(),
            ours: key.ours,
            end: match key.how.as_str() {
                "ready" => End::Ready,
                "cancelled" => End::Cancelled,
                _ => End::Failed,
            },
            from: match key.origin.as_str() {
                "disk" => Origin::Disk,
                "ram" => Origin::Ram,
                "both" => Origin::Both,
                _ => Origin::Unknown,
            },
            class: place(key.class),
        },
        "left" => What::Left {
            model: model(),
            how: match key.how.as_str() {
                "evicted" => How::Evicted,
                "expired" => How::Expired,
                "died" => How::Died,
                "unloaded" => How::Unloaded,
                _ => How::Unknown,
            },
        },
        "used" => What::Used { model: model() },
        "phase" => What::Phase,
        _ => What::Foreseen { right: key.how == "right" },
    };
    Count { what, times, took: Duration::from_micros(took), read: Bytes(read) }
}

/// Where a class of the file is among those of this version.
fn place(class: i64) -> Option<usize> {
    let millis = u64::try_from(class).ok()?;
    let longer = CLASSES.len();
    Some(if millis == 0 { longer } else { CLASSES.iter().position(|most| millis <= *most).unwrap_or(longer) })
}

#[cfg(test)]
mod tests;
