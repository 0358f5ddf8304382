//! What the engine promises of any Ollama server: each behaviour runs against the embedded server, and by hand against
//! a live one: `RESIDENT_TEST_SERVER=http://… RESIDENT_TEST_MODELS=a,b cargo test -- --ignored live`.

use std::time::Duration;

use resident::config::Config;
use resident::engine::clock;
use resident::residency::act::{ActKind, ActState};
use resident::residency::event::What;
use resident::residency::expiry::Expiry;
use resident::residency::keep_alive::KeepAlive;
use resident::sim;
use serde_json::json;

use crate::engine_world::World;

/// Two installed models of the server.
type Models = (String, String);

/// Runs a behaviour against the embedded server and, ignored, against a live one.
macro_rules! behaviours {
    ($($behaviour:ident)*) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                let options = sim::Options::for_tests(1024, Duration::from_millis(30), clock::system());
                let sim = sim::start(options).await.unwrap();
                let models = ("qwen2.5-coder:7b".to_owned(), "openthinker3-7b".to_owned());
                behaviour::$behaviour(World::new(&sim.url(), Config::default()), models).await;
                sim.shutdown().await;
            }
        )*
        mod live {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs RESIDENT_TEST_SERVER and RESIDENT_TEST_MODELS"]
                async fn $behaviour() {
                    let _one_at_a_time = SERVER.lock().await;
                    let (url, models) = server();
                    behaviour::$behaviour(World::new(&url, Config::default()), models).await;
                }
            )*
        }
    };
}

static SERVER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn server() -> (String, Models) {
    let url = std::env::var("RESIDENT_TEST_SERVER").expect("RESIDENT_TEST_SERVER=http://host:port");
    let models = std::env::var("RESIDENT_TEST_MODELS").expect("RESIDENT_TEST_MODELS=a,b");
    let (a, b) = models.split_once(',').expect("two models: RESIDENT_TEST_MODELS=a,b");
    (url, (a.trim().to_owned(), b.trim().to_owned()))
}

behaviours! {
    a_model_is_loaded_and_unloaded_and_both_are_told
    a_pin_is_kept_and_an_unpin_gives_back_what_was_before
    a_touch_renews_the_countdown_and_keeps_another_clients_context
    a_keep_alive_of_another_client_is_learned_from_the_jump
    an_expiry_is_told_as_one
    a_pin_that_another_client_overwrites_is_told
    an_unknown_model_is_refused_with_the_way_to_get_it
    a_swap_makes_the_model_ready
}

mod behaviour {
    use super::*;

    pub async fn a_model_is_loaded_and_unloaded_and_both_are_told(mut world: World, (a, _): Models) {
        world.ready().await;
        world.done(ActKind::Unload, &a).await;
        world.done(ActKind::Load, &a).await;
        let model = world.until_model(&a, |model| model.loaded.is_some()).await;
        assert!(model.loaded.unwrap().context.is_some());
        assert!(matches!(
            world.event(&a, |what| matches!(what, What::Loaded { .. })).await,
            What::Loaded { took: Some(_), ours: true, .. }
        ));
        world.done(ActKind::Unload, &a).await;
        world.event(&a, |what| matches!(what, What::Unloaded { took: Some(_) })).await;
        world.until_model(&a, |model| model.loaded.is_none()).await;
    }

    pub async fn a_pin_is_kept_and_an_unpin_gives_back_what_was_before(mut world: World, (a, _): Models) {
        world.ready().await;
        world.done(ActKind::Load, &a).await;
        world.done(ActKind::KeepAlive(KeepAlive::For(Duration::from_secs(600))), &a).await;
        let ten = |model: &resident::residency::snapshot::Model| {
            model.loaded.as_ref().and_then(|loaded| loaded.keep_alive)
                == Some(KeepAlive::For(Duration::from_secs(600)))
        };
        world.until_model(&a, ten).await;
        world.done(ActKind::Pin, &a).await;
        world.until_model(&a, |model| model.pinned).await;
        world.event(&a, |what| *what == What::Pinned).await;
        world.done(ActKind::Unpin, &a).await;
        world.until_model(&a, |model| !model.pinned && ten(model)).await;
        world.event(&a, |what| *what == What::Unpinned).await;
        world.done(ActKind::Unload, &a).await;
    }

