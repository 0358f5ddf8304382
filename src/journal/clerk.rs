//! The journal's thread: it alone has the file, does what it is told, and looks what other processes wrote.

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

use super::file::{self, Book};
use super::keep::{self, Pruned};
use super::keeper::Keeper;
use super::lease::{self, Found, Held, Lease};
use super::past::Recall;
use super::pin::{Note, Pins};
use super::process::Process;
use super::uses::Uses;
use super::{Opened, QUEUE, State};
use crate::residency::pin::Pin;
use crate::residency::record::{Past, Record};
use crate::residency::text::printable;
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
    /// Become the keeper of this server, when nobody else is.
    Keep(String),
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
            .and_then(|mut work| work.go_on());
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
    /// This process would keep a server.
    keeper: Option<Keeper>,
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
            keeper: None,
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
            let is_alert = self.watching || self.keeper.is_some();
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
            self.attempt_to_keep();
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
            Command::Keep(server) => self.keeper = Some(Keeper::new(&self.clerk.path, &server)),
            Command::Look => {}
        }
    }

    /// Becomes the keeper, if nobody else is, and says so.
    fn attempt_to_keep(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        let keeps = keeper.attempt(self.me.pid);
        let pid = if keeps { Some(self.me.pid) } else { keeper.pid() };
        self.clerk.state.send_if_modified(|state| {
            let is_news = (state.keeps, state.keeper) != (keeps, pid);
            (state.keeps, state.keeper) = (keeps, pid);
            is_news
        });
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

    /// Brings the file and what is known of it up to date; opens it anew where it was moved or is damaged, and then
    /// says how it was found.
    fn turn(&mut self, asks: &[String]) -> Result<Option<Opened>, String> {
        let mut opened = None;
        if !self.book.as_ref().is_some_and(Book::is_in_place) {
            opened = Some(self.open(false)?);
        }
        let mut done = self.attempt(asks);
        if done.as_ref().is_err_and(file::is_suspect) {
            let how = self.open(true)?;
            // Nothing new to say of a file in which no damage was found.
            opened = if how == Opened::Existing { opened } else { Some(how) };
            done = self.attempt(asks);
        }
        let trouble = done.err().map(|error| file::in_short(&error.to_string()));
        self.behind |= trouble.is_some();
        // What cannot be written waits here, as long as there is room.
        let excess = self.records.len().saturating_sub(WAITING);
        self.records.drain(..excess);
        self.clerk.state.send_if_modified(|state| {
            let is_news = state.trouble != trouble || excess > 0;
            state.trouble = trouble;
            state.lost += excess as u64;
            is_news
        });
        Ok(opened)
    }

    /// Closes the file, opens what is in its place, and says again there what is held.
    fn open(&mut self, thorough: bool) -> Result<Opened, String> {
        self.book = None;
        let book = file::open(&self.clerk.path, (self.clerk.clock)().wall, thorough).map_err(|error| {
            let path = self.clerk.path.to_string_lossy();
            format!("no journal: {}: {}", printable(&path), file::in_short(&error.to_string()))
        })?;
        let opened = book.opened.clone();
        self.book = Some(book);
        self.behind = !self.held.is_empty();
        self.version = None;
        self.recall.iter_mut().for_each(Recall::is_stale);
        self.pins.is_stale();
        self.uses.iter_mut().for_each(Uses::begin_anew);
        Ok(opened)
    }

    fn attempt(&mut self, asks: &[String]) -> rusqlite::Result<()> {
        let Some(book) = self.book.as_mut() else { return Ok(()) };
        if self.behind {
            lease::write(&mut book.connection, &self.me, &self.held)?;
            self.behind = false;
            self.version = None;
        }
        if !asks.is_empty() {
            lease::ask(&mut book.connection, &self.me, asks)?;
            self.version = None;
        }
        let now = (self.clerk.clock)().wall;
        if !self.records.is_empty() {
            keep::write(&mut book.connection, self.records.make_contiguous(), &mut self.pruned, now)?;
            self.records.clear();
            self.recall.iter_mut().for_each(Recall::is_stale);
            self.uses.iter_mut().for_each(Uses::is_stale);
        }
        self.pins.write(&mut book.connection)?;
        // Before the reading: what is written meanwhile shows at the next look.
        let version = book.version()?;
        let is_same = self.version == Some(version);
        if !(is_same && self.found.alive.iter().all(|process| process.is_alive(&self.me.boot))) {
            self.found = lease::read(&book.connection, &self.me.boot)?;
            self.version = Some(version);
            let leases = &self.found.leases;
            self.clerk.leases.send_if_modified(|known| {
                let is_news = **known != *leases;
                if is_news {
                    *known = Arc::new(leases.clone());
                }
                is_news
            });
            for process in std::mem::take(&mut self.found.dead) {
                lease::forget(&book.connection, &process)?;
            }
        }
        // Before the past: who waits for that has both then.
        if let Some(uses) = &mut self.uses
            && let Some(tunings) = uses.read(&book.connection, version, now)?
        {
            self.clerk.tunings.send_replace(Some(tunings));
        }
        if let Some(recall) = &mut self.recall
            && let Some(past) = recall.read(&book.connection, version, now)?
        {
            self.clerk.past.send_replace(Arc::new(past));
        }
        if let Some(recall) = &self.recall
            && let Some(pins) = self.pins.read(&book.connection, recall.server(), version)?
        {
            self.clerk.pins.send_if_modified(|known| {
                let is_news = known.as_ref().is_none_or(|known| **known != pins);
                if is_news {
                    *known = Some(Arc::new(pins));
                }
                is_news
            });
        }
        Ok(())
    }

    /// Writes down what it was given, and gives up all that is held. Where that fails, the rows of a dead process do
    /// not count.
    fn end(&mut self) {
        for command in self.clerk.commands.try_iter().take(QUEUE) {
            match command {
                Command::Record(records) => self.records.extend(records),
                Command::Pin(note) => self.pins.note(note),
                _ => {}
            }
        }
        if let Some(book) = self.book.as_mut() {
            if !self.records.is_empty() {
                let now = (self.clerk.clock)().wall;
                let records = self.records.make_contiguous();
                let _ = keep::write(&mut book.connection, records, &mut self.pruned, now);
            }
            let _ = self.pins.write(&mut book.connection);
            if self.behind || !self.held.is_empty() {
                let _ = lease::write(&mut book.connection, &self.me, &Held::new());
            }
        }
        self.book = None;
    }
}

/// Somebody asks the holders of some blobs to let go.
struct Ask {
    digests: Vec<String>,
    answer: oneshot::Sender<Result<Vec<u32>, String>>,
}
