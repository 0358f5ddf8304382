//! The panel of a workflow that runs: its timeline, its clocks and keys; and an agent's run.

use std::sync::Arc;
use std::time::Duration;

use super::phases::with_phases;
use crate::engine::flow::Control;
use crate::residency::bytes::{Bytes, GB};
use crate::residency::flow::{Ahead, AheadDid, Flow, FlowState, FlowStep, Manner, StepState};
use crate::residency::record::{Past, PhaseRecord, Run};
use crate::residency::snapshot::Snapshot;
use crate::residency::swap::{Before, Plan, Stages, Swapping};
use crate::tui::action::Context;
use crate::tui::app::{App, Effect};
use crate::tui::fixture::{after, drawn, name, now, picture, press, usual, wall};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn step(phase: &str, model: &str, state: StepState) -> FlowStep {
    FlowStep {
        phase: phase.into(),
        model: name(model),
        on_failure: false,
        state,
        swap: None,
        swapping: None,
        work: None,
        planned: Some(ms(3000)),
        tokens: None,
        last: None,
        warming: None,
    }
}

/// The sketch's workflow, 9.7 s after its beginning: verification has worked for 0.7 s.
pub(super) fn flow() -> Flow {
    let stages = Stages {
        unload: Some(ms(140)),
        card_free: Some(ms(210)),
        load: Some(ms(380)),
        total: Some(ms(520)),
        ..Stages::default()
    };
    let before = Before { whole: Bytes(5 * GB), ram: Some(Bytes(5 * GB)), ..Before::default() };
    let plan = Plan { before, ..Plan::default() };
    let swapping = Swapping { plan, stages, stage: None, ended: None, went: Some(Vec::new()) };
    let began = after(-10);
    let mut context = step("context", "openthinker3-7b", StepState::Done);
    context.work = Some((Duration::ZERO, ms(3000)));
    context.last = Some((Duration::ZERO, ms(3010)));
    let mut execution = step("execution", "qwen2.5-coder:7b", StepState::Done);
    execution.swap = Some((ms(3000), ms(520)));
    execution.work = Some((ms(3520), ms(5000)));
    execution.last = Some((ms(4800), ms(5000)));
    execution.swapping = Some(Arc::new(swapping));
    let mut verification = step("verification", "openthinker3-7b", StepState::Working(after(-1)));
    verification.swap = Some((ms(8520), ms(480)));
    verification.work = Some((ms(9000), Duration::ZERO));
    verification.planned = Some(ms(2000));
    let mut debugging = step("debugging", "deepseek-r1:14b", StepState::Waiting);
    debugging.on_failure = true;
    debugging.warming = Some(71);
    Flow {
        name: "react-dashboard".into(),
        run: 2,
        of: 3,
        manner: Manner::Lookahead,
        began,
        state: FlowState::Running,
        steps: vec![context, execution, verification, debugging],
        work: ms(9000),
        swaps: ms(1000),
        hidden: (Bytes(9 * GB), ms(4900)),
        ahead: vec![
            Ahead { during: 0, model: name("qwen2.5-coder:7b"), did: AheadDid::Kept },
            Ahead {
                during: 1,
                model: name("deepseek-r1:14b"),
                did: AheadDid::Warmed { read: Bytes(9 * GB), took: ms(4900) },
            },
            Ahead {
                during: 2,
                model: name("llama3.1:8b"),
                did: AheadDid::Refused { why: "2.1 GB more than the budget".into() },
            },
        ],
        last: Some(ms(21_900)),
        scale: 1,
    }
}

fn flowing(change: impl Fn(&mut Flow)) -> App {
    let mut app = with_phases(|_| ());
    let mut flow = flow();
    change(&mut flow);
    app.see_flow(Arc::new(flow));
    app
}

/// An agent's run whose last phase was told so many seconds ago.
pub(super) fn agent(seconds: i64, last: &str) -> Snapshot {
    let mut snapshot = usual();
    let phase = |at: i64, phase: &str, model: &str, swap| {
        let record = PhaseRecord {
            run: "ticket-17".into(),
            phase: phase.into(),
            model: (!phase.is_empty()).then(|| name(model)),
            next: None,
            swap: ms(swap),
        };
        (wall(at), record)
    };
    let run = Run {
        run: "ticket-17".into(),
        phases: vec![
            phase(-seconds - 12, "context", "openthinker3-7b", 0),
            phase(-seconds - 7, "execution", "openthinker3-7b", 600),
            phase(-seconds, last, "qwen2.5-coder:7b", 500),
        ],
    };
    snapshot.past = Arc::new(Past { runs: vec![run], ..Past::default() });
    snapshot
}

