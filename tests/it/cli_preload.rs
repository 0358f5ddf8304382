//! `preload`: what is asked of a fake engine, what is printed, how it ends; and the whole of it on a demo server.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use resident::cli::out::Out;
use resident::cli::preload::{Request, run};
use resident::cli::{Cli, Exit, Sub};
use resident::config::{Config, Preload};
use resident::engine::{Command, Handle};
use resident::residency::bytes::Bytes;
use resident::residency::expiry::Expiry;
use resident::residency::guard::startup::{Goal, ItemState, Startup};
use resident::residency::keep_alive::KeepAlive;
use resident::residency::snapshot::{Reach, Snapshot, State};
use serde_json::{Value, json};

use crate::cli_fake::{FakeEngine, engine, in_vram, name, noon, on_disk, snapshot};

const PRIMARY: &str = "openthinker3-7b";
const QWEN: &str = "qwen2.5-coder:7b";
const DEEPSEEK: &str = "deepseek-r1:14b";

fn request(line: &str) -> Request {
    let config = Config {
        primary: Some(name(PRIMARY)),
        keep_alive: Some(KeepAlive::For(Duration::from_secs(3600))),
        preload: Preload {
            enabled: true,
            models: [PRIMARY, QWEN, DEEPSEEK].map(name).to_vec(),
            ..Preload::default()
        },
        ..Config::default()
    };
    request_of(line, &config)
}

fn request_of(line: &str, config: &Config) -> Request {
    let args = ["resident", "preload"].into_iter().chain(line.split_whitespace());
    let cli = Cli::read(args.map(Into::into)).unwrap();
    let Some(Sub::Preload(asked)) = &cli.command else { panic!("{cli:?}") };
    Request::new(asked, &cli.flags, config)
}

struct Ran {
    exit: Exit,
    results: String,
    remarks: String,
}

async fn ran(handle: Handle, request: &Request, interrupt: impl Future<Output = ()>) -> Ran {
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let exit = run(handle, request, interrupt, &mut Out::new(&mut results, &mut remarks)).await;
    let results = String::from_utf8(results).unwrap();
    if request.json && exit != Exit::Usage {
        crate::schema::follows("preload", &serde_json::from_str(&results).unwrap());
    }
    Ran { exit, results, remarks: String::from_utf8(remarks).unwrap() }
}

fn three_models() -> Snapshot {
    let models = [PRIMARY, QWEN, DEEPSEEK].map(|text| on_disk(text, 4_000_000_000, 0));
    snapshot(noon(), models.to_vec())
}

/// Shows how far start-up is: the primary model, then the list without it.
fn show<const N: usize>(fake: &FakeEngine, states: [ItemState; N]) {
    let list = [PRIMARY, QWEN, DEEPSEEK].map(name);
    let mut startup = Startup::new(Some(&name(PRIMARY)), &list[..N], Goal::Ram, noon());
    for (item, state) in startup.items.iter_mut().zip(states) {
        item.state = state;
    }
    let is_over = startup.items.iter().all(|item| item.state.is_over());
    startup.took = is_over.then_some(Duration::from_millis(8700));
    fake.change(|snapshot| snapshot.keeping.startup = Some(Arc::new(startup)));
}

fn ready(millis: u64) -> ItemState {
    ItemState::Ready { took: Duration::from_millis(millis), read: Some(Bytes(4_000_000_000)) }
}

/// Takes the command that begins it, and ends when the front end has gone.
async fn begun(fake: &mut FakeEngine) {
    assert_eq!(fake.commands.recv().await, Some(Command::Preload));
}

/// Paused time goes on only when all that was shown has been seen.
async fn seen() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

