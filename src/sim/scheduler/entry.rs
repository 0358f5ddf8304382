//! One loaded model: who uses it, when it expires, and whether it must go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::residency::timing::Moment;
use crate::sim::keep_alive::FOREVER;
use crate::sim::loader::Runner;
use crate::sim::place::{Placement, RunnerOptions};

/// One loaded model.
pub(super) struct Entry {
    pub(super) number: u64,
    /// The model whose request loaded it; other tags of the blob share it.
    pub(super) model: usize,
    pub(super) options: RunnerOptions,
    pub(super) placement: Placement,
    pub(super) context: u64,
    pub(super) keep_alive: i64,
    pub(super) users: usize,
    /// Set when the last request ends; `None` until the first one has.
    pub(super) expires_at: Option<Timestamp>,
    pub(super) deadline: Option<Instant>,
    /// It goes when its last request has ended, whatever a request says meanwhile.
    pub(super) doomed: bool,
    /// `None` while its runner is being ended.
    pub(super) runner: Option<Runner>,
}

impl Entry {
    /// Whether it is on its way out.
    pub(super) fn is_ending(&self) -> bool {
        self.runner.is_none()
    }

    /// Whether a request can be given to it now.
    pub(super) fn is_alive(&self) -> bool {
        self.runner.as_ref().is_some_and(Runner::is_alive)
    }

    pub(super) fn taken(&mut self, keep_alive: Option<i64>) {
        self.users += 1;
        self.deadline = None;
        if let Some(keep_alive) = keep_alive {
            self.keep_alive = keep_alive;
        }
    }

    /// The last request has ended: its `keep_alive` starts. True if it goes at once.
    pub(super) fn idle(&mut self, now: Moment) -> bool {
        self.expires_at = Some(after(now.wall, self.keep_alive));
        if self.doomed || self.keep_alive <= 0 {
            return true;
        }
        self.deadline = (self.keep_alive != FOREVER)
            .then(|| Instant::from_std(now.mono) + Duration::from_nanos(self.keep_alive.unsigned_abs()));
        false
    }

    /// What `/api/ps` reports: before the first request has ended, a value that slides.
    pub(super) fn reported_expiry(&self, now: Timestamp) -> Timestamp {
        self.expires_at.unwrap_or_else(|| after(now, self.keep_alive))
    }
}

fn after(now: Timestamp, nanos: i64) -> Timestamp {
    // An overflowed keep_alive lies centuries back; the server too reports a moment in the past.
    now.checked_add(SignedDuration::from_nanos(nanos)).unwrap_or(now)
}
