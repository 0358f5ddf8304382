//! Adapter: what happened, and what instances of `resident` know of each other, kept in an SQLite file.
//!
//! | file | subject |
//! |---|---|
//! | `file` | the file: made, opened, brought to this version, moved aside |
//! | `clerk` | the thread that alone writes it |
//! | `lease`, `process` | who holds which blob in RAM |
//! | `steps` | how the file came to be as it is |
//! | `keep`, `row` | what happened, written down |
//! | `past` | the summary of it that the screen shows |
//! | `pin` | which models are to stay in VRAM |
//! | `uses` | when models were used, and what that says of their keep_alive |
//! | `tally` | all that ever happened, counted; what goes for its age stays in it |
//! | `history` | questions about it, answered beside all else |
//! | `roles`, `lock` | which instance acts by itself, and which writes down what others did |
//!
//! One thread owns the connection and everything in the file (`clerk`); a [`Journal`] only hands it commands, never
//! waits, and reads what the thread says from a `watch`. Without a journal all else works. The engine and `cli` call
//! this; it names `residency` only.

mod clerk;
mod file;
pub mod history;
mod keep;
mod lease;
mod lock;
mod past;
mod pin;
mod process;
mod roles;
mod row;
mod steps;
mod tally;
mod uses;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::residency::guard::claim::Claim;
use crate::residency::name::ModelName;
use crate::residency::pin::{Change, Pin};
use crate::residency::record::{Past, Record};
use crate::residency::timing::Clock;
use crate::residency::tune::Tuning;
use crate::residency::tune::policy::Rule;
use clerk::{Clerk, Command};
pub use lease::Lease;
use process::Process;
use roles::Part;
pub use roles::{Roles, Seen};

/// As many commands wait for the thread; one more is refused.
const QUEUE: usize = 64;

/// How the file was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// There was none.
    Fresh,
    /// It was there, and of this version or an earlier one.
    Existing,
    /// It could not be used, lies elsewhere now, and a fresh one took its place.
    MovedAside {
        /// Where it lies now.
        to: PathBuf,
        /// Why it could not be used.
        why: String,
    },
}

/// How the journal is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// How the file was found, or why there is no journal; `None` until that is known.
    pub opened: Option<Result<Opened, String>>,
    /// Why the file cannot be read or written right now; tried again until it can.
    pub trouble: Option<String>,
    /// Who has which role of the server at which this process [takes part](Journal::keep).
    pub roles: Roles,
    /// So many records were given up because the file could not be written for too long.
    pub lost: u64,
}

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Too many wait already.
    #[error("the journal is busy; try again")]
    Full,
    /// The thread has ended, or never began.
    #[error("there is no journal")]
    Gone,
}

/// The pids that were asked, once they are, or why they could not be.
pub type Asked = oneshot::Receiver<Result<Vec<u32>, String>>;

/// Who has which role of a server now; the journal is at `path`. Opens no journal, and makes no file.
pub fn roles(path: &Path, server: &str) -> Seen {
    Part::new(path, server.to_owned(), Claim::Pins).look()
}

/// A handle to the journal's thread. When the last one is dropped, and when the program stops, the thread gives up all
/// that this process holds and ends; nobody waits for it, since the rows of a dead process do not count.
#[derive(Debug, Clone)]
pub struct Journal {
    /// How the file was found, and whether it can be written.
    pub state: watch::Receiver<State>,
    /// What all living processes hold, by digest and pid. Fresh within half a second while this process holds something
    /// or is [watching](Journal::watch); else as it was when somebody last looked.
    pub leases: watch::Receiver<Arc<Vec<Lease>>>,
    /// What is known of the server that is [recalled](Journal::recall). Fresh within half a second while this process
    /// is [watching](Journal::watch).
    pub past: watch::Receiver<Arc<Past>>,
    /// All pins of that server; `None` until they are read. As fresh as `past`.
    pub pins: watch::Receiver<Option<Arc<Vec<Pin>>>>,
    /// What the uses of a server say, once it is [tuned](Journal::tune) and they were read; as fresh as `past`.
    pub tunings: watch::Receiver<Option<Arc<[Tuning]>>>,
    commands: SyncSender<Command>,
    stop: CancellationToken,
    _last: Arc<DropGuard>,
}

