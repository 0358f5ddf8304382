//! Findings by table: each where it is one, and where it is none.

use std::time::Instant;

use super::*;
use crate::residency::bytes::{GIB, MIB};
use crate::residency::expiry::Expiry;
use crate::residency::host::{LoadMode, Runner};
use crate::residency::progress::{LoadProgress, Source};
use crate::residency::snapshot::Loaded;
use crate::residency::swap::{Before, Ended, Stages, Way};

#[expect(clippy::disallowed_methods, reason = "any instant will do, far enough from the first one")]
fn now() -> Moment {
    let mono = Instant::now() + Duration::from_secs(7200);
    Moment { mono, wall: "2026-11-24T12:00:00Z".parse().unwrap() }
}

fn ago(now: Moment, seconds: u64) -> Moment {
    let past = Duration::from_secs(seconds);
    Moment { mono: now.mono.checked_sub(past).unwrap(), wall: now.wall - past }
}

fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

fn facts(now: Moment) -> Facts<'static> {
    Facts { now, models: &[], loads: &[], pending: &[], unlisted: &[], cards: &[] }
}

fn model(text: &str, state: State) -> Model {
    let loaded = Loaded {
        size: Bytes(5 * GIB),
        size_vram: Bytes(5 * GIB),
        context: Some(4096),
        expiry: Expiry::Never,
        keep_alive: None,
        runner: Some(Runner { busy: Some(state == State::Busy), ..Runner::default() }),
    };
    Model { state, loaded: Some(loaded), ..Model::named(name(text)) }
}

/// A load of others that took two seconds, so many seconds ago.
fn load(now: Moment, seconds: u64, text: &str, context: u64, displaced: &[&str]) -> (Timestamp, SwapRecord) {
    let record = SwapRecord {
        model: name(text),
        ours: false,
        displaced: Some(displaced.iter().map(|text| name(text)).collect()),
        before: Before::default(),
        way: Way::Off,
        mode: LoadMode::Unknown,
        num_ctx: Some(context),
        stages: Stages { total: Some(Duration::from_secs(2)), ..Stages::default() },
        ended: Ended::Ready,
    };
    (ago(now, seconds).wall, record)
}

fn kinds(facts: &Facts<'_>) -> Vec<Kind> {
    find(facts).into_iter().map(|finding| finding.kind).collect()
}

/// The one finding.
fn only(facts: &Facts<'_>) -> Finding {
    let mut found = find(facts);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    let now = now();
    let states = [State::Idle, State::Busy, State::BusyOrUnloading, State::Unloading, State::OnDisk];
    let models = states.map(|state| model("a", state));
    assert_eq!(find(&Facts { models: &models, ..facts(now) }), []);
}

#[test]
fn a_model_that_two_clients_want_with_other_contexts_is_churn() {
    let now = now();
    let at = |seconds, context| load(now, seconds, "a", context, &["a"]);
    let alternating: Vec<_> =
        [60, 120, 180, 240].iter().zip([4096, 2048, 4096, 2048]).map(|(s, c)| at(*s, c)).collect();
    let finding = only(&Facts { loads: &alternating, ..facts(now) });
    assert_eq!(
        (finding.kind, finding.model, finding.severity),
        (Kind::ReloadChurn, Some(name("a")), Severity::Costs)
    );
    assert_eq!(
        finding.evidence,
        "loaded anew 3 times in the last hour, ~6.0 s waited: its clients ask for num_ctx 2048 and 4096"
    );
    assert!(finding.advice.contains("4096") && !finding.advice.contains("2048"), "{}", finding.advice);
}

