//! Residency of one file in the page cache: by the surest call that can be trusted, or unknown with the reason.
//!
//! `cachestat` and `mincore` both answer wrongly without an error where they may not tell, in opposite directions:
//! so the method is decided from facts first, and a call that cannot know is never made.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, Advice, AtFlags, CWD};
use rustix::io::ReadWriteFlags;

use super::sys;
use crate::residency::bytes::Bytes;
use crate::residency::tier::Cached;

const OVERLAYFS: u64 = 0x794c_7630;
const ZFS: u64 = 0x2fc1_2fc1;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// Samples of one file; each that misses makes the kernel read a page.
const SAMPLES: u64 = 256;
/// `mincore` looks at this much at a time, so that its vector stays small.
const WINDOW: u64 = 64 << 20;

/// What decides the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `f_type` of its file system.
    pub file_system: u64,
    /// We own it, may write it, or are root: only then do the calls tell the truth.
    pub mine: bool,
}

/// How residency is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// It is memory itself.
    Always,
    /// The page cache says nothing about it: the reason.
    Never(&'static str),
    /// `cachestat`, then `mincore` where the kernel has none or a sandbox forbids it.
    Cachestat,
    /// `mincore`: `cachestat` counts nothing through an overlay.
    Mincore,
    /// Sampled `preadv2(RWF_NOWAIT)`.
    Sample,
}

/// The method for these facts.
pub(crate) fn method(facts: Facts) -> Method {
    match facts.file_system {
        TMPFS | RAMFS => Method::Always,
        ZFS => Method::Never("ZFS keeps it in its own cache, which cannot be read per file"),
        _ if !facts.mine => Method::Sample,
        OVERLAYFS => Method::Mincore,
        _ => Method::Cachestat,
    }
}

/// Whether a failed `cachestat` means that `mincore` should be asked: no such call (before 6.5), not for this file
/// system, or a sandbox's refusal (the file is ours, so it is not the kernel's).
pub(crate) fn falls_back(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM | libc::EACCES))
}

/// A reading and how dear it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Read {
    /// What was found.
    pub cached: Cached,
    /// Which way.
    pub method: Method,
}

/// Reads the residency of the file at `path`. `seed` chooses the samples: another one each time.
pub(crate) fn read(path: &Path, seed: u64) -> Read {
    let open = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = match open {
        Ok(open) => open,
        Err(error) => {
            let why = match error.kind() {
                ErrorKind::NotFound => "the file is gone".to_owned(),
                ErrorKind::PermissionDenied => "no permission to read the file".to_owned(),
                _ => error.to_string(),
            };
            return Read { cached: Cached::Unknown(why), method: Method::Never("unreadable") };
        }
    };
    let method = method(facts(path, &file, &metadata));
    let size = metadata.len();
    let (cached, method) = match method {
        Method::Always => (Ok(Cached::Exact(Bytes(size))), method),
        Method::Never(why) => (Ok(Cached::Unknown(why.to_owned())), method),
        Method::Mincore => (by_mincore(&file, size), method),
        Method::Sample => (by_samples(&file, size, seed), method),
        Method::Cachestat => match sys::cachestat(&file) {
            Ok(pages) => (Ok(exact(pages, size)), method),
            Err(error) if falls_back(&error) => (by_mincore(&file, size), Method::Mincore),
            Err(error) => (Err(error), method),
        },
    };
    let cached = cached.unwrap_or_else(|error| Cached::Unknown(format!("the kernel does not say: {error}")));
    Read { cached, method }
}

