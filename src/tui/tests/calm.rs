//! Nothing moves that did not change: countdowns turn together, an idle picture is the same picture.

use std::time::Duration;

use ratatui::buffer::Buffer;

use crate::residency::act::ActKind;
use crate::residency::bytes::{Bytes, GIB};
use crate::residency::expiry::Expiry;
use crate::residency::host::{CardProcess, Cards};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::progress::{LoadProgress, Source};
use crate::residency::snapshot::{Reach, Snapshot, State};
use crate::residency::tier::Tiers;
use crate::residency::timing::Moment;
use crate::tui::app::App;
use crate::tui::fixture::{
    after, app, drawn, loaded, model, name, now, picture, running, server, snapshot, text, usual, wall,
};

fn changed(before: &Buffer, then: &Buffer) -> usize {
    before.diff_iter(then).count()
}

/// Three models with a minute, ten minutes and an hour.
fn three() -> Snapshot {
    let keep = KeepAlive::For(Duration::from_secs(3600));
    let model = |text, seconds| loaded(model(text, 1.0), Expiry::At(wall(seconds)), keep);
    snapshot(server(vec![model("a", 55), model("b", 605), model("c", 3545)]))
}

/// The same reading times at every moment, as a live server gives them.
fn fresh(mut snapshot: Snapshot, at: Moment) -> App {
    snapshot.servers[0].ps_at = Some(at);
    snapshot.host.cards.as_mut().unwrap().at = at;
    app(snapshot)
}

#[test]
fn a_countdown_goes_down_each_second_between_polls() {
    let app = app(three());
    let at = |seconds| text(&drawn(&app, 80, 24, after(seconds)));
    assert!(at(0).contains("0:55") && at(0).contains("10:05"), "{}", at(0));
    assert!(at(1).contains("0:54") && at(1).contains("10:04"), "{}", at(1));
    assert!(at(56).contains("0:00"), "{}", at(56));
}

#[test]
fn a_second_with_three_countdowns_changes_only_their_digits() {
    let app = app(three());
    for second in 0..4 {
        let before = drawn(&app, 80, 24, after(second));
        let then = drawn(&app, 80, 24, after(second + 1));
        assert_eq!(changed(&before, &then), 3, "second {second}");
    }
}

#[test]
fn countdowns_do_not_change_within_a_second() {
    let app = app(three());
    let Moment { mono, wall } = now();
    let later = Moment { mono: mono + Duration::from_millis(900), wall: wall + Duration::from_millis(900) };
    assert_eq!(changed(&drawn(&app, 160, 50, now()), &drawn(&app, 160, 50, later)), 0);
    assert_eq!(app.next_tick(now()), Some(Duration::from_secs(1)));
    assert_eq!(app.next_tick(later), Some(Duration::from_millis(100)));
}

#[test]
fn an_idle_picture_changes_only_when_the_minute_does() {
    let mut still = three();
    for model in &mut still.servers[0].models {
        model.loaded = None;
    }
    let first = drawn(&fresh(still.clone(), now()), 160, 50, now());
    assert_eq!(fresh(still.clone(), now()).next_tick(now()), None);
    for second in 1..29 {
        let at = after(second);
        assert_eq!(changed(&first, &drawn(&fresh(still.clone(), at), 160, 50, at)), 0);
    }
    assert_eq!(changed(&first, &drawn(&fresh(still.clone(), after(29)), 160, 50, after(29))), 1);
}

#[test]
fn a_running_act_shows_its_time_and_asks_for_frames() {
    let mut snapshot = usual();
    snapshot.acts = vec![running(ActKind::Load, "llama3.1:8b", 2)];
    let app = app(snapshot);
    let at = |seconds| text(&drawn(&app, 80, 24, after(seconds)));
    assert!(
        at(0).contains("load 2.0 s") && at(0).contains("load llama3.1:8b   loading   2.0 s"),
        "{}",
        at(0)
    );
    assert!(at(13).contains("load 15 s"), "{}", at(13));
    assert_eq!(app.next_tick(now()), Some(Duration::from_millis(100)));
    assert_eq!(app.next_tick(after(13)), Some(Duration::from_secs(1)));
}

#[test]
fn old_values_stay_with_their_age_and_the_header_says_since_when() {
    let mut gone = usual();
    gone.servers[0].reach = Reach::Down { since: now(), answers: false, why: "connection refused".into() };
    let app = app(gone);
    let shown = text(&drawn(&app, 80, 24, after(42)));
    let header = shown.lines().next().unwrap();
    assert!(header.contains("○ gone since 12:04:31   40 s old"), "{header}");
    assert!(shown.contains("qwen2.5-coder:7b  4.7 GB"), "{shown}");
    assert!(shown.contains("idle?"), "{shown}");
}

#[test]
fn a_slow_server_is_busy_and_not_gone() {
    let mut slow = usual();
    slow.servers[0].reach = Reach::Slow { since: now() };
    assert!(picture(&app(slow), 80, 24).contains("◐ busy since 12:04:31"));
}

