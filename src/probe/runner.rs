//! The runner processes: which model each holds, by argv; whether it is ready and busy, by its own two questions.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::watch;

use crate::residency::bytes::Bytes;
use crate::residency::host::{LoadMode, Runner};
use crate::residency::timing::{Clock, Reading};

/// A runner on loopback answers at once or is hung.
const PATIENCE: Duration = Duration::from_millis(300);
/// `/slots` of a runner with many slots is some kB.
const LONGEST: u64 = 256 << 10;
/// Command lines longer than this belong to nobody we look for.
const ARGV: u64 = 64 << 10;

/// Finds runners; remembers which processes are none, so that a look costs one directory listing.
#[derive(Debug)]
pub struct Scanner {
    proc: PathBuf,
    seen: HashSet<u32>,
    runners: HashMap<u32, Runner>,
    page: u64,
}

impl Scanner {
    /// Over `/proc`, or a tree like it.
    pub fn new(proc: &Path) -> Scanner {
        let page = rustix::param::page_size() as u64;
        Scanner { proc: proc.to_owned(), seen: HashSet::new(), runners: HashMap::new(), page }
    }

    /// The runners now, by pid.
    pub fn scan(&mut self) -> Vec<Runner> {
        let mut alive = HashSet::new();
        for entry in fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            alive.insert(pid);
            // A process that was just forked has its parent's argv: it is looked at again until it has one of its own.
            if !self.seen.contains(&pid)
                && let Some(argv) = self.argv(pid)
            {
                match recognise(pid, &argv) {
                    Some(runner) => drop(self.runners.insert(pid, runner)),
                    None if forks(&argv) => continue,
                    None => {}
                }
                self.seen.insert(pid);
            }
        }
        self.seen.retain(|pid| alive.contains(pid));
        self.runners.retain(|pid, _| alive.contains(pid));
        let (proc, page) = (&self.proc, self.page);
        self.runners.retain(|pid, runner| match memory(proc, *pid, page) {
            Some((anonymous, file_backed)) => {
                (runner.anonymous, runner.file_backed) = (anonymous, file_backed);
                true
            }
            None => false,
        });
        let mut found: Vec<Runner> = self.runners.values().cloned().collect();
        found.sort_by_key(|runner| runner.pid);
        found
    }

    fn argv(&self, pid: u32) -> Option<Vec<String>> {
        let mut bytes = Vec::new();
        fs::File::open(self.proc.join(format!("{pid}/cmdline")))
            .ok()?
            .take(ARGV)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes.split(|b| *b == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect())
    }
}

/// Whether this may be the server itself, or a child of it that has not become a runner yet.
fn forks(argv: &[String]) -> bool {
    argv.first().is_some_and(|program| {
        program.ends_with("ollama") || program.ends_with("resident") || program.is_empty()
    })
}

/// Resident memory, anonymous and file-backed, from `statm` (pages); `None` for a process that is gone or a zombie.
fn memory(proc: &Path, pid: u32, page: u64) -> Option<(Bytes, Bytes)> {
    let statm = fs::read_to_string(proc.join(format!("{pid}/statm"))).ok()?;
    let mut fields = statm.split_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap_or(0) * page);
    let (resident, shared) = (fields.next()?, fields.next()?);
    if resident == 0 {
        return None;
    }
    Some((Bytes(resident.saturating_sub(shared)), Bytes(shared)))
}

/// A runner by its argv: `llama-server --model BLOB --port N …` or `ollama runner … --model BLOB --port N`. Without
/// `--model` it is one of the server's short-lived discovery probes.
pub(crate) fn recognise(pid: u32, argv: &[String]) -> Option<Runner> {
    let program = argv.first()?.rsplit(['/', '\\']).next()?;
    let in_tree = program.starts_with("ollama") && argv.get(1).is_some_and(|word| word == "runner");
    if !in_tree && !program.starts_with("llama-server") {
        return None;
    }
    let value = |names: &[&str]| {
        argv.iter().enumerate().find_map(|(at, word)| {
            let (name, inline) =
                word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
            names.contains(&name).then(|| inline.or_else(|| argv.get(at + 1).cloned())).flatten()
        })
    };
    let has = |name: &str| argv.iter().any(|word| word == name);
    let load_mode = match value(&["--load-mode", "-lm"]).as_deref() {
        Some("none") => LoadMode::Buffered,
        Some("dio") => LoadMode::Direct,
        Some("mmap" | "mmap+mlock" | "mlock" | "auto") => LoadMode::Mmap,
        Some(_) => LoadMode::Unknown,
        None if in_tree => LoadMode::InTree,
        None if has("--direct-io") => LoadMode::Direct,
        None if has("--no-mmap") => LoadMode::Buffered,
        None => LoadMode::Mmap,
    };
    Some(Runner {
        pid,
        blob: value(&["--model", "-m"])?,
        port: value(&["--port"]).and_then(|port| port.parse().ok()),
        load_mode,
        context: value(&["-c", "--ctx-size"]).and_then(|context| context.parse().ok()),
        anonymous: Bytes::ZERO,
        file_backed: Bytes::ZERO,
        ready: None,
        busy: None,
    })
}

