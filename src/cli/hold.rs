//! `hold`: reads models into RAM and keeps them there for as long as the command runs.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::act::{self, Limits, Request};
use super::out::Out;
use super::{Exit, ready};
use crate::config::{Config, Hold};
use crate::engine::Handle;
use crate::residency::act::ActKind;
use crate::residency::budget;
use crate::residency::bytes::Bytes;
use crate::residency::event::{DROPPED_BY_ANOTHER, What};
use crate::residency::hold::How;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Snapshot};
use crate::residency::text::printable;

/// How long the first look at what is held is waited for.
const LOOK: Duration = Duration::from_secs(5);
/// How often a service tries again to hold what it lost: a model that was installed anew has other files.
const AGAIN: Duration = Duration::from_secs(30);

/// Warms and holds the models, then waits until `interrupt` ends and lets go. A service (`foreground`) goes on without
/// the ones that cannot be held, and tries them again.
pub async fn run(
    mut handle: Handle,
    request: &Request,
    config: &Config,
    foreground: bool,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    if request.read_only {
        out.remark("read-only: nothing is changed, so nothing is held");
        return Exit::Usage;
    }
    let seen = handle.snapshot().events.back().map_or(0, |event| event.number);
    let mut interrupt = std::pin::pin!(interrupt);
    let deadline = request.timeout.map(|timeout| Instant::now() + timeout);
    let mut limits = Limits { interrupt: interrupt.as_mut(), deadline };
    if config.preload.hold == Hold::Mlock {
        say_what_a_lock_means(&mut handle, request, out).await;
    }
    let exit = match act::carry_out(&mut handle, request, &mut limits, out).await {
        Ok(exit) => exit,
        Err(error) => {
            out.remark(&format!("cannot write the result: {error}"));
            return Exit::Failed;
        }
    };
    first_look(&mut handle).await;
    if kept(&handle.snapshot()).next().is_none() && !(foreground && exit == Exit::Failed) {
        return if exit == Exit::Done { Exit::Failed } else { exit };
    }
    out.remark(&holding(&handle.snapshot()));
    let ended = tokio::select! {
        () = interrupt => None,
        why = watch(&mut handle, request, foreground, seen, out) => Some(why),
    };
    match ended {
        None => exit,
        Some(why) => {
            out.remark(why);
            Exit::Failed
        }
    }
}

/// Locked memory is no longer available to the server, which may then load in another way.
async fn say_what_a_lock_means(handle: &mut Handle, request: &Request, out: &mut Out<'_>) {
    // Without a server nothing will be locked either; carrying the request out says so.
    ready::server(handle, Instant::now() + ready::PATIENCE).await;
    let snapshot = ready::readings(handle, Instant::now() + LOOK).await;
    let (Some(ram), Some(server)) = (snapshot.host.ram, snapshot.servers.first()) else { return };
    let models = request.models.iter().filter_map(|name| server.model(name));
    let size: Bytes = models.map(|model| model.size).sum();
    if size == Bytes::ZERO {
        return;
    }
    let largest = server.models.iter().map(|model| model.size).max().unwrap_or_default();
    let left = ram.value.available.minus(size);
    let words = budget::server_sees(ram.value.available, size, largest, ram.value.total)
        .unwrap_or_else(|| format!("the server will see {left} free"));
    out.remark(&format!("locking {size}: {words}"));
}

fn kept(snapshot: &Snapshot) -> impl Iterator<Item = &Model> {
    snapshot.servers.iter().flat_map(|server| &server.models).filter(|model| model.kept.is_some())
}

/// Waits until all that is kept has been looked at.
async fn first_look(handle: &mut Handle) {
    let until = Instant::now() + LOOK;
    let is_seen = |model: &Model| {
        let files = model.kept.as_ref().and_then(|kept| kept.files.as_ref());
        files.is_some_and(|files| {
            files.resident > Bytes::ZERO || files.trouble.is_some() || files.fading.is_some()
        })
    };
    loop {
        let snapshot = handle.snapshots.borrow_and_update().clone();
        if kept(&snapshot).all(is_seen)
            || !matches!(timeout_at(until, handle.snapshots.changed()).await, Ok(Ok(())))
        {
            return;
        }
    }
}

/// What is held, as the holder measured it.
fn holding(snapshot: &Snapshot) -> String {
    let count = kept(snapshot).count();
    let files = || kept(snapshot).filter_map(|model| model.kept.as_ref()?.files.as_ref());
    let resident: Bytes = files().map(|files| files.resident).sum();
    let locked: Bytes = files().map(|files| files.locked).sum();
    let is_locked = files().any(|files| files.how == How::Lock);
    let locked = if is_locked { format!(", {locked} of it locked") } else { String::new() };
    let plural = if count == 1 { "" } else { "s" };
    format!("holding {count} model{plural}, {resident}{locked}; end it with Ctrl-C")
}

/// Says what happens to what is held; ends with the reason when there is nothing to hold any more.
async fn watch(
    handle: &mut Handle,
    request: &Request,
    foreground: bool,
    mut seen: u64,
    out: &mut Out<'_>,
) -> &'static str {
    let mut given_up: Vec<ModelName> = Vec::new();
    let mut again = Instant::now() + AGAIN;
    loop {
        let snapshot = handle.snapshots.borrow_and_update().clone();
        let before = std::mem::replace(&mut seen, snapshot.events.back().map_or(0, |event| event.number));
        for event in snapshot.events.iter().filter(|event| event.number > before) {
            let Some(model) = event.model.as_ref().filter(|model| request.models.contains(model)) else {
                continue;
            };
            let words = match &event.what {
                What::Faded { from, to } => format!("fading: {from} -> {to} % in RAM"),
                What::HoldTrouble { why } => printable(why).into_owned(),
                What::Released { why: Some(why) } => {
                    if why == DROPPED_BY_ANOTHER {
                        // Somebody wants it gone: it is not held again.
                        given_up.push(model.clone());
                    }
                    format!("no longer held: {}", printable(why))
                }
                _ => continue,
            };
            out.remark(&format!("{model} {words}"));
        }
        if !foreground && kept(&snapshot).next().is_none() {
            return "nothing is held any more";
        }
        tokio::select! {
            changed = handle.snapshots.changed() => if changed.is_err() { return "the engine has stopped" },
            () = sleep_until(again), if foreground => {
                try_again(handle, request, &given_up);
                again = Instant::now() + AGAIN;
            }
        }
    }
}

/// Asks again for what is to be held and is not, or not whole.
fn try_again(handle: &Handle, request: &Request, given_up: &[ModelName]) {
    let snapshot = handle.snapshot();
    let Some(server) = snapshot.servers.first() else { return };
    let is_lost = |model: &&Model| {
        let files = model.kept.as_ref().and_then(|kept| kept.files.as_ref());
        files.is_none_or(|files| files.resident == Bytes::ZERO && files.fading.is_none())
    };
    let wanted = request.models.iter().filter(|name| !given_up.contains(name));
    for model in wanted.filter_map(|name| server.model(name)).filter(is_lost) {
        // A full queue is tried again at the next turn.
        let _ = handle.act(ActKind::Hold, model.name.clone());
    }
}
