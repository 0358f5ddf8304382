//! Pins in the file: written, read, kept apart by server, and what each change leaves.

use super::*;
use crate::journal::Journal;
use crate::journal::tests::{Other, Place};

const SERVER: &str = "http://127.0.0.1:11434";

fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_800_000_000 + second, 0).unwrap()
}

fn tell(journal: &Journal, model: &str, second: i64, change: Change) {
    journal.pin(SERVER, name(model), change, at(second)).unwrap();
}

fn follow(journal: &Journal) {
    journal.recall(SERVER, jiff::tz::TimeZone::UTC).unwrap();
    journal.watch(true).unwrap();
}

/// Waits until the pins are these.
async fn seen(journal: &Journal, wanted: &[Pin]) {
    let mut pins = journal.pins.clone();
    let is_so = |all: &Option<std::sync::Arc<Vec<Pin>>>| all.as_ref().is_some_and(|all| **all == wanted);
    assert!(pins.wait_for(is_so).await.is_ok(), "{:?}", journal.state);
}

fn pin(model: &str) -> Pin {
    Pin {
        model: name(model),
        since: at(0),
        whose: Whose::User,
        before: None,
        suspended: None,
        tries: 0,
        gave_up: None,
    }
}

#[tokio::test]
async fn a_pin_and_its_rest_are_seen_by_another_process_and_outlive_this_one() {
    let (place, other) = (Place::new(), Other::new());
    let (here, there) = (place.open(), place.open_as(&other));
    follow(&there);
    seen(&there, &[]).await;
    let five = KeepAlive::For(Duration::from_secs(300));
    tell(&here, "a", 0, Change::Pin { before: Some(five) });
    tell(&here, "b", 0, Change::Pin { before: Some(KeepAlive::Forever) });
    tell(&here, "a", 5, Change::Suspend { by: name("c") });
    let rests = Some(Suspended { by: name("c"), since: at(5) });
    let a = Pin { before: Some(five), suspended: rests, ..pin("a") };
    let b = Pin { before: Some(KeepAlive::Forever), ..pin("b") };
    seen(&there, &[a.clone(), b.clone()]).await;
    here.close().await;
    let again = place.open();
    follow(&again);
    seen(&again, &[a.clone(), b.clone()]).await;
    tell(&again, "a", 9, Change::Resume);
    seen(&there, &[Pin { suspended: None, ..a }, b]).await;
}

#[tokio::test]
async fn pinned_again_it_keeps_its_beginning_and_forgets_that_it_was_given_up() {
    let place = Place::new();
    let journal = place.open();
    follow(&journal);
    let five = KeepAlive::For(Duration::from_secs(300));
    tell(&journal, "a", 0, Change::Pin { before: Some(five) });
    let gave_up = Some(GaveUp { by: Some(name("b")), at: at(7) });
    tell(&journal, "a", 7, Change::Tried { tries: 4, gave_up: gave_up.clone() });
    let given_up = Pin { before: Some(five), tries: 4, gave_up, ..pin("a") };
    seen(&journal, std::slice::from_ref(&given_up)).await;
    tell(&journal, "a", 20, Change::Pin { before: None });
    seen(&journal, &[Pin { tries: 0, gave_up: None, ..given_up }]).await;
    tell(&journal, "a", 30, Change::Unpin { configured: false });
    seen(&journal, &[]).await;
}

#[tokio::test]
async fn what_nobody_here_pinned_is_forgotten_with_its_rest() {
    let place = Place::new();
    let journal = place.open();
    follow(&journal);
    let other = Pin { whose: Whose::Other, ..pin("a") };
    tell(&journal, "a", 0, Change::Suspend { by: name("b") });
    let rests = Some(Suspended { by: name("b"), since: at(0) });
    seen(&journal, &[Pin { suspended: rests, ..other }]).await;
    tell(&journal, "a", 5, Change::Resume);
    seen(&journal, &[]).await;
}

#[tokio::test]
async fn what_the_user_let_go_against_the_config_is_remembered_until_the_config_counts_anew() {
    let place = Place::new();
    let journal = place.open();
    follow(&journal);
    tell(&journal, "a", 0, Change::Unpin { configured: true });
    seen(&journal, &[Pin { whose: Whose::Released, ..pin("a") }]).await;
    tell(&journal, "a", 1, Change::Anew);
    tell(&journal, "b", 0, Change::Pin { before: None });
    tell(&journal, "b", 1, Change::Anew);
    seen(&journal, &[pin("b")]).await;
}

#[tokio::test]
async fn each_server_has_its_own_pins() {
    let place = Place::new();
    let journal = place.open();
    follow(&journal);
    journal.pin("http://box", name("a"), Change::Pin { before: None }, at(0)).unwrap();
    tell(&journal, "b", 0, Change::Pin { before: None });
    seen(&journal, &[pin("b")]).await;
}
