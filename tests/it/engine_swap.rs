//! Swaps on the embedded server, and on one that refuses or hangs in each stage: what goes, what is timed, what is left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use resident::config::Config;
use resident::engine::{Command, Parts, clock, start};
use resident::probe::watched::Watched;
use resident::residency::act::{Act, ActKind, ActState};
use resident::residency::event::What;
use resident::residency::host::{Card, Cards};
use resident::residency::name::ModelName;
use resident::residency::snapshot::Snapshot;
use resident::residency::swap::{Ended, Stage, Swapping, Wish};
use resident::sim::{self, Sim};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::engine_world::{World, name, parts};

const QWEN: &str = "qwen2.5-coder:7b";
const THINKER: &str = "openthinker3-7b";
const LOAD: Duration = Duration::from_millis(30);

/// An engine on the server at `url` that sees its card.
fn world(url: &str, read: impl FnMut() -> Cards + Send + 'static) -> World {
    let stop = CancellationToken::new();
    let period = Duration::from_millis(100);
    let cards = Watched::spawn("card", clock::system(), period, stop.clone(), read).unwrap();
    let config = Config { url: url.to_owned(), ..Config::default() };
    let parts = parts(config, clock::system(), &stop);
    let handle = start(Parts { local: true, cards: Some(cards), ..parts });
    World::of(handle, url.to_owned(), stop)
}

/// The embedded server, whose card holds one of the two models.
async fn demo() -> (Sim, World) {
    let sim = sim::start(sim::Options::for_tests(1024, LOAD, clock::system())).await.unwrap();
    let card = sim.card();
    let mut world = world(&sim.url(), move || card.read());
    world.ready().await;
    (sim, world)
}

fn swapping(act: &Act) -> &Swapping {
    act.swap.as_ref().unwrap()
}

impl World {
    /// Swaps once it can be foreseen what must go, and waits for the end.
    async fn swap(&mut self, text: &str, wish: Wish) -> Act {
        self.until_model(text, |model| model.forecast.is_some() || model.loaded.is_some()).await;
        let id = self.handle.swap(name(text), wish).unwrap();
        let ended = |s: &Snapshot| s.acts.iter().find(|act| act.id == id && !act.is_live()).cloned();
        self.until(&format!("the end of the swap to {text}"), ended).await
    }

    fn told(&self) -> Vec<(Option<ModelName>, What)> {
        self.handle.snapshot().events.iter().map(|event| (event.model.clone(), event.what.clone())).collect()
    }
}

#[tokio::test]
async fn a_swap_unloads_what_must_go_and_times_each_stage() {
    let (_sim, mut world) = demo().await;
    world.swap(QWEN, Wish::default()).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    let act = world.swap(THINKER, Wish { first_token: true, ..Wish::default() }).await;
    assert!(matches!(act.state, ActState::Done { .. }), "{act:?}");
    let swap = swapping(&act);
    assert_eq!((&swap.plan.goes[..], &swap.plan.stays[..]), (&[name(QWEN)][..], &[][..]));
    assert_eq!((swap.stage, swap.ended.as_ref()), (None, Some(&Ended::Ready)));
    let stages = swap.stages;
    let (unload, load, token) = (stages.unload.unwrap(), stages.load.unwrap(), stages.first_token.unwrap());
    assert!(load >= LOAD && stages.total.unwrap() >= unload + load + token, "{stages:?}");
    // Seen beside the load, or a little after the end.
    let id = act.id;
    let seen = |s: &Snapshot| s.acts.iter().find(|act| act.id == id)?.swap.as_ref()?.stages.gone;
    world.until("what was unloaded gone", seen).await;
    world.until_model(THINKER, |model| model.loaded.is_some()).await;
    let told = world.told();
    assert!(told.iter().any(|(_, what)| matches!(what, What::Unloaded { took: Some(_) })), "{told:?}");
    assert!(
        !told.iter().any(|(_, what)| matches!(what, What::Evicted { .. } | What::Failed { .. })),
        "{told:?}"
    );
}

#[tokio::test]
async fn whatever_our_swaps_make_go_is_told_as_our_own_work() {
    let (_sim, mut world) = demo().await;
    for model in [QWEN, THINKER, QWEN, THINKER] {
        world.swap(model, Wish::default()).await;
        // The next one begins when the list shows this one alone.
        let alone = |s: &Snapshot| {
            let models = &s.servers[0].models;
            let other = models.iter().any(|one| one.loaded.is_some() && one.name != name(model));
            (!other && models.iter().any(|one| one.loaded.is_some())).then_some(())
        };
        world.until(&format!("{model} alone"), alone).await;
    }
    let told = world.told();
    let ours = told.iter().filter(|(_, what)| matches!(what, What::Unloaded { took: Some(_) })).count();
    assert_eq!(ours, 3, "{told:?}");
    let theirs = |what: &What| matches!(what, What::Unloaded { took: None } | What::Evicted { .. });
    assert!(!told.iter().any(|(_, what)| theirs(what)), "{told:?}");
}

