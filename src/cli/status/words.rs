//! What the table and the JSON say alike: states, reasons for what is unknown, who is in VRAM, who is near.

use crate::residency::bytes::Bytes;
use crate::residency::snapshot::{Loaded, Model, Snapshot, State};
use crate::residency::tier::Cached;

/// A state's name for scripts.
pub(super) fn state_key(state: State) -> &'static str {
    match state {
        State::OnDisk => "on_disk",
        State::InRam { .. } => "in_ram",
        State::NotLoaded => "not_loaded",
        State::Loading { .. } => "loading",
        State::Idle => "idle",
        State::Busy => "busy",
        State::BusyOrUnloading => "busy_or_unloading",
        State::Unloading => "unloading",
        State::Overdue => "overdue",
        State::Ghost => "ghost",
        State::NotHere => "not_here",
        State::Cloud => "cloud",
    }
}

/// A state for eyes; `in_ram` is the share in RAM as the other columns show it.
pub(super) fn state_words(model: &Model, in_ram: u8) -> String {
    let words = match model.state {
        State::OnDisk => "on disk",
        State::InRam { estimate, .. } => {
            return format!("in RAM {}{in_ram} %", if estimate { "~" } else { "" });
        }
        State::NotLoaded => "not loaded",
        State::Loading { .. } => match model.progress {
            Some(progress) => return format!("loading {}", progress.words()),
            None => "loading",
        },
        State::Idle => "idle",
        State::Busy => "busy",
        State::BusyOrUnloading => "busy or unloading",
        State::Unloading => "unloading",
        State::Overdue => "overdue",
        State::Ghost => "ghost: its runner is dead",
        State::NotHere => "not on this machine",
        State::Cloud => "in the cloud",
    };
    if model.pinned { format!("{words}, pinned") } else { words.to_owned() }
}

/// Why it cannot be said how much of a model is in RAM; `None` where it can.
pub(in crate::cli) fn ram_unknown(model: &Model) -> Option<&str> {
    match &model.cached {
        _ if model.tiers.unknown == Bytes::ZERO => None,
        _ if model.state == State::Cloud => Some("it runs in the cloud"),
        Cached::Unknown(why) => Some(why),
        _ if model.state == State::NotHere => Some("its files are not on this machine"),
        Cached::Unread => Some("not read yet"),
        Cached::Exact(_) | Cached::Sampled(_) => Some("not all of it could be read"),
    }
}

/// Whether a model's tiers rest on samples.
pub(in crate::cli) fn is_estimate(model: &Model) -> bool {
    model.loaded.is_none() && model.cached.is_estimate()
}

/// The processor split as `ollama ps` words it.
pub(super) fn processor(loaded: &Loaded) -> Option<String> {
    let (whole, vram) = (loaded.size, loaded.size_vram);
    if whole == Bytes::ZERO || vram > whole {
        return None;
    }
    if vram == Bytes::ZERO {
        return Some("100% CPU".to_owned());
    }
    if vram == whole {
        return Some("100% GPU".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share lies in 0 to 1")]
    let cpu = (whole.minus(vram).share_of(whole) * 100.0).round() as u8;
    Some(format!("{cpu}%/{}% CPU/GPU", 100 - cpu))
}

/// The model that is in VRAM; of several the one with most bytes there.
pub(super) fn vram_model(snapshot: &Snapshot) -> Option<&Model> {
    let on_card = |model: &&Model| {
        model.has_runner() && model.loaded.as_ref().is_some_and(|l| l.size_vram > Bytes::ZERO)
    };
    // `max_by_key` takes the last of equals: reversed, that is the first in the table.
    models(snapshot)
        .filter(on_card)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .max_by_key(|model| model.loaded.as_ref().map(|loaded| loaded.size_vram))
}

/// The models that a load need not fetch from disk: loaded, or (nearly) all in RAM.
pub(super) fn preloaded(snapshot: &Snapshot) -> impl Iterator<Item = &Model> {
    models(snapshot).filter(|model| model.needs_no_disk())
}

fn models(snapshot: &Snapshot) -> impl Iterator<Item = &Model> {
    snapshot.servers.iter().flat_map(|server| &server.models)
}
