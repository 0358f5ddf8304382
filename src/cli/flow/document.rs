//! A run for a script: an object a line for each step as it ends, and one for the run.

use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::status::{SCHEMA_VERSION, one_line, script_name, seconds};
use crate::config::{Work, Workflow};
use crate::residency::flow::{Ahead, AheadDid, Flow, FlowState, FlowStep, StepState};
use crate::residency::swap::Stages;
use crate::residency::workflow::Task;

/// That there are none.
pub(super) fn none() -> String {
    one_line(&json!({"schema_version": SCHEMA_VERSION, "workflows": []}))
}

/// A workflow of the config.
pub(super) fn workflow(workflow: &Workflow, tasks: &[Task]) -> String {
    let step = |task: &Task| {
        let work = match &task.work {
            None => Value::Null,
            Some(Work::For(time)) => json!({"seconds": seconds(*time)}),
            Some(Work::Prompt { text, max_tokens }) => json!({"prompt": text, "max_tokens": max_tokens}),
            Some(Work::Command(argv)) => json!({"command": argv}),
        };
        json!({
            "phase": task.phase,
            "model": script_name(&task.model),
            "num_ctx": task.num_ctx,
            "work": work,
            "on_failure": task.on_failure,
        })
    };
    one_line(&json!({
        "schema_version": SCHEMA_VERSION,
        "workflow": workflow.name,
        "repeat": workflow.repeat,
        "steps": tasks.iter().map(step).collect::<Vec<_>>(),
    }))
}

/// A step that has ended.
pub(super) fn step(flow: &Flow, step: &FlowStep) -> String {
    let (outcome, error) = match &step.state {
        StepState::Failed { why } => ("failed", Some(why)),
        StepState::Skipped => ("skipped", None),
        _ => ("done", None),
    };
    let took = |span: Option<_>| span.map(|(_, took)| seconds(took));
    let mut object = json!({
        "schema_version": SCHEMA_VERSION,
        "event": "step",
        "workflow": flow.name,
        "run": flow.run,
        "manner": flow.manner.word(),
        "phase": step.phase,
        "model": script_name(&step.model),
        "on_failure": step.on_failure,
        "outcome": outcome,
        "swap_seconds": took(step.swap),
        "work_seconds": took(step.work),
    });
    if let Some(error) = error {
        object["error"] = error.clone().into();
    }
    if let Some((tokens, first)) = step.tokens {
        (object["tokens"], object["first_token_seconds"]) = (tokens.into(), seconds(first));
    }
    if let Some(swapping) = &step.swapping {
        object["stages"] = stages(&swapping.stages);
    }
    one_line(&object)
}

fn stages(stages: &Stages) -> Value {
    json!({
        "waited_seconds": stages.waited.map(seconds),
        "unload_seconds": stages.unload.map(seconds),
        "gone_seconds": stages.gone.map(seconds),
        "card_free_seconds": stages.card_free.map(seconds),
        "read_bytes": stages.read,
        "read_seconds": stages.read_took.map(seconds),
        "load_seconds": stages.load.map(seconds),
        "server_load_seconds": stages.server_load.map(seconds),
        "total_seconds": stages.total.map(seconds),
    })
}

/// The whole run.
pub(super) fn run(flow: &Flow, exit: Exit) -> String {
    let (outcome, error) = match &flow.state {
        FlowState::Done { .. } => ("done", None),
        FlowState::Failed { why } => ("failed", Some(why)),
        FlowState::Cancelled | FlowState::Running | FlowState::Paused => ("cancelled", None),
    };
    let mut object = json!({
        "schema_version": SCHEMA_VERSION,
        "event": "run",
        "workflow": flow.name,
        "run": flow.run,
        "of": flow.of,
        "manner": flow.manner.word(),
        "scale": flow.scale,
        "outcome": outcome,
        "exit_code": exit as u8,
        "work_seconds": seconds(flow.work),
        "swap_seconds": seconds(flow.swaps),
        "hidden_bytes": flow.hidden.0,
        "hidden_seconds": seconds(flow.hidden.1),
        "ahead": flow.ahead.iter().map(|did| ahead(flow, did)).collect::<Vec<_>>(),
    });
    if let FlowState::Done { took } = flow.state {
        object["took_seconds"] = seconds(took);
    }
    if let Some(error) = error {
        object["error"] = error.clone().into();
    }
    one_line(&object)
}

fn ahead(flow: &Flow, ahead: &Ahead) -> Value {
    let during = flow.steps.get(ahead.during).map(|step| step.phase.as_str());
    let mut object = json!({"during": during, "model": script_name(&ahead.model)});
    match &ahead.did {
        AheadDid::Warmed { read, took } => {
            object["did"] = "warmed".into();
            (object["read_bytes"], object["read_seconds"]) = (json!(read), seconds(*took));
        }
        AheadDid::Kept => object["did"] = "kept".into(),
        AheadDid::Refused { why } => {
            (object["did"], object["error"]) = ("refused".into(), why.clone().into());
        }
    }
    object
}
