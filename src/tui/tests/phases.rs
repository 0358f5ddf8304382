//! Phases and workflows: the keys that make a phase's model ready, and the choice of a workflow.

use std::sync::Arc;

use super::flows::flow;
use crate::config::{Confirm, Phase, Step, Workflow};
use crate::residency::snapshot::{Snapshot, State};
use crate::residency::swap::Wish;
use crate::tui::action::Context;
use crate::tui::app::{App, Effect};
use crate::tui::fixture::{app, name, picture, press, usual};

/// The usual models, with the phases and a workflow of the idea.
pub(super) fn with_phases(change: impl Fn(&mut Snapshot)) -> App {
    let mut snapshot = usual();
    change(&mut snapshot);
    let mut app = app(snapshot);
    let phase = |text: &str, model: &str, num_ctx| Phase { name: text.into(), model: name(model), num_ctx };
    app.settings.phases = vec![
        phase("context", "openthinker3-7b", None),
        phase("execution", "qwen2.5-coder:7b", Some(8192)),
        phase("debugging", "deepseek-r1:14b", None),
        phase("review", "phi4:14b", None),
    ];
    app.settings.workflows = ["react-dashboard", "agent-loop"].map(workflow).into();
    app
}

fn workflow(text: &str) -> Workflow {
    let step = |phase: &str, model: Option<&str>| Step {
        phase: phase.into(),
        model: model.map(name),
        num_ctx: None,
        work: None,
        on_failure: Vec::new(),
    };
    let mut steps = vec![step("context", None), step("execution", None)];
    if text == "agent-loop" {
        steps.extend([step("debugging", None), step("review", Some("phi4:14b"))]);
    }
    Workflow { name: text.into(), repeat: text == "agent-loop", steps }
}

