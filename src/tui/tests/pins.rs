//! Pins on the screen: a word for each state, whose they are and what to do in the details, and what the key does.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Confirm, OnExit};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::expiry::Expiry;
use crate::residency::guard::hindrance::Hindrance;
use crate::residency::guard::{Auto, Keeper, Keeping, PinState, Pinned};
use crate::residency::host::Cards;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::{Snapshot, State};
use crate::residency::timing::Reading;
use crate::tui::Outcome;
use crate::tui::app::{App, Effect};
use crate::tui::fixture::{name, now, on, picture, press, running, usual, wall};

const HOUR: KeepAlive = KeepAlive::For(Duration::from_secs(3600));
/// One that is in VRAM for ever, one that expires, one that is not loaded.
const HELD: &str = "nomic-embed-text";
const EXPIRES: &str = "qwen2.5-coder:7b";
const AWAY: &str = "openthinker3-7b";

fn pin(model: &str, state: PinState) -> Pinned {
    let since = Some(wall(-88));
    Pinned { model: name(model), since, configured: false, before: Some(HOUR), state, tries: 0 }
}

fn keeps(snapshot: &mut Snapshot, pin: Pinned) {
    snapshot.keeping.keeper = Some(Keeper::This);
    snapshot.keeping.auto = vec![Auto::Pins];
    snapshot.keeping.pins = Some(Arc::new(vec![pin]));
}

/// The screen with that pin, and its model selected.
fn with(model: &str, state: &PinState) -> App {
    on(model, |snapshot| keeps(snapshot, pin(model, state.clone())))
}

fn rests() -> PinState {
    PinState::Suspended(name(EXPIRES))
}

fn given_up() -> PinState {
    PinState::GaveUp(Some(name(EXPIRES)))
}

/// The row of the selected model.
fn selected(app: &App, columns: u16) -> String {
    let shown = picture(app, columns, 24);
    shown.lines().find(|line| line.starts_with('▸')).unwrap().to_owned()
}

fn act(kind: ActKind, model: &str) -> Effect {
    Effect::Act(kind, name(model))
}

#[test]
fn each_state_of_a_pin_has_its_word_in_the_row() {
    let long = |model, state| {
        let row = selected(&with(model, &state), 139);
        row.split_once("pin").map_or_else(String::new, |(_, rest)| format!("pin{rest}"))
    };
    assert!(long(HELD, PinState::Held).starts_with("pinned  idle"), "{}", long(HELD, PinState::Held));
    for (model, state, wide, narrow) in [
        (EXPIRES, PinState::Overridden, "pin overwritten", "pin lost"),
        (AWAY, rests(), "pinned, rests", "pin rests"),
        (AWAY, PinState::Away(None), "pin comes back", "comes back"),
        (AWAY, given_up(), "pinned, given up", "given up"),
        (AWAY, PinState::Away(Some(Hindrance::NotInstalled)), "not installed", "not here"),
        (AWAY, PinState::Away(Some(Hindrance::Beside(name(HELD)))), "pinned, no room", "no room"),
        (AWAY, PinState::Away(Some(Hindrance::CardUnread)), "may not fit", "fits?"),
        (AWAY, PinState::Away(Some(Hindrance::AtWork(name(EXPIRES)))), "pinned, waits", "waits"),
    ] {
        let app = with(model, &state);
        assert!(selected(&app, 139).contains(wide), "{}", selected(&app, 139));
        assert!(selected(&app, 80).contains(narrow), "{}", selected(&app, 80));
    }
}

#[test]
fn what_is_done_to_a_model_or_what_it_does_is_said_before_its_pin() {
    let row = |state: State, acts: Vec<Act>| {
        let app = on(EXPIRES, |snapshot| {
            keeps(snapshot, pin(EXPIRES, PinState::Overridden));
            snapshot.servers[0].models[1].state = state;
            snapshot.acts = acts.clone();
        });
        selected(&app, 100)
    };
    assert!(row(State::Busy, Vec::new()).contains("busy"));
    assert!(row(State::Idle, vec![running(ActKind::Pin, EXPIRES, 1)]).contains("pin 1.0 s"));
}

