//! Which process a row is of: a pid alone may since have been given to another.

use std::io;

#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;

/// A process, told from every other that has or had its pid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Process {
    /// Which start of the machine; empty where the system does not tell.
    pub boot: String,
    /// Its pid.
    pub pid: u32,
    /// When it began, in the system's own unit; 0 where the system does not tell.
    pub started: i64,
}

impl Process {
    /// This one.
    pub(super) fn this() -> io::Result<Process> {
        Process::of(std::process::id())
    }

    /// A living one.
    pub(super) fn of(pid: u32) -> io::Result<Process> {
        let boot = system::boot()?;
        let started = system::started(pid).ok_or_else(|| io::Error::other("/proc does not tell of it"))?;
        Ok(Process { boot, pid, started })
    }

    /// Whether it lives, on a machine whose present start is `boot`.
    pub(super) fn is_alive(&self, boot: &str) -> bool {
        self.boot == boot && system::started(self.pid) == Some(self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let this = Process::this().unwrap();
        let boot = this.boot.clone();
        assert!(this.is_alive(&boot));
        assert!(!this.is_alive("another start of the machine"));
        let later = Process { started: this.started + 1, ..this.clone() };
        assert!(!later.is_alive(&boot));
        let nobody = Process { pid: u32::MAX, ..this };
        assert!(!nobody.is_alive(&boot));
        assert!(Process::of(u32::MAX).is_err());
    }

    #[test]
    fn elsewhere_a_pid_must_do() {
        assert_eq!(elsewhere::boot().unwrap(), "");
        assert_eq!(elsewhere::started(std::process::id()), Some(0));
        assert_eq!(elsewhere::started(u32::MAX), None);
    }
}
