//! Workflows over a real engine: under paused time with timers, on real files with lookahead, and with commands.

use std::sync::Arc;
use std::time::Duration;

use resident::config::{Config, Sources, Step, Work, Workflow, load};
use resident::engine::flow::{Control, Running, Start, finish, start};
use resident::engine::{Command, Handle, clock};
use resident::residency::act::{Act, ActState};
use resident::residency::bytes::Bytes;
use resident::residency::event::What;
use resident::residency::flow::{AheadDid, Flow, FlowState, Manner, StepState};
use resident::residency::snapshot::Snapshot;
use resident::residency::timing::Clock;
use resident::sim::{self, Sim};
use tokio_util::sync::CancellationToken;

use crate::cli_fake::{engine, name, on_disk, snapshot};
use crate::engine_world::{World, parts};
use crate::ram_tier::{QWEN, Ram};

const THINKER: &str = "openthinker3-7b";

/// The demo's settings.
fn config() -> Config {
    load(&Sources { demo: true, ..Sources::default() }).unwrap().config
}

fn named(config: &Config, text: &str) -> Workflow {
    config.workflows.iter().find(|workflow| workflow.name == text).unwrap().clone()
}

fn begin(handle: &Handle, config: &Config, workflow: Workflow, manner: Manner, clock: Clock) -> Running {
    let config = Arc::new(config.clone());
    start(handle.clone(), Start { config, clock, workflow, manner, scale: 1, run: (1, 1) })
}

fn step(phase: &str, work: Work) -> Step {
    Step { phase: phase.to_owned(), model: None, num_ctx: None, work: Some(work), on_failure: Vec::new() }
}

fn workflow(steps: Vec<Step>) -> Workflow {
    Workflow { name: "test".to_owned(), repeat: false, steps }
}

fn shell(script: &str) -> Work {
    Work::Command(["sh", "-c", script].map(String::from).into())
}

/// The steps' phases and how each ended.
fn ends(flow: &Flow) -> Vec<(&str, &str)> {
    let word = |state: &StepState| match state {
        StepState::Done => "done",
        StepState::Failed { .. } => "failed",
        StepState::Skipped => "skipped",
        _ => "not over",
    };
    flow.steps.iter().map(|step| (step.phase.as_str(), word(&step.state))).collect()
}

async fn until(running: &mut Running, what: &str, is: impl Fn(&Flow) -> bool) -> Arc<Flow> {
    let found = tokio::time::timeout(Duration::from_secs(120), running.state.wait_for(|flow| is(flow))).await;
    found.unwrap_or_else(|_| panic!("no run shows {what}")).unwrap().clone()
}

/// An engine on a virtual embedded server, with the given clock.
pub async fn virtual_world(clock: Clock, change: impl FnOnce(&mut sim::Options)) -> (World, Sim) {
    let mut options = sim::Options::for_tests(1024, Duration::from_millis(500), Arc::clone(&clock));
    change(&mut options);
    let sim = sim::start(options).await.unwrap();
    let stop = CancellationToken::new();
    let config = Config { url: sim.url(), ..Config::default() };
    let handle = resident::engine::start(parts(config, clock, &stop));
    let mut world = World::of(handle, sim.url(), stop);
    world.ready().await;
    (world, sim)
}

