//! Moments: what the clock said, handed in; the domain never asks a clock itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// One reading of the clock: monotonic for durations, wall for the server's `expires_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock.
    pub mono: Instant,
    /// The wall clock.
    pub wall: Timestamp,
}

impl Moment {
    /// How long ago `earlier` was on the monotonic clock; zero if it lies ahead.
    pub fn since(self, earlier: Instant) -> Duration {
        self.mono.saturating_duration_since(earlier)
    }
}

/// The one clock, handed to everything that stamps a reading.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// A value and when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<T> {
    /// What was read.
    pub value: T,
    /// When it was read.
    pub at: Moment,
}

impl<T> Reading<T> {
    /// How old the reading is at `now`.
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.at.mono)
    }
}
