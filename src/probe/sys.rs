//! The system calls that no safe crate offers: `mincore`, `cachestat`, `getrusage`, and mappings of files. The only
//! unsafe code of the program beside a hint of the embedded server's.
#![expect(
    unsafe_code,
    reason = "rustix wraps none of mincore, cachestat and getrusage, and maps by raw pointers"
)]

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, munlock, munmap};

/// Pages of `length` bytes from `offset` that the page cache holds, counted by `cachestat` (Linux 6.5 and later); a
/// length of 0 is "to the end of the file".
pub(crate) fn cachestat(file: &File, offset: u64, length: u64) -> io::Result<u64> {
    Ok(counts(file, offset, length)?[0])
}

/// Pages of the file that are not on disk yet, dirty or on their way; by `cachestat` too.
pub(crate) fn unwritten(file: &File) -> io::Result<u64> {
    let [_, dirty, writeback, ..] = counts(file, 0, 0)?;
    Ok(dirty.saturating_add(writeback))
}

/// All that `cachestat` tells: pages that are cached, dirty, in write-back, evicted, recently evicted.
fn counts(file: &File, offset: u64, length: u64) -> io::Result<[u64; 5]> {
    /// One number on every architecture that Ollama runs on; elsewhere the kernel answers ENOSYS.
    const CACHESTAT: libc::c_long = 451;
    // struct cachestat_range: offset and length.
    let range = [offset, length];
    // struct cachestat.
    let mut counts = [0_u64; 5];
    // SAFETY: the descriptor is open for the whole call; both pointers lead to live arrays of exactly the layout
    // and size of the kernel's structs, and the kernel writes to the second only.
    let result =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), counts.as_mut_ptr(), 0_u32) };
    if result == 0 { Ok(counts) } else { Err(io::Error::last_os_error()) }
}

/// Pages of `length` bytes from `offset` (a multiple of the page size) that the page cache holds, by `mincore` on a
/// mapping that is never touched. `marks` is scratch space that the caller keeps between windows.
pub(crate) fn mincore(file: &File, offset: u64, length: usize, marks: &mut Vec<u8>) -> io::Result<u64> {
    if length == 0 {
        return Ok(0);
    }
    marks.resize(length.div_ceil(rustix::param::page_size()), 0);
    // SAFETY: the address is the kernel's choice, so no mapping of ours is replaced; nothing reads or writes through
    // the mapping, so a file that shrinks meanwhile cannot fault.
    let start =
        unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, offset)? };
    // SAFETY: `start` and `length` are the mapping just made, and `marks` has one byte for each of its pages.
    let result = unsafe { libc::mincore(start, length, marks.as_mut_ptr()) };
    let failed = (result != 0).then(io::Error::last_os_error);
    // SAFETY: the whole mapping just made, of which no reference exists.
    unsafe { munmap(start, length)? };
    match failed {
        Some(error) => Err(error),
        None => Ok(marks.iter().map(|mark| u64::from(mark & 1)).sum()),
    }
}

/// Blocks that this thread has made the disk read so far; always 0 where the kernel does not count them.
pub(crate) fn blocks_read() -> libc::c_long {
    usage().ru_inblock
}

/// What this thread has taken of a processor so far, in the kernel and outside.
pub(crate) fn cpu_used() -> Duration {
    let usage = usage();
    let of = |time: libc::timeval| {
        let micros = u64::try_from(time.tv_usec).unwrap_or_default();
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default()) + Duration::from_micros(micros)
    };
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer leads to a live struct of the kernel's own layout, which it fills or leaves.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: a struct of plain integers, for which zeros are valid, filled or not.
    unsafe { usage.assume_init() }
}

/// A file mapped for reading, whole. Nothing ever reads through it, and no reference into it is made: a file that is
/// cut would end the program by SIGBUS, while the calls here answer with an error.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut c_void,
    length: usize,
}