fn noon() -> jiff::Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_ideas_dashboard_works_ten_seconds_and_waits_for_two_models() {
    let clock = clock::of_tokio(noon());
    let (world, sim) = virtual_world(Arc::clone(&clock), |options| options.max_loaded = 1).await;
    let config = Config { url: sim.url(), ..config() };
    let dashboard = named(&config, "react-dashboard");
    let running = begin(&world.handle, &config, dashboard, Manner::Lookahead, clock);
    let flow = finish(running).await;
    assert_eq!(
        ends(&flow),
        [("context", "done"), ("execution", "done"), ("verification", "done")],
        "{:?}",
        flow.state
    );
    let FlowState::Done { took } = flow.state else { panic!("{:?}", flow.state) };
    let planned: Vec<_> = flow.steps.iter().map(|step| step.planned.unwrap()).collect();
    let worked: Vec<_> = flow.steps.iter().map(|step| step.work.unwrap().1).collect();
    assert_eq!(planned, [3, 5, 2].map(Duration::from_secs));
    // Timers of tokio go by the millisecond.
    let near = |a: Duration, b: Duration| a.abs_diff(b) <= Duration::from_millis(2);
    assert!(worked.iter().zip(&planned).all(|(worked, planned)| near(*worked, *planned)), "{worked:?}");
    assert!(near(took, flow.work + flow.swaps), "{took:?} {flow:?}");
    assert!(flow.swaps >= Duration::from_millis(1500), "three loads of half a second each: {flow:?}");
    // The server's files are elsewhere: each that was to be read ahead says so.
    let refused =
        |did: &AheadDid| matches!(did, AheadDid::Refused { why } if why.contains("another machine"));
    assert!(!flow.ahead.is_empty() && flow.ahead.iter().all(|ahead| refused(&ahead.did)), "{:?}", flow.ahead);
    sim.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_made_cold_or_warm_does_not_begin_as_such() {
    let (world, sim) = virtual_world(clock::system(), |_| {}).await;
    let config = Config { url: sim.url(), ..config() };
    for manner in [Manner::Cold, Manner::Warm] {
        let dashboard = named(&config, "react-dashboard");
        let flow = finish(begin(&world.handle, &config, dashboard, manner, clock::system())).await;
        let FlowState::Failed { why } = &flow.state else { panic!("{:?}", flow.state) };
        assert!(why.contains("another machine"), "{why}");
        assert!(flow.steps.iter().all(|step| step.swap.is_none()));
    }
    sim.shutdown().await;
}

#[tokio::test]
async fn a_prompt_counts_tokens_and_keeps_the_runner_with_its_context() {
    let (mut world, sim) = virtual_world(clock::system(), |options| options.tokens_per_second = 1e4).await;
    let config = Config { url: sim.url(), ..config() };
    let prompt = Work::Prompt { text: "write a dashboard".to_owned(), max_tokens: Some(7) };
    let asks = workflow(vec![Step { num_ctx: Some(2048), ..step("execution", prompt) }]);
    let flow = finish(begin(&world.handle, &config, asks, Manner::Lookahead, clock::system())).await;
    assert!(matches!(flow.state, FlowState::Done { .. }), "{:?}", flow.state);
    assert_eq!(flow.steps[0].tokens.map(|(tokens, _)| tokens), Some(7));
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    let loads = |s: &Snapshot| s.events.iter().filter(|e| matches!(e.what, What::Loading { .. })).count();
    assert_eq!(loads(&world.handle.snapshot()), 1, "the prompt came with another context than the load");
    sim.shutdown().await;
}

#[tokio::test]
async fn a_command_that_fails_runs_the_steps_on_failure() {
    let (world, sim) = virtual_world(clock::system(), |_| {}).await;
    let config = Config { url: sim.url(), ..config() };
    let verification =
        Step { on_failure: vec![step("debugging", shell("true"))], ..step("verification", shell("exit 1")) };
    let steps = vec![
        Step { on_failure: vec![step("debugging", shell("exit 9"))], ..step("context", shell("true")) },
        verification,
        step("execution", shell("echo $RESIDENT_PHASE $RESIDENT_MODEL $RESIDENT_RUN; exit 4")),
        step("planning", shell("true")),
    ];
    let mut running = begin(&world.handle, &config, workflow(steps), Manner::Lookahead, clock::system());
    let flow = until(&mut running, "the end", |flow| flow.state.is_over()).await;
    let expected = [
        ("context", "done"),
        ("debugging", "skipped"),
        ("verification", "failed"),
        ("debugging", "done"),
        ("execution", "failed"),
        ("planning", "not over"),
    ];
    assert_eq!(ends(&flow), expected, "{:?}", flow.state);
    let FlowState::Failed { why } = &flow.state else { panic!("{:?}", flow.state) };
    assert!(why.starts_with(&format!("execution: exit status 4: execution {QWEN} test-")), "{why}");
    assert!(running.output.borrow().lines[0].starts_with("execution "));
    sim.shutdown().await;
}

#[tokio::test]
async fn a_cancel_ends_the_command_and_nothing_more_begins() {
    let (world, sim) = virtual_world(clock::system(), |_| {}).await;
    let config = Config { url: sim.url(), ..config() };
    let steps = vec![step("context", shell("echo here; exec sleep 1000")), step("planning", shell("true"))];
    let mut running = begin(&world.handle, &config, workflow(steps), Manner::Lookahead, clock::system());
    running.output.wait_for(|output| !output.lines.is_empty()).await.unwrap();
    let flow = running.cancel().await;
    assert_eq!(flow.state, FlowState::Cancelled);
    assert_eq!(ends(&flow), [("context", "failed"), ("planning", "not over")]);
    sim.shutdown().await;
}

#[tokio::test]
async fn no_command_is_run_for_a_config_that_was_merely_found() {
    let (handle, mut fake) = engine(snapshot(crate::cli_fake::noon(), Vec::new()));
    let config = Config { may_act: false, ..config() };
    let steps = workflow(vec![step("context", shell("true"))]);
    let flow = finish(begin(&handle, &config, steps, Manner::Lookahead, clock::system())).await;
    assert!(matches!(&flow.state, FlowState::Failed { why } if why.contains("--config")), "{:?}", flow.state);
    assert!(fake.commands.try_recv().is_err(), "nothing was asked of the engine");
}

#[tokio::test(start_paused = true)]
async fn each_phase_is_recorded_at_its_beginning_and_an_empty_one_at_the_end() {
    let clock = clock::of_tokio(noon());
    let models = vec![on_disk(THINKER, 5, 0), on_disk(QWEN, 5, 0)];
    let (handle, mut fake) = engine(snapshot(clock(), models));
    let config = config();
    let run = begin(&handle, &config, named(&config, "react-dashboard"), Manner::Warm, Arc::clone(&clock));
    let publish = |act: Act| {
        fake.publish.send_modify(|snapshot| {
            Arc::make_mut(snapshot).acts.push(act);
        });
    };
    let mut told = Vec::new();
    while told.last().is_none_or(|(phase, _): &(String, _)| !phase.is_empty()) {
        match fake.commands.recv().await.unwrap() {
            Command::Act { id, kind, model } => {
                let state = ActState::Done { took: Duration::ZERO, at: clock() };
                publish(Act { id, kind, model, state, progress: None, swap: None, first_token: None });
            }
            Command::Swap { id, model, .. } => {
                let state = ActState::Done { took: Duration::ZERO, at: clock() };
                let kind = resident::residency::act::ActKind::Swap;
                publish(Act { id, kind, model, state, progress: None, swap: None, first_token: None });
            }
            Command::Phase(phase) => {
                assert!(phase.run.starts_with("react-dashboard-"), "{phase:?}");
                told.push((phase.phase, phase.next.map(|next| next.to_string())));
            }
            other => panic!("{other:?}"),
        }
    }
    let next = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("context".to_owned(), next(QWEN)),
            ("execution".to_owned(), next(THINKER)),
            ("verification".to_owned(), None),
            (String::new(), None),
        ]
    );
    assert_eq!(finish(run).await.state, FlowState::Done { took: Duration::from_secs(10) });
}