#[test]
fn what_is_no_churn() {
    let now = now();
    let at = |seconds, context| load(now, seconds, "a", context, &["a"]);
    let alone = |(when, record): (Timestamp, SwapRecord)| {
        (when, SwapRecord { displaced: Some(Vec::new()), ..record })
    };
    let old = |(when, record): (Timestamp, SwapRecord)| (when - Duration::from_secs(3600), record);
    let failed = |(when, record): (Timestamp, SwapRecord)| {
        let stage = crate::residency::swap::Stage::Load;
        (when, SwapRecord { ended: Ended::Cancelled { stage }, ..record })
    };
    let evicts = |seconds| load(now, seconds, "b", 4096, &["a"]);
    for (why, loads) in [
        ("changed twice", vec![at(60, 1), at(120, 2), at(180, 1)]),
        ("the same each time", vec![at(60, 1), at(120, 1), at(180, 1), at(240, 1), at(300, 1)]),
        ("an hour ago", [at(60, 1), at(120, 2), at(180, 1), at(240, 2)].map(old).to_vec()),
        ("none of them worked", [at(60, 1), at(120, 2), at(180, 1), at(240, 2)].map(failed).to_vec()),
        (
            "evicted each time",
            [at(60, 1), at(120, 2), at(180, 1), at(240, 2)]
                .map(alone)
                .into_iter()
                .chain([evicts(90)])
                .collect(),
        ),
        ("unloaded each time", [at(60, 1), at(120, 2), at(180, 1), at(240, 2)].map(alone).to_vec()),
    ] {
        let found = kinds(&Facts { loads: &loads, ..facts(now) });
        assert!(!found.contains(&Kind::ReloadChurn), "{why}: {found:?}");
    }
}

#[test]
fn an_untimed_reload_costs_as_much_as_a_usual_one_where_any_was_timed() {
    let now = now();
    let mut loads: Vec<_> = [60, 120, 180, 240]
        .iter()
        .zip([1, 2, 1, 2])
        .map(|(seconds, context)| load(now, *seconds, "a", context, &["a"]))
        .collect();
    for (timed, evidence) in [
        (3, "loaded anew 3 times in the last hour, ~6.0 s waited: its clients ask for num_ctx 1 and 2"),
        (0, "loaded anew 3 times in the last hour: its clients ask for num_ctx 1 and 2"),
    ] {
        loads.iter_mut().skip(timed).for_each(|(_, load)| load.stages.total = None);
        assert_eq!(only(&Facts { loads: &loads, ..facts(now) }).evidence, evidence);
    }
}

#[test]
fn two_models_that_evict_each_other_are_a_loop_unless_it_is_all_our_own_work() {
    let now = now();
    let turn = |i: u64, ours: bool| {
        let (winner, loser) = if i.is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
        let (at, record) = load(now, 30 * (i + 1), winner, 4096, &[loser]);
        (at, SwapRecord { ours, ..record })
    };
    let turns = |count: u64, ours: fn(u64) -> bool| (0..count).map(|i| turn(i, ours(i))).collect::<Vec<_>>();
    let finding = only(&Facts { loads: &turns(6, |_| false), ..facts(now) });
    assert_eq!(
        (finding.kind, finding.evidence.as_str()),
        (
            Kind::EvictionLoop,
            "a and b threw each other out of VRAM 6 times in the last 10 min, ~12.0 s waited for loads"
        )
    );
    for (loads, expected) in [
        (turns(4, |_| false), 1),
        (turns(3, |_| false), 0),
        (turns(8, |_| true), 0),
        (turns(8, |i| i.is_multiple_of(2)), 1),
    ] {
        assert_eq!(kinds(&Facts { loads: &loads, ..facts(now) }).len(), expected, "{}", loads.len());
    }
    // One that is thrown out by ever another one, and one that throws out the same one again and again.
    let winners = ["c", "d", "e", "c", "d", "e"];
    let other: Vec<_> =
        winners.iter().zip(1..).map(|(winner, i)| load(now, 30 * i, winner, 1, &["a"])).collect();
    assert_eq!(kinds(&Facts { loads: &other, ..facts(now) }), []);
}

