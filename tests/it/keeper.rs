//! The keeper against the embedded server and other clients: pins that are enforced without a fight, models in use that
//! stay, start-up that evicts nobody, and not one request that could hurt a real server.

use std::sync::Arc;
use std::time::Duration;

use resident::config::{Config, Pins, Preload, Strategy};
use resident::engine::{Command, Journals, Parts, clock, start};
use resident::journal::{Journal, history};
use resident::probe::watched::Watched;
use resident::residency::act::ActKind;
use resident::residency::event::What;
use resident::residency::expiry::Expiry;
use resident::residency::guard::claim::Idle;
use resident::residency::guard::hindrance::Hindrance;
use resident::residency::guard::startup::{Item, ItemState, Startup};
use resident::residency::guard::{Auto, Keeper, PinState};
use resident::residency::keep_alive::KeepAlive;
use resident::residency::name::ModelName;
use resident::residency::record::{Happened, Left, Record, server_name};
use resident::residency::snapshot::Snapshot;
use resident::residency::timing::{Clock, Moment, Reading};
use resident::sim::{self, Broken, Sim};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::engine_world::{World, name, parts};

const QWEN: &str = "qwen2.5-coder:7b";
const THINKER: &str = "openthinker3-7b";
const DEEPSEEK: &str = "deepseek-r1:14b";
const NOMIC: &str = "nomic-embed-text";
const GEMMA: &str = "gemma3:270m";

/// A load's time, which passes at once.
const LOAD: Duration = Duration::from_secs(2);

/// The embedded server with its card of 8 GiB and its process table, and a place for a journal.
struct Place {
    dir: TempDir,
    sim: Arc<Sim>,
    clock: Clock,
    http: reqwest::Client,
    /// Its runners are processes: time is real.
    is_real: bool,
}

fn folder() -> TempDir {
    tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap()
}

impl Place {
    async fn new() -> Place {
        let clock = clock::of_tokio("2026-11-23T12:00:00Z".parse().unwrap());
        Place::on(sim::Options::for_tests(1, LOAD, Arc::clone(&clock)), clock, folder()).await
    }

    /// One with files and a process for each loaded model, in real time.
    #[cfg(target_os = "linux")]
    async fn real() -> Place {
        let (dir, clock) = (folder(), clock::system());
        let files = sim::files::prepare(&dir.path().join("models"), 64, |_, _| {}).unwrap();
        let options = sim::Options::demo(files, env!("CARGO_BIN_EXE_resident").into(), Arc::clone(&clock));
        Place { is_real: true, ..Place::on(options, clock, dir).await }
    }

    async fn on(options: sim::Options, clock: Clock, dir: TempDir) -> Place {
        let sim = Arc::new(sim::start(options).await.unwrap());
        // One of our clients chooses how any is built to encrypt.
        drop(
            resident::ollama::Client::new("http://127.0.0.1:1", resident::ollama::Options::default())
                .unwrap(),
        );
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Place { dir, sim, clock, http, is_real: false }
    }

    fn journals(&self) -> Journals {
        let path = self.dir.path().join("journal.sqlite");
        let open = move || Journal::open(&path, clock::system(), &CancellationToken::new()).ok();
        Journals::new(Box::new(open)).keeping()
    }

