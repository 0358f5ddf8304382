//! Start-up in its order: what waits, what is there, what is missing, what is skipped.

use super::*;

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn start() -> Moment {
    Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::UNIX_EPOCH }
}

fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

fn startup(now: Moment) -> Startup {
    Startup::new(Some(&name("a")), &[name("b"), name("a"), name("c")], Goal::Ram, now)
}

fn away(blocked: Option<&str>) -> Fact {
    Fact::Away { blocked: blocked.map(ToOwned::to_owned) }
}

fn done(millis: u64) -> End {
    End::Done { took: Duration::from_millis(millis), read: None }
}

#[test]
fn the_primary_comes_first_then_the_list_in_its_order_one_at_a_time() {
    let now = start();
    let mut startup = startup(now);
    let order: Vec<_> =
        startup.items.iter().map(|item| (item.model.as_str().to_owned(), item.goal)).collect();
    assert_eq!(
        order,
        [("a:latest".into(), Goal::Vram), ("b:latest".into(), Goal::Ram), ("c:latest".into(), Goal::Ram)]
    );
    for at in 0..3 {
        assert_eq!(startup.turn(|_| away(None), now), Some(at));
        assert_eq!(startup.turn(|_| away(None), now), None, "one at a time");
        startup.ended(at, done(100), now);
    }
    let later = Moment { mono: now.mono + Duration::from_secs(9), ..now };
    assert_eq!((startup.turn(|_| away(None), later), startup.took), (None, Some(Duration::ZERO)));
}

#[test]
fn what_is_in_use_lets_the_primary_wait_and_the_list_go_on() {
    let now = start();
    let mut startup = startup(now);
    let in_use = |item: &Item| away((item.goal == Goal::Vram).then_some("q is in use"));
    assert_eq!(startup.turn(in_use, now), Some(1));
    startup.ended(1, done(1), now);
    assert_eq!(startup.turn(in_use, now), Some(2));
    assert!(!startup.is_stuck());
    startup.ended(2, done(1), now);
    assert_eq!(startup.turn(in_use, now), None);
    assert_eq!(startup.items[0].state, ItemState::Waits("q is in use".to_owned()));
    assert!(startup.is_stuck() && startup.is_live());
    assert_eq!(startup.turn(|_| away(None), now), Some(0), "it has left");
    startup.ended(0, done(1), now);
    assert!(startup.is_live(), "what that left is to be seen");
    assert_eq!(startup.turn(|_| Fact::There, now), None);
    assert!(!startup.is_live());
}

#[test]
fn what_has_left_vram_again_before_the_end_is_not_ready() {
    let now = start();
    let mut startup = startup(now);
    for at in 0..3 {
        assert_eq!(
            startup.turn(|item| if item.state.is_ready() { Fact::There } else { away(None) }, now),
            Some(at)
        );
        startup.ended(at, done(1), now);
    }
    assert_eq!(
        startup.turn(|item| if item.goal == Goal::Vram { away(None) } else { Fact::There }, now),
        None
    );
    assert_eq!(startup.items[0].state, ItemState::Failed("it left VRAM again".to_owned()));
    assert!(startup.items[1].state.is_ready() && !startup.is_live());
}

#[test]
fn what_is_there_is_not_moved_and_what_is_missing_keeps_nobody() {
    let now = start();
    let mut startup = startup(now);
    let fact = |item: &Item| match item.model.as_str() {
        "a:latest" => Fact::Missing,
        "b:latest" => Fact::There,
        _ => away(None),
    };
    assert_eq!(startup.turn(fact, now), Some(2));
    startup.ended(2, End::Failed("no room".to_owned()), now);
    let states: Vec<ItemState> = startup.items.iter().map(|item| item.state.clone()).collect();
    assert_eq!(states, [ItemState::Missing, ItemState::There, ItemState::Failed("no room".to_owned())]);
    assert_eq!(startup.turn(fact, now), None);
    assert!(!startup.is_live());
}

#[test]
fn what_begins_is_told_though_nothing_is_known_yet_of_what_comes_behind_it() {
    let now = start();
    let mut startup = startup(now);
    let fact = |item: &Item| if item.goal == Goal::Vram { away(None) } else { Fact::Unknown };
    assert_eq!(startup.turn(fact, now), Some(0));
    assert_eq!(startup.items[0].state, ItemState::Working);
}

#[test]
fn nothing_begins_before_it_is_known_where_things_are() {
    let now = start();
    let mut startup = startup(now);
    assert_eq!(startup.turn(|_| Fact::Unknown, now), None);
    assert_eq!(startup.items, super::tests::startup(now).items);
}

#[test]
fn what_has_begun_goes_on_though_it_is_not_known_where_the_next_one_is() {
    let now = start();
    let mut startup = startup(now);
    let first = startup.items[0].model.clone();
    let fact = |item: &Item| if item.model == first { away(None) } else { Fact::Unknown };
    assert_eq!(startup.turn(fact, now), Some(0), "it is said which one to move");
    assert_eq!(startup.items[0].state, ItemState::Working);
    assert_eq!(startup.turn(fact, now), None, "once");
}

#[test]
fn one_is_skipped_or_all_that_is_left() {
    let now = start();
    let mut startup = startup(now);
    startup.skip(Some(&name("b")), now);
    assert_eq!(startup.turn(|_| away(None), now), Some(0));
    startup.ended(0, End::Cancelled, now);
    assert_eq!(startup.turn(|_| away(None), now), Some(2));
    startup.skip(None, now);
    assert_eq!(startup.items[2].state, ItemState::Working, "its act is cancelled, which ends it");
    startup.ended(2, End::Cancelled, now);
    assert_eq!(startup.turn(|_| away(None), now), None);
    assert!(startup.items.iter().all(|item| item.state == ItemState::Skipped) && !startup.is_live());
}

#[test]
fn without_models_there_is_nothing_to_do() {
    let mut startup = Startup::new(None, &[], Goal::Ram, start());
    assert_eq!(startup.turn(|_| away(None), start()), None);
    assert!(!startup.is_live());
}
