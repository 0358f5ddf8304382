//! A trace: when a model was used, and how long it had been idle before each use, as the journal keeps it.

use std::time::Duration;

use jiff::Timestamp;

use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;

/// One use. Those within seconds of each other are one; it is seen when the server restarts its countdown, which is at
/// a request's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// When it was seen.
    pub at: Timestamp,
    /// How long nobody had used the model before; `None` where nobody watched all of that time.
    pub idle: Option<Duration>,
}

/// The uses of one model on one server. Our own acts are none. While a model is pinned the server has no countdown to
/// restart, so that its uses cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Which model.
    pub model: ModelName,
    /// Its files; `None` where no load of it is known.
    pub size: Option<Bytes>,
    /// Oldest first.
    pub uses: Vec<Use>,
    /// Up to when it is known that there was no later one.
    pub until: Timestamp,
}

/// A spell of use and what came after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How long it was used without a pause.
    pub used: Duration,
    /// What came then.
    pub then: Then,
}

/// What came after a spell of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It was used again after so long.
    Back(Duration),
    /// The next use that is known came so long after, and nobody watched in between.
    Unwatched(Duration),
    /// Nothing more, for so long.
    Nothing(Duration),
}

impl Trace {
    /// The idle times that are known, oldest first.
    pub fn idle_times(&self) -> impl Iterator<Item = Duration> + '_ {
        self.turns().filter_map(|turn| match turn.then {
            Then::Back(idle) => Some(idle),
            Then::Unwatched(_) | Then::Nothing(_) => None,
        })
    }

    /// Spell by spell. A use goes on until the idle time of the next one begins.
    pub fn turns(&self) -> impl Iterator<Item = Turn> + '_ {
        self.uses.iter().enumerate().map(|(i, this)| {
            let Some(next) = self.uses.get(i + 1) else {
                return Turn { used: Duration::ZERO, then: Then::Nothing(apart(this.at, self.until)) };
            };
            let apart = apart(this.at, next.at);
            match next.idle {
                // A clock that was set back makes an idle time longer than the time between.
                Some(idle) => Turn { used: apart.saturating_sub(idle), then: Then::Back(idle) },
                None => Turn { used: Duration::ZERO, then: Then::Unwatched(apart) },
            }
        })
    }

    /// From the first use until the end.
    pub fn span(&self) -> Duration {
        self.uses.first().map_or(Duration::ZERO, |first| apart(first.at, self.until))
    }
}

fn apart(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or(Duration::ZERO)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A use `minutes` into the trace after so many minutes of idleness.
    pub(in crate::residency::tune) fn used(minutes: i64, idle: Option<u64>) -> Use {
        let idle = idle.map(|minutes| Duration::from_secs(60 * minutes));
        Use { at: Timestamp::from_second(minutes * 60).unwrap(), idle }
    }

    pub(in crate::residency::tune) fn trace(uses: Vec<Use>, until: i64) -> Trace {
        let until = Timestamp::from_second(until * 60).unwrap();
        Trace { model: ModelName::parse("a").unwrap(), size: Some(Bytes(1 << 30)), uses, until }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_use_lasts_until_its_idle_time_begins_and_what_nobody_watched_is_no_idle_time() {
        let trace = trace(vec![used(0, None), used(30, Some(10)), used(90, None), used(95, Some(5))], 100);
        assert_eq!(
            trace.turns().collect::<Vec<_>>(),
            [
                Turn { used: minutes(20), then: Then::Back(minutes(10)) },
                Turn { used: minutes(0), then: Then::Unwatched(minutes(60)) },
                Turn { used: minutes(0), then: Then::Back(minutes(5)) },
                Turn { used: minutes(0), then: Then::Nothing(minutes(5)) },
            ]
        );
        assert_eq!(trace.idle_times().collect::<Vec<_>>(), [minutes(10), minutes(5)]);
        assert_eq!(trace.span(), minutes(100));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_times() {
        let trace = trace(vec![used(50, None), used(40, Some(5))], 30);
        let zero = Duration::ZERO;
        assert_eq!(
            trace.turns().collect::<Vec<_>>(),
            [
                Turn { used: zero, then: Then::Back(minutes(5)) },
                Turn { used: zero, then: Then::Nothing(zero) }
            ]
        );
        assert_eq!(trace.span(), zero);
    }
}