#[tokio::test]
async fn a_swap_that_stands_in_our_queue_says_so_and_its_stages_make_its_total() {
    let (_sim, mut world) = demo().await;
    world.until_model(THINKER, |model| model.forecast.is_some()).await;
    let first = world.handle.swap(name(QWEN), Wish::default()).unwrap();
    let second = world.handle.swap(name(THINKER), Wish::default()).unwrap();
    let ended = |s: &Snapshot| {
        let swap = |id| s.acts.iter().find(|act| act.id == id && !act.is_live())?.swap.clone();
        Some((swap(first)?.stages, swap(second)?.stages))
    };
    let (first, second) = world.until("the end of both", ended).await;
    assert_eq!(first.waited, None);
    let waited = second.waited.unwrap();
    assert!(waited >= first.load.unwrap(), "{second:?}");
    let parts = [Some(waited), second.unload, second.load].into_iter().flatten().sum::<Duration>();
    assert!(parts <= second.total.unwrap(), "{second:?}");
}

#[tokio::test]
async fn a_model_that_is_there_is_touched_or_says_a_token_and_nothing_goes() {
    let (_sim, mut world) = demo().await;
    world.swap(QWEN, Wish::default()).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    let act = world.swap(QWEN, Wish::default()).await;
    assert!(matches!((&act.state, &act.swap), (ActState::Done { .. }, None)), "{act:?}");
    assert_eq!(act.first_token, None, "nobody asked for one");
    let act = world.swap(QWEN, Wish { first_token: true, ..Wish::default() }).await;
    let ActState::Done { took, .. } = act.state else { panic!("{act:?}") };
    assert!(act.swap.is_none() && act.first_token.is_some_and(|token| token <= took), "{act:?}");
}

#[tokio::test]
async fn a_pin_that_a_swap_displaces_comes_back_with_the_swap_back() {
    let (_sim, mut world) = demo().await;
    world.done(ActKind::Pin, QWEN).await;
    world.until_model(QWEN, |model| model.pinned).await;
    world.swap(THINKER, Wish::default()).await;
    world.until_model(QWEN, |model| model.loaded.is_none()).await;
    world.swap(QWEN, Wish::default()).await;
    world.until_model(QWEN, |model| model.pinned).await;
    let bad = |what: &What| {
        matches!(
            what,
            What::Evicted { .. } | What::PinOverridden { .. } | What::Unpinned | What::Failed { .. }
        )
    };
    let told = world.told();
    assert!(!told.iter().any(|(_, what)| bad(what)), "{told:?}");
}

#[tokio::test]
async fn every_load_carries_the_context_that_is_asked_for_and_another_one_loads_anew() {
    let (_sim, mut world) = demo().await;
    let with = |num_ctx| Wish { num_ctx: Some(num_ctx), ..Wish::default() };
    let context =
        |model: &resident::residency::snapshot::Model| model.loaded.as_ref().and_then(|l| l.context);
    assert_eq!(swapping(&world.swap(QWEN, with(2048)).await).plan.num_ctx, Some(2048));
    world.until_model(QWEN, |model| context(model) == Some(2048)).await;
    let again = world.swap(QWEN, with(4096)).await;
    assert!(swapping(&again).plan.before.in_vram, "{again:?}");
    world.until_model(QWEN, |model| context(model) == Some(4096)).await;
    // What it last ran with goes with the next load that wishes nothing.
    world.swap(THINKER, Wish::default()).await;
    world.until_model(QWEN, |model| model.loaded.is_none()).await;
    assert_eq!(swapping(&world.swap(QWEN, Wish::default()).await).plan.num_ctx, Some(4096));
    world.until_model(QWEN, |model| context(model) == Some(4096)).await;
}

/// What the server does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    It,
    Refuses,
    Hangs,
}

/// What it does with an unload, a load and a prompt.
#[derive(Clone, Copy)]
struct Manners {
    unload: Does,
    load: Does,
    token: Does,
}

const GOOD: Manners = Manners { unload: Does::It, load: Does::It, token: Does::It };

