//! `load`, `unload` and their like against a fake engine: what is asked of it, what is printed, how it ends.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use resident::cli::Exit;
use resident::cli::act::{Request, run};
use resident::cli::out::Out;
use resident::config::Confirm;
use resident::engine::{Command, Handle};
use resident::residency::act::{ActKind, ActState};
use resident::residency::expiry::Expiry;
use resident::residency::forecast::Forecast;
use resident::residency::guard::{PinState, Pinned};
use resident::residency::host::Cards;
use resident::residency::snapshot::{Model, Reach, Snapshot, State};
use serde_json::{Value, json};

use crate::cli_fake::{FakeEngine, engine, in_vram, name, noon, on_disk, snapshot};

fn request(kind: ActKind, models: &[&str]) -> Request {
    Request {
        kind,
        models: models.iter().map(|text| name(text)).collect(),
        yes: false,
        confirm: Confirm::Risky,
        read_only: false,
        json: false,
        timeout: None,
        recalls: false,
    }
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
    if request.json {
        results.lines().for_each(|line| crate::schema::follows("act", &serde_json::from_str(line).unwrap()));
    }
    Ran { exit, results, remarks: String::from_utf8(remarks).unwrap() }
}

fn two_models() -> Snapshot {
    let qwen = in_vram("qwen2.5-coder:7b", 4_700_000_000, Expiry::Unknown);
    snapshot(noon(), vec![qwen, on_disk("deepseek-r1:14b", 9_000_000_000, 0)])
}

fn done(took: u64) -> ActState {
    ActState::Done { took: Duration::from_millis(took), at: noon() }
}

fn failed(why: &str) -> ActState {
    ActState::Failed { why: why.into(), cancelled: false, at: noon() }
}

/// Carries out every act at once in `took`, and tells which they were when the front end has gone.
async fn obliging(mut fake: FakeEngine, took: u64) -> Vec<String> {
    let mut acts = Vec::new();
    while let Some(command) = fake.commands.recv().await {
        let Command::Act { id, kind, model } = command else { panic!("an act, not {command:?}") };
        acts.push(format!("{} {model}", kind.verb()));
        let act = (id, kind, model);
        fake.show(&act, ActState::Running { stage: "loading", since: noon() });
        fake.show(&act, done(took));
    }
    acts
}

#[tokio::test]
async fn acts_are_asked_for_in_order_and_each_says_when_it_was_seen_done() {
    let (handle, fake) = engine(two_models());
    let fake = tokio::spawn(obliging(fake, 612));
    let ran =
        ran(handle, &request(ActKind::Touch, &["qwen2.5-coder:7b", "DeepSeek-R1:14B"]), pending()).await;
    assert_eq!(fake.await.unwrap(), ["touch qwen2.5-coder:7b", "touch DeepSeek-R1:14B"]);
    assert_eq!((ran.exit, ran.remarks.as_str()), (Exit::Done, ""));
    assert_eq!(ran.results, "qwen2.5-coder:7b touched in 0.61 s\nDeepSeek-R1:14B touched in 0.61 s\n");
}

#[tokio::test]
async fn the_next_act_waits_for_the_end_of_the_one_before() {
    let (handle, mut fake) = engine(two_models());
    let asked = request(ActKind::Touch, &["qwen2.5-coder:7b", "deepseek-r1:14b"]);
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        let first = fake.act().await;
        fake.show(&first, ActState::Queued { why: "a load is pending".into(), since: noon() });
        tokio::task::yield_now().await;
        assert!(fake.commands.try_recv().is_err());
        fake.show(&first, failed("model runner has\u{1b}[2J stopped"));
        let second = fake.act().await;
        fake.show(&second, done(5));
    });
    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(ran.remarks, "qwen2.5-coder:7b not touched: model runner has\u{fffd}[2J stopped\n");
    assert_eq!(ran.results, "deepseek-r1:14b touched in 0.01 s\n");
}

#[tokio::test]
async fn json_is_one_object_for_each_model() {
    let (handle, fake) = engine(two_models());
    let fake = tokio::spawn(obliging(fake, 5));
    let ran =
        ran(handle, &Request { json: true, ..request(ActKind::Load, &["deepseek-r1:14b"]) }, pending()).await;
    fake.await.unwrap();
    assert_eq!((ran.exit, ran.remarks.as_str(), ran.results.lines().count()), (Exit::Done, "", 1));
    assert_eq!(
        serde_json::from_str::<Value>(&ran.results).unwrap(),
        json!({
            "schema_version": 1, "act": "load", "model": "deepseek-r1:14b", "outcome": "done", "exit_code": 0,
            "took_seconds": 0.005,
        })
    );
}