#[test]
fn a_workflow_is_live_beside_the_table_at_80_by_24() {
    insta::assert_snapshot!(picture(&flowing(|_| ()), 80, 24), @r"
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

     react-dashboard   10 s   run 2 of 3   lookahead              swap   work   last
     context       openthinker3-7b   ━━━━                                3.00   3.01
     execution     qwen2.5-coder:7b      ▚━━━━━                   0.52   5.00   9.80
     verification  openthinker3-7b             ▚╸                 0.48    1.0
     debugging     deepseek-r1:14b   warming ▒▒▒▒▒▒▒░░░ 71 %
     work 9.00 s   swaps 1.00 s   disk time hidden by lookahead 4.90 s

     12:04:27  openthinker3-7b     evicted: made room for qwen2.5-coder:7b
     12:04:27  qwen2.5-coder:7b    loading
     12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s

     enter swap   l load   tab panel   / filter   q quit   o sort   ? help
    ");
}

#[test]
fn with_the_keys_the_panel_of_a_workflow_has_room_for_what_lookahead_did() {
    let mut app = flowing(|_| ());
    press(&mut app, "tab tab");
    insta::assert_snapshot!(picture(&app, 80, 24), @r"
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

     react-dashboard   10 s   run 2 of 3   lookahead              swap   work   last
     context       openthinker3-7b   ━━━━                                3.00   3.01
     execution     qwen2.5-coder:7b      ▚━━━━━                   0.52   5.00   9.80
     verification  openthinker3-7b             ▚╸                 0.48    1.0
     debugging     deepseek-r1:14b   warming ▒▒▒▒▒▒▒░░░ 71 %
     execution     unload 0.14 │ card free 0.21 │ RAM 100 % │ load 0.38 = 0.52 s
     verification  meanwhile llama3.1:8b   not read ahead: 2.1 GB more than the bud…
     execution     meanwhile deepseek-r1:14b   read 9.0 GB in 4.90 s   1.8 GB/s
     context       meanwhile in RAM already: qwen2.5-coder:7b
     work 9.00 s   swaps 1.00 s   disk time hidden by lookahead 4.90 s
     12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s
     space pause   n skip   F failed   c cancel   esc back   tab panel   ? help
    ");
    insta::assert_snapshot!(picture(&app, 40, 12), @r"
    127.0.0.1:11434   ● 2 ms         12:04
    VRAM █ qwen ██▓█▓▚         5.7/8.0 GiB
    RAM  ▓▓▚▒▒▒▒▒▒ ▒···      19.2/31.0 GiB
    react-dashboard   10 s      swap   work
    context     ━━                     3.00
    execution     ▚━━           0.52   5.00
    verificat…       ▚╸         0.48    1.0
    debugging   ▒▒▒▒▒▒▒ 71 %
    execution   unload 0.14 │ card free 0.…
    work 9.00 s   swaps 1.00 s   hidden 4.…
    12:04:31  qwen2.5-coder…  loaded in 0.…
    space pause   n skip   ? help
    ");
    assert_eq!(app.context(), Context::Flow);
    press(&mut app, "j j");
    assert!(!picture(&app, 40, 12).contains("context   "), "{}", picture(&app, 40, 12));
}

#[test]
fn on_a_wide_screen_all_of_it_stands_below_the_table() {
    let shown = picture(&flowing(|_| ()), 160, 50);
    let panel: Vec<_> =
        shown.lines().skip(12).take(10).map(|line| line.chars().take(106).collect::<String>()).collect();
    insta::assert_snapshot!(panel.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n"), @r"
    react-dashboard   10 s   run 2 of 3   lookahead   last 21.9 s                          swap   work   last
    context       openthinker3-7b   ━━━━━━━                                                       3.00   3.01
    execution     qwen2.5-coder:7b         ▚━━━━━━━━━━━━                                   0.52   5.00   9.80
    verification  openthinker3-7b                       ▚━━╸                               0.48    1.0
    debugging     deepseek-r1:14b   only if verification fails   warming ▒▒▒▒▒▒▒░░░ 71 %
    execution     unload 0.14 │ card free 0.21 │ RAM 100 % │ load 0.38 = 0.52 s
    verification  meanwhile llama3.1:8b   not read ahead: 2.1 GB more than the budget
    execution     meanwhile deepseek-r1:14b   read 9.0 GB in 4.90 s   1.8 GB/s
    context       meanwhile in RAM already: qwen2.5-coder:7b
    work 9.00 s   swaps 1.00 s   disk time hidden by lookahead 4.90 s
    ");
}

#[test]
fn how_a_workflow_and_its_steps_ended_is_said() {
    let title = |state: FlowState| {
        let shown = picture(&flowing(|flow| flow.state = state.clone()), 100, 24);
        shown.lines().find(|line| line.contains("react-dashboard")).unwrap()[..70].trim().to_owned()
    };
    assert_eq!(title(FlowState::Paused), "react-dashboard   paused   run 2 of 3   lookahead   last 21.9 s");
    assert!(title(FlowState::Done { took: ms(11_230) }).contains("done in 11.2 s"));
    assert!(title(FlowState::Failed { why: "out of memory".into() }).contains("failed: out of memory"));
    assert!(title(FlowState::Cancelled).contains("cancelled"));
    let app = flowing(|flow| {
        flow.steps[2].state = StepState::Failed { why: "exit 1".into() };
        flow.steps[3].state = StepState::Skipped;
        flow.steps[3].warming = None;
        flow.steps[0].state = StepState::Skipped;
        flow.steps[0].work = None;
        flow.steps[1].tokens = Some((212, ms(90)));
        flow.scale = 16;
    });
    let shown = picture(&app, 160, 50);
    for words in ["failed: exit 1", "not needed", "skipped", "212 tokens, first after 0.09 s", " at 1:16"] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}

#[test]
fn a_workflow_reads_in_ascii_and_nothing_hostile_gets_out_of_it() {
    let mut app = flowing(|_| ());
    app.settings.ascii = true;
    let shown = picture(&app, 80, 24);
    assert!(shown.is_ascii() && shown.contains("x-----") && shown.contains("x>"), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains("=======... 71 %")).count(), 1, "{shown}");
}

#[test]
fn its_clocks_ask_for_frames_only_while_they_run() {
    let app = flowing(|_| ());
    assert_eq!(app.next_tick(now()), Some(ms(100)));
    // Ten seconds later only whole seconds are shown.
    assert_eq!(app.next_tick(after(10)), Some(ms(1000)));
    let still = |state: FlowState| {
        let mut app = flowing(|flow| {
            flow.state = state.clone();
            flow.steps[2].state = StepState::Done;
        });
        let mut snapshot = usual();
        snapshot.servers[0].models.iter_mut().for_each(|model| model.loaded = None);
        app.see(Arc::new(snapshot));
        app.next_tick(now())
    };
    assert_eq!(still(FlowState::Done { took: ms(11_000) }), None);
    assert_eq!(still(FlowState::Paused), None);
}

#[test]
fn a_tenth_of_a_second_changes_little_of_it() {
    let app = flowing(|_| ());
    let at = |millis| {
        let mut at = now();
        at.mono += ms(millis);
        drawn(&app, 80, 24, at)
    };
    let changed = at(0).diff_iter(&at(100)).count();
    assert!((1..=4).contains(&changed), "{changed}");
}

#[test]
fn the_keys_of_a_workflow_steer_it_while_its_panel_has_them() {
    let mut app = flowing(|_| ());
    assert_eq!(press(&mut app, "n"), None);
    press(&mut app, "tab tab");
    for (key, control) in
        [("space", Control::Pause), ("n", Control::Skip), ("F", Control::Fail), ("c", Control::Cancel)]
    {
        assert_eq!(press(&mut app, key), Some(Effect::Control(control)), "{key}");
    }
    assert!(press(&mut app, "u").is_none() && app.notice.as_deref().unwrap().contains("is not loaded"));
    let footer = picture(&app, 80, 24).lines().last().unwrap().to_owned();
    assert!(footer.starts_with(" space pause   n skip   F failed   c cancel"), "{footer}");
    app.see_flow(Arc::new(Flow { state: FlowState::Paused, ..flow() }));
    assert!(picture(&app, 80, 24).lines().last().unwrap().starts_with(" space go on"));
    app.see_flow(Arc::new(Flow { state: FlowState::Cancelled, ..flow() }));
    assert_eq!((app.context(), press(&mut app, "space")), (Context::Main, None));
    press(&mut app, "esc esc");
    assert!(app.flow.is_none(), "an ended one is put away");
}

#[test]
fn on_a_small_screen_a_workflow_has_what_the_table_leaves_free_or_one_row() {
    let shown = picture(&flowing(|_| ()), 60, 12);
    assert!(shown.contains("react-dashboard   verification works   10 s"), "{shown}");
    let shown = picture(&flowing(|_| ()), 40, 10);
    assert!(shown.contains("react-dash…   verification works   10 s"), "{shown}");
    let shown = picture(&flowing(|flow| flow.state = FlowState::Paused), 60, 15);
    assert!(shown.contains("react-dashboard   paused"), "{shown}");
}

#[test]
fn why_a_workflow_failed_is_said_whole_once_and_not_again_after_a_key() {
    let mut app = flowing(|_| ());
    let failed = Flow { state: FlowState::Failed { why: "verification: exit status 3".into() }, ..flow() };
    app.see_flow(Arc::new(failed.clone()));
    assert_eq!(app.notice.as_deref(), Some("react-dashboard failed: verification: exit status 3"));
    press(&mut app, "j");
    app.see_flow(Arc::new(failed));
    assert_eq!(app.notice, None);
}

#[test]
fn a_workflow_that_begins_takes_the_keys_and_who_leaves_it_is_told_what_is_waited_for() {
    let mut app = flowing(|_| ());
    app.begin_job();
    app.see_flow(Arc::new(flow()));
    assert_eq!(app.context(), Context::Flow);
    app.leave_once_over();
    assert!(picture(&app, 80, 24).contains("react-dashboard: leaving once what it began has ended, 3 s"));
    assert_eq!(press(&mut app, "q"), None);
    assert!(picture(&app, 80, 24).contains("leaving once"), "a second q asks nothing");
}

#[test]
fn leaving_while_a_workflow_runs_asks_once() {
    let mut app = flowing(|_| ());
    assert_eq!(press(&mut app, "q"), None);
    assert!(picture(&app, 80, 24).contains("react-dashboard is under way; leaving cancels it. leave?"));
    assert!(matches!(press(&mut app, "q"), Some(Effect::Leave(_))));
    let mut over = flowing(|flow| flow.state = FlowState::Cancelled);
    assert!(matches!(press(&mut over, "q"), Some(Effect::Leave(_))));
}

#[test]
fn writing_a_config_while_a_workflow_runs_asks_first_since_it_ends_the_screen() {
    let written = |effect: &Option<Effect>| {
        matches!(effect, Some(Effect::Leave(crate::tui::Outcome::WriteConfig { .. })))
    };
    let mut app = flowing(|_| ());
    assert_eq!(press(&mut app, "I enter"), None);
    let shown = picture(&app, 80, 24);
    assert!(shown.contains("writing it ends this screen: react-dashboard is under way"), "{shown}");
    assert_eq!(press(&mut app, "n"), None);
    let effect = press(&mut app, "I enter y");
    assert!(written(&effect), "{effect:?}");
    let effect = press(&mut flowing(|flow| flow.state = FlowState::Cancelled), "I enter");
    assert!(written(&effect), "{effect:?}");
}

#[test]
fn a_work_that_took_no_time_after_a_swap_that_fills_the_line_leaves_the_figures_in_their_place() {
    let shown = picture(
        &flowing(|flow| {
            flow.steps.truncate(1);
            flow.state = FlowState::Failed { why: "context: no such file".into() };
            flow.steps[0].state = StepState::Failed { why: "no such file".into() };
            flow.steps[0].swap = Some((Duration::ZERO, ms(120)));
            flow.steps[0].work = Some((ms(120), ms(1)));
        }),
        80,
        24,
    );
    assert!(shown.lines().any(|line| line.contains("context ") && line.contains("0.12   0.00")), "{shown}");
}
