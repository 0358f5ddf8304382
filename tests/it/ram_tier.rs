//! The RAM tier of the engine on the embedded server's real files: what is warmed is there, what is held stays, what is
//! dropped goes, and no budget is exceeded. Residency is read right after each act, for some kernels take idle cache
//! back within a minute.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use resident::config::{Config, Hold, Memory, Preload};
use resident::engine::{Command, Parts, RamTier, clock, start};
use resident::probe::hold::Holder;
use resident::probe::page_cache::PageCache;
use resident::probe::ram;
use resident::probe::warm::Warmer;
use resident::residency::act::{Act, ActKind, ActState};
use resident::residency::bytes::{Bytes, GB};
use resident::residency::event::What;
use resident::residency::keep_alive::KeepAlive;
use resident::residency::snapshot::Snapshot;
use resident::residency::swap::{Ended, Way, Wish};
use resident::sim::{self, Sim, files};
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::engine_world::{World, name, parts};

pub const QWEN: &str = "qwen2.5-coder:7b";
const DEEPSEEK: &str = "deepseek-r1:14b";

/// The embedded server and an engine that reads and moves its files.
pub struct Ram {
    pub world: World,
    pub sim: Sim,
    dir: PathBuf,
    _home: TempDir,
}

impl Ram {
    pub async fn new(config: Config) -> Ram {
        // Beside the build: the temporary directory may lie in memory, where nothing can be cold.
        let home = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        let dir = home.path().join("models");
        let prepared = files::prepare(&dir, 1024, |_, _| {}).unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_resident"));
        let sim = sim::start(sim::Options::demo(prepared, program, clock::system())).await.unwrap();
        let stop = CancellationToken::new();
        let config = Config { url: sim.url(), models_dir: Some(dir.clone()), ..config };
        let mut state = ram::State::default();
        let now = clock::system();
        let handle = start(Parts {
            local: true,
            demo_scale: Some(1024),
            ram: Box::new(move || ram::read(&mut state)),
            pages: Some(PageCache::spawn(Arc::clone(&now), stop.clone())),
            tier: Some(RamTier {
                warmer: Warmer::spawn(Arc::clone(&now), stop.clone(), Box::new(|| None)),
                holder: Holder::spawn(Arc::clone(&now), stop.clone(), Box::new(|| None)),
            }),
            ..parts(config, now, &stop)
        });
        let mut world = World::of(handle, sim.url(), stop);
        world.until("the files", |s| s.servers[0].models_dir.as_ref().map(|_| ())).await;
        world
            .until("residency", |s| (known(s, QWEN).is_some() && known(s, DEEPSEEK).is_some()).then_some(()))
            .await;
        let ram = Ram { world, sim, dir, _home: home };
        ram.forget(QWEN);
        ram.forget(DEEPSEEK);
        ram
    }

    pub fn blobs(&self, model: &str) -> Vec<PathBuf> {
        let snapshot = self.world.handle.snapshot();
        let model = snapshot.servers[0].model(&name(model)).unwrap();
        let paths: Vec<PathBuf> = model.blobs.iter().filter_map(|blob| blob.path.clone()).collect();
        assert!(!paths.is_empty() && paths.iter().all(|path| path.starts_with(&self.dir)));
        paths
    }

    /// Another program tells the kernel to forget the model's files.
    pub fn forget(&self, model: &str) {
        for path in self.blobs(model) {
            fadvise(File::open(path).unwrap(), 0, None, Advice::DontNeed).unwrap();
        }
    }

    /// Percent of the model's files in RAM now, read without the engine: a read that may not wait for the disk.
    pub fn percent(&self, model: &str) -> u64 {
        let (mut there, mut all) = (0, 0);
        for path in self.blobs(model) {
            let file = File::open(path).unwrap();
            fadvise(&file, 0, None, Advice::Random).unwrap();
            let size = file.metadata().unwrap().len();
            for offset in (0..size).step_by(64 << 10) {
                let mut byte = [0];
                let mut buffers = [std::io::IoSliceMut::new(&mut byte)];
                let flags = rustix::io::ReadWriteFlags::NOWAIT;
                all += 1;
                there += u64::from(rustix::io::preadv2(&file, &mut buffers, offset, flags).is_ok());
            }
        }
        there * 100 / all
    }

    async fn act(&mut self, kind: ActKind, model: &str) -> Act {
        self.world.act(kind, model).await
    }

    pub async fn done(&mut self, kind: ActKind, model: &str) {
        self.world.done(kind, model).await;
    }

    fn told(&self, model: &str) -> Vec<What> {
        let snapshot = self.world.handle.snapshot();
        let events = snapshot.events.iter().filter(|event| event.model == Some(name(model)));
        events.map(|event| event.what.clone()).collect()
    }
}

fn known(snapshot: &Snapshot, model: &str) -> Option<Bytes> {
    snapshot.servers[0].model(&name(model))?.cached.bytes()
}

