//! `phases` and `workflows`: which model each step of the user's work needs.

use std::time::Duration;

use super::reader::Reader;
use super::report::suggestion;
use super::tree::{Kind, Node};
use super::{Phase, Step, Workflow};

/// `phases`: a name and its model, or a map with the model and the context it needs.
pub(super) fn phases(node: &Node, reader: &mut Reader) -> Vec<Phase> {
    let Some(all) = reader.map("phases", node) else { return Vec::new() };
    let mut phases = Vec::new();
    for entry in all.all() {
        let path = all.path_of(&entry.key);
        let (model, num_ctx) = if matches!(entry.value.kind, Kind::Map(_)) {
            let Some(fields) = reader.fields(&path, &entry.value, &["model", "num_ctx"]) else { continue };
            if fields.get("model").is_none() {
                reader.wrong(entry.at, &fields.path_of("model"), "missing; a phase needs a model");
            }
            (reader.field(&fields, "model", Reader::model), reader.field(&fields, "num_ctx", Reader::num_ctx))
        } else {
            (reader.model(&path, &entry.value), None)
        };
        if let Some(model) = model {
            reader.found(path, entry.at);
            phases.push(Phase { name: entry.key.clone(), model, num_ctx });
        }
    }
    phases
}

/// `workflows`: a name and its steps.
pub(super) fn workflows(node: &Node, reader: &mut Reader, phases: &[&str]) -> Vec<Workflow> {
    let Some(all) = reader.map("workflows", node) else { return Vec::new() };
    let mut workflows = Vec::new();
    for entry in all.all() {
        let path = all.path_of(&entry.key);
        let mut workflow = Workflow { name: entry.key.clone(), repeat: false, steps: Vec::new() };
        let (path, list) = if matches!(entry.value.kind, Kind::Map(_)) {
            let Some(fields) = reader.fields(&path, &entry.value, &["repeat", "steps"]) else { continue };
            reader.set(&mut workflow.repeat, &fields, "repeat", Reader::switch);
            let Some(steps) = fields.get("steps") else {
                reader.wrong(entry.at, &fields.path_of("steps"), "missing; a workflow needs steps");
                continue;
            };
            (fields.path_of("steps"), steps)
        } else {
            (path, &entry.value)
        };
        let Kind::List(nodes) = &list.kind else {
            reader.wrong(list.at, &path, "expected a list of steps");
            continue;
        };
        if nodes.is_empty() {
            reader.wrong(list.at, &path, "a workflow needs at least one step");
        }
        for (index, node) in nodes.iter().enumerate() {
            workflow.steps.extend(step(&format!("{path}[{index}]"), node, reader, phases));
        }
        reader.found(format!("workflows.{}", entry.key), entry.at);
        workflows.push(workflow);
    }
    workflows
}

/// A step: the name of a phase, or a map with it.
fn step(path: &str, node: &Node, reader: &mut Reader, phases: &[&str]) -> Option<Step> {
    let mut step = Step { phase: String::new(), model: None, num_ctx: None, work: None };
    let mut at = node.at;
    let mut key = path.to_owned();
    if matches!(node.kind, Kind::Map(_)) {
        let fields = reader.fields(path, node, &["phase", "model", "num_ctx", "work"])?;
        key = fields.path_of("phase");
        let Some(phase) = fields.get("phase") else {
            reader.wrong(at, &key, "missing; a step needs the name of its phase");
            return None;
        };
        at = phase.at;
        step.phase = reader.text(&key, phase)?;
        if let Some(node) = fields.get("model") {
            // One that is named and wrong is one problem, not also a phase without a model.
            step.model = Some(reader.model(&fields.path_of("model"), node)?);
        }
        step.num_ctx =
            fields.get("num_ctx").and_then(|node| reader.num_ctx(&fields.path_of("num_ctx"), node));
        step.work = fields
            .get("work")
            .and_then(|node| reader.duration(&fields.path_of("work"), node, Duration::ZERO));
    } else {
        step.phase = reader.text(path, node)?;
    }
    if step.model.is_none() && !phases.contains(&step.phase.as_str()) {
        let message =
            format!("no such phase, and the step names no model; {}", suggestion(&step.phase, phases));
        reader.wrong(at, &key, message);
        return None;
    }
    Some(step)
}
