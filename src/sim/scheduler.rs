//! The scheduler: one task that owns what is loaded; one load at a time, in order, victims by the server's own rule.
//!
//! It never waits inside: loads and ends of runners are futures it polls beside its messages, so `/api/ps` is answered
//! while a load runs. It sleeps until a message or the next deadline.

mod entry;
mod judge;
mod state;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::card::CardReader;
use super::catalogue::Spec;
use super::loader::{LoadError, LoaderKind, Runner};
use super::place::RunnerOptions;
use super::umpire::{Umpire, Whose};
use crate::residency::timing::Clock;
use state::{Ended, State, Step};

/// What the scheduler is told once.
pub(crate) struct Rules {
    pub(crate) models: Arc<Vec<Model>>,
    pub(crate) loader: LoaderKind,
    pub(crate) card: CardReader,
    pub(crate) max_loaded: usize,
    pub(crate) max_queue: usize,
    pub(crate) keep_alive: i64,
    pub(crate) clock: Clock,
    pub(crate) umpire: Umpire,
}

/// One installed model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) spec: Spec,
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) blob: PathBuf,
    pub(crate) modified: Timestamp,
}

/// Why a request got no runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many wait already.
    Busy,
    /// The load failed.
    Load(LoadError),
}

/// A line of `/api/ps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) model: usize,
    pub(crate) size: u64,
    pub(crate) vram: u64,
    pub(crate) context: u64,
    pub(crate) expires_at: Timestamp,
}

/// A runner as the process table shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) model: usize,
    pub(crate) context: u64,
    /// It has loaded.
    pub(crate) ready: bool,
    /// It works on a request.
    pub(crate) busy: bool,
}

/// A request for a runner.
pub(crate) struct Ask {
    pub(crate) whose: Whose,
    pub(crate) model: usize,
    pub(crate) options: RunnerOptions,
    pub(crate) keep_alive: Option<i64>,
    /// Closed when the client has gone: its load is then aborted.
    pub(crate) reply: oneshot::Sender<Result<Lease, Refusal>>,
}

enum Message {
    Ask(Ask),
    Unload(usize, Whose),
    Processes(oneshot::Sender<Vec<Process>>),
    List(oneshot::Sender<Vec<Running>>),
    Crash(usize, oneshot::Sender<bool>),
}

/// A request's use of a runner; its `keep_alive` starts when the last one is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    entry: u64,
    released: mpsc::UnboundedSender<u64>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The scheduler may be gone, and all runners with it.
        let _ = self.released.send(self.entry);
    }
}

/// A hold on the scheduler; it ends when `stop` is cancelled.
#[derive(Clone)]
pub(crate) struct Scheduler {
    // When it is full a request waits here for a moment, as it would for the server's own lock.
    messages: mpsc::Sender<Message>,
}

impl Scheduler {
    pub(crate) fn start(rules: Rules, stop: CancellationToken) -> (Scheduler, tokio::task::JoinHandle<()>) {
        let (messages, inbox) = mpsc::channel(64);
        (Scheduler { messages }, tokio::spawn(run(rules, inbox, stop)))
    }

    /// A runner for `model`, loaded first if need be; `None` when the server stops. Dropping the future aborts the load.
    pub(crate) async fn acquire(
        &self,
        model: usize,
        options: RunnerOptions,
        keep_alive: Option<i64>,
        whose: Whose,
    ) -> Option<Result<Lease, Refusal>> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Ask(Ask { whose, model, options, keep_alive, reply })).await.ok()?;
        answer.await.ok()
    }

    /// Unloads `model` when its last request has ended; returns before it is gone.
    pub(crate) async fn unload(&self, model: usize, whose: Whose) {
        let _ = self.messages.send(Message::Unload(model, whose)).await;
    }

    /// What is loaded, latest expiry first.
    pub(crate) async fn list(&self) -> Vec<Running> {
        let (reply, answer) = oneshot::channel();
        if self.messages.send(Message::List(reply)).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    /// All runners, those that load too.
    pub(crate) async fn processes(&self) -> Vec<Process> {
        let (reply, answer) = oneshot::channel();
        if self.messages.send(Message::Processes(reply)).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    /// Kills the runner of `model` behind the scheduler's back; false if it has none.
    pub(crate) async fn crash(&self, model: usize) -> bool {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Crash(model, reply)).await.is_ok() && answer.await.unwrap_or(false)
    }
}

async fn run(rules: Rules, mut inbox: mpsc::Receiver<Message>, until: CancellationToken) {
    // Unbounded, since a drop cannot wait; never longer than the leases in flight, which the queue's limit bounds.
    let (given_back, mut returns) = mpsc::unbounded_channel();
    let mut state = State::new(rules, given_back);
    loop {
        let deadline = state.next_deadline();
        tokio::select! {
            biased;
            () = until.cancelled() => break,
            Some(entry) = returns.recv() => state.release(entry),
            message = inbox.recv() => match message {
                Some(Message::Ask(ask)) => state.ask(ask),
                Some(Message::Unload(model, whose)) => state.expire(model, whose),
                Some(Message::Processes(reply)) => drop(reply.send(state.processes())),
                Some(Message::List(reply)) => drop(reply.send(state.list())),
                Some(Message::Crash(model, reply)) => drop(reply.send(state.crash(model))),
                None => break,
            },
            step = state.work() => match step {
                Step::Loaded(result) => state.loaded(result),
                Step::Left => state.abandon(),
                Step::Ended(Ended(entry)) => state.ended(entry),
            },
            () = sleep_until(deadline) => state.expire_due(),
        }
        state.advance();
    }
    state.stop().await;
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What a load ends with.
type LoadResult = Result<Runner, LoadError>;