#[test]
fn a_pin_that_nobody_enforces_is_not_said_to_come_back() {
    let away = |change: &dyn Fn(&mut Snapshot)| {
        on(AWAY, |snapshot| {
            keeps(snapshot, pin(AWAY, PinState::Away(None)));
            change(snapshot);
        })
    };
    let mut off = away(&|snapshot| snapshot.keeping.hands_off = true);
    assert!(selected(&off, 80).contains("not kept"), "{}", selected(&off, 80));
    assert!(selected(&off, 139).contains("not enforced"), "{}", selected(&off, 139));
    assert_eq!(details(&mut off)[0], "not in VRAM; nothing enforces it: hands off, H goes on");
    let alone = away(&|snapshot| (snapshot.keeping.keeper, snapshot.keeping.auto) = (None, Vec::new()));
    assert!(selected(&alone, 80).contains("not kept"));
    let other = away(&|snapshot| {
        (snapshot.keeping.keeper, snapshot.keeping.auto) = (Some(Keeper::Other(4242)), Vec::new());
    });
    assert!(selected(&other, 80).contains("comes back"), "the other one enforces it");
}

/// The details' lines of the pin.
fn details(app: &mut App) -> Vec<String> {
    press(app, "tab");
    let shown = picture(app, 120, 40);
    let lines = shown.lines().skip_while(|line| !line.starts_with(" pin  "));
    let lines = lines.enumerate().take_while(|(i, line)| *i == 0 || line.starts_with("            "));
    lines.map(|(_, line)| line.trim_start_matches(" pin").trim().to_owned()).collect()
}

#[test]
fn the_details_say_since_when_whose_how_often_and_what_to_do() {
    assert_eq!(
        details(&mut with(HELD, &PinState::Held)),
        ["held", "by you, since 12:03", "p lets it go, with keep_alive 1h as before"]
    );
    assert_eq!(
        details(&mut with(EXPIRES, &PinState::Overridden)),
        [
            "another client gave it another keep_alive; it is set again in a while",
            "by you, since 12:03",
            "p sets it again now"
        ]
    );
    assert_eq!(
        details(&mut with(AWAY, &rests())),
        [
            "rests: a swap put qwen2.5-coder:7b in its place; a swap back pins it again",
            "by you, since 12:03",
            "p lets it go"
        ]
    );
    let mut tried = on(AWAY, |snapshot| {
        let away = pin(AWAY, PinState::Away(None));
        keeps(snapshot, Pinned { tries: 2, since: None, configured: true, ..away });
    });
    assert_eq!(
        details(&mut tried),
        [
            "not in VRAM; it is brought back as soon as nothing that is pinned or at work has to go for it",
            "by the config",
            "brought back 2 of 4 times within the hour",
            "p lets it go"
        ]
    );
    assert_eq!(
        details(&mut with(AWAY, &given_up())),
        [
            "given up: qwen2.5-coder:7b insists, it was loaded in its place again and again",
            "by you, since 12:03",
            "p loads it and pins it again"
        ]
    );
    let waits = PinState::Away(Some(Hindrance::Waits(wall(100))));
    assert_eq!(details(&mut with(AWAY, &waits))[0], "not in VRAM; waits: back-off, again in 2 min");
    let missing = PinState::Away(Some(Hindrance::NotInstalled));
    assert_eq!(
        details(&mut with(AWAY, &missing))[0],
        "not in VRAM; not installed: ollama pull openthinker3-7b"
    );
    let mut others = on(HELD, |snapshot| snapshot.keeping.pins = Some(Arc::default()));
    assert_eq!(
        details(&mut others),
        ["by another client: it is not enforced here", "p lets it go; its keep_alive before is not known"]
    );
}