impl Journal {
    /// Starts the thread, which then opens the file, and creates it and its directories where they are missing. What
    /// became of that is told by `state`; an error is a thread that could not be had.
    pub fn open(path: &Path, clock: Clock, stop: &CancellationToken) -> io::Result<Journal> {
        Journal::open_as(path, clock, stop, Process::this)
    }

    /// As `open`, for the process that `me` names.
    fn open_as(
        path: &Path,
        clock: Clock,
        stop: &CancellationToken,
        me: impl FnOnce() -> io::Result<Process> + Send + 'static,
    ) -> io::Result<Journal> {
        let (commands, received) = sync_channel(QUEUE);
        let (state, states) = watch::channel(State::default());
        let (publish, leases) = watch::channel(Arc::default());
        let (tell, past) = watch::channel(Arc::default());
        let (tell_pins, pins) = watch::channel(None);
        let (say, tunings) = watch::channel(None);
        let stop = stop.child_token();
        let clerk = Clerk {
            path: path.to_owned(),
            clock,
            stop: stop.clone(),
            bell: commands.clone(),
            commands: received,
            state,
            leases: publish,
            past: tell,
            pins: tell_pins,
            tunings: say,
        };
        thread::Builder::new().name("journal".to_owned()).spawn(move || clerk.run(me))?;
        let last = Arc::new(stop.clone().drop_guard());
        Ok(Journal { state: states, leases, past, pins, tunings, commands, stop, _last: last })
    }

    /// Says that this process holds these blobs in RAM; those it is known to hold stay as they are.
    pub fn hold(&self, digests: Vec<String>) -> Result<(), NotTaken> {
        self.send(Command::Hold(digests))
    }

    /// Says that this process holds these blobs no more.
    pub fn release(&self, digests: Vec<String>) -> Result<(), NotTaken> {
        self.send(Command::Release(digests))
    }

    /// Asks all other living processes that hold these blobs to let them go. Whether they do is seen in `leases`, while
    /// watching.
    pub fn ask_release(&self, digests: Vec<String>) -> Result<Asked, NotTaken> {
        let (answer, asked) = oneshot::channel();
        self.send(Command::Ask(digests, answer)).map(|()| asked)
    }

    /// Keeps `leases` fresh from now on, or no longer. While this process holds something they are fresh anyway.
    pub fn watch(&self, on: bool) -> Result<(), NotTaken> {
        self.send(Command::Watch(on))
    }

    /// Writes these records down, soon. Those that are not taken come back.
    pub fn record(&self, records: Vec<Record>) -> Result<(), (NotTaken, Vec<Record>)> {
        self.commands.try_send(Command::Record(records)).map_err(|error| {
            let (why, command) = match error {
                TrySendError::Full(command) => (NotTaken::Full, command),
                TrySendError::Disconnected(command) => (NotTaken::Gone, command),
            };
            let Command::Record(records) = command else { return (why, Vec::new()) };
            (why, records)
        })
    }

    /// Publishes the past of a server from now on, its days by this time zone.
    pub fn recall(&self, server: &str, zone: TimeZone) -> Result<(), NotTaken> {
        self.send(Command::Recall(server.to_owned(), zone))
    }

    /// Remembers this of a model's pin, from the moment `at` on.
    pub fn pin(&self, server: &str, model: ModelName, change: Change, at: Timestamp) -> Result<(), NotTaken> {
        self.send(Command::Pin(pin::Note { server: server.to_owned(), model, at, change }))
    }

    /// Publishes what the uses of a server say by this rule, from now on.
    pub fn tune(&self, server: &str, rule: Rule) -> Result<(), NotTaken> {
        self.send(Command::Tune(server.to_owned(), rule))
    }

    /// From now on this process records what others do at a server whenever no other one does, and acts as far as `claim`
    /// goes whenever no other one does; `state` says which roles it has. What it claims may change.
    pub fn keep(&self, server: &str, claim: Claim) -> Result<(), NotTaken> {
        self.send(Command::Keep(server.to_owned(), claim))
    }

    /// Writes down what it was given, gives up what this process holds, and waits until the thread has closed the file: at most some seconds while
    /// others write, for ever if the disk hangs, so that it wants a timeout.
    pub async fn close(mut self) {
        self.stop.cancel();
        while self.state.changed().await.is_ok() {}
    }

    /// Never waits: a full queue refuses.
    fn send(&self, command: Command) -> Result<(), NotTaken> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Full,
            TrySendError::Disconnected(_) => NotTaken::Gone,
        })
    }
}

#[cfg(test)]
mod tests;
