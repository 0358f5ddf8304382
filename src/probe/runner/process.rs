//! What `/proc` says of one process: its command line, its memory, its parent, what it has read.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::argv;
use crate::residency::bytes::Bytes;
use crate::residency::host::BytesRead;

/// A command line longer than this is cut: it is no runner's.
const ARGV_MOST: u64 = 64 << 10;

/// A process's command line; empty for a dead one that nobody has waited for.
pub(super) fn command_line(process: &Path) -> Vec<u8> {
    let mut line = Vec::new();
    if let Ok(file) = fs::File::open(process.join("cmdline")) {
        // Gone while it was read: what there is of it is no runner's either.
        let _ = file.take(ARGV_MOST).read_to_end(&mut line);
    }
    line
}

/// Whether it runs in a container.
pub(super) fn is_contained(process: &Path) -> bool {
    are_of_container(&fs::read_to_string(process.join("cgroup")).unwrap_or_default())
}

/// Whether the control groups of a process are those of a container.
fn are_of_container(groups: &str) -> bool {
    let engines = ["docker", "libpod", "lxc", "kubepods", "containerd", "crio"];
    let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned).unwrap_or_default();
    groups.lines().map(path).any(|path| {
        let mut parts = path.split(['/', '-', '.', ':']);
        parts.any(|part| engines.contains(&part))
    })
}

/// `RssAnon` and `RssFile` of a process.
pub(super) fn resident_memory(process: &Path) -> (Bytes, Bytes) {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Bytes(kilobytes.saturating_mul(1024)))
    };
    (field("RssAnon:").unwrap_or_default(), field("RssFile:").unwrap_or_default())
}

/// What a process has read since its start; `None` where that is not ours to know.
pub(super) fn bytes_read(process: &Path) -> Option<BytesRead> {
    let io = fs::read_to_string(process.join("io")).ok()?;
    let field =
        |name: &str| Some(Bytes(io.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()?));
    Some(BytesRead { called: field("rchar:")?, disk: field("read_bytes:")? })
}

/// A field of `stat`, counted from 1 as proc(5) does; from the third on.
fn stat(process: &Path, number: usize) -> Option<u64> {
    let stat = fs::read(process.join("stat")).ok()?;
    // The name before it may hold anything, brackets and spaces too.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&stat[end + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// A process's parent, and whether that took it over because the one that had started it ended: the first process, if
/// that is no server (in a container it may be), or the one that stands for it in a user's session.
pub(super) fn parent(proc: &Path, pid: u32) -> (Option<u32>, bool) {
    let of = |pid: u32| stat(&proc.join(pid.to_string()), 4).and_then(|pid| u32::try_from(pid).ok());
    let parent = of(pid).filter(|pid| *pid > 0);
    let takes_over = |pid: u32| {
        let process = proc.join(pid.to_string());
        match pid {
            1 => !argv::is_server(&command_line(&process)),
            _ => fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "systemd"),
        }
    };
    (parent, parent.is_some_and(takes_over))
}

/// When it began, in ticks of the machine's uptime: with its id it names a process for good.
pub(super) fn began(process: &Path) -> Option<u64> {
    stat(process, 22)
}

/// How long it runs already; `None` where that is not told.
pub(super) fn age(proc: &Path, pid: u32) -> Option<Duration> {
    let began = u32::try_from(began(&proc.join(pid.to_string()))?).ok()?;
    let uptime = fs::read_to_string(proc.join("uptime")).ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Duration::try_from_secs_f64(uptime - f64::from(began) / f64::from(ticks)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_process_is_what_the_machine_is_older_than_its_start() {
        let proc = tempfile::tempdir().unwrap();
        let directory = proc.path().join("7");
        fs::create_dir(&directory).unwrap();
        let stat = "7 (a) S b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4700 99 1\n";
        fs::write(directory.join("stat"), stat).unwrap();
        assert_eq!((parent(proc.path(), 7), began(&directory)), ((Some(1), true), Some(4700)));
        assert_eq!(age(proc.path(), 7), None);
        fs::write(proc.path().join("uptime"), "100.00 800.00\n").unwrap();
        let ticks = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap());
        assert_eq!(age(proc.path(), 7), Duration::try_from_secs_f64(100.0 - 4700.0 / ticks).ok());
        assert_eq!(age(proc.path(), 8), None);
        // A machine that says it is younger than what runs on it.
        fs::write(proc.path().join("uptime"), "1.00 800.00\n").unwrap();
        assert_eq!(age(proc.path(), 7), None);
    }

    #[test]
    fn who_was_taken_over_by_the_first_process_of_a_machine_or_a_session_was_left_behind() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: u32, name: &str, parent: u32| {
            let directory = proc.path().join(pid.to_string());
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
            fs::write(directory.join("cmdline"), format!("/bin/{name}\0serve\0")).unwrap();
            fs::write(directory.join("stat"), format!("{pid} ({name}) S {parent} 1 1\n")).unwrap();
        };
        for (parents, is_left) in [
            ([(1, "systemd", 0), (7, "llama-server", 1)], true),
            ([(5, "systemd", 1), (7, "llama-server", 5)], true),
            ([(1, "init", 0), (7, "llama-server", 1)], true),
            // In a container the server may be the first one.
            ([(1, "ollama", 0), (7, "llama-server", 1)], false),
            ([(5, "ollama", 1), (7, "llama-server", 5)], false),
        ] {
            for (pid, name, parent) in parents {
                process(pid, name, parent);
            }
            assert_eq!(parent(proc.path(), 7), (Some(parents[0].0), is_left), "{parents:?}");
        }
    }

    #[test]
    fn a_container_is_told_by_its_control_groups() {
        for (groups, contained) in [
            ("0::/system.slice/ollama.service\n", false),
            ("0::/user.slice/user-1000.slice/session-2.scope\n", false),
            ("0::/system.slice/docker-0123abcd.scope\n", true),
            ("11:memory:/docker/0123abcd\n", true),
            ("0::/kubepods.slice/kubepods-burstable.slice/x\n", true),
            ("0::/machine.slice/libpod-0123.scope/container\n", true),
            ("0::/lxc/ollama\n", true),
            ("0::/\n", false),
            ("", false),
        ] {
            assert_eq!(are_of_container(groups), contained, "{groups}");
        }
    }

    #[test]
    fn what_was_read_is_told_by_both_counters_or_not_at_all() {
        let process = tempfile::tempdir().unwrap();
        assert_eq!(bytes_read(process.path()), None);
        fs::write(process.path().join("io"), "rchar: 700\nwchar: 9\nread_bytes: 4096\n").unwrap();
        assert_eq!(bytes_read(process.path()), Some(BytesRead { called: Bytes(700), disk: Bytes(4096) }));
        fs::write(process.path().join("io"), "rchar: 700\n").unwrap();
        assert_eq!(bytes_read(process.path()), None);
    }
}