/// A server whose full card holds `old:1b`; `new:1b` needs its room.
async fn fake(manners: Manners) -> String {
    let loaded = Arc::new(Mutex::new(vec!["old:1b"]));
    let listed = Arc::clone(&loaded);
    let model = |name: &str| json!({ "name": name, "digest": name, "size": 4_000_000_000_u64 });
    let generate = move |Json(body): Json<Value>| {
        let unloads = body["keep_alive"] == 0;
        let does = match () {
            () if unloads => manners.unload,
            () if body.get("prompt").is_some() => manners.token,
            () => manners.load,
        };
        let loaded = Arc::clone(&loaded);
        async move {
            if does == Does::Hangs {
                std::future::pending::<()>().await;
            }
            if does == Does::Refuses {
                let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
                return (status, Json(json!({ "error": "cudaMalloc failed: out of memory" })));
            }
            *loaded.lock().unwrap() = if unloads { vec![] } else { vec!["new:1b"] };
            let said = json!({ "done": true, "load_duration": 1_500_000_000_u64 });
            (axum::http::StatusCode::OK, Json(said))
        }
    };
    let ps = move || {
        let running = |name: &&str| {
            let mut running = model(name);
            running["size_vram"] = running["size"].clone();
            running["context_length"] = 4096.into();
            running["expires_at"] = "2999-01-01T00:00:00Z".into();
            running
        };
        let models: Vec<Value> = listed.lock().unwrap().iter().map(running).collect();
        async move { Json(json!({ "models": models })) }
    };
    let app = Router::new()
        .route("/api/version", get(|| async { Json(json!({ "version": "0.32.15" })) }))
        .route(
            "/api/tags",
            get(move || async move { Json(json!({ "models": [model("old:1b"), model("new:1b")] })) }),
        )
        .route("/api/show", post(|| async { Json(json!({})) }))
        .route("/api/generate", post(generate))
        .route("/api/ps", get(ps));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}

async fn on(manners: Manners) -> World {
    let url = fake(manners).await;
    let full =
        || Cards::Known(vec![Card { total: bytes(8), free: bytes(0), used: bytes(8), ..Card::default() }]);
    let mut world = world(&url, full);
    world.until_model("new:1b", |model| model.forecast.is_some()).await;
    world
}

fn bytes(gb: u64) -> resident::residency::bytes::Bytes {
    resident::residency::bytes::Bytes(gb * resident::residency::bytes::GB)
}

fn spoken() -> Wish {
    Wish { first_token: true, ..Wish::default() }
}

#[tokio::test]
async fn what_the_server_refuses_fails_in_its_stage_and_the_old_model_is_offered_back() {
    let offer = "; load old:1b again with l (or resident load old:1b)";
    for (manners, stage, ends) in [
        (Manners { unload: Does::Refuses, ..GOOD }, Stage::Unload, "out of memory"),
        (Manners { load: Does::Refuses, ..GOOD }, Stage::Load, offer),
        (Manners { token: Does::Refuses, ..GOOD }, Stage::FirstToken, offer),
    ] {
        let mut world = on(manners).await;
        let act = world.swap("new:1b", spoken()).await;
        let ActState::Failed { why, cancelled: false, .. } = &act.state else { panic!("{act:?}") };
        assert!(why.ends_with(ends), "{why}");
        let Some(Ended::Failed { stage: failed, why: plain }) = &swapping(&act).ended else {
            panic!("{act:?}")
        };
        assert_eq!(*failed, stage);
        assert!(plain.contains("out of memory") && !plain.contains("again"), "{plain}");
        world.event("new:1b", |what| *what == What::Failed { verb: "swap", why: why.clone() }).await;
    }
}

#[tokio::test]
async fn what_is_cancelled_says_what_is_loaded_in_each_stage() {
    for (manners, running, left) in [
        (
            Manners { unload: Does::Hangs, ..GOOD },
            Stage::Unload,
            "unloading: old:1b is unloaded, nothing is loaded",
        ),
        (
            Manners { load: Does::Hangs, ..GOOD },
            Stage::Load,
            "loading: old:1b is unloaded, nothing is loaded",
        ),
        (
            Manners { token: Does::Hangs, ..GOOD },
            Stage::FirstToken,
            "waiting for the first token: new:1b is loaded",
        ),
    ] {
        let mut world = on(manners).await;
        let id = world.handle.swap(name("new:1b"), spoken()).unwrap();
        let is_there = |s: &Snapshot| {
            let stage = s.acts.iter().find(|act| act.id == id)?.swap.as_ref()?.stage;
            (stage == Some(running)).then_some(())
        };
        world.until("the stage", is_there).await;
        world.handle.send(Command::Cancel { model: name("new:1b") }).unwrap();
        let left = Some(format!("while {left}"));
        world.event("new:1b", |what| *what == What::Cancelled { verb: "swap", left: left.clone() }).await;
        let act = world.handle.snapshot().acts.iter().find(|act| act.id == id).cloned().unwrap();
        assert_eq!(swapping(&act).ended, Some(Ended::Cancelled { stage: running }));
    }
}

#[tokio::test]
async fn the_servers_own_load_time_is_kept_where_it_says_one() {
    let mut world = on(GOOD).await;
    let act = world.swap("new:1b", Wish::default()).await;
    assert_eq!(swapping(&act).stages.server_load, Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn a_swap_that_must_spare_fails_rather_than_displace_a_pinned_model() {
    let (_sim, mut world) = demo().await;
    world.done(ActKind::Pin, QWEN).await;
    world.until_model(QWEN, |model| model.pinned).await;
    let act = world.swap(THINKER, Wish { spare: true, ..Wish::default() }).await;
    let ActState::Failed { why, .. } = &act.state else { panic!("{act:?}") };
    assert_eq!(*why, format!("it would displace {QWEN}, which is pinned"));
    assert!(world.handle.snapshot().servers[0].model(&name(QWEN)).unwrap().pinned);
}
