//! The history for scripts: JSON, and CSV with the same names; times in seconds, sizes in bytes, what is unknown empty.

use serde_json::{Map, Value, json as object};

use crate::cli::status::{script_name, seconds};
use crate::cli::swap::names;
use crate::residency::name::ModelName;
use crate::residency::record::{Day, Happened, Left, Record, SwapRecord};
use crate::residency::swap::Ended;
use crate::residency::text::printable;

/// The version of the JSON and of the CSV's columns; it rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// All keys that a record can have, in the order of the CSV's columns.
const COLUMNS: [&str; 31] = [
    "at",
    "kind",
    "model",
    "ours",
    "displaced",
    "ended",
    "stage",
    "why",
    "total_seconds",
    "unload_seconds",
    "gone_seconds",
    "card_free_seconds",
    "read_seconds",
    "read_bytes",
    "load_seconds",
    "server_load_seconds",
    "first_token_seconds",
    "size_bytes",
    "in_vram",
    "ram_bytes",
    "ram_estimate",
    "cold",
    "way",
    "num_ctx",
    "how",
    "by",
    "idle_seconds",
    "run",
    "phase",
    "next",
    "waited_seconds",
];

/// Records as JSON, newest first.
pub fn json(server: &str, records: &[Record]) -> Value {
    object!({
        "schema_version": SCHEMA_VERSION,
        "server": server,
        "records": records.iter().map(|record| Value::Object(entry(record))).collect::<Vec<_>>(),
    })
}

/// Records as CSV, newest first, with a line of names above.
pub fn csv(records: &[Record]) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for record in records {
        let entry = entry(record);
        let cells: Vec<String> = COLUMNS.iter().map(|column| cell(entry.get(*column))).collect();
        text += &cells.join(",");
        text.push('\n');
    }
    text
}

/// A day as JSON.
pub fn day_json(server: &str, day: &Day) -> Value {
    object!({
        "schema_version": SCHEMA_VERSION,
        "server": server,
        "swaps": day.swaps,
        "not_timed": day.not_timed,
        "waited_seconds": seconds(day.waited),
        "cold_seconds": day.cold.map(seconds),
        "median_seconds": day.median.map(seconds),
    })
}

/// A day as CSV.
pub fn day_csv(day: &Day) -> String {
    let cold = cell(day.cold.map(seconds).as_ref());
    let median = cell(day.median.map(seconds).as_ref());
    format!(
        "swaps,not_timed,waited_seconds,cold_seconds,median_seconds\n{},{},{},{cold},{median}\n",
        day.swaps,
        day.not_timed,
        seconds(day.waited)
    )
}

/// One cell: quoted where it must be, and without what a terminal must not get.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => printable(text).into_owned(),
        // Names have no spaces.
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            printable(&names.join(" ")).into_owned()
        }
        Some(other) => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn entry(record: &Record) -> Map<String, Value> {
    let name = |name: &ModelName| Value::from(script_name(name));
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| {
        debug_assert!(COLUMNS.contains(&key));
        map.insert(key.to_owned(), value);
    };
    put("at", record.at.to_string().into());
    match &record.what {
        Happened::Swap(swap) => {
            put("kind", "swap".into());
            put("model", name(&swap.model));
            swap_entry(swap, &mut put);
        }
        Happened::Left { model, how } => {
            put("kind", "left".into());
            put("model", name(model));
            let (how, by) = match how {
                Left::Unloaded => ("unloaded", None),
                Left::Evicted { by } => ("evicted", by.as_ref()),
                Left::Expired => ("expired", None),
                Left::Died => ("died", None),
                Left::Unknown => ("unknown", None),
            };
            put("how", how.into());
            put("by", by.map(name).into());
        }
        Happened::Used { model, idle } => {
            put("kind", "used".into());
            put("model", name(model));
            put("idle_seconds", idle.map(seconds).into());
        }
        Happened::Phase(phase) => {
            put("kind", "phase".into());
            put("run", phase.run.as_str().into());
            put("phase", phase.phase.as_str().into());
            put("model", phase.model.as_ref().map(name).into());
            put("next", phase.next.as_ref().map(name).into());
            put("total_seconds", seconds(phase.swap));
        }
        Happened::Foreseen(foreseen) => {
            put("kind", "forecast".into());
            put("model", name(&foreseen.model));
            put("num_ctx", foreseen.num_ctx.into());
        }
    }
    map
}

fn swap_entry(swap: &SwapRecord, put: &mut impl FnMut(&str, Value)) {
    let (before, stages) = (&swap.before, &swap.stages);
    let (ended, stage, why) = match &swap.ended {
        Ended::Ready => ("ready", None, None),
        Ended::Failed { stage, why } => ("failed", Some(stage.word()), Some(why.as_str())),
        Ended::Cancelled { stage } => ("cancelled", Some(stage.word()), None),
    };
    put("ours", swap.ours.into());
    put("displaced", names(swap.displaced.as_deref()));
    put("ended", ended.into());
    put("stage", stage.into());
    put("why", why.into());
    put("total_seconds", stages.total.map(seconds).into());
    put("unload_seconds", stages.unload.map(seconds).into());
    put("gone_seconds", stages.gone.map(seconds).into());
    put("card_free_seconds", stages.card_free.map(seconds).into());
    put("read_seconds", stages.read_took.map(seconds).into());
    put("read_bytes", stages.read.map(|read| read.0).into());
    put("load_seconds", stages.load.map(seconds).into());
    put("server_load_seconds", stages.server_load.map(seconds).into());
    put("first_token_seconds", stages.first_token.map(seconds).into());
    put("waited_seconds", stages.waited.map(seconds).into());
    put("size_bytes", before.whole.0.into());
    put("in_vram", before.in_vram.into());
    put("ram_bytes", before.ram.map(|ram| ram.0).into());
    put("ram_estimate", before.estimate.into());
    put("cold", swap.was_cold().into());
    put("way", swap.way.word().into());
    put("num_ctx", swap.num_ctx.into());
}
