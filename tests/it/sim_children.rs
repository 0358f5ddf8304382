//! The embedded server with real children: processes that look like runners, hold real bytes, and never outlive it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::PathBuf;
use std::time::Duration;

use resident::residency::bytes::Bytes;
use resident::sim::catalogue::demo;
use resident::sim::files::{prepare, prepare_models};
use resident::sim::{CardReader, Options, Sim, start};
use serde_json::Value;
use tempfile::TempDir;

use crate::sim_http::{ask, clock, exchange, send};

const PROGRAM: &str = env!("CARGO_BIN_EXE_resident");
const SCALE: u64 = 1024;

async fn server(change: impl FnOnce(&mut Options)) -> (TempDir, Sim) {
    let home = tempfile::tempdir().unwrap();
    let files = prepare(&home.path().join("models"), SCALE, |_, _| {}).unwrap();
    let mut options = Options::demo(files, PathBuf::from(PROGRAM), clock());
    change(&mut options);
    (home, start(options).await.unwrap())
}

async fn post(sim: &Sim, path: &str, body: &str) -> (u64, Value) {
    let answer = exchange(sim, "POST", path, &[], Some(body)).await;
    (answer.status, answer.json())
}

async fn ps(sim: &Sim) -> Vec<Value> {
    exchange(sim, "GET", "/api/ps", &[], None).await.json()["models"].as_array().unwrap().clone()
}

/// Where the weights lie that `model` is made of, as `/api/show` says.
async fn blob_of(sim: &Sim, model: &str) -> String {
    let (_, shown) = post(sim, "/api/show", model).await;
    let modelfile = shown["modelfile"].as_str().unwrap();
    modelfile.lines().find_map(|line| line.strip_prefix("FROM ")).unwrap().to_owned()
}

/// The runners on the card now.
fn pids(card: &CardReader) -> Vec<u32> {
    card.read().list()[0].processes.iter().map(|process| process.pid).collect()
}

/// Waits until `holds`; the test's own time limit ends a wait in vain.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never {what}"));
}

#[cfg(target_os = "linux")]
fn argv(pid: u32) -> Vec<String> {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    String::from_utf8(raw).unwrap().split_terminator('\0').map(str::to_owned).collect()
}

