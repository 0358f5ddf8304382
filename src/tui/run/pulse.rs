//! The sign of life: a terminal that is gone without a word is found by a write that fails, so one is due now and then.

use std::time::Duration;

use crate::residency::timing::Moment;

/// It is due so long after the last write: it finds a terminal that is gone, and refreshes ages.
const EVERY: Duration = Duration::from_secs(5);

/// When something was last written for certain.
pub(super) struct Pulse(Moment);

impl Pulse {
    pub(super) fn new(now: Moment) -> Pulse {
        Pulse(now)
    }

    /// Something was written.
    pub(super) fn wrote(&mut self, now: Moment) {
        self.0 = now;
    }

    /// How long nothing need be written.
    pub(super) fn left(&self, now: Moment) -> Duration {
        EVERY.saturating_sub(now.since(self.0.mono))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::after;

    #[test]
    fn a_sign_of_life_is_due_only_where_nothing_was_written_for_a_while() {
        let left = |pulse: &Pulse, seconds| pulse.left(after(seconds)).as_secs();
        let mut pulse = Pulse::new(after(0));
        assert_eq!((left(&pulse, 0), left(&pulse, 3), left(&pulse, 5), left(&pulse, 9)), (5, 2, 0, 0));
        pulse.wrote(after(3));
        assert_eq!((left(&pulse, 5), left(&pulse, 8)), (3, 0));
    }
}
