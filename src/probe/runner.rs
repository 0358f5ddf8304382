//! The server's runner processes, one for each loaded model: found in `/proc`, and asked how they are.

mod argv;
mod health;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::watched::Watched;
use crate::residency::bytes::Bytes;
use crate::residency::host::Runner;
use crate::residency::timing::Clock;
use health::Health;

/// A command line longer than this is cut: it is no runner's.
const ARGV_MOST: u64 = 64 << 10;

/// Finds and asks runners on a thread of its own, every `period` or when woken; `proc` is `/proc`, or a test's own
/// tree. The thread ends when nobody reads.
pub fn spawn(proc: &Path, clock: Clock, period: Duration) -> io::Result<Watched<Vec<Runner>>> {
    let mut scanner = Scanner::new(proc);
    let mut health = Health::new(clock.clone(), health::PATIENCE);
    Watched::spawn("probe-runner", clock, period, CancellationToken::new(), move || {
        let mut runners = scanner.scan();
        health.ask(&mut runners);
        runners
    })
}

/// One look: all runners and how they are. Blocks until each has answered, or its time is up.
pub fn look(proc: &Path, clock: Clock) -> Vec<Runner> {
    let mut runners = Scanner::new(proc).scan();
    Health::new(clock, health::PATIENCE).ask(&mut runners);
    runners
}

/// Finds runners and remembers who is none, so that a scan of a quiet machine is one directory listing.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    seen: HashMap<u32, Seen>,
    round: u64,
}

#[derive(Debug)]
struct Seen {
    round: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// No runner at first sight: between fork and exec a process has its parent's command line, so look again.
    Stranger,
    /// No runner at second sight either.
    Settled,
    /// A runner, and the command line that said so: another one is another process under the same pid.
    Runner(Vec<u8>, Box<Runner>),
}

impl Scanner {
    /// `root` is `/proc`, or a test's own tree.
    pub fn new(root: &Path) -> Scanner {
        Scanner { root: root.to_owned(), seen: HashMap::new(), round: 0 }
    }

    /// All runners, by pid. Where there is no `/proc` there are none to be seen.
    pub fn scan(&mut self) -> Vec<Runner> {
        self.round += 1;
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                self.look(pid);
            }
        }
        let round = self.round;
        self.seen.retain(|_, seen| seen.round == round);
        let mut runners: Vec<Runner> = self
            .seen
            .values()
            .filter_map(|seen| match &seen.what {
                What::Runner(_, runner) => Some(runner.as_ref().clone()),
                What::Stranger | What::Settled => None,
            })
            .collect();
        runners.sort_by_key(|runner| runner.pid);
        runners
    }

    fn look(&mut self, pid: u32) {
        let round = self.round;
        let process = || self.root.join(pid.to_string());
        let what = match self.seen.get_mut(&pid) {
            Some(seen @ Seen { what: What::Settled, .. }) => {
                seen.round = round;
                return;
            }
            Some(Seen { what: What::Stranger, .. }) => known(pid, &process(), What::Settled),
            Some(Seen { what: What::Runner(argv, runner), .. }) if *argv == command_line(&process()) => {
                (runner.anonymous, runner.file_backed) = resident_memory(&process());
                What::Runner(std::mem::take(argv), runner.clone())
            }
            Some(_) | None => known(pid, &process(), What::Stranger),
        };
        self.seen.insert(pid, Seen { round, what });
    }
}

/// A runner, or else `otherwise`.
fn known(pid: u32, process: &Path, otherwise: What) -> What {
    let line = command_line(process);
    match argv::parse(pid, &line) {
        None => otherwise,
        Some(mut runner) => {
            (runner.anonymous, runner.file_backed) = resident_memory(process);
            runner.contained = is_contained(&fs::read_to_string(process.join("cgroup")).unwrap_or_default());
            What::Runner(line, Box::new(runner))
        }
    }
}

/// A process's command line; empty for a dead one that nobody has waited for.
fn command_line(process: &Path) -> Vec<u8> {
    let mut line = Vec::new();
    if let Ok(file) = fs::File::open(process.join("cmdline")) {
        // Gone while it was read: what there is of it is no runner's either.
        let _ = file.take(ARGV_MOST).read_to_end(&mut line);
    }
    line
}

/// Whether the control groups of a process are those of a container.
fn is_contained(groups: &str) -> bool {
    let engines = ["docker", "libpod", "lxc", "kubepods", "containerd", "crio"];
    let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned).unwrap_or_default();
    groups.lines().map(path).any(|path| {
        let mut parts = path.split(['/', '-', '.', ':']);
        parts.any(|part| engines.contains(&part))
    })
}

/// `RssAnon` and `RssFile` of a process.
fn resident_memory(process: &Path) -> (Bytes, Bytes) {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Bytes(kilobytes.saturating_mul(1024)))
    };
    (field("RssAnon:").unwrap_or_default(), field("RssFile:").unwrap_or_default())
}

