//! The choice of how a load that would wait for the disk is helped: what was fastest here, by how the runner reads.

use std::time::Duration;

use jiff::Timestamp;

use super::bytes::Bytes;
use super::host::LoadMode;
use super::record::SwapRecord;
use super::swap::{Before, Ended, Way};

/// From this share of a model's bytes in RAM on, there is nothing to help with: the page cache drops a page here and
/// there.
const THERE_PERCENT: u8 = 99;
/// A swap teaches something of the disk if at least this share of its bytes came from there.
const TELLING_PERCENT: u8 = 25;
/// So many swaps of one way make its median worth something.
const ENOUGH: usize = 3;

/// The way that was fastest here for a runner that reads in this `mode`, learned from `past` swaps, newest first. Until
/// it is known, the way that was fastest elsewhere takes turns with the plain load, so that both are measured.
pub fn choose(past: &[(Timestamp, SwapRecord)], mode: LoadMode, before: &Before) -> Way {
    if !needs_disk(before) || mode == LoadMode::Direct {
        return Way::Off;
    }
    let costs = |way| costs(past, mode, way);
    let usual = usually(mode);
    let (plain, usuals) = (costs(Way::Off), costs(usual));
    if plain.len() < ENOUGH || usuals.len() < ENOUGH {
        return if plain.len() < usuals.len() { Way::Off } else { usual };
    }
    // On a tie nothing is read: it is the first of them.
    let medians = Way::ALL.into_iter().filter_map(|way| Some((median(costs(way))?, way)));
    medians.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(Way::Off, |(_, way)| way)
}

/// Whether a load of it is known to wait for the disk.
pub fn needs_disk(before: &Before) -> bool {
    let there = before.ram.map_or(100, |ram| ram.percent_of(before.whole));
    !before.in_vram && before.disk().is_some_and(|disk| disk > Bytes::ZERO) && there < THERE_PERCENT
}

/// What was fastest where it was measured first: reading beside halves a buffered cold load; a mapped one already reads
/// as fast as the disk gives, and a second reader is in its way.
fn usually(mode: LoadMode) -> Way {
    match mode {
        LoadMode::Buffered => Way::Beside,
        LoadMode::Mmap | LoadMode::InTree | LoadMode::Unknown | LoadMode::Direct => Way::Off,
    }
}

/// Seconds per gigabyte that was missing, of the latest swaps that went this way.
fn costs(past: &[(Timestamp, SwapRecord)], mode: LoadMode, way: Way) -> Vec<f64> {
    const LATEST: usize = 9;
    // One whose runner nobody saw may have been of any mode.
    let is_like = |swap: &&SwapRecord| swap.mode == mode || swap.mode == LoadMode::Unknown;
    let of_way = past.iter().map(|(_, swap)| swap).filter(is_like).filter(|swap| swap.way == way);
    of_way.filter_map(cost).take(LATEST).collect()
}

/// `None` of too few.
fn median(mut costs: Vec<f64>) -> Option<f64> {
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied().filter(|_| costs.len() >= ENOUGH)
}

