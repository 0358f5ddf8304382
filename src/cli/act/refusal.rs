//! Which acts ask first: those that disturb a pinned or busy model, which cannot be undone cheaply.

use crate::config::Confirm;
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Server, State};

/// Why the act needs `--yes`, naming the model it would disturb; `None` if it does not.
pub(in crate::cli) fn refusal(
    server: &Server,
    kind: ActKind,
    name: &ModelName,
    confirm: Confirm,
) -> Option<String> {
    match confirm {
        Confirm::Never => None,
        _ if kind == ActKind::Drop => Some("its next load would have to read the disk".to_owned()),
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

/// The pinned or busy models that loading this one is forecast to evict; all of them where nothing can be foreseen.
fn displaces(server: &Server, model: &Model) -> Option<String> {
    let Some(forecast) = &model.forecast else {
        if !needs_room(model) {
            return None;
        }
        let at_stake: Vec<String> = server
            .models
            .iter()
            .filter_map(|other| trouble(other).map(|trouble| format!("{} is {trouble}", other.name)))
            .collect();
        let at_stake = (!at_stake.is_empty()).then(|| at_stake.join(", "))?;
        return Some(format!("what the server would evict cannot be foreseen; {at_stake}"));
    };
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

/// Whether only a forecast that is not there yet keeps the act from being judged.
pub(in crate::cli) fn lacks_forecast(server: &Server, kind: ActKind, name: &ModelName) -> bool {
    matches!(kind, ActKind::Load | ActKind::Swap | ActKind::Pin)
        && server.local
        && server.model(name).is_some_and(|model| {
            model.loaded.is_none() && model.forecast.is_none() && displaces(server, model).is_some()
        })
}

/// What runs in the cloud takes no room here.
fn needs_room(model: &Model) -> bool {
    model.state != State::Cloud && model.details.remote_host.is_none()
}

/// What makes a loaded model one to ask about.
fn trouble(model: &Model) -> Option<&'static str> {
    model.loaded.as_ref()?;
    match model.state {
        State::Busy => Some("working on a request"),
        State::BusyOrUnloading => Some("past its time: busy or already unloading"),
        State::Ghost | State::Unloading => None,
        _ => model.pin_word(),
    }
}
