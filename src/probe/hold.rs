//! Keeping files in RAM: mapped and populated, or locked, and renewed on a thread of its own, since a disk may hang.

#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
mod entry;
#[cfg(target_os = "linux")]
mod kept;
#[cfg(target_os = "linux")]
mod limit;
#[cfg(target_os = "linux")]
mod smaps;
mod turns;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::residency::bytes::Bytes;
use crate::residency::hold::{Held, How};
use crate::residency::timing::{Clock, Reading};
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{lock_advice, lock_limit, lock_lines};
#[cfg(target_os = "linux")]
pub use limit::{lock_advice, lock_limit, lock_lines};
use turns::Turns;

#[cfg(not(target_os = "linux"))]
type Platform = elsewhere::Kept;
#[cfg(target_os = "linux")]
type Platform = kept::Kept;

/// All held files by digest. One that is not here is not mapped.
pub type Holds = HashMap<String, Reading<Held>>;

/// Why nothing may be read into RAM now, or `None`.
pub type Gate = Box<dyn FnMut() -> Option<String> + Send>;

/// The asking side of the thread, which is never joined: it unmaps everything and ends when the last of these is gone,
/// or at its next turn after `stop`.
#[derive(Debug, Clone)]
pub struct Holder {
    /// What is held.
    pub readings: watch::Receiver<Arc<Holds>>,
    mail: Arc<Mutex<Mail>>,
    wake: SyncSender<()>,
}

/// What was asked since the thread last looked: the latest for each file.
#[derive(Debug, Default)]
struct Mail {
    /// What is to be held, and how; `None` is let go.
    wishes: HashMap<String, Option<(PathBuf, How)>>,
    check: bool,
}

impl Holder {
    /// Starts the thread, which holds nothing yet. `gate` is asked before anything is populated.
    pub fn spawn(clock: Clock, stop: CancellationToken, gate: Gate) -> Holder {
        Holder::spawn_on::<Platform>(clock, stop, gate)
    }

    fn spawn_on<K: Keep>(clock: Clock, stop: CancellationToken, gate: Gate) -> Holder {
        let (publish, readings) = watch::channel(Arc::new(Holds::new()));
        let (wake, woken) = sync_channel(1);
        let mail = Arc::new(Mutex::new(Mail::default()));
        let turns = Turns::<K>::new(Arc::clone(&mail), publish, clock, stop, gate);
        // No thread to be had: nothing is ever held, and `readings` is closed.
        drop(thread::Builder::new().name("probe-hold".to_owned()).spawn(move || turns.run(&woken)));
        Holder { readings, mail, wake }
    }

    /// Holds the file until it is released, and never waits. A second time for the same digest changes `how`, or opens
    /// the file again if it could not be opened or is another one now; else it changes nothing.
    pub fn hold(&self, digest: String, path: PathBuf, how: How) {
        self.post(|mail| drop(mail.wishes.insert(digest, Some((path, how)))));
    }

    /// Lets the file go: it is unmapped when it is gone from `readings`.
    pub fn release(&self, digest: &str) {
        self.post(|mail| drop(mail.wishes.insert(digest.to_owned(), None)));
    }

    /// Populates and measures all files now instead of at the next turn.
    pub fn check(&self) {
        self.post(|mail| mail.check = true);
    }

    fn post(&self, write: impl FnOnce(&mut Mail)) {
        write(&mut self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        // Full: it will wake anyway, and find this mail too.
        let _ = self.wake.try_send(());
    }
}

/// A file that is kept in RAM, by what the system offers for it; dropping it lets it go.
trait Keep: Sized + Send + 'static {
    /// Maps the file; nothing is read yet. Or why not.
    fn open(path: &Path) -> Result<Self, String>;
    /// The size that is mapped.
    fn size(&self) -> u64;
    /// Locked, from the beginning.
    fn locked(&self) -> u64;
    /// What became of the file since.
    fn fate(&self, path: &Path) -> Fate;
    /// Brings a part into RAM, and into this mapping.
    fn populate(&self, offset: u64, length: u64) -> Result<(), String>;
    /// Locks what is not locked up to `end`, as much as goes.
    fn lock(&mut self, end: u64) -> Result<(), Unlocked>;
    /// Undoes all of `lock`.
    fn unlock(&mut self);
    /// How much of each file its mapping holds.
    fn resident(kept: &[&Self]) -> Result<Vec<u64>, String>;
    /// What the thread has taken of a processor so far.
    fn cpu_used() -> Duration;
}

/// What became of a held file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Same,
    /// It has this size now.
    Resized(u64),
    /// It is not what lies at its path any more: why.
    Lost(&'static str),
    /// It cannot be looked at: why.
    Hidden(String),
}

/// Why no more was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unlocked {
    /// How much this process may lock, if that is limited and can be the reason.
    limit: Option<Bytes>,
    /// In the kernel's words.
    why: String,
}
