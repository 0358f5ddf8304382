//! The bench and the comparison on the embedded server: only runs that were read to be cold or warm count, and what was
//! loaded, pinned and in RAM comes back, however they end.

use std::sync::Arc;
use std::time::Duration;

use resident::config::{Config, Phase, Step, Workflow};
use resident::engine::bench::{self, Request};
use resident::engine::{clock, compare};
use resident::probe::hold::Holder;
use resident::residency::act::ActKind;
use resident::residency::bench::{Bench, BenchState, Kind};
use resident::residency::compare::{flows, loads, why_not_cold, why_not_warm};
use resident::residency::flow::Manner;
use resident::residency::hold::How;
use resident::residency::keep_alive::KeepAlive;
use resident::residency::snapshot::{Model, Snapshot};
use resident::residency::swap::Way;
use resident::sim;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::engine_world::{World, name};
use crate::ram_tier::Ram;

const QWEN: &str = "qwen2.5-coder:7b";
const OPEN: &str = "openthinker3-7b";
const DEEPSEEK: &str = "deepseek-r1:14b";

fn request(model: &str, kinds: &[Kind], rounds: u32) -> Request {
    Request { models: vec![name(model)], kinds: kinds.to_vec(), rounds, cooldown: Duration::ZERO }
}

async fn ended(mut running: bench::Running) -> Bench {
    Bench::clone(&*running.state.wait_for(|bench| bench.state.is_over()).await.unwrap())
}

/// Which models are in VRAM, and which of them are pinned.
fn in_vram(snapshot: &Snapshot) -> Vec<(String, bool)> {
    let loaded = snapshot.servers[0].models.iter().filter(|model| model.loaded.is_some());
    loaded.map(|model| (model.name.to_string(), model.pinned)).collect()
}

/// One model loaded and pinned, as every test finds the server.
async fn pinned(world: &mut World) {
    world.done(ActKind::Pin, QWEN).await;
    world.until_model(QWEN, |model| model.pinned).await;
}

async fn comes_back(world: &mut World) {
    let only = |s: &Snapshot| (in_vram(s) == [(QWEN.to_owned(), true)]).then_some(());
    world.until("the pinned model alone", only).await;
}

