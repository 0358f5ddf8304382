//! `hold`: reads models into RAM and keeps them there for as long as the command runs.

use std::time::Duration;

use tokio::time::sleep;

use super::Exit;
use super::act::{self, Limits, Request};
use super::out::Out;
use crate::config::{Config, Hold};
use crate::engine::Handle;
use crate::residency::budget;
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;

/// Warms and holds the models, then waits until `interrupt` ends and lets go.
pub async fn run(
    mut handle: Handle,
    request: &Request,
    config: &Config,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    if request.read_only {
        out.remark("read-only: nothing is changed, so nothing is held");
        return Exit::Usage;
    }
    let mut interrupt = std::pin::pin!(interrupt);
    let deadline = request.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let mut limits = Limits { interrupt: interrupt.as_mut(), deadline };
    if config.preload.hold == Hold::Mlock {
        say_what_a_lock_means(&handle, request, out).await;
    }
    match act::carry_out(&mut handle, request, &mut limits, out).await {
        Ok(Exit::Done) => holding(&handle.snapshot(), out),
        Ok(exit) => return exit,
        Err(error) => {
            out.remark(&format!("cannot write the result: {error}"));
            return Exit::Failed;
        }
    }
    tokio::select! {
        () = interrupt => {}
        () = watch(&mut handle, out) => {
            out.remark("the engine has stopped");
            return Exit::Failed;
        }
    }
    Exit::Done
}

/// Locked memory is no longer available to the server, which may then load in another way.
async fn say_what_a_lock_means(handle: &Handle, request: &Request, out: &mut Out<'_>) {
    // The sizes come with the first answers; carrying the request out waits for them too.
    for _ in 0..50 {
        let snapshot = handle.snapshot();
        let (Some(ram), Some(server)) = (snapshot.host.ram, snapshot.servers.first()) else { return };
        if server.tags_at.is_none() {
            sleep(Duration::from_millis(100)).await;
            continue;
        }
        let size: Bytes =
            request.models.iter().filter_map(|name| server.model(name)).map(|model| model.size).sum();
        let largest = server.models.iter().map(|model| model.size).max().unwrap_or_default();
        let left = ram.value.available.minus(size);
        let words = budget::server_sees(ram.value.available, size, largest, ram.value.total)
            .unwrap_or_else(|| format!("the server will see {left} free"));
        out.remark(&format!("locking {size}: {words}"));
        return;
    }
}

fn holding(snapshot: &Snapshot, out: &mut Out<'_>) {
    let models = snapshot.servers.iter().flat_map(|server| &server.models);
    let held = models.filter(|model| model.kept.is_some()).count();
    let plural = if held == 1 { "" } else { "s" };
    out.remark(&format!("holding {held} model{plural}, {}; end it with Ctrl-C", snapshot.host.holds));
}

/// Says what happens to what is held; ends only with the engine.
async fn watch(handle: &mut Handle, out: &mut Out<'_>) {
    let mut told = handle.snapshot().events.back().map_or(0, |event| event.number);
    while handle.snapshots.changed().await.is_ok() {
        let snapshot = handle.snapshots.borrow_and_update().clone();
        let known = std::mem::replace(&mut told, snapshot.events.back().map_or(0, |event| event.number));
        for event in snapshot.events.iter().filter(|event| event.number > known) {
            let Some(model) = &event.model else { continue };
            let words = match &event.what {
                What::Faded { from, to } => format!("fading: {from} -> {to} % in RAM"),
                What::HoldTrouble { why } => format!("held only in part: {}", printable(why)),
                What::Released { why: Some(why) } => format!("no longer held: {}", printable(why)),
                _ => continue,
            };
            out.remark(&format!("{model} {words}"));
        }
    }
}