#[test]
fn the_selection_stays_with_its_model_when_rows_move_and_goes_to_the_neighbour_when_it_is_gone() {
    let mut app = app(usual());
    crate::tui::fixture::press(&mut app, "j j j");
    assert_eq!(app.selected(), Some(&name("llama3.1:8b")));
    let mut turned = usual();
    turned.servers[0].models.reverse();
    app.see(std::sync::Arc::new(turned.clone()));
    assert_eq!((app.selected(), app.row()), (Some(&name("llama3.1:8b")), 2));
    turned.servers[0].models.remove(2);
    app.see(std::sync::Arc::new(turned.clone()));
    assert_eq!(app.selected(), Some(&name("deepseek-r1:14b")));
    turned.servers[0].models.clear();
    app.see(std::sync::Arc::new(turned));
    assert_eq!(app.selected(), None);
}

#[test]
fn what_is_read_in_the_log_stays_in_place_while_events_come_in() {
    let mut app = app(crate::tui::fixture::many(3));
    crate::tui::fixture::press(&mut app, "tab tab k k k");
    assert_eq!(app.events_back, 3);
    let mut newer = crate::tui::fixture::many(3);
    for event in &mut newer.events {
        std::sync::Arc::make_mut(event).number += 2;
    }
    app.see(std::sync::Arc::new(newer));
    assert_eq!(app.events_back, 5);
}

#[test]
fn a_ghost_has_no_time_and_nothing_on_the_card() {
    let mut snapshot = usual();
    let shown = picture(&app(snapshot.clone()), 80, 24);
    assert!(shown.contains("qwen 4.4+0.5") && shown.contains("42:10"), "{shown}");
    let ghost = &mut snapshot.servers[0].models[1];
    ghost.state = State::Ghost;
    ghost.tiers = Tiers { ram: ghost.size, ..Tiers::default() };
    let shown = picture(&app(snapshot.clone()), 80, 24);
    assert!(!shown.contains("42:10"), "{shown}");
    let gauge = shown.lines().find(|line| line.contains("VRAM RTX")).unwrap();
    assert!(!gauge.contains("qwen"), "{gauge}");
    snapshot.servers[0].models.truncate(2);
    assert!(app(snapshot).next_tick(now()).is_none(), "nothing counts down");
}

#[test]
fn what_a_loading_model_has_on_the_card_already_is_its_own_and_not_of_other_programs() {
    let mut snapshot = usual();
    snapshot.servers[0].models.iter_mut().for_each(|model| model.loaded = None);
    let card = snapshot.host.cards.as_mut().unwrap();
    let Cards::Known(cards) = &mut card.value else { unreachable!() };
    cards[0].used = Bytes(3 * GIB);
    let model = &mut snapshot.servers[0].models[0];
    model.state = State::Loading { since: now(), ours: true };
    model.arriving = Bytes(2 * GIB);
    let shown = picture(&app(snapshot), 120, 30);
    let gauge = shown.lines().find(|line| line.contains("VRAM RTX")).unwrap();
    assert!(gauge.contains("openthinker 2.0") && gauge.contains("other"), "{gauge}");
}

#[test]
fn a_load_shows_how_far_it_is_whoever_asked_for_it_and_what_says_so() {
    let mut snapshot = usual();
    let model = &mut snapshot.servers[0].models[0];
    model.state = State::Loading { since: now(), ours: false };
    let done = Bytes(model.size.0 / 100 * 43 + 100);
    model.progress = Some(LoadProgress { pid: 4800, done, of: model.size, source: Source::Reads });
    let shown = picture(&app(snapshot.clone()), 80, 24);
    let row = shown.lines().find(|line| line.contains("openthinker3-7b")).unwrap();
    assert!(row.contains("load 43%"), "{row}");
    let middle = picture(&app(snapshot.clone()), 120, 30);
    let row = middle.lines().find(|line| line.contains("openthinker3-7b")).unwrap();
    assert!(row.contains("━━──") && row.contains("loading 43%"), "{row}");
    let wide = picture(&app(snapshot.clone()), 160, 50);
    assert!(wide.contains("progress   ━━━━━─────── 43 %"), "{wide}");
    assert!(wide.contains("2.0 GB of 4.7 GB read by its runner") && wide.contains("pid 4800"), "{wide}");
    let model = &mut snapshot.servers[0].models[0];
    model.progress = model.progress.map(|at| LoadProgress { source: Source::Mapped, ..at });
    let shown = picture(&app(snapshot), 80, 24);
    assert!(shown.contains("load ~43%"), "{shown}");
}

#[test]
fn of_several_cards_each_has_what_a_loading_runner_has_there() {
    let mut snapshot = usual();
    snapshot.servers[0].models.iter_mut().for_each(|model| model.loaded = None);
    let card = snapshot.host.cards.as_mut().unwrap();
    let Cards::Known(cards) = &mut card.value else { unreachable!() };
    cards[0].used = Bytes(3 * GIB);
    cards.push(cards[0].clone());
    cards[1].processes = vec![CardProcess { pid: 4800, used: Some(Bytes(2 * GIB)) }];
    let model = &mut snapshot.servers[0].models[0];
    model.state = State::Loading { since: now(), ours: false };
    model.arriving = Bytes(2 * GIB);
    let of = model.size;
    model.progress = Some(LoadProgress { pid: 4800, done: Bytes(GIB), of, source: Source::Reads });
    let shown = picture(&app(snapshot), 120, 30);
    let gauges: Vec<&str> = shown.lines().filter(|line| line.contains("VRAM RTX")).collect();
    assert!(!gauges[0].contains("openthinker") && gauges[1].contains("openthinker 2.0"), "{shown}");
}
