//! How much of each blob is in the page cache and which parts of it, read on a thread of its own: a network file system may hang.

#[cfg(any(test, not(target_os = "linux")))]
pub(crate) mod elsewhere;
pub(crate) mod method;
#[cfg(target_os = "linux")]
pub(crate) mod read;
#[cfg(target_os = "linux")]
mod sample;
mod schedule;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::residency::bytes::Bytes;
use crate::residency::map::{Map, Pages};
use crate::residency::timing::{Clock, Reading};
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere as read;
use schedule::{Blob, MOST, Schedule};

/// The latest reading of each blob, by digest.
pub type Residency = HashMap<String, Reading<Pages>>;

/// With nothing to do the thread looks this often whether it should end.
const IDLE: Duration = Duration::from_secs(5);
/// What sampling made the kernel read is there after this long, and can be dropped.
const SETTLE: Duration = Duration::from_millis(300);
/// A long round publishes what it has this often.
const PUBLISH: Duration = Duration::from_millis(100);

/// The asking side of the thread, which is never joined: it ends when the last of these is gone, or at its next
/// turn after `stop`.
#[derive(Debug, Clone)]
pub struct PageCache {
    /// What is known.
    pub readings: watch::Receiver<Arc<Residency>>,
    mail: Arc<Mutex<Mail>>,
    wake: SyncSender<()>,
}

/// What was asked since the thread last looked.
#[derive(Debug, Default)]
struct Mail {
    spare: Vec<PathBuf>,
    list: Option<(Vec<Blob>, bool)>,
    urgent: HashMap<String, (PathBuf, Bytes)>,
}

impl PageCache {
    /// Starts the thread; it reads only what is asked.
    pub fn spawn(clock: Clock, stop: CancellationToken) -> PageCache {
        let (publish, readings) = watch::channel(Arc::new(Residency::new()));
        let (wake, woken) = sync_channel(1);
        let mail = Arc::new(Mutex::new(Mail::default()));
        let reader = Reader {
            mail: Arc::clone(&mail),
            publish,
            clock,
            stop,
            schedule: Schedule::default(),
            residency: Residency::new(),
            sweeps: Vec::new(),
        };
        // No thread to be had: nothing is ever read, and all stays unread.
        drop(thread::Builder::new().name("probe-page-cache".to_owned()).spawn(move || reader.run(&woken)));
        PageCache { readings, mail, wake }
    }

    /// Asks for these blobs (digest, path, size) now, beside the list, and never waits. Of what is asked while the
    /// thread is busy the latest counts.
    pub fn ask(&self, blobs: Vec<(String, PathBuf, Bytes)>) {
        let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        for (digest, path, size) in blobs {
            if mail.urgent.len() < MOST {
                mail.urgent.insert(digest, (path, size));
            }
        }
        drop(mail);
        // Full: it will wake anyway, and find this mail too.
        let _ = self.wake.try_send(());
    }

    /// The whole list: each is read when it is due, more often if `closely`, and others are forgotten. Never waits.
    pub fn list(&self, blobs: Vec<(String, PathBuf, Bytes)>, closely: bool) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).list = Some((blobs, closely));
        let _ = self.wake.try_send(());
    }

    /// These files are being read on purpose: what sampling them brought in is not dropped any more.
    pub fn spare(&self, paths: impl IntoIterator<Item = PathBuf>) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).spare.extend(paths);
        let _ = self.wake.try_send(());
    }
}

/// The thread's own state.
struct Reader {
    mail: Arc<Mutex<Mail>>,
    publish: watch::Sender<Arc<Residency>>,
    clock: Clock,
    stop: CancellationToken,
    schedule: Schedule,
    residency: Residency,
    sweeps: Vec<Sweep>,
}

/// Places of a file that only our asking brought into the page cache.
struct Sweep {
    due: Instant,
    path: PathBuf,
    missed: Vec<u64>,
}

impl Reader {
    fn run(mut self, woken: &Receiver<()>) {
        let privileged = read::is_privileged();
        loop {
            let soon = !self.sweeps.is_empty() || self.schedule.is_urged();
            if woken.recv_timeout(if soon { SETTLE } else { IDLE }) == Err(RecvTimeoutError::Disconnected) {
                // Nobody asks any more; what we brought in is still ours to drop, in flight or not.
                return self.sweep(None);
            }
            self.round(privileged);
            if self.stop.is_cancelled() || self.publish.is_closed() {
                return self.sweep(None);
            }
            let now = (self.clock)().mono;
            self.sweep(Some(now));
        }
    }

    /// Reads all that is due.
    fn round(&mut self, privileged: bool) {
        let mut published = (self.clock)();
        let mut news = self.open_mail();
        while !self.stop.is_cancelled() {
            let began = (self.clock)();
            let Some((digest, path)) = self.schedule.next(began.mono) else { break };
            let outcome = read::read(&path, privileged, self.was_mixed(&digest), &self.clock);
            let at = (self.clock)();
            let cached = &outcome.pages.cached;
            self.schedule.done(&digest, at.mono, at.since(began.mono), outcome.method, cached);
            self.residency.insert(digest, Reading { value: outcome.pages, at });
            if !outcome.missed.is_empty() {
                self.sweeps.push(Sweep { due: at.mono + SETTLE, path, missed: outcome.missed });
            }
            news = true;
            if at.since(published.mono) >= PUBLISH {
                self.publish.send_replace(Arc::new(self.residency.clone()));
                (published, news) = (at, false);
            }
            // Something urgent may have come while a large file was read.
            news |= self.open_mail();
        }
        self.schedule.rest();
        if news {
            self.publish.send_replace(Arc::new(self.residency.clone()));
        }
    }

    /// Whether its last map was mixed: then its parts are counted at once, not first the whole.
    fn was_mixed(&self, digest: &str) -> bool {
        let map = self.residency.get(digest).and_then(|reading| reading.value.map.as_ref());
        map.is_some_and(Map::is_mixed)
    }

    /// Takes what was asked; true if a blob was forgotten.
    fn open_mail(&mut self) -> bool {
        let Mail { spare, list, urgent } =
            std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        self.sweeps.retain(|sweep| !spare.contains(&sweep.path));
        if let Some((list, closely)) = list {
            self.schedule.list(list, closely);
        }
        self.schedule.urge(urgent.into_iter().map(|(digest, (path, size))| (digest, path, size)));
        let before = self.residency.len();
        self.residency.retain(|digest, _| self.schedule.knows(digest));
        self.residency.len() < before
    }

    /// Drops what sampling brought in by `now`, or all of it.
    fn sweep(&mut self, now: Option<Instant>) {
        self.sweeps.retain(|sweep| {
            let due = now.is_none_or(|now| now >= sweep.due);
            if due {
                read::sweep(&sweep.path, &sweep.missed);
            }
            !due
        });
    }
}
