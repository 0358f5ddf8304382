//! The runner probe on real processes, and how far a load is by each thing that tells it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use resident::config::Config;
use resident::engine::{self, Parts};

use resident::probe::runner;
use resident::residency::act::ActKind;
use resident::residency::bytes::Bytes;
use resident::residency::host::{BytesRead, LoadMode, Runner};
use resident::residency::progress::{LoadProgress, Source};
use resident::residency::snapshot::State;
use resident::residency::timing::{Clock, Moment};
use resident::sim::{self, Sim, files};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::engine_world::{World, name, parts};

#[expect(clippy::disallowed_methods, reason = "the tests' clock")]
fn clock() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

#[tokio::test]
async fn a_runner_is_found_when_it_starts_and_gone_when_it_ends() {
    let blob = format!("/blobs/of-test-{}", std::process::id());
    let mut child = Command::new("sh")
        .arg0("/usr/lib/ollama/llama-server")
        .args(["-c", "read end", "--model", &blob, "--load-mode", "none", "-c", "4096"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut watched = runner::spawn(Path::new("/proc"), None, clock(), Duration::from_millis(20)).unwrap();
    let is_ours = |runner: &Runner| runner.blob == blob;
    // Just after its exec a process has nothing of its files in memory yet: the next look sees it.
    let runs = |runner: &Runner| is_ours(runner) && runner.file_backed > Bytes::ZERO;
    let found =
        watched.readings.wait_for(|all| all.as_ref().is_some_and(|all| all.value.list.iter().any(runs)));
    let runner =
        found.await.unwrap().as_ref().unwrap().value.list.iter().find(|r| is_ours(r)).unwrap().clone();
    assert_eq!((runner.pid, runner.load_mode, runner.context), (child.id(), LoadMode::Buffered, Some(4096)));
    assert!(runner.anonymous > Bytes::ZERO && runner.file_backed > Bytes::ZERO, "{runner:?}");
    assert_eq!((runner.ready, runner.busy), (None, None));

    drop(child.stdin.take());
    // Not waited for yet: a dead process that still has its pid is no runner.
    watched.wake();
    let gone =
        watched.readings.wait_for(|all| all.as_ref().is_some_and(|all| !all.value.list.iter().any(&is_ours)));
    assert!(gone.await.is_ok());
    child.wait().unwrap();
}

/// The one runner of a made-up machine: its arguments, and what files its directory has beside them.
async fn only_runner(arguments: &str, files: &[(&str, &str)]) -> Runner {
    let proc = tempfile::tempdir().unwrap();
    let process = proc.path().join("7");
    std::fs::create_dir(&process).unwrap();
    let line = format!("/usr/lib/ollama/llama-server --model /b/x {arguments} ").replace(' ', "\0");
    for (file, text) in [("cmdline", line.as_str())].iter().chain(files) {
        std::fs::write(process.join(file), text).unwrap();
    }
    let mut watched = runner::spawn(proc.path(), None, clock(), Duration::from_secs(3600)).unwrap();
    let found = watched.readings.wait_for(Option::is_some).await.unwrap();
    found.as_ref().unwrap().value.list[0].clone()
}

#[tokio::test]
async fn how_far_a_load_is_is_read_from_whatever_its_process_shows() {
    let io = ("io", "rchar: 430000\nwchar: 0\nread_bytes: 200000\n");
    let status = ("status", "RssAnon:\t 5 kB\nRssFile:\t 600 kB\n");
    let weights = Bytes(1 << 20);
    let on_card = Bytes(700 << 10);
    for (arguments, files, expected) in [
        ("--load-mode none", vec![io, status], Some((430_000, Source::Reads))),
        ("--load-mode dio", vec![io, status], Some((430_000, Source::Reads))),
        ("--load-mode mmap", vec![io, status], Some((600 << 10, Source::Mapped))),
        ("--load-mode mmap", vec![io], Some((200_000, Source::Disk))),
        ("--load-mode mmap", vec![status], Some((600 << 10, Source::Mapped))),
        // Another user's: nothing of its reading can be read.
        ("--load-mode none", vec![status], Some((700 << 10, Source::Cards))),
    ] {
        let runner = only_runner(arguments, &files).await;
        let progress = LoadProgress::of(&runner, on_card, weights).map(|at| (at.done.0, at.source));
        assert_eq!(progress, expected, "{arguments} {files:?}");
    }
    let runner = only_runner("-np 2 -ngl 29 -c 8192", &[("stat", "7 (x) S 5 7\n"), io]).await;
    assert_eq!((runner.parent, runner.slots, runner.gpu_layers.as_deref()), (Some(5), Some(2), Some("29")));
    assert_eq!(runner.read, Some(BytesRead { called: Bytes(430_000), disk: Bytes(200_000) }));
}

/// The embedded server with real children, and an engine that looks at them.
pub struct OnChildren {
    pub world: World,
    pub server: Sim,
    pub dir: PathBuf,
    _home: TempDir,
}

impl OnChildren {
    pub async fn new() -> OnChildren {
        let home = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        let dir = home.path().join("models");
        let prepared = files::prepare(&dir, 256, |_, _| {}).unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_resident"));
        let server = sim::start(sim::Options::demo(prepared, program, clock())).await.unwrap();
        let stop = CancellationToken::new();
        let config = Config { url: server.url(), models_dir: Some(dir.clone()), ..Config::default() };
        let parts = parts(config, clock(), &stop);
        let period = Duration::from_millis(20);
        let runners = runner::spawn(Path::new("/proc"), parts.client.port(), clock(), period).unwrap();
        let handle =
            engine::start(Parts { local: true, demo_scale: Some(256), runners: Some(runners), ..parts });
        let world = World::of(handle, server.url(), stop);
        OnChildren { world, server, dir, _home: home }
    }
}

/// Stops the runner of ours with a file below `dir` in the middle of its reading; says how much it has read by then.
fn stop_runner(dir: &Path) -> (Pid, u64) {
    let of = |pid: u32, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let text = |pid, file| String::from_utf8_lossy(&of(pid, file)).into_owned();
    let read = |pid| {
        let io = text(pid, "io");
        io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok()).unwrap_or(0)
    };
    let find = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let children = threads.filter_map(|one| std::fs::read_to_string(one.path().join("children")).ok());
        let children = children.collect::<String>();
        let mut pids = children.split(' ').filter_map(|pid| pid.parse::<u32>().ok());
        pids.find(|pid| text(*pid, "cmdline").contains(dir.to_str().unwrap()))
    };
    loop {
        let Some(pid) = find().filter(|pid| read(*pid) > 1 << 20) else {
            std::thread::yield_now();
            continue;
        };
        let process = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(process, Signal::STOP).unwrap();
        while !text(pid, "stat").contains(") T ") {
            std::thread::yield_now();
        }
        return (process, read(pid));
    }
}

