//! Predictions by table and by property.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::residency::bytes::GB;
use crate::residency::record::Past;
use crate::residency::swap::{Before, Stages};

fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

/// A load of `whole` GB of which `disk` were on disk only, by `way`, in `seconds`.
fn load(model: &str, whole: f64, disk: f64, way: Way, seconds: f64) -> SwapRecord {
    let bytes = |gb: f64| Bytes::parse(&format!("{gb}GB")).unwrap();
    SwapRecord {
        model: name(model),
        ours: true,
        displaced: Some(Vec::new()),
        before: Before {
            whole: bytes(whole),
            in_vram: false,
            ram: Some(bytes(whole).minus(bytes(disk))),
            estimate: false,
        },
        way,
        mode: LoadMode::Buffered,
        num_ctx: None,
        stages: Stages { load: Some(Duration::from_secs_f64(seconds)), ..Stages::default() },
        ended: Ended::Ready,
    }
}

/// Loads in the order of time.
fn past(loads: impl IntoIterator<Item = SwapRecord>) -> Past {
    let mut swaps: Vec<_> = loads.into_iter().map(|load| (Timestamp::UNIX_EPOCH, load)).collect();
    swaps.reverse();
    Past { swaps, ..Past::default() }
}

fn predict(past: &Past, model: &str, whole: f64, disk: f64) -> Option<f64> {
    let whole = Bytes::parse(&format!("{whole}GB")).unwrap();
    let disk = Bytes::parse(&format!("{disk}GB")).unwrap();
    let name = name(model);
    let from = Where { model: &name, whole, ram: Some(whole.minus(disk)), displaces: false, way: None };
    Learned::of(past).predict(&from).map(|prediction| prediction.took.as_secs_f64())
}

/// What the machine of these tests takes.
fn law(whole: f64, disk: f64) -> f64 {
    0.15 + 0.25 * whole + 0.6 * disk
}

fn five() -> Past {
    past(
        [("a", 4.7, 4.7), ("b", 9.0, 9.0), ("a", 4.7, 0.0), ("c", 2.0, 2.0), ("b", 9.0, 0.0)]
            .map(|(model, whole, disk)| load(model, whole, disk, Way::Off, law(whole, disk))),
    )
}

#[test]
fn after_five_loads_any_load_is_within_a_quarter() {
    for (model, whole, disk) in
        [("a", 4.7, 4.7), ("a", 4.7, 0.0), ("c", 2.0, 0.0), ("d", 7.0, 7.0), ("d", 7.0, 3.0), ("b", 9.0, 1.0)]
    {
        let said = predict(&five(), model, whole, disk).unwrap();
        let took = law(whole, disk);
        assert!((said - took).abs() <= 0.25 * took, "{model} {disk} of {whole}: {said} for {took}");
    }
    let error = Learned::of(&five()).error.unwrap();
    assert!(error < 0.5, "{error}");
}

#[test]
fn a_disk_that_became_faster_is_believed_after_two_loads() {
    let cold = |seconds: f64| load("a", 4.0, 4.0, Way::Off, seconds);
    let warm = || load("a", 4.0, 0.0, Way::Off, law(4.0, 0.0));
    let before = (0..20).flat_map(|_| [cold(law(4.0, 4.0)), warm()]);
    let quick = law(4.0, 4.0) / 2.0;
    let after = (0..2).flat_map(|_| [cold(quick), warm()]);
    let said = predict(&past(before.chain(after)), "a", 4.0, 4.0).unwrap();
    assert!((said - quick).abs() <= 0.25 * quick, "{said} for {quick}");
}

