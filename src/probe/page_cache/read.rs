//! How much of one file is in the page cache, and which parts, by the best way that can be trusted.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::method::{Facts, Fs, Method, Tried, choose};
use super::sample;
use crate::probe::privilege::{self, Capability};
use crate::probe::{regular, sys};
use crate::residency::bytes::Bytes;
use crate::residency::map::{Map, Pages, stretches};
use crate::residency::tier::Cached;
use crate::residency::timing::Clock;

/// `mincore` walks its pages in steps of this size, so that its answer takes 16 KiB and it can be given up.
const WINDOW: u64 = 64 << 20;
/// And it is given up after this long.
const BUDGET: Duration = Duration::from_secs(2);

/// What was read, and how.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) pages: Pages,
    /// The way that answered last.
    pub(crate) method: Method,
    /// The places that sampling made the kernel read, to be swept a moment later.
    pub(crate) missed: Vec<u64>,
}

impl Outcome {
    fn unknown(why: &'static str) -> Outcome {
        let pages = Pages { cached: Cached::Unknown(why.to_owned()), map: None };
        Outcome { pages, method: Method::Unknown(why), missed: Vec::new() }
    }

    /// The count is the map's own sum, so that the two cannot disagree.
    fn counted(cells: Cells, size: u64, method: Method) -> Outcome {
        let there: u64 = cells.iter().map(|(there, _)| there).sum();
        let bytes = Bytes(there.saturating_mul(page_size()).min(size));
        let pages = Pages { cached: Cached::Exact(bytes), map: Some(Map::of(cells)) };
        Outcome { pages, method, missed: Vec::new() }
    }
}

/// Reads how much of the file is cached, and which parts. `was_mixed`: at the last reading some of it was there and
/// some was not.
pub(crate) fn read(path: &Path, privileged: bool, was_mixed: bool, clock: &Clock) -> Outcome {
    let (file, size, facts) = match open(path, privileged) {
        Ok(opened) => opened,
        Err(error) => return Outcome::unknown(regular::why(&error)),
    };
    ask(&file, size, facts, was_mixed, clock)
}

/// Drops the pages that only the asking brought in. The kernel reads them meanwhile, so this works a moment later.
pub(crate) fn sweep(path: &Path, missed: &[u64]) {
    // Gone or replaced meanwhile: then there is nothing to sweep.
    if let Ok((file, _, _)) = open(path, false) {
        sample::sweep(&file, missed);
    }
}

/// Opens a regular file and learns what decides about it.
fn open(path: &Path, privileged: bool) -> io::Result<(File, u64, Facts)> {
    use rustix::fs::{Access, AtFlags, CWD, accessat, fstatfs};

    let (file, stat) = regular::open(path)?;
    #[expect(clippy::cast_sign_loss, reason = "the kernel's magic numbers are 32 bits of pattern")]
    #[expect(clippy::cast_possible_truncation, reason = "and wider on some systems only")]
    let magic = u64::from(fstatfs(&file)?.f_type as u32);
    let facts = Facts {
        fs: Fs::of(magic),
        owner: stat.st_uid == rustix::process::geteuid().as_raw(),
        writable: accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok(),
        privileged,
        cachestat: Tried::No,
        mincore: Tried::No,
        sampling: Tried::No,
    };
    Ok((file, u64::try_from(stat.st_size).unwrap_or(0), facts))
}

/// A file that is being brought into the page cache: what it is, and what of it is there.
#[derive(Debug)]
pub(in crate::probe) struct Blob {
    pub(in crate::probe) file: File,
    /// Its size when it was opened.
    pub(in crate::probe) size: u64,
    facts: Facts,
    marks: Vec<u8>,
}

impl Blob {
    /// Opens it for reading from front to back.
    pub(in crate::probe) fn open(path: &Path, privileged: bool) -> io::Result<Blob> {
        let (file, size, facts) = open(path, privileged)?;
        // Advice: a file system that knows none of it reads as well as it can.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        Ok(Blob { file, size, facts, marks: Vec::new() })
    }

