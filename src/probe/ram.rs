//! Main memory: what the kernel says, cut to the cgroup's limit where one is lower. Never a process walk.

use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::residency::bytes::Bytes;
use crate::residency::host::Ram;

/// Reads main memory again and again.
pub struct Reader {
    system: System,
    root: PathBuf,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::new(Path::new("/"))
    }
}

impl Reader {
    /// With `/proc` and `/sys` under `root`.
    pub fn new(root: &Path) -> Reader {
        let only_memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
        Reader { system: System::new_with_specifics(only_memory), root: root.to_owned() }
    }

    /// Main memory now; `None` where nothing can be read.
    pub fn read(&mut self) -> Option<Ram> {
        self.system.refresh_memory();
        let total = self.system.total_memory();
        if total == 0 {
            return None;
        }
        let available = self.system.available_memory();
        let page_cache = fs::read_to_string(self.root.join("proc/meminfo"))
            .ok()
            .and_then(|text| page_cache(&text))
            .unwrap_or_else(|| Bytes(available.saturating_sub(self.system.free_memory())));
        let ram = Ram {
            total: Bytes(total),
            used: Bytes(total.saturating_sub(available)),
            available: Bytes(available),
            free: Bytes(self.system.free_memory()),
            page_cache,
            swap_total: Bytes(self.system.total_swap()),
            swap_used: Bytes(self.system.used_swap()),
            cgroup_limit: None,
        };
        Some(match limit(&self.root) {
            Some(cgroup) if cgroup.limit.0 < total => within(ram, cgroup),
            _ => ram,
        })
    }
}

/// `Cached` + `Buffers` − `Shmem` of `/proc/meminfo`: what can be dropped without loss.
fn page_cache(meminfo: &str) -> Option<Bytes> {
    let field = |name: &str| {
        let line =
            meminfo.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Bytes((field("Cached")? + field("Buffers")?).saturating_sub(field("Shmem").unwrap_or(0))))
}

/// A cgroup's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cgroup {
    limit: Bytes,
    used: Bytes,
    /// Of `used`: page cache that can be dropped.
    file: Bytes,
}

/// The machine as its cgroup allows it to be seen.
fn within(ram: Ram, cgroup: Cgroup) -> Ram {
    let held = cgroup.used.minus(cgroup.file);
    let free = cgroup.limit.minus(cgroup.used);
    Ram {
        total: cgroup.limit,
        used: held,
        available: Bytes(cgroup.limit.minus(held).0.min(ram.available.0)),
        free: Bytes(free.0.min(ram.free.0)),
        page_cache: cgroup.file,
        cgroup_limit: Some(cgroup.limit),
        ..ram
    }
}

/// The lowest limit on the way from our own cgroup up.
fn limit(root: &Path) -> Option<Cgroup> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let v2 = own.lines().find_map(|line| line.strip_prefix("0::"));
    let v1 = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        (parts.next()?.split(',').any(|name| name == "memory")).then(|| parts.next()).flatten()
    });
    let found = v2
        .and_then(|path| lowest(&root.join("sys/fs/cgroup"), path, "memory.max", "memory.current"))
        .or_else(|| {
            let base = root.join("sys/fs/cgroup/memory");
            lowest(&base, v1?, "memory.limit_in_bytes", "memory.usage_in_bytes")
        })?;
    Some(found)
}

fn lowest(base: &Path, path: &str, limit: &str, used: &str) -> Option<Cgroup> {
    let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let own = base.join(path.trim_start_matches('/'));
    own.ancestors()
        .take_while(|dir| dir.starts_with(base))
        .filter_map(|dir| Some((number(dir.join(limit))?, dir)))
        .min_by_key(|(limit, _)| *limit)
        .and_then(|(limit, dir)| {
            let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
            let file = stat.lines().find_map(|line| {
                let (name, value) = line.split_once(' ')?;
                matches!(name, "file" | "total_cache").then(|| value.trim().parse().ok()).flatten()
            });
            Some(Cgroup {
                limit: Bytes(limit),
                used: Bytes(number(dir.join(used))?),
                file: Bytes(file.unwrap_or(0)),
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_no_page_cache() {
        let text = "MemTotal: 100 kB\nBuffers: 10 kB\nCached: 50 kB\nSwapCached: 9 kB\nShmem: 20 kB\n";
        assert_eq!(page_cache(text), Some(Bytes(40 * 1024)));
        assert_eq!(page_cache("rubbish"), None);
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        write("sys/fs/cgroup/a/memory.max", "1000\n");
        write("sys/fs/cgroup/a/memory.current", "600\n");
        write("sys/fs/cgroup/a/memory.stat", "anon 200\nfile 400\n");
        let cgroup = limit(root.path()).unwrap();
        assert_eq!(cgroup, Cgroup { limit: Bytes(1000), used: Bytes(600), file: Bytes(400) });
        let ram = Ram { total: Bytes(9000), available: Bytes(5000), free: Bytes(4000), ..Ram::default() };
        let seen = within(ram, cgroup);
        assert_eq!(
            (seen.total, seen.used, seen.available, seen.free),
            (Bytes(1000), Bytes(200), Bytes(800), Bytes(400))
        );
    }

    #[test]
    fn this_machine_has_memory() {
        let ram = Reader::default().read().unwrap();
        assert!(ram.total > ram.used && ram.available <= ram.total);
    }
}
