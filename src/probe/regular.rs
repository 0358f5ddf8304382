//! Opening what should be a regular file, in a directory that may hold anything.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat};

/// Opens a regular file for reading, and what the kernel says of it; `InvalidInput` for anything else.
pub(crate) fn open(path: &Path) -> io::Result<(File, Stat)> {
    // NONBLOCK: a FIFO in the models directory must not hang us; regular files do not know it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok((file, stat))
}

/// Why a file could not be opened, in words.
pub(crate) fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "the file is not on this machine",
        ErrorKind::PermissionDenied => "no permission to read the file",
        ErrorKind::InvalidInput => "not a regular file",
        _ => "the file cannot be opened",
    }
}