#[tokio::test]
async fn an_unknown_model_begins_nothing_and_names_the_nearest() {
    let (handle, mut fake) = engine(two_models());
    let asked = request(ActKind::Load, &["deepseek-r1:14b", "qwen2.5-code", "zephyr"]);
    let ran = ran(handle, &asked, pending()).await;
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Failed, ""));
    assert_eq!(
        ran.remarks,
        "qwen2.5-code is not installed on this server; did you mean qwen2.5-coder:7b? \
         To install it: ollama pull qwen2.5-code\n\
         zephyr is not installed on this server. To install it: ollama pull zephyr\n"
    );
    assert!(fake.commands.recv().await.is_none());
}

/// Runs the act on a server with a pinned, a busy and a plain model; tells what was asked of the engine too.
async fn asked_first(asked: Request, change: impl FnOnce(&mut Vec<Model>)) -> (Exit, String, Vec<String>) {
    let mut models = vec![
        in_vram("pinned:1b", 1_000_000_000, Expiry::Never),
        Model { state: State::Busy, ..in_vram("busy:1b", 1_000_000_000, Expiry::Unknown) },
        in_vram("idle:1b", 1_000_000_000, Expiry::Unknown),
        on_disk("new:7b", 4_000_000_000, 0),
    ];
    change(&mut models);
    let (handle, fake) = engine(snapshot(noon(), models));
    let fake = tokio::spawn(obliging(fake, 5));
    let ran = ran(handle, &asked, pending()).await;
    (ran.exit, ran.remarks, fake.await.unwrap())
}

fn evicts(victims: &'static [&'static str]) -> impl FnOnce(&mut Vec<Model>) {
    move |models| {
        let evicts = victims.iter().map(|victim| name(victim)).collect();
        models[3].forecast = Some(Forecast { evicts, why: "needs 4.0 GiB".into() });
    }
}

fn as_is(_: &mut Vec<Model>) {}

#[tokio::test]
async fn a_pinned_or_busy_model_is_unloaded_only_with_yes() {
    let (exit, said, acts) = asked_first(request(ActKind::Unload, &["idle:1b", "pinned:1b"]), as_is).await;
    assert_eq!((exit, acts.len()), (Exit::Refused, 0));
    assert_eq!(said, "pinned:1b not unloaded: it is pinned; --yes does it all the same\n");

    let (exit, said, _) = asked_first(request(ActKind::Unload, &["busy:1b"]), as_is).await;
    assert_eq!(exit, Exit::Refused);
    assert_eq!(said, "busy:1b not unloaded: it is working on a request; --yes does it all the same\n");

    let with_yes = Request { yes: true, ..request(ActKind::Unload, &["pinned:1b", "busy:1b"]) };
    let (exit, _, acts) = asked_first(with_yes, as_is).await;
    assert_eq!((exit, acts), (Exit::Done, vec!["unload pinned:1b".into(), "unload busy:1b".into()]));

    let (exit, _, acts) = asked_first(request(ActKind::Unload, &["idle:1b"]), as_is).await;
    assert_eq!((exit, acts.len()), (Exit::Done, 1));
}

