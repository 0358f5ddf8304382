//! The one clock of the program: the only place that reads the time.

use std::sync::Arc;

use crate::residency::timing::{Clock, Moment};

/// The machine's clock, monotonic and wall.
#[expect(clippy::disallowed_methods, reason = "this is the place the lint points to")]
pub fn system() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

/// A clock that follows tokio's, from a given wall time: it stands still while a test has time paused.
pub fn of_tokio(wall: jiff::Timestamp) -> Clock {
    let start = tokio::time::Instant::now();
    Arc::new(move || {
        let mono = tokio::time::Instant::now();
        let gone = jiff::SignedDuration::try_from(mono - start).unwrap_or_default();
        Moment { mono: mono.into_std(), wall: wall.saturating_add(gone).unwrap_or(wall) }
    })
}