async fn gone(mut fake: FakeEngine) {
    assert_eq!(fake.commands.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn each_model_is_told_as_it_is_there_and_then_that_all_are_ready() {
    let (handle, mut fake) = engine(three_models());
    let asked = request("");
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        begun(&mut fake).await;
        show(&fake, [ItemState::Working, ItemState::Queued, ItemState::There]);
        seen().await;
        show(&fake, [ready(2900), ItemState::Working, ItemState::There]);
        seen().await;
        show(&fake, [ready(2900), ready(2100), ItemState::There]);
        gone(fake).await;
    });
    assert_eq!(
        ran.results,
        "deepseek-r1:14b in RAM already\nready for openthinker3-7b (2.9 s)\n\
         qwen2.5-coder:7b in RAM (2.1 s)\nall ready (3 models, 8.7 s)\n"
    );
    assert_eq!(ran.exit, Exit::Done);
    assert_eq!(
        ran.remarks,
        "openthinker3-7b stays in VRAM for 1h after its last use; what is in RAM is not held: a running dashboard or \
         resident hold --all keeps it\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_model_is_named_and_the_rest_goes_on() {
    let (handle, mut fake) = engine(three_models());
    let asked = request("");
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        begun(&mut fake).await;
        show(&fake, [ItemState::Missing, ItemState::Working, ItemState::Queued]);
        seen().await;
        show(&fake, [ItemState::Missing, ready(2100), ItemState::Failed("no room: 3 GB".to_owned())]);
        gone(fake).await;
    });
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Failed, "qwen2.5-coder:7b in RAM (2.1 s)\n"));
    assert_eq!(
        ran.remarks,
        "openthinker3-7b is not installed: ollama pull openthinker3-7b\n\
         deepseek-r1:14b not read: no room: 3 GB\n\
         1 of 3 ready (8.7 s); not ready: openthinker3-7b (not installed: ollama pull openthinker3-7b), \
         deepseek-r1:14b (no room: 3 GB)\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_must_wait_for_the_card_ends_it_when_the_rest_is_there() {
    let waits = || ItemState::Waits("qwen2.5-coder:7b is in use".to_owned());
    let (handle, mut fake) = engine(three_models());
    fake.change(|snapshot| snapshot.servers[0].models[1] = in_vram(QWEN, 4_000_000_000, Expiry::Unknown));
    let asked = request("");
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        begun(&mut fake).await;
        show(&fake, [waits(), ItemState::There, ItemState::Working]);
        seen().await;
        show(&fake, [waits(), ItemState::There, ready(3800)]);
        gone(fake).await;
    });
    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(ran.results, "qwen2.5-coder:7b in VRAM already\ndeepseek-r1:14b in RAM (3.8 s)\n");
    let (first, last) = ran.remarks.trim_end().split_once('\n').unwrap();
    assert_eq!(first, "primary waits: qwen2.5-coder:7b is in use");
    assert!(last.starts_with("2 of 3 ready ("), "{last}");
    assert!(last.ends_with("; not ready: openthinker3-7b (qwen2.5-coder:7b is in use)"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_load_that_is_under_way_is_not_stuck() {
    let waits = || ItemState::Waits("gemma is loading".to_owned());
    let (handle, mut fake) = engine(three_models());
    fake.change(|snapshot| {
        snapshot.servers[0].models[2].state = State::Loading { since: noon(), ours: false };
    });
    let asked = request("");
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        begun(&mut fake).await;
        show(&fake, [waits(), ItemState::There, ItemState::There]);
        tokio::time::sleep(Duration::from_secs(600)).await;
        show(&fake, [ready(2900), ItemState::There, ItemState::There]);
        gone(fake).await;
    });
    assert_eq!(ran.exit, Exit::Done, "{}", ran.remarks);
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_says_how_far_each_model_is() {
    let (handle, mut fake) = engine(three_models());
    let (press, pressed) = tokio::sync::oneshot::channel::<()>();
    let interrupt = async { pressed.await.unwrap() };
    let asked = request("");
    let (ran, ()) = tokio::join!(ran(handle, &asked, interrupt), async move {
        begun(&mut fake).await;
        show(&fake, [ready(2900), ItemState::Working, ItemState::Queued]);
        seen().await;
        press.send(()).unwrap();
        assert_eq!(fake.commands.recv().await, Some(Command::CancelAll));
        show(&fake, [ready(2900), ItemState::Skipped, ItemState::Skipped]);
        gone(fake).await;
    });
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Failed, "ready for openthinker3-7b (2.9 s)\n"));
    assert_eq!(
        ran.remarks,
        "cancelled: 1 of 3 ready (8.7 s); not ready: qwen2.5-coder:7b (its reading was cancelled), \
         deepseek-r1:14b (not begun)\n"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_in_time_is_cancelled_even_if_the_engine_does_not_answer() {
    let (handle, mut fake) = engine(three_models());
    let asked = request("--timeout 90s");
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        begun(&mut fake).await;
        show(&fake, [ItemState::Working, ItemState::Queued, ItemState::Queued]);
        assert_eq!(fake.commands.recv().await, Some(Command::CancelAll));
        gone(fake).await;
    });
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::TimedOut, ""));
    assert!(ran.remarks.starts_with("not done after 90.0 s: 0 of 3 ready ("), "{}", ran.remarks);
}

