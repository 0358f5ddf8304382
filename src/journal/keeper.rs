//! The keeper: of all instances that watch one server, the one that writes down what others did. A lock on a file says
//! which; it ends with its process.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::file::owner_only;
use super::process::Process;

/// One who would be the keeper of a server.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    file: Option<File>,
    keeps: bool,
}

impl Keeper {
    /// For a server, with its lock beside the journal at `journal`.
    pub(super) fn new(journal: &Path, server: &str) -> Keeper {
        let digest = Sha256::digest(server.as_bytes());
        let mut name = OsString::from("keeper-");
        for byte in digest.iter().take(8) {
            name.push(format!("{byte:02x}"));
        }
        name.push(".lock");
        Keeper { path: journal.with_file_name(name), file: None, keeps: false }
    }

    /// Tries to become the keeper, and says whether this is the one. A file system that has no locks has no keeper.
    pub(super) fn attempt(&mut self, pid: u32) -> bool {
        if self.keeps {
            return true;
        }
        if self.file.is_none() {
            self.file = owner_only().create(true).truncate(false).open(&self.path).ok();
        }
        self.keeps = self.file.as_ref().is_some_and(|file| file.try_lock().is_ok());
        if let Some(file) = self.file.as_mut().filter(|_| self.keeps) {
            // Only said to people: the lock is what counts.
            let _ = file.set_len(0).and_then(|()| file.write_all(pid.to_string().as_bytes()));
        }
        self.keeps
    }

    /// The pid of the keeper, if there is one now. Who only asks takes no lock away from who would be it: that of a
    /// living keeper cannot be had, and where the one who wrote its pid down is dead no lock is tried.
    pub(super) fn living(&self) -> Option<u32> {
        let pid = self.pid().filter(|pid| Process::of(*pid).is_ok())?;
        let file = File::open(&self.path).ok()?;
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(pid)
    }

    /// The pid of the keeper, as it wrote it down.
    pub(super) fn pid(&self) -> Option<u32> {
        fs::read_to_string(&self.path).ok()?.parse().ok()
    }
}
