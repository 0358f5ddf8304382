//! How much of a model was in RAM: its last readings at a slow pace, so that its fading is seen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::timing::Moment;

/// How many readings are kept: half an hour, where nothing happens.
const KEPT: usize = 60;
/// Between two of them.
const PACE: Duration = Duration::from_secs(30);
/// A reading that differs by so many percentage points is kept at once.
const STEP: u8 = 5;

/// A ring of readings.
#[derive(Debug, Clone, Default)]
pub struct History {
    percents: VecDeque<u8>,
    last: Option<Moment>,
    line: Arc<[u8]>,
}

impl History {
    /// Takes in what was read at a moment, if it is time or differs much; says whether the line is another one.
    pub fn note(&mut self, percent: u8, at: Moment) -> bool {
        if let (Some(last), Some(then)) = (self.last, self.percents.back())
            && at.since(last.mono) < PACE
            && percent.abs_diff(*then) < STEP
        {
            return false;
        }
        if self.percents.len() >= KEPT {
            self.percents.pop_front();
        }
        self.percents.push_back(percent);
        self.last = Some(at);
        let moves = self.percents.iter().any(|then| *then != percent);
        if !moves && self.line.is_empty() {
            return false;
        }
        self.line = if moves { self.percents.iter().copied().collect() } else { Arc::default() };
        true
    }

    /// The readings in whole percents, oldest first; none while all are the same, since then they tell nothing.
    pub fn line(&self) -> Arc<[u8]> {
        Arc::clone(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "some moment to count from")]
    fn start() -> Moment {
        Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::UNIX_EPOCH }
    }

    /// What becomes of readings at these seconds: the line, and how often it was another one.
    fn after(readings: impl IntoIterator<Item = (u64, u8)>) -> (Vec<u8>, usize) {
        let (start, mut history) = (start(), History::default());
        let at = |second| Moment { mono: start.mono + Duration::from_secs(second), ..start };
        let changes =
            readings.into_iter().filter(|&(second, percent)| history.note(percent, at(second))).count();
        (history.line().to_vec(), changes)
    }

    #[test]
    fn a_reading_is_kept_each_half_minute_and_when_it_differs_much() {
        assert_eq!(after([(0, 100), (10, 99), (20, 98), (30, 97), (59, 96), (60, 95)]).0, [100, 97, 95]);
        assert_eq!(after([(0, 100), (5, 96), (6, 95), (7, 91), (8, 90), (9, 40)]).0, [100, 95, 90, 40]);
        assert_eq!(after([(0, 3), (1, 100)]).0, [3, 100]);
    }

    #[test]
    fn what_never_changes_is_no_line_and_no_news() {
        assert_eq!(after((0..500).map(|second| (second, 100))), (vec![], 0));
        assert_eq!(after([]), (vec![], 0));
        assert_eq!(after([(0, 100), (1, 97), (30, 100)]), (vec![], 0));
    }

    #[test]
    fn the_oldest_goes_when_there_are_sixty() {
        let (line, changes) = after((0..=60).map(|i| (i * 30, u8::try_from(i).unwrap())));
        assert_eq!(line, (1..=60).collect::<Vec<u8>>());
        assert_eq!(changes, 60);
        let (line, _) = after((0..=60).map(|i| (i * 30, if i == 0 { 7 } else { 100 })));
        assert_eq!(line, Vec::<u8>::new(), "what differed has gone");
    }
}
