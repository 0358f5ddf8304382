//! `resident flow`: what it lists, what it refuses, what it prints of a run, and how it ends.

use std::future::pending;
use std::sync::Arc;

use resident::cli::Exit;
use resident::cli::flow::{Request, run};
use resident::cli::out::Out;
use resident::config::{Config, Sources, load};
use resident::engine::{Handle, clock};
use resident::residency::expiry::Expiry;
use resident::residency::flow::Manner;
use serde_json::Value;

use crate::cli_fake::{engine, in_vram, noon, on_disk, snapshot};
use crate::flow::virtual_world;

const WORKFLOWS: &str = r#"
ollama: {}
phases: {plan: openthinker3-7b, code: "qwen2.5-coder:7b", fix: "deepseek-r1:14b"}
workflows:
  short: [{phase: plan, work: 10ms}, {phase: code, prompt: hello, max_tokens: 2}]
  loop: {repeat: true, steps: [plan]}
  check: [{phase: code, command: [sh, -c, "echo no such test; exit 1"], on_failure: [fix]}, plan]
  broken: [{phase: code, command: [sh, -c, "exit 7"]}, plan]
  long: [{phase: plan, command: [sh, -c, "echo begun; exec sleep 1000"]}]
"#;

fn config() -> Config {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.yaml"), WORKFLOWS).unwrap();
    let mut sources = Sources { cwd: folder.path().to_owned(), ..Sources::default() };
    sources.flags.config = Some("c.yaml".into());
    load(&sources).unwrap().config
}

fn request(config: Config, name: &str) -> Request {
    Request {
        name: (!name.is_empty()).then(|| name.to_owned()),
        manner: Manner::Lookahead,
        runs: None,
        yes: false,
        read_only: false,
        json: false,
        config: Arc::new(config),
        clock: clock::system(),
        demo_scale: None,
    }
}

/// Exit code, results and remarks.
async fn ran(
    handle: Handle,
    request: &Request,
    interrupt: impl Future<Output = ()>,
) -> (Exit, String, String) {
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let exit = run(handle, request, interrupt, &mut Out::new(&mut results, &mut remarks)).await;
    (exit, String::from_utf8(results).unwrap(), String::from_utf8(remarks).unwrap())
}

fn nobody() -> Handle {
    engine(snapshot(noon(), Vec::new())).0
}

#[tokio::test]
async fn without_a_name_the_workflows_are_listed() {
    let (exit, out, said) = ran(nobody(), &request(config(), ""), pending()).await;
    assert_eq!((exit, said.as_str()), (Exit::Done, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[1], "loop   plan (openthinker3-7b)   repeats");
    assert_eq!(
        lines[2],
        "check   code (qwen2.5-coder:7b)  on failure fix (deepseek-r1:14b), plan (openthinker3-7b)"
    );
    let (_, out, _) = ran(nobody(), &Request { json: true, ..request(config(), "") }, pending()).await;
    let first: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["workflow"], &first["steps"][1]["work"]["max_tokens"]), (&"short".into(), &2.into()));
}

