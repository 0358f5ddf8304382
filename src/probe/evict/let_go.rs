//! Dropping pages on Linux: `posix_fadvise`, for which being allowed to read the file is enough.

use std::io;
use std::num::NonZeroU64;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

use super::mappers::{self, Mark};
use crate::probe::page_cache::method::Method;
use crate::probe::{regular, sys};

/// Dropped by one call; so many pages of 4 KiB take 40 ms.
const WINDOW: u64 = 256 << 20;

/// Drops all pages that are clean, and neither mapped nor locked by anybody; true if some were not clean. The kernel
/// only begins to write those, and drops them another time.
pub(super) fn drop_pages(path: &Path) -> io::Result<bool> {
    let (file, stat) = regular::open(path)?;
    let unwritten = sys::unwritten(&file).is_ok_and(|pages| pages > 0);
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut offset = 0;
    while offset < size {
        // The last call goes to the end of the file, or the kernel would spare its last page.
        let length = if size - offset > WINDOW { NonZeroU64::new(WINDOW) } else { None };
        fadvise(&file, offset, length, Advice::DontNeed)?;
        offset += WINDOW;
    }
    Ok(unwritten)
}

/// Why pages are still there.
pub(super) fn why_stays(path: &Path, method: Method, unwritten: bool) -> String {
    if method == Method::All {
        return "files on tmpfs are RAM".to_owned();
    }
    if unwritten {
        return "a part was not written to its disk yet: drop it again in a moment".to_owned();
    }
    let names =
        regular::open(path).map(|(_, stat)| mappers::find(Path::new("/proc"), &Mark::of(&stat, path)));
    match names.unwrap_or_default().as_slice() {
        [] => "mapped by a runner, locked, or held by another program: unload it first".to_owned(),
        names => format!("mapped or locked by {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pages_that_are_not_on_disk_yet_are_told_of() {
        // Beside the build, since /tmp may be RAM.
        let mut file =
            tempfile::NamedTempFile::new_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        if sys::unwritten(file.as_file()).is_err() {
            // Before Linux 6.5 nobody tells.
            return;
        }
        // Somebody else may write out everything just now, but not each time.
        assert!((0..100).any(|_| {
            file.write_all(&[1; 8192]).unwrap();
            drop_pages(file.path()).unwrap()
        }));
        file.as_file().sync_all().unwrap();
        assert!(!drop_pages(file.path()).unwrap());
        assert!(why_stays(file.path(), Method::Cachestat, true).contains("not written"));
        let why = "mapped by a runner, locked, or held by another program: unload it first";
        assert_eq!(why_stays(file.path(), Method::Cachestat, false), why);
    }
}
