//! Measurements on the screen: what is asked and refused, the panel as it fills, its keys, and leaving.

use std::sync::Arc;
use std::time::Duration;

use super::flows::flow;
use super::phases::with_phases;
use crate::engine::flow::Control;
use crate::residency::act::ActKind;
use crate::residency::bench::{Bench, BenchRun, BenchState, Doing, Kind};
use crate::residency::bytes::{Bytes, GB};
use crate::residency::compare::{Comparison, FlowRun};
use crate::residency::flow::{Flow, FlowState, Manner, StepState};
use crate::residency::host::LoadMode;
use crate::residency::snapshot::State;
use crate::residency::swap::{Before, Way};
use crate::tui::action::Context;
use crate::tui::app::{App, Effect, Proof};
use crate::tui::fixture::{name, now, on, picture, press, running};

const COLD: Kind = Kind::Cold(Way::Off);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn run(kind: Kind, round: u32, took: Result<u64, &str>) -> BenchRun {
    let whole = Bytes(5 * GB);
    BenchRun {
        model: name("llama3.1:8b"),
        kind,
        round,
        before: Some(Before { whole, ram: Some(Bytes::ZERO), ..Before::default() }),
        mode: LoadMode::Buffered,
        took: took.map(ms).map_err(Into::into),
    }
}

/// A bench in its third round.
fn bench() -> Bench {
    Bench {
        models: vec![name("llama3.1:8b")],
        kinds: Kind::PLAIN.to_vec(),
        rounds: 3,
        state: BenchState::Running,
        doing: Some(Doing { model: name("llama3.1:8b"), kind: Kind::Warm, round: 3, stage: "loading" }),
        runs: vec![
            run(COLD, 1, Ok(4210)),
            run(Kind::Warm, 1, Ok(610)),
            run(Kind::Warm, 2, Ok(590)),
            run(COLD, 2, Err("3 % of it was in RAM")),
            run(COLD, 2, Ok(4020)),
            run(COLD, 3, Ok(4600)),
        ],
        left: Vec::new(),
    }
}

/// A comparison in its second round.
fn comparison() -> Comparison {
    let ended = |manner, round, swaps: [u64; 2], thrown: Option<&str>| {
        let mut flow = flow();
        (flow.manner, flow.run) = (manner, round);
        flow.steps.truncate(3);
        for (step, took) in flow.steps[1..].iter_mut().zip(swaps) {
            (step.swap, step.state) = (Some((ms(3000), ms(took))), StepState::Done);
        }
        flow.steps[2].work = Some((ms(9000), ms(2000)));
        flow.swaps = ms(swaps.iter().sum());
        flow.state = FlowState::Done { took: ms(10_000) + flow.swaps };
        flow.began.mono += ms(u64::from(round));
        FlowRun { flow: Arc::new(flow), thrown: thrown.map(Into::into), again: false }
    };
    let mut under_way = flow();
    under_way.began.mono += ms(50);
    Comparison {
        name: "react-dashboard".into(),
        rounds: 3,
        state: BenchState::Running,
        now: Some(Arc::new(under_way)),
        runs: vec![
            ended(Manner::Cold, 1, [4100, 3900], Some("execution (qwen2.5-coder:7b): 4 % of it was in RAM")),
            ended(Manner::Cold, 1, [4200, 4000], None),
            ended(Manner::Warm, 1, [500, 480], None),
            ended(Manner::Lookahead, 1, [690, 500], None),
            ended(Manner::Warm, 2, [520, 500], None),
        ],
        mode: crate::residency::host::LoadMode::Buffered,
        left: Vec::new(),
    }
}

fn benching(change: impl Fn(&mut Bench)) -> App {
    let mut bench = bench();
    change(&mut bench);
    showing(Proof::Bench(Arc::new(bench)))
}

fn comparing(change: impl Fn(&mut Comparison)) -> App {
    let mut comparison = comparison();
    change(&mut comparison);
    showing(Proof::Comparison(Arc::new(comparison)))
}

fn showing(proof: Proof) -> App {
    let mut app = with_phases(|_| ());
    app.begin_job();
    app.proof = Some(proof);
    app
}

