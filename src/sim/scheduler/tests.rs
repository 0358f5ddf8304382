//! The scheduler under paused time, with the virtual loader: no files, no processes, no sleeps.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::timing::Moment;
use crate::sim::catalogue::demo;
use crate::sim::keep_alive::FOREVER;

pub(super) const SECOND: i64 = 1_000_000_000;
const LOAD: Duration = Duration::from_secs(3);

/// Models by size: two that cannot be loaded together, one too large for the card, two small ones.
pub(super) const QWEN: usize = 0;
const THINKER: usize = 1;
const DEEPSEEK: usize = 2;
pub(super) const NOMIC: usize = 3;
pub(super) const GEMMA: usize = 4;
/// Another tag of `QWEN`'s blob.
const QWEN_TOO: usize = 5;

pub(super) type Acquired = Option<Result<Lease, Refusal>>;

pub(super) struct World {
    pub(super) scheduler: Scheduler,
    card: CardReader,
    clock: Clock,
    pub(super) umpire: Umpire,
    _stop: DropGuard,
}

pub(super) fn world(max_loaded: usize, max_queue: usize) -> World {
    let (mono, wall) = (Instant::now(), "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap());
    let clock: Clock = Arc::new(move || Moment {
        mono: Instant::now().into_std(),
        wall: wall + SignedDuration::try_from(Instant::now() - mono).unwrap(),
    });
    let mut specs = demo(16);
    specs.push(specs[QWEN].alias(ModelName::parse("me/other:tag").unwrap()));
    let model = |(at, spec): (usize, Spec)| Model {
        // The order of the blob paths is the order of the numbers; 5 shares 0's.
        blob: format!("/blobs/sha256-{}", at % 5).into(),
        digest: at.to_string(),
        size: spec.weights.0,
        modified: wall,
        spec,
    };
    let card = CardReader::new(Bytes((8 << 30) / 16));
    let umpire = Umpire::default();
    let rules = Rules {
        models: Arc::new(specs.into_iter().enumerate().map(model).collect()),
        loader: LoaderKind::Virtual { load: LOAD },
        card: card.clone(),
        max_loaded,
        max_queue,
        keep_alive: 300 * SECOND,
        clock: Arc::clone(&clock),
        umpire: umpire.clone(),
    };
    let stop = CancellationToken::new();
    let (scheduler, _task) = Scheduler::start(rules, stop.clone());
    World { scheduler, card, clock, umpire, _stop: stop.drop_guard() }
}

pub(super) fn context(tokens: u64) -> RunnerOptions {
    RunnerOptions::read(Some(&serde_json::json!({"num_ctx": tokens}))).unwrap()
}

impl World {
    /// A request that runs until the lease is dropped.
    pub(super) async fn hold(&self, model: usize, keep_alive: Option<i64>) -> Lease {
        self.scheduler
            .acquire(model, RunnerOptions::default(), keep_alive, Whose::Others)
            .await
            .unwrap()
            .unwrap()
    }

    /// A request that ends at once; how long it took.
    pub(super) async fn touch(&self, model: usize, keep_alive: Option<i64>) -> Duration {
        let began = Instant::now();
        drop(self.hold(model, keep_alive).await);
        began.elapsed()
    }

    pub(super) fn ask(&self, model: usize) -> JoinHandle<Acquired> {
        let scheduler = self.scheduler.clone();
        tokio::spawn(
            async move { scheduler.acquire(model, RunnerOptions::default(), None, Whose::Others).await },
        )
    }

    async fn loaded(&self) -> Vec<usize> {
        let mut models: Vec<usize> =
            self.scheduler.list().await.iter().map(|running| running.model).collect();
        models.sort_unstable();
        models
    }

    /// Seconds until each loaded model expires.
    async fn expiry(&self, model: usize) -> i64 {
        let now = (self.clock)().wall;
        let list = self.scheduler.list().await;
        let running = list.iter().find(|running| running.model == model).unwrap();
        running.expires_at.duration_since(now).as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_takes_its_time_and_a_touch_none() {
    let world = world(3, 512);
    assert_eq!(world.touch(GEMMA, None).await, LOAD);
    assert_eq!(world.touch(GEMMA, None).await, Duration::ZERO);
    assert_eq!(world.loaded().await, [GEMMA]);
}

#[tokio::test(start_paused = true)]
async fn a_model_is_not_listed_while_it_loads() {
    let world = world(3, 512);
    let asked = world.ask(GEMMA);
    sleep(LOAD / 2).await;
    assert!(world.loaded().await.is_empty());
    assert!(world.card.read().list()[0].used > Bytes::ZERO, "its memory is taken already");
    asked.await.unwrap().unwrap().unwrap();
    assert_eq!(world.loaded().await, [GEMMA]);
}

#[tokio::test(start_paused = true)]
async fn loads_run_one_at_a_time_in_the_order_they_came() {
    let world = world(3, 512);
    let began = Instant::now();
    let (first, second, again) = (world.ask(GEMMA), world.ask(NOMIC), world.ask(GEMMA));
    let _gemma = first.await.unwrap().unwrap().unwrap();
    assert_eq!(began.elapsed(), LOAD);
    let _nomic = second.await.unwrap().unwrap().unwrap();
    assert_eq!(began.elapsed(), LOAD * 2);
    again.await.unwrap().unwrap().unwrap();
    assert_eq!(began.elapsed(), LOAD * 2);
}

#[tokio::test(start_paused = true)]
async fn a_load_is_aborted_when_its_client_goes() {
    let world = world(3, 512);
    let asked = world.ask(QWEN);
    sleep(LOAD / 2).await;
    asked.abort();
    let _ = asked.await;
    assert_eq!(world.touch(GEMMA, None).await, LOAD, "the next one does not wait for it");
    assert_eq!(world.loaded().await, [GEMMA]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_while_it_waits_loads_nothing() {
    let world = world(3, 512);
    let (first, second) = (world.ask(GEMMA), world.ask(NOMIC));
    sleep(LOAD / 2).await;
    second.abort();
    drop(first.await.unwrap().unwrap().unwrap());
    sleep(LOAD * 2).await;
    assert_eq!(world.loaded().await, [GEMMA]);
}

#[tokio::test(start_paused = true)]
async fn keep_alive_starts_when_the_last_request_ends() {
    let world = world(3, 512);
    let (one, two) = (world.hold(GEMMA, Some(10 * SECOND)).await, world.hold(GEMMA, None).await);
    advance(Duration::from_secs(7)).await;
    assert_eq!(world.expiry(GEMMA).await, 10, "it slides while the first request runs");
    drop(one);
    advance(Duration::from_secs(7)).await;
    assert_eq!(world.expiry(GEMMA).await, 10);
    drop(two);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(world.expiry(GEMMA).await, 1);
    sleep(Duration::from_secs(2)).await;
    assert!(world.loaded().await.is_empty());
    assert_eq!(world.card.read().list()[0].used, Bytes::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_outlives_the_deadline_leaves_it_in_the_past() {
    let world = world(3, 512);
    world.touch(GEMMA, Some(2 * SECOND)).await;
    let busy = world.hold(GEMMA, None).await;
    sleep(Duration::from_secs(8)).await;
    assert_eq!(world.expiry(GEMMA).await, -6);
    drop(busy);
    assert_eq!(world.expiry(GEMMA).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_keep_alive_keeps_the_runners() {
    let world = world(3, 512);
    world.touch(GEMMA, Some(FOREVER)).await;
    world.touch(GEMMA, None).await;
    assert!(world.expiry(GEMMA).await > 20 * 365 * 24 * 3600);
    world.touch(GEMMA, Some(60 * SECOND)).await;
    assert_eq!(world.expiry(GEMMA).await, 60);
}

#[tokio::test(start_paused = true)]
async fn an_unload_waits_for_the_request_that_runs() {
    let world = world(3, 512);
    let busy = world.hold(GEMMA, None).await;
    world.scheduler.unload(GEMMA, Whose::Others).await;
    sleep(Duration::from_secs(8)).await;
    assert_eq!(world.expiry(GEMMA).await, -8);
    drop(busy);
    sleep(Duration::from_millis(1)).await;
    assert!(world.loaded().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unload_by_another_tag_of_the_blob_unloads_it() {
    let world = world(3, 512);
    world.touch(QWEN, None).await;
    assert_eq!(world.touch(QWEN_TOO, None).await, Duration::ZERO, "one blob, one runner");
    assert_eq!(world.loaded().await, [QWEN], "listed under the name that loaded it");
    world.scheduler.unload(QWEN_TOO, Whose::Others).await;
    sleep(Duration::from_millis(1)).await;
    assert!(world.loaded().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_model_limit_evicts_the_shortest_keep_alive_not_the_oldest_use() {
    let world = world(2, 512);
    world.touch(GEMMA, Some(600 * SECOND)).await;
    world.touch(NOMIC, Some(60 * SECOND)).await;
    world.touch(QWEN, None).await;
    assert_eq!(world.loaded().await, [QWEN, GEMMA]);
}

#[tokio::test(start_paused = true)]
async fn equal_keep_alives_go_by_blob_path() {
    let world = world(2, 512);
    world.touch(GEMMA, None).await;
    world.touch(NOMIC, None).await;
    world.touch(QWEN, None).await;
    assert_eq!(world.loaded().await, [QWEN, GEMMA], "nomic was used last, but its path sorts first");
}

#[tokio::test(start_paused = true)]
async fn a_pinned_model_goes_last_but_before_a_busy_one() {
    let world = world(2, 512);
    world.touch(NOMIC, Some(FOREVER)).await;
    world.touch(GEMMA, Some(600 * SECOND)).await;
    world.touch(QWEN, None).await;
    assert_eq!(world.loaded().await, [QWEN, NOMIC]);
    let busy = world.hold(QWEN, None).await;
    world.touch(GEMMA, None).await;
    assert_eq!(world.loaded().await, [QWEN, GEMMA]);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_in_80_percent_of_the_card_evicts_and_waits_for_a_busy_victim() {
    let world = world(3, 512);
    let busy = world.hold(QWEN, None).await;
    let expiry = world.expiry(QWEN).await;
    let asked = world.ask(THINKER);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        (world.loaded().await, world.expiry(QWEN).await),
        (vec![QWEN], expiry),
        "the victim looks normal"
    );
    drop(busy);
    asked.await.unwrap().unwrap().unwrap();
    assert_eq!(world.loaded().await, [THINKER]);
}

#[tokio::test(start_paused = true)]
async fn a_model_larger_than_the_card_evicts_all_and_lies_partly_in_ram() {
    let world = world(3, 512);
    world.touch(NOMIC, Some(FOREVER)).await;
    world.touch(GEMMA, None).await;
    world.touch(DEEPSEEK, None).await;
    let list = world.scheduler.list().await;
    assert_eq!(list.iter().map(|running| running.model).collect::<Vec<_>>(), [DEEPSEEK]);
    assert!(list[0].vram < list[0].size && list[0].vram > 0);
    assert_eq!(world.card.read().list()[0].used, Bytes(list[0].vram));
}

#[tokio::test(start_paused = true)]
async fn another_context_reloads_and_the_same_one_does_not() {
    let world = world(3, 512);
    let take = async |options: RunnerOptions| {
        let began = Instant::now();
        drop(world.scheduler.acquire(GEMMA, options, None, Whose::Others).await.unwrap().unwrap());
        (began.elapsed(), world.scheduler.list().await[0].context)
    };
    assert_eq!(take(RunnerOptions::default()).await, (LOAD, 4096));
    assert_eq!(take(context(4096)).await, (Duration::ZERO, 4096));
    assert_eq!(take(context(8192)).await, (LOAD, 8192));
    assert_eq!(take(context(8192)).await, (Duration::ZERO, 8192));
    assert_eq!(
        take(RunnerOptions::default()).await,
        (LOAD, 4096),
        "a bare touch reloads an explicit context"
    );
    assert_eq!(take(context(2_000_000)).await, (LOAD, 32_768), "cut to what it was trained for");
}

#[tokio::test(start_paused = true)]
async fn a_reload_waits_for_the_request_that_runs() {
    let world = world(3, 512);
    let busy = world.hold(GEMMA, None).await;
    let scheduler = world.scheduler.clone();
    let asked =
        tokio::spawn(async move { scheduler.acquire(GEMMA, context(2048), None, Whose::Others).await });
    sleep(LOAD * 2).await;
    assert_eq!(world.scheduler.list().await[0].context, 4096);
    drop(busy);
    drop(asked.await.unwrap().unwrap().unwrap());
    assert_eq!(world.scheduler.list().await[0].context, 2048);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses() {
    let world = world(1, 1);
    let busy = world.hold(QWEN, None).await;
    let (first, second) = (world.ask(GEMMA), world.ask(GEMMA));
    sleep(Duration::from_millis(1)).await;
    let third = world.scheduler.acquire(GEMMA, RunnerOptions::default(), None, Whose::Others).await.unwrap();
    assert_eq!(third.err(), Some(Refusal::Busy));
    assert_eq!(world.touch(QWEN, None).await, Duration::ZERO, "what is loaded is served past the queue");
    drop(busy);
    drop((first.await.unwrap().unwrap().unwrap(), second.await.unwrap().unwrap().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_dead_runner_stays_listed_until_a_request_reloads_it_or_its_time_is_up() {
    let world = world(3, 512);
    world.touch(GEMMA, None).await;
    assert!(world.scheduler.crash(GEMMA).await);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.loaded().await, [GEMMA]);
    assert_eq!(world.card.read().list()[0].used, Bytes::ZERO);
    assert_eq!(world.touch(GEMMA, None).await, LOAD);
    assert!(world.scheduler.crash(GEMMA).await);
    assert!(!world.scheduler.crash(GEMMA).await, "it is dead already");
    sleep(Duration::from_secs(301)).await;
    assert!(world.loaded().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn layers_that_are_named_but_do_not_fit_evict_all_and_then_run_out_of_memory() {
    let world = world(3, 512);
    world.touch(GEMMA, None).await;
    let options = RunnerOptions::read(Some(&serde_json::json!({"num_gpu": 999}))).unwrap();
    let answer = world.scheduler.acquire(DEEPSEEK, options, None, Whose::Others).await.unwrap();
    let words = "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory";
    assert_eq!(answer.err(), Some(Refusal::Load(LoadError::Runner(words.to_owned()))));
    assert!(world.loaded().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_longest_keep_alive_is_listed_first() {
    let world = world(3, 512);
    world.touch(GEMMA, Some(60 * SECOND)).await;
    world.touch(NOMIC, Some(FOREVER)).await;
    world.touch(QWEN, None).await;
    let order: Vec<usize> = world.scheduler.list().await.iter().map(|running| running.model).collect();
    assert_eq!(order, [NOMIC, QWEN, GEMMA]);
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_that_overflowed_unloads_at_once() {
    let world = world(3, 512);
    world.touch(GEMMA, Some(i64::MIN)).await;
    sleep(Duration::from_millis(1)).await;
    assert!(world.loaded().await.is_empty());
}
