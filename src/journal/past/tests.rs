//! The past of a server: when it is read again, where a day begins, which runs it shows.

use super::*;
use crate::journal::file::Book;
use crate::journal::keep::tests::{SERVER, later, model, noon, open, put, record, swap, watched};
use crate::journal::tests::{Other, Place};
use crate::residency::record::{Foreseen, Happened, PhaseRecord, SwapRecord};
use crate::residency::swap::{Before, Ended, Stage, Stages};

fn time(text: &str) -> Timestamp {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

/// The past of the server at `now`, if there is anything new to say.
fn read(recall: &mut Recall, book: &Book, now: Timestamp) -> Option<Past> {
    recall.read(&book.connection, book.version().unwrap(), now).unwrap()
}

#[test]
fn the_past_is_read_again_only_when_there_is_news() {
    let place = Place::new();
    let (mut here, mut there) = (open(&place), open(&place));
    let mut recall = Recall::new(SERVER.to_owned(), TimeZone::UTC);
    assert_eq!(read(&mut recall, &here, noon()), Some(Past::default()));
    assert_eq!(read(&mut recall, &here, noon()), None);
    // Another process.
    put(&mut there, &[record(noon(), Happened::Swap(swap("a")))]);
    let past = read(&mut recall, &here, noon()).unwrap();
    assert_eq!((past.today.swaps, past.swaps), (1, vec![(noon(), swap("a"))]));
    // What is no swap and no phase is no news.
    put(&mut there, &[record(noon(), Happened::Used { model: model("a"), idle: None })]);
    assert_eq!(read(&mut recall, &here, noon()), None);
    // What this connection writes does not change the version that it sees.
    put(&mut here, &[record(later(1), Happened::Swap(watched("b")))]);
    assert_eq!(read(&mut recall, &here, noon()), None);
    recall.is_stale();
    assert_eq!(read(&mut recall, &here, noon()).unwrap().today.swaps, 2);
    // What takes the place of another row is news, though there are not more of them.
    put(&mut there, &[record(later(1), Happened::Swap(swap("b")))]);
    assert_eq!(read(&mut recall, &here, noon()).unwrap().swaps[0].1, swap("b"));
}

#[test]
fn what_was_foreseen_of_a_load_is_kept_once_and_comes_back_newest_first() {
    let place = Place::new();
    let mut book = open(&place);
    let whole = Foreseen {
        model: model("a"),
        num_ctx: Some(4096),
        right: Some(true),
        said: Some(Bytes(110)),
        took: Bytes(100),
        size: Bytes(120),
    };
    let nothing = Foreseen { num_ctx: None, right: None, said: None, ..whole.clone() };
    let seen = |at, foreseen: &Foreseen| record(later(at), Happened::Foreseen(foreseen.clone()));
    // The second is the first, as another instance saw it.
    put(&mut book, &[seen(0, &whole), seen(1, &whole), seen(60, &nothing)]);
    let past = read(&mut Recall::new(SERVER.to_owned(), TimeZone::UTC), &book, noon()).unwrap();
    assert_eq!(past.forecasts, [(later(60), nothing), (later(0), whole)]);
}

#[test]
fn a_day_begins_at_midnight_of_the_zone_and_sums_up_what_made_models_ready() {
    let place = Place::new();
    let mut book = open(&place);
    let cold = SwapRecord {
        before: Before { ram: Some(Bytes(100)), ..swap("a").before },
        stages: Stages { total: Some(Duration::from_secs(8)), ..Stages::default() },
        ..swap("a")
    };
    let failed = SwapRecord { ended: Ended::Failed { stage: Stage::Load, why: String::new() }, ..swap("a") };
    let touched = SwapRecord { before: Before { in_vram: true, ..swap("a").before }, ..swap("a") };
    let midnight: Timestamp = "2026-11-23T23:00:00Z".parse().unwrap();
    let before = midnight - jiff::SignedDuration::from_secs(1);
    let records = [
        (before, cold),
        (midnight, swap("a")),
        (later(0), swap("a")),
        (later(1), failed),
        (later(2), touched),
    ];
    put(&mut book, &records.map(|(at, swap)| record(at, Happened::Swap(swap))));
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let mut recall = Recall::new(SERVER.to_owned(), zone);
    let seconds = |past: &Past| {
        let day = past.today;
        (day.swaps, day.waited.as_secs(), day.cold.map(|cold| cold.as_secs()))
    };
    assert_eq!(seconds(&read(&mut recall, &book, before).unwrap()), (1, 8, Some(8)));
    assert_eq!(seconds(&read(&mut recall, &book, noon()).unwrap()), (2, 2, Some(16)));
    assert_eq!(read(&mut recall, &book, time("22:59:59")), None);
    assert_eq!(read(&mut recall, &book, time("23:00:00")).unwrap().today.swaps, 0);
}

#[test]
fn runs_of_the_last_day_come_newest_first_and_their_phases_oldest_first() {
    let place = Place::new();
    let mut book = open(&place);
    let phase = |at, run: &str, name: &str| {
        let (run, phase) = (run.to_owned(), name.to_owned());
        let phase = PhaseRecord { run, phase, model: None, next: None, swap: Duration::ZERO };
        record(later(at), Happened::Phase(phase))
    };
    let day = 24 * 3600;
    put(
        &mut book,
        &[
            phase(-day - 5, "old", "planning"),
            phase(-day - 4, "long", "planning"),
            phase(-20, "long", "coding"),
            phase(-10, "new", "planning"),
            phase(-15, "long", "review"),
        ],
    );
    let past = read(&mut Recall::new(SERVER.to_owned(), TimeZone::UTC), &book, noon()).unwrap();
    let said: Vec<(String, Vec<String>)> = past
        .runs
        .into_iter()
        .map(|run| (run.run, run.phases.into_iter().map(|(_, phase)| phase.phase).collect()))
        .collect();
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        said,
        [
            ("new".to_owned(), words(&["planning"])),
            ("long".to_owned(), words(&["planning", "coding", "review"])),
        ]
    );
}

#[tokio::test]
async fn the_past_comes_to_whoever_watches() {
    let (place, other) = (Place::new(), Other::new());
    let (here, there) = (place.open(), place.open_as(&other));
    here.recall(SERVER, TimeZone::UTC).unwrap();
    here.watch(true).unwrap();
    there.record(vec![record(noon(), Happened::Swap(swap("a")))]).unwrap();
    let mut past = here.past.clone();
    past.wait_for(|past| past.swaps.len() == 1).await.unwrap();
    here.record(vec![record(later(9), Happened::Swap(swap("b")))]).unwrap();
    past.wait_for(|past| past.swaps.len() == 2).await.unwrap();
}
