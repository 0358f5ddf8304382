//! How far a load is: what of the weights its runner has read, mapped or put on the card by now.

use super::bytes::Bytes;
use super::host::{LoadMode, Runner};

/// How far a load is, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Whose.
    pub pid: u32,
    /// Of the weights.
    pub done: Bytes,
    /// The weights' file.
    pub of: Bytes,
    /// What says so.
    pub source: Source,
}

/// What tells how far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The runner itself (`/health` of the in-tree engines).
    Runner,
    /// What it has read by calls (`rchar` of its `/proc` entry), from RAM or disk.
    Reads,
    /// What came from the disk for it (`read_bytes`).
    Disk,
    /// What of its memory is a file's (`RssFile`): its libraries are in that too.
    Mapped,
    /// What it has on the cards, as the driver says: buffers are made before they are filled.
    Cards,
}

impl Source {
    /// Whether it says only about how far the load is.
    pub fn is_estimate(self) -> bool {
        !matches!(self, Source::Runner | Source::Reads)
    }

    /// It in words.
    pub fn words(self) -> &'static str {
        match self {
            Source::Runner => "its runner says",
            Source::Reads => "read by its runner",
            Source::Disk => "read from the disk for its runner",
            Source::Mapped => "mapped by its runner",
            Source::Cards => "on the card",
        }
    }
}

impl LoadProgress {
    /// How far a runner is with a file of weights; `on_cards` is what the driver says it has there. `None` where nothing
    /// tells.
    pub fn of(runner: &Runner, on_cards: Bytes, weights: Bytes) -> Option<LoadProgress> {
        if weights == Bytes::ZERO {
            return None;
        }
        let at = |done: Bytes, source| LoadProgress {
            pid: runner.pid,
            done: done.min(weights),
            of: weights,
            source,
        };
        if runner.ready == Some(true) {
            return Some(at(weights, Source::Runner));
        }
        if let Some(percent) = runner.told {
            let done = u128::from(weights.0) * u128::from(percent.min(100)) / 100;
            return Some(at(Bytes(u64::try_from(done).unwrap_or(weights.0)), Source::Runner));
        }
        let called = runner.read.map(|read| at(read.called, Source::Reads));
        let disk = runner.read.map(|read| at(read.disk, Source::Disk));
        let mapped = Some(at(runner.file_backed, Source::Mapped));
        // What is mapped is never read by a call, and pages that were in RAM cost no disk.
        let signs = match runner.load_mode {
            LoadMode::Buffered | LoadMode::Direct | LoadMode::InTree => [called, None, None],
            LoadMode::Mmap => [None, mapped, disk],
            LoadMode::Unknown => [called, mapped, disk],
        };
        let signs = signs.into_iter().flatten().filter(|sign| sign.done > Bytes::ZERO);
        // Of equals the first.
        let best = signs.reduce(|best, sign| if sign.done > best.done { sign } else { best });
        let is_hidden = runner.read.is_none() && runner.load_mode != LoadMode::Mmap;
        let cards = Some(at(on_cards, Source::Cards)).filter(|sign| sign.done > Bytes::ZERO);
        if is_hidden { cards.or(best) } else { best }
    }

    /// The one that is further: memory that a runner has filled is given back at times, and a load never goes back.
    #[must_use]
    pub fn furthest(self, before: Option<LoadProgress>) -> LoadProgress {
        before.filter(|before| before.pid == self.pid && before.done > self.done).unwrap_or(self)
    }

    /// Whole percent; an estimate is never all of it.
    pub fn percent(&self) -> u8 {
        let most = if self.source.is_estimate() { 99 } else { 100 };
        self.done.percent_of(self.of).min(most)
    }

    /// Percent as it is shown: `43%`, `~43%`.
    pub fn words(&self) -> String {
        format!("{}{}%", if self.source.is_estimate() { "~" } else { "" }, self.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::host::BytesRead;

    const WEIGHTS: Bytes = Bytes(1000);

    fn runner(load_mode: LoadMode, read: Option<(u64, u64)>, file_backed: u64) -> Runner {
        let read = read.map(|(called, disk)| BytesRead { called: Bytes(called), disk: Bytes(disk) });
        Runner { pid: 7, load_mode, read, file_backed: Bytes(file_backed), ..Runner::default() }
    }

    #[test]
    fn each_way_of_loading_is_told_by_what_it_moves() {
        use LoadMode::{Buffered, Direct, InTree, Mmap, Unknown};
        for (mode, read, mapped, cards, expected) in [
            (Buffered, Some((430, 0)), 90, 900, Some((430, Source::Reads))),
            (Direct, Some((430, 400)), 90, 900, Some((430, Source::Reads))),
            (InTree, Some((2000, 0)), 90, 0, Some((1000, Source::Reads))),
            // Nothing was read by a call: what it has mapped counts, from RAM or from the disk.
            (Mmap, Some((5, 0)), 430, 0, Some((430, Source::Mapped))),
            (Mmap, Some((5, 600)), 430, 0, Some((600, Source::Disk))),
            (Mmap, None, 430, 900, Some((430, Source::Mapped))),
            // Another user's process: how much it reads is not ours to know.
            (Buffered, None, 90, 620, Some((620, Source::Cards))),
            (Buffered, None, 90, 0, None),
            (Unknown, None, 90, 620, Some((620, Source::Cards))),
            (Unknown, Some((430, 0)), 90, 0, Some((430, Source::Reads))),
            (Unknown, Some((5, 0)), 90, 0, Some((90, Source::Mapped))),
            (Buffered, Some((0, 0)), 0, 0, None),
        ] {
            let progress = LoadProgress::of(&runner(mode, read, mapped), Bytes(cards), WEIGHTS);
            let progress = progress.map(|progress| (progress.done.0, progress.source));
            assert_eq!(progress, expected, "{mode:?} {read:?} {mapped} {cards}");
        }
    }

    #[test]
    fn what_the_runner_says_itself_goes_first() {
        let ready = Runner { ready: Some(true), ..runner(LoadMode::Buffered, None, 0) };
        assert_eq!(LoadProgress::of(&ready, Bytes::ZERO, WEIGHTS).unwrap().words(), "100%");
        let told = Runner { told: Some(43), ..runner(LoadMode::InTree, Some((999, 0)), 0) };
        let progress = LoadProgress::of(&told, Bytes::ZERO, WEIGHTS).unwrap();
        assert_eq!((progress.words(), progress.source), ("43%".to_owned(), Source::Runner));
    }

    #[test]
    fn a_load_never_goes_back_and_another_process_begins_anew() {
        let at = |pid, done| LoadProgress { pid, done: Bytes(done), of: WEIGHTS, source: Source::Mapped };
        assert_eq!(at(7, 10).furthest(Some(at(7, 900))), at(7, 900));
        assert_eq!(at(7, 10).furthest(Some(at(6, 900))), at(7, 10));
        assert_eq!(at(7, 10).furthest(None), at(7, 10));
    }

    #[test]
    fn an_estimate_is_marked_and_never_says_all() {
        let all = |source| LoadProgress { pid: 7, done: WEIGHTS, of: WEIGHTS, source };
        assert_eq!(all(Source::Mapped).words(), "~99%");
        assert_eq!(all(Source::Reads).words(), "100%");
    }

    #[test]
    fn weights_of_unknown_size_have_no_progress() {
        assert_eq!(LoadProgress::of(&runner(LoadMode::Buffered, Some((4, 4)), 4), Bytes(4), Bytes(0)), None);
    }
}
