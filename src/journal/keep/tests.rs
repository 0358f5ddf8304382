//! What is written down, by whom, how long it stays, and what the history makes of it.

use super::*;
use crate::journal::file::{self, Book};
use crate::journal::history::{self, Kind, Query};
use crate::journal::roles::{Part, Roles};
use crate::journal::tests::{Other, Place, opened};
use crate::journal::{NotTaken, QUEUE};
use crate::residency::bytes::Bytes;
use crate::residency::guard::claim::Claim;
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::record::{Left, PhaseRecord};
use crate::residency::swap::{Before, Stage, Stages, Way};

pub(in crate::journal) const SERVER: &str = "http://127.0.0.1:11434";

pub(in crate::journal) fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

pub(in crate::journal) fn later(seconds: i64) -> Timestamp {
    noon() + jiff::SignedDuration::from_secs(seconds)
}

pub(in crate::journal) fn model(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

/// A warm swap of ours that took a second.
pub(in crate::journal) fn swap(text: &str) -> SwapRecord {
    SwapRecord {
        model: model(text),
        ours: true,
        displaced: Some(Vec::new()),
        before: Before { whole: Bytes(1000), in_vram: false, ram: Some(Bytes(1000)), estimate: false },
        way: Way::Off,
        mode: LoadMode::Mmap,
        num_ctx: None,
        stages: Stages { total: Some(Duration::from_secs(1)), ..Stages::default() },
        ended: Ended::Ready,
    }
}

pub(in crate::journal) fn watched(text: &str) -> SwapRecord {
    SwapRecord { ours: false, ..swap(text) }
}

pub(in crate::journal) fn record(at: Timestamp, what: Happened) -> Record {
    Record { at, server: SERVER.to_owned(), what }
}

pub(in crate::journal) fn open(place: &Place) -> Book {
    file::open(&place.path(), noon(), false).unwrap()
}

pub(in crate::journal) fn put(book: &mut Book, records: &[Record]) {
    write(&mut book.connection, records, &mut Pruned::default(), noon()).unwrap();
}

fn all() -> Query {
    Query { server: SERVER.to_owned(), models: Vec::new(), since: None, kind: Kind::All, limit: usize::MAX }
}

async fn asked(place: &Place, query: Query) -> Vec<Record> {
    history::records(&place.path(), query).unwrap().await.unwrap().unwrap()
}

#[tokio::test]
async fn every_record_comes_back_as_it_went_newest_first() {
    let every = SwapRecord {
        displaced: Some(vec![model("a"), model("me/b:3b")]),
        before: Before { whole: Bytes(9), in_vram: true, ram: Some(Bytes(4)), estimate: true },
        way: Way::Beside,
        mode: LoadMode::InTree,
        num_ctx: Some(8192),
        stages: Stages {
            waited: Some(Duration::from_micros(10)),
            unload: Some(Duration::from_micros(1)),
            gone: Some(Duration::from_micros(2)),
            card_free: Some(Duration::from_micros(3)),
            read: Some(Bytes(4)),
            read_took: Some(Duration::from_micros(5)),
            load: Some(Duration::from_micros(6)),
            server_load: Some(Duration::from_micros(7)),
            first_token: Some(Duration::from_micros(8)),
            total: Some(Duration::from_micros(9)),
        },
        ..swap("c")
    };
    let nothing = SwapRecord {
        displaced: None,
        before: Before { ram: None, ..every.before },
        stages: Stages::default(),
        ended: Ended::Failed { stage: Stage::Read, why: "no\nroom".to_owned() },
        ..swap("c")
    };
    let cancelled = SwapRecord { ended: Ended::Cancelled { stage: Stage::FirstToken }, ..swap("d") };
    let phase = PhaseRecord {
        run: "run 7".to_owned(),
        phase: "planning".to_owned(),
        model: Some(model("a")),
        next: None,
        swap: Duration::from_millis(1500),
    };
    let left = |how| Happened::Left { model: model("a"), how };
    let happened = [
        Happened::Swap(every),
        Happened::Swap(nothing),
        Happened::Swap(cancelled),
        left(Left::Unloaded),
        left(Left::Evicted { by: Some(model("b")) }),
        left(Left::Evicted { by: None }),
        left(Left::Expired),
        left(Left::Died),
        left(Left::Unknown),
        Happened::Used { model: model("a"), idle: Some(Duration::from_secs(61)) },
        Happened::Used { model: model("a"), idle: None },
        Happened::Phase(phase),
    ];
    let records: Vec<Record> =
        (0..).step_by(10).zip(happened).map(|(at, what)| record(later(at), what)).collect();
    let place = Place::new();
    put(&mut open(&place), &records);
    let expected: Vec<Record> = records.into_iter().rev().collect();
    assert_eq!(asked(&place, all()).await, expected);
}

#[tokio::test]
async fn the_history_is_asked_by_server_model_time_kind_and_number() {
    let place = Place::new();
    let mut records: Vec<Record> = [(0, "a"), (10, "b"), (20, "A")]
        .map(|(at, text)| record(later(at), Happened::Swap(swap(text))))
        .into();
    records.push(record(later(30), Happened::Left { model: model("a"), how: Left::Expired }));
    records
        .push(Record { server: "http://other".to_owned(), ..record(later(40), Happened::Swap(swap("a"))) });
    put(&mut open(&place), &records);
    let seconds = async |query| -> Vec<i64> {
        let found = asked(&place, query).await;
        found.iter().map(|record| record.at.as_second() - noon().as_second()).collect()
    };
    assert_eq!(seconds(all()).await, [30, 20, 10, 0]);
    assert_eq!(seconds(Query { models: vec![model("a")], ..all() }).await, [30, 20, 0]);
    assert_eq!(seconds(Query { since: Some(later(10)), kind: Kind::Swaps, ..all() }).await, [20, 10]);
    assert_eq!(seconds(Query { limit: 2, ..all() }).await, [30, 20]);
    assert_eq!(seconds(Query { kind: Kind::Phases, ..all() }).await, [0; 0]);
    assert_eq!(seconds(Query { server: "http://other".to_owned(), ..all() }).await, [40]);
    assert_eq!(seconds(Query { server: "http://nobody".to_owned(), ..all() }).await, [0; 0]);
}

#[tokio::test]
async fn who_asks_for_the_history_makes_no_file_and_changes_none() {
    let place = Place::new();
    assert_eq!(asked(&place, all()).await, []);
    assert!(!place.path().parent().unwrap().exists());
    // A file of the time before there were records.
    drop(open(&place));
    let raw = place.raw();
    raw.execute_batch(
        "DROP TABLE swap; DROP TABLE gone; DROP TABLE used; DROP TABLE phase; DROP TABLE name; \
         DROP TABLE forecast; DROP TABLE pin; DROP TABLE tally",
    )
    .unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    assert_eq!(asked(&place, all()).await, []);
    raw.pragma_update(None, "user_version", 9).unwrap();
    let why = history::records(&place.path(), all()).unwrap().await.unwrap().unwrap_err();
    assert!(why.contains("it is of version 9, and this resident knows "), "{why}");
    raw.pragma_update(None, "user_version", 1).unwrap();
    drop(raw);
    // And it is brought to this version by who writes, with what was in it.
    put(&mut open(&place), &[record(noon(), Happened::Swap(swap("a")))]);
    assert_eq!(asked(&place, all()).await.len(), 1);
}

#[tokio::test]
async fn a_file_from_before_waiting_was_told_apart_is_read_as_it_is_and_brought_here_by_who_writes() {
    let place = Place::new();
    drop(open(&place));
    let raw = place.raw();
    raw.execute_batch(
        "ALTER TABLE swap DROP COLUMN waited; ALTER TABLE swap DROP COLUMN displaced_known; \
         DROP TABLE forecast; DROP TABLE pin; DROP TABLE tally",
    )
    .unwrap();
    raw.pragma_update(None, "user_version", 2).unwrap();
    raw.execute_batch(&format!(
        "INSERT INTO name (id, text) VALUES (1, '{SERVER}'), (2, 'a');
         INSERT INTO swap (server, at, model, ours, displaced, whole, in_vram, estimate, way, mode, ended, cold)
         VALUES (1, {}, 2, 1, '[]', 9, 0, 0, 'off', 'mmap', 'ready', 0)",
        noon().as_microsecond()
    ))
    .unwrap();
    let old = asked(&place, all()).await;
    assert_eq!(old.len(), 1);
    let waited = |record: &Record| match &record.what {
        Happened::Swap(swap) => swap.stages.waited,
        other => panic!("{other:?}"),
    };
    assert_eq!(waited(&old[0]), None);
    drop(raw);
    let stages = Stages { waited: Some(Duration::from_secs(3)), ..Stages::default() };
    put(&mut open(&place), &[record(noon(), Happened::Swap(SwapRecord { stages, ..swap("a") }))]);
    let both = asked(&place, all()).await;
    assert_eq!((both.len(), waited(&both[0])), (2, Some(Duration::from_secs(3))));
}

#[tokio::test]
async fn what_was_written_before_unknown_could_be_said_stays_known_and_is_read_so_from_either_file() {
    let place = Place::new();
    let known = [Vec::new(), vec![model("b")]].map(Some);
    let records: Vec<Record> = (0..)
        .zip(known.clone())
        .map(|(at, displaced)| record(later(at), Happened::Swap(SwapRecord { displaced, ..swap("a") })))
        .collect();
    put(&mut open(&place), &records);
    let raw = place.raw();
    raw.execute_batch("ALTER TABLE swap DROP COLUMN displaced_known").unwrap();
    raw.pragma_update(None, "user_version", 6).unwrap();
    drop(raw);
    let displaced = async || -> Vec<Option<Vec<ModelName>>> {
        let found = asked(&place, all()).await;
        let of = |record: Record| match record.what {
            Happened::Swap(swap) => swap.displaced,
            other => panic!("{other:?}"),
        };
        found.into_iter().rev().map(of).collect()
    };
    assert_eq!(displaced().await, known);
    let unknown = SwapRecord { displaced: None, ..swap("a") };
    put(&mut open(&place), &[record(later(9), Happened::Swap(unknown))]);
    assert_eq!(displaced().await, [&known[..], &[None]].concat());
}

#[tokio::test]
async fn a_swap_that_was_ours_is_no_swap_of_another_client() {
    let ours = record(later(100), Happened::Swap(swap("a")));
    // The keeper saw it begin and end a little later, or did not see it begin.
    let seen = [
        record(later(102), Happened::Swap(watched("a"))),
        record(later(103), Happened::Swap(SwapRecord { stages: Stages::default(), ..watched("a") })),
    ];
    let strangers = [
        record(later(103), Happened::Swap(watched("b"))),
        record(later(90), Happened::Swap(watched("a"))),
        record(later(110), Happened::Swap(watched("a"))),
        record(
            later(101),
            Happened::Swap(SwapRecord { ended: Ended::Cancelled { stage: Stage::Load }, ..swap("b") }),
        ),
    ];
    for first in [true, false] {
        let place = Place::new();
        let mut book = open(&place);
        put(&mut book, &strangers);
        if first {
            put(&mut book, std::slice::from_ref(&ours));
            put(&mut book, &seen);
        } else {
            put(&mut book, &seen);
            put(&mut book, std::slice::from_ref(&ours));
        }
        let left: Vec<Timestamp> = asked(&place, all()).await.iter().map(|record| record.at).collect();
        assert_eq!(left, [110, 103, 101, 100, 90].map(later), "{first}");
    }
}

#[tokio::test]
async fn a_departure_that_two_saw_is_one_and_the_next_after_a_load_is_another() {
    let place = Place::new();
    let left = |at| record(later(at), Happened::Left { model: model("a"), how: Left::Unloaded });
    let mut book = open(&place);
    put(
        &mut book,
        &[left(0), left(1), record(later(2), Happened::Swap(swap("a"))), left(3), left(4), left(60)],
    );
    let found = asked(&place, Query { kind: Kind::Left, ..all() }).await;
    assert_eq!(found.iter().map(|record| record.at).collect::<Vec<_>>(), [60, 3, 0].map(later));
}

#[test]
fn what_is_too_old_or_too_much_goes() {
    let place = Place::new();
    let mut book = open(&place);
    let used = |at| record(at, Happened::Used { model: model("a"), idle: None });
    let year = jiff::SignedDuration::from_hours(24 * 365);
    let old: Vec<Record> = (1..=3).map(|n| used(later(-10 * n) - year)).collect();
    let young: Vec<Record> = (0..10).map(|n| used(later(n) - year)).collect();
    let rows = |book: &Book| -> i64 {
        book.connection.query_row("SELECT count(*) FROM used", [], |row| row.get(0)).unwrap()
    };
    put(&mut book, &[old, young].concat());
    assert_eq!(rows(&book), 10);
    prune(&book.connection, noon(), 4).unwrap();
    assert_eq!(rows(&book), 4);
    // A year later nothing of it is left.
    prune(&book.connection, noon() + year + year, 4).unwrap();
    assert_eq!(rows(&book), 0);
}

#[test]
fn it_is_looked_for_what_may_go_at_first_and_then_rarely() {
    let place = Place::new();
    let mut book = open(&place);
    let mut pruned = Pruned::default();
    let used = |at| record(at, Happened::Used { model: model("a"), idle: None });
    let mut steps = Vec::new();
    for count in [1, PRUNE - 1, 1] {
        let records = vec![used(noon()); count];
        write(&mut book.connection, &records, &mut pruned, noon()).unwrap();
        steps.push(pruned.records);
    }
    assert_eq!(steps, [Some(0), Some(PRUNE - 1), Some(0)]);
}

#[test]
fn one_of_all_has_each_role_of_a_server_until_it_ends() {
    let place = Place::new();
    drop(open(&place));
    let part = |server: &str| Part::new(&place.path(), server.to_owned(), Claim::All);
    let (mut first, mut second, mut other) = (part("a"), part("a"), part("b"));
    for roles in [first.turn(42), other.turn(42)] {
        assert!(roles.acts && roles.records, "{roles:?}");
    }
    assert_eq!(second.turn(43), Roles { keeper: Some(42), ..Roles::default() });
    drop(first);
    assert!(second.turn(43).acts);
    let names = place.names();
    assert_eq!(names.iter().filter(|name| name.starts_with("keeper-")).count(), 2, "{names:?}");
}

#[tokio::test]
async fn the_next_keeper_takes_over_when_the_first_one_ends() {
    let (place, other) = (Place::new(), Other::new());
    let (here, there) = (place.open(), place.open_as(&other));
    here.keep(SERVER, Claim::All).unwrap();
    here.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
    there.keep(SERVER, Claim::All).unwrap();
    there.state.clone().wait_for(|state| state.roles.keeper.is_some()).await.unwrap();
    assert!(!there.state.borrow().roles.acts);
    here.close().await;
    there.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
}

#[tokio::test]
async fn what_was_given_is_written_before_the_journal_closes() {
    let place = Place::new();
    let journal = place.open();
    let records = || (0..50).map(|n| record(later(n), Happened::Swap(swap("a")))).collect::<Vec<_>>();
    journal.record(records()).unwrap();
    journal.close().await;
    assert_eq!(asked(&place, all()).await.len(), 50);
    // Also where the last handle just goes.
    let journal = place.open();
    let mut state = journal.state.clone();
    journal.record(records()).unwrap();
    drop(journal);
    while state.changed().await.is_ok() {}
    assert_eq!(asked(&place, all()).await.len(), 100);
}

#[tokio::test]
async fn what_a_full_queue_does_not_take_comes_back() {
    let place = Place::new();
    let journal = place.open();
    opened(&journal).await.unwrap();
    let raw = place.raw();
    // The thread waits for this one to end.
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let one = |n: usize| vec![record(later(i64::try_from(n).unwrap()), Happened::Swap(swap("a")))];
    let mut taken = 0;
    let back = loop {
        match journal.record(one(taken)) {
            Ok(()) => taken += 1,
            Err((why, back)) => {
                assert_eq!(why, NotTaken::Full);
                break back;
            }
        }
    };
    assert!(taken >= QUEUE);
    assert_eq!(back, one(taken));
    raw.execute_batch("COMMIT").unwrap();
    journal.close().await;
    assert_eq!(asked(&place, all()).await.len(), taken);
}
