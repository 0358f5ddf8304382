//! How much of one file is in the page cache, by the best way that can be trusted.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use super::method::{Facts, Fs, Method, Tried, choose};
use super::sample;
use crate::probe::privilege::{self, Capability};
use crate::probe::{regular, sys};
use crate::residency::bytes::Bytes;
use crate::residency::tier::Cached;
use crate::residency::timing::Clock;

/// `mincore` walks its pages in steps of this size, so that its answer takes 16 KiB and it can be given up.
const WINDOW: u64 = 64 << 20;
/// And it is given up after this long.
const BUDGET: Duration = Duration::from_secs(2);

/// What was read, and how.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) cached: Cached,
    /// The way that answered last.
    pub(crate) method: Method,
    /// The places that sampling made the kernel read, to be swept a moment later.
    pub(crate) missed: Vec<u64>,
}

impl Outcome {
    fn unknown(why: &'static str) -> Outcome {
        Outcome { cached: Cached::Unknown(why.to_owned()), method: Method::Unknown(why), missed: Vec::new() }
    }
}

/// Reads how much of the file is cached.
pub(crate) fn read(path: &Path, privileged: bool, clock: &Clock) -> Outcome {
    let (file, size, facts) = match open(path, privileged) {
        Ok(opened) => opened,
        Err(error) => return Outcome::unknown(regular::why(&error)),
    };
    ask(&file, size, facts, clock)
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

/// Tries one way after the other until one answers.
fn ask(file: &File, size: u64, mut facts: Facts, clock: &Clock) -> Outcome {
    loop {
        let method = choose(facts);
        let (answer, tried) = match method {
            Method::Unknown(why) => return Outcome::unknown(why),
            Method::All => return Outcome { cached: Cached::Exact(Bytes(size)), method, missed: Vec::new() },
            Method::Cachestat => (sys::cachestat(file, 0, 0), &mut facts.cachestat),
            Method::Mincore => (mincore(file, size, clock), &mut facts.mincore),
            Method::Sample => match sample::take(file, size) {
                Ok(sample) => {
                    let cached = Cached::Sampled(Bytes(sample.of(size)));
                    return Outcome { cached, method, missed: sample.missed };
                }
                Err(error) => (Err(error), &mut facts.sampling),
            },
        };
        match answer {
            Ok(pages) => {
                let bytes = pages.saturating_mul(rustix::param::page_size() as u64).min(size);
                return Outcome { cached: Cached::Exact(Bytes(bytes)), method, missed: Vec::new() };
            }
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

/// Counts the cached pages window by window; an error when that takes too long.
fn mincore(file: &File, size: u64, clock: &Clock) -> io::Result<u64> {
    let began = clock();
    let mut marks = Vec::new();
    let mut pages = 0;
    let mut offset = 0;
    while offset < size {
        if clock().since(began.mono) > BUDGET {
            return Err(ErrorKind::TimedOut.into());
        }
        let length = usize::try_from(WINDOW.min(size - offset)).unwrap_or(usize::MAX);
        pages += sys::mincore(file, offset, length, &mut marks)?;
        offset += WINDOW;
    }
    Ok(pages)
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
            ask(&File::open(&self.path).unwrap(), SIZE, facts, &clock())
        }
    }

    /// Next to nothing and next to all: other programs and the kernel move pages too.
    fn assert_cold_then_warm(of: impl Fn(&Blob) -> Cached) {
        let Some(blob) = blob() else { return };
        blob.drop_pages();
        let cold = of(&blob).bytes().unwrap();
        assert!(cold.percent_of(Bytes(SIZE)) <= 5, "{cold:?}");
        blob.read_all();
        let warm = of(&blob).bytes().unwrap();
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
            let outcome = read(&blob.path, false, &clock());
            assert!(matches!(outcome.cached, Cached::Exact(_)), "{outcome:?}");
            outcome.cached
        });
    }

    #[test]
    fn both_calls_agree() {
        let Some(blob) = blob() else { return };
        blob.read_all();
        let pages = SIZE.div_ceil(rustix::param::page_size() as u64);
        let by_mincore = mincore(&blob.file, SIZE, &clock()).unwrap();
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
            outcome.cached
        });
    }

    #[test]
    fn a_file_that_is_not_ours_is_sampled_and_says_so() {
        assert_cold_then_warm(|blob| {
            let outcome = blob.asked(not_mine(blob));
            assert!(outcome.cached.is_estimate(), "{outcome:?}");
            outcome.cached
        });
    }

    #[test]
    fn a_half_read_file_is_sampled_as_about_half() {
        let Some(blob) = blob() else { return };
        blob.drop_pages();
        let mut half = vec![0; usize::try_from(SIZE / 2).unwrap()];
        fadvise(&blob.file, 0, None, Advice::Random).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&blob.file, &mut half, 0).unwrap();
        let percent = blob.asked(not_mine(&blob)).cached.bytes().unwrap().percent_of(Bytes(SIZE));
        assert!((45..=60).contains(&percent), "{percent}");
    }

    #[test]
    fn what_sampling_brought_in_is_swept_out() {
        let Some(blob) = blob() else { return };
        blob.drop_pages();
        let missed = blob.asked(not_mine(&blob)).missed;
        assert!(missed.len() >= 240, "{}", missed.len());
        // The kernel reads the missed pages in its own time; only then can they be dropped.
        let (_never, pause) = mpsc::channel::<()>();
        let pages = || mincore(&blob.file, SIZE, &clock()).unwrap();
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
        let all = blob.asked(Facts { fs: Fs::Ram, ..blob.facts() }).cached;
        assert_eq!(all, Cached::Exact(Bytes(SIZE)));
        let arc = blob.asked(Facts { fs: Fs::Zfs, ..blob.facts() }).cached;
        assert_eq!(arc, Cached::Unknown("ZFS keeps it in the ARC, not the page cache".to_owned()));
    }

    #[test]
    fn what_is_no_file_has_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        let of = |path: &Path| read(path, false, &clock()).cached;
        let unknown = |why: &str| Cached::Unknown(why.to_owned());
        assert_eq!(of(&fifo), unknown("not a regular file"));
        assert_eq!(of(directory.path()), unknown("not a regular file"));
        assert_eq!(of(&directory.path().join("none")), unknown("the file is not on this machine"));
    }

    #[test]
    fn an_empty_file_has_nothing_cached() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(read(file.path(), false, &clock()).cached, Cached::Exact(Bytes(0)));
    }
}
