//! What is waited for before a swap, so that its plan is made from what is known and not from what is not read yet.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::act::ending::Ending;
use crate::cli::act::{self, FORESIGHT, Limits};
use crate::cli::ready;
use crate::engine::{Command, Handle};
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Server, Snapshot, State};
use crate::residency::tier::Cached;

/// How long the residency of its files is waited for: mostly some milliseconds, and a warm swap must not wait for more.
const RESIDENCY: Duration = Duration::from_millis(500);

/// Waits until the server is known, and of the model what must go for it and how much of it is in RAM, as far as that
/// comes soon; of one that is listed as loaded, that its runner lives.
pub(in crate::cli) async fn known<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &act::Request,
    model: &ModelName,
    limits: &mut Limits<'_, F>,
) -> Result<Arc<Snapshot>, Ending> {
    let asked = Instant::now();
    let patience = limits.deadline.unwrap_or(asked + ready::PATIENCE);
    // What the server tells of this model is asked first. A queue that is full at once asks in its usual order.
    let _ = handle.send(Command::Look { model: model.clone() });
    act::reach(handle, patience, limits).await?;
    let planned = async {
        let foreseen = patience.min(asked + FORESIGHT);
        ready::forecasts(handle, foreseen, |snapshot| lacks_forecast_of(snapshot, model)).await;
        // A machine that is busy takes its time; what is not to be seen is known soon as well.
        ready::all(handle, foreseen, |snapshot| lacks_runner_of(snapshot, model)).await;
        let read = patience.min(Instant::now() + RESIDENCY);
        let lacks_pins = |snapshot: &Snapshot| act::pins::lacks(snapshot, request);
        ready::all(handle, read, |s| lacks_residency_of(s, model) || lacks_pins(s)).await
    };
    tokio::select! {
        snapshot = planned => Ok(snapshot),
        () = limits.interrupt.as_mut() => Err(Ending::Interrupted),
    }
}

/// Whether what must go is still to be foreseen, where anything is loaded at all.
fn lacks_forecast_of(snapshot: &Snapshot, name: &ModelName) -> bool {
    let Some((server, model)) = unloaded(snapshot, name) else { return false };
    let is_full = server.models.iter().any(|other| other.loaded.is_some());
    let foresees = !server.local || model.forecast.is_some() || model.state == State::Cloud;
    is_full && !foresees
}

/// Whether it is still to be read how much of the model is in RAM.
fn lacks_residency_of(snapshot: &Snapshot, name: &ModelName) -> bool {
    unloaded(snapshot, name).is_some_and(|(server, model)| server.local && model.cached == Cached::Unread)
}

/// Whether it is still to be seen that the model has a runner, if it is listed as loaded: without one a touch would load
/// it. Of one that is to be loaded, whether the others have one, which may go for it. Which is whose is known with their
/// files.
fn lacks_runner_of(snapshot: &Snapshot, name: &ModelName) -> bool {
    let Some(server) = snapshot.servers.first().filter(|server| server.local) else { return false };
    let is_away = unloaded(snapshot, name).is_some();
    let matters = |model: &&Model| is_away || model.name == *name;
    let unseen = |model: &&Model| model.loaded.as_ref().is_some_and(|loaded| loaded.runner.is_none());
    let mut unseen = server.models.iter().filter(matters).filter(unseen);
    unseen.any(|model| server.runners.is_none() || model.cached == Cached::Unread)
}

fn unloaded<'a>(snapshot: &'a Snapshot, name: &ModelName) -> Option<(&'a Server, &'a Model)> {
    let server = snapshot.servers.first()?;
    server.model(name).filter(|model| model.loaded.is_none()).map(|model| (server, model))
}