fn facts(path: &Path, file: &File, metadata: &Metadata) -> Facts {
    let uid = rustix::process::geteuid();
    let mine = uid.is_root()
        || metadata.uid() == uid.as_raw()
        || rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    #[expect(clippy::cast_sign_loss, clippy::cast_lossless, reason = "a magic number, whatever its width")]
    let file_system = rustix::fs::fstatfs(file).map_or(0, |stat| stat.f_type as u64 & 0xffff_ffff);
    Facts { file_system, mine }
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Whole pages may reach past the end of the file.
fn exact(pages: u64, size: u64) -> Cached {
    Cached::Exact(Bytes(pages.saturating_mul(page_size()).min(size)))
}

fn by_mincore(file: &File, size: u64) -> io::Result<Cached> {
    let page = usize::try_from(page_size()).unwrap_or(4096);
    let mut pages = 0;
    let mut offset = 0;
    while offset < size {
        let length = (size - offset).min(WINDOW);
        pages += sys::mincore(file, offset, usize::try_from(length).unwrap_or(usize::MAX), page)?;
        offset += length;
    }
    Ok(exact(pages, size))
}

/// One byte of a random page of each of 256 equal parts, without waiting: what would have to wait is not resident.
/// Each miss starts a read of its page, so those pages are dropped again.
pub(crate) fn by_samples(file: &File, size: u64, seed: u64) -> io::Result<Cached> {
    if size == 0 {
        return Ok(Cached::Exact(Bytes::ZERO));
    }
    // Without this a miss would start reading a whole window.
    rustix::fs::fadvise(file, 0, None, Advice::Random)?;
    let page = page_size();
    let pages = size.div_ceil(page);
    let samples = SAMPLES.min(pages);
    let mut random = seed | 1;
    let mut hits = 0_u64;
    let mut missed = Vec::new();
    for part in 0..samples {
        let (from, to) = (pages * part / samples, pages * (part + 1) / samples);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let offset = (from + random % (to - from).max(1)) * page;
        let mut byte = [0_u8; 1];
        let mut into = [io::IoSliceMut::new(&mut byte)];
        match rustix::io::preadv2(file, &mut into, offset, ReadWriteFlags::NOWAIT) {
            Ok(_) => hits += 1,
            Err(rustix::io::Errno::AGAIN) => missed.push(offset),
            Err(error) => return Err(error.into()),
        }
    }
    for offset in missed {
        // A page that is still being read stays: a trace of one page in 256 parts.
        let _ = rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(page), Advice::DontNeed);
    }
    let bytes = u64::try_from(u128::from(size) * u128::from(hits) / u128::from(samples)).unwrap_or(size);
    Ok(Cached::Sampled(Bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const EXT4: u64 = 0xef53;

    #[test]
    fn each_call_is_made_only_where_it_can_be_trusted() {
        for (file_system, mine, expected) in [
            (EXT4, true, Method::Cachestat),
            (EXT4, false, Method::Sample),
            (OVERLAYFS, true, Method::Mincore),
            (OVERLAYFS, false, Method::Sample),
            (TMPFS, true, Method::Always),
            (TMPFS, false, Method::Always),
        ] {
            assert_eq!(method(Facts { file_system, mine }), expected);
        }
        assert!(matches!(method(Facts { file_system: ZFS, mine: true }), Method::Never(_)));
    }

    #[test]
    fn an_old_kernel_and_a_sandbox_fall_back_to_mincore_and_nothing_else_does() {
        let fallback = |code| falls_back(&io::Error::from_raw_os_error(code));
        assert!([libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM].into_iter().all(fallback));
        assert!(![libc::EBADF, libc::EFAULT, libc::EIO].into_iter().any(fallback));
    }

    #[test]
    fn every_method_sees_a_file_come_and_go() {
        // Beside the build, which lies on a disk; the temporary directory may be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("blob");
        let size = 8_u64 << 20;
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(size).unwrap()]).unwrap();
        file.sync_all().unwrap();
        let mut file = File::open(&path).unwrap();
        let facts = facts(&path, &file, &file.metadata().unwrap());
        if method(facts) != Method::Cachestat {
            return; // An overlay or tmpfs under the build: the table above covers it.
        }
        let all = |file: &File| -> Vec<u8> {
            [
                sys::cachestat(file).map(|pages| exact(pages, size)),
                by_mincore(file, size),
                by_samples(file, size, 99),
            ]
            .into_iter()
            .filter_map(Result::ok)
            .map(|cached| cached.bytes().unwrap().percent_of(Bytes(size)))
            .collect()
        };
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        assert!(all(&file).iter().all(|percent| *percent <= 5), "{:?}", all(&file));
        rustix::fs::fadvise(&file, 0, None, Advice::Normal).unwrap();
        std::io::copy(&mut file, &mut std::io::sink()).unwrap();
        assert!(all(&file).iter().all(|percent| *percent >= 95), "{:?}", all(&file));
    }

    #[test]
    fn a_file_that_is_gone_is_unknown_with_the_reason() {
        let read = read(Path::new("/nonexistent/blob"), 1);
        assert_eq!(read.cached, Cached::Unknown("the file is gone".into()));
    }
}
