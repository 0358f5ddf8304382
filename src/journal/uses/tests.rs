//! What the uses say: read once, then only what is new, of this server and no other.

use std::time::Duration;

use super::*;
use crate::journal::file::Book;
use crate::journal::history;
use crate::journal::keep::tests::{SERVER, later, model, noon, open, put, record, swap};
use crate::journal::tests::Place;
use crate::residency::record::Record;

fn used(seconds: i64, text: &str, idle: Option<u64>) -> Record {
    let idle = idle.map(Duration::from_secs);
    record(later(seconds), Happened::Used { model: model(text), idle })
}

/// What there is new to say at `now`.
fn read(uses: &mut Uses, book: &Book, now: Timestamp) -> Option<Arc<[Tuning]>> {
    uses.read(&book.connection, book.version().unwrap(), now).unwrap()
}

fn counts(tunings: &[Tuning]) -> Vec<(String, usize, u32)> {
    tunings.iter().map(|one| (one.model.to_string(), one.uses, one.histogram.returns())).collect()
}

fn counted(all: &[(&str, usize, u32)]) -> Vec<(String, usize, u32)> {
    all.iter().map(|(model, uses, returns)| ((*model).to_owned(), *uses, *returns)).collect()
}

#[test]
fn what_the_uses_say_is_said_again_only_when_there_are_new_ones() {
    let place = Place::new();
    let (mut here, mut there) = (open(&place), open(&place));
    let mut uses = Uses::new(SERVER.to_owned(), Rule::default());
    assert_eq!(read(&mut uses, &here, noon()).as_deref(), Some(&[][..]));
    assert_eq!(read(&mut uses, &here, noon()), None);
    put(&mut there, &[used(0, "b", None), used(60, "b", Some(60)), used(70, "a", None)]);
    assert_eq!(counts(&read(&mut uses, &here, later(80)).unwrap()), counted(&[("a", 1, 0), ("b", 2, 1)]));
    // What is no use is no news.
    put(&mut there, &[record(later(90), Happened::Swap(swap("a")))]);
    assert_eq!(read(&mut uses, &here, later(90)), None);
    // What this connection writes does not change the version that it sees.
    put(&mut here, &[used(100, "A", Some(30))]);
    assert_eq!(read(&mut uses, &here, later(100)), None);
    uses.is_stale();
    let said = read(&mut uses, &here, later(100)).unwrap();
    assert_eq!(counts(&said), counted(&[("a", 2, 1), ("b", 2, 1)]));
    // By now a load of it has told its size.
    assert_eq!((said[0].size, said[1].size), (Some(Bytes(1000)), None));
    // Another file has other uses.
    let other = Place::new();
    let mut book = open(&other);
    put(&mut book, &[used(0, "c", None)]);
    uses.begin_anew();
    assert_eq!(counts(&read(&mut uses, &book, later(200)).unwrap()), counted(&[("c", 1, 0)]));
}

#[test]
fn what_is_read_on_is_what_would_be_read_at_once() {
    let place = Place::new();
    let mut book = open(&place);
    let mut uses = Uses::new(SERVER.to_owned(), Rule::default());
    for turn in 0..60 {
        put(&mut book, &[used(turn * 600, "a", (turn > 0).then_some(590))]);
        uses.is_stale();
        read(&mut uses, &book, later(turn * 600));
    }
    let mut anew = Uses::new(SERVER.to_owned(), Rule::default());
    let now = later(59 * 600);
    let at_once = read(&mut anew, &book, now).unwrap();
    assert_eq!(uses.tunings.into_values().collect::<Vec<_>>(), at_once.to_vec());
    assert_eq!(at_once[0].keep_alive(), Some(Duration::from_secs(11 * 60)));
}

#[test]
fn of_each_model_the_latest_uses_count() {
    let place = Place::new();
    let mut book = open(&place);
    let many = i64::try_from(MOST).unwrap() + 700;
    let records: Vec<Record> = (0..many).map(|n| used(n * 20, "a", Some(20))).collect();
    put(&mut book, &records);
    let traces = traces(&book.connection, SERVER, later(many * 20)).unwrap();
    let trace = &traces[&model("a")];
    assert_eq!((trace.uses.len(), trace.uses[0].at), (MOST, later(700 * 20)));
}

#[tokio::test]
async fn the_history_gives_the_uses_of_a_server_by_model_oldest_first() {
    let place = Place::new();
    let mut book = open(&place);
    let elsewhere = Record { server: "http://box".to_owned(), ..used(0, "a", None) };
    put(&mut book, &[elsewhere, used(0, "b", None), used(60, "b", Some(50)), used(70, "a", None)]);
    drop(book);
    let ask = |models: &[&str]| {
        let models = models.iter().map(|text| model(text)).collect();
        history::uses(&place.path(), SERVER.to_owned(), models, later(100)).unwrap()
    };
    let one = |text: &str, uses: &[(i64, Option<u64>)]| Trace {
        model: model(text),
        size: None,
        uses: uses
            .iter()
            .map(|(at, idle)| Use { at: later(*at), idle: idle.map(Duration::from_secs) })
            .collect(),
        until: later(100),
    };
    let (a, b) = (one("a", &[(70, None)]), one("b", &[(0, None), (60, Some(50))]));
    assert_eq!(ask(&[]).await.unwrap().unwrap(), [a, b.clone()]);
    assert_eq!(ask(&["B"]).await.unwrap().unwrap(), [b]);
    assert_eq!(ask(&["c"]).await.unwrap().unwrap(), []);
}
