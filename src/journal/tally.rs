//! The tally of all that ever happened: counted from the rows that are there and from what was kept of those that went.
//! A counter made of it never falls.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::row::micros;
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::tally::{CLASSES, Count, End, How, Origin, What};

/// A swap counts so long after its end: until then a watched one may give way to the same one as its own instance has
/// it, and what was counted must not be taken back.
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

/// All counts of a server, models in the order in which the file first heard of them.
pub(super) fn read(connection: &Connection, server: i64, now: Timestamp) -> rusqlite::Result<Vec<Count>> {
    let settled = "at + coalesce(total, 0) <= ?2";
    let mut parts: Vec<String> = ALL
        .iter()
        .map(|counted| {
            let and = if counted.table == "swap" { settled } else { "true" };
            counted.select(&format!("server = ?1 AND {and}"))
        })
        .collect();
    // A file that no resident of this version has opened has none.
    let kept = "SELECT 1 FROM sqlite_schema WHERE name = 'tally'";
    if connection.query_row(kept, [], |_| Ok(())).optional()?.is_some() {
        parts.push("SELECT * FROM tally WHERE server = ?1".to_owned());
    }
    let before = now.as_microsecond().saturating_sub(micros(SETTLED));
    connection
        .prepare(&format!(
            "SELECT what, model, (SELECT text FROM name WHERE name.id = model) AS name, ours, how, origin, class, \
             sum(times) AS times, sum(took) AS took, sum(read) AS read FROM ({}) \
             GROUP BY what, model, ours, how, origin, class ORDER BY model",
            parts.join(" UNION ALL ")
        ))?
        .query_map(params![server, before], count)?
        .collect()
}

fn count(row: &Row<'_>) -> rusqlite::Result<Count> {
    let number = |name: &str| -> rusqlite::Result<u64> {
        Ok(u64::try_from(row.get::<_, i64>(name)?).unwrap_or_default())
    };
    let model = || -> rusqlite::Result<ModelName> {
        Ok(ModelName::from_server(row.get::<_, Option<String>>("name")?.as_deref().unwrap_or("?")))
    };
    let how: String = row.get("how")?;
    let what = match row.get::<_, String>("what")?.as_str() {
        "swap" => What::Swap {
            model: model()?,
            ours: row.get("ours")?,
            end: match how.as_str() {
                "ready" => End::Ready,
                "cancelled" => End::Cancelled,
                _ => End::Failed,
            },
            from: match row.get::<_, String>("origin")?.as_str() {
                "disk" => Origin::Disk,
                "ram" => Origin::Ram,
                "both" => Origin::Both,
                _ => Origin::Unknown,
            },
            class: place(row.get("class")?),
        },
        "left" => What::Left {
            model: model()?,
            how: match how.as_str() {
                "evicted" => How::Evicted,
                "expired" => How::Expired,
                "died" => How::Died,
                _ => How::Unloaded,
            },
        },
        "used" => What::Used { model: model()? },
        "phase" => What::Phase,
        _ => What::Foreseen { right: how == "right" },
    };
    let took = Duration::from_micros(number("took")?);
    Ok(Count { what, times: number("times")?, took, read: Bytes(number("read")?) })
}

/// Where a class of the file is among those of this version.
fn place(class: i64) -> Option<usize> {
    let millis = u64::try_from(class).ok()?;
    let longer = CLASSES.len();
    Some(if millis == 0 { longer } else { CLASSES.iter().position(|most| millis <= *most).unwrap_or(longer) })
}

#[cfg(test)]
mod tests;
