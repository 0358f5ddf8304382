//! How far the reading of a model's files into the page cache is, and what became of it.

use std::time::Duration;

use super::bytes::Bytes;

/// How far the reading of one model's files is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All its files.
    pub total: Bytes,
    /// Found in the page cache and skipped, or read without the disk.
    pub there: Bytes,
    /// Brought from the disk by us so far.
    pub read: Bytes,
    /// Bytes a second that came from the disk, over about the last second of reading; pauses are left out.
    pub rate: Option<Bytes>,
    /// Another read goes first.
    pub paused: bool,
    /// How many threads read.
    pub readers: u8,
}

impl Progress {
    /// What is in the page cache by now, as far as we got.
    pub fn done(&self) -> Bytes {
        (self.there + self.read).min(self.total)
    }

    /// What has not been looked at yet.
    pub fn left(&self) -> Bytes {
        self.total.minus(self.done())
    }

    /// Whole percent, rounded down; of no files at all there is nothing left to do.
    pub fn percent(&self) -> u8 {
        if self.total == Bytes::ZERO { 100 } else { self.done().percent_of(self.total) }
    }

    /// The time that the rest takes if it all comes from the disk; `None` while nothing does.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn time_left(&self) -> Option<Duration> {
        let rate = self.rate.filter(|rate| !self.paused && *rate > Bytes::ZERO)?;
        Duration::try_from_secs_f64(self.left().0 as f64 / rate.0 as f64).ok()
    }
}

/// What became of a request to read a model's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warming {
    /// Others are read first.
    Waiting,
    /// It is being read, or paused.
    Reading(Progress),
    /// All was read, or was there.
    Done {
        /// What was read and what was there.
        progress: Progress,
        /// The time spent reading: pauses and others' turns are left out.
        took: Duration,
    },
    /// It was given up; what was read stays.
    Failed {
        /// Words for the user.
        why: String,
        /// How far it got.
        progress: Progress,
    },
    /// Cancelled; what was read stays.
    Cancelled(Progress),
}

impl Warming {
    /// How far it is or got; `None` while it waits.
    pub fn progress(&self) -> Option<&Progress> {
        match self {
            Warming::Waiting => None,
            Warming::Reading(progress)
            | Warming::Done { progress, .. }
            | Warming::Failed { progress, .. }
            | Warming::Cancelled(progress) => Some(progress),
        }
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        !matches!(self, Warming::Waiting | Warming::Reading(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::GB;

    fn progress(there: u64, read: u64) -> Progress {
        Progress {
            total: Bytes(10 * GB),
            there: Bytes(there),
            read: Bytes(read),
            rate: Some(Bytes(2 * GB)),
            ..Progress::default()
        }
    }

    #[test]
    fn what_was_there_counts_as_done_but_not_as_speed() {
        let half = progress(4 * GB, GB);
        let seen = (half.done(), half.left(), half.percent(), half.time_left());
        assert_eq!(seen, (Bytes(5 * GB), Bytes(5 * GB), 50, Some(Duration::from_millis(2500))));
    }

    #[test]
    fn no_time_is_told_while_nothing_comes_from_the_disk() {
        let whole = progress(4 * GB, GB);
        assert_eq!(Progress { paused: true, ..whole }.time_left(), None);
        assert_eq!(Progress { rate: None, ..whole }.time_left(), None);
        assert_eq!(Progress { rate: Some(Bytes::ZERO), ..whole }.time_left(), None);
    }

    #[test]
    fn a_hundred_percent_is_all_of_it_and_never_more() {
        assert_eq!(progress(10 * GB - 1, 0).percent(), 99);
        assert_eq!(progress(10 * GB, GB).percent(), 100);
        assert_eq!(Progress::default().percent(), 100);
    }

    #[test]
    fn what_is_over_keeps_how_far_it_got() {
        let far = progress(1, 2);
        for (warming, over) in [
            (Warming::Reading(far), false),
            (Warming::Done { progress: far, took: Duration::ZERO }, true),
            (Warming::Failed { why: "x".to_owned(), progress: far }, true),
            (Warming::Cancelled(far), true),
        ] {
            assert_eq!((warming.is_over(), warming.progress()), (over, Some(&far)), "{warming:?}");
        }
        assert_eq!((Warming::Waiting.is_over(), Warming::Waiting.progress()), (false, None));
    }
}
