//! `phase`, as an agent calls it: what is asked of the server, what is printed, how it ends, and what dashboards are told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use jiff::tz::TimeZone;
use resident::journal::Journal;
use resident::residency::record::PhaseRecord;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::engine_world::name;
use crate::sim_http::clock;

const CONFIG: &str = "
ollama: {model: 'a:1b'}
phases:
  context: a:1b
  execution: {model: 'b:1b', num_ctx: 8192}
";

/// A server with two models loaded, that notes what it is asked. The load of a third throws both out and never ends.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    hangs: mpsc::Receiver<()>,
}

impl Server {
    fn new() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (hanging, hangs) = mpsc::channel();
        let note = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (note, hanging) = (Arc::clone(&note), hanging.clone());
                std::thread::spawn(move || answer(stream.unwrap(), &note, &hanging));
            }
        });
        Server { url, asked, hangs }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers all requests of one connection.
fn answer(mut stream: TcpStream, note: &Mutex<Vec<String>>, hanging: &mpsc::Sender<()>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let loaded = |name: &str, context: u64| {
        json!({"name": name, "model": name, "size": 1000, "size_vram": 1000, "digest": "ab",
               "context_length": context, "expires_at": "2099-01-01T00:00:00Z", "details": {"format": "gguf"}})
    };
    let installed = |name: &str| json!({"name": name, "model": name, "size": 1000, "digest": "ab", "details": {"format": "gguf"}});
    loop {
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = head.split(" HTTP/").next().unwrap().to_owned();
        let asked = format!("{path} {}", String::from_utf8(body).unwrap()).trim().to_owned();
        let loads_third = |asked: &String| asked.starts_with("POST /api/generate") && asked.contains("c:1b");
        let hangs = loads_third(&asked);
        let is_full = !hangs && !note.lock().unwrap().iter().any(loads_third);
        note.lock().unwrap().push(asked);
        if hangs {
            hanging.send(()).unwrap();
            let _ = reader.read(&mut [0]);
            return;
        }
        // Enough for the longer way too, which is gone while another server of this machine loads something.
        let said = match path.as_str() {
            "GET /api/version" => json!({"version": "0.32.15"}),
            "GET /api/tags" => json!({"models": [installed("a:1b"), installed("b:1b"), installed("c:1b"), installed("bare:latest")]}),
            "GET /api/ps" if !is_full => json!({"models": []}),
            "GET /api/ps" => json!({"models": [loaded("a:1b", 16384), loaded("b:1b", 8192)]}),
            "POST /api/generate" => json!({"model": "a:1b", "done": true, "done_reason": "load"}),
            _ => json!({}),
        }
        .to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
        if stream.write_all(format!("{head}: {}\r\n\r\n{said}", said.len()).as_bytes()).is_err() {
            return;
        }
    }
}

/// A home with a config that is named, so that it counts.
fn home(config: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("c.yaml"), config).unwrap();
    home
}

fn run(home: &Path, host: &str, args: &[&str]) -> (Option<i32>, String, String) {
    ended(command(home, host, args).output().unwrap())
}

