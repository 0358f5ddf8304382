//! The times of each model's latest swaps as a line of columns.

use std::time::Duration;

use crate::residency::name::ModelName;
use crate::residency::record::{Past, SwapRecord};
use crate::tui::format;
use crate::tui::widget::sparkline;

/// Swaps that a line has room for.
pub(super) const COLUMNS: u16 = 18;

/// One model's.
pub(super) struct Latest {
    pub(super) model: ModelName,
    /// Oldest left.
    pub(super) line: String,
    /// `median ~0.86 s of 15`
    pub(super) words: String,
}

/// So many models at most, the one that was swapped in last first; all lines of one height, so that they compare.
pub(super) fn of(past: &Past, most: usize) -> Vec<Latest> {
    let mut models: Vec<&ModelName> = Vec::new();
    for (_, swap) in past.swaps.iter().filter(|(_, swap)| took(swap).is_some()) {
        if models.len() < most && !models.contains(&&swap.model) {
            models.push(&swap.model);
        }
    }
    let swaps_of = |model: &ModelName| -> Vec<&SwapRecord> {
        let all = past.swaps.iter().map(|(_, swap)| swap);
        let of_it = all.filter(|swap| swap.model == *model && took(swap).is_some());
        let mut latest: Vec<_> = of_it.take(usize::from(COLUMNS)).collect();
        latest.reverse();
        latest
    };
    let all: Vec<(&ModelName, Vec<&SwapRecord>)> =
        models.into_iter().map(|model| (model, swaps_of(model))).collect();
    let times = |swaps: &[&SwapRecord]| -> Vec<Duration> { swaps.iter().copied().filter_map(took).collect() };
    let highest = all.iter().flat_map(|(_, swaps)| times(swaps)).max().unwrap_or_default();
    all.into_iter()
        .map(|(model, swaps)| {
            let times = times(&swaps);
            let about = if swaps.iter().all(|swap| swap.ours) { "" } else { "~" };
            let median = sparkline::median(&times).map_or_else(String::new, format::took);
            let words = match times.len() {
                1 => format!("{about}{median}"),
                count => format!("median {about}{median} of {count}"),
            };
            Latest { model: model.clone(), line: sparkline::times(&times, highest, COLUMNS), words }
        })
        .collect()
}

/// How long it took to bring the model into VRAM.
fn took(swap: &SwapRecord) -> Option<Duration> {
    swap.took().filter(|_| !swap.before.in_vram)
}
