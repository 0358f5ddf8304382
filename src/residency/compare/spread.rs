//! Several measurements of one thing: their middle, their ends, and whether two such differ at all.

use std::fmt;
use std::time::Duration;

use crate::residency::bytes::Bytes;

/// From as many measurements on it is known how far they scatter.
const SCATTER: usize = 3;

/// Several measurements of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// The middle one.
    pub median: Duration,
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
    /// How many there are.
    pub runs: usize,
}

impl Spread {
    /// Of these; `None` if there are none.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Spread> {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort();
        let (least, most) = (*times.first()?, *times.last()?);
        let middle = times.len() / 2;
        let median =
            if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2 };
        Some(Spread { median, least, most, runs: times.len() })
    }

    /// How fast that many bytes came, in GB a second.
    pub fn rate(&self, bytes: Bytes) -> Option<f64> {
        let seconds = self.median.as_secs_f64();
        (seconds > 0.0 && bytes > Bytes::ZERO).then(|| bytes.gb() / seconds)
    }

    /// Whether no difference is measured: each middle lies within the other's ends. `None` where there are too few to
    /// know how far they scatter.
    pub fn is_within_noise_of(&self, other: &Spread) -> Option<bool> {
        let holds = |one: &Spread, middle: Duration| one.least <= middle && middle <= one.most;
        (self.runs.min(other.runs) >= SCATTER).then(|| holds(self, other.median) && holds(other, self.median))
    }

    /// How many times as long as `other`.
    pub fn times(&self, other: &Spread) -> Option<f64> {
        let other = other.median.as_secs_f64();
        (other > 0.0).then(|| self.median.as_secs_f64() / other)
    }
}

impl fmt::Display for Spread {
    /// `4.21 s (4.02 to 4.60)`; of one run there is no spread.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, least, most] = [self.median, self.least, self.most].map(|time| time.as_secs_f64());
        match self.runs {
            1 => write!(f, "{median:.2} s"),
            _ => write!(f, "{median:.2} s ({least:.2} to {most:.2})"),
        }
    }
}