#[tokio::test(start_paused = true)]
async fn the_primary_alone_leaves_the_list_alone() {
    let (handle, mut fake) = engine(three_models());
    let asked = request("--ready primary");
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        assert_eq!(fake.commands.recv().await, Some(Command::List { models: vec![] }));
        begun(&mut fake).await;
        show(&fake, [ready(2900)]);
        gone(fake).await;
    });
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Done, "ready for openthinker3-7b (2.9 s)\n"));
    assert_eq!(
        ran.remarks,
        "the preload list is not read: resident preload reads it too\n\
         openthinker3-7b stays in VRAM for 1h after its last use\n"
    );
}

#[tokio::test(start_paused = true)]
async fn json_is_one_document_at_the_end_and_nothing_else() {
    let (handle, mut fake) = engine(three_models());
    let asked = request("--json");
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        begun(&mut fake).await;
        show(&fake, [ready(2900), ItemState::There, ItemState::Missing]);
        gone(fake).await;
    });
    assert_eq!((ran.exit, ran.remarks.as_str()), (Exit::Failed, ""));
    let model = |model: &str, goal: &str, state: &str, already: bool| {
        json!({
            "model": model, "goal": goal, "state": state, "already": already,
            "took_seconds": null, "read_bytes": null, "error": null,
        })
    };
    let mut models = [
        model(PRIMARY, "vram", "ready", false),
        model(QWEN, "ram", "ready", true),
        model(DEEPSEEK, "ram", "missing", false),
    ];
    (models[0]["took_seconds"], models[0]["read_bytes"]) = (2.9.into(), 4_000_000_000_u64.into());
    models[2]["error"] = "not installed: ollama pull deepseek-r1:14b".into();
    assert_eq!(
        serde_json::from_str::<Value>(&ran.results).unwrap(),
        json!({
            "schema_version": 1, "act": "preload", "server": "http://127.0.0.1:11434", "wanted": "all",
            "outcome": "incomplete", "exit_code": 1, "error": null, "took_seconds": 8.7, "primary": PRIMARY,
            "models": models,
        })
    );
}

fn down(snapshot: &mut Snapshot) {
    snapshot.servers[0].reach =
        Reach::Down { since: noon(), answers: false, why: "connection refused".into() };
}

#[tokio::test(start_paused = true)]
async fn no_server_is_five_before_it_begins_and_in_the_middle() {
    let (handle, fake) = engine(three_models());
    fake.change(down);
    let never = ran(handle, &request(""), pending()).await;
    assert_eq!((never.exit, never.results.as_str()), (Exit::NoServer, ""));
    assert!(never.remarks.starts_with("no server at http://127.0.0.1:11434"), "{}", never.remarks);

    let (handle, mut fake) = engine(three_models());
    let asked = request("");
    let (middle, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        begun(&mut fake).await;
        show(&fake, [ItemState::There, ItemState::Queued, ItemState::Queued]);
        fake.change(down);
        gone(fake).await;
    });
    assert_eq!(
        (middle.exit, middle.results.as_str()),
        (Exit::NoServer, "ready for openthinker3-7b (in VRAM already)\n")
    );
    assert!(middle.remarks.contains("try --demo: 1 of 3 ready"), "{}", middle.remarks);
}