#[test]
fn nothing_is_said_of_what_was_never_seen() {
    let one = |disk: f64| past([load("a", 4.0, disk, Way::Off, 3.0)]);
    for (past, disk, is_said) in [
        (past([]), 4.0, false),
        (one(4.0), 4.0, true),
        (one(4.0), 0.0, false),
        (one(0.0), 0.0, true),
        (one(0.0), 4.0, false),
        (one(2.0), 0.0, true),
        (one(2.0), 4.0, true),
    ] {
        assert_eq!(predict(&past, "a", 4.0, disk).is_some(), is_said, "{disk} of 4");
    }
    let failed = SwapRecord {
        ended: Ended::Failed { stage: crate::residency::swap::Stage::Load, why: String::new() },
        ..load("a", 4.0, 4.0, Way::Off, 3.0)
    };
    let touched = SwapRecord {
        before: Before { in_vram: true, ..load("a", 4.0, 4.0, Way::Off, 3.0).before },
        ..load("a", 4.0, 4.0, Way::Off, 0.01)
    };
    assert_eq!(predict(&past([failed, touched]), "a", 4.0, 4.0), None);
}

#[test]
fn loads_whose_runner_was_not_seen_count_for_every_mode_and_those_of_another_mode_do_not() {
    let of = |mode: LoadMode, disk: f64, seconds: f64| SwapRecord {
        mode,
        ..load("a", 4.0, disk, Way::Off, seconds)
    };
    let unseen = [(4.0, 4.0), (4.0, 4.0), (0.0, 1.0)].map(|(disk, took)| of(LoadMode::Unknown, disk, took));
    let seen = [0.0, 0.0, 0.0].map(|disk| of(LoadMode::Buffered, disk, 1.0));
    let said = predict(&past(unseen.into_iter().chain(seen.clone())), "a", 4.0, 4.0).unwrap();
    assert!((said - 4.0).abs() < 0.5, "{said}");
    let mapped = [4.0, 4.0, 4.0].map(|disk| of(LoadMode::Mmap, disk, 2.0));
    assert_eq!(predict(&past(mapped.into_iter().chain(seen)), "a", 4.0, 4.0), None);
}

#[test]
fn a_model_of_its_own_kind_is_corrected() {
    let slow = |count: usize| {
        let others = five().swaps.into_iter().map(|(_, load)| load).rev().collect::<Vec<_>>();
        let own = (0..count).map(|_| load("slow", 4.0, 0.0, Way::Off, 4.0 * law(4.0, 0.0)));
        predict(&past(others.into_iter().chain(own)), "slow", 4.0, 0.0).unwrap()
    };
    assert!((slow(0) - law(4.0, 0.0)).abs() < 0.25 * law(4.0, 0.0));
    assert!(slow(4) > 2.0 * law(4.0, 0.0), "{}", slow(4));
}

#[test]
fn the_way_that_costs_the_disk_least_is_the_one_that_is_predicted() {
    let mut loads: Vec<SwapRecord> = five().swaps.into_iter().map(|(_, load)| load).collect();
    for (model, whole) in [("a", 4.7), ("b", 9.0)] {
        loads.push(load(model, whole, whole, Way::Beside, 0.15 + 0.45 * whole));
    }
    let said = predict(&past(loads), "d", 6.0, 6.0).unwrap();
    let took = 0.15 + 0.45 * 6.0;
    assert!((said - took).abs() < 0.25 * took, "{said} for {took}");
}

#[test]
fn reading_first_counts_as_part_of_the_load_and_a_total_alone_will_do() {
    let first = SwapRecord {
        stages: Stages {
            read_took: Some(Duration::from_secs(3)),
            load: Some(Duration::from_secs(1)),
            ..Stages::default()
        },
        ..load("a", 4.0, 4.0, Way::First, 1.0)
    };
    assert!((Load::of(&first).unwrap().seconds - 4.0).abs() < 1e-9);
    let watched = SwapRecord {
        ours: false,
        displaced: Some(vec![name("b")]),
        stages: Stages {
            unload: Some(Duration::from_secs(1)),
            total: Some(Duration::from_secs(5)),
            ..Stages::default()
        },
        ..load("a", 4.0, 4.0, Way::Off, 1.0)
    };
    let load = Load::of(&watched).unwrap();
    assert!((load.seconds - 4.0).abs() < 1e-9 && load.unload == Some(1.0), "{load:?}");
}

