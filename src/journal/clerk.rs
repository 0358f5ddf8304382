//! The journal's thread: it alone has the file, does what it is told, and looks what other processes wrote. How the file
//! follows is the subject of `upkeep`.

mod upkeep;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::file::Book;
use super::keep::Pruned;
use super::lease::{Found, Held, Lease};
use super::past::Recall;
use super::pin::{Note, Pins};
use super::process::Process;
use super::roles::{Part, Roles};
use super::uses::Uses;
use super::{QUEUE, State};
use crate::residency::guard::claim::Claim;
use crate::residency::pin::Pin;
use crate::residency::record::{Past, Record};
use crate::residency::timing::Clock;
use crate::residency::tune::Tuning;
use crate::residency::tune::policy::Rule;

/// Between two looks, while looking is worth it.
const PERIOD: Duration = Duration::from_millis(500);

/// So many records wait while the file cannot be written; of more the oldest go.
const WAITING: usize = 4096;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Command {
    Hold(Vec<String>),
    Release(Vec<String>),
    Ask(Vec<String>, oneshot::Sender<Result<Vec<u32>, String>>),
    Watch(bool),
    /// Write these down.
    Record(Vec<Record>),
    /// Publish the past of this server, and its days by this zone.
    Recall(String, TimeZone),
    /// Remember this of a pin.
    Pin(Note),
    /// Publish what the uses of this server say by this rule.
    Tune(String, Rule),
    /// Take part at this server: record when nobody else does, and act as far as this goes.
    Keep(String, Claim),
    /// Only to wake it: the program stops.
    Look,
}

/// What the thread is started with.
pub(super) struct Clerk {
    pub path: PathBuf,
    pub clock: Clock,
    pub stop: CancellationToken,
    /// The other end of `commands`.
    pub bell: SyncSender<Command>,
    pub commands: Receiver<Command>,
    pub state: watch::Sender<State>,
    pub leases: watch::Sender<Arc<Vec<Lease>>>,
    pub past: watch::Sender<Arc<Past>>,
    pub pins: watch::Sender<Option<Arc<Vec<Pin>>>>,
    pub tunings: watch::Sender<Option<Arc<[Tuning]>>>,
}

/// Wakes the thread when the program stops. With a full queue it is awake anyway.
struct Bell(SyncSender<Command>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.try_send(Command::Look);
    }
}

impl Clerk {
    /// Opens the file and works until the program stops.
    pub(super) fn run(self, me: impl FnOnce() -> io::Result<Process>) {
        // Kept until the end: it is what rings.
        let mut stopped = pin!(self.stop.cancelled());
        let bell = Waker::from(Arc::new(Bell(self.bell.clone())));
        // Also one that is stopped before it began writes down what it was given.
        let _ = stopped.as_mut().poll(&mut Context::from_waker(&bell));
        let worked = me()
            .map_err(|error| format!("this process cannot be told from others: {error}"))
            .and_then(|me| Work::begin(&self, me))
            .and_then(|mut work| {
                let ended = work.go_on();
                // Before others can have them.
                self.state.send_if_modified(|state| std::mem::take(&mut state.roles) != Roles::default());
                ended
            });
        if let Err(why) = worked {
            // Who reads why there is no journal is refused from then on; and what others hold is not known any more.
            drop(self.commands);
            self.leases.send_replace(Arc::default());
            self.state.send_modify(|state| state.opened = Some(Err(why)));
        }
    }
}

/// The thread at work.
struct Work<'a> {
    clerk: &'a Clerk,
    me: Process,
    /// `None` only while it is opened anew.
    book: Option<Book>,
    /// What this process is to hold; the file follows.
    held: Held,
    /// The file does not say that yet.
    behind: bool,
    /// Somebody wants the leases fresh.
    watching: bool,
    /// The file's version at the last reading; `None` to read again in any case.
    version: Option<i64>,
    found: Found,
    /// What is to be written down.
    records: VecDeque<Record>,
    pruned: Pruned,
    /// Somebody wants the past.
    recall: Option<Recall>,
    pins: Pins,
    /// Somebody wants to know what the uses say.
    uses: Option<Uses>,
    /// This process takes part at a server.
    part: Option<Part>,
}

