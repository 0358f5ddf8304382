//! A held file on Linux: a mapping of all of it, populated and locked in steps.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Stat, fstat, stat};

use super::limit::lock_limit;
use super::{Fate, Keep, Unlocked, smaps};
use crate::probe::regular;
use crate::probe::sys::{self, Mapping};

/// A mapped file.
#[derive(Debug)]
pub(super) struct Kept {
    mapping: Mapping,
    file: File,
    size: u64,
    locked: u64,
}

impl Keep for Kept {
    fn open(path: &Path) -> Result<Kept, String> {
        let (file, stat) = regular::open(path).map_err(|error| regular::why(&error).to_owned())?;
        let size = length(&stat);
        if size == 0 {
            return Err("the file is empty".to_owned());
        }
        let mapping =
            Mapping::new(&file, size).map_err(|error| format!("the file cannot be mapped: {error}"))?;
        Ok(Kept { mapping, file, size, locked: 0 })
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn locked(&self) -> u64 {
        self.locked
    }

    fn fate(&self, path: &Path) -> Fate {
        let mine = match fstat(&self.file) {
            Ok(mine) => mine,
            Err(error) => return Fate::Hidden(io::Error::from(error).to_string()),
        };
        if mine.st_nlink == 0 {
            return Fate::Lost("the file was removed, and is released so that its disk space is free");
        }
        match stat(path).map_err(io::Error::from) {
            Ok(there) if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino) => {
                Fate::Lost("another file lies in its place, and the old one is released: hold it again")
            }
            Ok(_) if length(&mine) != self.size => Fate::Resized(length(&mine)),
            Ok(_) => Fate::Same,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Fate::Lost("the file was moved away, and is released")
            }
            Err(error) => Fate::Hidden(error.to_string()),
        }
    }

    fn populate(&self, offset: u64, length: u64) -> Result<(), String> {
        self.mapping.populate(offset, length).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => "the kernel cannot populate a mapping: Linux 5.14 does".to_owned(),
            Some(libc::EFAULT) => "a part of the file cannot be read from its disk".to_owned(),
            _ => format!("the file cannot be read into RAM: {error}"),
        })
    }

    fn lock(&mut self, end: u64) -> Result<(), Unlocked> {
        let page = rustix::param::page_size() as u64;
        let mut window = end.saturating_sub(self.locked);
        while self.locked < end {
            let length = window.min(end - self.locked);
            match self.mapping.lock(self.locked, length) {
                Ok(()) => self.locked += length,
                // A limit, perhaps: smaller windows take all that it leaves.
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && length > page => {
                    window = (length / 2).next_multiple_of(page);
                }
                Err(error) => {
                    let limit = if is_limit(&error) { lock_limit() } else { None };
                    return Err(Unlocked { limit, why: error.to_string() });
                }
            }
        }
        Ok(())
    }

    fn unlock(&mut self) {
        // Cannot fail for a part of a mapping; if it did, unmapping would unlock it.
        if self.mapping.unlock(0, self.size).is_ok() {
            self.locked = 0;
        }
    }

    fn resident(kept: &[&Kept]) -> Result<Vec<u64>, String> {
        let ranges: Vec<_> = kept.iter().map(|kept| kept.mapping.range()).collect();
        smaps::rss(&ranges).map_err(|error| error.to_string())
    }

    fn cpu_used() -> Duration {
        sys::cpu_used()
    }
}

/// A limit above zero answers ENOMEM, one of zero EPERM.
fn is_limit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EPERM))
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}
