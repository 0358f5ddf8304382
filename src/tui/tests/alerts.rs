//! The end of a long load is told, once.

use std::sync::Arc;
use std::time::Duration;

use crate::residency::event::{Event, What};
use crate::residency::snapshot::Snapshot;
use crate::tui::fixture::{after, app, name, press, usual};

/// The usual, and then a load that took so many seconds and ended so many seconds ago.
fn loaded_in(seconds: u64, ago: i64) -> Arc<Snapshot> {
    let mut snapshot = usual();
    let what = What::Loaded { took: Some(Duration::from_secs(seconds)), from_ram: None, ours: false };
    let event = Event { number: 5, at: after(-ago), model: Some(name("deepseek-r1:14b")), what };
    snapshot.events.push_back(Arc::new(event));
    Arc::new(snapshot)
}

#[test]
fn a_long_load_is_told_once_and_a_short_or_an_old_one_is_not() {
    for (seconds, ago, told) in [(5, 0, false), (6, 0, true), (90, 3, true), (90, 60, false)] {
        let mut app = app(usual());
        let new = loaded_in(seconds, ago);
        app.see(Arc::clone(&new));
        let words = format!("deepseek-r1:14b is loaded, after {seconds} s");
        assert_eq!(app.take_alert(), told.then_some(words), "{seconds} {ago}");
        app.see(new);
        assert_eq!(app.take_alert(), None);
    }
}

#[test]
fn it_is_told_behind_a_frozen_picture_too() {
    let mut app = app(usual());
    press(&mut app, "space");
    app.see(loaded_in(30, 0));
    assert!(app.take_alert().is_some());
    press(&mut app, "space");
    assert_eq!(app.take_alert(), None);
}
