//! Rows: a swap, a departure, a use and a phase as the file has them, and back. A word that this version does not know
//! is read as the one that says least.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, RowIndex, named_params, params};

use crate::residency::bytes::Bytes;
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::record::{Foreseen, Happened, Left, PhaseRecord, SwapRecord};
use crate::residency::swap::{Before, Ended, Stage, Stages, Way};

/// The columns of each table that the functions below read, names in clear.
pub(super) const SWAP: &str = "at, (SELECT text FROM name WHERE name.id = swap.model) AS model, ours, displaced, \
     whole, in_vram, ram, estimate, way, mode, num_ctx, unload, gone, card_free, read, read_took, load, server_load, \
     first_token, total, ended, stage, why, waited, displaced_known";
pub(super) const GONE: &str = "at, (SELECT text FROM name WHERE name.id = gone.model) AS model, how, \
     (SELECT text FROM name WHERE name.id = gone.by) AS by";
pub(super) const USED: &str = "at, (SELECT text FROM name WHERE name.id = used.model) AS model, idle";
pub(super) const PHASE: &str = "at, run, phase, (SELECT text FROM name WHERE name.id = phase.model) AS model, \
     (SELECT text FROM name WHERE name.id = phase.next) AS next, swap";
pub(super) const FORECAST: &str = "at, (SELECT text FROM name WHERE name.id = forecast.model) AS model, num_ctx, \
     right, said, took, size";

/// Of what others wrote in an error or called a run, no more is kept.
const LONGEST: usize = 400;

/// The number of a server's or a model's name.
pub(super) fn name(connection: &Connection, text: &str) -> rusqlite::Result<i64> {
    connection.prepare("INSERT INTO name (text) VALUES (?1) ON CONFLICT DO NOTHING")?.execute([text])?;
    connection.prepare("SELECT id FROM name WHERE text = ?1")?.query_row([text], |row| row.get(0))
}

fn model(connection: &Connection, model: &ModelName) -> rusqlite::Result<i64> {
    name(connection, model.as_str())
}

fn model_if(connection: &Connection, name: Option<&ModelName>) -> rusqlite::Result<Option<i64>> {
    name.map(|name| model(connection, name)).transpose()
}