#[test]
fn the_key_pins_again_what_was_lost_and_lets_go_what_is_held_or_comes_back() {
    for (model, state, kind, word) in [
        (HELD, PinState::Held, ActKind::Unpin, "p unpin"),
        (EXPIRES, PinState::Overridden, ActKind::Pin, "p pin "),
        (AWAY, rests(), ActKind::Unpin, "p unpin"),
        (AWAY, PinState::Away(None), ActKind::Unpin, "p unpin"),
        (AWAY, given_up(), ActKind::Load, "p pin "),
    ] {
        let mut app = with(model, &state);
        assert!(picture(&app, 120, 24).lines().last().unwrap().contains(word), "{state:?}");
        assert_eq!(press(&mut app, "p"), Some(act(kind, model)), "{state:?}");
    }
    let mut none = on(AWAY, |_| ());
    assert_eq!(press(&mut none, "p"), None);
    assert_eq!(none.notice.as_deref(), Some("openthinker3-7b is not loaded; l loads it"));
    let mut configured = on(HELD, |snapshot| {
        keeps(snapshot, Pinned { configured: true, ..pin(HELD, PinState::Held) });
    });
    press(&mut configured, "p");
    assert_eq!(
        configured.notice.as_deref(),
        Some("nomic-embed-text is let go; the config pins it again at the next start")
    );
}

#[test]
fn one_that_was_given_up_asks_like_a_load_before_it_is_pinned_again() {
    let mut app = on(AWAY, |snapshot| {
        keeps(snapshot, pin(AWAY, given_up()));
        snapshot.servers[0].models[1].state = State::Busy;
        snapshot.servers[0].models[5].pinned = false;
    });
    assert_eq!(press(&mut app, "p"), None);
    assert!(picture(&app, 160, 24).contains("~ evicts qwen2.5-coder:7b, which is busy"));
    assert_eq!(press(&mut app, "y"), Some(act(ActKind::Load, AWAY)));
}

#[test]
fn a_pin_that_was_let_go_away_from_vram_is_said_once_it_is_done() {
    let mut app = with(AWAY, &PinState::Away(None));
    let Some(Effect::Act(kind, model)) = press(&mut app, "p") else { panic!("an act") };
    app.asked.push((ActId(1), kind, model));
    let mut done = usual();
    let state = ActState::Done { took: Duration::ZERO, at: now() };
    done.acts = vec![Act { state, ..running(ActKind::Unpin, AWAY, 0) }];
    app.see(Arc::new(done));
    assert_eq!(app.notice.as_deref(), Some("openthinker3-7b is no longer pinned: it is not brought back"));
}

/// The expiring model is to be pinned beside one that takes nearly all of the card.
fn crowded(change: impl Fn(&mut Snapshot)) -> App {
    on(EXPIRES, |snapshot| {
        snapshot.servers[0].models[5].loaded.as_mut().unwrap().size_vram = Bytes(7_000_000_000);
        change(snapshot);
    })
}

#[test]
fn a_pin_that_has_no_room_beside_the_others_asks_first() {
    for keys in ["p", "K ctrl-u - 1 enter"] {
        let mut app = crowded(|_| ());
        assert_eq!(press(&mut app, keys), None);
        let shown = picture(&app, 160, 24);
        let why =
            "pin qwen2.5-coder:7b anyway? 5.2 GB and the pins there are (nomic-embed-text) take 12.2 GB";
        assert!(shown.contains(why), "{shown}");
        let kind = if keys == "p" { ActKind::Pin } else { ActKind::KeepAlive(KeepAlive::Forever) };
        assert_eq!(press(&mut app, "y"), Some(act(kind, EXPIRES)));
    }
    let mut never = crowded(|_| ());
    never.settings.confirm = Confirm::Never;
    assert_eq!(press(&mut never, "p"), Some(act(ActKind::Pin, EXPIRES)));
    assert!(never.notice.as_ref().unwrap().contains("take 12.2 GB together"), "{:?}", never.notice);
}

