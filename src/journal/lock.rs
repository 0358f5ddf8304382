//! A role that one process at a time has: who has a lock on its file, which ends with the process.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use super::file::owner_only;
use super::process::Process;

/// One who would have the role, or has it.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: Option<File>,
    has: bool,
    /// What is written down of who has it, for people: the lock is what counts.
    said: String,
}

impl Lock {
    pub(super) fn new(path: PathBuf) -> Lock {
        Lock { path, file: None, has: false, said: String::new() }
    }

    /// Tries to get the role, and says whether it is had; `more` is written down behind the pid. A file system that has no
    /// locks has no roles.
    pub(super) fn attempt(&mut self, pid: u32, more: &str) -> bool {
        if self.file.is_none() {
            self.file = owner_only().create(true).truncate(false).open(&self.path).ok();
        }
        let Some(file) = self.file.as_mut() else { return false };
        self.has = self.has || file.try_lock().is_ok();
        let said = if more.is_empty() { pid.to_string() } else { format!("{pid} {more}") };
        if self.has && self.said != said {
            let _ = write(file, &said);
            self.said = said;
        }
        self.has
    }

    pub(super) fn has(&self) -> bool {
        self.has
    }

    /// Lets another one have it.
    pub(super) fn give_back(&mut self) {
        if let Some(file) = self.file.as_mut().filter(|_| self.has) {
            // Who looks finds no pid, and does not try the lock.
            let _ = file.set_len(0);
            let _ = file.unlock();
        }
        (self.has, self.said) = (false, String::new());
    }

    /// Whether another process has it.
    pub(super) fn is_anothers(&self) -> bool {
        !self.has && is_locked(&self.path)
    }

    /// Who has it now, and what more is written down of that one. Who only asks takes no lock away from who would have the
    /// role: that of a living process cannot be had, and where the one who wrote its pid down is dead no lock is tried.
    pub(super) fn living(&self) -> Option<(u32, String)> {
        let (pid, more) = self.written()?;
        (Process::of(pid).is_ok() && is_locked(&self.path)).then_some((pid, more))
    }

    /// The pid of who has it or had it last, as it wrote it down, and what is written behind.
    pub(super) fn written(&self) -> Option<(u32, String)> {
        let text = fs::read_to_string(&self.path).ok()?;
        let line = text.lines().next()?;
        let (pid, more) = line.split_once(' ').unwrap_or((line, ""));
        Some((pid.parse().ok()?, more.to_owned()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Writes first and cuts off then, so that who reads meanwhile finds one line or the other.
fn write(file: &mut File, line: &str) -> io::Result<()> {
    file.rewind()?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.set_len(line.len() as u64 + 1)
}