    /// The same as if it belonged to another user.
    #[cfg(test)]
    pub(in crate::probe) fn of_a_stranger(mut self) -> Blob {
        self.facts = Facts {
            owner: false,
            writable: false,
            privileged: false,
            cachestat: Tried::Refused,
            ..self.facts
        };
        self
    }

    /// How many bytes of this range the page cache holds, where the kernel counts them for us; `offset` is a multiple
    /// of the page size.
    pub(in crate::probe) fn cached(&mut self, offset: u64, length: u64) -> Option<u64> {
        loop {
            let (answer, tried) = match choose(self.facts) {
                Method::Unknown(_) | Method::Sample => return None,
                Method::All => return Some(length),
                Method::Cachestat => (sys::cachestat(&self.file, offset, length), &mut self.facts.cachestat),
                Method::Mincore => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    (sys::mincore(&self.file, offset, length, &mut self.marks), &mut self.facts.mincore)
                }
            };
            match answer {
                Ok(pages) => {
                    return Some(pages.saturating_mul(rustix::param::page_size() as u64).min(length));
                }
                Err(error) => *tried = how(&error),
            }
        }
    }
}

/// Tells a file from another that took its name.
pub(in crate::probe) fn identity(file: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (file.dev(), file.ino())
}

/// Bytes that this thread has made the disk read so far, when that is counted: those that are still under way too.
pub(in crate::probe) fn bytes_read() -> Option<u64> {
    // Always blocks of 512 bytes.
    u64::try_from(sys::blocks_read()).ok().map(|blocks| blocks.saturating_mul(512))
}

/// Tries one way after the other until one answers.
fn ask(file: &File, size: u64, mut facts: Facts, was_mixed: bool, clock: &Clock) -> Outcome {
    let pages = size.div_ceil(page_size());
    loop {
        let method = choose(facts);
        let (answer, tried) = match method {
            Method::Unknown(why) => return Outcome::unknown(why),
            Method::All => return Outcome::counted(uniform(pages, pages), size, method),
            Method::Cachestat => (cachestat(file, pages, was_mixed), &mut facts.cachestat),
            Method::Mincore => (mincore(file, size, clock), &mut facts.mincore),
            Method::Sample => match sample::take(file, size) {
                Ok(sample) => {
                    let cached = Cached::Sampled(Bytes(sample.of(size)));
                    let pages = Pages { cached, map: Some(sample.map) };
                    return Outcome { pages, method, missed: sample.missed };
                }
                Err(error) => (Err(error), &mut facts.sampling),
            },
        };
        match answer {
            Ok(cells) => return Outcome::counted(cells, size, method),
            Err(error) => *tried = how(&error),
        }
    }
}

fn how(error: &io::Error) -> Tried {
    match error.raw_os_error() {
        Some(libc::EPERM) => Tried::Refused,
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENODEV) => Tried::Unsupported,
        _ => Tried::Failed,
    }
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Cached pages and all pages, cell by cell.
type Cells = Vec<(u64, u64)>;

/// The cells of a file of which nothing is there, or all.
fn uniform(there: u64, pages: u64) -> Cells {
    stretches(pages).map(|cell| cell.end - cell.start).map(|all| (all.min(there), all)).collect()
}

/// Counts the cached pages of each cell. Asking for 64 ranges costs what asking for all at once does, but for the 20 µs
/// of the calls; most files are all there or not at all, of which one call tells.
fn cachestat(file: &File, pages: u64, was_mixed: bool) -> io::Result<Cells> {
    if !was_mixed {
        let there = sys::cachestat(file, 0, 0)?;
        if there == 0 || there >= pages {
            return Ok(uniform(there, pages));
        }
    }
    let count = |cell: Range<u64>| {
        let all = cell.end - cell.start;
        Ok((sys::cachestat(file, cell.start * page_size(), all * page_size())?, all))
    };
    stretches(pages).map(count).collect()
}

