//! Which acts ask first: those that disturb a pinned or busy model, which cannot be undone cheaply.

use crate::config::Confirm;
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Server, State};

/// Why the act needs `--yes`, naming the model it would disturb; `None` if it does not.
pub(super) fn refusal(server: &Server, kind: ActKind, name: &ModelName, confirm: Confirm) -> Option<String> {
    match confirm {
        Confirm::Never => None,
        Confirm::Always => Some("the config asks before every act (ui.confirm: always)".to_owned()),
        Confirm::Risky => risk(server, kind, server.model(name)?),
    }
}

fn risk(server: &Server, kind: ActKind, model: &Model) -> Option<String> {
    match kind {
        ActKind::Unload => trouble(model).map(|trouble| format!("it is {trouble}")),
        // A pin of a model that is not loaded loads it.
        ActKind::Load | ActKind::Swap | ActKind::Pin if model.loaded.is_none() => displaces(server, model),
        _ => None,
    }
}

/// The pinned or busy models that loading this one is forecast to evict.
fn displaces(server: &Server, model: &Model) -> Option<String> {
    let forecast = model.forecast.as_ref()?;
    let victims: Vec<String> = forecast
        .evicts
        .iter()
        .filter_map(|name| server.model(name))
        .filter_map(|victim| trouble(victim).map(|trouble| format!("{} ({trouble})", victim.name)))
        .collect();
    if victims.is_empty() {
        return None;
    }
    Some(format!("the server would evict ~ {}: {}", victims.join(", "), forecast.why))
}

/// What makes a loaded model one to ask about.
fn trouble(model: &Model) -> Option<&'static str> {
    model.loaded.as_ref()?;
    match model.state {
        State::Busy => Some("working on a request"),
        State::BusyOrUnloading => Some("past its time: busy or already unloading"),
        State::Ghost | State::Unloading => None,
        _ if model.pinned => Some("pinned"),
        _ => None,
    }
}
