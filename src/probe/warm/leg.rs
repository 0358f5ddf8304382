//! One range of one file, read from front to back; what is in the page cache already is stepped over.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::AddAssign;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Tuning;
use crate::probe::page_cache::read::{Blob, bytes_read};

/// What reading needs beside the file.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) tuning: Tuning,
    /// Counted exactly though the file is not ours.
    pub(super) privileged: bool,
    /// How many read calls were made.
    pub(super) calls: Arc<AtomicU64>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes that were in the page cache.
    pub(super) there: u64,
    /// Bytes that came from the disk.
    pub(super) read: u64,
    /// Bytes that passed through a read call, from either.
    pub(super) through: u64,
}

impl AddAssign for Step {
    fn add_assign(&mut self, other: Step) {
        self.there += other.there;
        self.read += other.read;
        self.through += other.through;
    }
}

/// A stretch that lies ahead, and how much of it is cached where that can be told.
#[derive(Debug)]
struct Stretch {
    length: u64,
    cached: Option<u64>,
}

/// A range of a file and how far its reading is.
#[derive(Debug)]
pub(super) struct Leg {
    blob: Blob,
    at: u64,
    end: u64,
    ahead: VecDeque<Stretch>,
    /// Where `ahead` ends.
    planned: u64,
    /// Bytes that the disk was asked for and that are not accounted for yet: the kernel reads ahead.
    credit: u64,
    /// The part of it that a pause left under way: to be found in the page cache where the reading goes on.
    under_way: u64,
    means: Means,
}

impl Leg {
    /// A file from its beginning to where it should end.
    pub(super) fn open(path: &Path, size: u64, means: Means) -> io::Result<Leg> {
        let blob = Blob::open(path, means.privileged)?;
        Ok(Leg { blob, at: 0, end: size, ahead: VecDeque::new(), planned: 0, credit: 0, under_way: 0, means })
    }

    /// Gives its second half, if there is one that it has not looked at yet, to another that opens the file anew.
    pub(super) fn split(&mut self, path: &Path) -> io::Result<Option<Leg>> {
        let block = self.means.tuning.block;
        let middle = (self.at + self.left() / 2).div_ceil(block) * block;
        if middle < self.planned || middle >= self.end {
            return Ok(None);
        }
        let mut back = Leg::open(path, self.end, self.means.clone())?;
        (back.at, back.planned) = (middle, middle);
        self.end = middle;
        Ok(Some(back))
    }

    /// What is cached may have changed since it was counted.
    pub(super) fn look_again(&mut self) {
        self.ahead.clear();
        self.planned = self.at;
        self.under_way = self.credit;
    }

    pub(super) fn left(&self) -> u64 {
        self.end - self.at
    }

    pub(super) fn blob(&self) -> &Blob {
        &self.blob
    }

    pub(super) fn means(&self) -> &Means {
        &self.means
    }

    /// Steps over what is there, or reads one block; an `UnexpectedEof` where the file ends too soon.
    pub(super) fn step(&mut self, buffer: &mut Vec<u8>) -> io::Result<Step> {
        self.plan();
        let block = self.means.tuning.block;
        let Some(stretch) = self.ahead.front_mut() else { return Ok(Step::default()) };
        let step = if stretch.cached == Some(stretch.length) {
            let read = stretch.length.min(self.under_way);
            self.under_way -= read;
            self.credit -= read;
            Step { there: stretch.length - read, read, through: 0 }
        } else {
            let length = usize::try_from(block.min(stretch.length)).unwrap_or(usize::MAX);
            buffer.resize(length, 0);
            let before = bytes_read();
            let got = read_at(&mut self.blob, self.at, buffer, &self.means.calls)? as u64;
            let asked = bytes_read().zip(before).map(|(after, before)| after.saturating_sub(before));
            self.credit = self.credit.saturating_add(asked.unwrap_or(got));
            let read = match &mut stretch.cached {
                Some(cached) => {
                    let there = got.min(*cached);
                    *cached -= there;
                    got - there
                }
                None => got.min(self.credit),
            };
            self.credit = self.credit.saturating_sub(read);
            self.under_way = 0;
            Step { there: got - read, read, through: got }
        };
        let passed = step.there + step.read;
        self.at += passed;
        stretch.length -= passed;
        if stretch.length == 0 {
            self.ahead.pop_front();
        }
        Ok(step)
    }

    /// Counts what is cached, a window ahead of what is read.
    fn plan(&mut self) {
        let Tuning { block, ahead: window, .. } = self.means.tuning;
        while self.planned < self.end && self.planned - self.at < window {
            let length = window.min(self.end - self.planned);
            let cached = self.blob.cached(self.planned, length);
            if cached.is_none_or(|cached| cached == 0 || cached == length) {
                self.ahead.push_back(Stretch { length, cached });
                self.planned += length;
                continue;
            }
            let end = self.planned + length;
            while self.planned < end {
                let length = block.min(end - self.planned);
                let cached = self.blob.cached(self.planned, length);
                self.ahead.push_back(Stretch { length, cached });
                self.planned += length;
            }
        }
    }
}

