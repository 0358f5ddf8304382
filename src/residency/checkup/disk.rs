//! The disk, how the server reads it, and whether a model in RAM loads faster than one on it.

use std::time::Duration;

use super::{Check, Topic, Verdict};
use crate::residency::bytes::Bytes;
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::record::{Past, SwapRecord};
use crate::residency::snapshot::Model;
use crate::residency::swap::{Ended, Way};

/// How fast the disk is, as it was measured just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// So much of a model's file was read past the page cache.
    Read {
        /// Whose.
        model: ModelName,
        /// How much.
        bytes: Bytes,
        /// How long it took.
        took: Duration,
    },
    /// It was not measured, and why.
    Unread(String),
}

impl Disk {
    /// In GB a second.
    fn speed(&self) -> Option<f64> {
        match self {
            Disk::Read { bytes, took, .. } => rate(*bytes, *took),
            Disk::Unread(_) => None,
        }
    }
}

/// Longer than this nobody wants to wait for the disk.
const PATIENCE: f64 = 10.0;

/// How fast it is, and how long the largest model takes from it.
pub(super) fn disk(disk: &Disk, largest: Option<&Model>) -> Check {
    let (Disk::Read { model, bytes, took }, Some(speed)) = (disk, disk.speed()) else {
        let why = if let Disk::Unread(why) = disk { why } else { "nothing could be read" };
        return Check::unknown(Topic::Disk, format!("not measured: {why}"));
    };
    let read = format!("{speed:.1} GB/s: {bytes} of {model} in {:.2} s, past RAM", took.as_secs_f64());
    let seconds = largest.map(|largest| (largest, largest.size.gb() / speed));
    match seconds {
        Some((largest, seconds)) if seconds > PATIENCE => {
            let fact = format!("{read}; {} would take ~{seconds:.0} s", largest.name);
            Check::new(Topic::Disk, Verdict::Better, fact)
                .advise("keep in RAM what you swap to: resident warm, or hold")
        }
        _ => Check::ok(Topic::Disk, read),
    }
}

/// How the server reads weights: of a runner that is there, or else of the latest load that was seen; and who says so.
pub(super) fn mode(models: &[Model], past: &Past) -> Option<(LoadMode, String)> {
    let known = |mode: LoadMode| mode != LoadMode::Unknown;
    let running = models.iter().find_map(|model| {
        let runner = model.loaded.as_ref()?.runner.as_ref().filter(|runner| known(runner.load_mode))?;
        Some((runner.load_mode, format!("the runner of {}, pid {}", model.name, runner.pid)))
    });
    let journal = || {
        let (_, swap) = past.swaps.iter().find(|(_, swap)| known(swap.mode))?;
        Some((swap.mode, format!("the last load in the journal, of {}", swap.model)))
    };
    running.or_else(journal)
}

/// Whether that goes through RAM.
pub(super) fn load_mode(mode: Option<&(LoadMode, String)>) -> Check {
    let Some((mode, who)) = mode else {
        return Check::unknown(Topic::LoadMode, "no runner is there to look at, nor a load in the journal")
            .advise("load a model and ask again");
    };
    let how = match mode {
        LoadMode::Mmap => "mapped, through RAM",
        LoadMode::Buffered => "buffered reads, through RAM",
        LoadMode::InTree => "parallel buffered reads, through RAM",
        LoadMode::Direct => {
            let fact = format!("direct I/O, past RAM ({who})");
            return Check::new(Topic::LoadMode, Verdict::Better, fact).advise(
                "warm and hold do nothing for such loads; the server chooses it for integrated cards",
            );
        }
        LoadMode::Unknown => return Check::unknown(Topic::LoadMode, format!("not said by {who}")),
    };
    Check::ok(Topic::LoadMode, format!("{how} ({who})"))
}

/// From this much faster on it helps.
const HELPS: f64 = 1.2;

/// Whether a model in RAM loads faster: by cold loads and warm ones, or else by the disk's speed and warm ones.
pub(super) fn ram_helps(mode: Option<LoadMode>, disk: &Disk, past: &Past) -> Check {
    if mode == Some(LoadMode::Direct) {
        return Check::new(Topic::RamHelps, Verdict::Better, "no: the server reads past it");
    }
    let rates = |is: fn(&SwapRecord) -> bool| {
        median(
            past.swaps.iter().map(|(_, swap)| swap).filter(|swap| is(swap)).filter_map(load_rate).collect(),
        )
    };
    let Some(warm) = rates(is_warm) else {
        return Check::unknown(Topic::RamHelps, "no warm load in the journal yet")
            .advise("measure it: resident bench MODEL");
    };
    let (other, what) = match (rates(is_cold), disk.speed()) {
        (Some(cold), _) => (cold, "a cold one"),
        (None, Some(speed)) => (speed, "the disk"),
        (None, None) => {
            let fact = format!("a warm load does {warm:.1} GB/s, with nothing to compare");
            return Check::unknown(Topic::RamHelps, fact).advise("measure it: resident bench MODEL");
        }
    };
    let fact = format!("a warm load does {warm:.1} GB/s, {what} {other:.1} (~{:.1} times)", warm / other);
    if warm >= other * HELPS {
        Check::ok(Topic::RamHelps, format!("yes: {fact}"))
    } else {
        Check::new(Topic::RamHelps, Verdict::Better, format!("hardly: {fact}"))
            .advise("the disk keeps up here: RAM is better left to other programs")
    }
}

/// What a load did of its model's files, in GB a second.
fn load_rate(swap: &SwapRecord) -> Option<f64> {
    let timed = swap.ended == Ended::Ready && !swap.before.in_vram;
    rate(swap.before.whole, swap.stages.load.filter(|_| timed)?)
}

fn is_warm(swap: &SwapRecord) -> bool {
    swap.before.ram.is_some_and(|ram| ram.percent_of(swap.before.whole) >= 95)
}

/// One that the server read for itself.
fn is_cold(swap: &SwapRecord) -> bool {
    swap.was_cold() && swap.way == Way::Off
}

fn rate(bytes: Bytes, took: Duration) -> Option<f64> {
    let rate = bytes.gb() / took.as_secs_f64();
    (bytes > Bytes::ZERO && rate.is_finite()).then_some(rate)
}

fn median(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}
