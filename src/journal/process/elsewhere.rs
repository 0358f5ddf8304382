//! Systems other than Linux: a process is known by its pid alone.

use std::io;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Not told.
#[expect(clippy::unnecessary_wraps, reason = "the face that Linux has too")]
pub(super) fn boot() -> io::Result<String> {
    Ok(String::new())
}

/// 0 for a process that is there.
pub(super) fn started(pid: u32) -> Option<i64> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    system.process(pid).map(|_| 0)
}