/// One read call that brings something.
fn read_at(blob: &mut Blob, at: u64, buffer: &mut [u8], calls: &AtomicU64) -> io::Result<usize> {
    blob.file.seek(SeekFrom::Start(at))?;
    loop {
        calls.fetch_add(1, Ordering::Relaxed);
        match blob.file.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;

    use rustix::fs::{Advice, fadvise};

    use super::*;

    pub(in crate::probe::warm) const BLOCK: u64 = 256 << 10;
    pub(in crate::probe::warm) const SIZE: u64 = 32 * BLOCK + 1234;

    /// A file on disk and not in the page cache.
    pub(in crate::probe::warm) struct Cold {
        pub(in crate::probe::warm) directory: tempfile::TempDir,
        pub(in crate::probe::warm) path: PathBuf,
    }

    pub(in crate::probe::warm) fn cold() -> Cold {
        // Beside the build, since /tmp may be RAM.
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
        let path = directory.path().join("blob");
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(SIZE).unwrap()]).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        Cold { directory, path }
    }

    impl Cold {
        /// Whether it can be cold at all: not where the build lies in RAM.
        pub(in crate::probe::warm) fn is_on_disk(&self) -> bool {
            Blob::open(&self.path, false).unwrap().cached(0, SIZE) != Some(SIZE)
        }

        fn read(&self, blocks: std::ops::Range<u64>) {
            let file = File::open(&self.path).unwrap();
            // Without reading ahead.
            fadvise(&file, 0, None, Advice::Random).unwrap();
            let mut buffer = vec![0; usize::try_from(BLOCK).unwrap()];
            for block in blocks {
                file.read_exact_at(&mut buffer, block * BLOCK).unwrap();
            }
        }
    }

    pub(in crate::probe::warm) fn means() -> Means {
        let tuning = Tuning { block: BLOCK, guard: u64::MAX, stretch: u64::MAX, ..Tuning::default() };
        Means { tuning, privileged: false, calls: Arc::default() }
    }

    fn all(leg: &mut Leg) -> Step {
        let (mut all, mut buffer) = (Step::default(), Vec::new());
        while leg.left() > 0 {
            all += leg.step(&mut buffer).unwrap();
        }
        all
    }

    fn calls(leg: &Leg) -> u64 {
        leg.means.calls.load(Ordering::Relaxed)
    }

    /// Within a twentieth of the file: other programs and the kernel move pages too.
    fn is_about(bytes: u64, right: u64) -> bool {
        bytes.abs_diff(right) * 20 <= SIZE
    }

    #[test]
    fn a_cold_file_is_read_block_by_block() {
        let cold = cold();
        let mut leg = Leg::open(&cold.path, SIZE, means()).unwrap();
        if !cold.is_on_disk() {
            return;
        }
        let step = all(&mut leg);
        assert!(is_about(step.read, SIZE) && step.there + step.read == SIZE, "{step:?}");
        assert!((31..=33).contains(&calls(&leg)), "{}", calls(&leg));
    }

    #[test]
    fn what_is_there_is_not_read_at_all() {
        let cold = cold();
        cold.read(8..16);
        if !cold.is_on_disk() {
            return;
        }
        let mut leg = Leg::open(&cold.path, SIZE, means()).unwrap();
        let step = all(&mut leg);
        assert!(is_about(step.there, 8 * BLOCK) && step.there + step.read == SIZE, "{step:?}");
        assert!((24..=26).contains(&calls(&leg)), "{}", calls(&leg));
        let mut again = Leg::open(&cold.path, SIZE, means()).unwrap();
        let step = all(&mut again);
        assert!(is_about(step.there, SIZE) && calls(&again) <= 1, "{step:?} {}", calls(&again));
    }

    #[test]
    fn of_a_strangers_file_all_is_read_and_what_came_from_the_disk_is_told_afterwards() {
        let cold = cold();
        cold.read(0..16);
        if !cold.is_on_disk() {
            return;
        }
        let stranger = || {
            let mut leg = Leg::open(&cold.path, SIZE, means()).unwrap();
            leg.blob = leg.blob.of_a_stranger();
            leg
        };
        let mut leg = stranger();
        let step = all(&mut leg);
        assert!(is_about(step.read, 16 * BLOCK) && step.there + step.read == SIZE, "{step:?}");
        assert_eq!((step.through, calls(&leg)), (SIZE, 33));
        let mut again = stranger();
        let step = all(&mut again);
        assert!(is_about(step.there, SIZE) && calls(&again) == 33, "{step:?}");
    }

    #[test]
    fn what_was_read_ahead_of_a_pause_still_came_from_the_disk() {
        let cold = cold();
        if !cold.is_on_disk() {
            return;
        }
        let mut leg = Leg::open(&cold.path, SIZE, means()).unwrap();
        let mut buffer = Vec::new();
        let mut first = leg.step(&mut buffer).unwrap();
        leg.look_again();
        first += all(&mut leg);
        assert!(is_about(first.read, SIZE), "{first:?}");
    }

    #[test]
    fn a_leg_is_split_in_the_middle_of_what_is_left() {
        let cold = cold();
        let mut leg = Leg::open(&cold.path, SIZE, means()).unwrap();
        leg.means.tuning.ahead = SIZE;
        let back = leg.split(&cold.path).unwrap().unwrap();
        assert_eq!((leg.left(), back.left()), (17 * BLOCK, SIZE - 17 * BLOCK));
        leg.plan();
        assert!(leg.split(&cold.path).unwrap().is_none(), "all of it is counted already");
    }

    #[test]
    fn a_file_that_ends_too_soon_is_an_error() {
        let cold = cold();
        let mut leg = Leg::open(&cold.path, SIZE + BLOCK, means()).unwrap();
        let mut buffer = Vec::new();
        let error = (0..99).find_map(|_| leg.step(&mut buffer).err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
