//! `swap` against a fake engine: what is asked of it, what is printed, how it ends.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use resident::cli::Exit;
use resident::cli::out::Out;
use resident::cli::swap::{Request, run};
use resident::cli::{Cli, Sub};
use resident::config::Confirm;
use resident::engine::{Command, Handle};
use resident::residency::act::{Act, ActId, ActKind, ActState};
use resident::residency::bytes::Bytes;
use resident::residency::event::{Event, What};
use resident::residency::expiry::Expiry;
use resident::residency::forecast::Forecast;
use resident::residency::keep_alive::KeepAlive;
use resident::residency::name::ModelName;
use resident::residency::snapshot::Snapshot;
use resident::residency::swap::{Before, Ended, Plan, Stage, Stages, Swapping, Way, Wish};
use serde_json::Value;

use crate::cli_fake::{FakeEngine, engine, in_vram, name, noon, on_disk, snapshot};

fn request(line: &str) -> Request {
    let args = ["resident", "swap"].into_iter().chain(line.split_whitespace());
    let cli = Cli::read(args.map(Into::into)).unwrap();
    let Some(Sub::Swap(swap)) = &cli.command else { panic!("{cli:?}") };
    Request::new(swap, &cli.flags, Confirm::Risky, false)
}

struct Ran {
    exit: Exit,
    results: String,
    remarks: String,
}

async fn ran(handle: Handle, line: &str, interrupt: impl Future<Output = ()>) -> Ran {
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let exit = run(handle, &request(line), interrupt, &mut Out::new(&mut results, &mut remarks)).await;
    Ran { exit, results: String::from_utf8(results).unwrap(), remarks: String::from_utf8(remarks).unwrap() }
}

/// `qwen` is loaded and has to go for `deepseek`.
fn two_models() -> Snapshot {
    let qwen = in_vram("qwen2.5-coder:7b", 4_700_000_000, Expiry::Unknown);
    let mut deepseek = on_disk("deepseek-r1:14b", 9_000_000_000, 0);
    deepseek.forecast = Some(Forecast { evicts: vec![name("qwen2.5-coder:7b")], why: "full".to_owned() });
    snapshot(noon(), vec![qwen, deepseek])
}

fn swapping(stage: Option<Stage>, ended: Option<Ended>) -> Swapping {
    let (whole, ram) = (Bytes(9_000_000_000), Some(Bytes(9_000_000_000)));
    let plan = Plan {
        server_chooses: false,
        goes: vec![name("qwen2.5-coder:7b")],
        stays: vec![],
        way: Way::Off,
        before: Before { whole, ram, ..Before::default() },
        num_ctx: None,
    };
    let ms = |millis| Some(Duration::from_millis(millis));
    let stages = if ended == Some(Ended::Ready) {
        Stages { unload: ms(140), load: ms(380), total: ms(820), ..Stages::default() }
    } else {
        Stages::default()
    };
    let went = Some(plan.goes.clone());
    Swapping { plan, stages, stage, ended, went }
}

fn show(
    fake: &FakeEngine,
    id: ActId,
    kind: ActKind,
    model: &ModelName,
    state: ActState,
    swap: Option<Swapping>,
) {
    let act = Act {
        id,
        kind,
        model: model.clone(),
        state,
        progress: None,
        swap: swap.map(Arc::new),
        first_token: None,
    };
    fake.change(|snapshot| {
        snapshot.acts.retain(|act| act.id != id);
        snapshot.acts.push(act);
    });
}

fn running() -> ActState {
    ActState::Running { stage: "loading", since: noon() }
}

fn done(millis: u64) -> ActState {
    ActState::Done { took: Duration::from_millis(millis), at: noon() }
}

fn failed(why: &str, cancelled: bool) -> ActState {
    ActState::Failed { why: why.to_owned(), cancelled, at: noon() }
}

