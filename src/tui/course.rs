//! What the card's memory, the models in RAM and the bus did in the last minutes, as one snapshot after the other said.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::app::counted_once;
use super::widget::near::LEVELS;
use crate::residency::bytes::Bytes;
use crate::residency::snapshot::Snapshot;

/// What is older is forgotten; the page draws no more than this.
const KEPT: Duration = Duration::from_secs(300);

/// More changes than this are not kept, however fast they come.
const MOST: usize = 4000;

/// What is kept of a snapshot, each only where it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// What is used of all cards.
    Vram,
    /// What is in RAM of the models' files.
    Ram,
    /// What the cards receive in a second.
    Pcie,
}

impl What {
    /// All of it, in the order of the page.
    pub(crate) const ALL: [What; 3] = [What::Vram, What::Ram, What::Pcie];
}

/// A value, and what would be all; of what has no bound there is none.
type Value = (Bytes, Option<Bytes>);

/// The values from one change to the next.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: Instant,
    values: [Option<Value>; 3],
}

/// The last minutes.
#[derive(Debug, Default)]
pub(crate) struct Course {
    stretches: VecDeque<Stretch>,
}

/// One value as a line of columns, a second each, the newest at the right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) glyphs: String,
    pub(crate) now: Bytes,
    /// What a full column is.
    pub(crate) most: Bytes,
}

impl Course {
    /// Takes what a snapshot says; nothing where it says the same as the one before.
    pub(crate) fn note(&mut self, snapshot: &Snapshot) {
        let (values, from) = (What::ALL.map(|what| value(what, snapshot)), snapshot.at.mono);
        let is_new = self.stretches.back().is_none_or(|last| last.values != values && last.from <= from);
        if !is_new {
            return;
        }
        self.stretches.push_back(Stretch { from, values });
        // The one that holds where the page begins stays.
        let is_old = |stretch: &Stretch| from.saturating_duration_since(stretch.from) > KEPT;
        while self.stretches.len() > MOST || self.stretches.get(1).is_some_and(is_old) {
            self.stretches.pop_front();
        }
    }

    /// The last seconds of it; `None` where nothing was measured in them.
    pub(crate) fn line(&self, what: What, columns: u16, now: Instant) -> Option<Line> {
        let at = |back: u16| {
            let then = now.checked_sub(Duration::from_secs(back.into()))?;
            let held = self.stretches.iter().rev().find(|stretch| stretch.from <= then)?;
            held.values[what as usize]
        };
        let values: Vec<Option<Value>> = (0..columns).rev().map(at).collect();
        let (newest, whole) = values.iter().rev().find_map(|value| *value)?;
        let highest = values.iter().flatten().map(|(value, _)| *value).max().unwrap_or(newest);
        let most = whole.unwrap_or(highest).max(highest);
        let top = LEVELS.len() - 1;
        let glyph = |value: &Option<Value>| match value {
            None => " ",
            Some((value, _)) => {
                let level = (u128::from(value.0) * top as u128).div_ceil(u128::from(most.0.max(1)));
                LEVELS[usize::try_from(level).unwrap_or(top).min(top)]
            }
        };
        Some(Line { glyphs: values.iter().map(glyph).collect(), now: newest, most })
    }
}

fn value(what: What, snapshot: &Snapshot) -> Option<Value> {
    let cards = snapshot.host.cards.as_ref().map_or(&[][..], |cards| cards.value.list());
    match what {
        What::Vram if cards.is_empty() => None,
        What::Vram => {
            Some((cards.iter().map(|card| card.used).sum(), Some(cards.iter().map(|card| card.total).sum())))
        }
        What::Ram => {
            let server = snapshot.servers.first().filter(|server| server.local)?;
            let whole = snapshot.host.ram?.value.total;
            let cached: Vec<Bytes> =
                counted_once(&server.models).filter_map(|model| model.cached.bytes()).collect();
            (!cached.is_empty()).then(|| (cached.into_iter().sum(), Some(whole)))
        }
        What::Pcie => {
            let rates: Vec<Bytes> = cards.iter().filter_map(|card| card.receive_rate).collect();
            (!rates.is_empty()).then(|| (rates.into_iter().sum(), None))
        }
    }
}
