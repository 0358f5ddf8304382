//! Main memory: the machine's, or the cgroup's where that is smaller. Never a process walk.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sysinfo::{MemoryRefreshKind, System};

use crate::residency::bytes::Bytes;
use crate::residency::host::Ram;

/// What is kept between readings.
pub struct State {
    system: System,
    root: PathBuf,
}

impl Default for State {
    fn default() -> State {
        State { system: System::new(), root: PathBuf::from("/") }
    }
}

/// Reads main memory, in some 50 µs; `None` where the system does not tell.
pub fn read(state: &mut State) -> Option<Ram> {
    state.system.refresh_memory_specifics(MemoryRefreshKind::everything());
    let total = Bytes(state.system.total_memory());
    if total == Bytes::ZERO {
        return None;
    }
    let available = Bytes(state.system.available_memory().min(total.0));
    // sysinfo reads this file too but keeps the page cache to itself.
    let meminfo = fs::read_to_string(state.root.join("proc/meminfo")).unwrap_or_default();
    let machine = Ram {
        total,
        used: total.minus(available),
        available,
        free: Bytes(state.system.free_memory()),
        page_cache: page_cache(&meminfo),
        swap_total: Bytes(state.system.total_swap()),
        swap_used: Bytes(state.system.used_swap()),
        cgroup_limit: None,
        // The root group of a whole machine has no such file.
        contained: state.root.join("sys/fs/cgroup/memory.current").exists(),
    };
    Some(limited(machine, &groups(&state.root, total)))
}

/// `Cached` + `Buffers` - `Shmem` of `/proc/meminfo`.
fn page_cache(meminfo: &str) -> Bytes {
    let fields = table(meminfo, 1024);
    let field = |name| fields.get(name).copied().unwrap_or_default();
    (field("Cached:") + field("Buffers:")).minus(field("Shmem:"))
}

/// Lines of a name and a number, as `/proc/meminfo` and `memory.stat` have them.
fn table(text: &str, unit: u64) -> HashMap<&str, Bytes> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, value) = (words.next()?, words.next()?);
            Some((name, Bytes(value.parse::<u64>().ok()?.saturating_mul(unit))))
        })
        .collect()
}

/// A cgroup that has less than the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    limit: Bytes,
    used: Bytes,
    /// The part of `used` that is page cache and gives way.
    cache: Bytes,
}

/// The machine as seen from inside of `groups`, ours and its parents: the tightest of them counts.
fn limited(machine: Ram, groups: &[Group]) -> Ram {
    let Some(tightest) = groups.iter().min_by_key(|group| group.limit) else { return machine };
    let available = groups.iter().map(|group| group.limit.minus(group.used.minus(group.cache))).min();
    let available = available.unwrap_or_default().min(machine.available);
    let free = groups.iter().map(|group| group.limit.minus(group.used)).min().unwrap_or_default();
    Ram {
        total: tightest.limit,
        used: tightest.limit.minus(available),
        available,
        free: free.min(machine.free),
        page_cache: tightest.cache.min(machine.page_cache),
        cgroup_limit: Some(tightest.limit),
        ..machine
    }
}

/// Names of the files of one cgroup version.
struct Version {
    limit: &'static str,
    used: &'static str,
    cache: &'static str,
    shared: &'static str,
    locked: &'static str,
}

const V2: Version = Version {
    limit: "memory.max",
    used: "memory.current",
    cache: "file",
    shared: "shmem",
    locked: "unevictable",
};
const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: "total_cache",
    shared: "total_shmem",
    locked: "total_unevictable",
};

/// The tightest memory limit on a process, of its group or a parent of that, where one is below `total`; an error where
/// its group is not known.
pub fn limit_on(root: &Path, pid: u32, total: Bytes) -> io::Result<Option<Bytes>> {
    let of = fs::read_to_string(root.join(format!("proc/{pid}/cgroup")))?;
    Ok(groups_of(&of, root, total).iter().map(|group| group.limit).min())
}

/// All groups, from ours up to the root, whose limit is below `total`.
fn groups(root: &Path, total: Bytes) -> Vec<Group> {
    groups_of(&fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default(), root, total)
}

/// The same of a process whose `/proc/PID/cgroup` says `own`.
fn groups_of(own: &str, root: &Path, total: Bytes) -> Vec<Group> {
    let Some((path, version)) = own_group(own) else { return Vec::new() };
    let mount = root.join(if version.limit == V2.limit { "sys/fs/cgroup" } else { "sys/fs/cgroup/memory" });
    // Inside a container the path may name directories that only the host sees; the root of what is mounted is
    // then the container's own group. `..` would leave the mount.
    let inner = Path::new(path.trim_start_matches('/'));
    let inner = if path.contains("..") { Path::new("") } else { inner };
    inner.ancestors().filter_map(|level| group(&mount.join(level), version, total)).collect()
}

/// Our memory group's path in `/proc/self/cgroup`; version 1 if the memory controller is still there.
fn own_group(text: &str) -> Option<(&str, &'static Version)> {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(3, ':').collect()).collect();
    let v1 = lines.iter().find(|line| line.len() == 3 && line[1].split(',').any(|name| name == "memory"));
    let v2 = lines.iter().find(|line| line.len() == 3 && line[0] == "0");
    v1.map(|line| (line[2], &V1)).or(v2.map(|line| (line[2], &V2)))
}

