//! A second thread that reads the back half of a file, and the trial that decides whether it is worth it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use super::leg::{Leg, Step};

/// A second reader at work.
#[derive(Debug)]
pub(super) struct Second {
    shared: Arc<Shared>,
    ended: Receiver<Ended>,
}

/// The leg as far as it got.
pub(super) type Ended = io::Result<Leg>;

/// What both threads see.
#[derive(Debug, Default)]
struct Shared {
    halt: AtomicBool,
    there: AtomicU64,
    read: AtomicU64,
    through: AtomicU64,
}

impl Second {
    /// Starts to read the leg; gives it back if there is no thread to be had.
    pub(super) fn spawn(leg: Leg) -> Result<Second, Box<Leg>> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = sync_channel(1);
        // The leg follows when there is a thread: one that cannot be started would take it along.
        let (give, given) = sync_channel(1);
        let theirs = Arc::clone(&shared);
        let body = move || {
            if let Ok(leg) = given.recv() {
                // Nobody there to hear it: it was cancelled.
                let _ = end.send(read(leg, &theirs));
            }
        };
        if thread::Builder::new().name("probe-warm-2".to_owned()).spawn(body).is_err() {
            return Err(Box::new(leg));
        }
        give.send(leg).map(|()| Second { shared, ended }).map_err(|unsent| Box::new(unsent.0))
    }

    /// What it did since the last time it was asked.
    pub(super) fn news(&self) -> Step {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Step {
            there: take(&self.shared.there),
            read: take(&self.shared.read),
            through: take(&self.shared.through),
        }
    }

    /// Its end, if that comes within `patience`; the last of its news come after it.
    pub(super) fn ended(&self, patience: Duration) -> Option<Ended> {
        match self.ended.recv_timeout(patience) {
            Ok(ended) => Some(ended),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(lost())),
        }
    }

    /// Ends it after its block, and waits for that.
    pub(super) fn halt(&self) -> Ended {
        self.shared.halt.store(true, Ordering::Relaxed);
        self.ended.recv().unwrap_or_else(|_| Err(lost()))
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.shared.halt.store(true, Ordering::Relaxed);
    }
}

fn lost() -> io::Error {
    io::Error::other("the second reader is gone")
}

/// The thread's whole work.
fn read(mut leg: Leg, shared: &Shared) -> Ended {
    let mut buffer = Vec::new();
    while leg.left() > 0 && !shared.halt.load(Ordering::Relaxed) {
        let step = leg.step(&mut buffer)?;
        shared.there.fetch_add(step.there, Ordering::Relaxed);
        shared.read.fetch_add(step.read, Ordering::Relaxed);
        shared.through.fetch_add(step.through, Ordering::Relaxed);
    }
    Ok(leg)
}

/// A stretch alone, then the same stretch with a second reader; only what came from the disk counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Trial {
    alone: Run,
    together: Run,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Run {
    read: u64,
    seconds: f64,
}

impl Trial {
    /// Notes a step that was made with or without a second reader.
    pub(super) fn note(&mut self, with_second: bool, read: u64, took: Duration) {
        let run = if with_second { &mut self.together } else { &mut self.alone };
        if read > 0 || with_second {
            run.read += read;
            run.seconds += took.as_secs_f64();
        }
    }

    /// Whether it is known well enough how fast one alone is.
    pub(super) fn is_ready(&self, stretch: u64) -> bool {
        self.alone.read >= stretch
    }

    /// Whether two are `gain` times as fast as one; `None` as long as that is open.
    #[expect(clippy::cast_precision_loss, reason = "speeds")]
    pub(super) fn verdict(&self, stretch: u64, gain: f64) -> Option<bool> {
        let Run { read, seconds } = self.together;
        let alone = self.alone.seconds / (self.alone.read.max(1) as f64);
        // The time in which two must have brought the stretch, or it was not worth it.
        let most = alone * stretch as f64 / gain;
        if seconds > most { Some(false) } else { (read >= stretch).then_some(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRETCH: u64 = 1000;

    fn trial(alone: u64, together: (u64, u64)) -> Option<bool> {
        let mut trial = Trial::default();
        trial.note(false, STRETCH, Duration::from_millis(alone));
        assert!(trial.is_ready(STRETCH));
        trial.note(true, together.0, Duration::from_millis(together.1));
        trial.verdict(STRETCH, 1.15)
    }

    #[test]
    fn a_second_reader_stays_only_if_both_are_clearly_faster() {
        assert_eq!(trial(1150, (STRETCH, 999)), Some(true));
        assert_eq!(trial(1150, (STRETCH, 1001)), Some(false));
    }

    #[test]
    fn a_trial_is_over_as_soon_as_it_cannot_be_won() {
        assert_eq!(trial(1150, (10, 999)), None);
        assert_eq!(trial(1150, (10, 1001)), Some(false));
    }

    #[test]
    fn what_needed_no_disk_says_nothing_about_it() {
        let mut trial = Trial::default();
        trial.note(false, 0, Duration::from_secs(9));
        assert_eq!(trial, Trial::default());
        assert!(!trial.is_ready(STRETCH));
    }
}