/// Alive and no zombie.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_loaded_model_is_a_process_that_looks_like_a_runner_and_holds_its_bytes() {
    let (_home, sim) = server(|_| {}).await;
    let (status, answer) = post(&sim, "/api/generate", r#"{"model":"qwen2.5-coder:7b"}"#).await;
    assert_eq!((status, &answer["done_reason"]), (200, &"load".into()), "{answer}");
    let loaded = &ps(&sim).await[0];
    let card = sim.card().read().list()[0].clone();
    assert_eq!(Some(card.used.0), loaded["size_vram"].as_u64());
    assert_eq!((card.total, card.free), (Bytes((8 << 30) / SCALE), card.total.minus(card.used)));
    assert_eq!(card.name, "RTX 2070");

    let argv = argv(card.processes[0].pid);
    assert!(argv[0].ends_with("/llama-server"), "{argv:?}");
    let value = |name: &str| argv[argv.iter().position(|argument| argument == name).unwrap() + 1].clone();
    let (_, shown) = post(&sim, "/api/show", r#"{"model":"qwen2.5-coder:7b"}"#).await;
    assert!(shown["modelfile"].as_str().unwrap().contains(&format!("\nFROM {}\n", value("--model"))));
    assert_eq!(value("-c"), "4096");

    let runner = format!("http://127.0.0.1:{}", value("--port"));
    let health = ask(&runner, "GET", "/health", &[], None).await;
    assert_eq!((health.status, health.json()), (200, serde_json::json!({"status": "ok"})));
    let busy = async || ask(&runner, "GET", "/slots", &[], None).await.json()[0]["is_processing"] == true;
    until("idle", async || !busy().await).await;
    let talking = send(
        &sim.url(),
        "POST",
        "/api/generate",
        &[],
        Some(r#"{"model":"qwen2.5-coder:7b","prompt":"go on","options":{"num_predict":1000000}}"#),
    )
    .await;
    until("busy", busy).await;
    drop(talking);
    until("idle again", async || !busy().await).await;
    sim.shutdown().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_model_larger_than_the_card_lies_in_vram_and_in_ram() {
    let (_home, sim) = server(|_| {}).await;
    let (status, answer) = post(&sim, "/api/generate", r#"{"model":"deepseek-r1:14b"}"#).await;
    assert_eq!(status, 200, "{answer}");
    let loaded = &ps(&sim).await[0];
    let (size, vram) = (loaded["size"].as_u64().unwrap(), loaded["size_vram"].as_u64().unwrap());
    assert!(0 < vram && vram < size);
    assert_eq!(sim.card().read().list()[0].used, Bytes(vram));
    sim.shutdown().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn no_child_outlives_an_unload_a_shutdown_or_a_drop() {
    let (_home, sim) = server(|_| {}).await;
    let card = sim.card();
    let load = r#"{"model":"gemma3:270m"}"#;
    post(&sim, "/api/generate", load).await;
    let first = pids(&card)[0];
    post(&sim, "/api/generate", r#"{"model":"gemma3:270m","keep_alive":0}"#).await;
    until("gone from the list", async || ps(&sim).await.is_empty()).await;
    assert!(!lives(first), "gone from the list means gone");

    post(&sim, "/api/generate", load).await;
    let second = pids(&card)[0];
    sim.shutdown().await;
    assert!(!lives(second));

    let (_home, sim) = server(|_| {}).await;
    post(&sim, "/api/generate", load).await;
    let third = pids(&sim.card())[0];
    drop(sim);
    until("ended by the drop", async || !lives(third)).await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_runner_ends_when_its_stdin_does() {
    use std::process::{Command, Stdio};
    let home = tempfile::tempdir().unwrap();
    let blob = home.path().join("blob");
    std::fs::write(&blob, [7; 5000]).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["--model", blob.to_str().unwrap()])
        .env("RESIDENT_RUNNER", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .spawn()
        .unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut said)
        .unwrap();
    assert_eq!(said, "ready\n");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_killed_child_leaves_a_ghost_that_the_next_request_reloads() {
    let (_home, sim) = server(|_| {}).await;
    let load = r#"{"model":"gemma3:270m"}"#;
    post(&sim, "/api/generate", load).await;
    let card = sim.card();
    let dead = pids(&card)[0];
    assert!(sim.kill_runner("gemma3:270m").await);
    until("dead", async || !lives(dead)).await;
    assert_eq!(ps(&sim).await.len(), 1, "the server still lists it");
    until("off the card", async || pids(&card).is_empty()).await;
    let (status, _) = post(&sim, "/api/generate", load).await;
    assert_eq!(status, 200);
    assert_ne!(pids(&card), [dead]);
    assert!(!sim.kill_runner("nomic-embed-text").await, "it has no runner");
    sim.shutdown().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_client_that_hangs_up_during_a_load_ends_it_and_its_child() {
    // A model without weights whose blob is then made a named pipe: the runner waits in its open for a writer that
    // never comes, so the load is under way for as long as the test wants.
    let home = tempfile::tempdir().unwrap();
    let mut models = demo(SCALE);
    models[0].weights = Bytes::ZERO;
    let files = prepare_models(home.path(), models, SCALE, |_, _| {}).unwrap();
    let sim = start(Options::demo(files, PathBuf::from(PROGRAM), clock())).await.unwrap();
    let load = r#"{"model":"openthinker3-7b"}"#;
    let blob = blob_of(&sim, load).await;
    std::fs::remove_file(&blob).unwrap();
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &blob, pipe, rustix::fs::Mode::RWXU, 0).unwrap();
    let child_of = || {
        std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let raw = std::fs::read(entry.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&raw).contains(&format!("--model\0{blob}\0")).then_some(pid)
        })
    };
    assert_eq!(child_of(), None);
    let stream = send(&sim.url(), "POST", "/api/generate", &[], Some(load)).await;
    until("loading", async || child_of().is_some()).await;
    let argv = argv(child_of().unwrap());
    let port = &argv[argv.iter().position(|argument| argument == "--port").unwrap() + 1];
    let health = ask(&format!("http://127.0.0.1:{port}"), "GET", "/health", &[], None).await;
    assert_eq!((health.status, health.json()["error"]["message"].as_str()), (503, Some("Loading model")));
    assert!(ps(&sim).await.is_empty(), "a model is not listed while it loads");
    drop(stream);
    until("aborted", async || child_of().is_none()).await;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, []).unwrap();
    let (status, answer) = post(&sim, "/api/generate", load).await;
    assert_eq!(status, 200, "{answer}");
    sim.shutdown().await;
}

#[tokio::test]
async fn a_blob_that_is_cut_or_missing_fails_in_the_servers_words() {
    let (home, sim) = server(|_| {}).await;
    let load = r#"{"model":"gemma3:270m"}"#;
    let blob = blob_of(&sim, load).await;
    assert!(blob.starts_with(home.path().to_str().unwrap()));

    std::fs::write(&blob, [0; 1000]).unwrap();
    let (status, answer) = post(&sim, "/api/generate", load).await;
    let words = answer["error"].as_str().unwrap();
    assert_eq!(status, 500);
    assert!(words.starts_with("tensor \"blk.") && words.ends_with("exceeds file size (1000)"), "{words}");

    std::fs::remove_file(&blob).unwrap();
    let (status, answer) = post(&sim, "/api/generate", load).await;
    assert_eq!(status, 404);
    assert_eq!(answer["error"], "model \"gemma3:270m\" not found, try pulling it first");
    assert!(ps(&sim).await.is_empty());
    sim.shutdown().await;
}

#[tokio::test]
async fn a_program_that_is_no_runner_fails_the_load_and_not_the_server() {
    let (_home, sim) = server(|options| {
        options.loader = resident::sim::LoaderKind::Children { program: "/bin/false".into() };
    })
    .await;
    let (status, answer) = post(&sim, "/api/generate", r#"{"model":"gemma3:270m"}"#).await;
    assert_eq!(status, 500);
    let words = answer["error"].as_str().unwrap();
    assert!(words.starts_with("llama-server process has terminated: exit status: 1"), "{words}");
    assert_eq!(exchange(&sim, "GET", "/", &[], None).await.body, "Ollama is running");
    sim.shutdown().await;
}

/// Run by hand, on a quiet machine: `cargo test --release --test it cold -- --ignored`.
#[tokio::test]
#[ignore = "decided by timing, and writes 1.2 GB"]
#[cfg(target_os = "linux")]
async fn a_cold_load_takes_at_least_twice_as_long_as_a_warm_one() {
    // Beside the binary, since the temporary directory may lie in memory.
    let home = tempfile::tempdir_in(PathBuf::from(PROGRAM).parent().unwrap()).unwrap();
    let files = prepare(home.path(), 16, |_, _| {}).unwrap();
    let sim = start(Options::demo(files, PathBuf::from(PROGRAM), clock())).await.unwrap();
    let now = clock();
    let load = r#"{"model":"qwen2.5-coder:7b"}"#;
    let blob = std::fs::File::open(blob_of(&sim, load).await).unwrap();
    // Medians: memory that a virtual machine's host has to find first costs more than the disk, in either kind of round.
    let (mut cold, mut warm) = ([Duration::ZERO; 11], [Duration::ZERO; 11]);
    for at in 0..cold.len() {
        for (times, drop_first) in [(&mut cold, true), (&mut warm, false)] {
            if drop_first {
                rustix::fs::fadvise(&blob, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            }
            let began = now();
            post(&sim, "/api/generate", load).await;
            times[at] = now().since(began.mono);
            post(&sim, "/api/generate", r#"{"model":"qwen2.5-coder:7b","keep_alive":0}"#).await;
            until("gone", async || ps(&sim).await.is_empty()).await;
        }
    }
    let median = |times: &mut [Duration]| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    let ratio = median(&mut cold) / median(&mut warm);
    assert!(ratio >= 2.0, "{ratio:.2}: cold {cold:?}, warm {warm:?}");
    sim.shutdown().await;
}
