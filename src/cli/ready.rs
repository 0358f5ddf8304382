//! Waiting until the engine knows the server: a one-shot command must not answer from the first, empty snapshot.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::engine::Handle;
use crate::residency::host::Cards;
use crate::residency::snapshot::{Model, Reach, Server, Snapshot, State};
use crate::residency::text::printable;
use crate::residency::tier::Cached;

/// How long a one-shot command waits for a server that neither answers nor refuses.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the wait ended with.
#[derive(Debug, Clone)]
pub enum Ready {
    /// The server answered; this is known.
    Up(Arc<Snapshot>),
    /// It does not answer: what to tell the user.
    Down(String),
    /// Neither, until the time was up: what to tell the user.
    Late(String),
    /// The engine has ended.
    Ended,
}

/// Waits until the server's models are known, or it is known to be down.
pub async fn server(handle: &mut Handle, until: Instant) -> Ready {
    loop {
        let snapshot = Arc::clone(&handle.snapshots.borrow_and_update());
        if let Some(down) = down(&snapshot) {
            return Ready::Down(down);
        }
        if snapshot.servers.first().is_some_and(knows_models) {
            return Ready::Up(snapshot);
        }
        match timeout_at(until, handle.snapshots.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ready::Ended,
            Err(_) => return Ready::Late(late(&snapshot)),
        }
    }
}

/// Waits on until memory, cards and page cache are read too; gives what is known when the time is up.
pub async fn readings(handle: &mut Handle, until: Instant) -> Arc<Snapshot> {
    loop {
        let snapshot = Arc::clone(&handle.snapshots.borrow_and_update());
        if is_read(&snapshot) || down(&snapshot).is_some() {
            return snapshot;
        }
        if !matches!(timeout_at(until, handle.snapshots.changed()).await, Ok(Ok(()))) {
            return handle.snapshot();
        }
    }
}

/// Waits on until nothing that `lacks` is still missing, or it is known that it will never come: a forecast needs the
/// cards' memory, and what the server tells of the model.
pub(super) async fn forecasts(
    handle: &mut Handle,
    until: Instant,
    lacks: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let hidden = |snapshot: &Snapshot| {
        snapshot.host.cards.as_ref().is_some_and(|reading| matches!(reading.value, Cards::Unknown(_)))
    };
    all(handle, until, |snapshot| !hidden(snapshot) && lacks(snapshot)).await
}

/// Waits on until nothing that `lacks` is still missing; gives what is known when the time is up.
pub(super) async fn all(
    handle: &mut Handle,
    until: Instant,
    lacks: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    loop {
        let snapshot = Arc::clone(&handle.snapshots.borrow_and_update());
        if !lacks(&snapshot) || down(&snapshot).is_some() {
            return snapshot;
        }
        if !matches!(timeout_at(until, handle.snapshots.changed()).await, Ok(Ok(()))) {
            return handle.snapshot();
        }
    }
}

/// Waits until memory and cards are read, whether there is a server or not; gives what is known when the time is up.
pub(super) async fn machine(handle: &mut Handle, until: Instant) -> Arc<Snapshot> {
    loop {
        let snapshot = Arc::clone(&handle.snapshots.borrow_and_update());
        let done = is_machine_read(&snapshot);
        if done || !matches!(timeout_at(until, handle.snapshots.changed()).await, Ok(Ok(()))) {
            return handle.snapshot();
        }
    }
}

fn knows_models(server: &Server) -> bool {
    server.tags_at.is_some() && server.ps_at.is_some()
}

/// Why the server cannot be used, in a sentence with what to do; `None` if it is not known to be down.
pub(crate) fn down(snapshot: &Snapshot) -> Option<String> {
    let server = snapshot.servers.first()?;
    let Reach::Down { why, answers, .. } = &server.reach else { return None };
    let (url, why) = (printable(&server.url), printable(why));
    Some(if *answers {
        format!(
            "no Ollama server at {url}: {why}; something else answers there: name another with --host, or try --demo"
        )
    } else {
        format!(
            "no server at {url}: {why}; start it with `ollama serve`, name another with --host, or try --demo"
        )
    })
}

fn late(snapshot: &Snapshot) -> String {
    match snapshot.servers.first() {
        Some(server) => format!("the server at {} did not answer in time", printable(&server.url)),
        None => "no server was found in time".to_owned(),
    }
}

fn is_read(snapshot: &Snapshot) -> bool {
    let unread = |model: &Model| {
        model.cached == Cached::Unread && !matches!(model.state, State::NotHere | State::Cloud)
    };
    is_machine_read(snapshot)
        && !snapshot.servers.iter().any(|server| server.local && server.models.iter().any(unread))
}

fn is_machine_read(snapshot: &Snapshot) -> bool {
    let cards = snapshot.host.cards.as_ref().map(|reading| &reading.value);
    snapshot.host.ram.is_some() && !matches!(cards, None | Some(Cards::Unread))
}