// SAFETY: an address range that this value alone owns, and that no thread reads or writes through.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes, more than none; nothing of them is read yet.
    pub(crate) fn new(file: &File, length: u64) -> io::Result<Mapping> {
        let length = usize::try_from(length).map_err(|_| ErrorKind::FileTooLarge)?;
        // SAFETY: the address is the kernel's choice, so no mapping of ours is replaced; nothing reads or writes
        // through the mapping.
        let start =
            unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0)? };
        Ok(Mapping { start, length })
    }

    /// Reads what is missing of the part and puts all of it into our page tables; Linux 5.14 and later.
    pub(crate) fn populate(&self, offset: u64, length: u64) -> io::Result<()> {
        let (start, length) = self.part(offset, length)?;
        // SAFETY: the part lies inside our own mapping; the advice reads pages in, and changes no contents.
        unsafe { madvise(start, length, Advice::LinuxPopulateRead)? };
        Ok(())
    }

    /// Locks the part into RAM; on an error none of it is.
    pub(crate) fn lock(&self, offset: u64, length: u64) -> io::Result<()> {
        let (start, size) = self.part(offset, length)?;
        // SAFETY: the part lies inside our own mapping, whose contents are not changed.
        let locked = unsafe { mlock(start, size) };
        if locked.is_err() {
            // The kernel may have marked the part as locked before it failed to read it.
            let _ = self.unlock(offset, length);
        }
        Ok(locked?)
    }

    /// Undoes [`Mapping::lock`].
    pub(crate) fn unlock(&self, offset: u64, length: u64) -> io::Result<()> {
        let (start, length) = self.part(offset, length)?;
        // SAFETY: the part lies inside our own mapping, whose contents are not changed.
        unsafe { munlock(start, length)? };
        Ok(())
    }

    /// The addresses of the mapping, as `/proc/self/smaps` has them: from, and up to a page's end.
    pub(crate) fn range(&self) -> (usize, usize) {
        let start = self.start.addr();
        (start, start + self.length.next_multiple_of(rustix::param::page_size()))
    }

    /// A part of the mapping that begins at a page.
    fn part(&self, offset: u64, length: u64) -> io::Result<(*mut c_void, usize)> {
        let (Ok(offset), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let is_inside = offset.checked_add(length).is_some_and(|end| end <= self.length);
        if !is_inside || !offset.is_multiple_of(rustix::param::page_size()) {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok((self.start.wrapping_byte_add(offset), length))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the whole mapping that `new` made, of which no reference exists; it is not used again.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_the_mapping_itself_are_touched() {
        let page = rustix::param::page_size() as u64;
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * page).unwrap();
        let mapping = Mapping::new(&file, 3 * page - 1).unwrap();
        let kind = |offset, length| mapping.populate(offset, length).map_err(|error| error.kind());
        assert_eq!(kind(page, 2 * page - 1), Ok(()));
        for (offset, length) in [(1, 1), (0, 3 * page), (3 * page, 1), (page, u64::MAX), (u64::MAX, 1)] {
            assert_eq!(kind(offset, length), Err(ErrorKind::InvalidInput), "{offset} {length}");
        }
        let (from, to) = mapping.range();
        assert_eq!((to - from) as u64, 3 * page);
    }

    #[test]
    fn a_mapping_beyond_the_end_of_its_file_is_an_error_and_no_signal() {
        let page = rustix::param::page_size() as u64;
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 * page).unwrap();
        let mapping = Mapping::new(&file, 4 * page).unwrap();
        mapping.populate(0, 4 * page).unwrap();
        file.set_len(page).unwrap();
        assert!(mapping.populate(0, 4 * page).is_err());
        assert!(mapping.lock(page, page).is_err());
        mapping.populate(0, page).unwrap();
    }

    #[test]
    fn what_the_thread_takes_of_a_processor_only_grows() {
        let before = cpu_used();
        assert!(cpu_used() >= before);
    }
}