#[tokio::test]
async fn how_far_a_real_runner_is_is_shown_while_it_loads() {
    const QWEN: &str = "qwen2.5-coder:7b";
    let OnChildren { mut world, server, dir, _home } = OnChildren::new().await;
    let weights = world.until_model(QWEN, |model| !model.blobs.is_empty()).await.blobs[0].size;
    let (process, read) = loop {
        world.handle.act(ActKind::Load, name(QWEN)).unwrap();
        let dir = dir.clone();
        let (process, read) = tokio::task::spawn_blocking(move || stop_runner(&dir)).await.unwrap();
        if read < weights.0 {
            break (process, read);
        }
        // It was faster than we were.
        kill_process(process, Signal::CONT).unwrap();
        world.until_model(QWEN, |model| model.loaded.is_some()).await;
        world.done(ActKind::Unload, QWEN).await;
    };
    let pid = u32::try_from(process.as_raw_nonzero().get()).unwrap();
    let expected = LoadProgress { pid, done: Bytes(read), of: weights, source: Source::Reads };
    let model = world.until_model(QWEN, |model| model.progress == Some(expected)).await;
    assert!(matches!(model.state, State::Loading { ours: true, .. }), "{:?}", model.state);
    kill_process(process, Signal::CONT).unwrap();
    let model = world.until_model(QWEN, |model| model.loaded.is_some()).await;
    assert_eq!(model.progress, None);
    let has_runner = |runner: Option<&Runner>| runner.is_some_and(|runner| runner.ready == Some(true));
    let model =
        world.until_model(QWEN, |model| has_runner(model.loaded.as_ref().unwrap().runner.as_ref())).await;
    let runner = model.loaded.unwrap().runner.unwrap();
    assert_eq!((runner.pid, runner.parent, runner.slots), (pid, Some(std::process::id()), Some(1)));
    server.shutdown().await;
}

#[test]
fn who_listens_on_a_port_is_found_with_its_program() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let proc = std::path::Path::new("/proc");
    let (pid, program) = resident::probe::runner::listener(proc, port).unwrap();
    assert_eq!(pid, std::process::id());
    assert!(program.starts_with("it-"), "{program}");
    drop(socket);
    assert_eq!(resident::probe::runner::listener(proc, port), None);
    assert!(resident::probe::runner::is_contained(proc, pid).is_some());
    assert_eq!(resident::probe::runner::is_contained(std::path::Path::new("/no/proc"), pid), None);
}
