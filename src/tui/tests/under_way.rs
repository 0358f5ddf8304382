//! While a workflow of ours is under way: what would take its step's model away asks, what cancels it, what its totals say.

use std::sync::Arc;

use super::flows::flow;
use super::phases::with_phases;
use crate::config::Confirm;
use crate::residency::act::{ActId, ActKind};
use crate::residency::expiry::Expiry;
use crate::residency::flow::{Flow, FlowState, StepState};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::{Loaded, Snapshot, State};
use crate::tui::action::Context;
use crate::tui::app::{App, Effect};
use crate::tui::fixture::{name, now, picture, press};

/// The workflow's third step works with the first model, which is in VRAM.
fn working(change: impl Fn(&mut Snapshot)) -> App {
    let mut app = with_phases(|snapshot| {
        let model = &mut snapshot.servers[0].models[0];
        model.state = State::Idle;
        model.loaded = Some(Loaded {
            size: model.size,
            size_vram: model.size,
            context: Some(4096),
            expiry: Expiry::Never,
            keep_alive: None,
            runner: None,
        });
        change(snapshot);
    });
    app.see_flow(Arc::new(flow()));
    app
}

#[test]
fn an_unload_of_the_model_that_a_step_works_with_asks() {
    let unload = |model: &str| Some(Effect::Act(ActKind::Unload, name(model)));
    let mut app = working(|_| ());
    assert_eq!(press(&mut app, "u"), None);
    let shown = picture(&app, 120, 24);
    assert!(shown.contains("unload openthinker3-7b, which react-dashboard works with?"), "{shown}");
    assert_eq!((press(&mut app, "n"), app.context()), (None, Context::Main));
    assert_eq!(press(&mut app, "u y"), unload("openthinker3-7b"));
    assert_eq!(press(&mut app, "j u"), unload("qwen2.5-coder:7b"), "a step before worked with that one");

    let mut swaps = working(|_| ());
    let mut flow = flow();
    flow.steps[2].state = StepState::Swapping(now());
    swaps.see_flow(Arc::new(flow.clone()));
    assert_eq!(press(&mut swaps, "u"), None);
    flow.steps[2].state = StepState::Done;
    press(&mut swaps, "n");
    swaps.see_flow(Arc::new(flow));
    assert_eq!(press(&mut swaps, "u"), unload("openthinker3-7b"), "between two steps");

    let mut never = working(|_| ());
    never.settings.confirm = Confirm::Never;
    assert_eq!(press(&mut never, "u"), unload("openthinker3-7b"));
}

#[test]
fn another_name_of_the_same_weights_asks_too() {
    let mut app = working(|snapshot| {
        let models = &mut snapshot.servers[0].models;
        models[1].shared_with = vec![models[0].name.clone()];
    });
    assert_eq!(press(&mut app, "j u"), None);
    assert_eq!(app.context(), Context::Confirm);
}

#[test]
fn a_keep_alive_of_nothing_asks_like_an_unload() {
    let mut app = working(|_| ());
    assert_eq!(press(&mut app, "K 0 enter"), None);
    assert!(picture(&app, 120, 24).contains("which react-dashboard works with?"));
    let none = ActKind::KeepAlive(KeepAlive::parse("0").unwrap());
    assert_eq!(press(&mut app, "y"), Some(Effect::Act(none, name("openthinker3-7b"))));
}

#[test]
fn a_load_in_the_place_of_a_warm_asks_as_any_load() {
    let mut app = working(|_| ());
    app.settings.preload.strategy = crate::config::Strategy::Request;
    assert_eq!(press(&mut app, "j j w"), None);
    let shown = picture(&app, 160, 24);
    assert!(shown.contains("load deepseek-r1:14b: ~ evicts qwen2.5-coder:7b"), "{shown}");
    press(&mut app, "n");
    assert_eq!(press(&mut app, "W"), None);
    let shown = picture(&app, 160, 24);
    assert!(shown.contains("load deepseek-r1:14b: ~ evicts qwen2.5-coder:7b"), "{shown}");
    assert!(matches!(press(&mut app, "y"), Some(Effect::Acts(ActKind::Load, models)) if models.len() == 3));
}

#[test]
fn what_cancels_everything_cancels_a_workflow_too() {
    let mut app = working(|_| ());
    assert_eq!(press(&mut app, "C"), Some(Effect::CancelAll));
    app.see_flow(Arc::new(Flow { state: FlowState::Cancelled, ..flow() }));
    assert_eq!(press(&mut app, "C"), None);
    assert_eq!(app.notice.as_deref(), Some("nothing of ours runs or waits"));
    app.asked.push((ActId(1), ActKind::Load, name("llama3.1:8b")));
    assert_eq!(press(&mut app, "C"), Some(Effect::CancelAll), "what was only just asked for");
    assert_eq!(press(&mut app, "j j j c"), Some(Effect::Cancel(name("llama3.1:8b"))));
}

#[test]
fn only_times_are_said_to_be_scaled_for_commands_and_prompts_take_what_they_take() {
    let total = |planned: [bool; 3]| {
        let mut flow = flow();
        flow.scale = 4;
        for (step, is_planned) in flow.steps.iter_mut().zip(planned) {
            step.planned = step.planned.filter(|_| is_planned);
        }
        flow.steps[3].planned = None;
        let mut app = with_phases(|_| ());
        app.see_flow(Arc::new(flow));
        let shown = picture(&app, 120, 30);
        let total = shown.lines().find(|line| line.starts_with(" work ")).unwrap().to_owned();
        total.split("   swaps").next().unwrap().to_owned()
    };
    assert_eq!(total([true, true, true]), " work 9.00 s at 1:4");
    assert_eq!(total([false, false, false]), " work 9.00 s");
    assert_eq!(total([true, false, true]), " work 9.00 s (3.00 s of it at 1:4)");
}
