//! What the engine writes into the journal: the recorder what others do, everybody what is asked of it, who only looks
//! nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use resident::config::Config;
use resident::engine::{Command, Journals, Parts, clock, start};
use resident::journal::Journal;
use resident::journal::history::{self, Kind, Query};
use resident::residency::act::ActKind;
use resident::residency::record::{Happened, Left, PhaseRecord, Record, server_name};
use resident::residency::timing::{Clock, Moment};
use resident::sim::{self, Sim};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::engine_world::{World, name, parts};

const QWEN: &str = "qwen2.5-coder:7b";
const THINKER: &str = "openthinker3-7b";

/// The embedded server, and a place for a journal.
pub struct Place {
    dir: TempDir,
    sim: Sim,
}

impl Place {
    pub async fn new() -> Place {
        let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        let options = sim::Options::for_tests(1024, Duration::from_millis(30), clock::system());
        Place { dir, sim: sim::start(options).await.unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("journal.sqlite")
    }

    fn journals(&self) -> Journals {
        let path = self.path();
        let open = move || Journal::open(&path, clock::system(), &CancellationToken::new()).ok();
        Journals::new(Box::new(open))
    }

    /// A screen's engine, once it is the recorder.
    pub async fn recorder(&self) -> World {
        self.recorder_by(clock::system()).await
    }

    /// One that goes by another clock.
    async fn recorder_by(&self, clock: Clock) -> World {
        let stop = CancellationToken::new();
        let parts = parts(Config { url: self.sim.url(), ..Config::default() }, clock, &stop);
        let handle = start(Parts { journal: self.journals().keeping(), ..parts });
        let mut world = World::of(handle, self.sim.url(), stop);
        world.ready().await;
        self.until_recorded().await;
        world
    }

    /// Waits until somebody records: then the lock is another's.
    async fn until_recorded(&self) {
        let other = Journal::open(&self.path(), clock::system(), &CancellationToken::new()).unwrap();
        other.state.clone().wait_for(|state| state.opened.is_some()).await.unwrap();
        let is_lock = |path: &Path| path.extension().is_some_and(|end| end == "lock");
        let is_recorded = || {
            let files = std::fs::read_dir(self.dir.path()).unwrap();
            let mut locks = files.map(|file| file.unwrap().path()).filter(|path| is_lock(path));
            locks.any(|path| {
                let is_recorders = path.file_name().unwrap().to_str().unwrap().starts_with("recorder-");
                is_recorders && std::fs::File::open(path).unwrap().try_lock().is_err()
            })
        };
        while !is_recorded() {
            tokio::task::yield_now().await;
        }
    }

    fn query(&self) -> Query {
        let server = server_name(&self.sim.url(), None);
        Query { server, models: Vec::new(), since: None, kind: Kind::All, limit: usize::MAX }
    }

    async fn records(&self) -> Vec<Record> {
        history::records(&self.path(), self.query()).unwrap().await.unwrap().unwrap()
    }

    /// The records, once they are as wanted.
    async fn until(&self, what: &str, is: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let looking = async {
            loop {
                let records = self.records().await;
                if is(&records) {
                    return records;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), looking).await;
        match found {
            Ok(records) => records,
            Err(tokio::time::error::Elapsed { .. }) => panic!("no {what}: {:#?}", self.records().await),
        }
    }
}

fn is_load(record: &Record, model: &str) -> bool {
    matches!(&record.what, Happened::Swap(swap) if swap.model == name(model) && !swap.ours)
}

fn is_gone(record: &Record, model: &str, how: &Left) -> bool {
    matches!(&record.what, Happened::Left { model: left, how: so } if *left == name(model) && so == how)
}

#[tokio::test]
async fn the_recorder_writes_down_what_another_client_does() {
    let place = Place::new().await;
    let ahead = Arc::new(AtomicU64::new(0));
    let (system, seconds) = (clock::system(), Arc::clone(&ahead));
    let clock: Clock = Arc::new(move || {
        let (now, ahead) = (system(), Duration::from_secs(seconds.load(Ordering::Relaxed)));
        Moment { mono: now.mono + ahead, wall: now.wall + ahead }
    });
    let mut world = place.recorder_by(clock).await;
    world.other("/api/generate", json!({ "model": QWEN, "options": { "num_ctx": 2048 } })).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    world.other("/api/generate", json!({ "model": QWEN, "keep_alive": 0 })).await;
    world.until_model(QWEN, |model| model.loaded.is_none()).await;
    // No runner can be seen here, and nothing comes in its place: why it went is not known.
    ahead.store(60, Ordering::Relaxed);
    let records = place
        .until("load and departure", |all| {
            all.iter().any(|record| is_load(record, QWEN))
                && all.iter().any(|record| is_gone(record, QWEN, &Left::Unknown))
                && all.iter().any(|record| matches!(record.what, Happened::Used { .. }))
        })
        .await;
    let loads: Vec<&Record> = records.iter().filter(|record| is_load(record, QWEN)).collect();
    let [Record { what: Happened::Swap(swap), .. }] = loads.as_slice() else { panic!("{loads:?}") };
    assert_eq!(swap.num_ctx, Some(2048));
    assert!(swap.before.whole.0 > 0);
    // And it comes back as the past.
    world.until("the past", |s| (s.past.today.swaps == 1 && s.past.swaps.len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_load_that_took_the_place_of_another_names_it() {
    let place = Place::new().await;
    let mut world = place.recorder().await;
    world.other("/api/generate", json!({ "model": QWEN })).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    world.other("/api/generate", json!({ "model": QWEN, "keep_alive": 0 })).await;
    world.other("/api/generate", json!({ "model": THINKER })).await;
    world.until_model(THINKER, |model| model.loaded.is_some()).await;
    let records =
        place.until("the second load", |all| all.iter().any(|record| is_load(record, THINKER))).await;
    let second = records.iter().find(|record| is_load(record, THINKER)).unwrap();
    let Happened::Swap(swap) = &second.what else { panic!("{second:?}") };
    assert_eq!(swap.displaced, Some(vec![name(QWEN)]));
    let first = records.iter().find(|record| is_load(record, QWEN)).unwrap();
    let Happened::Swap(swap) = &first.what else { panic!("{first:?}") };
    assert_eq!(swap.displaced, Some(Vec::new()), "nothing was there before");
}

#[tokio::test]
async fn who_only_looks_writes_no_file_and_who_acts_does() {
    let place = Place::new().await;
    let mut world = World::with(&place.sim.url(), Config::default(), place.journals());
    world.ready().await;
    world.other("/api/generate", json!({ "model": QWEN })).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    assert!(!place.path().exists());
    world.done(ActKind::Unload, QWEN).await;
    let records = place.until("departure", |all| !all.is_empty()).await;
    let gone = |record: &Record| is_gone(record, QWEN, &Left::Unloaded);
    assert!(records.iter().all(gone) && records.len() == 1, "{records:?}");
}

#[tokio::test]
async fn a_departure_that_another_instance_asked_for_is_written_once() {
    let place = Place::new().await;
    let mut world = place.recorder().await;
    let mut other = World::with(&place.sim.url(), Config::default(), place.journals());
    other.ready().await;
    world.other("/api/generate", json!({ "model": QWEN })).await;
    other.until_model(QWEN, |model| model.loaded.is_some()).await;
    world.until_model(QWEN, |model| model.loaded.is_some()).await;
    other.done(ActKind::Unload, QWEN).await;
    world.until_model(QWEN, |model| model.loaded.is_none()).await;
    // What comes after it in both is written after it.
    for one in [&world, &other] {
        let phase = PhaseRecord {
            run: "1".to_owned(),
            phase: "planning".to_owned(),
            model: None,
            next: None,
            swap: Duration::ZERO,
        };
        one.handle.send(Command::Phase(phase)).unwrap();
    }
    let is_phase = |record: &&Record| matches!(record.what, Happened::Phase(_));
    let records = place.until("two phases", |all| all.iter().filter(is_phase).count() == 2).await;
    let gone = records.iter().filter(|record| is_gone(record, QWEN, &Left::Unloaded)).count();
    assert_eq!(gone, 1, "{records:?}");
}

#[tokio::test]
async fn what_was_asked_to_be_kept_just_before_the_end_is_recorded() {
    let place = Place::new().await;
    let (open, path) = (place.journals(), place.path());
    let world = World::with(&place.sim.url(), Config::default(), open);
    let phase = PhaseRecord {
        run: "7".to_owned(),
        phase: "coding".to_owned(),
        model: Some(name(QWEN)),
        next: Some(name(THINKER)),
        swap: Duration::from_millis(5),
    };
    world.handle.send(Command::Phase(phase.clone())).unwrap();
    drop(world);
    let records = place.until("the phase", |all| !all.is_empty()).await;
    assert_eq!(records[0].what, Happened::Phase(phase), "{}", path.display());
    // The next one that goes on sees the run.
    let mut world = place.recorder().await;
    world
        .until("the run", |s| {
            s.past.runs.first().map(|run| Arc::clone(&s.past).runs.len() + run.phases.len())
        })
        .await;
}