#[test]
fn a_bench_fills_its_table_at_80_by_24() {
    insta::assert_snapshot!(picture(&benching(|_| ()), 80, 24), @r"
     127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
     VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
     RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

       MODEL               SIZE  █VRAM ▒RAM ░    STAYS  STATE       FITS     TO VRAM
    ▸* openthinker3-7b   4.7 GB  ▒▒▒▒▒▒▒▒▒▒▒▒           in RAM      ~evicts   ~0.6 s
     * qwen2.5-coder:7b  4.7 GB  ████████████    42:10  idle                    here
     * deepseek-r1:14b   9.0 GB  ▒▒▒▒▒▒▒░░░░░           in RAM 62%  ~big      ~2.3 s
       llama3.1:8b       4.9 GB  ░░░░░░░░░░░░           on disk     ~fits     ~5.4 s
       mistral:7b        4.1 GB  ????????????           not loaded  ?              ?
       nomic-embed-text  274 MB  ████████████   pinned  idle                    here

     bench llama3.1:8b   5 of 6 runs   warm 3: loading
           median     ×      rate  least to most    runs
     cold  4.21 s        1.2 GB/s   4.02 to 4.60  3 of 3
     warm  0.60 s  7.0×  8.3 GB/s   0.59 to 0.61  2 of 3
     cold 2 thrown away: 3 % of it was in RAM

     12:03:03  nomic-embed-text    pinned
     12:04:27  openthinker3-7b     evicted: made room for qwen2.5-coder:7b
     12:04:27  qwen2.5-coder:7b    loading
     12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s

     c cancel   esc back   tab panel   / filter   q quit   o sort   ? help
    ");
}

#[test]
fn a_comparison_shows_the_run_under_way_below_its_table() {
    insta::assert_snapshot!(picture(&comparing(|_| ()), 80, 24), @r"
     127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
     VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
     RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

       MODEL               SIZE  █VRAM ▒RAM ░    STAYS  STATE       FITS     TO VRAM
    ▸* openthinker3-7b   4.7 GB  ▒▒▒▒▒▒▒▒▒▒▒▒           in RAM      ~evicts   ~0.6 s
     * qwen2.5-coder:7b  4.7 GB  ████████████    42:10  idle                    here
     * deepseek-r1:14b   9.0 GB  ▒▒▒▒▒▒▒░░░░░           in RAM 62%  ~big      ~2.3 s
       … 3 below

     compare react-dashboard   4 of 12 runs   lookahead 2: verification works
     wait for                        cold  warm  lookahead  disk hidden  work
     context       openthinker3-7b      -     -          -               3.00
     execution     qwen2.5-coder:7b  4.20  0.51       0.69         95 %  5.00
     verification  openthinker3-7b   4.00  0.49       0.50        100 %  2.00
     all swaps                       8.20  1.00       1.19         97 %
     whole run                       18.2  11.0       11.2
     the run under way                                            swap   work   last
     context       openthinker3-7b   ━━━━                                3.00   3.01
     execution     qwen2.5-coder:7b      ▚━━━━━                   0.52   5.00   9.80
     verification  openthinker3-7b             ▚╸                 0.48    1.0
     … 2 more below
     12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s
     c cancel   esc back   tab panel   / filter   q quit   o sort   ? help
    ");
    let shown = picture(&comparing(|_| ()), 160, 50);
    let panel: Vec<_> = shown
        .lines()
        .skip(12)
        .take(20)
        .map(|line| line.chars().take(106).collect::<String>().trim_end().to_owned())
        .collect();
    insta::assert_snapshot!(panel.join("\n"), @r"
    compare react-dashboard   4 of 12 runs   lookahead 2: verification works
    wait for                        cold  warm  lookahead  disk hidden  work
    context       openthinker3-7b      -     -          -               3.00
    execution     qwen2.5-coder:7b  4.20  0.51       0.69         95 %  5.00
    verification  openthinker3-7b   4.00  0.49       0.50        100 %  2.00
    all swaps                       8.20  1.00       1.19         97 %
    whole run                       18.2  11.0       11.2
    the run under way                                                                      swap   work   last
    context       openthinker3-7b   ━━━━━━━                                                       3.00   3.01
    execution     qwen2.5-coder:7b         ▚━━━━━━━━━━━━                                   0.52   5.00   9.80
    verification  openthinker3-7b                       ▚━━╸                               0.48    1.0
    debugging     deepseek-r1:14b   only if verification fails   warming ▒▒▒▒▒▒▒░░░ 71 %
    cold 1 thrown away: execution (qwen2.5-coder:7b): 4 % of it was in RAM
    ");
}

#[test]
fn a_small_screen_shows_what_it_can() {
    insta::assert_snapshot!(picture(&benching(|_| ()), 40, 12), @r"
    127.0.0.1:11434   ● 2 ms         12:04
    VRAM █ qwen ██▓█▓▚         5.7/8.0 GiB
    RAM  ▓▓▚▒▒▒▒▒▒ ▒···      19.2/31.0 GiB
    bench llama3.1:8b   5 of 6 runs   warm…
          median     ×      rate    runs
    cold  4.21 s        1.2 GB/s  3 of 3
    warm  0.60 s  7.0×  8.3 GB/s  2 of 3
    cold 2 thrown away: 3 % of it was in
    RAM

    12:04:31  qwen2.5-coder…  loaded in 0.…
    c cancel   esc back   ? help
    ");
    for (width, height) in [(30, 8), (31, 16), (50, 9), (200, 60)] {
        picture(&benching(|_| ()), width, height);
        picture(&comparing(|_| ()), width, height);
    }
}

#[test]
fn a_bench_asks_first_and_says_what_it_disturbs() {
    let mut app = on("llama3.1:8b", |_| ());
    assert_eq!(press(&mut app, "b"), None);
    let asked = picture(&app, 80, 24).split_whitespace().collect::<Vec<_>>().join(" ");
    let words = "bench unloads qwen2.5-coder:7b, nomic-embed-text (pinned), drops llama3.1:8b from RAM again and \
                 again, and loads 6 times; afterwards what was loaded and pinned comes back. go on?";
    assert!(asked.contains(words), "{asked}");
    assert_eq!(press(&mut app, "y"), Some(Effect::Bench(name("llama3.1:8b"))));
    assert_eq!(press(&mut app, "b n"), None);
}

#[test]
fn what_cannot_be_measured_is_said_and_not_asked() {
    let refused = |mut app: App, keys: &str| {
        assert_eq!(press(&mut app, keys), None);
        assert_eq!(app.context(), if keys == "b" { Context::Main } else { Context::Page });
        app.notice.unwrap()
    };
    let mut read_only = on("llama3.1:8b", |_| ());
    read_only.settings.read_only = true;
    assert!(refused(read_only, "b").contains("read-only"));
    let far = on("llama3.1:8b", |snapshot| snapshot.servers[0].local = false);
    assert!(refused(far, "b").contains("on another machine"));
    let cloud = |state| {
        on("llama3.1:8b", move |snapshot| {
            let models = &mut snapshot.servers[0].models;
            for model in models {
                model.state = state;
            }
        })
    };
    assert!(refused(cloud(State::Cloud), "b").contains("cloud"));
    assert!(refused(cloud(State::NotHere), "b").contains("has no files on this machine"));
    let busy = on("llama3.1:8b", |snapshot| snapshot.acts = vec![running(ActKind::Load, "mistral:7b", 2)]);
    assert!(refused(busy, "b").contains("load mistral:7b is under way; measure when it is over"));
    let mut flowing = on("llama3.1:8b", |_| ());
    flowing.see_flow(Arc::new(flow()));
    assert!(refused(flowing, "b").contains("react-dashboard is under way"));
    assert!(refused(with_phases(|_| ()), "f j b").contains("phi4:14b is not installed"));
    assert!(refused(benching(|_| ()), "tab f b").contains("bench llama3.1:8b is under way"));
}

#[test]
fn while_something_is_measured_nothing_is_moved_by_hand() {
    let mut app = benching(|_| ());
    assert_eq!(app.context(), Context::Flow);
    for key in ["enter", "l", "u", "w", "h", "x", "1", "b", "W"] {
        assert_eq!(press(&mut app, key), None, "{key}");
        assert!(
            app.notice.as_deref().unwrap().contains("would be disturbed; c in its panel ends it"),
            "{key}"
        );
    }
    assert_eq!(press(&mut app, "space"), None);
    assert!(app.notice.as_deref().unwrap().contains("or is cancelled"));
    assert_eq!(press(&mut app, "c"), Some(Effect::Control(Control::Cancel)));
    let mut ending = benching(|bench| bench.state = BenchState::PuttingBack);
    assert_eq!(press(&mut ending, "c"), None);
    assert!(picture(&ending, 80, 24).contains("putting back what was loaded"));
}

#[test]
fn how_a_measurement_ended_is_said_and_esc_puts_it_away() {
    let why = "llama3.1:8b was not loaded cold in 3 tries".to_owned();
    for (state, said) in [
        (BenchState::Done, "done"),
        (BenchState::Cancelled, "cancelled"),
        (BenchState::Failed { why }, "failed: llama3.1:8b was not loaded cold"),
    ] {
        let mut app = benching(|bench| {
            bench.state = state.clone();
            bench.runs.truncate(1);
            bench.left = vec!["pin nomic-embed-text: no answer".into()];
        });
        let shown = picture(&app, 80, 24);
        for said in [said, "not put back: pin nomic-embed-text: no answer", "nothing can be claimed"] {
            assert!(shown.contains(said), "{said}\n{shown}");
        }
        assert_eq!(app.context(), Context::Main);
        press(&mut app, "esc esc");
        assert!(app.proof.is_none());
    }
    let mut live = benching(|_| ());
    press(&mut live, "esc esc");
    assert!(live.proof.is_some());
}

#[test]
fn leaving_while_something_is_measured_asks_and_asks_again_before_it_is_all_back() {
    let mut app = comparing(|_| ());
    assert_eq!(press(&mut app, "q"), None);
    let asked = picture(&app, 120, 24);
    let words =
        "compare react-dashboard is under way; leaving cancels it and puts back what was loaded. leave?";
    assert!(asked.contains(words), "{asked}");
    assert!(matches!(press(&mut app, "q"), Some(Effect::Leave(_))));
    app.leaving = true;
    assert_eq!(press(&mut app, "q"), None);
    assert!(picture(&app, 80, 24).contains("what was loaded is not all back yet. leave it so?"));
    let mut over = comparing(|comparison| comparison.state = BenchState::Done);
    assert!(matches!(press(&mut over, "q"), Some(Effect::Leave(_))));
}

#[test]
fn nothing_hostile_gets_out_of_a_measurement() {
    let hostile = "\u{1b}[2J\u{202e}bad\nline";
    let mut app = comparing(|comparison| {
        comparison.name = hostile.into();
        comparison.left = vec![hostile.into()];
        let spoil = |flow: &Arc<Flow>| {
            let mut flow = Flow::clone(flow);
            flow.steps.iter_mut().for_each(|step| step.phase = hostile.into());
            Arc::new(flow)
        };
        comparison.now = comparison.now.as_ref().map(spoil);
        for run in &mut comparison.runs {
            run.flow = spoil(&run.flow);
            run.thrown = run.thrown.take().map(|_| hostile.into());
        }
    });
    for (width, height) in [(40, 12), (80, 24), (160, 50)] {
        let shown = picture(&app, width, height);
        assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("bad"), "{shown}");
    }
    app.settings.ascii = true;
    app.proof = Some(Proof::Bench(Arc::new(bench())));
    assert!(picture(&app, 80, 24).is_ascii(), "{}", picture(&app, 80, 24));
}

#[test]
fn a_measurement_asks_for_no_frames_of_its_own() {
    let tick = |app: &App| app.next_tick(now());
    assert_eq!(tick(&comparing(|_| ())), tick(&with_phases(|_| ())));
}
