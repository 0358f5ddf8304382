//! The server's runner processes, one for each loaded model: found in `/proc`, and asked how they are.

mod argv;
mod health;
mod process;
mod server;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::watched::Watched;
use crate::residency::host::{Runner, Runners};
use crate::residency::timing::Clock;
use health::Health;
use server::Server;

/// Finds and asks the runners of the server on `port` on a thread of its own, every `period` or when woken; `proc` is
/// `/proc`, or a test's own tree. The thread ends when nobody reads.
pub fn spawn(proc: &Path, port: Option<u16>, clock: Clock, period: Duration) -> io::Result<Watched<Runners>> {
    let mut scanner = Scanner { server: port.map(Server::new), ..Scanner::new(proc) };
    let mut health = Health::new(clock.clone(), health::PATIENCE);
    Watched::spawn("probe-runner", clock, period, CancellationToken::new(), move || {
        let mut list = scanner.scan();
        health.ask(&mut list);
        scanner.read_loading(&mut list);
        Runners { list, server: scanner.of }
    })
}

/// The process that listens on `port`, and its program's name, where that can be told.
pub fn listener(proc: &Path, port: u16) -> Option<(u32, String)> {
    let (all, mut server) = (everybody(proc), Server::new(port));
    server.look_for(proc, all.clone(), || all);
    let pid = server.pid()?;
    let line = process::command_line(&proc.join(pid.to_string()));
    let program = line.split(|byte| matches!(byte, 0 | b' ')).next()?;
    let program = String::from_utf8_lossy(program);
    Some((pid, program.rsplit('/').next().unwrap_or_default().to_owned()))
}

/// Whether a process runs in a container; `None` where that is not ours to know.
pub fn is_contained(proc: &Path, pid: u32) -> Option<bool> {
    let process = proc.join(pid.to_string());
    process.join("cgroup").exists().then(|| process::is_contained(&process))
}

/// One look: all runners, or those of the server on `port`, and how they are. Blocks until each has answered, or its time is up.
pub fn look(proc: &Path, port: Option<u16>, clock: Clock) -> Runners {
    let mut scanner = Scanner { server: port.map(Server::new), ..Scanner::new(proc) };
    let mut list = scanner.scan();
    Health::new(clock, health::PATIENCE).ask(&mut list);
    Runners { list, server: scanner.of }
}

/// Finds runners and remembers who is none, so that a scan of a quiet machine is one directory listing; once the
/// server's own process is known only its children are looked at.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    server: Option<Server>,
    /// Whose children were looked at last; `None` where it was everybody.
    of: Option<u32>,
    /// The round of the last look at everybody.
    walked: u64,
    seen: HashMap<u32, Seen>,
    round: u64,
}

#[derive(Debug)]
struct Seen {
    round: u64,
    what: What,
}

/// While the server's children are known, everybody is looked at once in so many scans: a server that ended may have
/// left runners behind.
const WALK: u64 = 15;

#[derive(Debug)]
enum What {
    /// No runner at first sight, but maybe a server: between fork and exec a process has its parent's command line, so
    /// look again.
    Stranger { serves: bool },
    /// No runner at second sight either.
    Settled,
    /// A server, ours or another one.
    Server,
    /// A runner, and the command line that said so: another one is another process under the same pid.
    Runner(Vec<u8>, Box<Runner>),
}

impl What {
    fn is_left_behind(&self) -> bool {
        matches!(self, What::Runner(_, runner) if runner.left_behind)
    }
}

impl Scanner {
    /// `root` is `/proc`, or a test's own tree.
    pub fn new(root: &Path) -> Scanner {
        Scanner { root: root.to_owned(), server: None, of: None, walked: 0, seen: HashMap::new(), round: 0 }
    }

