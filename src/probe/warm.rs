//! Brings files into the page cache: plain reads of large blocks from front to back, on a thread of its own, one job
//! at a time. It knows nothing of models or budgets: the engine says what, in which order, and when not.

mod file;
mod leg;
mod pace;
mod second;
mod turn;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::page_cache::read::is_privileged;
use crate::residency::bytes::{Bytes, MIB};
use crate::residency::timing::Clock;
use crate::residency::warm::Warming;
use leg::Means;
use turn::{Queue, Tools};

/// With nothing to do the thread looks this often whether it should end.
const IDLE: Duration = Duration::from_secs(5);
/// While it reads it tells how far it is this often.
const PUBLISH: Duration = Duration::from_millis(100);

/// Gives a reason to read no further, if there is one.
pub type Guard = Box<dyn FnMut() -> Option<String> + Send>;

/// All jobs that were not forgotten, by their id.
pub type Warmings = HashMap<u64, Warming>;

/// A file to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it contains; a job reads each digest once.
    pub digest: String,
    /// Where it lies.
    pub path: PathBuf,
    /// How large it must be.
    pub size: Bytes,
}

/// Files to be read one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Names it from now on.
    pub id: u64,
    /// The lowest number is read first.
    pub priority: u32,
    /// What is to be read, in this order.
    pub files: Vec<Source>,
}

/// How the reading is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Bytes of one read call, a multiple of the page size.
    pub block: u64,
    /// What is cached is counted so far ahead: farther than the kernel reads ahead of us, or what that brings in would
    /// be taken for what was there, and stepped over before it is. A multiple of the block.
    pub ahead: u64,
    /// Bytes read between two askings of the guard.
    pub guard: u64,
    /// Bytes that are read alone, and then by two, to learn whether a second reader gains on a device.
    pub stretch: u64,
    /// A second reader stays if both together are so many times as fast as one.
    pub gain: f64,
}

impl Default for Tuning {
    /// Blocks of 1 MiB are larger than the usual readahead, which makes them independent of it, and fit a core's cache:
    /// 2 MiB cost twice the CPU on a disk that reads ahead by 8 MiB, 128 KiB read at two thirds of the speed on one
    /// that reads ahead by as much (`cargo bench --bench warm`).
    fn default() -> Tuning {
        Tuning { block: MIB, ahead: 64 * MIB, guard: 256 * MIB, stretch: 512 * MIB, gain: 1.15 }
    }
}

/// The asking side of the thread, which is never joined: it ends when the last of these is gone, or within a block
/// after `stop`.
#[derive(Debug, Clone)]
pub struct Warmer {
    /// How far each job is, told at each change of state and at most ten times a second.
    pub progress: watch::Receiver<Arc<Warmings>>,
    mail: Arc<Mutex<Vec<Request>>>,
    wake: SyncSender<()>,
    calls: Arc<AtomicU64>,
}

/// What is asked of the thread.
#[derive(Debug)]
enum Request {
    Warm(Job),
    Reprioritise(u64, u32),
    Cancel(u64),
    Forget(u64),
    Pause(bool),
}

impl Warmer {
    /// Starts the thread. `guard` is asked before a job and about every 256 MiB: a reason to stop ends the job as
    /// failed with it.
    pub fn spawn(clock: Clock, stop: CancellationToken, guard: Guard) -> Warmer {
        Warmer::tuned(clock, stop, guard, Tuning::default())
    }

    /// The same, read in another way.
    pub fn tuned(clock: Clock, stop: CancellationToken, guard: Guard, tuning: Tuning) -> Warmer {
        let (publish, progress) = watch::channel(Arc::new(Warmings::new()));
        let (wake, woken) = sync_channel(1);
        let (mail, calls) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let reader = Reader {
            mail: Arc::clone(&mail),
            publish,
            stop,
            queue: Queue::default(),
            over: Warmings::new(),
            current: None,
            paused: false,
            published: None,
            news: false,
            tools: Tools {
                clock,
                guard,
                means: Means { tuning, privileged: false, calls: Arc::clone(&calls) },
                verdicts: HashMap::new(),
                buffer: Vec::new(),
            },
        };
        // No thread to be had: `progress` is closed.
        drop(thread::Builder::new().name("probe-warm".to_owned()).spawn(move || reader.run(&woken)));
        Warmer { progress, mail, wake, calls }
    }