/// Takes commands up to the swap; gives its wish.
async fn asked(fake: &mut FakeEngine) -> (ActId, ModelName, Wish) {
    loop {
        match fake.commands.recv().await {
            Some(Command::Look { .. }) => {}
            Some(Command::Swap { id, model, wish }) => return (id, model, wish),
            other => panic!("a swap, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_plan_is_said_before_and_the_stages_after() {
    let (handle, mut fake) = engine(two_models());
    let playing = tokio::spawn(async move {
        let (id, model, wish) = asked(&mut fake).await;
        let stage = swapping(Some(Stage::Unload), None);
        show(&fake, id, ActKind::Swap, &model, running(), Some(stage));
        tokio::task::yield_now().await;
        show(&fake, id, ActKind::Swap, &model, done(820), Some(swapping(None, Some(Ended::Ready))));
        while fake.commands.recv().await.is_some() {}
        wish
    });
    let line = "DeepSeek-R1:14b --warm beside --num-ctx 8192 --first-token";
    let ran = ran(handle, line, pending()).await;
    let wish = Wish { num_ctx: Some(8192), way: Some(Way::Beside), first_token: true, spare: false };
    assert_eq!(playing.await.unwrap(), wish);
    assert_eq!(
        ran.remarks,
        "swap to DeepSeek-R1:14b: qwen2.5-coder:7b goes, 100 % in RAM\n\
         no first token: this model only embeds\n"
    );
    assert_eq!(
        (ran.exit, ran.results.as_str()),
        (
            Exit::Done,
            "DeepSeek-R1:14b ready in 0.82 s   unload 0.14   card free ?   read ahead 0   load 0.38\n"
        )
    );
}

#[tokio::test]
async fn what_is_pinned_is_not_displaced_without_yes() {
    let pinned = || {
        let mut snapshot = two_models();
        snapshot.servers[0].models.iter_mut().for_each(|model| model.pinned = model.loaded.is_some());
        snapshot
    };
    let (handle, fake) = engine(pinned());
    let ran_without = ran(handle, "deepseek-r1:14b", pending()).await;
    drop(fake);
    assert_eq!((ran_without.exit, ran_without.results.as_str()), (Exit::Refused, ""));
    assert!(ran_without.remarks.contains("qwen2.5-coder:7b (pinned)"), "{}", ran_without.remarks);
    let (handle, mut fake) = engine(pinned());
    tokio::spawn(async move {
        let (id, model, _) = asked(&mut fake).await;
        show(&fake, id, ActKind::Swap, &model, done(1), Some(swapping(None, Some(Ended::Ready))));
        while fake.commands.recv().await.is_some() {}
    });
    assert_eq!(ran(handle, "deepseek-r1:14b --yes", pending()).await.exit, Exit::Done);
}

#[tokio::test]
async fn what_is_only_wished_pinned_is_not_displaced_without_yes_either() {
    let mut wished = two_models();
    wished.servers[0].models.iter_mut().for_each(|model| model.wished = model.loaded.is_some());
    let (handle, fake) = engine(wished);
    let ran = ran(handle, "deepseek-r1:14b", pending()).await;
    drop(fake);
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Refused, ""));
    assert!(ran.remarks.contains("qwen2.5-coder:7b (listed as pinned)"), "{}", ran.remarks);
}

#[tokio::test]
async fn a_model_that_is_there_says_so() {
    let (handle, mut fake) = engine(two_models());
    tokio::spawn(async move {
        let (id, model, _) = asked(&mut fake).await;
        show(&fake, id, ActKind::Swap, &model, done(4), None);
        while fake.commands.recv().await.is_some() {}
    });
    let ran = ran(handle, "qwen2.5-coder:7b --json", pending()).await;
    let told: Value = serde_json::from_str(&ran.results).unwrap();
    assert_eq!(
        (ran.exit, &told["already"], &told["took_seconds"]),
        (Exit::Done, &true.into(), &0.004.into())
    );
    assert_eq!(ran.remarks, "");
}

#[tokio::test]
async fn what_only_the_end_brings_is_said_too() {
    let (handle, mut fake) = engine(two_models());
    tokio::spawn(async move {
        let (id, model, _) = asked(&mut fake).await;
        show(&fake, id, ActKind::Swap, &model, done(4), None);
        while fake.commands.recv().await.is_some() {}
        let what = What::Warned { why: "the journal was unusable".to_owned() };
        let event = Event { number: 1, at: noon(), model: None, what };
        fake.change(|snapshot| snapshot.events.push_back(Arc::new(event)));
    });
    let ran = ran(handle, "qwen2.5-coder:7b", pending()).await;
    assert_eq!((ran.exit, ran.remarks.as_str()), (Exit::Done, "the journal was unusable\n"));
}

#[tokio::test]
async fn a_failure_offers_the_old_model_and_restore_loads_it_with_what_was_left_of_its_time() {
    let mut before = two_models();
    let soon = Expiry::At(noon().wall + Duration::from_secs(300));
    before.servers[0].models[0] = in_vram("qwen2.5-coder:7b", 4_700_000_000, soon);
    let (handle, mut fake) = engine(before);
    let playing = tokio::spawn(async move {
        let (id, model, _) = asked(&mut fake).await;
        let why = "out of memory; load qwen2.5-coder:7b again with l (or resident load qwen2.5-coder:7b)";
        let ended = Ended::Failed { stage: Stage::Load, why: "out of memory".to_owned() };
        let swap = Some(swapping(None, Some(ended)));
        show(&fake, id, ActKind::Swap, &model, failed(why, false), swap);
        let mut acts = Vec::new();
        for _ in 0..2 {
            let (id, kind, old) = fake.act().await;
            show(&fake, id, kind, &old, done(300), None);
            acts.push((kind, old));
        }
        while fake.commands.recv().await.is_some() {}
        acts
    });
    let ran = ran(handle, "deepseek-r1:14b --restore", pending()).await;
    // It had five minutes left, and gets no more.
    let left = KeepAlive::For(Duration::from_secs(300));
    let acts = [ActKind::Load, ActKind::KeepAlive(left)].map(|kind| (kind, name("qwen2.5-coder:7b")));
    assert_eq!(playing.await.unwrap(), acts);
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Failed, ""));
    for said in [
        "not swapped in: out of memory",
        "resident load qwen2.5-coder:7b",
        "qwen2.5-coder:7b is loaded again",
    ] {
        assert!(ran.remarks.contains(said), "{}", ran.remarks);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_cancels_and_says_what_is_loaded() {
    let (handle, mut fake) = engine(two_models());
    tokio::spawn(async move {
        let (id, model, _) = asked(&mut fake).await;
        show(&fake, id, ActKind::Swap, &model, running(), Some(swapping(Some(Stage::Load), None)));
        assert_eq!(fake.commands.recv().await, Some(Command::CancelAll));
        let why = "cancelled while loading: qwen2.5-coder:7b is unloaded, nothing is loaded";
        let ended = Some(Ended::Cancelled { stage: Stage::Load });
        show(&fake, id, ActKind::Swap, &model, failed(why, true), Some(swapping(None, ended)));
        while fake.commands.recv().await.is_some() {}
    });
    let ran = ran(handle, "deepseek-r1:14b", tokio::time::sleep(Duration::from_secs(1))).await;
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Failed, ""));
    assert!(ran.remarks.contains("qwen2.5-coder:7b is unloaded, nothing is loaded"), "{}", ran.remarks);
}

