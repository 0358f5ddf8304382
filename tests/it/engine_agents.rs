//! A dashboard beside an agent: what the agent's phases say in the journal is seen, warmed for, and returned from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use resident::config::{Config, Ui};
use resident::engine::{Journals, Parts, RamTier, clock, start};
use resident::journal::Journal;
use resident::probe::hold::Holder;
use resident::probe::page_cache::PageCache;
use resident::probe::ram;
use resident::probe::warm::Warmer;
use resident::residency::act::{Act, ActKind, ActState};
use resident::residency::event::What;
use resident::residency::keep_alive::KeepAlive;
use resident::residency::record::{Happened, PhaseRecord, Record, server_name};
use resident::residency::snapshot::Snapshot;
use resident::residency::timing::{Clock, Moment};
use resident::sim::{self, Sim, files};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::engine_world::{World, name, parts};

const PRIMARY: &str = "openthinker3-7b";
const QWEN: &str = "qwen2.5-coder:7b";

/// A clock whose wall time can be put forward.
fn jumping() -> (Clock, Arc<AtomicU64>) {
    let ahead = Arc::new(AtomicU64::new(0));
    let (now, by) = (clock::system(), Arc::clone(&ahead));
    let clock = move || {
        let Moment { mono, wall } = now();
        Moment { mono, wall: wall + Duration::from_secs(by.load(Ordering::Relaxed)) }
    };
    (Arc::new(clock), ahead)
}

/// An agent's way into the journal.
struct Agent {
    journal: Journal,
    clock: Clock,
    server: String,
}

impl Agent {
    fn new(path: &Path, clock: &Clock, url: &str) -> Agent {
        let journal = Journal::open(path, Arc::clone(clock), &CancellationToken::new()).unwrap();
        Agent { journal, clock: Arc::clone(clock), server: server_name(url, None) }
    }

    fn says(&self, phase: &str, model: &str, next: Option<&str>) {
        let phase = PhaseRecord {
            run: "r1".to_owned(),
            phase: phase.to_owned(),
            model: Some(name(model)),
            next: next.map(name),
            swap: Duration::ZERO,
        };
        let record =
            Record { at: (self.clock)().wall, server: self.server.clone(), what: Happened::Phase(phase) };
        self.journal.record(vec![record]).unwrap();
    }
}

/// A dashboard on `sim` that keeps `journal`; with the RAM tier if there are files.
fn dashboard(sim: &Sim, journal: &Path, config: Config, clock: &Clock, dir: Option<PathBuf>) -> World {
    let stop = CancellationToken::new();
    let local = dir.is_some();
    let config = Config { url: sim.url(), models_dir: dir, ..config };
    let mut state = ram::State::default();
    let (path, own) = (journal.to_owned(), Arc::clone(clock));
    let open = move || Journal::open(&path, own, &CancellationToken::new()).ok();
    let handle = start(Parts {
        local,
        ram: Box::new(move || ram::read(&mut state)),
        pages: local.then(|| PageCache::spawn(Arc::clone(clock), stop.clone())),
        tier: local.then(|| RamTier {
            warmer: Warmer::spawn(Arc::clone(clock), stop.clone(), Box::new(|| None)),
            holder: Holder::spawn(Arc::clone(clock), stop.clone(), Box::new(|| None)),
        }),
        journal: Journals::new(Box::new(open)).keeping(),
        ..parts(config, Arc::clone(clock), &stop)
    });
    World::of(handle, sim.url(), stop)
}

fn acting() -> Config {
    Config { may_act: true, primary: Some(name(PRIMARY)), ..Config::default() }
}

/// The server with files that are not in RAM, a dashboard and an agent. The dashboard has seen the server before the agent says anything.
async fn with_files(config: Config) -> (World, Agent, Sim, TempDir) {
    let home = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
    let dir = home.path().join("models");
    let prepared = files::prepare(&dir, 1024, |_, _| {}).unwrap();
    // Before anybody looks how much of them is in RAM.
    for file in std::fs::read_dir(dir.join("blobs")).unwrap() {
        let file = std::fs::File::open(file.unwrap().path()).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_resident"));
    let sim = sim::start(sim::Options::demo(prepared, program, clock::system())).await.unwrap();
    let (journal, clock) = (home.path().join("journal.sqlite"), clock::system());
    let mut world = dashboard(&sim, &journal, config, &clock, Some(dir.clone()));
    world.ready().await;
    world.until("the files", |s| s.servers[0].models_dir.as_ref().map(|_| ())).await;
    let agent = Agent::new(&journal, &clock, &sim.url());
    (world, agent, sim, home)
}

fn of_kind(snapshot: &Snapshot, kind: ActKind, text: &str) -> Option<Act> {
    snapshot.acts.iter().find(|act| act.kind == kind && act.model == name(text)).cloned()
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn what_a_phase_says_comes_next_is_read_into_ram() {
    let (mut world, agent, sim, _home) = with_files(acting()).await;
    agent.says("context", PRIMARY, Some(QWEN));
    let done = |s: &Snapshot| of_kind(s, ActKind::Warm, QWEN).filter(|act| !act.is_live());
    let act = world.until("the warm", done).await;
    assert!(matches!(act.state, ActState::Done { .. }), "{act:?}");
    let model = world.until_model(QWEN, resident::residency::snapshot::Model::needs_no_disk).await;
    assert!(model.loaded.is_none());
    sim.shutdown().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn who_may_not_act_only_shows_the_run() {
    let read_only = Ui { read_only: true, ..Ui::default() };
    for config in [Config { may_act: false, ..acting() }, Config { ui: read_only, ..acting() }] {
        let (mut world, agent, sim, _home) = with_files(config).await;
        agent.says("context", PRIMARY, Some(QWEN));
        // What is done for a run is begun before the snapshot that shows it first.
        let acts = world.until("the run", |s| (!s.past.runs.is_empty()).then(|| s.acts.clone())).await;
        assert_eq!(acts, []);
        sim.shutdown().await;
    }
}

#[tokio::test]
async fn the_primary_model_comes_back_after_a_run() {
    let (clock, ahead) = jumping();
    let options = sim::Options::for_tests(1024, Duration::from_millis(30), Arc::clone(&clock));
    let sim = sim::start(options).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let journal = home.path().join("journal.sqlite");
    let hour = Some(KeepAlive::For(Duration::from_secs(3600)));
    let ten = Some(Duration::from_secs(600));
    let config = Config { keep_alive: hour, return_to_primary: ten, ..acting() };
    let mut world = dashboard(&sim, &journal, config, &clock, None);
    world.ready().await;
    world.done(ActKind::Load, QWEN).await;
    let agent = Agent::new(&journal, &clock, &sim.url());
    agent.says("execution", QWEN, None);
    world.until("the run", |s| (!s.past.runs.is_empty()).then_some(())).await;
    ahead.store(660, Ordering::Relaxed);
    world.event(PRIMARY, |what| matches!(what, What::Returns { .. })).await;
    world.until_model(PRIMARY, |model| model.loaded.is_some()).await;
    sim.shutdown().await;
}
