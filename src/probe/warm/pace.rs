//! How fast bytes come from the disk: over about the last second in which something was read.

use std::collections::VecDeque;
use std::time::Duration;

use crate::residency::bytes::Bytes;

/// The rate is taken over this long.
const SPAN: Duration = Duration::from_secs(1);
/// With less than this nothing is said.
const LEAST: Duration = Duration::from_millis(100);
/// Notes closer than this are joined.
const GRAIN: Duration = Duration::from_millis(50);

/// What was read in how much time; pauses are never noted, so they do not count.
#[derive(Debug)]
pub(super) struct Pace {
    took: Duration,
    read: u64,
    /// Earlier values of both.
    notes: VecDeque<(Duration, u64)>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { took: Duration::ZERO, read: 0, notes: VecDeque::from([(Duration::ZERO, 0)]) }
    }
}

impl Pace {
    /// Notes that reading took so much more time and brought so much from the disk.
    pub(super) fn note(&mut self, took: Duration, read: u64) {
        self.took += took;
        self.read += read;
        if self.notes.back().is_none_or(|(last, _)| self.took >= *last + GRAIN) {
            self.notes.push_back((self.took, self.read));
        }
        // The oldest is the last that is a whole span away.
        while self.notes.get(1).is_some_and(|(second, _)| self.took >= *second + SPAN) {
            self.notes.pop_front();
        }
    }

    /// All time spent reading.
    pub(super) fn took(&self) -> Duration {
        self.took
    }

    /// Bytes a second; `None` before there is enough to say it, and while nothing comes from the disk.
    pub(super) fn rate(&self) -> Option<Bytes> {
        let (since, before) = self.notes.front()?;
        let (took, read) = (self.took.saturating_sub(*since), self.read - before);
        if took < LEAST || read == 0 {
            return None;
        }
        let rate = u128::from(read) * 1_000_000_000 / took.as_nanos();
        Some(Bytes(u64::try_from(rate).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Duration = Duration::from_millis(10);

    #[test]
    fn the_rate_is_that_of_the_last_second_of_reading() {
        let mut pace = Pace::default();
        for _ in 0..500 {
            pace.note(BLOCK, 10_000);
        }
        assert_eq!(pace.rate(), Some(Bytes(1_000_000)));
        for _ in 0..50 {
            pace.note(BLOCK, 30_000);
        }
        assert_eq!(pace.rate(), Some(Bytes(2_000_000)));
        for _ in 0..50 {
            pace.note(BLOCK, 30_000);
        }
        assert_eq!((pace.rate(), pace.took()), (Some(Bytes(3_000_000)), Duration::from_secs(6)));
    }

    #[test]
    fn a_rate_of_nothing_or_of_an_instant_is_not_told() {
        let mut pace = Pace::default();
        assert_eq!(pace.rate(), None);
        pace.note(BLOCK, 10_000);
        assert_eq!(pace.rate(), None);
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.note(BLOCK, 0));
        assert_eq!(pace.rate(), None);
    }

    #[test]
    fn few_notes_are_kept_however_many_blocks_there_are() {
        let mut pace = Pace::default();
        (0..100_000).for_each(|_| pace.note(Duration::from_micros(300), 1 << 20));
        assert!(pace.notes.len() <= 22, "{}", pace.notes.len());
    }
}
