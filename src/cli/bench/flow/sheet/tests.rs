//! What a comparison prints, in each form.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::residency::bytes::GIB;
use crate::residency::compare::NO_TWO_MANNERS;
use crate::residency::compare::{FlowRun, why_thrown};
use crate::residency::flow::{Flow, FlowState, StepState};
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::swap::{Before, Plan, Stages, Swapping, Way};
use crate::residency::timing::Moment;

#[expect(clippy::disallowed_methods, reason = "some moment to count from")]
fn some_moment() -> Moment {
    Moment { mono: Instant::now(), wall: jiff::Timestamp::UNIX_EPOCH }
}

const SIZE: u64 = 293_000_000;

/// A run of two steps: what each waited in milliseconds, and how much of its model was in RAM.
fn run(manner: Manner, swaps: [(u64, u64); 2]) -> FlowRun {
    let step = |at: usize| FlowStep {
        phase: ["context", "execution"][at].to_owned(),
        model: ModelName::from_server(["openthinker3-7b", "qwen2.5-coder:7b"][at]),
        on_failure: false,
        state: StepState::Done,
        swap: Some((Duration::ZERO, Duration::from_millis(swaps[at].0))),
        swapping: Some(Arc::new(Swapping {
            plan: Plan {
                goes: Vec::new(),
                server_chooses: false,
                stays: Vec::new(),
                way: Way::Off,
                before: Before {
                    whole: Bytes(SIZE),
                    in_vram: false,
                    ram: Some(Bytes(swaps[at].1)),
                    estimate: false,
                },
                num_ctx: None,
            },
            stages: Stages::default(),
            stage: None,
            ended: None,
            went: Some(Vec::new()),
        })),
        work: Some((Duration::ZERO, Duration::from_millis(500))),
        planned: Some(Duration::from_millis(500)),
        tokens: None,
        last: None,
        warming: None,
    };
    let swapping = Duration::from_millis(swaps[0].0 + swaps[1].0);
    let work = Duration::from_secs(1);
    let flow = Flow {
        name: "react-dashboard".to_owned(),
        run: 1,
        of: 1,
        manner,
        began: some_moment(),
        state: FlowState::Done { took: swapping + work },
        steps: vec![step(0), step(1)],
        work,
        swaps: swapping,
        hidden: (Bytes::ZERO, Duration::ZERO),
        ahead: Vec::new(),
        last: None,
        scale: 16,
    };
    FlowRun { thrown: why_thrown(&flow), flow: Arc::new(flow), again: false }
}

fn comparison(runs: Vec<FlowRun>) -> Comparison {
    Comparison {
        name: "react-dashboard".to_owned(),
        rounds: 1,
        state: BenchState::Done,
        mode: LoadMode::Buffered,
        now: None,
        runs,
        left: Vec::new(),
    }
}

fn measured() -> Comparison {
    comparison(vec![
        run(Manner::Cold, [(1600, 0), (1400, 200_000_000)]),
        run(Manner::Cold, [(1600, 0), (1400, 0)]),
        run(Manner::Warm, [(400, SIZE), (400, SIZE)]),
        run(Manner::Lookahead, [(1600, 0), (420, SIZE)]),
    ])
}

fn setting() -> Setting {
    Setting {
        host: "box".to_owned(),
        threads: 16,
        ram: Some(Bytes(32 * GIB)),
        version: Some("0.32.15".to_owned()),
        demo_scale: Some(16),
        ..Setting::default()
    }
}

