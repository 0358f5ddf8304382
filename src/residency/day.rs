//! A day summed up: how many swaps, how long they took, and what they would have cost with everything on disk.

use std::time::Duration;

use super::bytes::Bytes;
use super::fold::median;
use super::name::ModelName;
use super::record::{Day, SwapRecord};

/// What the sum needs to know of one swap that made its model ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// Which model.
    pub model: ModelName,
    /// All its files; zero where that is not known.
    pub whole: Bytes,
    /// How long it took; `None` where nobody saw it begin.
    pub took: Option<Duration>,
    /// It came from the disk.
    pub cold: bool,
}

impl Swapped {
    /// Of a record, if that made its model ready.
    pub fn of(swap: &SwapRecord) -> Option<Swapped> {
        let ready = swap.ended == super::swap::Ended::Ready && !swap.before.in_vram;
        let swapped = || Swapped {
            model: swap.model.clone(),
            whole: swap.before.whole,
            took: swap.took(),
            cold: swap.was_cold(),
        };
        ready.then(swapped)
    }
}

impl Day {
    /// Sums up the swaps of a day. `cold` are swaps from the disk that were ever measured: one of the same model says
    /// what a swap would have cost, else its size and the speed of the others.
    pub fn sum(swaps: &[Swapped], cold: &[Swapped]) -> Day {
        let timed: Vec<(&Swapped, Duration)> =
            swaps.iter().filter_map(|swap| Some((swap, swap.took?))).collect();
        let count = |swaps: usize| u32::try_from(swaps).unwrap_or(u32::MAX);
        Day {
            swaps: count(swaps.len()),
            not_timed: count(swaps.len() - timed.len()),
            waited: timed.iter().map(|(_, took)| *took).sum(),
            cold: (!cold.is_empty() && !timed.is_empty())
                .then(|| timed.iter().map(|(swap, took)| would_have_taken(swap, *took, cold)).sum()),
            median: median(timed.iter().map(|(_, took)| *took).collect()),
        }
    }

    /// How many, and how many of them have no time: `6 swaps (3 not timed)`.
    pub fn count(&self) -> String {
        match (self.swaps, self.not_timed) {
            (1, 0) => "1 swap".to_owned(),
            (1, _) => "1 swap (not timed)".to_owned(),
            (swaps, 0) => format!("{swaps} swaps"),
            (swaps, not_timed) => format!("{swaps} swaps ({not_timed} not timed)"),
        }
    }
}

/// What a swap would have taken from the disk. Where nothing says that, it is counted as it was: the sum is not made
/// larger than what is known.
fn would_have_taken(swap: &Swapped, took: Duration, cold: &[Swapped]) -> Duration {
    if swap.cold {
        return took;
    }
    let same = cold.iter().filter(|other| other.model == swap.model).filter_map(|other| other.took);
    if let Some(same) = median(same.collect()) {
        return same.max(took);
    }
    let per_gb = |other: &Swapped| {
        let gb = other.whole.gb();
        (gb > 0.0).then(|| other.took.map(|took| took.div_f64(gb))).flatten()
    };
    let by_size = median(cold.iter().filter_map(per_gb).collect()).map(|each| each.mul_f64(swap.whole.gb()));
    by_size.unwrap_or(took).max(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swapped(model: &str, gb: u64, seconds: Option<u64>, cold: bool) -> Swapped {
        Swapped {
            model: ModelName::parse(model).unwrap(),
            whole: Bytes(gb * 1_000_000_000),
            took: seconds.map(Duration::from_secs),
            cold,
        }
    }

    fn sum(swaps: &[Swapped], cold: &[Swapped]) -> (u32, u64, Option<u64>, Option<u64>) {
        let Day { swaps, waited, cold, median, .. } = Day::sum(swaps, cold);
        (swaps, waited.as_secs(), cold.map(|d| d.as_secs()), median.map(|d| d.as_secs()))
    }

    #[test]
    fn a_day_without_swaps_says_nothing() {
        assert_eq!(sum(&[], &[swapped("a", 1, Some(9), true)]), (0, 0, None, None));
    }

    #[test]
    fn without_a_cold_swap_nobody_knows_what_cold_would_be() {
        let day = [swapped("a", 1, Some(1), false), swapped("b", 1, Some(4), false)];
        assert_eq!(sum(&day, &[]), (2, 5, None, Some(2)));
    }

    #[test]
    fn the_same_model_counts_before_the_speed_of_others() {
        let cold = [swapped("a", 2, Some(9), true), swapped("a", 2, Some(11), true)];
        let day = [swapped("a", 2, Some(1), false), swapped("b", 4, Some(1), false)];
        // 10 for the one, 4 GB at 5 s for the other.
        assert_eq!(sum(&day, &cold), (2, 2, Some(30), Some(1)));
    }

    #[test]
    fn what_was_cold_cost_what_it_took_and_nothing_is_made_cheaper() {
        let cold = [swapped("a", 2, Some(4), true)];
        let day = [swapped("a", 2, Some(7), true), swapped("a", 2, Some(6), false)];
        assert_eq!(sum(&day, &cold), (2, 13, Some(13), Some(6)));
    }

    #[test]
    fn a_swap_that_nobody_timed_is_counted_and_no_more() {
        let cold = [swapped("a", 2, Some(4), true)];
        let none = [swapped("a", 2, None, false)];
        assert_eq!(sum(&none, &cold), (1, 0, None, None));
        assert_eq!(Day::sum(&none, &cold).count(), "1 swap (not timed)");
        let day =
            [swapped("a", 2, None, false), swapped("b", 2, Some(1), false), swapped("a", 2, Some(3), false)];
        assert_eq!(sum(&day, &[]), (3, 4, None, Some(2)));
        assert_eq!(Day::sum(&day, &[]).count(), "3 swaps (1 not timed)");
        assert_eq!(Day::sum(&day[1..], &[]).count(), "2 swaps");
    }
}