    /// A dashboard; what it sees of cards and processes is looked up four times a second.
    fn instance(&self, config: Config) -> World {
        let stop = CancellationToken::new();
        let (publish_cards, cards) = watch::channel(None);
        let (publish_runners, runners) = watch::channel(None);
        let (sim, clock, ended) = (Arc::clone(&self.sim), Arc::clone(&self.clock), stop.clone());
        tokio::spawn(ended.run_until_cancelled_owned(async move {
            loop {
                let at = clock();
                publish_cards.send_replace(Some(Reading { value: sim.card().read(), at }));
                publish_runners.send_replace(Some(Reading { value: sim.runners().await, at }));
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }));
        let models_dir = self.is_real.then(|| self.dir.path().join("models"));
        let config = Config { url: self.sim.url(), may_act: true, models_dir, ..config };
        let parts = parts(config, Arc::clone(&self.clock), &stop);
        let looked = || {
            let period = Duration::from_millis(250);
            let proc = std::path::Path::new("/proc");
            resident::probe::runner::spawn(proc, parts.client.port(), clock::system(), period).unwrap()
        };
        let runners = if self.is_real { looked() } else { Watched::told(runners) };
        let handle = start(Parts {
            local: true,
            demo_scale: self.is_real.then_some(64),
            cards: Some(Watched::told(cards)),
            runners: Some(runners),
            journal: self.journals(),
            ..parts
        });
        World::of(handle, self.sim.url(), stop)
    }

    /// A dashboard on another machine: it sees neither cards nor processes.
    fn seen_from_afar(&self, config: Config) -> World {
        let stop = CancellationToken::new();
        let config = Config { url: self.sim.url(), may_act: true, ..config };
        let parts = parts(config, Arc::clone(&self.clock), &stop);
        World::of(start(Parts { journal: self.journals(), ..parts }), self.sim.url(), stop)
    }

    /// A dashboard that has become the keeper and knows what is installed.
    async fn keeper(&self, config: Config) -> World {
        let mut world = self.instance(config);
        journal(&mut world, "keeper", |s| (s.keeping.keeper == Some(Keeper::This)).then_some(())).await;
        world.ready().await;
        world
    }

    /// Another client's request.
    async fn other(&self, body: Value) -> Value {
        generate(self.http.clone(), self.sim.url(), body).await
    }

    /// Another client's request with a prompt: it works on it for so many seconds.
    async fn uses(&self, model: &str, seconds: u64) {
        self.other(json!({"model": model, "prompt": "go on", "stream": false, "options": {"num_predict": 20 * seconds}}))
            .await;
    }

    async fn seconds(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Without what can only be said of one instance.
    fn fouls_of_two(&self) -> Vec<(Broken, Option<ModelName>)> {
        self.fouls().into_iter().filter(|(rule, _)| *rule != Broken::AsksTooOften).collect()
    }

    fn fouls(&self) -> Vec<(Broken, Option<ModelName>)> {
        self.sim.fouls().into_iter().map(|foul| (foul.rule, foul.model)).collect()
    }
}

async fn generate(http: reqwest::Client, url: String, body: Value) -> Value {
    http.post(format!("{url}/api/generate")).json(&body).send().await.unwrap().json().await.unwrap()
}

/// Waits for what comes from the journal, whose thread lives in real time: meanwhile time passes as slowly.
async fn journal<T>(world: &mut World, what: &str, found: impl FnMut(&Snapshot) -> Option<T>) -> T {
    let slowly = async {
        loop {
            let (_never, waits) = std::sync::mpsc::channel::<()>();
            let moment = move || waits.recv_timeout(Duration::from_millis(5));
            let _ = tokio::task::spawn_blocking(moment).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        found = world.until(what, found) => found,
        () = slowly => unreachable!("it goes on for ever"),
    }
}

fn pins(models: &[&str]) -> Pins {
    Pins { models: models.iter().map(|model| name(model)).collect(), ..Pins::default() }
}

fn pinned(models: &[&str]) -> Config {
    Config { pins: pins(models), ..Config::default() }
}

fn is_held(model: &str) -> impl Fn(&Snapshot) -> bool {
    let model = name(model);
    move |s| s.keeping.pin(&model).is_some_and(|pin| pin.state == PinState::Held)
}

/// What hinders a pin that is away.
fn hindrance(s: &Snapshot, model: &str) -> Option<Hindrance> {
    match &s.keeping.pin(&name(model))?.state {
        PinState::Away(why) => why.clone(),
        _ => None,
    }
}

fn count(s: &Snapshot, is: impl Fn(&What) -> bool) -> usize {
    s.events.iter().filter(|event| is(&event.what)).count()
}

#[tokio::test(start_paused = true)]
async fn a_pin_of_the_config_is_brought_into_vram_and_an_overwritten_one_is_set_again() {
    let place = Place::new().await;
    let mut world = place.keeper(pinned(&[QWEN])).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    place.other(json!({"model": QWEN, "keep_alive": "5m"})).await;
    let state = |s: &Snapshot| s.keeping.pin(&name(QWEN)).map(|pin| pin.state.clone());
    world.until("the overwriting", |s| (state(s) == Some(PinState::Overridden)).then_some(())).await;
    world.until("the pin again", |s| is_held(QWEN)(s).then_some(())).await;
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_pin_is_set_again_before_another_clients_short_keep_alive_ends() {
    let place = Place::new().await;
    let mut world = place.keeper(pinned(&[QWEN])).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    let runner = place.sim.runners().await[0].pid;
    for millis in [100, 300, 500, 700, 900] {
        tokio::time::sleep(Duration::from_millis(20_000 + millis)).await;
        place.other(json!({"model": QWEN, "keep_alive": "4s"})).await;
        world.until("the overwriting", |s| (!is_held(QWEN)(s)).then_some(())).await;
        world.until("the pin again", |s| is_held(QWEN)(s).then_some(())).await;
    }
    assert_eq!(place.sim.runners().await[0].pid, runner, "it never left");
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_expires_while_nothing_may_be_sent_is_brought_back() {
    let clock = clock::of_tokio("2026-11-23T12:00:00Z".parse().unwrap());
    let slow = sim::Options::for_tests(1, Duration::from_secs(20), Arc::clone(&clock));
    let place = Place::on(slow, clock, folder()).await;
    let mut world = place.keeper(pinned(&[GEMMA])).await;
    world.until("the pin", |s| is_held(GEMMA)(s).then_some(())).await;
    tokio::spawn(generate(place.http.clone(), place.sim.url(), json!({"model": THINKER})));
    world.event(THINKER, |what| matches!(what, What::Loading { ours: false })).await;
    place.other(json!({"model": GEMMA, "keep_alive": "4s"})).await;
    world.event(GEMMA, |what| *what == What::Expired).await;
    world.event(GEMMA, |what| matches!(what, What::BringsBack { by: None, time: 1, .. })).await;
    world.until("the pin again", |s| is_held(GEMMA)(s).then_some(())).await;
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn an_evicted_pin_comes_back_when_what_took_its_place_is_idle() {
    let place = Place::new().await;
    let mut world = place.keeper(pinned(&[QWEN])).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    place.uses(THINKER, 20).await;
    place.uses(THINKER, 20).await;
    let loaded = world.until_model(THINKER, |model| model.loaded.is_some()).await;
    assert!(loaded.loaded.is_some());
    let until = world
        .until("that it waits", |s| match hindrance(s, QWEN) {
            Some(Hindrance::Waits(until)) => Some(until),
            _ => None,
        })
        .await;
    world.until("the pin again", |s| is_held(QWEN)(s).then_some(())).await;
    let late = (place.clock)().wall.duration_since(until).as_secs();
    assert!((0..=5).contains(&late), "it came {late} s after the time that was told");
    let what = world.event(QWEN, |what| matches!(what, What::BringsBack { .. })).await;
    assert!(
        matches!(&what, What::BringsBack { by: Some(by), time: 1, .. } if *by == name(THINKER)),
        "{what:?}"
    );
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_insists_wins_after_four_times_and_is_named() {
    let place = Place::new().await;
    let mut world = place.keeper(pinned(&[QWEN])).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    let (http, url) = (place.http.clone(), place.sim.url());
    let insists = tokio::spawn(async move {
        loop {
            let body =
                json!({"model": THINKER, "prompt": "go on", "stream": false, "options": {"num_predict": 20}});
            generate(http.clone(), url.clone(), body).await;
            tokio::time::sleep(Duration::from_secs(200)).await;
        }
    });
    for _ in 0..60 {
        place.seconds(30).await;
    }
    let snapshot = world.handle.snapshot();
    assert_eq!(count(&snapshot, |what| matches!(what, What::BringsBack { .. })), 4, "{:#?}", snapshot.events);
    let given_up =
        |what: &What| matches!(what, What::PinGivenUp { by: Some(by), times: 4 } if *by == name(THINKER));
    assert_eq!(count(&snapshot, given_up), 1, "{:#?}", snapshot.events);
    let state = &snapshot.keeping.pin(&name(QWEN)).unwrap().state;
    assert!(state.is_over(), "{state:?}");
    insists.abort();
    // The user asks again: all begins anew.
    world.done(ActKind::Pin, QWEN).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn two_pins_that_cannot_fit_do_not_throw_each_other_out() {
    let place = Place::new().await;
    let mut world = place.keeper(pinned(&[QWEN, THINKER])).await;
    world.until("a pin", |s| (is_held(QWEN)(s) || is_held(THINKER)(s)).then_some(())).await;
    for _ in 0..40 {
        place.seconds(30).await;
    }
    let snapshot = world.handle.snapshot();
    assert!(is_held(QWEN)(&snapshot) != is_held(THINKER)(&snapshot));
    let (held, away) = if is_held(QWEN)(&snapshot) { (QWEN, THINKER) } else { (THINKER, QWEN) };
    assert_eq!(hindrance(&snapshot, away), Some(Hindrance::Beside(name(held))));
    assert_eq!(count(&snapshot, |what| matches!(what, What::Evicted { .. })), 0, "{:#?}", snapshot.events);
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_cannot_come_says_why() {
    let place = Place::new().await;
    place.other(json!({"model": THINKER})).await;
    let mut world = place.keeper(pinned(&[QWEN, "nowhere:1b"])).await;
    let no_room = |s: &Snapshot| match hindrance(s, QWEN) {
        Some(Hindrance::NoRoom { needs, card, there }) => Some((needs, card, there)),
        _ => None,
    };
    let (needs, card, there) = world.until("that it has no room", no_room).await;
    assert!(needs.gib() > 4.0 && needs < card && card.gib() > 7.9, "{needs} {card}");
    assert_eq!(there, name(THINKER));
    let snapshot = world.handle.snapshot();
    assert_eq!(hindrance(&snapshot, "nowhere:1b"), Some(Hindrance::NotInstalled));
    world.event("nowhere:1b", |what| *what == What::NotInstalled).await;
    place.seconds(60).await;
    assert_eq!(count(&world.handle.snapshot(), |what| *what == What::NotInstalled), 1, "said once");
    drop(world);
    // From another machine the card cannot be read.
    let mut afar = place.seen_from_afar(pinned(&[QWEN]));
    let unread = |s: &Snapshot| (hindrance(s, QWEN) == Some(Hindrance::CardUnread)).then_some(());
    journal(&mut afar, "that nobody knows whether it fits", unread).await;
    place.seconds(330).await;
    afar.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    assert_eq!(place.fouls_of_two(), []);
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_is_never_thrown_out_for_a_pin() {
    let place = Place::new().await;
    let world = place.keeper(Config::default()).await;
    let (http, url) = (place.http.clone(), place.sim.url());
    let works = tokio::spawn(generate(
        http,
        url,
        json!({"model": THINKER, "prompt": "go on", "stream": false, "options": {"num_predict": 20 * 900}}),
    ));
    place.seconds(10).await;
    drop(world);
    let mut world = place.keeper(pinned(&[QWEN])).await;
    place.seconds(600).await;
    assert_eq!(count(&world.handle.snapshot(), |what| matches!(what, What::BringsBack { .. })), 0);
    assert_eq!(hindrance(&world.handle.snapshot(), QWEN), Some(Hindrance::AtWork(name(THINKER))));
    works.await.unwrap();
    // Start of the program evicts nobody either: it comes when there is room.
    place.seconds(250).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    world.event(THINKER, |what| matches!(what, What::Expired)).await;
    assert_eq!(place.fouls_of_two(), []);
}

#[tokio::test(start_paused = true)]
async fn a_runner_of_another_context_is_kept_through_touch_pin_refresh_and_unpin() {
    let place = Place::new().await;
    let config = Config {
        keep_alive: Some(KeepAlive::For(Duration::from_secs(3600))),
        preload: Preload {
            enabled: true,
            auto_refresh: true,
            models: vec![name(QWEN)],
            ..Preload::default()
        },
        ..Config::default()
    };
    let mut world = place.keeper(config).await;
    place.other(json!({"model": QWEN, "options": {"num_ctx": 8192}})).await;
    let before = place.sim.runners().await;
    assert_eq!(before[0].context, Some(8192));
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    place.seconds(3).await;
    world.done(ActKind::Touch, QWEN).await;
    world.done(ActKind::Pin, QWEN).await;
    journal(&mut world, "the pin", |s| is_held(QWEN)(s).then_some(())).await;
    place.other(json!({"model": QWEN, "keep_alive": "4m", "options": {"num_ctx": 8192}})).await;
    world.until("the overwriting", |s| (!is_held(QWEN)(s)).then_some(())).await;
    world.until("the pin again", |s| is_held(QWEN)(s).then_some(())).await;
    world.done(ActKind::Unpin, QWEN).await;
    // Refreshed while it is idle for less than the config's keep_alive.
    place.seconds(1500).await;
    world.event(QWEN, |what| matches!(what, What::Refreshes { .. })).await;
    let after = place.sim.runners().await;
    assert_eq!((after[0].pid, after[0].context), (before[0].pid, Some(8192)));
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_listed_model_stays_for_the_configs_keep_alive_and_another_expires_as_the_server_says() {
    let place = Place::new().await;
    let config = Config {
        keep_alive: Some(KeepAlive::For(Duration::from_secs(1800))),
        preload: Preload {
            enabled: true,
            auto_refresh: true,
            models: vec![name(GEMMA)],
            ..Preload::default()
        },
        ..Config::default()
    };
    let mut world = place.keeper(config).await;
    assert_eq!(world.handle.snapshot().keeping.auto, [Auto::Refresh]);
    place.uses(GEMMA, 1).await;
    place.other(json!({"model": QWEN})).await;
    let begin = (place.clock)();
    let gone = async |world: &mut World, model: &str| {
        world.until_model(model, |model| model.loaded.is_some()).await;
        loop {
            place.seconds(30).await;
            let snapshot = world.handle.snapshot();
            if snapshot.servers[0].model(&name(model)).unwrap().loaded.is_none() {
                return (place.clock)().since(begin.mono).as_secs();
            }
        }
    };
    let qwen = gone(&mut world, QWEN).await;
    assert!((300..=335).contains(&qwen), "{qwen}");
    let gemma = gone(&mut world, GEMMA).await;
    assert!((1780..=1850).contains(&gemma), "{gemma}");
    assert_eq!(place.fouls(), []);
}

fn started(preload: Preload) -> Config {
    let preload = Preload { enabled: true, on_startup: true, ..preload };
    Config { primary: Some(name(QWEN)), preload, ..Config::default() }
}

fn states(startup: &Startup) -> Vec<(&str, &ItemState)> {
    startup.items.iter().map(|Item { model, state, .. }| (model.as_str(), state)).collect()
}

#[tokio::test(start_paused = true)]
async fn start_up_loads_the_primary_model_and_says_when_it_is_over() {
    let place = Place::new().await;
    let list = vec![name(QWEN), name("nowhere:1b")];
    let mut world = place.keeper(started(Preload { models: list, ..Preload::default() })).await;
    let over = |s: &Snapshot| s.keeping.startup.clone().filter(|startup| !startup.is_live());
    let startup = world.until("the end of start-up", over).await;
    assert!(
        matches!(states(&startup)[..], [(QWEN, ItemState::Ready { .. }), ("nowhere:1b", ItemState::Missing)]),
        "{startup:?}"
    );
    let end = |s: &Snapshot| {
        let mut events = s.events.iter().map(|event| event.what.clone());
        events.find(|what| matches!(what, What::StartupOver { .. }))
    };
    let over = world.until("the end", end).await;
    assert!(matches!(over, What::StartupOver { ready: 1, all: 2, .. }), "{over:?}");
    let ready = world.event(QWEN, |what| matches!(what, What::Ready { .. })).await;
    assert!(matches!(ready, What::Ready { took } if took >= LOAD), "{ready:?}");
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn start_up_waits_where_the_card_is_in_use() {
    let place = Place::new().await;
    place.other(json!({"model": THINKER})).await;
    let mut world = place.keeper(started(Preload::default())).await;
    let waits = |s: &Snapshot| match &s.keeping.startup.as_ref()?.items[0].state {
        ItemState::Waits(why) => Some(why.clone()),
        _ => None,
    };
    let why = world.until("start-up that waits", waits).await;
    assert_eq!(why, format!("{THINKER} is in use"));
    let running = place.sim.runners().await;
    assert_eq!(running.len(), 1);
    // The other one expires after its five minutes: then it is loaded.
    place.seconds(330).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    assert_eq!(count(&world.handle.snapshot(), |what| matches!(what, What::Evicted { .. })), 0);
    assert_eq!(place.fouls(), []);
}

#[tokio::test(start_paused = true)]
async fn start_up_by_requests_sends_nothing_while_a_model_is_loaded() {
    let place = Place::new().await;
    place.other(json!({"model": GEMMA, "keep_alive": -1})).await;
    let preload = Preload { strategy: Strategy::Request, models: vec![name(GEMMA)], ..Preload::default() };
    let world = place.keeper(started(preload)).await;
    place.seconds(120).await;
    assert_eq!(place.sim.runners().await.len(), 1, "there was room for it");
    let startup = world.handle.snapshot().keeping.startup.clone().unwrap();
    assert!(
        matches!(states(&startup)[..], [(QWEN, ItemState::Waits(_)), (GEMMA, ItemState::There)]),
        "{startup:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn start_up_by_requests_does_not_throw_out_what_it_has_just_loaded() {
    let place = Place::new().await;
    let preload = Preload {
        strategy: Strategy::Request,
        models: vec![name(THINKER), name(GEMMA)],
        ..Preload::default()
    };
    let mut world = place.keeper(started(preload)).await;
    world.event(QWEN, |what| matches!(what, What::Ready { .. })).await;
    place.seconds(60).await;
    let running = place.sim.runners().await;
    assert_eq!(running.len(), 1);
    let snapshot = world.handle.snapshot();
    assert_eq!(count(&snapshot, |what| matches!(what, What::Evicted { .. })), 0);
    let startup = snapshot.keeping.startup.clone().unwrap();
    assert!(matches!(startup.items[1].state, ItemState::Waits(_)), "{startup:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pin_rests_that_a_load_of_ours_threw_out_until_its_place_is_free() {
    let place = Place::new().await;
    let mut world = place.keeper(pinned(&[QWEN])).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    world.done(ActKind::Load, THINKER).await;
    let rests = |s: &Snapshot| {
        let pin = s.keeping.pin(&name(QWEN))?;
        (pin.state == PinState::Suspended(name(THINKER))).then_some(())
    };
    journal(&mut world, "a pin that rests", rests).await;
    place.seconds(120).await;
    assert!(rests(&world.handle.snapshot()).is_some(), "nobody swapped back");
    world.done(ActKind::Unload, THINKER).await;
    world.until("the pin again", |s| is_held(QWEN)(s).then_some(())).await;
    // It was asked for by name; what brought the pin back threw out nobody.
    assert_eq!(place.fouls(), [(Broken::EvictsPinned, Some(name(QWEN)))]);
}

#[tokio::test(start_paused = true)]
async fn hands_off_means_that_nothing_is_sent_until_they_are_on_again() {
    let place = Place::new().await;
    let config = Config { hands_off: true, ..pinned(&[QWEN]) };
    let mut world = place.instance(config);
    world.ready().await;
    place.seconds(300).await;
    assert_eq!(world.handle.snapshot().keeping.auto, []);
    assert_eq!(place.sim.runners().await.len(), 0);
    world.handle.send(Command::HandsOff(false)).unwrap();
    journal(&mut world, "the keeper", |s| (s.keeping.keeper == Some(Keeper::This)).then_some(())).await;
    world.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    world.handle.send(Command::HandsOff(true)).unwrap();
    world.until("hands off", |s| s.keeping.hands_off.then_some(())).await;
    place.other(json!({"model": QWEN, "keep_alive": "2m"})).await;
    place.seconds(240).await;
    assert_eq!(place.sim.runners().await.len(), 0, "it expired, and was not brought back");
}

#[tokio::test(start_paused = true)]
async fn of_two_dashboards_one_acts_and_the_other_takes_over_when_it_ends() {
    let place = Place::new().await;
    let mut first = place.keeper(pinned(&[QWEN])).await;
    first.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    let mut second = place.instance(pinned(&[QWEN]));
    second.ready().await;
    let looks_on =
        |s: &Snapshot| (s.keeping.auto.is_empty() && s.keeping.keeper != Some(Keeper::This)).then_some(());
    second.until("that it looks on", looks_on).await;
    drop(first);
    journal(&mut second, "the keeper", |s| (s.keeping.keeper == Some(Keeper::This)).then_some(())).await;
    place.other(json!({"model": QWEN, "keep_alive": "5m"})).await;
    second.until("the overwriting", |s| (!is_held(QWEN)(s)).then_some(())).await;
    second.until("the pin again", |s| is_held(QWEN)(s).then_some(())).await;
    assert_eq!(place.fouls_of_two(), []);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_may_not_act_leaves_start_up_and_pins_to_another_also_once_it_is_stopped() {
    let place = Place::new().await;
    let mut onlooker = place.instance(Config { hands_off: true, ..pinned(&[QWEN]) });
    onlooker.ready().await;
    let looks_on =
        |s: &Snapshot| (s.keeping.idle.is_some_and(|idle| idle.why == Idle::HandsOff)).then_some(());
    journal(&mut onlooker, "that it looks on", looks_on).await;
    let acts = |s: &Snapshot| (s.keeping.keeper == Some(Keeper::This)).then_some(());
    let mut first = place.keeper(Config { primary: Some(name(GEMMA)), ..started(Preload::default()) }).await;
    first.until_model(GEMMA, |model| model.loaded.is_some()).await;
    let mut second = place.instance(pinned(&[QWEN]));
    second.ready().await;
    first.handle.send(Command::HandsOff(true)).unwrap();
    journal(&mut second, "the keeper", acts).await;
    second.until("the pin", |s| is_held(QWEN)(s).then_some(())).await;
    first.handle.send(Command::HandsOff(false)).unwrap();
    second.handle.send(Command::HandsOff(true)).unwrap();
    journal(&mut first, "the keeper again", acts).await;
    assert_eq!(place.fouls_of_two(), []);
}

#[tokio::test(start_paused = true)]
async fn an_unpin_counts_at_once_though_the_journal_cannot_write_it_yet() {
    let place = Place::new().await;
    let mut world = place.keeper(Config::default()).await;
    world.done(ActKind::Pin, QWEN).await;
    journal(&mut world, "the pin", |s| is_held(QWEN)(s).then_some(())).await;
    let other = rusqlite::Connection::open(place.dir.path().join("journal.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.done(ActKind::Unpin, QWEN).await;
    place.seconds(60).await;
    let snapshot = world.handle.snapshot();
    let loaded = snapshot.servers[0].model(&name(QWEN)).unwrap().loaded.clone().unwrap();
    assert_ne!(loaded.expiry, Expiry::Never);
    assert_eq!(snapshot.keeping.pin(&name(QWEN)), None);
    other.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_another_instance_pins_and_unpins_the_keeper_hears_of() {
    let place = Place::new().await;
    let mut keeper = place.keeper(Config::default()).await;
    let mut other = place.instance(Config::default());
    other.ready().await;
    other.done(ActKind::Pin, QWEN).await;
    journal(&mut keeper, "the pin", |s| is_held(QWEN)(s).then_some(())).await;
    place.other(json!({"model": QWEN, "keep_alive": "5m"})).await;
    keeper.until("the overwriting", |s| (!is_held(QWEN)(s)).then_some(())).await;
    keeper.until("the pin again", |s| is_held(QWEN)(s).then_some(())).await;
    other.until_model(QWEN, |model| model.pinned).await;
    other.done(ActKind::Unpin, QWEN).await;
    journal(&mut keeper, "its end", |s| s.keeping.pin(&name(QWEN)).is_none().then_some(())).await;
    place.seconds(60).await;
    let loaded = keeper.handle.snapshot().servers[0].model(&name(QWEN)).unwrap().loaded.clone().unwrap();
    assert_ne!(loaded.expiry, Expiry::Never);
}

/// What was told of a model's leaving, with the time, once something was.
async fn leaving(world: &mut World, model: &str) -> (What, Moment) {
    let wanted = name(model);
    let leaves = |s: &Snapshot| {
        let mut events = s.events.iter().filter(|event| event.model.as_ref() == Some(&wanted));
        let is = |what: &What| matches!(what, What::Unloaded { .. } | What::Evicted { .. } | What::Left);
        events.find(|event| is(&event.what)).map(|event| (event.what.clone(), event.at))
    };
    world.until("why it left", leaves).await
}

/// Another client loads one model and then one that needs its room, on a server whose loads take so long; where runners
/// `are_seen`, and where they are not.
async fn thrown_out(seconds: u64, are_seen: bool) -> (Place, World) {
    let clock = clock::of_tokio("2026-11-23T12:00:00Z".parse().unwrap());
    let slow = sim::Options::for_tests(1, Duration::from_secs(seconds), Arc::clone(&clock));
    let place = Place::on(slow, clock, folder()).await;
    let mut world = if are_seen {
        place.keeper(Config::default()).await
    } else {
        let mut world = place.seen_from_afar(Config::default());
        journal(&mut world, "keeper", |s| (s.keeping.keeper == Some(Keeper::This)).then_some(())).await;
        world.ready().await;
        world
    };
    place.other(json!({"model": QWEN})).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    tokio::spawn(generate(place.http.clone(), place.sim.url(), json!({"model": THINKER})));
    world.until_model(QWEN, |model| model.loaded.is_none()).await;
    (place, world)
}

#[tokio::test(start_paused = true)]
async fn who_is_thrown_out_for_a_slow_load_of_another_client_is_told_to_go_for_it() {
    let (place, mut world) = thrown_out(20, true).await;
    let (what, at) = leaving(&mut world, QWEN).await;
    assert_eq!(what, What::Evicted { by: Some(name(THINKER)) });
    assert!((place.clock)().since(at.mono) <= Duration::from_secs(2), "the runner that comes tells it");
    assert_eq!(world.handle.snapshot().servers[0].model(&name(THINKER)).unwrap().loaded, None);
}

#[tokio::test(start_paused = true)]
async fn where_no_runner_can_be_seen_the_next_one_listed_tells_it_and_log_and_journal_agree() {
    let (place, mut world) = thrown_out(7, false).await;
    let gone = (place.clock)();
    assert_eq!(place.sim.runners().await.len(), 1, "the one that loads");
    let (what, at) = leaving(&mut world, QWEN).await;
    assert_eq!(what, What::Evicted { by: Some(name(THINKER)) });
    assert!((place.clock)().since(gone.mono) >= Duration::from_secs(4), "it was open");
    assert!(gone.since(at.mono) <= Duration::from_secs(1) && at.mono <= gone.mono, "it says when it left");
    let swap = |s: &Snapshot| {
        let mut swaps = s.past.swaps.iter().map(|(_, swap)| swap);
        swaps.find(|swap| swap.model == name(THINKER)).map(|swap| swap.displaced.clone())
    };
    assert_eq!(journal(&mut world, "the load", swap).await, Some(vec![name(QWEN)]));
    let query = history::Query {
        server: server_name(&place.sim.url(), None),
        models: Vec::new(),
        since: None,
        kind: history::Kind::Left,
        limit: 9,
    };
    let path = place.dir.path().join("journal.sqlite");
    let records = history::records(&path, query).unwrap().await.unwrap().unwrap();
    let [Record { at: written, what: Happened::Left { model, how }, .. }] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!((model, how), (&name(QWEN), &Left::Evicted { by: Some(name(THINKER)) }));
    assert_eq!(written.as_microsecond(), at.wall.as_microsecond());
}

#[tokio::test(start_paused = true)]
async fn where_nothing_tells_why_a_model_left_nobody_claims_to_know() {
    let (place, mut world) = thrown_out(60, false).await;
    let (what, at) = leaving(&mut world, QWEN).await;
    assert_eq!(what, What::Left);
    let open = (place.clock)().since(at.mono).as_secs();
    assert!((10..=12).contains(&open), "{open}");
}

#[tokio::test(start_paused = true)]
async fn what_another_client_unloads_is_told_so_once_no_load_follows() {
    let place = Place::new().await;
    let mut world = place.keeper(Config::default()).await;
    for model in [QWEN, GEMMA] {
        place.other(json!({"model": model})).await;
        world.until_model(model, |model| model.loaded.is_some()).await;
    }
    place.other(json!({"model": QWEN, "keep_alive": 0})).await;
    let (what, at) = leaving(&mut world, QWEN).await;
    assert_eq!(what, What::Unloaded { took: None });
    let open = (place.clock)().since(at.mono).as_secs();
    assert!((6..=8).contains(&open), "{open}");
}

/// One that uses any model, sets any keep_alive, and unloads what it likes, with pauses of up to `pause` seconds.
async fn client(http: reqwest::Client, url: String, seed: u64, pause: u64) {
    let mut dice = Dice(seed);
    loop {
        tokio::time::sleep(Duration::from_millis(1000 + dice.below(pause * 1000))).await;
        let model = *dice.one_of(&[QWEN, THINKER, DEEPSEEK, GEMMA, GEMMA]);
        let mut body = json!({"model": model, "stream": false});
        if dice.below(4) == 0 {
            // Overwrites a keep_alive, or unloads.
            body["keep_alive"] = dice.one_of(&[json!("5m"), json!("10s"), json!(0), json!("1h")]).clone();
        } else {
            body["prompt"] = "go on".into();
            body["options"]["num_predict"] = (20 * (1 + dice.below(10))).into();
        }
        if dice.below(5) == 0 {
            body["options"]["num_ctx"] = (*dice.one_of(&[2048, 8192])).into();
        }
        generate(http.clone(), url.clone(), body).await;
    }
}

/// Three clients for so many seconds; says how often a pin was brought back and how often set again.
async fn among_clients(place: &Place, seed: u64, seconds: u64, pause: u64) -> (usize, usize) {
    let config = Config {
        primary: Some(name(QWEN)),
        keep_alive: Some(KeepAlive::For(Duration::from_secs(600))),
        pins: pins(&[GEMMA, NOMIC]),
        preload: Preload {
            enabled: true,
            on_startup: true,
            auto_refresh: true,
            models: vec![name(QWEN), name(THINKER)],
            ..Preload::default()
        },
        ..Config::default()
    };
    let mut world = place.keeper(config).await;
    let clients: Vec<_> = (0..3)
        .map(|number| tokio::spawn(client(place.http.clone(), place.sim.url(), seed * 3 + number, pause)))
        .collect();
    place.seconds(seconds).await;
    for client in clients {
        client.abort();
    }
    // What was under way ends, and what was thrown out by others comes back, or was given up.
    for pin in [GEMMA, NOMIC] {
        let name = name(pin);
        world
            .until(&format!("{pin} in VRAM, or given up (seed {seed})"), |s| {
                let state = &s.keeping.pin(&name)?.state;
                (*state == PinState::Held || state.is_over()).then_some(())
            })
            .await;
    }
    let snapshot = world.handle.snapshot();
    for pin in [GEMMA, NOMIC] {
        let backs = snapshot.events.iter().filter(|event| {
            event.model.as_ref() == Some(&name(pin)) && matches!(event.what, What::BringsBack { .. })
        });
        assert!(backs.count() <= 4, "a loop of {pin} with seed {seed}");
    }
    assert_eq!(place.fouls(), [], "seed {seed}");
    // No dead-lock: what fits nowhere else is answered.
    let answer =
        place.other(json!({"model": DEEPSEEK, "keep_alive": 0, "prompt": "a", "stream": false})).await;
    assert_eq!(answer["done"], true, "{answer}");
    let again = |what: &What| matches!(what, What::Pinned);
    (count(&snapshot, |what| matches!(what, What::BringsBack { .. })), count(&snapshot, again))
}

#[tokio::test(start_paused = true)]
async fn among_three_other_clients_pins_come_back_and_no_rule_is_broken_in_ten_minutes() {
    let (mut back, mut again) = (0, 0);
    for seed in 0..8 {
        let (backs, agains) = among_clients(&Place::new().await, seed, 600, 40).await;
        back += backs;
        again += agains;
    }
    assert!(back > 0 && again > 0, "nothing had to be done: {back} {again}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "takes more than a minute of real time; run by hand"]
#[expect(clippy::print_stdout, reason = "the figures, for who runs it with --nocapture")]
async fn among_three_other_clients_no_rule_is_broken_in_a_minute_with_real_children() {
    let (back, again) = among_clients(&Place::real().await, 1, 60, 4).await;
    println!("brought back {back} times, set again {again} times, no rule broken");
}