#[test]
fn the_table_of_the_idea_is_measured_and_says_how_work_was_scaled() {
    insta::assert_snapshot!(table(&measured(), &setting()), @r"
    machine  box, processor ?, 16 threads, 32.0 GiB RAM
    disk     ?, readahead ?
    card     none seen
    server   the demo's embedded server at 1:16, as Ollama 0.32.15
    workflow react-dashboard; fixed work is scaled like the models: 8.0 s at 1:16 = 0.50 s
    models   openthinker3-7b 293 MB, qwen2.5-coder:7b 293 MB
    load     mode buffered
    runs     1 of each manner, interleaved; median (least to most); thrown away: 1

    step                  model                   work  swap cold  swap warm  swap lookahead  GB/s cold, warm  work before, read  disk hidden
    context     openthinker3-7b  0.50 s (0.50 to 0.50)     1.60 s     0.40 s          1.60 s       0.18, 0.73                  -            -
    execution  qwen2.5-coder:7b  0.50 s (0.50 to 0.50)     1.40 s     0.40 s          0.42 s       0.21, 0.73    0.50 s < 1.00 s         98 %
    all swaps                                              3.00 s     0.80 s          2.02 s                                             98 %
    total                                                  4.00 s     1.80 s          3.02 s                                                -

    with lookahead the whole is 1.3× as fast as cold, and the waiting for models 1.5×
    warm the whole is 2.2× as fast as cold, and the waiting for models 3.8×
    no step's work before it is longer than its read
    over all steps after the first: 98 % hidden
    after the first step: 1.05× warm
    ");
}

#[test]
fn the_markdown_is_ready_to_paste() {
    insta::assert_snapshot!(markdown(&measured(), &setting()), @r"
    | step | model | work | swap cold | swap warm | swap lookahead | GB/s cold, warm | work before, read | disk hidden |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | context | openthinker3-7b | 0.50 s (0.50 to 0.50) | 1.60 s | 0.40 s | 1.60 s | 0.18, 0.73 | - | - |
    | execution | qwen2.5-coder:7b | 0.50 s (0.50 to 0.50) | 1.40 s | 0.40 s | 0.42 s | 0.21, 0.73 | 0.50 s < 1.00 s | 98 % |
    | all swaps |  |  | 3.00 s | 0.80 s | 2.02 s |  |  | 98 % |
    | total |  |  | 4.00 s | 1.80 s | 3.02 s |  |  | - |

    - with lookahead the whole is 1.3× as fast as cold, and the waiting for models 1.5×
    - warm the whole is 2.2× as fast as cold, and the waiting for models 3.8×
    - no step's work before it is longer than its read
    - over all steps after the first: 98 % hidden
    - after the first step: 1.05× warm
    - machine: box, processor ?, 16 threads, 32.0 GiB RAM
    - disk: ?, readahead ?
    - card: none seen
    - server: the demo's embedded server at 1:16, as Ollama 0.32.15
    - workflow: react-dashboard; fixed work is scaled like the models: 8.0 s at 1:16 = 0.50 s
    - models: openthinker3-7b 293 MB, qwen2.5-coder:7b 293 MB
    - load: mode buffered
    - runs: 1 of each manner, interleaved; median (least to most); thrown away: 1
    ");
}

#[test]
fn each_step_of_each_run_is_one_csv_line_and_what_was_thrown_away_says_why() {
    insta::assert_snapshot!(csv(&measured(), &setting()), @r"
    run,manner,second_round,valid,step,phase,model,swap_seconds,gb_per_second,work_seconds,size_bytes,ram_bytes_before,read_seconds,work_before_seconds,work_longer_than_read,reason,load_mode,host,cpu,ram_bytes,disk,readahead_kib,card,version,demo_scale
    1,cold,false,false,1,context,openthinker3-7b,1.6000,0.183,0.5000,293000000,0,,,,execution (qwen2.5-coder:7b): 69 % of it was in RAM,buffered,box,,34359738368,,,,0.32.15,16
    1,cold,false,false,2,execution,qwen2.5-coder:7b,1.4000,0.209,0.5000,293000000,200000000,1.0000,0.5000,false,execution (qwen2.5-coder:7b): 69 % of it was in RAM,buffered,box,,34359738368,,,,0.32.15,16
    2,cold,false,true,1,context,openthinker3-7b,1.6000,0.183,0.5000,293000000,0,,,,,buffered,box,,34359738368,,,,0.32.15,16
    2,cold,false,true,2,execution,qwen2.5-coder:7b,1.4000,0.209,0.5000,293000000,0,1.0000,0.5000,false,,buffered,box,,34359738368,,,,0.32.15,16
    3,warm,false,true,1,context,openthinker3-7b,0.4000,0.732,0.5000,293000000,293000000,,,,,buffered,box,,34359738368,,,,0.32.15,16
    3,warm,false,true,2,execution,qwen2.5-coder:7b,0.4000,0.732,0.5000,293000000,293000000,1.0000,0.5000,false,,buffered,box,,34359738368,,,,0.32.15,16
    4,lookahead,false,true,1,context,openthinker3-7b,1.6000,0.183,0.5000,293000000,0,,,,,buffered,box,,34359738368,,,,0.32.15,16
    4,lookahead,false,true,2,execution,qwen2.5-coder:7b,0.4200,0.698,0.5000,293000000,293000000,1.0000,0.5000,false,,buffered,box,,34359738368,,,,0.32.15,16
    ");
}

#[test]
fn a_warm_cold_run_counts_nowhere_and_alone_it_claims_nothing() {
    let alone = comparison(vec![
        run(Manner::Cold, [(1600, 0), (1400, 200_000_000)]),
        run(Manner::Warm, [(400, SIZE), (400, SIZE)]),
    ]);
    for text in [table(&alone, &setting()), markdown(&alone, &setting())] {
        assert!(text.contains(NO_TWO_MANNERS), "{text}");
    }
    let said = json(&alone, &setting());
    assert_eq!((&said["totals"]["cold"], &said["cold_over_lookahead"]), (&Value::Null, &Value::Null));
    assert_eq!(said["runs"][0]["thrown_away"], json!("execution (qwen2.5-coder:7b): 69 % of it was in RAM"));
}

#[test]
fn a_script_gets_every_step_and_the_shares() {
    let said = json(&measured(), &setting());
    assert_eq!(said["steps"][1]["hidden_share"], json!(0.98));
    assert_eq!(said["swaps"]["cold"]["median_seconds"], json!(3.0));
    assert_eq!(said["lookahead_over_warm"], json!(1.05));
    assert_eq!(said["runs"][3]["steps"][1]["swap_seconds"], json!(0.42));
}