#[tokio::test]
async fn nothing_to_preload_says_what_to_write_where() {
    let with = |config: &Config, line: &str| request_of(line, config);
    let (handle, _fake) = engine(three_models());
    let none = ran(handle.clone(), &with(&Config::default(), ""), pending()).await;
    assert_eq!((none.exit, none.results.as_str()), (Exit::Usage, ""));
    for said in ["ollama.model", "ollama.preload.models", "resident config --init"] {
        assert!(none.remarks.contains(said), "{}", none.remarks);
    }
    let list = Config {
        file: Some("/etc/resident/config.yaml".into()),
        preload: Preload { enabled: true, models: vec![name(QWEN)], ..Preload::default() },
        ..Config::default()
    };
    let primary = ran(handle.clone(), &with(&list, "--ready primary"), pending()).await;
    assert_eq!(primary.exit, Exit::Usage);
    assert_eq!(
        primary.remarks,
        "no primary model: write ollama.model (the model to be in VRAM first) into /etc/resident/config.yaml\n"
    );
    let read_only = Request { read_only: true, ..request("") };
    assert_eq!(ran(handle, &read_only, pending()).await.exit, Exit::Usage);
}

#[cfg(target_os = "linux")]
mod on_a_server {
    use super::{DEEPSEEK, QWEN};
    use crate::cli_ram::Home;

    #[test]
    fn the_primary_is_loaded_and_the_list_is_read() {
        let home = Home::new();
        home.config(
            "ollama:\n  model: qwen2.5-coder:7b\n  preload:\n    models: [qwen2.5-coder:7b, deepseek-r1:14b, gone:1b]\n",
        );
        let (exit, _, said) = home.run(&["drop", "--yes", QWEN, DEEPSEEK]);
        assert_eq!(exit, Some(0), "{said}");
        let (exit, out, said) = home.run(&["preload"]);
        assert_eq!(exit, Some(1), "{said}");
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].starts_with("ready for qwen2.5-coder:7b ("), "{out}");
        assert!(lines[1].starts_with("deepseek-r1:14b 100 % in RAM: read ") && lines.len() == 2, "{out}");
        assert!(said.contains("gone:1b is not installed: ollama pull gone:1b\n"), "{said}");
        assert!(said.contains("2 of 3 ready (") && !said.contains('\u{1b}'), "{said}");
        assert_eq!(home.model(QWEN)["state"], "idle");
        let (exit, out, said) = home.run(&["preload", "--ready", "primary"]);
        assert_eq!(
            (exit, out.as_str()),
            (Some(0), "ready for qwen2.5-coder:7b (in VRAM already)\n"),
            "{said}"
        );
    }

    #[test]
    fn by_request_nothing_is_sent_while_a_model_is_loaded() {
        let home = Home::new();
        home.config("ollama:\n  preload:\n    strategy: request\n    models: [qwen2.5-coder:7b]\n");
        assert_eq!(home.run(&["load", "gemma3:270m"]).0, Some(0));
        let (exit, out, said) = home.run(&["preload"]);
        assert_eq!((exit, out.as_str()), (Some(1), ""), "{said}");
        assert!(said.starts_with("qwen2.5-coder:7b waits: gemma3:270m is loaded\n0 of 1 ready"), "{said}");
        assert_eq!(home.run(&["unload", "gemma3:270m"]).0, Some(0));
        let (exit, out, said) = home.run(&["preload"]);
        assert_eq!(exit, Some(0), "{said}");
        assert!(
            out.starts_with("qwen2.5-coder:7b in VRAM (") && out.contains("all ready (1 model, "),
            "{out}"
        );
    }
}
