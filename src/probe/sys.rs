//! The system calls that no safe crate offers: `mincore`, `cachestat`, `getrusage`. The only unsafe code of the program.
#![expect(unsafe_code, reason = "rustix wraps none of mincore, cachestat and getrusage")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Pages of `length` bytes from `offset` that the page cache holds, counted by `cachestat` (Linux 6.5 and later); a
/// length of 0 is "to the end of the file".
pub(crate) fn cachestat(file: &File, offset: u64, length: u64) -> io::Result<u64> {
    /// One number on every architecture that Ollama runs on; elsewhere the kernel answers ENOSYS.
    const CACHESTAT: libc::c_long = 451;
    // struct cachestat_range: offset and length.
    let range = [offset, length];
    // struct cachestat: cached, dirty, in write-back, evicted, recently evicted.
    let mut counts = [0_u64; 5];
    // SAFETY: the descriptor is open for the whole call; both pointers lead to live arrays of exactly the layout
    // and size of the kernel's structs, and the kernel writes to the second only.
    let result =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), counts.as_mut_ptr(), 0_u32) };
    if result == 0 { Ok(counts[0]) } else { Err(io::Error::last_os_error()) }
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
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer leads to a live struct of the kernel's own layout, which it fills or leaves.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: a struct of plain integers, for which zeros are valid, filled or not.
    unsafe { usage.assume_init() }.ru_inblock
}