/// How long a process runs already; `None` where that is not told.
pub fn age(proc: &Path, pid: u32) -> Option<Duration> {
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    // The name before it may hold anything, brackets and spaces too. Field 22, counted from the third.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let started: f64 = fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    let uptime = fs::read_to_string(proc.join("uptime")).ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Duration::try_from_secs_f64(uptime - started / f64::from(ticks)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::host::LoadMode;

    struct Proc(tempfile::TempDir);

    impl Proc {
        fn new() -> Proc {
            let root = Proc(tempfile::tempdir().unwrap());
            fs::write(root.0.path().join("meminfo"), "").unwrap();
            root.process(1, &["/sbin/init"], "RssAnon:\t 12 kB\n");
            root
        }

        fn process(&self, pid: u32, argv: &[&str], status: &str) {
            let directory = self.0.path().join(pid.to_string());
            fs::create_dir_all(&directory).unwrap();
            let line = [argv, &[""]].concat().join("\0");
            fs::write(directory.join("cmdline"), line).unwrap();
            fs::write(directory.join("status"), status).unwrap();
        }

        fn runner(&self, pid: u32, blob: &str, anonymous: u64) {
            let argv = ["/usr/lib/ollama/llama-server", "--model", blob, "--port", "4000"];
            let status = format!("Name:\tx\nRssAnon:\t  {anonymous} kB\nRssFile:\t    7 kB\n");
            self.process(pid, &argv, &status);
        }

        fn end(&self, pid: u32) {
            fs::remove_dir_all(self.0.path().join(pid.to_string())).unwrap();
        }

        fn scanner(&self) -> Scanner {
            Scanner::new(self.0.path())
        }
    }

    fn found(scanner: &mut Scanner) -> Vec<(u32, String, u64)> {
        let runners = scanner.scan().into_iter();
        runners.map(|runner| (runner.pid, runner.blob, runner.anonymous.0 / 1024)).collect()
    }

    fn is(pid: u32, blob: &str, anonymous: u64) -> (u32, String, u64) {
        (pid, blob.to_owned(), anonymous)
    }

    #[test]
    fn the_age_of_a_process_is_what_the_machine_is_older_than_its_start() {
        let proc = tempfile::tempdir().unwrap();
        let directory = proc.path().join("7");
        fs::create_dir(&directory).unwrap();
        let stat = "7 (a) S b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4700 99 1\n";
        fs::write(directory.join("stat"), stat).unwrap();
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
            assert_eq!(is_contained(groups), contained, "{groups}");
        }
    }

    #[test]
    fn runners_come_and_grow_and_go() {
        let root = Proc::new();
        let mut scanner = root.scanner();
        assert_eq!(found(&mut scanner), []);
        root.runner(20, "/blobs/b", 100);
        root.runner(9, "/blobs/a", 5);
        assert_eq!(found(&mut scanner), [is(9, "/blobs/a", 5), is(20, "/blobs/b", 100)]);
        root.runner(20, "/blobs/b", 4000);
        root.end(9);
        assert_eq!(found(&mut scanner), [is(20, "/blobs/b", 4000)]);
        root.end(20);
        assert_eq!(found(&mut scanner), []);
        assert_eq!(scanner.seen.len(), 1);
    }

    #[test]
    fn a_runner_is_read_whole() {
        let root = Proc::new();
        root.runner(20, "/blobs/b", 100);
        let runner = Runner {
            pid: 20,
            blob: "/blobs/b".to_owned(),
            port: Some(4000),
            load_mode: LoadMode::Mmap,
            context: None,
            anonymous: Bytes(100 << 10),
            file_backed: Bytes(7 << 10),
            contained: false,
            ready: None,
            busy: None,
        };
        assert_eq!(root.scanner().scan(), [runner]);
    }

    #[test]
    fn a_process_seen_between_fork_and_exec_is_looked_at_again() {
        let root = Proc::new();
        let mut scanner = root.scanner();
        root.process(30, &["/usr/bin/ollama", "serve"], "");
        assert_eq!(found(&mut scanner), []);
        root.runner(30, "/blobs/a", 1);
        assert_eq!(found(&mut scanner), [is(30, "/blobs/a", 1)]);
    }

    #[test]
    fn strangers_are_read_twice_and_never_again() {
        let root = Proc::new();
        let mut scanner = root.scanner();
        scanner.scan();
        scanner.scan();
        // Were its command line read once more, it would be found.
        root.runner(1, "/blobs/a", 1);
        assert_eq!(found(&mut scanner), []);
    }

    #[test]
    fn a_runner_that_is_dead_or_another_process_under_its_pid_is_none() {
        let root = Proc::new();
        let mut scanner = root.scanner();
        root.runner(40, "/blobs/a", 1);
        root.runner(41, "/blobs/b", 1);
        root.runner(42, "/blobs/c", 1);
        assert_eq!(found(&mut scanner).len(), 3);
        root.process(40, &[], "State:\tZ (zombie)\n");
        root.process(41, &["/usr/bin/vi"], "");
        root.runner(42, "/blobs/d", 1);
        assert_eq!(found(&mut scanner), [is(42, "/blobs/d", 1)]);
    }

    #[test]
    fn a_hostile_tree_is_survived() {
        let root = Proc::new();
        root.process(50, &["llama-server", "--model", &"x".repeat(1 << 20)], "RssAnon: many kB\n");
        fs::create_dir(root.0.path().join("60")).unwrap();
        fs::create_dir(root.0.path().join("99999999999999999999")).unwrap();
        fs::write(root.0.path().join("70"), "").unwrap();
        assert!(root.scanner().scan().iter().all(|runner| runner.blob.len() < 1 << 17));
        assert_eq!(Scanner::new(Path::new("/nowhere")).scan(), []);
    }
}
