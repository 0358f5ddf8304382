//! Pins that are overwritten, evicted, in the way of each other, or fought by a client.

use proptest::prelude::*;

use super::*;

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn start() -> Moment {
    Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::UNIX_EPOCH }
}

fn after(start: Moment, seconds: u64) -> Moment {
    Moment { mono: start.mono + Duration::from_secs(seconds), ..start }
}

fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

fn fact(place: Place) -> Fact {
    Fact {
        model: name("a"),
        place,
        under_way: false,
        suspended: false,
        gave_up: false,
        cold: false,
        next_look: Duration::from_secs(1),
    }
}

fn away(displaces: Displaces) -> Place {
    Place::Away { displaces, by: Some(name("b")), quiet: Duration::MAX }
}

/// One look a second: when something was done, and what.
fn looks(memory: &mut Memory, fact: &Fact, seconds: std::ops::Range<u64>) -> Vec<(u64, Deed)> {
    let start = start();
    seconds.filter_map(|second| Some((second, memory.turn(fact, false, after(start, second))?))).collect()
}

fn seen() -> Memory {
    Memory { seen: true, ..Memory::default() }
}

#[test]
fn an_overwritten_pin_is_set_again_at_ever_longer_pauses() {
    let fact = fact(Place::Expires(Some(Duration::from_secs(300))));
    let times: Vec<u64> = looks(&mut seen(), &fact, 0..200).into_iter().map(|(second, _)| second).collect();
    assert_eq!(times, [3, 10, 23, 48, 97, 158]);
}

#[test]
fn a_short_overwrite_is_set_again_while_a_touch_still_comes_in_time() {
    for (keep_alive, at) in [(10, Some(3)), (6, Some(2)), (5, Some(1)), (4, Some(0)), (3, Some(0)), (2, None)]
    {
        let (begin, mut memory) = (start(), seen());
        let look = |second| {
            let left = Duration::from_secs(keep_alive - second);
            memory.turn(&fact(Place::Expires(Some(left))), false, after(begin, second))
        };
        let asserted = (0..keep_alive).map(look).position(|deed| deed == Some(Deed::Assert));
        assert_eq!(asserted, at, "{keep_alive}");
    }
}

#[test]
fn a_pin_that_was_left_alone_for_long_is_set_again_soon() {
    let (begin, mut memory) = (start(), seen());
    let expires = fact(Place::Expires(None));
    for second in 0..100 {
        memory.turn(&expires, false, after(begin, second));
    }
    memory.turn(&fact(Place::Held), false, after(begin, 800));
    assert_eq!(memory.turn(&expires, false, after(begin, 801)), None);
    assert_eq!(memory.turn(&expires, false, after(begin, 804)), Some(Deed::Assert));
}

#[test]
fn a_pin_is_not_set_again_where_that_would_hurt() {
    let expires = |left| Place::Expires(Some(Duration::from_secs(left)));
    for (what, fact) in [
        ("too late", fact(expires(2))),
        ("an act runs", Fact { under_way: true, ..fact(expires(300)) }),
        ("it rests", Fact { suspended: true, ..fact(expires(300)) }),
        ("there is none", fact(Place::Nowhere)),
    ] {
        assert_eq!(looks(&mut seen(), &fact, 0..1000), [], "{what}");
    }
    let (begin, mut memory) = (start(), seen());
    let overwritten = fact(expires(300));
    for second in 0..100 {
        assert_eq!(memory.turn(&overwritten, true, after(begin, second)), None, "a load is pending");
    }
}

#[test]
fn an_evicted_pin_comes_back_warm_and_after_four_times_the_other_wins() {
    let (begin, mut memory) = (start(), seen());
    let mut deeds = Vec::new();
    let mut held_until = 0;
    for second in 0..1000 {
        // Half a minute after it is back it is evicted again.
        let place = if second < held_until { Place::Held } else { away(Displaces::Idle) };
        let fact = Fact { cold: true, ..fact(place) };
        let deed = memory.turn(&fact, false, after(begin, second));
        if deed == Some(Deed::BringBack) {
            held_until = second + 30;
        }
        deeds.extend(deed);
    }
    let back = [Deed::Warm, Deed::BringBack];
    let mut expected: Vec<Deed> = back.iter().cycle().take(8).cloned().collect();
    expected.push(Deed::GiveUp(Some(name("b"))));
    assert_eq!(deeds, expected);
    memory.forget();
    assert_eq!(looks(&mut memory, &fact(away(Displaces::Idle)), 0..10), [(5, Deed::BringBack)]);
}

#[test]
fn it_is_brought_back_only_where_nobody_is_disturbed() {
    let quiet =
        |seconds| Place::Away { displaces: Displaces::Idle, by: None, quiet: Duration::from_secs(seconds) };
    for (what, memory, fact, done) in [
        ("there is room", Memory::default(), fact(away(Displaces::Nothing)), true),
        ("an idle model goes", seen(), fact(away(Displaces::Idle)), true),
        ("a model works or is pinned", seen(), fact(away(Displaces::Precious)), false),
        ("start-up evicts nobody", Memory::default(), fact(away(Displaces::Idle)), false),
        ("nor what it cannot foresee", Memory::default(), fact(away(Displaces::Unknown)), false),
        ("the other is in use", seen(), fact(quiet(4)), false),
        (
            "a swap of ours has its place",
            seen(),
            Fact { suspended: true, ..fact(away(Displaces::Idle)) },
            false,
        ),
        ("given up before", seen(), Fact { gave_up: true, ..fact(away(Displaces::Idle)) }, false),
        ("and there is room by now", seen(), Fact { gave_up: true, ..fact(away(Displaces::Nothing)) }, true),
        (
            "nor is a swap's in its way",
            seen(),
            Fact { suspended: true, ..fact(away(Displaces::Nothing)) },
            true,
        ),
    ] {
        let mut memory = memory;
        assert_eq!(!looks(&mut memory, &fact, 0..1000).is_empty(), done, "{what}");
    }
}

/// What a client or the clock does to two pins that cannot both fit.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Evict(usize),
    Overwrite(usize),
    Nothing,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn two_pins_that_cannot_both_fit_never_loop(
        blows in prop::collection::vec(
            prop_oneof![(0..2_usize).prop_map(Blow::Evict), (0..2_usize).prop_map(Blow::Overwrite), Just(Blow::Nothing)],
            1..50,
        ),
    ) {
        let begin = start();
        let mut memories = [seen(), seen()];
        // Nobody can foresee anything: each load throws the other pin out.
        let mut places = [Place::Held, away(Displaces::Unknown)];
        let mut loads = 0;
        for second in 0..3600_u64 {
            let blow = blows[usize::try_from(second).unwrap() % blows.len()];
            match blow {
                Blow::Evict(i) => places[i] = away(Displaces::Unknown),
                Blow::Overwrite(i) if places[i] == Place::Held => places[i] = Place::Expires(None),
                _ => {}
            }
            for i in 0..2 {
                let deed = memories[i].turn(&fact(places[i].clone()), false, after(begin, second));
                match deed {
                    Some(Deed::BringBack) => {
                        loads += 1;
                        places[i] = Place::Held;
                        places[1 - i] = away(Displaces::Unknown);
                    }
                    Some(Deed::Assert) => places[i] = Place::Held,
                    _ => {}
                }
            }
        }
        prop_assert!(loads <= 2 * TRIES, "{loads} loads");
    }
}