/// The hold on the runner thread.
#[derive(Debug, Clone)]
pub struct Runners {
    /// Its readings.
    pub readings: watch::Receiver<Option<Reading<Vec<Runner>>>>,
    wake: SyncSender<()>,
}

impl Runners {
    /// Looks now instead of at the next period.
    pub fn wake(&self) {
        // Full means that a look is due anyway.
        let _ = self.wake.try_send(());
    }
}

/// Starts the thread: a look at every period, and whenever it is woken. It ends when nobody holds it.
pub fn spawn(proc: &Path, clock: Clock, period: Duration) -> std::io::Result<Runners> {
    let (wake, woken) = sync_channel(1);
    let (tell, readings) = watch::channel(None);
    let scanner = Scanner::new(proc);
    std::thread::Builder::new()
        .name("runners".to_owned())
        .spawn(move || look(scanner, &clock, period, &woken, &tell))?;
    Ok(Runners { readings, wake })
}

fn look(
    mut scanner: Scanner,
    clock: &Clock,
    period: Duration,
    woken: &Receiver<()>,
    tell: &watch::Sender<Option<Reading<Vec<Runner>>>>,
) {
    loop {
        let mut value = scanner.scan();
        for runner in &mut value {
            if let Some(port) = runner.port {
                runner.ready = health(port);
                runner.busy = if runner.ready == Some(true) { busy(port) } else { None };
            }
        }
        let at = clock();
        tell.send_if_modified(|last| {
            let changed = last.as_ref().is_none_or(|last| last.value != value);
            *last = Some(Reading { value, at });
            changed
        });
        match woken.recv_timeout(period) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) if tell.is_closed() => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// `/health`: 200 is ready, 503 is loading. The in-tree engine answers 200 with a status number: 0 and 1 are ready,
/// 2 and 3 loading.
fn health(port: u16) -> Option<bool> {
    let (status, body) = get(port, "/health")?;
    let number =
        serde_json::from_str::<serde_json::Value>(&body).ok().and_then(|body| body["status"].as_i64());
    match (status, number) {
        (200, Some(number)) => Some(number < 2),
        (200, None) => Some(true),
        (503, _) => Some(false),
        _ => None,
    }
}

/// `/slots`: whether any slot is processing; `None` where the runner has no such page.
fn busy(port: u16) -> Option<bool> {
    let (200, body) = get(port, "/slots")? else { return None };
    let slots: serde_json::Value = serde_json::from_str(&body).ok()?;
    Some(slots.as_array()?.iter().any(|slot| slot["is_processing"] == true))
}

/// One tiny bounded request to a runner on loopback.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn runners_of_all_eras_are_recognised_and_nothing_else() {
        let found = |line| recognise(7, &argv(line)).map(|r| (r.blob, r.port, r.load_mode, r.context));
        let blob = "/m/blobs/sha256-aa".to_owned();
        assert_eq!(
            found(
                "/usr/lib/ollama/llama-server --model /m/blobs/sha256-aa --port 4001 -c 8192 --load-mode none"
            ),
            Some((blob.clone(), Some(4001), LoadMode::Buffered, Some(8192)))
        );
        assert_eq!(
            found("/usr/bin/ollama runner --ollama-engine --model /m/blobs/sha256-aa --port 4002"),
            Some((blob.clone(), Some(4002), LoadMode::InTree, None))
        );
        assert_eq!(
            found("llama-server --model /m/blobs/sha256-aa --direct-io"),
            Some((blob, None, LoadMode::Direct, None))
        );
        for other in ["llama-server --list-devices", "ollama serve", "vim --model x", ""] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn a_process_that_ends_is_forgotten() {
        let proc = tempfile::tempdir().unwrap();
        let dir = proc.path().join("42");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("cmdline"), "llama-server\0--model\0/b\0").unwrap();
        fs::write(dir.join("statm"), "100 30 10 0 0 0 0\n").unwrap();
        let mut scanner = Scanner::new(proc.path());
        let page = rustix::param::page_size() as u64;
        let runners = scanner.scan();
        assert_eq!((runners[0].pid, runners[0].anonymous), (42, Bytes(20 * page)));
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(scanner.scan(), []);
    }
}
