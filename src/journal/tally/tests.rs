//! What is counted, that it is counted once, and that it stays counted when its rows go.

use super::*;
use crate::journal::history;
use crate::journal::keep::tests::{SERVER, later, model, noon, open, put, record, swap, watched};
use crate::journal::keep::{Pruned, write};
use crate::journal::tests::Place;
use crate::residency::record::{Foreseen, Happened, Left, PhaseRecord, Record, SwapRecord};
use crate::residency::swap::{Before, Ended, Stage, Stages};

async fn on(place: &Place, before: Tally, now: Timestamp) -> Tally {
    history::tally(&place.path(), SERVER.to_owned(), before, now).unwrap().await.unwrap().unwrap()
}

async fn asked(place: &Place, now: Timestamp) -> Vec<Count> {
    on(place, Tally::default(), now).await.counts().to_vec()
}

fn count(what: What, times: u64, seconds: u64, read: u64) -> Count {
    Count { what, times, took: Duration::from_secs(seconds), read: Bytes(read) }
}

fn swapped(text: &str, ours: bool, end: End, from: Origin, class: Option<usize>) -> What {
    What::Swap { model: model(text), ours, end, from, class }
}

/// A swap from the disk that took so many seconds.
fn cold(text: &str, seconds: u64) -> SwapRecord {
    let stages =
        Stages { total: Some(Duration::from_secs(seconds)), read: Some(Bytes(900)), ..Stages::default() };
    SwapRecord { before: Before { ram: Some(Bytes(100)), ..swap(text).before }, stages, ..swap(text) }
}

fn one_of_each() -> Vec<Record> {
    let phase = |phase: &str| PhaseRecord {
        run: "7".into(),
        phase: phase.into(),
        model: Some(model("a")),
        next: None,
        swap: Duration::from_secs(2),
    };
    let foreseen = |text: &str, right| Foreseen {
        model: model(text),
        num_ctx: None,
        right,
        said: None,
        took: Bytes(1),
        size: Bytes(1),
    };
    let there = Before { in_vram: true, ..swap("a").before };
    let failed = Ended::Failed { stage: Stage::Load, why: "no memory".into() };
    [
        Happened::Swap(swap("a")),
        Happened::Swap(cold("a", 9)),
        Happened::Swap(cold("a", 700)),
        Happened::Swap(watched("b")),
        Happened::Swap(SwapRecord { stages: Stages::default(), ..watched("b") }),
        Happened::Swap(SwapRecord { before: there, ..swap("a") }),
        Happened::Swap(SwapRecord { ended: failed, ..swap("a") }),
        Happened::Left { model: model("a"), how: Left::Evicted { by: Some(model("b")) } },
        Happened::Left { model: model("b"), how: Left::Expired },
        Happened::Used { model: model("a"), idle: None },
        Happened::Phase(phase("planning")),
        Happened::Phase(phase("")),
        Happened::Foreseen(foreseen("a", Some(true))),
        Happened::Foreseen(foreseen("b", None)),
    ]
    .into_iter()
    .zip(0..)
    .map(|(what, number)| record(later(number * 5000), what))
    .collect()
}

fn counted() -> Vec<Count> {
    let (ready, ram) = (End::Ready, Origin::Ram);
    vec![
        count(What::Foreseen { right: true }, 1, 0, 0),
        count(What::Phase, 1, 2, 0),
        count(What::Left { model: model("a"), how: How::Evicted }, 1, 0, 0),
        count(swapped("a", true, End::Failed, ram, None), 1, 0, 0),
        count(swapped("a", true, ready, Origin::Disk, Some(CLASSES.len())), 1, 700, 900),
        count(swapped("a", true, ready, Origin::Disk, Some(6)), 1, 9, 900),
        count(swapped("a", true, ready, ram, Some(2)), 1, 1, 0),
        count(What::Used { model: model("a") }, 1, 0, 0),
        count(What::Left { model: model("b"), how: How::Expired }, 1, 0, 0),
        count(swapped("b", false, ready, ram, None), 1, 0, 0),
        count(swapped("b", false, ready, ram, Some(2)), 1, 1, 0),
    ]
}

