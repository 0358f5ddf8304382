//! How fast the disk is: a bounded read of a part of one file, past the page cache.
//!
//! Only reads, at most [`MOST`] bytes and [`LONGEST`] long. A direct read goes by the page cache: what lies there
//! stays, and nothing comes in, so that what is warm stays warm and what is cold stays cold.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::{regular, sys};
use crate::residency::bytes::{Bytes, MIB};
use crate::residency::timing::Clock;

/// No more is read than this.
pub const MOST: Bytes = Bytes(256 * MIB);
/// Nor for longer than this, and one block.
pub const LONGEST: Duration = Duration::from_secs(1);
/// Less than this says nothing.
const LEAST: Bytes = Bytes(4 * MIB);
/// One request to the disk, which has so many at a time, one behind the other: a disk needs several to be fast.
const BLOCK: usize = 1 << 20;
const AT_A_TIME: usize = 4;
/// Where direct reads may begin, in a file and in memory.
const ALIGNED: usize = 4096;

/// What was read, and how long that took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direct {
    /// How much.
    pub bytes: Bytes,
    /// How long it took.
    pub took: Duration,
}

/// Reads from the middle of the file; an error says why that cannot be done. Blocks, and for ever where a disk hangs.
pub fn read(path: &Path, clock: &Clock) -> Result<Direct, &'static str> {
    let (plain, about) = regular::open(path).map_err(|error| regular::why(&error))?;
    let size = u64::try_from(about.st_size).unwrap_or_default();
    if size < LEAST.0 {
        return Err("the file is too small");
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECT | OFlags::NOCTTY;
    let direct = rustix::fs::open(path, flags, Mode::empty());
    let direct = File::from(direct.map_err(|_| "this file system has no direct reads")?);
    let length = size.min(MOST.0);
    let block = BLOCK as u64;
    let first = (size - length) / 2 / block * block;
    let cached = || sys::cachestat(&plain, first, length).ok();
    let before = cached();
    let (next, read, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let began = clock();
    let work = || {
        let mut memory = vec![0_u8; BLOCK + ALIGNED];
        let skip = memory.as_ptr().align_offset(ALIGNED);
        let Some(buffer) = memory.get_mut(skip..skip + BLOCK) else { return };
        while clock().since(began.mono) < LONGEST {
            let at = next.fetch_add(block, Ordering::Relaxed);
            if at >= length {
                return;
            }
            // The last block of a file may be a short one.
            match direct.read_at(buffer, first + at) {
                Ok(0) => return,
                Ok(bytes) => _ = read.fetch_add(bytes as u64, Ordering::Relaxed),
                Err(_) => {
                    failed.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_A_TIME {
            // Fewer threads than wished read as well.
            drop(thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
    let took = clock().since(began.mono);
    let bytes = Bytes(read.into_inner());
    if failed.into_inner() || bytes < LEAST {
        return Err("the file cannot be read directly");
    }
    // Some file systems take the request and read through the page cache all the same.
    let page = rustix::param::page_size() as u64;
    if let (Some(before), Some(after)) = (before, cached())
        && after.saturating_sub(before).saturating_mul(page) > bytes.0 / 2
    {
        return Err("this file system reads through RAM all the same");
    }
    Ok(Direct { bytes, took })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use super::*;
    use crate::residency::timing::Moment;

    /// A file on the disk where the build is: the temporary directory may be RAM.
    fn file(size: u64) -> tempfile::NamedTempFile {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
        let file = tempfile::NamedTempFile::new_in(place).unwrap();
        std::fs::write(file.path(), vec![7_u8; usize::try_from(size).unwrap()]).unwrap();
        file.as_file().sync_all().unwrap();
        file
    }

    /// A clock that goes on by `step` each time it is asked.
    fn clock(step: Duration) -> Clock {
        #[expect(clippy::disallowed_methods, reason = "a test makes its own clock; any instant will do")]
        let now = Mutex::new(Instant::now());
        Arc::new(move || {
            let mut now = now.lock().unwrap();
            *now += step;
            Moment { mono: *now, wall: jiff::Timestamp::UNIX_EPOCH }
        })
    }

    #[test]
    fn a_direct_read_leaves_the_page_cache_as_it_was() {
        let file = file(16 * MIB);
        rustix::fs::fadvise(file.as_file(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let pages = || sys::cachestat(file.as_file(), 0, 0).unwrap_or_default();
        let before = pages();
        match read(file.path(), &clock(Duration::from_millis(1))) {
            Ok(direct) => {
                assert_eq!(direct.bytes, Bytes(16 * MIB));
                assert!(direct.took > Duration::ZERO);
                assert_eq!(pages(), before);
            }
            // A container's file system need not have them.
            Err(why) => assert!(why.starts_with("this file system"), "{why}"),
        }
    }

    #[test]
    fn it_ends_when_its_second_is_over() {
        let file = file(16 * MIB);
        // Five blocks are asked for within the second, and none after it.
        match read(file.path(), &clock(Duration::from_millis(180))) {
            Ok(direct) => assert!(direct.bytes <= Bytes(8 * MIB), "{direct:?}"),
            Err(why) => assert!(why.starts_with("this file system"), "{why}"),
        }
    }

    #[test]
    fn what_is_no_large_file_is_refused() {
        let clock = clock(Duration::from_millis(1));
        assert_eq!(read(file(MIB).path(), &clock), Err("the file is too small"));
        assert_eq!(read(Path::new("/dev/zero"), &clock), Err("not a regular file"));
        assert_eq!(read(Path::new("/no/such/file"), &clock), Err("the file is not on this machine"));
    }
}