fn ended(output: Output) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn command(home: &Path, host: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resident"));
    command
        .arg("phase")
        .args(args)
        .args(["--host", host, "--config"])
        .arg(home.join("c.yaml"))
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the journal says of a server's runs: the phases of each, newest run first.
async fn told(home: &Path, server: &str) -> Vec<Vec<PhaseRecord>> {
    let path = home.join(".local/state/resident/journal.sqlite");
    let mut journal = Journal::open(&path, clock(), &CancellationToken::new()).unwrap();
    journal.recall(server, TimeZone::UTC).unwrap();
    journal.ask_release(Vec::new()).unwrap().await.unwrap().unwrap();
    let past = Arc::clone(&journal.past.borrow_and_update());
    past.runs.iter().map(|run| run.phases.iter().map(|(_, phase)| phase.clone()).collect()).collect()
}

fn record(run: &str, phase: &str, model: &str, next: Option<&str>) -> PhaseRecord {
    PhaseRecord {
        run: run.to_owned(),
        phase: phase.to_owned(),
        model: (!model.is_empty()).then(|| name(model)),
        next: next.map(name),
        swap: Duration::ZERO,
    }
}

#[tokio::test]
async fn what_is_in_vram_is_touched_with_its_own_context_and_dashboards_are_told() {
    let (server, home) = (Server::new(), home(CONFIG));
    let args = ["context", "--run", "r1", "--next", "execution"];
    let (code, said, remarks) = run(home.path(), &server.url, &args);
    assert_eq!((code, said.as_str(), remarks.as_str()), (Some(0), "context: a:1b already in VRAM\n", ""));
    let touch = r#"POST /api/generate {"model":"a:1b","options":{"num_ctx":16384}}"#;
    let asked = server.asked();
    let acts: Vec<&String> = asked.iter().filter(|asked| asked.starts_with("POST /api/gen")).collect();
    assert_eq!(acts, [touch], "{asked:?}");
    assert_eq!(told(home.path(), &server.url).await, [[record("r1", "context", "a:1b", Some("b:1b"))]]);
}

#[test]
fn json_says_all_that_an_agent_may_want() {
    let (server, home) = (Server::new(), home(CONFIG));
    let (code, said, _) = run(home.path(), &server.url, &["execution", "--json", "--next", "c:latest"]);
    let expected = json!({
        "schema_version": 1, "act": "phase", "run": "agent", "phase": "execution", "is_known": true,
        "model": "b:1b", "next": "c", "next_is_known": true, "outcome": "done", "exit_code": 0, "already_in_vram": true,
        "num_ctx": 8192, "displaced": [], "took_seconds": 0.0,
    });
    assert_eq!((code, serde_json::from_str::<Value>(&said).unwrap()), (Some(0), expected));
}

#[test]
fn an_unknown_phase_gets_the_primary_model_and_is_said_so() {
    let (server, home) = (Server::new(), home(CONFIG));
    let (code, said, remarks) = run(home.path(), &server.url, &["review"]);
    assert_eq!((code, said.as_str()), (Some(0), "review: a:1b already in VRAM\n"));
    assert_eq!(remarks, "review is no phase of the config (context, execution): a:1b is the primary model\n");
    let (code, said, remarks) = run(home.path(), &server.url, &["review", "--model", "b:1b"]);
    assert_eq!((code, said.as_str(), remarks.as_str()), (Some(0), "review: b:1b already in VRAM\n", ""));
}

#[tokio::test]
async fn an_unknown_next_phase_is_said_and_the_primary_model_is_what_is_warmed_for_it() {
    let (server, home) = (Server::new(), home(CONFIG));
    let (code, said, remarks) = run(home.path(), &server.url, &["execution", "--next", "bogus"]);
    assert_eq!((code, said.as_str()), (Some(0), "execution: b:1b already in VRAM\n"));
    assert_eq!(
        remarks,
        "--next bogus is no phase of the config (context, execution) and no model that is installed: \
         a:1b is the primary model\n"
    );
    let (_, said, _) = run(home.path(), &server.url, &["execution", "--next", "bogus", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["next"], &said["next_is_known"]), (&json!("a:1b"), &json!(false)));
    let next = record("agent", "execution", "b:1b", Some("a:1b"));
    assert_eq!(told(home.path(), &server.url).await, [[next.clone(), next]]);
    for model in ["other:7b", "bare"] {
        let (code, _, remarks) = run(home.path(), &server.url, &["execution", "--next", model]);
        assert_eq!((code, remarks.as_str()), (Some(0), ""), "{model}: with its tag, or installed");
    }
}

#[test]
fn wrong_usage_asks_nothing_and_says_what_to_do() {
    let (server, home) = (Server::new(), home("ollama: {}\nphases: {context: 'a:1b'}"));
    for (args, code, reason) in [
        (&["review"][..], 2, "write phases or ollama.model into the config, or name a model with --model"),
        (&["context", "--next", "../x"], 2, "--next ../x: no phase of the config"),
        (&["context", "--read-only"], 2, "read-only"),
        (&["context", "--over"], 2, "cannot be used with"),
        (&["--next", "context"], 2, "NAME"),
        (&[" "], 2, "a name is wanted"),
        (&["context", "--num-ctx", "0"], 2, "0"),
    ] {
        let (ended, said, remarks) = run(home.path(), &server.url, args);
        assert_eq!((ended, said.as_str()), (Some(code), ""), "{args:?}: {remarks}");
        assert!(remarks.contains(reason), "{args:?}: {remarks}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn without_a_name_the_phases_are_listed() {
    let (server, home) = (Server::new(), home(CONFIG));
    let (code, said, _) = run(home.path(), &server.url, &[]);
    assert_eq!(code, Some(0));
    assert_eq!(said, "context     a:1b\nexecution   b:1b  8192 tokens\nall others  a:1b\n");
    let (_, said, _) = run(home.path(), &server.url, &["--json"]);
    let expected = json!({
        "schema_version": 1, "primary": "a:1b", "phases": [
            {"phase": "context", "model": "a:1b", "num_ctx": null},
            {"phase": "execution", "model": "b:1b", "num_ctx": 8192},
        ],
    });
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), expected);
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_run_that_is_over_is_told_without_a_server() {
    let (home, server) = (home(CONFIG), Server::new());
    assert_eq!(run(home.path(), &server.url, &["context", "--run", "r1"]).0, Some(0));
    let asked = server.asked().len();
    let (code, said, _) = run(home.path(), &server.url, &["--over", "--run", "r1"]);
    assert_eq!((code, said.as_str()), (Some(0), "r1: the run is over\n"));
    assert_eq!(server.asked().len(), asked);
    let phases = [record("r1", "context", "a:1b", None), record("r1", "", "", None)];
    assert_eq!(told(home.path(), &server.url).await, [phases]);
}

#[tokio::test]
async fn a_run_that_is_unknown_or_over_already_cannot_be_told_to_be_over() {
    let (home, server) = (home(CONFIG), Server::new());
    let over = |run_of: &str, more: &[&str]| {
        run(home.path(), &server.url, &[&["--over", "--run", run_of], more].concat())
    };
    let unknown = "no run nosuch is known at this server; --run wants what its phases were told with\n";
    assert_eq!(over("nosuch", &[]), (Some(1), String::new(), unknown.to_owned()));
    assert_eq!(run(home.path(), &server.url, &["context", "--run", "r1"]).0, Some(0));
    assert_eq!(over("nosuch", &[]).0, Some(1), "another run is there");
    assert_eq!(over("r1", &[]).0, Some(0));
    let twice = "the run r1 is over already\n".to_owned();
    assert_eq!(over("r1", &[]), (Some(1), String::new(), twice));
    let (code, said, remarks) = over("r1", &["--json"]);
    let expected = json!({
        "schema_version": 1, "outcome": "failed", "exit_code": 1, "error": "the run r1 is over already",
    });
    assert_eq!((code, serde_json::from_str(&said).ok(), remarks.as_str()), (Some(1), Some(expected), ""));
    // It may begin again, and be over again.
    assert_eq!(run(home.path(), &server.url, &["context", "--run", "r1"]).0, Some(0));
    assert_eq!(over("r1", &[]).0, Some(0));
    assert_eq!(told(home.path(), &server.url).await[0].len(), 4, "what is refused is not told");
}

#[tokio::test]
async fn what_is_not_ready_is_not_told_and_ends_with_its_code() {
    let home = home(CONFIG);
    let nowhere = "http://127.0.0.1:1";
    let (code, said, remarks) = run(home.path(), nowhere, &["context"]);
    assert_eq!((code, said.as_str()), (Some(5), ""), "{remarks}");
    let (code, said, _) = run(home.path(), nowhere, &["context", "--json"]);
    assert_eq!(
        (code, &serde_json::from_str::<Value>(&said).unwrap()["outcome"]),
        (Some(5), &json!("no_server"))
    );
    assert_eq!(told(home.path(), nowhere).await, Vec::<Vec<PhaseRecord>>::new());
}

#[cfg(unix)]
#[test]
fn what_is_interrupted_says_what_is_left_and_restore_loads_it_again() {
    let home = home(&format!("{CONFIG}ui: {{gpu: false}}"));
    let interrupted = |args: &[&str]| {
        let server = Server::new();
        let args = [&["third", "--yes", "--model", "c:1b"], args].concat();
        let child = command(home.path(), &server.url, &args).spawn().unwrap();
        server.hangs.recv_timeout(Duration::from_secs(60)).unwrap();
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        (ended(child.wait_with_output().unwrap()), server)
    };
    let left = "cancelled while loading: a:1b, b:1b are unloaded, nothing is loaded";
    let ((code, said, remarks), _) = interrupted(&[]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert_eq!(remarks, format!("{left}\nthird: c:1b not swapped in: cancelled\n"));
    let ((code, said, remarks), server) = interrupted(&["--json", "--restore"]);
    let ended: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &ended["outcome"], &ended["left"]), (Some(1), &json!("cancelled"), &json!(left)));
    assert_eq!(ended["displaced"], json!(["a:1b", "b:1b"]));
    assert_eq!(remarks, "a:1b is loaded again\nb:1b is loaded again\n");
    let asked = server.asked();
    let loads = |name: &str| {
        let load = format!("POST /api/generate {{\"model\":\"{name}\"");
        asked.iter().filter(|asked| asked.starts_with(&load)).count()
    };
    assert_eq!((loads("a:1b"), loads("b:1b")), (1, 1), "{asked:?}");
}

#[test]
fn a_journal_that_cannot_be_written_is_said_and_the_model_is_ready_all_the_same() {
    let (server, home) = (Server::new(), home(CONFIG));
    std::fs::write(home.path().join(".local"), "in the way").unwrap();
    let (code, said, remarks) = run(home.path(), &server.url, &["context"]);
    assert_eq!((code, said.as_str()), (Some(0), "context: a:1b already in VRAM\n"));
    assert!(remarks.starts_with("dashboards are not told of it: "), "{remarks}");
    assert_eq!(run(home.path(), &server.url, &["--over"]).0, Some(1));
}

#[cfg(target_os = "linux")]
mod on_the_embedded_server {
    use super::*;
    use crate::cli_ram::Home;

    const CONFIG: &str = "
ollama: {model: openthinker3-7b}
phases: {context: openthinker3-7b, execution: {model: 'qwen2.5-coder:7b', num_ctx: 4096}}
";

    fn demo() -> Home {
        let home = Home::new();
        std::fs::write(home.dir.path().join("c.yaml"), CONFIG).unwrap();
        home
    }

    fn phase(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
        let args = [&["phase", "--config", "c.yaml"], args].concat();
        home.run(&args)
    }

    #[test]
    fn a_model_that_is_away_is_made_ready_and_is_there_the_next_time() {
        let home = demo();
        let (code, said, remarks) = phase(&home, &["execution", "--json"]);
        let ready: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (code, &ready["already_in_vram"], &ready["num_ctx"]),
            (Some(0), &json!(false), &json!(4096))
        );
        assert!(ready["took_seconds"].as_f64().unwrap() > 0.0, "{said}{remarks}");
        assert_eq!(home.model("qwen2.5-coder:7b")["state"], "idle");
        let (_, said, _) = phase(&home, &["execution"]);
        assert_eq!(said, "execution: qwen2.5-coder:7b already in VRAM\n");
    }

    /// The newest row of a kind in the journal.
    fn newest(home: &Home, kind: &str) -> Value {
        let (_, said, _) = home.run(&["history", "--json", "--kind", kind]);
        let history: Value = serde_json::from_str(&said).unwrap();
        history["records"][0].clone()
    }

    #[test]
    fn how_much_of_it_is_in_ram_is_known_before_it_is_swapped_in() {
        let home = demo();
        let qwen = "qwen2.5-coder:7b";
        for (args, cold) in [(["drop", "--yes", qwen], true), (["warm", "--no-auto", qwen], false)] {
            let (code, _, remarks) = home.run(&args);
            assert_eq!(code, Some(0), "{remarks}");
            assert_eq!(phase(&home, &["execution"]).0, Some(0));
            let swap = newest(&home, "swaps");
            let (ram, size) = (swap["ram_bytes"].as_u64().unwrap(), swap["size_bytes"].as_u64().unwrap());
            assert_eq!((ram < size / 2, &swap["model"]), (cold, &json!(qwen)), "{swap}");
            assert_eq!(home.run(&["unload", qwen]).0, Some(0));
        }
    }

    fn kill_runner(home: &Home, model: &str) {
        let port = home.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let runners = resident::probe::runner::look(Path::new("/proc"), port, clock());
        assert_eq!(runners.len(), 1, "{runners:?}");
        let pid = rustix::process::Pid::from_raw(i32::try_from(runners[0].pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // The server's own list still has it, as that of a real one does.
        assert_eq!(home.model(model)["loaded"], true);
    }

    #[test]
    fn a_model_whose_runner_was_killed_is_loaded_again_and_said_so() {
        let home = demo();
        for (args, already) in [
            (&["phase", "--config", "c.yaml", "--json", "context"][..], "already_in_vram"),
            (&["swap", "--json", "openthinker3-7b"], "already"),
        ] {
            assert_eq!(home.run(&["load", "openthinker3-7b"]).0, Some(0));
            kill_runner(&home, "openthinker3-7b");
            let (code, said, remarks) = home.run(args);
            let ready: Value = serde_json::from_str(&said).unwrap();
            assert_eq!((code, &ready[already]), (Some(0), &json!(false)), "{said}{remarks}");
            assert!(ready["took_seconds"].as_f64().unwrap() > 0.0, "{said}");
            let swap = newest(&home, "swaps");
            assert_eq!(
                (&swap["model"], &swap["in_vram"]),
                (&json!("openthinker3-7b"), &json!(false)),
                "{swap}"
            );
        }
        let (_, said, _) = home.run(&["swap", "openthinker3-7b", "--json"]);
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["already"], json!(true), "{said}");
    }

    #[test]
    fn where_no_card_is_seen_what_went_is_seen_all_the_same() {
        let home = demo();
        std::fs::write(home.dir.path().join("c.yaml"), format!("{CONFIG}ui: {{gpu: false}}")).unwrap();
        let phase = &["phase", "--config", "c.yaml", "--json", "execution"][..];
        let swap = &["swap", "--config", "c.yaml", "--json", "openthinker3-7b"][..];
        assert_eq!(home.run(&["load", "openthinker3-7b"]).0, Some(0));
        for (args, went) in
            [(phase, "openthinker3-7b"), (swap, "qwen2.5-coder:7b"), (phase, "openthinker3-7b")]
        {
            let (code, said, remarks) = home.run(args);
            let ready: Value = serde_json::from_str(&said).unwrap();
            assert_eq!((code, &ready["displaced"]), (Some(0), &json!([went])), "{said}{remarks}");
            assert_eq!(newest(&home, "swaps")["displaced"], json!([went]));
        }
    }

    #[test]
    fn a_pinned_model_is_displaced_only_with_yes() {
        let home = demo();
        assert_eq!(home.run(&["pin", "openthinker3-7b"]).0, Some(0));
        let (code, said, remarks) = phase(&home, &["execution"]);
        assert_eq!((code, said.as_str()), (Some(3), ""), "{remarks}");
        assert!(remarks.starts_with("execution: qwen2.5-coder:7b not swapped in: "), "{remarks}");
        let (code, _, remarks) = phase(&home, &["execution", "--yes"]);
        assert_eq!(code, Some(0), "{remarks}");
    }

    #[test]
    fn what_asks_before_every_act_asks_here_too() {
        let home = demo();
        std::fs::write(home.dir.path().join("c.yaml"), format!("{CONFIG}ui: {{confirm: always}}")).unwrap();
        assert_eq!(phase(&home, &["context"]).0, Some(3));
        assert_eq!(phase(&home, &["context", "--yes"]).0, Some(0));
        let (code, _, remarks) = phase(&home, &["context"]);
        assert!(code == Some(3) && remarks.contains("ui.confirm: always"), "{remarks}");
    }
}