#[tokio::test]
async fn what_may_not_run_is_said_before_anything_is_asked() {
    let found = Config { may_act: false, ..config() };
    for (request, word) in [
        (request(config(), "shrot"), "there: short, loop, check, broken, long"),
        (request(Config::default(), "short"), "there: none"),
        (Request { read_only: true, ..request(config(), "short") }, "read-only"),
        (request(found, "broken"), "broken runs commands; nothing in "),
    ] {
        let (exit, out, said) = ran(nobody(), &request, pending()).await;
        assert_eq!((exit, out.as_str()), (Exit::Usage, ""), "{said}");
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn a_pinned_model_is_not_displaced_unasked_and_what_is_not_installed_is_named() {
    let pinned = in_vram("deepseek-r1:14b", 9, Expiry::Never);
    let two = vec![pinned, on_disk("qwen2.5-coder:7b", 5, 0)];
    let (handle, _fake) = engine(snapshot(noon(), two.clone()));
    let (exit, _, said) = ran(handle, &request(config(), "broken"), pending()).await;
    assert_eq!(exit, Exit::Failed);
    assert!(said.contains("ollama pull openthinker3-7b"), "{said}");
    let (handle, mut fake) = engine(snapshot(noon(), [two, vec![on_disk("openthinker3-7b", 5, 0)]].concat()));
    let (exit, out, said) = ran(handle, &request(config(), "broken"), pending()).await;
    assert_eq!((exit, out.as_str()), (Exit::Refused, ""), "{said}");
    assert!(said.contains("deepseek-r1:14b is pinned") && said.contains("--yes"), "{said}");
    assert!(fake.commands.try_recv().is_err());
}

#[tokio::test]
async fn a_run_prints_a_line_for_each_step_and_the_sum() {
    let (world, sim) = virtual_world(clock::system(), |options| options.tokens_per_second = 1e4).await;
    let config = Config { url: sim.url(), ..config() };
    let (exit, out, said) = ran(world.handle.clone(), &request(config.clone(), "short"), pending()).await;
    assert_eq!(exit, Exit::Done, "{said}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("plan   openthinker3-7b    swap ") && lines[0].contains("   work "),
        "{out}"
    );
    assert!(lines[1].starts_with("code   qwen2.5-coder:7b   swap "), "{out}");
    assert!(lines[1].contains("   2 tokens, the first after "), "{out}");
    assert!(lines[2].starts_with("total ") && lines[2].contains("hidden by lookahead 0.00 s"), "{out}");
    for words in
        ["plan: makes openthinker3-7b ready", "plan: work 0.01 s", "code: asks qwen2.5-coder:7b, 2 tokens"]
    {
        assert!(said.contains(words), "{said}");
    }
    let twice = Request { json: true, runs: Some(2), demo_scale: Some(4), ..request(config, "short") };
    let (exit, out, said) = ran(world.handle.clone(), &twice, pending()).await;
    assert_eq!((exit, said.as_str()), (Exit::Done, ""));
    let objects: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = objects.iter().map(|object| object["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["step", "step", "run", "step", "step", "run"]);
    assert_eq!(
        (&objects[5]["outcome"], &objects[5]["run"], &objects[5]["scale"]),
        (&"done".into(), &2.into(), &4.into())
    );
    sim.shutdown().await;
}

#[tokio::test]
async fn a_failure_is_healed_by_its_steps_or_ends_the_run_with_one() {
    let (world, sim) = virtual_world(clock::system(), |_| {}).await;
    let config = Config { url: sim.url(), ..config() };
    let (exit, out, said) = ran(world.handle.clone(), &request(config.clone(), "check"), pending()).await;
    assert_eq!(exit, Exit::Done, "{said}");
    assert!(
        out.contains("failed: exit status 1: no such test") && out.contains("fix    deepseek-r1:14b"),
        "{out}"
    );
    assert!(said.contains("  | no such test"), "{said}");
    let (exit, out, said) = ran(world.handle.clone(), &request(config, "broken"), pending()).await;
    assert_eq!((exit, out.lines().count()), (Exit::Failed, 1), "{out}");
    assert!(said.contains("broken failed: code: exit status 7"), "{said}");
    sim.shutdown().await;
}

#[tokio::test]
async fn an_interrupt_ends_the_command_and_says_what_is_left() {
    let (world, sim) = virtual_world(clock::system(), |_| {}).await;
    let config = Config { url: sim.url(), ..config() };
    let mut seen = world.handle.clone();
    let interrupt = async move {
        let is_loaded = |snapshot: &Arc<resident::residency::snapshot::Snapshot>| {
            snapshot.servers[0].models.iter().any(|model| model.loaded.is_some())
        };
        seen.snapshots.wait_for(is_loaded).await.unwrap();
    };
    let (exit, _, said) = ran(world.handle.clone(), &request(config, "long"), interrupt).await;
    assert_eq!(exit, Exit::Failed);
    assert!(said.contains("cancelled; left in VRAM: openthinker3-7b; in RAM: nothing"), "{said}");
    sim.shutdown().await;
}
