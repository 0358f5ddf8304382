//! How long loads took: ours as they were measured, another client's as the journal knows it, else as it was seen (`~`).

use std::time::Duration;

use crate::residency::event::{Event, What};
use crate::residency::record::Past;
use crate::tui::format;
use crate::tui::widget::sparkline;

/// Seconds between the end of a load in the journal and the server's answer in which it was seen, at most.
const NEAR: f64 = 3.0;

/// Seconds by which the two may disagree: their clocks are not read at the same moment.
const CLOCK: f64 = 0.1;

/// How long that load took, if anybody knows.
pub(super) fn took(event: &Event, past: &Past) -> Option<Duration> {
    let What::Loaded { took, ours, .. } = event.what else { return None };
    if ours { took } else { watched(event, past).or(took) }
}

/// What the journal says of another client's load: its runner was watched, which the server's answers tell late.
fn watched(event: &Event, past: &Past) -> Option<Duration> {
    let model = event.model.as_ref()?;
    let theirs = past.swaps.iter().filter(|(_, swap)| !swap.ours && swap.model == *model);
    let mut ended = theirs.map(|(began, swap)| {
        let took = swap.took();
        (event.at.wall.duration_since(*began).as_secs_f64() - took.unwrap_or_default().as_secs_f64(), took)
    });
    // The latest that had ended by then: one that began later is another one.
    let (late, took) = ended.find(|(late, _)| *late > -CLOCK)?;
    took.filter(|_| late < NEAR)
}

/// What the times of several loads come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    count: usize,
    not_timed: usize,
    /// The median of those that were timed.
    median: Option<Duration>,
    /// Some of them were only watched.
    watched: bool,
}

impl Times {
    pub(super) fn of(loads: &[&Event], past: &Past) -> Times {
        let times: Vec<Duration> = loads.iter().filter_map(|event| took(event, past)).collect();
        let is_ours = |event: &&Event| matches!(event.what, What::Loaded { ours: true, .. });
        Times {
            count: loads.len(),
            not_timed: loads.len() - times.len(),
            median: sparkline::median(&times),
            watched: !loads.iter().all(is_ours),
        }
    }

    /// `×5   median ~0.29 s   2 not timed`
    pub(super) fn words(self) -> String {
        let mut words = format!("×{}", self.count);
        if let Some(median) = self.median {
            let about = if self.watched { "~" } else { "" };
            words = format!("{words}   median {about}{}", format::took(median));
        }
        match self.not_timed {
            0 => words,
            all if all == self.count => format!("{words}   not timed"),
            some => format!("{words}   {some} not timed"),
        }
    }
}