    pub async fn a_touch_renews_the_countdown_and_keeps_another_clients_context(
        mut world: World,
        (a, _): Models,
    ) {
        world.ready().await;
        world.done(ActKind::Unload, &a).await;
        let body = json!({ "model": a, "keep_alive": "7m", "options": { "num_ctx": 1536 } });
        world.other("/api/generate", body).await;
        let expiry = |model: &resident::residency::snapshot::Model| model.loaded.as_ref().map(|l| l.expiry);
        let before = world.until_model(&a, |model| model.loaded.is_some()).await;
        assert_eq!(before.loaded.as_ref().unwrap().context, Some(1536));
        world.done(ActKind::Touch, &a).await;
        let after = world.until_model(&a, |model| expiry(model) != expiry(&before)).await;
        let (before, after) = (before.loaded.unwrap(), after.loaded.unwrap());
        assert_eq!(
            (after.context, after.keep_alive),
            (Some(1536), Some(KeepAlive::For(Duration::from_secs(420))))
        );
        // A reload would have gone through "gone"; the entry never left the list.
        assert!(
            matches!((before.expiry, after.expiry), (Expiry::At(before), Expiry::At(after)) if after > before)
        );
        let unloaded = |s: &resident::residency::snapshot::Snapshot| {
            s.events
                .iter()
                .filter(|event| matches!(event.what, What::Unloaded { took: None } | What::Evicted { .. }))
                .count()
        };
        assert_eq!(unloaded(&world.handle.snapshot()), 0);
        world.done(ActKind::Unload, &a).await;
    }

    pub async fn a_keep_alive_of_another_client_is_learned_from_the_jump(mut world: World, (a, _): Models) {
        world.ready().await;
        world.done(ActKind::Load, &a).await;
        for (text, seconds) in [("30m", 1800), ("90s", 90)] {
            world.other("/api/generate", json!({ "model": a, "keep_alive": text })).await;
            let learned = Some(KeepAlive::For(Duration::from_secs(seconds)));
            world.until_model(&a, |m| m.loaded.as_ref().is_some_and(|l| l.keep_alive == learned)).await;
        }
        world.done(ActKind::Unload, &a).await;
    }

    pub async fn an_expiry_is_told_as_one(mut world: World, (a, _): Models) {
        world.ready().await;
        world.done(ActKind::Load, &a).await;
        world.other("/api/generate", json!({ "model": a, "keep_alive": "2s" })).await;
        world.event(&a, |what| *what == What::Expired).await;
        world.until_model(&a, |model| model.loaded.is_none()).await;
    }

    pub async fn a_pin_that_another_client_overwrites_is_told(mut world: World, (a, _): Models) {
        world.ready().await;
        world.done(ActKind::Pin, &a).await;
        world.until_model(&a, |model| model.pinned).await;
        world.other("/api/generate", json!({ "model": a, "keep_alive": "5m" })).await;
        let told = world.event(&a, |what| matches!(what, What::PinOverridden { .. })).await;
        assert_eq!(told, What::PinOverridden { to: KeepAlive::For(Duration::from_secs(300)) });
        world.done(ActKind::Unload, &a).await;
    }

    pub async fn an_unknown_model_is_refused_with_the_way_to_get_it(mut world: World, _: Models) {
        world.ready().await;
        let act = world.act(ActKind::Load, "no-such-model:1b").await;
        let ActState::Failed { why, cancelled: false, .. } = act.state else { panic!("{act:?}") };
        assert!(why.contains("ollama pull no-such-model:1b"), "{why}");
    }

    pub async fn a_swap_makes_the_model_ready(mut world: World, (a, b): Models) {
        world.ready().await;
        world.done(ActKind::Load, &a).await;
        world.done(ActKind::Swap, &b).await;
        world.until_model(&b, |model| model.loaded.is_some()).await;
        world.done(ActKind::Unload, &b).await;
        world.done(ActKind::Unload, &a).await;
    }
}

#[tokio::test]
async fn a_model_that_the_server_throws_out_names_who_took_its_place() {
    let mut options = sim::Options::for_tests(1024, Duration::from_millis(30), clock::system());
    options.max_loaded = 1;
    let sim = sim::start(options).await.unwrap();
    let mut world = World::new(&sim.url(), Config::default());
    world.ready().await;
    world.done(ActKind::Load, "qwen2.5-coder:7b").await;
    world.until_model("qwen2.5-coder:7b", |model| model.loaded.is_some()).await;
    world.other("/api/generate", json!({ "model": "openthinker3-7b" })).await;
    let told = world.event("qwen2.5-coder:7b", |what| matches!(what, What::Evicted { .. })).await;
    assert_eq!(told, What::Evicted { by: Some(crate::engine_world::name("openthinker3-7b")) });
}