    /// All runners, by pid. Where there is no `/proc` there are none to be seen.
    pub fn scan(&mut self) -> Vec<Runner> {
        self.round += 1;
        let mut children = self.children();
        let is_due = self.round >= self.walked + WALK;
        let (round, is_walk) = (self.round, children.is_none() || is_due);
        if is_walk {
            self.walked = round;
            for pid in everybody(&self.root) {
                self.look(pid);
            }
            self.seen.retain(|_, seen| seen.round == round);
        } else {
            let left = self.seen.iter().filter(|(_, seen)| seen.what.is_left_behind());
            let left: Vec<u32> = left.map(|(pid, _)| *pid).collect();
            for pid in children.iter().flatten().copied().chain(left) {
                // What nobody looked at lately may be another process by now.
                if self.seen.get(&pid).is_some_and(|seen| seen.round + 1 < round) {
                    self.seen.remove(&pid);
                }
                self.look(pid);
            }
        }
        if let Some(server) = self.server.as_mut().filter(|_| is_walk) {
            // The embedded server is this process itself.
            let of_seen = self.seen.iter().filter_map(|(pid, seen)| match &seen.what {
                What::Runner(_, runner) => runner.parent,
                What::Server | What::Stranger { serves: true } => Some(*pid),
                What::Stranger { serves: false } | What::Settled => None,
            });
            let candidates = of_seen.chain([std::process::id()]).collect();
            server.look_for(&self.root, candidates, || everybody(&self.root));
            // Whoever was found just now has children as well.
            children = self.children();
        }
        self.of = self.server.as_ref().and_then(Server::pid).filter(|_| children.is_some());
        let is_ours = |runner: &Runner| {
            runner.left_behind || children.as_ref().is_none_or(|children| children.contains(&runner.pid))
        };
        let mut runners: Vec<Runner> = self
            .seen
            .values()
            .filter(|seen| seen.round == round)
            .filter_map(|seen| match &seen.what {
                What::Runner(_, runner) => Some(runner.as_ref().clone()),
                What::Stranger { .. } | What::Settled | What::Server => None,
            })
            .filter(is_ours)
            .collect();
        runners.sort_by_key(|runner| runner.pid);
        runners
    }

    /// The server's children, where it is known.
    fn children(&mut self) -> Option<Vec<u32>> {
        self.server.as_mut().and_then(|server| server.children(&self.root))
    }

    /// Adds what those that are not ready have read so far.
    fn read_loading(&self, runners: &mut [Runner]) {
        for runner in runners.iter_mut().filter(|runner| runner.ready != Some(true)) {
            runner.read = process::bytes_read(&self.root.join(runner.pid.to_string()));
        }
    }

    fn look(&mut self, pid: u32) {
        let round = self.round;
        let process = || self.root.join(pid.to_string());
        let what = match self.seen.get_mut(&pid) {
            Some(seen @ Seen { what: What::Settled | What::Server, .. }) => {
                seen.round = round;
                return;
            }
            Some(Seen { what: What::Stranger { .. }, .. }) => known(pid, &self.root, false),
            Some(Seen { what: What::Runner(argv, runner), .. })
                if *argv == process::command_line(&process()) =>
            {
                (runner.anonymous, runner.file_backed) = process::resident_memory(&process());
                (runner.parent, runner.left_behind) = process::parent(&self.root, pid);
                What::Runner(std::mem::take(argv), runner.clone())
            }
            Some(_) | None => known(pid, &self.root, true),
        };
        self.seen.insert(pid, Seen { round, what });
    }
}

/// All processes.
fn everybody(proc: &Path) -> Vec<u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What a process is, at first sight or at a later one.
fn known(pid: u32, proc: &Path, first: bool) -> What {
    let process = &proc.join(pid.to_string());
    let line = process::command_line(process);
    match argv::parse(pid, &line) {
        None if first => What::Stranger { serves: argv::is_server(&line) },
        None if argv::is_server(&line) => What::Server,
        None => What::Settled,
        Some(mut runner) => {
            (runner.anonymous, runner.file_backed) = process::resident_memory(process);
            runner.contained = process::is_contained(process);
            (runner.parent, runner.left_behind) = process::parent(proc, pid);
            What::Runner(line, Box::new(runner))
        }
    }
}