#[tokio::test]
async fn lookahead_reads_the_next_model_while_work_runs_and_keeps_what_comes_back() {
    let config = Config { workflows: config().workflows, phases: config().phases, ..Config::default() };
    let ram = Ram::new(config.clone()).await;
    ram.forget(THINKER);
    let config = Config { url: ram.sim.url(), ..config };
    let forever = || Work::For(Duration::from_secs(1 << 20));
    let steps = ["context", "execution", "verification"].map(|phase| step(phase, forever()));
    let mut running =
        begin(&ram.world.handle, &config, workflow(steps.into()), Manner::Lookahead, clock::system());
    // What comes back is asked for after what comes next.
    let both = |flow: &Flow| flow.ahead.len() >= 2;
    let flow = until(&mut running, "what was read ahead", both).await;
    assert_eq!((flow.ahead[0].during, &flow.ahead[0].model), (0, &name(QWEN)));
    let AheadDid::Warmed { read, .. } = flow.ahead[0].did else { panic!("{:?}", flow.ahead) };
    assert!(read > Bytes(3_000_000), "{flow:?}");
    assert!(matches!(flow.steps[0].state, StepState::Working(_)), "work runs all the while");
    assert!(ram.percent(QWEN) >= 95, "{} %", ram.percent(QWEN));
    assert_eq!((flow.ahead[1].during, &flow.ahead[1].model), (0, &name(THINKER)));
    for at in 0..3 {
        until(&mut running, "the step at work", |flow| matches!(flow.steps[at].state, StepState::Working(_)))
            .await;
        running.control(Control::Skip).unwrap();
    }
    let flow = finish(running).await;
    assert!(matches!(flow.state, FlowState::Done { .. }), "{:?}", flow.state);
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_cold_run_drops_each_model_before_its_swap_and_looks_whether_it_went() {
    let config = Config { workflows: config().workflows, phases: config().phases, ..Config::default() };
    let ram = Ram::new(config.clone()).await;
    let config = Config { url: ram.sim.url(), ..config };
    let none = |phase: &str| step(phase, Work::For(Duration::ZERO));
    let steps = workflow(vec![none("execution"), none("context"), none("execution")]);
    let flow = finish(begin(&ram.world.handle, &config, steps, Manner::Cold, clock::system())).await;
    assert!(matches!(flow.state, FlowState::Done { .. }), "{:?}", flow.state);
    assert!(flow.ahead.is_empty() && flow.hidden == (Bytes::ZERO, Duration::ZERO));
    ram.sim.shutdown().await;
}
