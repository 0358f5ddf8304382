//! What acts by itself: the header that lists it, the key that stops it, and whose work it is.

use std::sync::Arc;

use crate::residency::event::{Event, What};
use crate::residency::guard::claim::{Idle, Onlooker};
use crate::residency::guard::{Auto, Keeper, Keeping};
use crate::residency::snapshot::Snapshot;
use crate::tui::app::{App, Effect};
use crate::tui::fixture::{app, now, picture, press, usual};

const ALL: [Auto; 5] = [Auto::Startup, Auto::Refresh, Auto::Pins, Auto::Agents, Auto::Return];

fn keeping(change: impl Fn(&mut Keeping)) -> Snapshot {
    let mut snapshot = usual();
    snapshot.keeping.keeper = Some(Keeper::This);
    change(&mut snapshot.keeping);
    snapshot
}

fn header(app: &App, columns: u16) -> String {
    picture(app, columns, 24).lines().next().unwrap().to_owned()
}

#[test]
fn the_header_lists_what_acts_by_itself_and_shortens_before_it_leaves_out() {
    let auto = |count: usize| app(keeping(|keeping| keeping.auto = ALL[..count].to_vec()));
    assert!(header(&auto(3), 160).contains("preload 2/3 in RAM   auto: start-up refresh pins   workshop"));
    assert_eq!(
        header(&auto(3), 80),
        " 127.0.0.1:11434   ● 2 ms     preload 2/3   auto: start-up refresh pins   12:04"
    );
    assert!(header(&auto(5), 80).contains("auto: start-up refresh pins agents return"));
    assert!(header(&auto(5), 60).contains("auto: start-up +4"), "{}", header(&auto(5), 60));
    assert!(header(&auto(1), 60).contains("auto: start-up"), "{}", header(&auto(1), 60));
    assert!(!header(&auto(0), 160).contains("auto"));
}

#[test]
fn another_keeper_is_named_by_its_pid() {
    let app = app(keeping(|keeping| keeping.keeper = Some(Keeper::Other(4242))));
    for columns in [80, 160] {
        assert!(header(&app, columns).contains("keeper: pid 4242"), "{}", header(&app, columns));
    }
    assert!(!header(&app, 160).contains("auto"));
}

#[test]
fn hands_off_is_said_all_the_time_with_the_key_that_ends_it() {
    let mut app = app(keeping(|keeping| keeping.hands_off = true));
    for columns in [60, 80, 160] {
        assert!(header(&app, columns).contains("auto off (H)"), "{}", header(&app, columns));
    }
    assert!(picture(&app, 160, 24).contains("H hands on"));
    app.settings.auto_off = Some("./config.yaml".into());
    assert!(header(&app, 160).contains("auto off (H)   auto off: ./config.yaml"), "{}", header(&app, 160));
}

#[test]
fn a_key_stops_what_acts_by_itself_and_the_message_is_what_the_engine_says() {
    let mut app = app(keeping(|keeping| keeping.auto = vec![Auto::Refresh, Auto::Pins]));
    assert!(picture(&app, 160, 24).contains("H hands off"));
    assert_eq!(press(&mut app, "H"), Some(Effect::HandsOff(true)));
    assert_eq!(app.notice, None, "nothing is said before the engine says it");
    let told = |are_off: bool, change: &dyn Fn(&mut Keeping)| {
        let mut snapshot = keeping(change);
        snapshot.keeping.hands_off = are_off;
        let number = snapshot.events.back().unwrap().number + if are_off { 1 } else { 2 };
        snapshot.events.push_back(Arc::new(Event {
            number,
            at: now(),
            model: None,
            what: What::HandsOff(are_off),
        }));
        Arc::new(snapshot)
    };
    app.see(told(true, &|_| ()));
    assert_eq!(
        app.notice.as_deref(),
        Some("hands off: nothing acts by itself here until H is pressed again")
    );
    assert_eq!(press(&mut app, "H"), Some(Effect::HandsOff(false)));
    app.see(told(false, &|keeping| keeping.auto = vec![Auto::Refresh, Auto::Pins]));
    assert_eq!(app.notice.as_deref(), Some("hands on: acts by itself again: refresh, pins"));
}

#[test]
fn the_message_says_that_another_keeper_goes_on() {
    let mut app = app(keeping(|keeping| keeping.keeper = Some(Keeper::Other(4242))));
    assert_eq!(app.hands(true).rsplit("; ").next(), Some("the keeper, pid 4242, goes on"));
    assert_eq!(app.hands(false), "hands on; the keeper, pid 4242, goes on");
    app.settings.read_only = true;
    assert_eq!(press(&mut app, "H"), None);
    assert_eq!(app.notice.as_deref(), Some("read-only: nothing acts by itself here"));
}

#[test]
fn the_header_says_why_nothing_acts_by_itself_unless_another_one_does() {
    let idle = |why| app(keeping(|all| (all.keeper, all.idle) = (None, Some(Onlooker { pid: 7, why }))));
    for columns in [80, 160] {
        let line = header(&idle(Idle::NoJournal), columns);
        assert!(line.contains("auto off: no journal"), "{line}");
    }
    assert!(header(&idle(Idle::NoConfig), 160).contains("auto off: no config"));
    let mut read_only = idle(Idle::ReadOnly);
    read_only.settings.read_only = true;
    assert!(header(&read_only, 160).contains("read-only, auto off"));
    let mut snapshot = usual();
    (snapshot.keeping.keeper, snapshot.keeping.idle) =
        (Some(Keeper::Other(4242)), Some(Onlooker { pid: 7, why: Idle::NoConfig }));
    let line = header(&app(snapshot), 160);
    assert!(line.contains("keeper: pid 4242") && !line.contains("auto off"), "{line}");
}

#[test]
fn hands_on_lists_nothing_before_it_is_known_who_is_the_keeper() {
    let app = app(keeping(|keeping| keeping.keeper = None));
    assert_eq!(app.hands(false), "hands on: what is set to act by itself does so again");
}