/// Adds what happened at `at` on the server with this number.
pub(super) fn insert(connection: &Connection, server: i64, at: i64, what: &Happened) -> rusqlite::Result<()> {
    match what {
        Happened::Swap(swap) => insert_swap(connection, server, at, swap),
        Happened::Left { model: left, how } => {
            let (how, by) = match how {
                Left::Unloaded => ("unloaded", None),
                Left::Evicted { by } => ("evicted", by.as_ref()),
                Left::Expired => ("expired", None),
                Left::Died => ("died", None),
                Left::Unknown => ("unknown", None),
            };
            let (left, by) = (model(connection, left)?, model_if(connection, by)?);
            connection
                .prepare("INSERT INTO gone (server, at, model, how, by) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![server, at, left, how, by])
                .map(|_| ())
        }
        Happened::Used { model: used, idle } => connection
            .prepare("INSERT INTO used (server, at, model, idle) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![server, at, model(connection, used)?, idle.map(micros)])
            .map(|_| ()),
        Happened::Phase(phase) => {
            let (of, next) =
                (model_if(connection, phase.model.as_ref())?, model_if(connection, phase.next.as_ref())?);
            let (run, name, swap) = (clipped(&phase.run), clipped(&phase.phase), micros(phase.swap));
            connection
                .prepare(
                    "INSERT INTO phase (server, at, run, phase, model, next, swap) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![server, at, run, name, of, next, swap])
                .map(|_| ())
        }
        Happened::Foreseen(one) => connection
            .prepare(
                "INSERT INTO forecast (server, at, model, num_ctx, right, said, took, size) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                server,
                at,
                model(connection, &one.model)?,
                one.num_ctx.map(|tokens| size(Bytes(tokens))),
                one.right,
                one.said.map(size),
                size(one.took),
                size(one.size),
            ])
            .map(|_| ()),
    }
}

fn insert_swap(connection: &Connection, server: i64, at: i64, swap: &SwapRecord) -> rusqlite::Result<()> {
    let displaced: Vec<&str> = swap.displaced.iter().flatten().map(ModelName::as_str).collect();
    let (ended, stage, why) = match &swap.ended {
        Ended::Ready => ("ready", None, None),
        Ended::Failed { stage, why } => ("failed", Some(stage.word()), Some(clipped(why))),
        Ended::Cancelled { stage } => ("cancelled", Some(stage.word()), None),
    };
    let (before, stages) = (&swap.before, &swap.stages);
    connection
        .prepare(
            "INSERT INTO swap (server, at, model, ours, displaced, whole, in_vram, ram, estimate, way, mode, num_ctx, \
             unload, gone, card_free, read, read_took, load, server_load, first_token, total, ended, stage, why, cold, \
             waited, displaced_known) \
             VALUES (:server, :at, :model, :ours, :displaced, :whole, :in_vram, :ram, :estimate, :way, :mode, :num_ctx, \
             :unload, :gone, :card_free, :read, :read_took, :load, :server_load, :first_token, :total, :ended, :stage, \
             :why, :cold, :waited, :displaced_known)",
        )?
        .execute(named_params! {
            ":server": server,
            ":at": at,
            ":model": model(connection, &swap.model)?,
            ":ours": swap.ours,
            ":displaced": serde_json::Value::from(displaced).to_string(),
            ":whole": size(before.whole),
            ":in_vram": before.in_vram,
            ":ram": before.ram.map(size),
            ":estimate": before.estimate,
            ":way": swap.way.word(),
            ":mode": mode_word(swap.mode),
            ":num_ctx": swap.num_ctx.map(|tokens| size(Bytes(tokens))),
            ":unload": stages.unload.map(micros),
            ":gone": stages.gone.map(micros),
            ":card_free": stages.card_free.map(micros),
            ":read": stages.read.map(size),
            ":read_took": stages.read_took.map(micros),
            ":load": stages.load.map(micros),
            ":server_load": stages.server_load.map(micros),
            ":first_token": stages.first_token.map(micros),
            ":total": stages.total.map(micros),
            ":ended": ended,
            ":stage": stage,
            ":why": why,
            // What waited says nothing of the disk.
            ":cold": swap.was_cold() && stages.waited.is_none(),
            ":waited": stages.waited.map(micros),
            ":displaced_known": swap.displaced.is_some(),
        })
        .map(|_| ())
}

/// Reads the columns [`SWAP`].
pub(super) fn swap(row: &Row<'_>) -> rusqlite::Result<(Timestamp, SwapRecord)> {
    let displaced: Vec<String> =
        serde_json::from_str(&text(row, "displaced")?.unwrap_or_default()).unwrap_or_default();
    let stages = Stages {
        waited: time(row, "waited")?,
        unload: time(row, "unload")?,
        gone: time(row, "gone")?,
        card_free: time(row, "card_free")?,
        read: bytes(row, "read")?,
        read_took: time(row, "read_took")?,
        load: time(row, "load")?,
        server_load: time(row, "server_load")?,
        first_token: time(row, "first_token")?,
        total: time(row, "total")?,
    };
    let before = Before {
        whole: bytes(row, "whole")?.unwrap_or_default(),
        in_vram: row.get("in_vram")?,
        ram: bytes(row, "ram")?,
        estimate: row.get("estimate")?,
    };
    let record = SwapRecord {
        model: model_in(row, "model")?,
        ours: row.get("ours")?,
        displaced: row
            .get::<_, bool>("displaced_known")?
            .then(|| displaced.iter().map(|name| ModelName::from_server(name)).collect()),
        before,
        way: text(row, "way")?.and_then(|word| word.parse().ok()).unwrap_or(Way::Off),
        mode: mode_of(&text(row, "mode")?.unwrap_or_default()),
        num_ctx: bytes(row, "num_ctx")?.map(|tokens| tokens.0),
        stages,
        ended: ended(row)?,
    };
    Ok((at(row)?, record))
}

fn ended(row: &Row<'_>) -> rusqlite::Result<Ended> {
    let word = text(row, "stage")?;
    let stage =
        Stage::ALL.into_iter().find(|stage| Some(stage.word()) == word.as_deref()).unwrap_or(Stage::Load);
    Ok(match text(row, "ended")?.as_deref() {
        Some("ready") => Ended::Ready,
        Some("cancelled") => Ended::Cancelled { stage },
        _ => Ended::Failed { stage, why: text(row, "why")?.unwrap_or_default() },
    })
}

/// Reads the columns [`GONE`].
pub(super) fn left(row: &Row<'_>) -> rusqlite::Result<(Timestamp, Happened)> {
    let how = match text(row, "how")?.as_deref() {
        Some("evicted") => Left::Evicted { by: model_of(row, "by")? },
        Some("expired") => Left::Expired,
        Some("died") => Left::Died,
        Some("unloaded") => Left::Unloaded,
        _ => Left::Unknown,
    };
    let model = model_in(row, "model")?;
    Ok((at(row)?, Happened::Left { model, how }))
}

/// Reads the columns [`USED`].
pub(super) fn used(row: &Row<'_>) -> rusqlite::Result<(Timestamp, Happened)> {
    let model = model_in(row, "model")?;
    Ok((at(row)?, Happened::Used { model, idle: time(row, "idle")? }))
}

/// Reads the columns [`PHASE`].
pub(super) fn phase(row: &Row<'_>) -> rusqlite::Result<(Timestamp, PhaseRecord)> {
    let record = PhaseRecord {
        run: text(row, "run")?.unwrap_or_default(),
        phase: text(row, "phase")?.unwrap_or_default(),
        model: model_of(row, "model")?,
        next: model_of(row, "next")?,
        swap: time(row, "swap")?.unwrap_or_default(),
    };
    Ok((at(row)?, record))
}

/// Reads the columns [`FORECAST`].
pub(super) fn foreseen(row: &Row<'_>) -> rusqlite::Result<(Timestamp, Foreseen)> {
    let foreseen = Foreseen {
        model: model_in(row, "model")?,
        num_ctx: bytes(row, "num_ctx")?.map(|tokens| tokens.0),
        right: row.get("right")?,
        said: bytes(row, "said")?,
        took: bytes(row, "took")?.unwrap_or_default(),
        size: bytes(row, "size")?.unwrap_or_default(),
    };
    Ok((at(row)?, foreseen))
}

fn at(row: &Row<'_>) -> rusqlite::Result<Timestamp> {
    row.get("at").map(|micros| Timestamp::from_microsecond(micros).unwrap_or_default())
}

fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Duration>> {
    let micros: Option<i64> = row.get(column)?;
    Ok(micros.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros))
}

fn bytes(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Bytes>> {
    let bytes: Option<i64> = row.get(column)?;
    Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(Bytes))
}

/// A text as far as it is one: damaged bytes are replaced, since a single one must not cost all rows.
pub(super) fn text(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}

pub(super) fn model_of(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<Option<ModelName>> {
    Ok(text(row, column)?.map(|name| ModelName::from_server(&name)))
}

/// A model of which the file may have lost the name.
pub(super) fn model_in(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<ModelName> {
    Ok(model_of(row, column)?.unwrap_or_else(|| ModelName::from_server("?")))
}

/// As the file has it.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn size(bytes: Bytes) -> i64 {
    i64::try_from(bytes.0).unwrap_or(i64::MAX)
}

fn clipped(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

const MODES: [(LoadMode, &str); 5] = [
    (LoadMode::Mmap, "mmap"),
    (LoadMode::Buffered, "buffered"),
    (LoadMode::Direct, "direct"),
    (LoadMode::InTree, "in tree"),
    (LoadMode::Unknown, "unknown"),
];

fn mode_word(mode: LoadMode) -> &'static str {
    MODES.iter().find(|(known, _)| *known == mode).map_or("unknown", |(_, word)| word)
}

fn mode_of(word: &str) -> LoadMode {
    MODES.iter().find(|(_, known)| *known == word).map_or(LoadMode::Unknown, |(mode, _)| *mode)
}