    /// Asks for a job and never waits. One of this id that is not over is joined; one that is over begins anew.
    pub fn warm(&self, job: Job) {
        self.ask(Request::Warm(job));
    }

    /// Gives a job another priority; a more urgent one takes over between blocks.
    pub fn reprioritise(&self, id: u64, priority: u32) {
        self.ask(Request::Reprioritise(id, priority));
    }

    /// Ends a job within a block; what it read stays.
    pub fn cancel(&self, id: u64) {
        self.ask(Request::Cancel(id));
    }

    /// Drops a job that is over from `progress`.
    pub fn forget(&self, id: u64) {
        self.ask(Request::Forget(id));
    }

    /// Stops reading between blocks, or goes on: another model's load reads from the disk.
    pub fn pause(&self, paused: bool) {
        self.ask(Request::Pause(paused));
    }

    /// How many read calls were made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn ask(&self, request: Request) {
        // Not bounded: these are a person's acts, and the thread takes all of them between two blocks.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        // Full: it will wake anyway, and find this mail too.
        let _ = self.wake.try_send(());
    }
}

/// The thread's own state.
struct Reader {
    mail: Arc<Mutex<Vec<Request>>>,
    publish: watch::Sender<Arc<Warmings>>,
    stop: CancellationToken,
    queue: Queue,
    over: Warmings,
    /// The job that reads now.
    current: Option<u64>,
    paused: bool,
    published: Option<Instant>,
    /// A state has changed since.
    news: bool,
    tools: Tools,
}

impl Reader {
    fn run(mut self, woken: &Receiver<()>) {
        self.tools.means.privileged = is_privileged();
        while !self.stop.is_cancelled() && woken.try_recv() != Err(TryRecvError::Disconnected) {
            self.open_mail();
            self.give_turns();
            self.tell();
            if self.current.is_some() {
                self.step();
            } else if woken.recv_timeout(IDLE) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Does what was asked, in that order.
    fn open_mail(&mut self) {
        let mail = std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        self.news |= !mail.is_empty();
        for request in mail {
            match request {
                Request::Warm(job) => {
                    self.over.remove(&job.id);
                    self.queue.add(job);
                }
                Request::Reprioritise(id, priority) => self.queue.reprioritise(id, priority),
                Request::Cancel(id) => self.cancel(id),
                Request::Forget(id) => {
                    self.over.remove(&id);
                }
                Request::Pause(paused) => self.paused = paused,
            }
        }
    }

    fn cancel(&mut self, id: u64) {
        if let Some(turn) = self.queue.remove(id) {
            self.over.insert(id, turn.cancel());
        }
    }

    /// Whoever is first now reads, unless all wait.
    fn give_turns(&mut self) {
        let first = self.queue.first().map(|turn| turn.id).filter(|_| !self.paused);
        if first != self.current {
            if let Some(before) = self.current.and_then(|id| self.queue.get_mut(id)) {
                before.rest();
            }
            self.current = first;
        }
    }

    /// Tells what has changed at once, and how far it is from time to time.
    fn tell(&mut self) {
        let now = (self.tools.clock)().mono;
        let is_due = self.published.is_none_or(|last| now.saturating_duration_since(last) >= PUBLISH);
        if !self.news && (self.current.is_none() || !is_due) {
            return;
        }
        let mut warmings = self.over.clone();
        for (place, turn) in self.queue.iter().enumerate() {
            let state =
                if place == 0 { Warming::Reading(turn.progress(self.paused)) } else { Warming::Waiting };
            warmings.insert(turn.id, state);
        }
        self.publish.send_replace(Arc::new(warmings));
        (self.published, self.news) = (Some(now), false);
    }

    /// Lets the first job do its next little thing.
    fn step(&mut self) {
        let Some(turn) = self.queue.first() else { return };
        let outcome = match turn.step(&mut self.tools) {
            Ok(false) => return,
            Ok(true) => Ok(()),
            Err(why) => Err(why),
        };
        let (id, end) = (turn.id, turn.end(outcome));
        self.queue.remove(id);
        self.over.insert(id, end);
        self.news = true;
    }
}
