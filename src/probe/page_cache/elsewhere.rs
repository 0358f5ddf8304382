//! Systems other than Linux: nothing is told of the page cache yet.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::method::Method;
use crate::residency::map::Pages;
use crate::residency::tier::Cached;
use crate::residency::timing::Clock;

/// What was read, and how.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) pages: Pages,
    /// The way that answered last.
    pub(crate) method: Method,
    /// Always empty here.
    pub(crate) missed: Vec<u64>,
}

/// Says why nothing is known.
pub(crate) fn read(_path: &Path, _privileged: bool, _was_mixed: bool, _clock: &Clock) -> Outcome {
    let why = "this system does not tell what is cached";
    let pages = Pages { cached: Cached::Unknown(why.to_owned()), map: None };
    Outcome { pages, method: Method::Unknown(why), missed: Vec::new() }
}

/// Nothing was brought in.
pub(crate) fn sweep(_path: &Path, _missed: &[u64]) {}

/// A file that is being brought into the page cache.
#[derive(Debug)]
pub(in crate::probe) struct Blob {
    pub(in crate::probe) file: File,
    /// Its size when it was opened.
    pub(in crate::probe) size: u64,
}

impl Blob {
    /// Opens it for reading.
    pub(in crate::probe) fn open(path: &Path, _privileged: bool) -> io::Result<Blob> {
        // Before it is opened: a FIFO would hang us.
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(Blob { file: File::open(path)?, size: metadata.len() })
    }

    /// Nothing is told here.
    #[expect(clippy::unused_self, reason = "other systems count")]
    pub(in crate::probe) fn cached(&mut self, _offset: u64, _length: u64) -> Option<u64> {
        None
    }
}

/// Tells a file from another that took its name, where files have numbers.
pub(in crate::probe) fn identity(file: &Metadata) -> (u64, u64) {
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt as _;
        (file.dev(), file.ino())
    };
    #[cfg(not(unix))]
    let identity = (0, u64::from(file.is_file()));
    identity
}

/// Not counted here.
pub(in crate::probe) fn bytes_read() -> Option<u64> {
    None
}

/// Not here.
pub(in crate::probe) fn is_privileged() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::residency::timing::Moment;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the tests' clock")]
    fn nothing_is_claimed_of_any_file() {
        let clock: Clock =
            Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() });
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let Outcome { pages, method, missed } = read(&path, is_privileged(), false, &clock);
        sweep(&path, &missed);
        let why = "this system does not tell what is cached";
        assert_eq!((pages.cached, method), (Cached::Unknown(why.to_owned()), Method::Unknown(why)));
        assert_eq!(missed, [0; 0]);
    }

    #[test]
    fn a_file_can_be_read_all_the_same_and_nothing_else_is_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let mut blob = Blob::open(&path, is_privileged()).unwrap();
        assert_eq!(blob.size, std::fs::metadata(&path).unwrap().len());
        assert_eq!((blob.cached(0, blob.size), bytes_read()), (None, None));
        assert_eq!(identity(&blob.file.metadata().unwrap()), identity(&std::fs::metadata(&path).unwrap()));
        let folder = Blob::open(Path::new(env!("CARGO_MANIFEST_DIR")), false);
        assert_eq!(folder.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
