//! What an act of the RAM tier came to, from the events that it left: in words, and as facts for a script.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::status::seconds;
use crate::residency::act::ActKind;
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;

/// The latest event of the model since `seen` that says what became of it.
fn told<'a>(snapshot: &'a Snapshot, kind: ActKind, model: &ModelName, seen: u64) -> Option<&'a What> {
    let is_of = |what: &What| match kind {
        ActKind::Warm | ActKind::Hold => matches!(what, What::Warmed { .. }),
        ActKind::Drop => matches!(what, What::Dropped { .. }),
        _ => false,
    };
    let mut events = snapshot.events.iter().rev().take_while(|event| event.number > seen);
    events.find(|event| event.model.as_ref() == Some(model) && is_of(&event.what)).map(|event| &event.what)
}

/// In words behind the model's name; `None` leaves the usual ones.
pub(in crate::cli) fn words(
    snapshot: &Snapshot,
    kind: ActKind,
    model: &ModelName,
    seen: u64,
) -> Option<String> {
    let held = if kind == ActKind::Hold { ", held" } else { "" };
    match told(snapshot, kind, model, seen)? {
        What::Warmed { took, read, percent, estimate } => {
            Some(format!("{}{held}", warmed(*took, *read, *percent, *estimate)))
        }
        What::Dropped { was: Bytes(0), .. } => Some("is not in RAM".to_owned()),
        What::Dropped { was, left: Bytes(0) } => Some(format!("dropped from RAM: {was}")),
        What::Dropped { was, left } => {
            Some(format!("dropped from RAM: {} of {was}, {left} stay", was.minus(*left)))
        }
        _ => None,
    }
}

fn warmed(took: Duration, read: Bytes, percent: Option<u8>, estimate: bool) -> String {
    let about = if estimate { "~" } else { "" };
    let share = percent.map_or_else(|| "? %".to_owned(), |percent| format!("{about}{percent} %"));
    if read == Bytes::ZERO {
        return format!("{share} in RAM, which was there already");
    }
    let time = took.as_secs_f64();
    let rate = match read.gb() / time {
        rate if !rate.is_finite() => String::new(),
        rate if rate < 0.1 => format!(", {:.0} MB/s", rate * 1e3),
        rate => format!(", {rate:.1} GB/s"),
    };
    format!("{share} in RAM: read {read} in {time:.2} s{rate}")
}

/// The same for a script; `None` for acts that leave nothing to tell.
pub(super) fn facts(snapshot: &Snapshot, kind: ActKind, model: &ModelName, seen: u64) -> Option<Value> {
    let mut facts = match told(snapshot, kind, model, seen) {
        Some(What::Warmed { took, read, percent, estimate }) => json!({
            "read_bytes": read,
            "read_seconds": seconds(*took),
            "ram_percent": percent,
            "estimate": estimate,
        }),
        Some(What::Dropped { was, left }) => json!({"dropped_bytes": was.minus(*left), "left_bytes": left}),
        _ if kind == ActKind::Hold => json!({"read_bytes": 0}),
        _ => return None,
    };
    if kind == ActKind::Hold {
        let kept =
            snapshot.servers.first().and_then(|server| server.model(model)?.kept.as_ref()?.files.as_ref());
        facts["held_bytes"] = kept.map(|files| files.resident).map_or(Value::Null, |bytes| bytes.0.into());
        facts["locked_bytes"] = kept.map(|files| files.locked).map_or(Value::Null, |bytes| bytes.0.into());
        facts["trouble"] = kept.and_then(|files| files.trouble.clone()).into();
    }
    Some(facts)
}