fn group(directory: &Path, version: &Version, total: Bytes) -> Option<Group> {
    let number = |name| fs::read_to_string(directory.join(name)).ok()?.trim().parse().ok().map(Bytes);
    // No limit is `max` in version 2 and nearly 2^63 in version 1: neither is below `total`.
    let limit = number(version.limit).filter(|limit| *limit < total)?;
    let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let fields = table(&stat, 1);
    let field = |name| fields.get(name).copied().unwrap_or_default();
    // What is locked never gives way: who takes it for available locks until the group's limit kills him.
    let cache = field(version.cache).minus(field(version.shared)).minus(field(version.locked));
    Some(Group { limit, used: number(version.used)?, cache })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::GIB;

    #[test]
    fn the_page_cache_is_cached_and_buffers_without_shared_memory() {
        let cases = [
            ("Cached: 1000 kB\nBuffers: 24 kB\nShmem: 200 kB\n", 824 * 1024),
            ("MemTotal:  8 kB\nCached:          16 kB\n", 16 * 1024),
            ("Cached: 1 kB\nShmem: 5 kB\n", 0),
            ("Cached: lots kB\nBuffers:\n\n\u{0}", 0),
            ("Cached: 18446744073709551615 kB\n", u64::MAX),
            ("", 0),
        ];
        for (text, bytes) in cases {
            assert_eq!(page_cache(text), Bytes(bytes), "{text:?}");
        }
    }

    #[test]
    fn the_memory_group_is_found_in_either_version() {
        let cases = [
            ("0::/user.slice/a:b.scope\n", Some(("/user.slice/a:b.scope", "memory.max"))),
            ("9:name=systemd:/\n4:memory:/docker/x\n0::/\n", Some(("/docker/x", "memory.limit_in_bytes"))),
            ("5:cpu,memory:/both\n", Some(("/both", "memory.limit_in_bytes"))),
            ("3:cpuset:/\n", None),
            ("nonsense", None),
            ("", None),
        ];
        for (text, found) in cases {
            assert_eq!(own_group(text).map(|(path, version)| (path, version.limit)), found, "{text:?}");
        }
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn limits_are_looked_for_up_to_the_root() {
        let root = tree(&[
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/memory.max", "5000\n"),
            ("sys/fs/cgroup/outer/memory.current", "3000\n"),
            ("sys/fs/cgroup/outer/memory.stat", "anon 100\nfile 2800\nshmem 500\nunevictable 300\n"),
        ]);
        let outer = Group { limit: Bytes(5000), used: Bytes(3000), cache: Bytes(2000) };
        assert_eq!(groups(root.path(), Bytes(10_000)), [outer]);
        assert_eq!(groups(root.path(), Bytes(5000)), []);
    }

    #[test]
    fn a_container_of_version_1_finds_its_own_group_at_the_mount() {
        let root = tree(&[
            ("proc/self/cgroup", "4:memory:/docker/only-the-host-sees-this\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "cache 1\ntotal_cache 3100\ntotal_unevictable 100\n"),
        ]);
        let own = Group { limit: Bytes(5000), used: Bytes(4000), cache: Bytes(3000) };
        assert_eq!(groups(root.path(), Bytes(10_000)), [own]);
    }

    #[test]
    fn another_process_has_the_limit_of_its_own_groups() {
        let root = tree(&[
            ("proc/7/cgroup", "0::/system.slice/ollama.service\n"),
            ("proc/8/cgroup", "0::/free\n"),
            ("sys/fs/cgroup/system.slice/ollama.service/memory.max", "4000\n"),
            ("sys/fs/cgroup/system.slice/ollama.service/memory.current", "1\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "5000\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "1\n"),
        ]);
        let on = |pid| limit_on(root.path(), pid, Bytes(10_000)).ok();
        assert_eq!((on(7), on(8), on(9)), (Some(Some(Bytes(4000))), Some(None), None));
    }

    #[test]
    fn the_tightest_group_is_the_whole_and_its_cache_counts_as_available() {
        let machine = Ram {
            total: Bytes(32 * GIB),
            used: Bytes(8 * GIB),
            available: Bytes(24 * GIB),
            free: Bytes(4 * GIB),
            page_cache: Bytes(19 * GIB),
            ..Ram::default()
        };
        let inner = Group { limit: Bytes(8 * GIB), used: Bytes(6 * GIB), cache: Bytes(3 * GIB) };
        let outer = Group { limit: Bytes(12 * GIB), used: Bytes(11 * GIB), cache: Bytes(GIB) };
        let seen = Ram {
            total: Bytes(8 * GIB),
            used: Bytes(6 * GIB),
            available: Bytes(2 * GIB),
            free: Bytes(GIB),
            page_cache: Bytes(3 * GIB),
            cgroup_limit: Some(Bytes(8 * GIB)),
            ..machine
        };
        assert_eq!(limited(machine, &[inner, outer]), seen);
        assert_eq!(limited(machine, &[]), machine);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_adds_up() {
        let ram = read(&mut State::default()).unwrap();
        assert_eq!(ram.used + ram.available, ram.total);
        assert!(ram.total > Bytes::ZERO && ram.available > Bytes::ZERO);
        assert!(ram.free <= ram.total && ram.page_cache <= ram.total, "{ram:?}");
    }
}
