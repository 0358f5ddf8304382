//! The estimate for files of which the kernel tells us nothing: read one byte here and there, where it is cached.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::probe::sys;
use crate::residency::map::{Map, stretches};

/// How many places are read: enough for some ±6 % at worst, and 1 ms.
const SAMPLES: u64 = 256;

/// What the samples said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Pages that were in the page cache.
    pub(crate) hits: u64,
    /// Which of them, from the same samples: four for each cell of a large file.
    pub(crate) map: Map,
    /// Places of those that were not. Asking made the kernel begin to read them: see [`sweep`].
    pub(crate) missed: Vec<u64>,
}

impl Sample {
    /// The estimate for a file of `size` bytes.
    pub(crate) fn of(&self, size: u64) -> u64 {
        let asked = u128::from(self.hits) + self.missed.len() as u128;
        let estimate = (u128::from(size) * u128::from(self.hits)).checked_div(asked).unwrap_or_default();
        u64::try_from(estimate).unwrap_or(size)
    }
}

/// One random page of each of `SAMPLES` equal stretches of `pages` pages; all of them if there are fewer.
fn places(pages: u64, seed: u64) -> impl Iterator<Item = u64> {
    let stretches = pages.min(SAMPLES);
    let mut state = seed;
    (0..stretches).map(move |stretch| {
        // SplitMix64: random offsets, since what was asked before is cached now.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut random = state;
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        random ^= random >> 31;
        let start = u128::from(stretch) * u128::from(pages) / u128::from(stretches);
        let end = u128::from(stretch + 1) * u128::from(pages) / u128::from(stretches);
        let page = start + u128::from(random) % (end - start);
        u64::try_from(page).unwrap_or_default()
    })
}

/// Asks at random places of a file of `size` bytes; an error where this kind of file cannot be asked.
pub(crate) fn take(file: &File, size: u64) -> io::Result<Sample> {
    // Without this each miss would begin to read a whole read-ahead window.
    fadvise(file, 0, None, Advice::Random)?;
    let page_size = rustix::param::page_size() as u64;
    let seed = RandomState::new().hash_one(size);
    let pages = size.div_ceil(page_size);
    let (mut hits, mut missed) = (0, Vec::new());
    let mut cells: Vec<_> = stretches(pages).map(|stretch| (stretch.end, (0, 0))).collect();
    for page in places(pages, seed) {
        let cell = cells.partition_point(|(end, _)| *end <= page);
        let Some((_, (there, asked))) = cells.get_mut(cell) else { break };
        let offset = page * page_size;
        let mut byte = [0];
        let before = sys::blocks_read();
        match preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) {
            // Nothing there: the file has shrunk.
            Ok(0) => {}
            Ok(_) if sys::blocks_read() == before => {
                hits += 1;
                *there += 1;
                *asked += 1;
            }
            // A quick disk answers within the call: then it was not there.
            Ok(_) | Err(Errno::AGAIN) => {
                missed.push(offset);
                *asked += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Sample { hits, map: Map::of(cells.into_iter().map(|(_, asked)| asked)), missed })
}

/// Drops the pages that only the asking brought in. The kernel reads them meanwhile, so this works a moment later.
pub(crate) fn sweep(file: &File, missed: &[u64]) {
    let page = NonZeroU64::new(rustix::param::page_size() as u64);
    for offset in missed {
        // A page that stays is one page of an estimate.
        let _ = fadvise(file, *offset, page, Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_of_each_stretch_is_asked() {
        for pages in [0, 1, 2, 255, 256, 257, 1000, 1 << 40] {
            let stretches = pages.min(SAMPLES);
            for seed in 0..20 {
                let places: Vec<u64> = places(pages, seed).collect();
                assert_eq!(places.len() as u64, stretches);
                assert!(places.iter().all(|page| *page < pages));
                assert!(places.is_sorted_by(|a, b| a < b), "{pages} {seed}");
            }
        }
    }

    #[test]
    fn another_seed_asks_at_other_places() {
        assert_ne!(places(1 << 20, 1).collect::<Vec<_>>(), places(1 << 20, 2).collect::<Vec<_>>());
    }

    #[test]
    fn the_estimate_is_the_share_of_hits() {
        let sample = |hits, missed| Sample { hits, map: Map::of([]), missed: vec![0; missed] };
        assert_eq!(sample(64, 192).of(1 << 40), 1 << 38);
        assert_eq!(sample(256, 0).of(u64::MAX), u64::MAX);
        assert_eq!(sample(0, 0).of(4096), 0);
    }
}