fn why(act: &Act) -> &str {
    match &act.state {
        ActState::Failed { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_warm_brings_a_cold_model_into_ram_and_a_second_one_reads_nothing() {
    let mut ram = Ram::new(Config::default()).await;
    ram.done(ActKind::Warm, QWEN).await;
    assert!(ram.percent(QWEN) >= 95, "{} %", ram.percent(QWEN));
    let told = ram.told(QWEN);
    let Some(What::Warmed { read, percent: Some(percent), .. }) = told.last() else { panic!("{told:?}") };
    assert!(read.0 > 3_000_000 && *percent >= 95, "{told:?}");
    ram.done(ActKind::Warm, QWEN).await;
    let told = ram.told(QWEN);
    assert!(matches!(told.last(), Some(What::Warmed { read: Bytes(0), .. })), "{told:?}");
    assert_eq!(ram.world.handle.snapshot().servers[0].model(&name(DEEPSEEK)).unwrap().kept, None);
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn what_is_held_survives_a_drop_by_another_program_and_goes_when_it_is_released_and_dropped() {
    let mut ram = Ram::new(Config::default()).await;
    ram.done(ActKind::Hold, QWEN).await;
    let kept = ram
        .world
        .until_model(QWEN, |model| model.kept.as_ref().is_some_and(|k| k.files.is_some()))
        .await
        .kept;
    assert!(kept.is_some_and(|kept| kept.held && kept.ends.is_none()));
    ram.forget(QWEN);
    assert!(ram.percent(QWEN) >= 95, "{} %", ram.percent(QWEN));
    ram.done(ActKind::Release, QWEN).await;
    ram.world.until_model(QWEN, |model| model.kept.is_none()).await;
    ram.done(ActKind::Drop, QWEN).await;
    assert!(ram.percent(QWEN) <= 5, "{} %", ram.percent(QWEN));
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_drop_lets_go_of_what_is_kept_here_first() {
    let mut ram = Ram::new(Config::default()).await;
    ram.done(ActKind::Warm, QWEN).await;
    ram.world
        .until_model(QWEN, |model| model.kept.as_ref().is_some_and(|kept| !kept.held && kept.ends.is_some()))
        .await;
    ram.done(ActKind::Drop, QWEN).await;
    assert!(ram.percent(QWEN) <= 5, "{} %", ram.percent(QWEN));
    let told = ram.told(QWEN);
    assert!(
        told.iter().any(|what| matches!(what, What::Dropped { left, .. } if left.0 < 100_000)),
        "{told:?}"
    );
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn what_was_warmed_is_let_go_when_its_time_in_ram_is_over() {
    let keep_alive = Some(KeepAlive::For(std::time::Duration::from_secs(1)));
    let mut ram = Ram::new(Config { keep_alive, ..Config::default() }).await;
    ram.done(ActKind::Warm, QWEN).await;
    let over =
        |what: &What| matches!(what, What::Released { why: Some(why) } if why == "its time in RAM is over");
    ram.world.event(QWEN, over).await;
    ram.world.until_model(QWEN, |model| model.kept.is_none()).await;
    ram.done(ActKind::Hold, QWEN).await;
    let kept = ram.world.until_model(QWEN, |model| model.kept.is_some()).await.kept.unwrap();
    assert_eq!((kept.held, kept.ends), (true, None), "what is held by name has no time");
    ram.sim.shutdown().await;
}

/// Room for a model of five megabytes, and nothing more.
fn small(make_room: bool) -> Config {
    let megabytes = |number: u64| Bytes(number * GB / 1000);
    Config {
        memory: Memory::Set {
            system: Bytes::ZERO,
            models_preload: megabytes(6),
            context_cache: Bytes::ZERO,
            total: megabytes(6),
        },
        preload: Preload { enabled: true, make_room, models: vec![name(QWEN)], ..Preload::default() },
        ..Config::default()
    }
}

#[tokio::test]
async fn what_does_not_fit_the_budget_is_refused_with_the_numbers_and_nothing_is_read() {
    let mut ram = Ram::new(small(false)).await;
    let act = ram.act(ActKind::Warm, DEEPSEEK).await;
    assert!(why(&act).contains("memory.models_preload"), "{act:?}");
    assert!(ram.percent(DEEPSEEK) <= 5);
    ram.done(ActKind::Warm, QWEN).await;
    let act = ram.act(ActKind::Warm, "openthinker3-7b").await;
    assert!(why(&act).contains("qwen2.5-coder"), "{act:?}");
    assert!(ram.percent(QWEN) >= 95);
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn room_is_made_only_where_the_config_says_so() {
    let mut ram = Ram::new(small(true)).await;
    ram.done(ActKind::Warm, QWEN).await;
    ram.done(ActKind::Warm, "openthinker3-7b").await;
    assert!(ram.percent("openthinker3-7b") >= 95);
    assert!(ram.percent(QWEN) <= 5, "{} %", ram.percent(QWEN));
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn two_warms_of_one_model_are_one_and_a_whole_list_is_read_in_order() {
    let mut ram = Ram::new(Config::default()).await;
    let handle = &ram.world.handle;
    let first = handle.act(ActKind::Warm, name(DEEPSEEK)).unwrap();
    let second = handle.act(ActKind::Warm, name(DEEPSEEK)).unwrap();
    let third = handle.act(ActKind::Hold, name(QWEN)).unwrap();
    let all = [first, second, third];
    let ended = move |s: &Snapshot| {
        let state = |id| s.acts.iter().find(|act| act.id == id).map(|act| act.state.clone());
        let states: Vec<_> = all.iter().map(|id| state(*id)).collect();
        states.iter().all(|state| matches!(state, Some(ActState::Done { .. }))).then_some(())
    };
    ram.world.until("all three done", ended).await;
    let reads =
        ram.told(DEEPSEEK).into_iter().filter(|what| matches!(what, What::Warmed { read, .. } if read.0 > 0));
    assert_eq!(reads.count(), 1);
    assert!(ram.percent(DEEPSEEK) >= 95 && ram.percent(QWEN) >= 95);
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn what_fades_of_the_list_is_mended_by_itself_where_the_config_says_so() {
    let preload = Preload {
        enabled: true,
        auto_refresh: true,
        hold: Hold::None,
        models: vec![name(QWEN)],
        ..Preload::default()
    };
    let mut ram = Ram::new(Config { preload, may_act: true, ..Config::default() }).await;
    ram.done(ActKind::Warm, QWEN).await;
    assert_eq!(ram.world.handle.snapshot().servers[0].model(&name(QWEN)).unwrap().kept, None);
    ram.forget(QWEN);
    ram.world.handle.send(Command::Look { model: name(QWEN) }).unwrap();
    ram.world.event(QWEN, |what| matches!(what, What::Faded { to: 0..5, .. })).await;
    let mended = |s: &Snapshot| {
        let read = |what: &What| matches!(what, What::Warmed { read, .. } if read.0 > 3_000_000);
        (s.events.iter().filter(|event| read(&event.what)).count() == 2).then_some(())
    };
    ram.world.until("it is read again", mended).await;
    assert!(ram.percent(QWEN) >= 95, "{} %", ram.percent(QWEN));
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_file_that_was_cut_is_an_error_and_no_crash() {
    let mut ram = Ram::new(Config::default()).await;
    ram.done(ActKind::Hold, QWEN).await;
    let path = ram.blobs(QWEN).remove(0);
    File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
    let act = ram.act(ActKind::Warm, QWEN).await;
    assert!(!why(&act).is_empty());
    ram.done(ActKind::Release, QWEN).await;
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_file_that_is_shorter_than_its_model_is_not_warmed() {
    let mut ram = Ram::new(Config::default()).await;
    let path = ram.blobs(QWEN).remove(0);
    File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
    let act = ram.act(ActKind::Warm, QWEN).await;
    assert!(why(&act).contains("MB"), "{act:?}");
    // Of what there is of it, all may be in RAM; of the model it is not.
    ram.world.until_model(QWEN, |model| model.tiers.ram.percent_of(model.tiers.whole()) < 50).await;
    ram.sim.shutdown().await;
}

#[tokio::test]
async fn a_server_on_another_machine_is_told_from_one_whose_ram_can_be_filled() {
    let options = sim::Options::for_tests(1024, std::time::Duration::from_millis(5), clock::system());
    let sim = sim::start(options).await.unwrap();
    let mut world = World::new(&sim.url(), Config::default());
    world.ready().await;
    for kind in [ActKind::Warm, ActKind::Hold, ActKind::Drop] {
        let act = world.act(kind, QWEN).await;
        assert!(why(&act).contains("another machine"), "{act:?}");
    }
    sim.shutdown().await;
}

#[tokio::test]
async fn a_cold_load_is_read_ahead_and_a_warm_one_is_not() {
    let mut ram = Ram::new(Config::default()).await;
    ram.world.handle.send(Command::Look { model: name(QWEN) }).unwrap();
    let is_cold = |s: &Snapshot| known(s, QWEN).filter(|bytes| *bytes == Bytes::ZERO);
    ram.world.until("the cold model", is_cold).await;
    let first = Wish { way: Some(Way::First), ..Wish::default() };
    for (read, way) in [(true, Way::First), (false, Way::Off)] {
        let id = ram.world.handle.swap(name(QWEN), first.clone()).unwrap();
        let ended = |s: &Snapshot| s.acts.iter().find(|act| act.id == id && !act.is_live()).cloned();
        let act = ram.world.until("the end of the swap", ended).await;
        let swap = act.swap.unwrap();
        assert_eq!((swap.plan.way, swap.ended.as_ref()), (way, Some(&Ended::Ready)));
        assert_eq!(swap.stages.read.is_some_and(|bytes| bytes > Bytes::ZERO), read, "{swap:?}");
        assert!(ram.percent(QWEN) > 90);
        assert!(ram.told(QWEN).iter().all(|what| !matches!(what, What::Warned { .. })));
        ram.world.until_model(QWEN, |model| model.loaded.is_some()).await;
        ram.done(ActKind::Unload, QWEN).await;
        // Kept from here on: what is in RAM unkept may be taken by the kernel before the next load begins.
        ram.done(ActKind::Warm, QWEN).await;
        ram.world.until_model(QWEN, |model| model.tiers.ram.percent_of(model.tiers.whole()) >= 99).await;
    }
}