impl Work<'_> {
    fn begin(clerk: &Clerk, me: Process) -> Result<Work<'_>, String> {
        let mut work = Work {
            clerk,
            me,
            book: None,
            held: Held::new(),
            behind: false,
            watching: false,
            version: None,
            found: Found::default(),
            records: VecDeque::new(),
            pruned: Pruned::default(),
            recall: None,
            pins: Pins::default(),
            uses: None,
            part: None,
        };
        let mut opened = work.open(false)?;
        if let Some(anew) = work.turn(&[])? {
            opened = anew;
        }
        clerk.state.send_modify(|state| state.opened = Some(Ok(opened)));
        Ok(work)
    }

    /// Until the program stops, or there is no journal any more.
    fn go_on(&mut self) -> Result<(), String> {
        while !self.clerk.stop.is_cancelled() {
            let is_alert = self.watching || self.part.is_some();
            let is_behind = self.behind || !self.records.is_empty() || self.pins.waits();
            let first = if is_alert || is_behind || !self.held.is_empty() {
                self.clerk.commands.recv_timeout(PERIOD)
            } else {
                self.clerk.commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let more = self.clerk.commands.try_iter().take(QUEUE);
            let mut asks = Vec::new();
            for command in first.into_iter().chain(more) {
                self.note(command, &mut asks);
            }
            if self.clerk.stop.is_cancelled() {
                break;
            }
            self.take_part();
            self.serve(asks)?;
        }
        self.end();
        Ok(())
    }

    /// Takes down what is wanted; the file follows.
    fn note(&mut self, command: Command, asks: &mut Vec<Ask>) {
        match command {
            Command::Hold(digests) => {
                let now = (self.clerk.clock)().wall;
                for digest in digests {
                    self.held.entry(digest).or_insert(now);
                }
                self.behind = true;
            }
            Command::Release(digests) => {
                for digest in digests {
                    self.held.remove(&digest);
                }
                self.behind = true;
            }
            Command::Ask(digests, answer) => asks.push(Ask { digests, answer }),
            Command::Watch(on) => self.watching = on,
            Command::Record(records) => self.records.extend(records),
            Command::Pin(note) => self.pins.note(note),
            Command::Recall(server, zone) => {
                if !self.recall.as_ref().is_some_and(|recall| recall.is_of(&server)) {
                    self.recall = Some(Recall::new(server, zone));
                    self.pins.is_stale();
                }
            }
            Command::Tune(server, rule) => {
                if !self.uses.as_ref().is_some_and(|uses| uses.is_of(&server, rule)) {
                    self.uses = Some(Uses::new(server, rule));
                }
            }
            Command::Keep(server, claim) => match &mut self.part {
                Some(part) if part.is_of(&server) => part.claims(claim),
                part => *part = Some(Part::new(&self.clerk.path, server, claim)),
            },
            Command::Look => {}
        }
    }

    /// Takes the roles that can be had, and says which these are.
    fn take_part(&mut self) {
        let Some(part) = &mut self.part else { return };
        let tell = |roles: Roles| {
            self.clerk.state.send_if_modified(|state| {
                let is_news = state.roles != roles;
                state.roles = roles;
                is_news
            });
        };
        if part.gives_way() {
            let known = self.clerk.state.borrow().roles.clone();
            tell(Roles { acts: false, keeper: None, ..known });
        }
        tell(part.turn(self.me.pid));
    }

    /// One turn, and the answers to those who asked.
    fn serve(&mut self, asks: Vec<Ask>) -> Result<(), String> {
        let digests: Vec<String> = asks.iter().flat_map(|ask| ask.digests.clone()).collect();
        if let Some(opened) = self.turn(&digests)? {
            self.clerk.state.send_modify(|state| state.opened = Some(Ok(opened)));
        }
        let trouble = self.clerk.state.borrow().trouble.clone();
        for Ask { digests, answer } in asks {
            // Who does not wait for the answer any more has it in `leases`.
            let _ = answer.send(match &trouble {
                Some(why) => Err(why.clone()),
                None => Ok(self.holders(&digests)),
            });
        }
        Ok(())
    }

    /// The other processes that hold any of these.
    fn holders(&self, digests: &[String]) -> Vec<u32> {
        let wanted: HashSet<&String> = digests.iter().collect();
        let leases = self.found.leases.iter();
        let mut pids: Vec<u32> = leases
            .filter(|lease| lease.pid != self.me.pid && wanted.contains(&lease.digest))
            .map(|lease| lease.pid)
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

/// Somebody asks the holders of some blobs to let go.
struct Ask {
    digests: Vec<String>,
    answer: oneshot::Sender<Result<Vec<u32>, String>>,
}
