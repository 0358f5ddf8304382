//! Comparisons by table: what counts, and what is said of it.

use std::time::Instant;

use super::*;
use crate::residency::flow::FlowStep;
use crate::residency::swap::{Plan, Stages, Swapping};
use crate::residency::timing::Moment;

fn name(text: &str) -> ModelName {
    ModelName::from_server(text)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn before(ram: u64) -> Before {
    Before { whole: Bytes(1000), in_vram: false, ram: Some(Bytes(ram)), estimate: false }
}

#[test]
fn a_run_is_cold_or_warm_only_where_that_was_read() {
    let hidden = Before { ram: None, ..before(0) };
    let loaded = Before { in_vram: true, ..before(0) };
    for (before, cold, warm) in [
        (before(0), true, false),
        (before(10), true, false),
        (before(11), false, false),
        (before(940), false, false),
        (before(950), false, true),
        (before(1000), false, true),
        (hidden, false, false),
        (loaded, false, false),
    ] {
        assert_eq!(
            (why_not_cold(&before).is_none(), why_not_warm(&before).is_none()),
            (cold, warm),
            "{before:?}"
        );
    }
    let sampled = Before { estimate: true, ..before(634) };
    assert_eq!(why_not_cold(&sampled).as_deref(), Some("~64 % of it was in RAM"));
}

#[test]
fn a_spread_has_its_middle_and_its_ends() {
    let spread = |times: &[u64]| {
        Spread::of(times.iter().copied().map(millis))
            .map(|s| (s.least.as_millis(), s.median.as_millis(), s.most.as_millis(), s.runs))
    };
    assert_eq!(spread(&[]), None);
    assert_eq!(spread(&[7]), Some((7, 7, 7, 1)));
    assert_eq!(spread(&[9, 1, 4]), Some((1, 4, 9, 3)));
    assert_eq!(spread(&[9, 1, 4, 6]), Some((1, 5, 9, 4)));
}

fn run(model: &str, kind: Kind, took: Result<u64, &str>) -> BenchRun {
    BenchRun {
        model: name(model),
        kind,
        round: 1,
        before: Some(before(0)),
        mode: LoadMode::Buffered,
        took: took.map(millis).map_err(ToOwned::to_owned),
    }
}

#[test]
fn nothing_is_claimed_without_a_valid_pair_and_what_was_thrown_away_counts_nowhere() {
    let cold = Kind::Cold(Way::Off);
    let all = loads(&[
        run("a", cold, Ok(4000)),
        run("a", cold, Err("64 % of it was in RAM")),
        run("a", Kind::Warm, Ok(1000)),
        run("a", cold, Ok(6000)),
        run("b", cold, Ok(2000)),
        run("b", Kind::Warm, Err("held")),
        run("c", cold, Err("held by pid 7")),
    ]);
    let said: Vec<_> = all.iter().map(|loads| (loads.model.to_string(), loads.times)).collect();
    assert_eq!(said, [("a".to_owned(), Some(5.0)), ("b".to_owned(), None)]);
    assert_eq!(all[0].of(cold).map(|spread| spread.runs), Some(2));
    assert_eq!(all[0].of(Kind::Warm).unwrap().rate(Bytes(2_000_000_000)), Some(2.0));
}

#[expect(clippy::disallowed_methods, reason = "some moment to count from")]
fn some_moment() -> Moment {
    Moment { mono: Instant::now(), wall: jiff::Timestamp::UNIX_EPOCH }
}

/// A run whose steps waited so long for their models, of which so much was in RAM.
fn flow(manner: Manner, steps: &[(u64, u64)]) -> Flow {
    let step = |at: usize, swap: u64, ram: u64| FlowStep {
        phase: format!("phase{at}"),
        model: name(["a", "b"][at % 2]),
        on_failure: false,
        state: StepState::Done,
        swap: Some((Duration::ZERO, millis(swap))),
        swapping: Some(Arc::new(Swapping {
            plan: Plan {
                goes: Vec::new(),
                server_chooses: false,
                stays: Vec::new(),
                way: Way::Off,
                before: before(ram),
                num_ctx: None,
            },
            stages: Stages::default(),
            stage: None,
            ended: None,
            went: Some(Vec::new()),
        })),
        work: Some((Duration::ZERO, millis(1000))),
        planned: None,
        tokens: None,
        last: None,
        warming: None,
    };
    let swaps = millis(steps.iter().map(|(swap, _)| swap).sum());
    let work = millis(1000 * steps.len() as u64);
    Flow {
        name: "loop".to_owned(),
        run: 1,
        of: 3,
        manner,
        began: some_moment(),
        state: FlowState::Done { took: swaps + work },
        steps: steps.iter().enumerate().map(|(at, (swap, ram))| step(at, *swap, *ram)).collect(),
        work,
        swaps,
        hidden: (Bytes::ZERO, Duration::ZERO),
        ahead: Vec::new(),
        last: None,
        scale: 1,
    }
}

#[test]
fn a_cold_run_with_one_warm_swap_is_thrown_away_and_says_which() {
    let cold = flow(Manner::Cold, &[(4000, 0), (4000, 634)]);
    assert_eq!(why_thrown(&cold).as_deref(), Some("phase1 (b): 64 % of it was in RAM"));
    assert_eq!(why_thrown(&flow(Manner::Cold, &[(4000, 0), (4000, 9)])), None);
    let warm = flow(Manner::Warm, &[(1000, 1000), (1000, 940)]);
    assert_eq!(why_thrown(&warm).as_deref(), Some("phase1 (b): 94 % of it was in RAM"));
    // Lookahead begins cold; what it reads ahead is its own doing.
    assert_eq!(why_thrown(&flow(Manner::Lookahead, &[(4000, 0), (1000, 1000)])), None);
    assert!(why_thrown(&flow(Manner::Lookahead, &[(1000, 1000), (1000, 1000)])).is_some());
    let failed = Flow { state: FlowState::Failed { why: "boom".to_owned() }, ..cold };
    assert_eq!(why_thrown(&failed).as_deref(), Some("boom"));
}

#[test]
fn the_manners_stand_beside_each_other_and_the_first_step_hides_nothing() {
    let counted = |flows: &[Flow]| -> Vec<FlowRun> {
        let run =
            |flow: &Flow| FlowRun { flow: Arc::new(flow.clone()), thrown: why_thrown(flow), again: false };
        flows.iter().map(run).collect()
    };
    let times = flows(&counted(&[
        flow(Manner::Cold, &[(5000, 0), (5000, 0)]),
        flow(Manner::Cold, &[(100, 0), (100, 1000)]),
        flow(Manner::Warm, &[(1000, 1000), (1000, 1000)]),
        flow(Manner::Lookahead, &[(5000, 0), (1200, 1000)]),
    ]));
    let medians = |three: [Option<Spread>; 3]| three.map(|spread| spread.unwrap().median.as_millis());
    assert_eq!(medians(times.swaps), [10_000, 2_000, 6_200]);
    assert_eq!(medians(times.totals), [12_000, 4_000, 8_200]);
    assert_eq!(times.steps.iter().map(|step| step.hidden).collect::<Vec<_>>(), [None, Some(0.95)]);
    assert_eq!((times.hidden, times.beside_warm), (Some(0.95), Some(1.2)));
    let alone = flows(&counted(&[flow(Manner::Cold, &[(5000, 0)])]));
    assert_eq!((alone.times, alone.hidden, alone.beside_warm), (None, None, None));
}

#[test]
fn steps_whose_work_before_them_is_longer_than_the_read_are_counted_apart() {
    // The work before each step is 1 s; the reads take 0.8 s and 4 s.
    let runs = |manner, waits: [u64; 3], ram: u64| {
        let first = if manner == Manner::Warm { 1000 } else { 0 };
        let flow = flow(manner, &[(waits[0], first), (waits[1], ram), (waits[2], ram)]);
        (0..3).map(move |_| FlowRun { thrown: why_thrown(&flow), flow: Arc::new(flow.clone()), again: false })
    };
    let all: Vec<FlowRun> = runs(Manner::Cold, [5000, 1000, 4200], 0)
        .chain(runs(Manner::Warm, [200, 200, 200], 1000))
        .chain(runs(Manner::Lookahead, [5000, 240, 3200], 1000))
        .collect();
    let times = flows(&all);
    let rooms: Vec<_> = times.steps.iter().map(StepTimes::has_room).collect();
    assert_eq!(rooms, [None, Some(true), Some(false)]);
    let claims = times.claims();
    for claim in [
        "where the work is longer than the read: 95 % hidden",
        "over all steps after the first: 37 % hidden",
        "after the first step: 8.60× warm, more than noise",
    ] {
        assert!(claims.iter().any(|said| said == claim), "{claim} in {claims:?}");
    }
}

#[test]
fn where_all_steps_have_room_both_shares_are_one_and_the_same_whatever_the_runs_scatter_like() {
    let runs = |manner, all: [[u64; 2]; 3], ram: u64| {
        all.map(|[one, two]| {
            let first = if manner == Manner::Warm { 1000 } else { 0 };
            let flow = flow(manner, &[(900, first), (one, ram), (two, ram)]);
            FlowRun { thrown: why_thrown(&flow), flow: Arc::new(flow), again: false }
        })
    };
    let mut all = runs(Manner::Cold, [[900, 300], [500, 800], [700, 400]], 0).to_vec();
    all.extend(runs(Manner::Warm, [[100, 120], [120, 100], [90, 110]], 1000));
    all.extend(runs(Manner::Lookahead, [[100, 200], [300, 100], [150, 240]], 1000));
    let times = flows(&all);
    assert_eq!(
        times.steps.iter().map(StepTimes::has_room).collect::<Vec<_>>(),
        [None, Some(true), Some(true)]
    );
    assert!(times.hidden.is_some_and(|hidden| hidden > 0.5 && hidden < 1.0), "{:?}", times.hidden);
    assert_eq!(times.hidden, times.hidden_with_room);
}

#[test]
fn the_second_time_round_stands_beside_warm_and_in_no_manner() {
    let run = |manner, waits: [(u64, u64); 2], again| {
        let flow = flow(manner, &waits);
        FlowRun { thrown: why_not_done(&flow), flow: Arc::new(flow), again }
    };
    let mut all = Vec::new();
    for more in [0, 5, 10] {
        all.push(run(Manner::Warm, [(200 + more, 1000), (200, 1000)], false));
        all.push(run(Manner::Lookahead, [(4000, 0), (300, 1000)], false));
        all.push(run(Manner::Lookahead, [(198 + more, 1000), (200, 1000)], true));
    }
    let times = flows(&all);
    assert_eq!(times.swaps[2].unwrap().median, millis(4300));
    assert_eq!(times.again.unwrap().median, millis(403));
    let said = "the second time round: 1.00× warm, equal to warm within noise";
    assert!(times.claims().iter().any(|claim| claim == said), "{:?}", times.claims());
    let failed = Flow { state: FlowState::Failed { why: "boom".to_owned() }, ..flow(Manner::Lookahead, &[]) };
    let thrown = FlowRun { thrown: why_not_done(&failed), flow: Arc::new(failed), again: true };
    assert_eq!(flows(&[thrown]).again, None);
}

#[test]
fn equal_within_noise_is_what_the_spreads_say() {
    let spread = |times: &[u64]| Spread::of(times.iter().copied().map(millis)).unwrap();
    let warm = spread(&[190, 200, 230]);
    assert_eq!(spread(&[195, 205, 260]).is_within_noise_of(&warm), Some(true));
    assert_eq!(spread(&[225, 240, 250]).is_within_noise_of(&warm), Some(false));
    assert_eq!(spread(&[195, 205]).is_within_noise_of(&warm), None, "two do not scatter");
}
