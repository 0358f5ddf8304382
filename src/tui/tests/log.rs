//! The log: swaps to and fro folded, and how long other clients' loads took.

use std::sync::Arc;
use std::time::Duration;

use super::swaps::record;
use crate::residency::event::{Event, What};
use crate::residency::record::{Day, Past, SwapRecord};
use crate::residency::snapshot::Snapshot;
use crate::residency::swap::Stages;
use crate::tui::fixture::{after, app, name, picture, press, usual, wall};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const PAIR: [&str; 2] = ["openthinker3-7b", "qwen2.5-coder:7b"];

/// So many swaps to and fro, ten seconds apart; each took so long, as far as the server's answers tell.
fn to_and_fro(count: u32, ours: bool, took: impl Fn(u32) -> Option<Duration>) -> Snapshot {
    let mut snapshot = usual();
    snapshot.events.clear();
    for i in 0..count {
        let at = after(i64::from(i) * 10 - 150);
        let (comes, goes) = if i % 2 == 0 { (PAIR[0], PAIR[1]) } else { (PAIR[1], PAIR[0]) };
        let came = What::Loaded { took: took(i), from_ram: Some(100), ours };
        let all = [(goes, What::Unloaded { took: None }), (comes, What::Loading { ours }), (comes, came)];
        for (model, what) in all {
            let number = snapshot.events.len() as u64 + 1;
            snapshot.events.push_back(Arc::new(Event { number, at, model: Some(name(model)), what }));
        }
    }
    snapshot
}

#[test]
fn swaps_to_and_fro_are_folded_and_the_last_one_is_told_whole() {
    let mut app = app(to_and_fro(15, false, |i| Some(ms(800 + u64::from(i)))));
    let shown = picture(&app, 80, 24);
    let log: Vec<_> = shown.lines().skip(12).filter(|line| line.contains(':')).collect();
    insta::assert_snapshot!(log.join("\n"), @r"
    12:04:11  openthinker3-7b ⇄ qwen2.5-coder:7b ×14   median ~0.81 s
    12:04:21  qwen2.5-coder:7b    unloaded   by another client
    12:04:21  openthinker3-7b     loading   by another client
    12:04:21  openthinker3-7b     loaded in ~0.81 s   by another client   from RAM…
    ");
    press(&mut app, "tab tab");
    assert!(
        picture(&app, 80, 24).contains("openthinker3-7b ⇄ qwen2.5-coder:7b ×14"),
        "{}",
        picture(&app, 80, 24)
    );
}

#[test]
fn the_median_of_what_was_only_watched_is_marked_and_ours_is_not() {
    let folded = |snapshot| {
        let shown = picture(&app(snapshot), 80, 24);
        shown.lines().find(|line| line.contains('⇄')).unwrap_or_else(|| panic!("{shown}")).trim().to_owned()
    };
    let theirs = folded(to_and_fro(6, false, |_| Some(ms(1000))));
    assert_eq!(theirs, "12:02:41  qwen2.5-coder:7b ⇄ openthinker3-7b ×5   median ~1.00 s");
    let ours = folded(to_and_fro(6, true, |_| Some(ms(1000))));
    assert_eq!(ours, "12:02:41  qwen2.5-coder:7b ⇄ openthinker3-7b ×5   median 1.00 s");
    let some = folded(to_and_fro(6, false, |i| (i > 2).then_some(ms(1000))));
    assert_eq!(some, "12:02:41  qwen2.5-coder:7b ⇄ openthinker3-7b ×5   median ~1.00 s   3 not timed");
    let none = folded(to_and_fro(6, false, |_| None));
    assert_eq!(none, "12:02:41  qwen2.5-coder:7b ⇄ openthinker3-7b ×5   not timed");
}

#[test]
fn of_another_clients_load_the_log_says_the_time_that_the_journal_knows() {
    // The server's answers say a second; who watched the runners knows better, but for one that nobody saw begin.
    let mut snapshot = to_and_fro(6, false, |i| (i != 3).then_some(ms(1000)));
    let swaps = (0..6_u32).rev().map(|i| {
        let seen = i64::from(i) * 10 - 150;
        let theirs = record(PAIR[usize::from(i % 2 == 1)], false, 100, 250 + 20 * u64::from(i));
        match i {
            3 => (wall(seen), SwapRecord { stages: Stages::default(), ..theirs }),
            _ => (wall(seen - 1), theirs),
        }
    });
    snapshot.past = Arc::new(Past { swaps: swaps.collect(), ..Past::default() });
    let shown = picture(&app(snapshot.clone()), 160, 30);
    assert!(shown.contains("×5   median ~0.28 s   1 not timed"), "{shown}");
    assert!(shown.contains("loaded in ~0.35 s   by another client"), "{shown}");
    let mut page = app(snapshot.clone());
    press(&mut page, "y");
    let shown = picture(&page, 80, 24);
    assert!(shown.contains("~0.29 s   ×6, the median of 5"), "{shown}");
    // Without a journal there is what the server's answers say; a swap of long before is another one.
    let mut past = (*snapshot.past).clone();
    past.swaps.retain(|(at, _)| *at < wall(-140));
    snapshot.past = Arc::new(past);
    let shown = picture(&app(snapshot), 160, 30);
    assert!(shown.contains("loaded in ~1.00 s   by another client"), "{shown}");
}

#[test]
fn why_a_model_left_is_told_at_the_time_when_it_left_also_if_it_was_known_later() {
    let mut snapshot = usual();
    snapshot.events.clear();
    let told = [
        (-60, PAIR[0], What::Left),
        (-50, PAIR[0], What::Unloaded { took: None }),
        (-36, PAIR[1], What::Loading { ours: false }),
        (-40, PAIR[0], What::Evicted { by: Some(name(PAIR[1])) }),
    ];
    for (number, (seconds, model, what)) in (1..).zip(told) {
        let event = Event { number, at: after(seconds), model: Some(name(model)), what };
        snapshot.events.push_back(Arc::new(event));
    }
    let shown = picture(&app(snapshot), 80, 24);
    let log: Vec<_> = shown.lines().filter(|line| line.starts_with(" 12:0")).collect();
    insta::assert_snapshot!(log.join("\n"), @r"
    12:03:31  openthinker3-7b     left VRAM, why is not known
    12:03:41  openthinker3-7b     unloaded   by another client
    12:03:51  openthinker3-7b     evicted: made room for qwen2.5-coder:7b
    12:03:55  qwen2.5-coder:7b    loading   by another client
    ");
}

#[test]
fn swaps_of_a_day_that_nobody_timed_are_said_to_be_so() {
    let day = |day: Day| {
        let mut snapshot = usual();
        snapshot.past = Arc::new(Past { today: day, ..Past::default() });
        let shown = picture(&app(snapshot), 80, 24);
        shown.lines().find(|line| line.starts_with(" today")).unwrap_or_else(|| panic!("{shown}")).to_owned()
    };
    let some = Day { swaps: 6, not_timed: 3, waited: ms(870), cold: None, median: Some(ms(290)) };
    assert_eq!(day(some), " today 6 swaps (3 not timed)   waited 0.87 s   median 0.29 s");
    let none = Day { swaps: 2, not_timed: 2, ..Day::default() };
    assert_eq!(day(none), " today 2 swaps (2 not timed)");
}