#[test]
fn where_the_card_is_not_known_a_model_is_pinned_and_that_is_said() {
    let mut app = crowded(|snapshot| {
        let cards = Cards::Unknown("no NVIDIA driver".into());
        snapshot.host.cards = Some(Reading { value: cards, at: now() });
    });
    assert_eq!(press(&mut app, "p"), Some(act(ActKind::Pin, EXPIRES)));
    assert_eq!(
        app.notice.as_deref(),
        Some("qwen2.5-coder:7b: whether all pins fit together is not known: the card's memory is not known")
    );
}

#[test]
fn a_pin_that_is_lost_keeps_its_countdown_in_the_row() {
    let app = with(EXPIRES, &PinState::Overridden);
    assert!(app.model().unwrap().loaded.as_ref().unwrap().expiry != Expiry::Never);
    for columns in [40, 80, 160] {
        assert!(selected(&app, columns).contains("42:10"), "{}", selected(&app, columns));
    }
}

#[test]
fn only_the_keeper_whose_own_config_says_so_releases_pins_as_it_ends() {
    let app = |change: &dyn Fn(&mut App)| {
        let mut app = with(HELD, &PinState::Held);
        (app.settings.on_exit, app.settings.may_act) = (OnExit::Release, true);
        change(&mut app);
        app
    };
    let keeping = |app: &mut App, change: &dyn Fn(&mut Keeping)| {
        change(&mut Arc::make_mut(&mut app.snapshot).keeping);
    };
    assert_eq!(app(&|_| ()).pins_to_release(), [name(HELD)]);
    for change in [
        (&|app: &mut App| app.settings.on_exit = OnExit::Keep) as &dyn Fn(&mut App),
        &|app| app.settings.may_act = false,
        &|app| app.settings.read_only = true,
        &|app| keeping(app, &|keeping| keeping.hands_off = true),
        &|app| keeping(app, &|keeping| keeping.keeper = Some(Keeper::Other(4242))),
        &|app| keeping(app, &|keeping| keeping.keeper = None),
        &|app| keeping(app, &|keeping| keeping.pins = None),
    ] {
        let mut app = app(change);
        assert_eq!(app.pins_to_release(), []);
        let message = Some(format!("{HELD} stays pinned"));
        assert_eq!(press(&mut app, "q"), Some(Effect::Leave(Outcome::Quit { message })));
    }
    // What is let go is not said to stay; a pin of another client is.
    let mut both = app(&|app| {
        let server = &mut Arc::make_mut(&mut app.snapshot).servers[0];
        server.models[1].pinned = true;
    });
    let message = Some(format!("{EXPIRES} stays pinned"));
    assert_eq!(press(&mut both, "q"), Some(Effect::Leave(Outcome::Quit { message })));
    both.say_releasing(1);
    assert!(picture(&both, 80, 24).contains("releasing the pin, 3 s at most; q leaves at once"));
}

#[test]
fn quitting_says_of_a_pin_too_whose_model_is_not_in_vram() {
    let message = |pins: Vec<Pinned>| {
        let mut app = on(AWAY, |snapshot| snapshot.keeping.pins = Some(Arc::new(pins.clone())));
        let Some(Effect::Leave(Outcome::Quit { message })) = press(&mut app, "q") else { panic!("a quit") };
        message.unwrap()
    };
    let away = |model| pin(model, rests());
    assert_eq!(
        message(vec![pin(HELD, PinState::Held), away(AWAY)]),
        format!("{HELD} stays pinned\n{AWAY} stays pinned, not in VRAM now")
    );
    assert_eq!(
        message(vec![away(AWAY), away("not-installed")]),
        format!("{HELD} stays pinned\n{AWAY}, not-installed stay pinned, not in VRAM now")
    );
    // One that was given up is not brought back.
    assert_eq!(message(vec![pin(AWAY, given_up())]), format!("{HELD} stays pinned"));
}
