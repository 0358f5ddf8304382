//! The picture that stands still, and the panel that has all of the room.

use std::sync::Arc;

use crate::residency::act::ActKind;
use crate::residency::event::What;
use crate::residency::snapshot::State;
use crate::tui::app::Effect;
use crate::tui::fixture::{after, app, drawn, name, now, picture, press, running, text, usual};

#[test]
fn a_frozen_picture_stays_whatever_comes_and_goes_on_with_what_is_then() {
    let mut app = app(usual());
    press(&mut app, "space");
    let shown = picture(&app, 120, 30);
    assert!(shown.contains("frozen  since 12:04:31  space goes on"), "{shown}");
    assert!(shown.lines().next().unwrap().contains("frozen"), "{shown}");
    let mut later = usual();
    later.servers[0].models[3].state = State::Busy;
    later.acts = vec![running(ActKind::Load, "llama3.1:8b", 2)];
    app.see(Arc::new(later));
    assert_eq!(text(&drawn(&app, 120, 30, after(90))), shown);
    assert_eq!(app.next_tick(after(90)), None);
    press(&mut app, "space");
    let shown = picture(&app, 120, 30);
    assert!(!shown.contains("frozen") && shown.contains("load llama3.1:8b"), "{shown}");
}

#[test]
fn keys_act_on_what_is_and_not_on_what_is_shown_and_are_said_to() {
    let mut app = app(usual());
    press(&mut app, "space");
    let mut later = usual();
    // Loaded when it was frozen; gone since.
    later.servers[0].models[1].loaded = None;
    later.servers[0].models[1].state = State::OnDisk;
    app.see(Arc::new(later));
    assert_eq!(press(&mut app, "j u"), None);
    assert_eq!(app.notice.as_deref(), Some("qwen2.5-coder:7b is not loaded; l loads it"));
    assert_eq!(press(&mut app, "j j l"), Some(Effect::Act(ActKind::Load, name("llama3.1:8b"))));
    let shown = picture(&app, 80, 24);
    assert!(shown.contains("asked for; frozen  since 12:04:31  space goes on"), "{shown}");
    // The next key that says nothing brings the reminder back, the picture with it.
    press(&mut app, "j");
    let shown = picture(&app, 80, 24);
    assert!(shown.contains(" frozen  since 12:04:31") && shown.contains("42:10"), "{shown}");
}

#[test]
fn what_failed_meanwhile_is_said_when_the_picture_goes_on() {
    let mut app = app(usual());
    press(&mut app, "space");
    let mut later = usual();
    let what = What::Failed { verb: "load", why: "no room".into() };
    let event =
        crate::residency::event::Event { number: 5, at: now(), model: Some(name("mistral:7b")), what };
    later.events.push_back(Arc::new(event));
    app.see(Arc::new(later));
    assert_eq!(app.notice, None);
    press(&mut app, "space");
    assert_eq!(app.notice.as_deref(), Some("load mistral:7b failed: no room"));
}

#[test]
fn a_zoomed_panel_has_all_of_the_room_and_a_key_or_escape_gives_it_back() {
    let mut app = app(usual());
    let before = picture(&app, 160, 50);
    press(&mut app, "z");
    let models = picture(&app, 160, 50);
    assert!(models.contains("MODEL") && !models.contains("12:04:27"), "{models}");
    assert!(models.lines().last().unwrap().contains("z all panels"), "{models}");
    press(&mut app, "tab");
    let details = picture(&app, 160, 50);
    assert!(!details.contains("MODEL  ") && details.contains("Q4_K_M"), "{details}");
    press(&mut app, "tab");
    let events = picture(&app, 160, 50);
    assert!(events.contains("EVENTS") && !events.contains("Q4_K_M"), "{events}");
    press(&mut app, "esc esc");
    assert_eq!(picture(&app, 160, 50), before);
    press(&mut app, "z z");
    assert_eq!(picture(&app, 160, 50), before);
}