#[test]
fn what_waited_for_others_teaches_what_it_took_by_itself_or_nothing() {
    let waited = SwapRecord {
        stages: Stages {
            waited: Some(Duration::from_secs(30)),
            load: Some(Duration::from_secs(2)),
            total: Some(Duration::from_secs(32)),
            ..Stages::default()
        },
        ..load("a", 4.0, 0.0, Way::Off, 1.0)
    };
    assert!((Load::of(&waited).unwrap().seconds - 2.0).abs() < 1e-9);
    let untold = Stages { load: None, waited: None, ..waited.stages };
    assert_eq!(Load::of(&SwapRecord { stages: untold, ..waited }), None);
}

#[test]
fn an_unload_is_added_where_something_has_to_go() {
    let displacing = SwapRecord {
        displaced: Some(vec![name("b")]),
        stages: Stages {
            unload: Some(Duration::from_secs(2)),
            load: Some(Duration::from_secs(3)),
            ..Stages::default()
        },
        ..load("a", 4.0, 0.0, Way::Off, 3.0)
    };
    let learned = Learned::of(&past([displacing]));
    let name = name("a");
    let whole = Bytes(4 * GB);
    let said = |displaces| {
        let from = Where { model: &name, whole, ram: Some(whole), displaces, way: None };
        learned.predict(&from).unwrap().took.as_secs_f64()
    };
    assert!((said(true) - said(false) - 2.0).abs() < 1e-6);
}

#[test]
fn where_ram_is_hidden_only_loads_that_are_all_alike_are_a_prediction() {
    let hidden = |seconds: f64| {
        let load = load("a", 4.0, 0.0, Way::Off, seconds);
        SwapRecord { before: Before { ram: None, ..load.before }, ..load }
    };
    let name = name("a");
    let from = Where { model: &name, whole: Bytes(4 * GB), ram: None, displaces: false, way: None };
    let said = |loads: &[f64]| {
        Learned::of(&past(loads.iter().map(|seconds| hidden(*seconds)))).predict(&from).map(|said| said.took)
    };
    assert_eq!(said(&[3.0, 3.1]), None, "too few");
    assert_eq!(said(&[3.0, 3.1, 2.9]), Some(Duration::from_secs(3)));
    assert_eq!(said(&[3.0, 1.0, 3.1]), None, "some were warm, some cold");
}

prop_compose! {
    fn any_load()(
        model in 0_u8..4,
        whole in 0.1_f64..50.0,
        share in 0.0_f64..=1.0,
        way in 0_usize..3,
        seconds in 0.01_f64..100.0,
    ) -> SwapRecord {
        load(&format!("m{model}"), whole, whole * share, Way::ALL[way], seconds)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_on_disk_never_takes_less_and_nothing_takes_less_than_no_time(
        loads in prop::collection::vec(any_load(), 0..12),
        whole in 0.1_f64..50.0,
        shares in prop::collection::vec(0.0_f64..=1.0, 2..6),
    ) {
        let learned = Learned::of(&past(loads));
        let name = name("m0");
        let whole = Bytes::parse(&format!("{whole}GB")).unwrap();
        let mut shares = shares;
        shares.sort_by(f64::total_cmp);
        let mut last = Duration::ZERO;
        for share in shares {
            let ram = Bytes::parse(&format!("{}GB", whole.gb() * (1.0 - share))).unwrap();
            let from = Where { model: &name, whole, ram: Some(ram), displaces: true, way: None };
            if let Some(said) = learned.predict(&from) {
                prop_assert!(said.took + Duration::from_micros(1) >= last, "{:?} after {last:?}", said.took);
                last = said.took;
            }
        }
    }
}
