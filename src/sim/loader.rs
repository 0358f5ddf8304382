//! Loaders: what turns a blob into a runner; real child processes, or timers for tests under paused time.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::card::{CardReader, Seat};
use super::children;
use super::place::Placement;
use crate::residency::bytes::Bytes;

/// Which loader the embedded server uses.
#[derive(Debug, Clone)]
pub enum LoaderKind {
    /// One child process per loaded model: real files, real memory.
    Children {
        /// The program that is started; it must call [`super::runner::main`] when [`super::runner::MARK`] is set.
        program: PathBuf,
    },
    /// Timers only, no files and no processes: for tests under paused time.
    Virtual {
        /// How long a load takes.
        load: Duration,
    },
}

/// What is to be loaded.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The blob's path.
    pub(crate) blob: PathBuf,
    /// How large the blob must be.
    pub(crate) weights: Bytes,
    /// The layer whose tensors a blob that is too short lacks.
    pub(crate) last_layer: u64,
    /// The context it runs with.
    pub(crate) context: u64,
    /// Where its buffers go.
    pub(crate) placement: Placement,
}

/// Why a load failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    /// The blob is not there.
    #[error("the blob is missing")]
    Missing,
    /// What the runner said, in the server's words.
    #[error("{0}")]
    Runner(String),
}

/// A runner that is ready. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Runner {
    pid: Option<u32>,
    gone: CancellationToken,
    stop: DropGuard,
    busy: watch::Sender<bool>,
}

/// The other ends, for whoever owns the process.
pub(crate) struct Reins {
    /// Cancelled when the runner shall end.
    pub(crate) stop: CancellationToken,
    /// To be cancelled when it has ended.
    pub(crate) gone: CancellationToken,
    /// Whether it works on a request.
    pub(crate) busy: watch::Receiver<bool>,
}

impl Runner {
    pub(crate) fn new(pid: Option<u32>) -> (Runner, Reins) {
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let (busy, watched) = watch::channel(false);
        let runner = Runner { pid, gone: gone.clone(), stop: stop.clone().drop_guard(), busy };
        (runner, Reins { stop, gone, busy: watched })
    }

    /// Whether its process lives.
    pub(crate) fn is_alive(&self) -> bool {
        !self.gone.is_cancelled()
    }

    /// Says whether it works on a request.
    pub(crate) fn set_busy(&self, busy: bool) {
        self.busy.send_if_modified(|now| std::mem::replace(now, busy) != busy);
    }

    /// Ends it and waits until its memory is free.
    pub(crate) async fn end(self) {
        let gone = self.gone.clone();
        drop(self.stop);
        gone.cancelled().await;
    }

    /// Kills its process behind the server's back, as a crash would; false if it is dead already.
    pub(crate) fn crash(&self) -> bool {
        match self.pid {
            _ if !self.is_alive() => false,
            Some(pid) => children::kill(pid),
            None => {
                self.gone.cancel();
                true
            }
        }
    }
}

/// Loads what `plan` says. Dropping the future aborts the load and ends its process.
pub(crate) async fn load(kind: LoaderKind, plan: Plan, card: CardReader) -> Result<Runner, LoadError> {
    match kind {
        LoaderKind::Children { program } => children::load(&program, &plan, &card).await,
        LoaderKind::Virtual { load } => {
            let seat = card.seat(None, plan.placement.on);
            tokio::time::sleep(load).await;
            let (runner, reins) = Runner::new(None);
            tokio::spawn(play(reins, seat));
            Ok(runner)
        }
    }
}

/// A virtual runner's life: it holds its place on the card until it is stopped or crashes.
async fn play(reins: Reins, seat: Seat) {
    tokio::select! {
        () = reins.stop.cancelled() => {}
        () = reins.gone.cancelled() => {}
    }
    drop(seat);
    reins.gone.cancel();
}
