//! The runner probe on a real process.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use resident::probe::runner;
use resident::residency::bytes::Bytes;
use resident::residency::host::{LoadMode, Runner};
use resident::residency::timing::{Clock, Moment};

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
    let mut watched = runner::spawn(Path::new("/proc"), clock(), Duration::from_millis(20)).unwrap();
    let is_ours = |runner: &Runner| runner.blob == blob;
    // Just after its exec a process has nothing of its files in memory yet: the next look sees it.
    let runs = |runner: &Runner| is_ours(runner) && runner.file_backed > Bytes::ZERO;
    let found = watched.readings.wait_for(|all| all.as_ref().is_some_and(|all| all.value.iter().any(runs)));
    let runner = found.await.unwrap().as_ref().unwrap().value.iter().find(|r| is_ours(r)).unwrap().clone();
    assert_eq!((runner.pid, runner.load_mode, runner.context), (child.id(), LoadMode::Buffered, Some(4096)));
    assert!(runner.anonymous > Bytes::ZERO && runner.file_backed > Bytes::ZERO, "{runner:?}");
    assert_eq!((runner.ready, runner.busy), (None, None));

    drop(child.stdin.take());
    // Not waited for yet: a dead process that still has its pid is no runner.
    watched.wake();
    let gone =
        watched.readings.wait_for(|all| all.as_ref().is_some_and(|all| !all.value.iter().any(&is_ours)));
    assert!(gone.await.is_ok());
    child.wait().unwrap();
}