#[tokio::test]
async fn a_bench_measures_cold_and_warm_and_puts_back_what_it_found() {
    let mut ram = Ram::new(Config::default()).await;
    pinned(&mut ram.world).await;
    ram.done(ActKind::Warm, DEEPSEEK).await;
    let kinds = [Kind::Cold(Way::Off), Kind::Cold(Way::First), Kind::Warm];
    let bench = ended(bench::start(ram.world.handle.clone(), request(OPEN, &kinds, 2))).await;
    assert_eq!((&bench.state, bench.left.as_slice()), (&BenchState::Done, &[][..]), "{bench:#?}");
    assert_eq!(bench.progress(), (6, 6));
    for run in bench.runs.iter().filter(|run| run.took.is_ok()) {
        let why_not = if run.kind == Kind::Warm { why_not_warm } else { why_not_cold };
        assert_eq!(run.before.as_ref().and_then(why_not), None, "{run:?}");
    }
    assert!(loads(&bench.runs)[0].times.is_some());
    comes_back(&mut ram.world).await;
    assert!(ram.percent(DEEPSEEK) >= 95, "{} %", ram.percent(DEEPSEEK));
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_model_that_would_not_go_cold_ends_the_bench_after_three_tries_and_names_the_reason() {
    let mut ram = Ram::new(Config::default()).await;
    pinned(&mut ram.world).await;
    let stop = CancellationToken::new();
    let holder = Holder::spawn(clock::system(), stop.clone(), Box::new(|| None));
    for (at, path) in ram.blobs(OPEN).into_iter().enumerate() {
        holder.hold(format!("held{at}"), path, How::Map);
    }
    let mut held = holder.readings.clone();
    held.wait_for(|held| held.values().any(|held| held.value.resident.0 > 1_000_000)).await.unwrap();
    let bench = ended(bench::start(ram.world.handle.clone(), request(OPEN, &Kind::PLAIN, 2))).await;
    let BenchState::Failed { why } = &bench.state else { panic!("{bench:#?}") };
    assert!(why.contains("3 tries") && why.contains("mapped"), "{why}");
    assert_eq!((bench.runs.len(), bench.progress().0), (3, 0));
    assert_eq!(loads(&bench.runs), [], "nothing is claimed");
    comes_back(&mut ram.world).await;
    stop.cancel();
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_bench_puts_back_what_it_found() {
    let mut ram = Ram::new(Config::default()).await;
    pinned(&mut ram.world).await;
    let long = Request { cooldown: Duration::from_secs(3600), ..request(OPEN, &Kind::PLAIN, 1) };
    let mut running = bench::start(ram.world.handle.clone(), long);
    let rests = |bench: &Arc<Bench>| bench.doing.as_ref().is_some_and(|doing| doing.stage == "cooling down");
    running.state.wait_for(rests).await.unwrap();
    assert_eq!(in_vram(&ram.world.handle.snapshot()), []);
    running.cancel();
    let bench = ended(running).await;
    assert_eq!((&bench.state, bench.left.as_slice()), (&BenchState::Cancelled, &[][..]));
    comes_back(&mut ram.world).await;
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_bench_that_cancels_a_load_puts_back_what_it_found() {
    let mut ram = Ram::new(Config::default()).await;
    pinned(&mut ram.world).await;
    let mut running = bench::start(ram.world.handle.clone(), request(OPEN, &[Kind::Warm], 50));
    let loads = |bench: &Arc<Bench>| bench.doing.as_ref().is_some_and(|doing| doing.stage == "loading");
    running.state.wait_for(loads).await.unwrap();
    running.cancel();
    let bench = ended(running).await;
    assert_eq!((&bench.state, bench.left.as_slice()), (&BenchState::Cancelled, &[][..]));
    comes_back(&mut ram.world).await;
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn where_ram_cannot_be_read_nothing_is_measured_and_all_comes_back() {
    let options = sim::Options::for_tests(1024, Duration::from_millis(5), clock::system());
    let sim = sim::start(options).await.unwrap();
    let mut world = World::new(&sim.url(), Config::default());
    world.ready().await;
    pinned(&mut world).await;
    let bench = ended(bench::start(world.handle.clone(), request(OPEN, &Kind::PLAIN, 1))).await;
    let BenchState::Failed { why } = &bench.state else { panic!("{bench:#?}") };
    assert!(why.contains("another machine"), "{why}");
    assert_eq!((bench.progress().0, bench.left.len()), (0, 0));
    comes_back(&mut world).await;
    sim.shutdown().await;
}

#[tokio::test]
async fn what_was_loaded_comes_back_with_what_was_left_of_its_time() {
    let options = sim::Options::for_tests(1024, Duration::from_millis(5), clock::system());
    let sim = sim::start(options).await.unwrap();
    let hour = KeepAlive::For(Duration::from_secs(3600));
    let mut world = World::new(&sim.url(), Config { keep_alive: Some(hour), ..Config::default() });
    world.ready().await;
    world.other("/api/generate", json!({ "model": QWEN, "keep_alive": "5m" })).await;
    let expiry = |model: &Model| model.loaded.as_ref().map(|loaded| loaded.expiry);
    let before = world.until_model(QWEN, |model| model.loaded.is_some()).await;
    let bench = ended(bench::start(world.handle.clone(), request(OPEN, &Kind::PLAIN, 1))).await;
    assert!(matches!(bench.state, BenchState::Failed { .. }) && bench.left.is_empty(), "{bench:#?}");
    let anew = |model: &Model| model.loaded.is_some() && expiry(model) != expiry(&before);
    let after = world.until_model(QWEN, anew).await;
    let left = after.loaded.and_then(|loaded| loaded.expiry.remaining(clock::system()()));
    assert!(left.is_some_and(|left| left <= Duration::from_secs(300)), "{left:?}");
    sim.shutdown().await;
}

fn two_steps() -> (Arc<Config>, Workflow) {
    let step = |phase: &str| Step {
        phase: phase.to_owned(),
        model: None,
        num_ctx: None,
        work: None,
        on_failure: Vec::new(),
    };
    let workflow =
        Workflow { name: "pair".to_owned(), repeat: false, steps: vec![step("think"), step("write")] };
    let phase =
        |name_of: &str, model: &str| Phase { name: name_of.to_owned(), model: name(model), num_ctx: None };
    let phases = vec![phase("think", OPEN), phase("write", DEEPSEEK)];
    (Arc::new(Config { phases, workflows: vec![workflow.clone()], ..Config::default() }), workflow)
}

#[tokio::test]
async fn a_comparison_runs_each_manner_and_puts_back_what_it_found() {
    let mut ram = Ram::new(Config::default()).await;
    pinned(&mut ram.world).await;
    let (config, workflow) = two_steps();
    let config = Arc::new(Config { url: ram.world.url.clone(), ..Config::clone(&config) });
    let mut running = compare::start(
        ram.world.handle.clone(),
        compare::Request {
            config,
            clock: clock::system(),
            workflow,
            scale: 1,
            rounds: 1,
            cooldown: Duration::ZERO,
        },
    );
    let comparison = running.state.wait_for(|now| now.state.is_over()).await.unwrap().clone();
    assert_eq!(
        (&comparison.state, comparison.left.as_slice()),
        (&BenchState::Done, &[][..]),
        "{comparison:#?}"
    );
    let valid = comparison.runs.iter().filter(|run| run.thrown.is_none());
    let valid: Vec<_> = valid.map(|run| (run.flow.manner, run.again)).collect();
    let once = Manner::ALL.map(|manner| (manner, false));
    assert_eq!(valid, [&once[..], &[(Manner::Lookahead, true)]].concat());
    let times = flows(&comparison.runs);
    assert!(times.times.is_some() && times.steps.len() == 2 && times.again.is_some(), "{times:#?}");
    comes_back(&mut ram.world).await;
    ram.sim.shutdown().await;
}