#[tokio::test(start_paused = true)]
async fn a_script_is_told_what_an_interrupt_has_left() {
    let (handle, mut fake) = engine(two_models());
    let why = "cancelled while loading: qwen2.5-coder:7b is unloaded, nothing is loaded";
    tokio::spawn(async move {
        let (id, model, _) = asked(&mut fake).await;
        show(&fake, id, ActKind::Swap, &model, running(), Some(swapping(Some(Stage::Load), None)));
        assert_eq!(fake.commands.recv().await, Some(Command::CancelAll));
        let ended = Some(Ended::Cancelled { stage: Stage::Load });
        let went = Some(vec![name("qwen2.5-coder:7b")]);
        let swap = Swapping { went, ..swapping(None, ended) };
        show(&fake, id, ActKind::Swap, &model, failed(why, true), Some(swap));
        while fake.commands.recv().await.is_some() {}
    });
    let ran = ran(handle, "deepseek-r1:14b --json", tokio::time::sleep(Duration::from_secs(1))).await;
    let told: Value = serde_json::from_str(&ran.results).unwrap();
    assert_eq!((ran.exit, &told["outcome"]), (Exit::Failed, &"cancelled".into()));
    assert_eq!(told["displaced"], serde_json::json!(["qwen2.5-coder:7b"]));
    assert_eq!((&told["left"], ran.remarks.as_str()), (&why.into(), ""));
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_takes_too_long_is_cancelled() {
    let (handle, mut fake) = engine(two_models());
    tokio::spawn(async move {
        let (id, model, _) = asked(&mut fake).await;
        show(&fake, id, ActKind::Swap, &model, running(), Some(swapping(Some(Stage::Load), None)));
        while fake.commands.recv().await.is_some() {}
    });
    let ran = ran(handle, "deepseek-r1:14b --timeout 5s", pending()).await;
    assert_eq!(ran.exit, Exit::TimedOut);
    assert!(ran.remarks.contains("not done after 5.0 s"), "{}", ran.remarks);
}