/// What a process is called; `None` where that is not told. Untrusted text.
pub fn called(proc: &Path, pid: u32) -> Option<String> {
    let name = fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// How long a process runs already; `None` where that is not told.
pub fn age(proc: &Path, pid: u32) -> Option<Duration> {
    process::age(proc, pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::Bytes;
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
            anonymous: Bytes(100 << 10),
            file_backed: Bytes(7 << 10),
            ..Runner::default()
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
    fn once_the_server_is_known_only_its_children_are_runners_of_it() {
        let root = Proc::new();
        root.process(7, &["/usr/bin/ollama", "serve"], "");
        let server = root.0.path().join("7");
        fs::write(server.join("stat"), "7 (ollama) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4 99 1\n")
            .unwrap();
        fs::create_dir_all(server.join("fd")).unwrap();
        std::os::unix::fs::symlink("socket:[99]", server.join("fd/3")).unwrap();
        fs::create_dir_all(server.join("task/8")).unwrap();
        fs::write(server.join("task/8/children"), "20 ").unwrap();
        fs::create_dir(root.0.path().join("net")).unwrap();
        let socket = "0: 0100007F:2CAA 00000000:0000 0A 0:0 0:0 0 0 0 99 1 0 100 0\n";
        fs::write(root.0.path().join("net/tcp6"), socket).unwrap();
        root.runner(20, "/blobs/a", 1);
        // Another server's.
        root.runner(30, "/blobs/b", 1);
        let mut scanner = Scanner { server: Some(Server::new(0x2CAA)), ..root.scanner() };
        assert_eq!(found(&mut scanner), [is(20, "/blobs/a", 1)]);
        assert_eq!(scanner.of, Some(7));
        assert_eq!(found(&mut scanner), [is(20, "/blobs/a", 1)]);
        // The server ends: whoever is there is looked at again.
        root.end(7);
        assert_eq!(found(&mut scanner), [is(20, "/blobs/a", 1), is(30, "/blobs/b", 1)]);
        assert_eq!(scanner.of, None);
    }

    #[test]
    fn a_runner_whose_server_ended_is_found_beside_the_children_of_the_new_one() {
        let root = Proc::new();
        fs::write(root.0.path().join("1/comm"), "systemd\n").unwrap();
        root.process(7, &["/usr/bin/ollama", "serve"], "");
        let of = |pid: u32, file: &str| root.0.path().join(pid.to_string()).join(file);
        fs::write(of(7, "stat"), "7 (ollama) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4 99 1\n").unwrap();
        fs::create_dir_all(of(7, "fd")).unwrap();
        std::os::unix::fs::symlink("socket:[99]", of(7, "fd/3")).unwrap();
        fs::create_dir_all(of(7, "task/8")).unwrap();
        fs::write(of(7, "task/8/children"), "").unwrap();
        fs::create_dir(root.0.path().join("net")).unwrap();
        let socket = "0: 0100007F:2CAA 00000000:0000 0A 0:0 0:0 0 0 0 99 1 0 100 0\n";
        fs::write(root.0.path().join("net/tcp"), socket).unwrap();
        let mut scanner = Scanner { server: Some(Server::new(0x2CAA)), ..root.scanner() };
        for _ in 0..3 {
            assert_eq!(scanner.scan(), []);
        }
        root.runner(30, "/blobs/b", 1);
        fs::write(of(30, "stat"), "30 (llama-server) S 1 7 7 0\n").unwrap();
        assert_eq!(scanner.scan(), [], "it is no child of the server");
        let found: Vec<Vec<Runner>> = (0..=WALK).map(|_| scanner.scan()).collect();
        let is_left =
            |runners: &Vec<Runner>| runners.iter().any(|runner| runner.pid == 30 && runner.left_behind);
        assert!(found.iter().skip_while(|runners| !is_left(runners)).all(is_left));
        assert!(found.last().is_some_and(is_left));
        root.end(30);
        assert_eq!(scanner.scan(), []);
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
