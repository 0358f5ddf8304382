//! The manager: the only owner of I/O. Polls, joins all into one snapshot, carries out acts; front ends hold a
//! [`Handle`], read snapshots from it and send [`Command`]s that never wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};

use crate::residency::act::{ActId, ActKind};
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;

/// What a front end may ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Carry out an act; its progress is in the snapshot's acts.
    Act {
        /// Names it.
        id: ActId,
        /// What.
        kind: ActKind,
        /// To which model.
        model: ModelName,
    },
    /// Cancel what runs or waits for this model.
    Cancel {
        /// Which model.
        model: ModelName,
    },
    /// Cancel everything.
    CancelAll,
    /// The user looks at this model: read its residency and details now.
    Look {
        /// Which model.
        model: ModelName,
    },
}

/// The engine's queue is full: say so at the key, and try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("busy: too many commands are waiting; try again")]
pub struct Busy;

/// A front end's hold on the engine.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The latest snapshot; `changed` wakes only when more than reading times changed.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
    next: Arc<AtomicU64>,
}

impl Handle {
    /// Joins the two ends; the engine and the tests of front ends call it.
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>, commands: mpsc::Sender<Command>) -> Handle {
        Handle { snapshots, commands, next: Arc::new(AtomicU64::new(1)) }
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Sends a command without waiting.
    pub fn send(&self, command: Command) -> Result<(), Busy> {
        self.commands.try_send(command).map_err(|_| Busy)
    }

    /// Asks for an act without waiting; its progress appears in the snapshot under the returned number.
    pub fn act(&self, kind: ActKind, model: ModelName) -> Result<ActId, Busy> {
        let id = ActId(self.next.fetch_add(1, Ordering::Relaxed));
        self.send(Command::Act { id, kind, model })?;
        Ok(id)
    }
}
