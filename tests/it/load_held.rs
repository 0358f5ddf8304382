//! Two hundred commands a second for a minute: each is refused at once, or its act ends; none is lost.

use std::collections::HashSet;
use std::time::Duration;

use resident::config::Config;
use resident::engine::{Busy, Command, clock, start};
use resident::residency::act::{ActId, ActKind};
use resident::residency::snapshot::Snapshot;
use resident::residency::timing::Clock;
use resident::sim::{self, Broken};
use tokio_util::sync::CancellationToken;

use crate::engine_world::{World, name, parts};

const A_SECOND: usize = 200;
const SECONDS: usize = 60;

const MODELS: [&str; 5] =
    ["qwen2.5-coder:7b", "openthinker3-7b", "deepseek-r1:14b", "gemma3:270m", "is-not-installed"];
const KINDS: [ActKind; 6] =
    [ActKind::Load, ActKind::Touch, ActKind::Pin, ActKind::Swap, ActKind::Unpin, ActKind::Unload];

/// What became of all that was asked.
#[derive(Debug, Default)]
struct Tally {
    asked: HashSet<ActId>,
    ended: HashSet<ActId>,
    refused: usize,
    most_live: usize,
}

impl Tally {
    fn see(&mut self, snapshot: &Snapshot) {
        self.ended.extend(snapshot.acts.iter().filter(|act| !act.is_live()).map(|act| act.id));
        self.most_live = self.most_live.max(snapshot.acts.iter().filter(|act| act.is_live()).count());
    }

    fn took(&mut self, asked: Result<ActId, Busy>) {
        match asked {
            Ok(id) => assert!(self.asked.insert(id), "{id:?} twice"),
            Err(Busy) => self.refused += 1,
        }
    }

    fn lost(&self) -> usize {
        self.asked.difference(&self.ended).count()
    }
}

fn moment() -> Clock {
    clock::of_tokio("2026-11-23T12:00:00Z".parse().unwrap())
}

fn engine(url: &str, clock: Clock) -> World {
    let stop = CancellationToken::new();
    let config = Config { url: url.to_owned(), ..Config::default() };
    World::of(start(parts(config, clock, &stop)), url.to_owned(), stop)
}

/// Asks for an act of each kind of each model in turn, every so often cancels a model's, and at the end all.
async fn hold(world: &mut World) -> Tally {
    let mut tally = Tally::default();
    for turn in 0..A_SECOND * SECONDS {
        let model = name(MODELS[turn % MODELS.len()]);
        if turn % 50 == 49 {
            tally.refused += usize::from(world.handle.send(Command::Cancel { model }).is_err());
        } else {
            let kind = KINDS[turn / MODELS.len() % KINDS.len()];
            tally.took(world.handle.act(kind, model));
        }
        tokio::time::sleep(Duration::from_secs(1) / u32::try_from(A_SECOND).unwrap()).await;
        tally.see(&world.handle.snapshots.borrow_and_update());
    }
    world.handle.send(Command::CancelAll).unwrap();
    world
        .until("the end of all", |snapshot| {
            tally.see(snapshot);
            snapshot.acts.iter().all(|act| !act.is_live()).then_some(())
        })
        .await;
    tally
}

fn verdict(tally: &Tally) {
    assert_eq!(tally.lost(), 0, "of {} asked, {} refused", tally.asked.len(), tally.refused);
    let commands = A_SECOND * SECONDS;
    let cancels = commands / 50;
    assert!(tally.asked.len() + tally.refused >= commands - cancels, "{} asked", tally.asked.len());
    // What waits is bounded, so that a server that hangs for a week costs no memory.
    assert!(tally.most_live <= 64, "{} live at once", tally.most_live);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_commands_a_second_for_a_minute_are_each_refused_or_ended() {
    let clock = moment();
    let options = sim::Options::for_tests(1, Duration::from_secs(2), clock.clone());
    let sim = sim::start(options).await.unwrap();
    let mut world = engine(&sim.url(), clock);
    world.ready().await;
    let tally = hold(&mut world).await;
    verdict(&tally);
    // That a pinned model goes for another is asked for here, by name; all other rules hold whatever is asked.
    let by_word = |rule| matches!(rule, Broken::EvictsPinned | Broken::UnloadsPinned);
    let fouls: Vec<_> = sim.fouls().into_iter().filter(|foul| !by_word(foul.rule)).collect();
    assert_eq!(fouls, []);
}

#[tokio::test(start_paused = true)]
async fn none_is_lost_while_the_server_takes_connections_and_says_nothing() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let keeps = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            open.push(connection);
        }
    });
    let mut world = engine(&url, moment());
    let tally = hold(&mut world).await;
    verdict(&tally);
    keeps.abort();
}