#[test]
fn a_workflow_is_chosen_from_a_page_and_run_or_compared() {
    let mut app = with_phases(|snapshot| {
        snapshot.servers[0].models[0].forecast.as_mut().unwrap().evicts.clear();
    });
    press(&mut app, "f");
    insta::assert_snapshot!(picture(&app, 60, 16), @r"
     127.0.0.1:11434   ● 2 ms        preload 2/3 in RAM   12:04
     VRAM RTX 2070  ██ qwen 4.9 ███▓▓█▓▚            5.7/8.0 GiB
     RAM            ▓▓▓▓▚▒▒▒ ▒▒▒ ▒▒▒ ▒····        19.2/31.0 GiB

    ▸  react-dashboard   2 models
         context → execution
       agent-loop   4 models
         context → execution → debugging → review → and again
         not installed: phi4:14b






     enter run   b compare   j down   k up   esc close
    ");
    assert_eq!(press(&mut app, "enter"), Some(Effect::Flow(workflow("react-dashboard"))));
    assert_eq!(press(&mut app, "f b"), None);
    assert!(picture(&app, 120, 24).contains("runs react-dashboard 12 times with its work"));
    assert_eq!(press(&mut app, "y"), Some(Effect::Compare(workflow("react-dashboard"))));
    assert_eq!(press(&mut app, "f esc"), None);
    assert_eq!(app.context(), Context::Main);
}

#[test]
fn a_workflow_asks_where_a_pinned_model_would_go_and_runs_one_at_a_time() {
    let mut app = with_phases(|_| ());
    assert_eq!(press(&mut app, "f j enter"), None);
    let shown = picture(&app, 120, 24);
    assert!(shown.contains("agent-loop: swap deepseek-r1:14b: ~ evicts"), "{shown}");
    assert_eq!(press(&mut app, "y"), Some(Effect::Flow(workflow("agent-loop"))));
    app.see_flow(Arc::new(flow()));
    assert_eq!(press(&mut app, "f enter"), None);
    assert_eq!(app.notice.as_deref(), Some("react-dashboard is under way: one workflow at a time"));
    let mut none = crate::tui::fixture::app(usual());
    assert_eq!(
        (press(&mut none, "f"), none.notice.as_deref()),
        (None, Some("the config names no workflows"))
    );
    let mut never = with_phases(|_| ());
    never.settings.confirm = Confirm::Never;
    assert!(press(&mut never, "f j enter").is_some());
    never.settings.read_only = true;
    assert_eq!(press(&mut never, "f j enter"), None);
}

#[test]
fn a_number_makes_that_phase_s_model_ready_with_the_context_it_needs() {
    let swap = |model: &str, num_ctx| Some(Effect::Swap(name(model), Wish { num_ctx, ..Wish::default() }));
    let mut app = with_phases(|_| ());
    assert_eq!(press(&mut app, "1"), swap("openthinker3-7b", None));
    assert!(picture(&app, 120, 24).contains("~ evicts qwen2.5-coder:7b"));
    assert_eq!(press(&mut app, "2"), swap("qwen2.5-coder:7b", Some(8192)));
    assert_eq!(
        app.notice.as_deref(),
        Some("execution: qwen2.5-coder:7b is loaded anew, context 4096 → 8192")
    );
    assert_eq!(press(&mut app, "3"), None);
    assert!(picture(&app, 80, 24).contains("nomic-embed-text, which is"), "a pinned one would go");
    assert_eq!(press(&mut app, "y"), swap("deepseek-r1:14b", None));
    for (key, said) in
        [("4", "review: phi4:14b is not installed"), ("9", "there is no phase 9: the config names 4")]
    {
        assert_eq!((press(&mut app, key), app.notice.as_deref()), (None, Some(said)));
    }
    app.settings.phases[1].num_ctx = None;
    assert_eq!(press(&mut app, "2"), swap("qwen2.5-coder:7b", None));
    assert_eq!(app.notice.as_deref(), Some("execution: qwen2.5-coder:7b is in VRAM already"));
    let mut busy = with_phases(|snapshot| snapshot.servers[0].models[1].state = State::Busy);
    assert_eq!(press(&mut busy, "2"), None);
    let question = "execution: load qwen2.5-coder:7b, which is busy, anew with context 4096 → 8192?";
    assert!(picture(&busy, 120, 24).contains(question), "{}", picture(&busy, 120, 24));
}

#[test]
fn while_a_workflow_is_under_way_a_phase_that_takes_its_model_away_asks() {
    let swap = |model: &str, num_ctx| Some(Effect::Swap(name(model), Wish { num_ctx, ..Wish::default() }));
    let mut app = with_phases(|_| ());
    app.see_flow(Arc::new(flow()));
    assert_eq!(press(&mut app, "1"), None);
    let shown = picture(&app, 160, 24);
    assert!(
        shown.contains("react-dashboard is under way; swap openthinker3-7b: ~ evicts qwen2.5-coder:7b"),
        "{shown}"
    );
    assert_eq!(press(&mut app, "y"), swap("openthinker3-7b", None));
    assert_eq!(press(&mut app, "2"), None);
    let shown = picture(&app, 160, 24);
    assert!(shown.contains("qwen2.5-coder:7b, which react-dashboard uses, anew with context"), "{shown}");
    press(&mut app, "n");

    let mut room = with_phases(|snapshot| {
        snapshot.servers[0].models[0].forecast.as_mut().unwrap().evicts.clear();
    });
    room.see_flow(Arc::new(flow()));
    assert_eq!(press(&mut room, "1"), swap("openthinker3-7b", None), "nothing goes for it");
    let mut never = with_phases(|_| ());
    never.settings.confirm = Confirm::Never;
    never.see_flow(Arc::new(flow()));
    assert_eq!(press(&mut never, "1"), swap("openthinker3-7b", None));
}

#[test]
fn the_help_page_and_a_wide_footer_say_which_phases_there_are() {
    let mut app = with_phases(|_| ());
    let footer = picture(&app, 160, 24).lines().last().unwrap().to_owned();
    assert!(footer.contains("1 context   2 execution   3 debugging   4 review"), "{footer}");
    press(&mut app, "?");
    let shown = picture(&app, 80, 120);
    assert!(
        shown.contains("2           phase_2          make ready: execution, qwen2.5-coder:7b"),
        "{shown}"
    );
    assert!(!shown.contains("phase_5"), "{shown}");
}
