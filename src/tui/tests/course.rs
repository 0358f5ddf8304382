//! The last minutes of memory and bus on the page of swaps.

use std::sync::Arc;
use std::time::Duration;

use crate::residency::bytes::{Bytes, GIB};
use crate::residency::host::{Card, Cards};
use crate::residency::snapshot::Snapshot;
use crate::residency::timing::Reading;
use crate::tui::course::{Course, What};
use crate::tui::fixture::{after, app, now, picture, press, usual};

/// So long ago, with so much used of a card of 8 GiB and such a rate of the bus.
fn then(ago: i64, used: u64, rate: Option<u64>) -> Snapshot {
    let mut snapshot = usual();
    snapshot.at = after(-ago);
    let receive_rate = rate.map(Bytes);
    let card = Card { total: Bytes(8 * GIB), used: Bytes(used * GIB), receive_rate, ..Card::default() };
    snapshot.host.cards = Some(Reading { value: Cards::Known(vec![card]), at: after(-ago) });
    snapshot
}

#[test]
fn a_column_is_a_second_and_what_was_not_measured_is_blank() {
    let mut course = Course::default();
    for (ago, used) in [(4, 8), (3, 0), (2, 4), (0, 8)] {
        course.note(&then(ago, used, None));
    }
    let line = course.line(What::Vram, 7, now().mono).unwrap();
    assert_eq!((line.glyphs.as_str(), line.now, line.most), ("  █▁▅▅█", Bytes(8 * GIB), Bytes(8 * GIB)));
    assert_eq!(course.line(What::Pcie, 7, now().mono), None);
    let later = now().mono + Duration::from_secs(3);
    assert_eq!(course.line(What::Vram, 4, later).unwrap().glyphs, "████");
}

#[test]
fn what_has_no_bound_is_drawn_against_its_highest() {
    let mut course = Course::default();
    for (ago, rate) in [(2, 0), (1, 12_000_000_000), (0, 6_000_000_000)] {
        course.note(&then(ago, 1, Some(rate)));
    }
    let line = course.line(What::Pcie, 3, now().mono).unwrap();
    assert_eq!((line.glyphs.as_str(), line.most), ("▁█▅", Bytes(12_000_000_000)));
}

#[test]
fn the_page_of_swaps_begins_with_it_also_behind_a_frozen_picture() {
    let mut app = app(then(50, 2, None));
    app.see(Arc::new(then(20, 8, None)));
    press(&mut app, "y");
    let shown = picture(&app, 80, 24);
    let vram = shown.lines().find(|line| line.contains("VRAM") && line.contains("▃")).unwrap();
    assert!(vram.ends_with("8.0 of 8.0 GiB") && vram.contains(&"█".repeat(20)), "{vram}");
    assert!(!shown.contains("PCIe"), "{shown}");
    assert_eq!(app.next_tick(now()), Some(Duration::from_secs(1)));
    press(&mut app, "esc space");
    app.see(Arc::new(then(0, 1, Some(3_000_000_000))));
    press(&mut app, "space y");
    let shown = picture(&app, 80, 24);
    assert!(shown.contains("PCIe") && shown.contains("3.0 GB/s"), "{shown}");
}
