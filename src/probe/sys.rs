//! The system calls that no crate wraps: `cachestat` and `mincore`. The only `unsafe` of the adapters.
#![expect(unsafe_code, reason = "two system calls without a safe wrapper in any crate we use")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `cachestat(2)`, the same number on every architecture (Linux 6.5).
const CACHESTAT: libc::c_long = 451;

#[repr(C)]
struct Range {
    offset: u64,
    length: u64,
}

#[repr(C)]
#[derive(Default)]
struct Stat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Pages of the file that are in the page cache.
pub(crate) fn cachestat(file: &File) -> io::Result<u64> {
    let range = Range { offset: 0, length: 0 };
    let mut stat = Stat::default();
    // SAFETY: both pointers are to live structs of the kernel's layout; the descriptor is open as long as `file`.
    let result =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0_u32) };
    if result == 0 { Ok(stat.cached) } else { Err(io::Error::last_os_error()) }
}

/// Pages of `length` bytes of the file from `offset` (a multiple of the page size) that are in the page cache.
pub(crate) fn mincore(file: &File, offset: u64, length: usize, page: usize) -> io::Result<u64> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let mut resident = vec![0_u8; length.div_ceil(page)];
    // SAFETY: a new read-only mapping at an address the kernel chooses; nothing is read through it, so a file that
    // shrinks cannot fault.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), offset)
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the range is the mapping just made, the vector has one byte for each of its pages.
    let result = unsafe { libc::mincore(address, length, resident.as_mut_ptr()) };
    let error = io::Error::last_os_error();
    // SAFETY: unmaps exactly the mapping made above; no reference into it exists.
    unsafe { libc::munmap(address, length) };
    if result == 0 { Ok(resident.iter().filter(|page| **page & 1 == 1).count() as u64) } else { Err(error) }
}
