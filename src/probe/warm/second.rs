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

/// A stretch alone, one with a second reader, and one alone again: a machine that others use changes its speed by
/// itself, and one look back is not enough to tell that from a gain. Only what came from the disk counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Trial {
    alone: Run,
    together: Run,
    /// Two were faster than the one before.
    has_gained: bool,
    again: Run,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Run {
    read: u64,
    seconds: f64,
}

impl Run {
    /// Whether this is `gain` times as fast as `alone` over a stretch; `None` as long as that is open.
    #[expect(clippy::cast_precision_loss, reason = "speeds")]
    fn gains(self, alone: Run, stretch: u64, gain: f64) -> Option<bool> {
        // The time in which two must have brought the stretch, or it was not worth it.
        let most = alone.seconds / alone.read.max(1) as f64 * stretch as f64 / gain;
        if self.seconds > most { Some(false) } else { (self.read >= stretch).then_some(true) }
    }
}

/// What the trial asks for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// To read on by one.
    One,
    /// To read on by two.
    Two,
    /// Nothing: a second reader gains here, or does not.
    Verdict(bool),
}

impl Trial {
    /// Notes a step that was made with or without a second reader.
    pub(super) fn note(&mut self, with_second: bool, read: u64, took: Duration) {
        let run = match (with_second, self.has_gained) {
            (true, _) => &mut self.together,
            (false, false) => &mut self.alone,
            (false, true) => &mut self.again,
        };
        if read > 0 || with_second {
            run.read += read;
            run.seconds += took.as_secs_f64();
        }
    }

    /// What comes next; two are worth it if they are `gain` times as fast as one, before and after.
    pub(super) fn next(&mut self, stretch: u64, gain: f64) -> Next {
        if self.has_gained {
            if self.again.read < stretch {
                return Next::One;
            }
            // Both as fast as they were over what they read.
            return Next::Verdict(self.together.gains(self.again, self.together.read, gain) == Some(true));
        }
        if self.alone.read < stretch {
            return Next::One;
        }
        match self.together.gains(self.alone, stretch, gain) {
            None => Next::Two,
            Some(false) => Next::Verdict(false),
            Some(true) => {
                self.has_gained = true;
                Next::One
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRETCH: u64 = 1000;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// A trial in which one took so long for a stretch, two read so much in so long, and one again took so long.
    fn trial(alone: u64, together: (u64, u64), again: u64) -> Next {
        let mut trial = Trial::default();
        assert_eq!(trial.next(STRETCH, 1.15), Next::One);
        trial.note(false, STRETCH, ms(alone));
        assert_eq!(trial.next(STRETCH, 1.15), Next::Two);
        trial.note(true, together.0, ms(together.1));
        match trial.next(STRETCH, 1.15) {
            Next::One => {}
            other => return other,
        }
        trial.note(false, STRETCH, ms(again));
        trial.next(STRETCH, 1.15)
    }

    #[test]
    fn a_second_reader_stays_only_if_both_are_clearly_faster_than_one_before_and_after() {
        assert_eq!(trial(1150, (STRETCH, 999), 1150), Next::Verdict(true));
        assert_eq!(trial(1150, (STRETCH, 1001), 1150), Next::Verdict(false));
        assert_eq!(
            trial(2000, (STRETCH, 1000), 1100),
            Next::Verdict(false),
            "the machine got faster meanwhile"
        );
        assert_eq!(
            trial(1150, (STRETCH + 50, 999), 1150),
            Next::Verdict(true),
            "the last block is a whole one"
        );
    }

    #[test]
    fn a_trial_is_over_as_soon_as_it_cannot_be_won() {
        assert_eq!(trial(1150, (10, 999), 0), Next::Two);
        assert_eq!(trial(1150, (10, 1001), 0), Next::Verdict(false));
    }

    #[test]
    fn what_needed_no_disk_says_nothing_about_it() {
        let mut trial = Trial::default();
        trial.note(false, 0, Duration::from_secs(9));
        assert_eq!(trial, Trial::default());
    }
}