/// Counts the cached pages of each cell window by window; an error when that takes too long.
fn mincore(file: &File, size: u64, clock: &Clock) -> io::Result<Cells> {
    let began = clock();
    let mut marks = Vec::new();
    let mut cells: Vec<(Range<u64>, u64)> =
        stretches(size.div_ceil(page_size())).map(|cell| (cell, 0)).collect();
    let mut offset = 0;
    while offset < size {
        if clock().since(began.mono) > BUDGET {
            return Err(ErrorKind::TimedOut.into());
        }
        let length = usize::try_from(WINDOW.min(size - offset)).unwrap_or(usize::MAX);
        sys::mincore(file, offset, length, &mut marks)?;
        let first = offset / page_size();
        let place = |page: u64| {
            usize::try_from(page.saturating_sub(first)).map_or(marks.len(), |at| at.min(marks.len()))
        };
        for (cell, there) in &mut cells {
            let part = &marks[place(cell.start)..place(cell.end)];
            *there += part.iter().map(|mark| u64::from(mark & 1)).sum::<u64>();
        }
        offset += WINDOW;
    }
    Ok(cells.into_iter().map(|(cell, there)| (there, cell.end - cell.start)).collect())
}

/// Whether this process is told the truth about the files of all users.
pub(crate) fn is_privileged() -> bool {
    privilege::holds(Capability::Fowner)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use rustix::fs::{Advice, fadvise};

    use super::*;
    use crate::residency::timing::Moment;

    #[expect(clippy::disallowed_methods, reason = "the tests' clock")]
    fn clock() -> Clock {
        Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
    }

    const SIZE: u64 = (8 << 20) + 1234;

    struct Blob {
        _directory: tempfile::TempDir,
        path: PathBuf,
        file: File,
    }

    /// A file on an ordinary disk; `None` where the build itself lies in RAM or in a container's image, since
    /// nothing can be cold there, or be sampled.
    fn blob() -> Option<Blob> {
        // Beside the build, since /tmp may be RAM.
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
        let path = directory.path().join("blob");
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(SIZE).unwrap()]).unwrap();
        file.sync_all().unwrap();
        let plain = open(&path, false).unwrap().2.fs == Fs::Plain;
        plain.then(|| Blob { _directory: directory, file: File::open(&path).unwrap(), path })
    }

    impl Blob {
        fn drop_pages(&self) {
            fadvise(&self.file, 0, None, Advice::DontNeed).unwrap();
        }

        fn read_all(&self) {
            assert_eq!(std::fs::read(&self.path).unwrap().len() as u64, SIZE);
        }

        fn facts(&self) -> Facts {
            open(&self.path, false).unwrap().2
        }

        fn asked(&self, facts: Facts) -> Outcome {
            ask(&File::open(&self.path).unwrap(), SIZE, facts, false, &clock())
        }
    }

    /// Next to nothing and next to all: other programs and the kernel move pages too.
    fn assert_cold_then_warm(of: impl Fn(&Blob) -> Pages) {
        let Some(blob) = blob() else { return };
        blob.drop_pages();
        let cold = of(&blob).cached.bytes().unwrap();
        assert!(cold.percent_of(Bytes(SIZE)) <= 5, "{cold:?}");
        blob.read_all();
        let warm = of(&blob).cached.bytes().unwrap();
        assert!(warm.percent_of(Bytes(SIZE)) >= 95 && warm <= Bytes(SIZE), "{warm:?}");
    }

    /// Facts for which only mincore is left.
    fn old_kernel(blob: &Blob) -> Facts {
        Facts { cachestat: Tried::Unsupported, ..blob.facts() }
    }

    /// Facts for which only sampling is left.
    fn not_mine(blob: &Blob) -> Facts {
        Facts { owner: false, writable: false, cachestat: Tried::Refused, ..blob.facts() }
    }

    #[test]
    fn a_file_of_ours_is_counted_exactly() {
        assert_cold_then_warm(|blob| {
            let outcome = read(&blob.path, false, false, &clock());
            assert!(matches!(outcome.pages.cached, Cached::Exact(_)), "{outcome:?}");
            outcome.pages
        });
    }

    #[test]
    fn both_calls_agree() {
        let Some(blob) = blob() else { return };
        blob.read_all();
        let pages = SIZE.div_ceil(rustix::param::page_size() as u64);
        let by_mincore = total(&mincore(&blob.file, SIZE, &clock()).unwrap());
        assert!(by_mincore * 100 >= pages * 95 && by_mincore <= pages, "{by_mincore} of {pages}");
        match sys::cachestat(&blob.file, 0, 0) {
            Ok(counted) => assert!(counted.abs_diff(by_mincore) * 100 <= pages * 5, "{counted} {by_mincore}"),
            // Before Linux 6.5, or forbidden by a container's filter: then nothing was to be compared.
            Err(error) => assert_ne!(how(&error), Tried::Failed, "{error}"),
        }
    }

    #[test]
    fn mincore_counts_where_the_kernel_has_no_cachestat() {
        assert_cold_then_warm(|blob| {
            let outcome = blob.asked(old_kernel(blob));
            assert_eq!(outcome.method, Method::Mincore);
            outcome.pages
        });
    }

    #[test]
    fn a_file_that_is_not_ours_is_sampled_and_says_so() {
        assert_cold_then_warm(|blob| {
            let outcome = blob.asked(not_mine(blob));
            assert!(outcome.pages.cached.is_estimate(), "{outcome:?}");
            outcome.pages
        });
    }

    fn total(cells: &[(u64, u64)]) -> u64 {
        cells.iter().map(|(there, _)| there).sum()
    }

    /// All cells of a map of which each is known.
    fn shares(pages: &Pages) -> Vec<u8> {
        pages.map.unwrap().cells().map(Option::unwrap).collect()
    }

    /// Reads the first half of a cold file and nothing else, and asks.
    fn half_warm(of: impl Fn(&Blob) -> Outcome) -> Option<(Cached, Vec<u8>)> {
        let blob = blob()?;
        blob.drop_pages();
        let mut half = vec![0; usize::try_from(SIZE / 2).unwrap()];
        fadvise(&blob.file, 0, None, Advice::Random).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&blob.file, &mut half, 0).unwrap();
        let pages = of(&blob).pages;
        Some((pages.cached.clone(), shares(&pages)))
    }

    /// The first half of the map is full and the second empty, and the map's mean is what was counted.
    fn assert_half(cached: &Cached, shares: &[u8]) {
        let mean = |shares: &[u8]| {
            shares.iter().map(|share| usize::from(*share)).sum::<usize>() / shares.len().max(1)
        };
        assert_eq!(shares.len(), 64);
        let (first, second) = shares.split_at(32);
        assert!(mean(first) >= 95 && mean(second) <= 5, "{shares:?}");
        let counted = usize::from(cached.bytes().unwrap().percent_of(Bytes(SIZE)));
        assert!(counted.abs_diff(mean(shares)) <= 2, "{counted} {shares:?}");
    }

    #[test]
    fn a_half_read_file_is_sampled_as_about_half() {
        let Some((cached, shares)) = half_warm(|blob| blob.asked(not_mine(blob))) else { return };
        assert!(cached.is_estimate());
        assert_half(&cached, &shares);
    }

    #[test]
    fn a_half_read_file_has_a_map_of_two_halves_whether_it_was_mixed_before_or_not() {
        for was_mixed in [false, true] {
            let asked = |blob: &Blob| ask(&blob.file, SIZE, blob.facts(), was_mixed, &clock());
            let Some((cached, shares)) = half_warm(asked) else { return };
            assert_half(&cached, &shares);
        }
    }

    #[test]
    fn mincore_draws_the_same_map() {
        let Some((cached, shares)) = half_warm(|blob| blob.asked(old_kernel(blob))) else { return };
        assert_half(&cached, &shares);
    }

    #[test]
    fn a_map_is_right_across_the_windows_of_mincore() {
        let Some(blob) = blob() else { return };
        let (file, page) = (File::create(&blob.path).unwrap(), page_size());
        // Sparse and two windows and a half long; only its last page is there.
        let pages = WINDOW / page * 5 / 2 + 1;
        file.set_len(pages * page).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1], (pages - 1) * page).unwrap();
        let cells = mincore(&blob.file, pages * page, &clock()).unwrap();
        let (last, others) = cells.split_last().unwrap();
        assert_eq!((last.0, total(others)), (1, 0), "{cells:?}");
        assert_eq!(cells.iter().map(|(_, all)| all).sum::<u64>(), pages);
    }

    #[test]
    fn a_file_of_few_pages_has_a_cell_for_each() {
        let Some(blob) = blob() else { return };
        std::fs::write(&blob.path, vec![1; usize::try_from(page_size()).unwrap() * 2 + 1]).unwrap();
        let size = page_size() * 2 + 1;
        for facts in [blob.facts(), old_kernel(&blob), not_mine(&blob)] {
            let pages = ask(&blob.file, size, facts, true, &clock()).pages;
            assert_eq!((pages.cached.bytes(), shares(&pages)), (Some(Bytes(size)), vec![100; 3]));
        }
    }

    #[test]
    fn what_sampling_brought_in_is_swept_out() {
        let Some(blob) = blob() else { return };
        blob.drop_pages();
        let missed = blob.asked(not_mine(&blob)).missed;
        assert!(missed.len() >= 240, "{}", missed.len());
        // The kernel reads the missed pages in its own time; only then can they be dropped.
        let (_never, pause) = mpsc::channel::<()>();
        let pages = || total(&mincore(&blob.file, SIZE, &clock()).unwrap());
        let within_seconds = |is_so: &dyn Fn() -> bool| {
            (0..500).any(|_| {
                let _ = pause.recv_timeout(Duration::from_millis(20));
                is_so()
            })
        };
        assert!(within_seconds(&|| pages() >= 240), "asking reads what it misses");
        assert!(within_seconds(&|| {
            sweep(&blob.path, &missed);
            pages() < 10
        }));
    }

    #[test]
    fn mincore_gives_up_after_its_time() {
        let Some(blob) = blob() else { return };
        let began = clock()();
        let seconds = AtomicU64::new(0);
        let hurried: Clock = Arc::new(move || {
            let later = Duration::from_secs(3 * seconds.fetch_add(1, Ordering::Relaxed));
            Moment { mono: began.mono + later, ..began }
        });
        let error = mincore(&blob.file, SIZE, &hurried).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_file_in_ram_is_always_there_and_one_in_the_arc_is_unknown() {
        let Some(blob) = blob() else { return };
        blob.drop_pages();
        let all = blob.asked(Facts { fs: Fs::Ram, ..blob.facts() }).pages;
        assert_eq!(all.cached, Cached::Exact(Bytes(SIZE)));
        assert_eq!(shares(&all), [100; 64]);
        let arc = blob.asked(Facts { fs: Fs::Zfs, ..blob.facts() }).pages;
        let why = "ZFS keeps it in the ARC, not the page cache".to_owned();
        assert_eq!(arc, Pages { cached: Cached::Unknown(why), map: None });
    }

    #[test]
    fn what_is_no_file_has_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        let of = |path: &Path| read(path, false, false, &clock()).pages.cached;
        let unknown = |why: &str| Cached::Unknown(why.to_owned());
        assert_eq!(of(&fifo), unknown("not a regular file"));
        assert_eq!(of(directory.path()), unknown("not a regular file"));
        assert_eq!(of(&directory.path().join("none")), unknown("the file is not on this machine"));
    }

    #[test]
    fn an_empty_file_has_nothing_cached() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for was_mixed in [false, true] {
            let pages = read(file.path(), false, was_mixed, &clock()).pages;
            assert_eq!(pages, Pages { cached: Cached::Exact(Bytes(0)), map: Some(Map::of([])) });
        }
    }
}
