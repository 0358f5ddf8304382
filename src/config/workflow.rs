//! `phases` and `workflows`: which model each step of the user's work needs.

use std::time::Duration;

use super::reader::{Fields, Reader};
use super::report::suggestion;
use super::tree::{Kind, Node};
use super::{Phase, Step, Work, Workflow};

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

/// What a step may have.
const KEYS: [&str; 8] =
    ["phase", "model", "num_ctx", "work", "prompt", "max_tokens", "command", "on_failure"];

/// A step: the name of a phase, or a map with it.
fn step(path: &str, node: &Node, reader: &mut Reader, phases: &[&str]) -> Option<Step> {
    let mut step =
        Step { phase: String::new(), model: None, num_ctx: None, work: None, on_failure: Vec::new() };
    let mut at = node.at;
    let mut key = path.to_owned();
    if matches!(node.kind, Kind::Map(_)) {
        let fields = reader.fields(path, node, &KEYS)?;
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
        step.num_ctx = reader.field(&fields, "num_ctx", Reader::num_ctx);
        step.work = work(&fields, reader);
        if let Some(node) = fields.get("on_failure") {
            step.on_failure = on_failure(&fields.path_of("on_failure"), node, reader, phases);
        }
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

/// What a step does: one of `work`, `prompt` and `command`.
fn work(fields: &Fields<'_>, reader: &mut Reader) -> Option<Work> {
    let given: Vec<_> = ["work", "prompt", "command"]
        .into_iter()
        .filter_map(|key| fields.get(key).map(|node| (key, node)))
        .collect();
    if let [(one, _), (other, node), ..] = given[..] {
        reader.wrong(
            node.at,
            &fields.path_of(other),
            format!("a step has one kind of work, and there is {one}"),
        );
        return None;
    }
    if let Some(node) = fields.get("max_tokens").filter(|_| fields.get("prompt").is_none()) {
        reader.wrong(node.at, &fields.path_of("max_tokens"), "only a prompt has tokens; the step has none");
    }
    let (key, node) = *given.first()?;
    let path = fields.path_of(key);
    match key {
        "work" => reader.duration(&path, node, Duration::ZERO).map(Work::For),
        "prompt" => {
            let most = |reader: &mut Reader, key: &str, node: &Node| reader.whole(key, node, 1, MOST_TOKENS);
            let max_tokens = reader.field(fields, "max_tokens", most);
            let text = reader.words(&path, node)?;
            if text.trim().is_empty() {
                reader.wrong(node.at, &path, "empty; write what the model is asked");
                return None;
            }
            Some(Work::Prompt { text, max_tokens })
        }
        _ => command(&path, node, reader).map(Work::Command),
    }
}

/// More tokens than any context holds.
const MOST_TOKENS: u64 = 1_000_000;

/// A program and its arguments. A text would have to be taken apart, as only a shell does.
fn command(path: &str, node: &Node, reader: &mut Reader) -> Option<Vec<String>> {
    let Kind::List(nodes) = &node.kind else {
        let message = "expected a list: the program and its arguments, such as [cargo, test]; no shell reads it \
                       unless it is named: [sh, -c, \"…\"]";
        reader.wrong(node.at, path, message);
        return None;
    };
    let argv = reader.texts(path, node)?;
    if nodes.is_empty() || argv[0].is_empty() {
        reader.wrong(node.at, path, "empty; name a program");
        return None;
    }
    if argv.iter().any(|text| text.contains('\0')) {
        reader.wrong(node.at, path, "a zero byte cannot stand in a command");
        return None;
    }
    Some(argv)
}

/// `on_failure`: steps, or one of them.
fn on_failure(path: &str, node: &Node, reader: &mut Reader, phases: &[&str]) -> Vec<Step> {
    let nodes = match &node.kind {
        Kind::List(nodes) => nodes.iter().collect(),
        _ => vec![node],
    };
    let mut steps = Vec::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(mut step) = step(&path, node, reader, phases) else { continue };
        if !std::mem::take(&mut step.on_failure).is_empty() {
            let message = "a step that runs on failure has none itself; write more steps behind it";
            reader.wrong(node.at, &format!("{path}.on_failure"), message);
        }
        steps.push(step);
    }
    steps
}
