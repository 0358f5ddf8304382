//! What the two properties of the journal share: a file that was made as the program makes it, and all that reads one.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use resident::journal::history::{self, Answer, Kind, Query};
use resident::journal::{Journal, Opened, State};
use resident::residency::bytes::Bytes;
use resident::residency::host::LoadMode;
use resident::residency::name::ModelName;
use resident::residency::pin::{Change, GaveUp};
use resident::residency::record::{Foreseen, Happened, Left, PhaseRecord, Record, SwapRecord};
use resident::residency::swap::{Before, Ended, Stages, Way};
use resident::residency::timing::{Clock, Moment};
use resident::residency::tune::policy::Rule;
use tokio_util::sync::CancellationToken;

use super::safe;

pub const SERVER: &str = "http://127.0.0.1:11434";

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn clock() -> Clock {
    let now = Moment { mono: std::time::Instant::now(), wall: now() };
    Arc::new(move || now)
}

fn now() -> Timestamp {
    "2026-11-23T12:04:31Z".parse().expect("a time")
}

fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

fn block_on<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(what)
}

/// The bytes of a journal in which something of each kind happened.
pub fn template() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("journal.sqlite");
        block_on(async {
            let journal = Journal::open(&path, clock(), &CancellationToken::new()).expect("a thread");
            assert_eq!(opened(&journal).await, Ok(Opened::Fresh));
            for number in 0..8 {
                journal.record(records(number)).map_err(|(why, _)| why).expect("a record that is taken");
            }
            let gave_up = Some(GaveUp { by: Some(name("b")), at: now() });
            for change in [
                Change::Pin { before: None },
                Change::Suspend { by: name("b") },
                Change::Tried { tries: 2, gave_up },
            ] {
                journal.pin(SERVER, name("a"), change, now()).expect("a pin that is taken");
            }
            journal.close().await;
        });
        std::fs::read(&path).expect("the journal's file")
    })
}

fn records(number: i64) -> Vec<Record> {
    let swap = SwapRecord {
        model: name("a"),
        ours: number % 2 == 0,
        displaced: Some(vec![name("b")]),
        before: Before { whole: Bytes(4_700_000_000), in_vram: false, ram: Some(Bytes(12)), estimate: true },
        way: Way::Beside,
        mode: LoadMode::Buffered,
        num_ctx: Some(8192),
        stages: Stages { total: Some(Duration::from_millis(1234)), ..Stages::default() },
        ended: Ended::Ready,
    };
    let phase = PhaseRecord {
        run: "run".to_owned(),
        phase: "plan".to_owned(),
        model: Some(name("a")),
        next: None,
        swap: Duration::from_secs(1),
    };
    let foreseen = Foreseen {
        model: name("a"),
        num_ctx: None,
        right: Some(true),
        said: None,
        took: Bytes(5),
        size: Bytes(7),
    };
    let at = now() - Duration::from_secs(60 * number.unsigned_abs());
    let all = [
        Happened::Swap(swap),
        Happened::Left { model: name("b"), how: Left::Evicted { by: Some(name("a")) } },
        Happened::Used { model: name("a"), idle: Some(Duration::from_secs(90)) },
        Happened::Phase(phase),
        Happened::Foreseen(foreseen),
    ];
    all.map(|what| Record { at, server: SERVER.to_owned(), what }).into()
}

async fn opened(journal: &Journal) -> Result<Opened, String> {
    let mut state = journal.state.clone();
    let state = state.wait_for(|state| state.opened.is_some()).await.expect("a thread that lives");
    state.opened.clone().expect("it is opened")
}

/// Opens the file at `path` and has all of it read, by the thread that writes and by those who ask. Whatever is in it,
/// what is said of it is safe to show, and one that cannot be used gives way to one that can.
pub fn read(path: &Path) -> (Result<Opened, String>, State) {
    block_on(async {
        let journal = Journal::open(path, clock(), &CancellationToken::new()).expect("a thread");
        let opened = opened(&journal).await;
        match &opened {
            Ok(Opened::MovedAside { to, why }) => {
                safe::assert_safe(why);
                assert!(to.exists(), "{} is gone", to.display());
            }
            Ok(_) => {}
            Err(why) => safe::assert_safe(why),
        }
        // Each is refused where there is no journal.
        let _ = journal.recall(SERVER, TimeZone::UTC);
        let _ = journal.tune(SERVER, Rule::default());
        let _ = journal.pin(SERVER, name("c"), Change::Pin { before: None }, now());
        let _ = journal.record(records(0));
        let _ = journal.hold(vec!["sha256:ab".to_owned()]);
        // An answer comes once all of that is done.
        let asked = journal.ask_release(vec!["sha256:ab".to_owned()]);
        if let Ok(asked) = asked {
            match asked.await {
                Ok(Ok(_)) => {}
                Ok(Err(why)) => safe::assert_safe(&why),
                // The thread has ended, and said why.
                Err(_) => assert!(matches!(journal.state.borrow().opened, Some(Err(_)))),
            }
        }
        let state = journal.state.borrow().clone();
        state.trouble.iter().for_each(|why| safe::assert_safe(why));
        shown(&journal);
        journal.close().await;
        asked_of(path).await;
        (opened, state)
    })
}

/// What the screen shows of it.
fn shown(journal: &Journal) {
    let past = journal.past.borrow().clone();
    for (_, swap) in &past.swaps {
        safe::assert_safe(&swap.model.to_string());
    }
    assert!(past.runs.iter().map(|run| run.phases.len()).sum::<usize>() <= 2000);
    for pin in journal.pins.borrow().iter().flat_map(|pins| pins.iter()) {
        safe::assert_safe(&pin.model.to_string());
    }
    for tuning in journal.tunings.borrow().iter().flat_map(|tunings| tunings.iter()) {
        safe::assert_safe(&tuning.model.to_string());
        let _ = (tuning.keep_alive(), tuning.cost());
    }
}

/// All that is asked of a journal.
async fn asked_of(path: &Path) {
    let server = || SERVER.to_owned();
    let query = Query { server: server(), models: vec![], since: None, kind: Kind::All, limit: 50 };
    let found = answer(history::records(path, query.clone())).await.unwrap_or_default();
    assert!(found.len() <= 50 && found.is_sorted_by_key(|record| std::cmp::Reverse(record.at)));
    let query = Query { models: vec![name("A")], since: Some(now()), ..query };
    answer(history::records(path, query)).await;
    answer(history::day(path, server(), TimeZone::UTC, now())).await;
    answer(history::uses(path, server(), vec![], now())).await;
    let tally = answer(history::tally(path, server(), history::Tally::default(), now())).await;
    if let Some(tally) = tally {
        answer(history::tally(path, server(), tally, now())).await;
    }
}

async fn answer<T>(asked: std::io::Result<Answer<T>>) -> Option<T> {
    match asked.expect("a thread").await.expect("an answer") {
        Ok(found) => Some(found),
        Err(why) => {
            safe::assert_safe(&why);
            None
        }
    }
}