#[tokio::test]
async fn a_load_that_would_evict_a_pinned_or_busy_model_names_it() {
    for kind in [ActKind::Load, ActKind::Pin] {
        let (exit, said, acts) =
            asked_first(request(kind, &["new:7b"]), evicts(&["idle:1b", "pinned:1b"])).await;
        assert_eq!((exit, acts.len()), (Exit::Refused, 0));
        assert!(said.contains("would evict ~ pinned:1b (pinned): needs 4.0 GiB"), "{said}");
    }
    let (exit, _, acts) = asked_first(request(ActKind::Load, &["new:7b"]), evicts(&["idle:1b"])).await;
    assert_eq!((exit, acts.len()), (Exit::Done, 1));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_cannot_be_foreseen_is_refused_while_a_pinned_or_busy_model_is_loaded() {
    for kind in [ActKind::Load, ActKind::Swap, ActKind::Pin] {
        let (exit, said, acts) = asked_first(request(kind, &["new:7b"]), as_is).await;
        assert_eq!((exit, acts.len()), (Exit::Refused, 0));
        let why = "cannot be foreseen; pinned:1b is pinned, busy:1b is working on a request; --yes";
        assert!(said.contains(why), "{said}");
        let with_yes = Request { yes: true, ..request(kind, &["new:7b"]) };
        assert_eq!(asked_first(with_yes, as_is).await.0, Exit::Done);
        let nothing_at_stake = |models: &mut Vec<Model>| drop(models.drain(..2));
        assert_eq!(asked_first(request(kind, &["new:7b"]), nothing_at_stake).await.0, Exit::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forecast_that_comes_a_little_later_is_waited_for() {
    let models =
        vec![in_vram("pinned:1b", 1_000_000_000, Expiry::Never), on_disk("new:7b", 4_000_000_000, 0)];
    let (handle, fake) = engine(snapshot(noon(), models));
    let asked = request(ActKind::Load, &["new:7b"]);
    let (ran, acts) = tokio::join!(ran(handle, &asked, pending()), async move {
        tokio::task::yield_now().await;
        fake.change(|snapshot| {
            let why = "needs 4.0 GiB".into();
            snapshot.servers[0].models[1].forecast = Some(Forecast { evicts: vec![], why });
        });
        obliging(fake, 5).await
    });
    assert_eq!((ran.exit, acts.len()), (Exit::Done, 1), "{}", ran.remarks);
}

#[tokio::test]
async fn confirm_and_read_only_of_the_config_are_kept() {
    let with = |confirm| Request { confirm, ..request(ActKind::Touch, &["idle:1b"]) };
    let (exit, said, _) = asked_first(with(Confirm::Always), as_is).await;
    assert!(exit == Exit::Refused && said.contains("ui.confirm: always"), "{said}");
    let never = Request { confirm: Confirm::Never, ..request(ActKind::Unload, &["pinned:1b"]) };
    assert_eq!(asked_first(never, as_is).await.0, Exit::Done);
    let read_only = Request { read_only: true, yes: true, ..request(ActKind::Touch, &["idle:1b"]) };
    let (exit, said, acts) = asked_first(read_only, as_is).await;
    assert_eq!((exit, acts.len()), (Exit::Usage, 0));
    assert_eq!(said, "read-only: nothing is changed, so touch is not done\n");
}

#[tokio::test]
async fn what_an_earlier_act_changed_is_looked_at_before_the_next() {
    let (handle, mut fake) = engine(snapshot(
        noon(),
        vec![
            in_vram("a:1b", 1_000_000_000, Expiry::Unknown),
            in_vram("b:1b", 1_000_000_000, Expiry::Unknown),
        ],
    ));
    let asked = request(ActKind::Unload, &["a:1b", "b:1b"]);
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        let first = fake.act().await;
        fake.change(|snapshot| snapshot.servers[0].models[1].pinned = true);
        fake.show(&first, done(5));
        assert!(fake.commands.recv().await.is_none());
    });
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Refused, "a:1b unloaded in 0.01 s\n"));
    assert!(ran.remarks.starts_with("b:1b not unloaded: it is pinned"), "{}", ran.remarks);
}

#[tokio::test]
async fn what_was_not_loaded_is_not_said_to_be_unloaded() {
    let (handle, fake) = engine(two_models());
    let fake = tokio::spawn(obliging(fake, 5));
    let asked = request(ActKind::Unload, &["qwen2.5-coder:7b", "deepseek-r1:14b"]);
    let ran = ran(handle, &asked, pending()).await;
    fake.await.unwrap();
    assert_eq!(ran.exit, Exit::Done);
    assert_eq!(ran.results, "qwen2.5-coder:7b unloaded in 0.01 s\ndeepseek-r1:14b is not loaded\n");
}

#[tokio::test]
async fn an_unload_of_a_model_that_was_to_stay_says_that_its_pin_is_over() {
    let mut wished = two_models();
    wished.servers[0].models.iter_mut().for_each(|model| model.wished = true);
    for (model, words) in [
        ("qwen2.5-coder:7b", "unloaded in 0.01 s; its pin is over"),
        ("deepseek-r1:14b", "is not loaded; its pin is over"),
    ] {
        let (handle, fake) = engine(wished.clone());
        let fake = tokio::spawn(obliging(fake, 5));
        let asked = Request { yes: true, ..request(ActKind::Unload, &[model]) };
        let ran = ran(handle, &asked, pending()).await;
        fake.await.unwrap();
        assert_eq!((ran.exit, ran.results), (Exit::Done, format!("{model} {words}\n")));
    }
}