#[tokio::test]
async fn what_happened_is_counted_and_stays_counted_when_its_rows_go() {
    let place = Place::new();
    assert_eq!(asked(&place, noon()).await, []);
    let mut book = open(&place);
    put(&mut book, &one_of_each());
    let now = later(100_000);
    let sorted = |mut counts: Vec<Count>| {
        counts.sort_by_key(|count| format!("{count:?}"));
        counts
    };
    assert_eq!(sorted(asked(&place, now).await), sorted(counted()));

    // Two years later all of it is too old.
    let later = now + jiff::SignedDuration::from_hours(2 * 365 * 24);
    write(&mut book.connection, &[], &mut Pruned::default(), later).unwrap();
    assert_eq!(place.raw().query_row("SELECT count(*) FROM swap", [], |row| row.get(0)), Ok(0_i64));
    assert_eq!(sorted(asked(&place, later).await), sorted(counted()));

    // And what comes after that is added to it.
    write(&mut book.connection, &one_of_each(), &mut Pruned::default(), now).unwrap();
    let twice = counted().into_iter().map(|Count { what, times, took, read }| Count {
        what,
        times: times * 2,
        took: took * 2,
        read: Bytes(read.0 * 2),
    });
    assert_eq!(sorted(asked(&place, later).await), sorted(twice.collect()));
}

#[tokio::test]
async fn a_swap_counts_once_it_can_no_longer_be_taken_back() {
    let place = Place::new();
    let mut book = open(&place);
    put(&mut book, &[record(noon(), Happened::Swap(watched("a")))]);
    let others = count(swapped("a", false, End::Ready, Origin::Ram, Some(2)), 1, 1, 0);
    let ours = count(swapped("a", true, End::Ready, Origin::Ram, Some(2)), 1, 1, 0);
    assert_eq!(asked(&place, later(15)).await, []);
    assert_eq!(asked(&place, later(16)).await, [others]);
    // The instance that did it says so itself.
    put(&mut book, &[record(noon(), Happened::Swap(swap("a")))]);
    assert_eq!(asked(&place, later(16)).await, [ours]);
}

#[tokio::test]
async fn a_file_of_before_the_tally_is_counted_as_it_is() {
    let place = Place::new();
    put(&mut open(&place), &[record(noon(), Happened::Swap(swap("a")))]);
    let raw = place.raw();
    raw.execute_batch("DROP TABLE tally; ALTER TABLE swap DROP COLUMN displaced_known").unwrap();
    raw.pragma_update(None, "user_version", 5).unwrap();
    assert_eq!(asked(&place, later(60)).await.len(), 1);
}

#[tokio::test]
async fn what_is_counted_on_is_what_would_be_counted_at_once() {
    let place = Place::new();
    let mut book = open(&place);
    let mut so_far = Tally::default();
    for (number, one) in one_of_each().into_iter().chain(one_of_each()).enumerate() {
        put(&mut book, &[one]);
        // Some swaps are not settled yet, some are, and some became so since the last time.
        let now = later(i64::try_from(number).unwrap() * 2500);
        so_far = on(&place, so_far, now).await;
        assert_eq!(so_far.counts(), asked(&place, now).await);
    }
    assert_eq!(
        on(&place, so_far.clone(), later(200_000)).await.counts(),
        asked(&place, later(200_000)).await
    );

    // Rows that go later stay counted, once.
    let aged = later(100_000) + jiff::SignedDuration::from_hours(2 * 365 * 24);
    so_far = on(&place, so_far, aged).await;
    let all = so_far.counts().to_vec();
    write(&mut book.connection, &[], &mut Pruned::default(), aged).unwrap();
    let after = on(&place, so_far, aged).await;
    assert_eq!((after.counts(), asked(&place, aged).await), (all.as_slice(), all.clone()));
}

#[tokio::test]
async fn another_file_in_the_journals_place_is_counted_anew() {
    let place = Place::new();
    let mut book = open(&place);
    put(&mut book, &one_of_each());
    let now = later(100_000);
    let before = on(&place, Tally::default(), now).await;
    drop(book);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", place.path().display()));
    }
    put(&mut open(&place), &[record(noon(), Happened::Swap(swap("a")))]);
    assert_eq!(on(&place, before, now).await.counts().len(), 1);
}