#[test]
fn a_load_that_nobody_serves_is_a_stuck_scheduler() {
    let now = now();
    let pending = |seconds, has_runner| [Pending { model: name("a"), since: ago(now, seconds), has_runner }];
    let stuck = pending(31, false);
    let finding = only(&Facts { pending: &stuck, ..facts(now) });
    assert_eq!((finding.kind, finding.severity), (Kind::StuckScheduler, Severity::Broken));
    assert_eq!(finding.since, Some(ago(now, 31)));
    let progress = LoadProgress { pid: 7, done: Bytes(1), of: Bytes(9), source: Source::Reads };
    let mut silent = model("b", State::Idle);
    silent.loaded.as_mut().unwrap().runner = None;
    let loads = Model { progress: Some(progress), ..model("b", State::NotLoaded) };
    for (why, pending, models) in [
        ("not for long", pending(29, false), vec![]),
        ("its runner is there", pending(600, true), vec![]),
        ("what must go works", pending(600, false), vec![model("b", State::Busy)]),
        ("what must go is going", pending(600, false), vec![model("b", State::Unloading)]),
        ("what must go may work", pending(600, false), vec![silent]),
        ("another one loads", pending(600, false), vec![loads]),
    ] {
        assert_eq!(kinds(&Facts { pending: &pending, models: &models, ..facts(now) }), [], "{why}");
    }
    let idle = [model("b", State::Idle)];
    assert_eq!(kinds(&Facts { pending: &stuck, models: &idle, ..facts(now) }), [Kind::StuckScheduler]);
}

#[test]
fn ghosts_and_overdue_models_are_found_with_what_they_hold() {
    let now = now();
    let finding = only(&Facts { models: &[model("a", State::Ghost)], ..facts(now) });
    assert_eq!((finding.kind, finding.severity), (Kind::Ghost, Severity::Broken));
    assert!(
        finding.evidence.contains("5.0 GiB") && finding.advice.ends_with("resident unload a"),
        "{finding:?}"
    );
    let finding = only(&Facts { models: &[model("a", State::Overdue)], ..facts(now) });
    assert_eq!((finding.kind, finding.severity), (Kind::Overdue, Severity::Costs));
}

#[test]
fn a_runner_that_is_not_listed_is_an_orphan_after_a_while_or_at_once_without_its_server() {
    let now = now();
    let runner = |seconds, left_behind| {
        let memory = (Bytes(300 * MIB), Bytes(5 * GIB));
        [Unlisted { pid: 77, model: Some(name("a")), since: ago(now, seconds), left_behind, memory }]
    };
    for (seconds, left_behind, found) in [(6, false, 0), (7, false, 1), (0, true, 1)] {
        let unlisted = runner(seconds, left_behind);
        assert_eq!(kinds(&Facts { unlisted: &unlisted, ..facts(now) }).len(), found, "{unlisted:?}");
    }
    let finding = only(&Facts { unlisted: &runner(60, true), ..facts(now) });
    assert_eq!(
        finding.evidence,
        "runner 77: the server that started it has ended; it holds 300 MiB of RAM and 5.0 GiB on the card"
    );
    assert!(finding.advice.ends_with("kill 77"));
}

#[test]
fn other_programs_are_named_where_they_hold_a_tenth_of_a_card() {
    let now = now();
    let card = |others: &[(u32, Option<&str>, u64)]| {
        let others = others.iter().map(|(pid, name, mib)| (*pid, name.map(str::to_owned), Bytes(mib * MIB)));
        [Shared { card: "RTX 2070".into(), total: Bytes(8 * GIB), others: others.collect() }]
    };
    assert_eq!(kinds(&Facts { cards: &card(&[(1, Some("Xorg"), 800)]), ..facts(now) }), []);
    assert_eq!(kinds(&Facts { cards: &card(&[]), ..facts(now) }), []);
    let many = card(&[(1, Some("Xorg"), 400), (2, Some("blender"), 1500), (3, None, 30), (4, Some("x"), 20)]);
    assert_eq!(
        only(&Facts { cards: &many, ..facts(now) }).evidence,
        "1.9 GiB of 8.0 GiB on RTX 2070 are held by other programs: blender (pid 2) 1.5 GiB, Xorg (pid 1) 400 MiB, \
         a process (pid 3) 30 MiB and 1 more"
    );
}

#[test]
fn what_is_broken_stands_before_what_costs() {
    let now = now();
    let models = [model("a", State::Overdue), model("b", State::Ghost), model("c", State::Ghost)];
    let found = find(&Facts { models: &models, ..facts(now) });
    let found: Vec<_> = found.into_iter().map(|finding| finding.model.unwrap().to_string()).collect();
    assert_eq!(found, ["b", "c", "a"]);
}