#[tokio::test]
async fn a_cancelled_load_is_aborted_by_the_server_and_told() {
    let options = sim::Options::for_tests(1024, Duration::from_secs(3600), clock::system());
    let sim = sim::start(options).await.unwrap();
    let mut world = World::new(&sim.url(), Config::default());
    world.ready().await;
    let model = crate::engine_world::name("qwen2.5-coder:7b");
    world.handle.act(ActKind::Load, model.clone()).unwrap();
    world.event("qwen2.5-coder:7b", |what| *what == What::Loading { ours: true }).await;
    world.handle.send(resident::engine::Command::Cancel { model }).unwrap();
    world.event("qwen2.5-coder:7b", |what| matches!(what, What::Cancelled { verb: "load", .. })).await;
    // The server's one loading place is free again, or this would wait an hour.
    let answer = world.other("/api/generate", json!({ "model": "qwen2.5-coder:7b", "keep_alive": 0 })).await;
    assert_eq!(answer["done_reason"], "unload");
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_told_and_old_values_stay() {
    let options = sim::Options::for_tests(1024, Duration::from_millis(30), clock::system());
    let sim = sim::start(options.clone()).await.unwrap();
    let port = sim.url().rsplit(':').next().unwrap().parse().unwrap();
    let mut world = World::new(&sim.url(), Config::default());
    world.ready().await;
    world.done(ActKind::Load, "qwen2.5-coder:7b").await;
    world.until_model("qwen2.5-coder:7b", |model| model.loaded.is_some()).await;
    sim.shutdown().await;
    let gone = |s: &resident::residency::snapshot::Snapshot| {
        s.events.iter().any(|event| matches!(event.what, What::ServerGone { .. })).then_some(())
    };
    world.until("the server gone", gone).await;
    assert_eq!(world.handle.snapshot().servers[0].models.len(), 5);
    let mut again = options;
    again.port = port;
    let sim = sim::start(again).await.unwrap();
    let back = |s: &resident::residency::snapshot::Snapshot| {
        s.events.iter().any(|event| matches!(event.what, What::ServerBack { .. })).then_some(())
    };
    world.until("the server back", back).await;
    // Nobody unloaded it: it went with the server.
    world.event("qwen2.5-coder:7b", |what| *what == What::LostWithServer).await;
    sim.shutdown().await;
}

#[tokio::test]
async fn a_server_that_gives_no_list_of_models_is_said_to_be_down_with_the_reason() {
    use axum::{Json, Router, routing::get};
    let app = Router::new()
        .route("/api/version", get(|| async { Json(json!({ "version": "0.32.15" })) }))
        .route("/api/ps", get(|| async { Json(json!({ "models": [] })) }))
        .route("/api/tags", get(|| async { "{\"models\": [" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut world = World::new(&url, Config::default());
    let why = world
        .until("the reason", |s| match &s.servers[0].reach {
            resident::residency::snapshot::Reach::Down { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.contains("listing the installed models"), "{why}");
    let told = |s: &resident::residency::snapshot::Snapshot| {
        s.events.iter().filter(|event| matches!(event.what, What::Failed { .. })).count()
    };
    assert_eq!(told(&world.handle.snapshot()), 1);
}

#[tokio::test]
async fn an_old_server_is_asked_at_most_once_a_second_even_while_an_act_runs() {
    use axum::{Json, Router, routing::get};
    use std::sync::{Arc, Mutex};
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let app = Router::new()
        .route("/api/version", get(|| async { Json(json!({ "version": "0.24.0" })) }))
        .route("/api/tags", get(|| async { Json(json!({ "models": [{ "name": "a:1", "digest": "d" }] })) }))
        .route("/api/generate", axum::routing::post(std::future::pending::<()>))
        .route(
            "/api/ps",
            get(move || {
                seen.lock().unwrap().push(tokio::time::Instant::now());
                async { Json(json!({ "models": [] })) }
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut world = World::new(&url, Config::default());
    world.ready().await;
    world.handle.act(ActKind::Load, crate::engine_world::name("a:1")).unwrap();
    while times.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let times = times.lock().unwrap();
    // Never sooner than a period after the last answer; later on a busy machine.
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(990)), "{times:?}");
}