/// Seconds per gigabyte that the disk had; `None` of a swap that says nothing of the disk.
fn cost(swap: &SwapRecord) -> Option<f64> {
    if swap.ended != Ended::Ready || swap.before.in_vram {
        return None;
    }
    let disk = swap.before.disk().filter(|disk| disk.percent_of(swap.before.whole) >= TELLING_PERCENT)?;
    let ahead = if swap.way == Way::First { swap.stages.read_took? } else { Duration::ZERO };
    let cost = (swap.stages.load? + ahead).as_secs_f64() / disk.gb();
    cost.is_finite().then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::GB;
    use crate::residency::name::ModelName;
    use crate::residency::swap::Stages;

    fn before(percent: u64) -> Before {
        Before { whole: Bytes(10 * GB), ram: Some(Bytes(percent * GB / 10)), ..Before::default() }
    }

    /// A swap of 10 GB of which so many percent were in RAM; the load took so many seconds.
    fn swap(mode: LoadMode, way: Way, percent: u64, seconds: u64) -> (Timestamp, SwapRecord) {
        let stages = Stages {
            load: Some(Duration::from_secs(seconds)),
            read_took: Some(Duration::from_secs(1)),
            ..Stages::default()
        };
        let record = SwapRecord {
            model: ModelName::from_server("a:1b"),
            ours: true,
            displaced: Some(Vec::new()),
            before: before(percent),
            way,
            mode,
            num_ctx: None,
            stages,
            ended: Ended::Ready,
        };
        (Timestamp::UNIX_EPOCH, record)
    }

    fn swaps(mode: LoadMode, way: Way, seconds: [u64; 3]) -> Vec<(Timestamp, SwapRecord)> {
        seconds.map(|seconds| swap(mode, way, 0, seconds)).to_vec()
    }

    #[test]
    fn unmeasured_machines_read_beside_a_buffered_load_only() {
        for (mode, way) in [
            (LoadMode::Buffered, Way::Beside),
            (LoadMode::Mmap, Way::Off),
            (LoadMode::InTree, Way::Off),
            (LoadMode::Direct, Way::Off),
            (LoadMode::Unknown, Way::Off),
        ] {
            assert_eq!(choose(&[], mode, &before(20)), way, "{mode:?}");
        }
    }

    #[test]
    fn where_nothing_or_nobody_knows_what_is_missing_nothing_is_read() {
        let unknown = Before { ram: None, ..before(0) };
        let loaded = Before { in_vram: true, ..before(0) };
        for (case, way) in [
            (before(100), Way::Off),
            (before(99), Way::Off),
            (before(98), Way::Beside),
            (unknown, Way::Off),
            (loaded, Way::Off),
            (Before::default(), Way::Off),
        ] {
            assert_eq!(choose(&[], LoadMode::Buffered, &case), way, "{case:?}");
        }
    }

    #[test]
    fn what_was_measured_fastest_here_is_chosen_for_its_mode_alone() {
        use LoadMode::{Buffered, Mmap};
        let slow_beside = swaps(Buffered, Way::Beside, [9, 8, 30]);
        let off = swaps(Buffered, Way::Off, [6, 7, 6]);
        let first = swaps(Buffered, Way::First, [3, 4, 3]);
        let all = |parts: &[&[(Timestamp, SwapRecord)]]| parts.concat();
        for (past, mode, way) in [
            (all(&[&slow_beside, &off]), Buffered, Way::Off),
            (all(&[&slow_beside, &off, &first]), Buffered, Way::First),
            (all(&[&slow_beside, &off, &first[..2]]), Buffered, Way::Off),
            (all(&[&swaps(Buffered, Way::Beside, [4, 4, 4]), &off]), Buffered, Way::Beside),
            (all(&[&swaps(Buffered, Way::Beside, [6, 6, 6]), &off]), Buffered, Way::Off),
            (all(&[&slow_beside, &off]), Mmap, Way::Off),
            (
                all(&[&swaps(Mmap, Way::Off, [5, 5, 5]), &swaps(Mmap, Way::Beside, [4, 4, 4])]),
                Mmap,
                Way::Beside,
            ),
        ] {
            assert_eq!(choose(&past, mode, &before(0)), way, "{past:?} {mode:?}");
        }
    }

    #[test]
    fn until_both_are_measured_the_usual_way_takes_turns_with_the_plain_load() {
        let mut past = Vec::new();
        let mut chosen = Vec::new();
        for _ in 0..6 {
            let way = choose(&past, LoadMode::Buffered, &before(0));
            chosen.push(way);
            past.insert(0, swap(LoadMode::Buffered, way, 0, if way == Way::Off { 6 } else { 3 }));
        }
        assert_eq!(chosen, [Way::Beside, Way::Off].repeat(3));
        assert_eq!(choose(&past, LoadMode::Buffered, &before(0)), Way::Beside);
    }

    #[test]
    fn the_time_of_reading_first_counts_and_warm_or_failed_swaps_teach_nothing() {
        let off = swaps(LoadMode::Mmap, Way::Off, [5, 5, 5]);
        let first = swaps(LoadMode::Mmap, Way::First, [4, 4, 4]);
        assert_eq!(choose(&[off.clone(), first].concat(), LoadMode::Mmap, &before(0)), Way::Off, "5 s each");
        let warm = [1, 1, 1].map(|seconds| swap(LoadMode::Mmap, Way::First, 90, seconds)).to_vec();
        assert_eq!(choose(&[off.clone(), warm].concat(), LoadMode::Mmap, &before(0)), Way::Off);
        let mut failed = swaps(LoadMode::Mmap, Way::Beside, [1, 1, 1]);
        for (_, swap) in &mut failed {
            swap.ended = Ended::Failed { stage: crate::residency::swap::Stage::Load, why: String::new() };
        }
        assert_eq!(choose(&[off, failed].concat(), LoadMode::Mmap, &before(0)), Way::Off);
    }
}