/// One model is pinned and takes 5.5 of the card's 8 GB.
fn one_pin() -> Snapshot {
    let pinned = in_vram("pinned:7b", 5_000_000_000, Expiry::Never);
    snapshot(
        noon(),
        vec![pinned, on_disk("small:1b", 1_000_000_000, 0), on_disk("large:7b", 5_000_000_000, 0)],
    )
}

#[tokio::test]
async fn a_pin_that_has_no_room_beside_the_others_is_refused_without_yes() {
    let (handle, fake) = engine(one_pin());
    let fake = tokio::spawn(obliging(fake, 5));
    let evicts_nobody = |snapshot: &mut Snapshot| {
        for model in &mut snapshot.servers[0].models {
            model.forecast = Some(Forecast { evicts: vec![], why: String::new() });
        }
    };
    let mut foreseen = one_pin();
    evicts_nobody(&mut foreseen);
    let (refused, other) = engine(foreseen.clone());
    let refused = ran(refused, &request(ActKind::Pin, &["large:7b"]), pending()).await;
    drop(other);
    assert_eq!((refused.exit, refused.results.as_str()), (Exit::Refused, ""));
    assert_eq!(
        refused.remarks,
        "large:7b not pinned: 5.0 GB and the pins there are (pinned:7b) take at least 10.5 GB together, the card has 8.6 GB; \
         --yes does it all the same\n"
    );
    let asked = Request { yes: true, ..request(ActKind::Pin, &["large:7b"]) };
    assert_eq!(ran(handle, &asked, pending()).await.exit, Exit::Done);
    assert_eq!(fake.await.unwrap(), ["pin large:7b"]);
    let (handle, fake) = engine(foreseen);
    let fake = tokio::spawn(obliging(fake, 5));
    let fits = ran(handle, &request(ActKind::Pin, &["small:1b"]), pending()).await;
    assert_eq!((fits.exit, fits.remarks.as_str(), fake.await.unwrap().len()), (Exit::Done, "", 1));
}

#[tokio::test]
async fn where_the_room_for_a_pin_cannot_be_told_it_says_so_and_goes_on() {
    let mut hidden = one_pin();
    let cards = hidden.host.cards.as_mut().unwrap();
    cards.value = Cards::Unknown("no driver".to_owned());
    hidden.servers[0].models[2].forecast = Some(Forecast { evicts: vec![], why: String::new() });
    let (handle, fake) = engine(hidden);
    let fake = tokio::spawn(obliging(fake, 5));
    let ran = ran(handle, &request(ActKind::Pin, &["large:7b"]), pending()).await;
    assert_eq!((ran.exit, fake.await.unwrap().len()), (Exit::Done, 1));
    assert_eq!(
        ran.remarks,
        "large:7b: whether it fits beside the other pins cannot be told: the card's memory is not known\n"
    );
}

#[tokio::test]
async fn the_pin_of_a_model_that_was_removed_can_be_let_go() {
    let mut removed = two_models();
    let pin = Pinned {
        model: name("gone:1b"),
        since: None,
        configured: false,
        before: None,
        state: PinState::Away(None),
        tries: 0,
    };
    removed.keeping.pins = Some(Arc::new(vec![pin]));
    let (handle, fake) = engine(removed);
    let fake = tokio::spawn(obliging(fake, 5));
    let ran = ran(handle, &request(ActKind::Unpin, &["gone:1b"]), pending()).await;
    assert_eq!(
        (ran.exit, fake.await.unwrap()),
        (Exit::Done, vec!["unpin gone:1b".to_owned()]),
        "{}",
        ran.remarks
    );
}

#[tokio::test]
async fn an_unpinned_model_says_how_long_it_stays_now() {
    let (handle, fake) = engine(two_models());
    let fake = tokio::spawn(obliging(fake, 5));
    let ran = ran(handle, &request(ActKind::Unpin, &["qwen2.5-coder:7b"]), pending()).await;
    fake.await.unwrap();
    assert_eq!(ran.exit, Exit::Done);
    assert_eq!(ran.results, "qwen2.5-coder:7b unpinned: now 5m after its last use\n");
}

fn down(snapshot: &mut Snapshot) {
    snapshot.servers[0].reach =
        Reach::Down { since: noon(), answers: false, why: "connection refused".into() };
}

#[tokio::test]
async fn no_server_is_said_at_once_and_has_its_exit_code() {
    let mut without = two_models();
    down(&mut without);
    let (handle, _fake) = engine(without.clone());
    let ran = ran(handle, &request(ActKind::Load, &["deepseek-r1:14b"]), pending()).await;
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::NoServer, ""));
    assert!(
        ran.remarks.starts_with("no server at http://127.0.0.1:11434: connection refused; "),
        "{}",
        ran.remarks
    );
}

