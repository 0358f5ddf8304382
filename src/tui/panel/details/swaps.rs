//! The swaps of a model as lines of columns, cold and warm apart.

use std::time::Duration;

use crate::residency::record::SwapRecord;
use crate::residency::snapshot::Model;
use crate::residency::swap::Ended;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::widget::sparkline;

/// A swap whose model lay on disk by more than this was a cold one.
const COLD_PERCENT: u64 = 50;

/// A word and a line for its cold and its warm swaps, oldest left, of one height so that they compare.
pub(super) fn lines(model: &Model, app: &App, columns: u16) -> Vec<(&'static str, String)> {
    let (mut cold, mut warm): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    let of_it = app
        .snapshot
        .past
        .swaps
        .iter()
        .rev()
        .map(|(_, swap)| swap)
        .filter(|swap| swap.model == model.name && swap.ended == Ended::Ready && !swap.before.in_vram);
    for swap in of_it {
        match (is_cold(swap), swap.stages.total) {
            (Some(true), Some(took)) => cold.push(took),
            (Some(false), Some(took)) => warm.push(took),
            _ => {}
        }
    }
    let most = cold.iter().chain(&warm).max().copied().unwrap_or_default();
    [("cold", cold), ("warm", warm)]
        .into_iter()
        .filter_map(|(word, times)| {
            let median = format::took(sparkline::median(&times)?);
            let words = match times.len() {
                1 => format!("   {median}"),
                count => format!("   median {median} of {count}"),
            };
            let room = columns.saturating_sub(format::columns(&words)).min(30);
            Some((word, sparkline::times(&times, most, room) + &words))
        })
        .collect()
}

/// Whether its bytes lay on disk; `None` where that could not be read.
fn is_cold(swap: &SwapRecord) -> Option<bool> {
    let disk = swap.before.disk()?;
    Some(u128::from(disk.0) * 100 > u128::from(swap.before.whole.0) * u128::from(COLD_PERCENT))
}