#[tokio::test]
async fn a_server_that_goes_during_an_act_is_no_server() {
    let (handle, mut fake) = engine(two_models());
    let asked = request(ActKind::Load, &["deepseek-r1:14b", "qwen2.5-coder:7b"]);
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        let act = fake.act().await;
        fake.change(down);
        fake.show(&act, failed("connection reset"));
        assert!(fake.commands.recv().await.is_none(), "the second load is not tried");
    });
    assert_eq!(ran.exit, Exit::NoServer);
    assert_eq!(ran.remarks.lines().count(), 1, "{}", ran.remarks);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_waited_for_and_left() {
    let mut silent = two_models();
    silent.servers[0].reach = Reach::Connecting;
    silent.servers[0].ps_at = None;
    let (handle, _fake) = engine(silent);
    let asked = Request { json: true, ..request(ActKind::Load, &["deepseek-r1:14b"]) };
    let ran = ran(handle, &asked, pending()).await;
    assert_eq!(ran.exit, Exit::TimedOut);
    assert_eq!(serde_json::from_str::<Value>(&ran.results).unwrap()["outcome"], "timed_out");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_in_time_is_cancelled() {
    let (handle, mut fake) = engine(two_models());
    let timeout = Some(Duration::from_secs(90));
    let asked = Request { timeout, ..request(ActKind::Load, &["deepseek-r1:14b", "qwen2.5-coder:7b"]) };
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        let act = fake.act().await;
        assert_eq!(fake.commands.recv().await, Some(Command::Cancel { model: name("deepseek-r1:14b") }));
        fake.show(&act, ActState::Failed { why: "cancelled".into(), cancelled: true, at: noon() });
        assert!(fake.commands.recv().await.is_none(), "the second load is not tried");
    });
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::TimedOut, ""));
    assert_eq!(ran.remarks, "deepseek-r1:14b not loaded: not done after 90.0 s, cancelled\n");
}

#[tokio::test(start_paused = true)]
async fn what_ends_well_while_it_is_cancelled_is_done() {
    let (handle, mut fake) = engine(two_models());
    let asked =
        Request { timeout: Some(Duration::from_secs(1)), ..request(ActKind::Load, &["deepseek-r1:14b"]) };
    let (ran, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        let act = fake.act().await;
        fake.commands.recv().await.unwrap();
        fake.show(&act, done(1001));
    });
    assert_eq!((ran.exit, ran.results.as_str()), (Exit::Done, "deepseek-r1:14b loaded in 1.00 s\n"));
}

#[tokio::test(start_paused = true)]
async fn ctrl_c_cancels_everything_even_if_the_engine_does_not_answer() {
    let (handle, mut fake) = engine(two_models());
    let (press, pressed) = tokio::sync::oneshot::channel::<()>();
    let interrupt = async { pressed.await.unwrap() };
    let asked = request(ActKind::Load, &["deepseek-r1:14b", "qwen2.5-coder:7b"]);
    let (ran, ()) = tokio::join!(ran(handle, &asked, interrupt), async move {
        fake.act().await;
        press.send(()).unwrap();
        assert_eq!(fake.commands.recv().await, Some(Command::CancelAll));
        assert!(fake.commands.recv().await.is_none(), "the second load is not tried");
    });
    assert_eq!((ran.exit, ran.remarks.as_str()), (Exit::Failed, "deepseek-r1:14b not loaded: cancelled\n"));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_and_a_dead_engine_are_failures_not_hangs() {
    let (handle, fake) = engine(two_models());
    while handle.send(Command::CancelAll).is_ok() {}
    let full = ran(handle, &request(ActKind::Touch, &["qwen2.5-coder:7b"]), pending()).await;
    assert_eq!(full.exit, Exit::Failed);
    assert!(full.remarks.contains("too many commands"), "{}", full.remarks);
    drop(fake);

    let (handle, mut fake) = engine(two_models());
    let asked = request(ActKind::Touch, &["qwen2.5-coder:7b"]);
    let (dead, ()) = tokio::join!(ran(handle, &asked, pending()), async move {
        fake.act().await;
    });
    assert_eq!(
        (dead.exit, dead.remarks.as_str()),
        (Exit::Failed, "qwen2.5-coder:7b not touched: the engine has stopped\n")
    );
}
