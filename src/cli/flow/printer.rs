//! A run for a person: a line for each step as it ends, what is under way on stderr, and the sum.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use super::relay::Relay;
use super::{Request, document};
use crate::cli::Exit;
use crate::cli::out::Out;
use crate::cli::ready::down;
use crate::config::{Work, Workflow};
use crate::engine::flow::Output;
use crate::residency::flow::{Ahead, AheadDid, Flow, FlowState, FlowStep, Manner, StepState};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;
use crate::residency::workflow::Task;

/// A workflow and its steps, in a line.
pub(super) fn workflow(workflow: &Workflow, tasks: &[Task]) -> String {
    let mut line = format!("{}  ", printable(&workflow.name));
    for (at, task) in tasks.iter().enumerate() {
        let before = match (at, task.on_failure) {
            (0, _) => " ",
            (_, true) => "  on failure ",
            (_, false) => ", ",
        };
        let _ = write!(line, "{before}{} ({})", printable(&task.phase), task.model);
    }
    if workflow.repeat {
        line.push_str("   repeats");
    }
    line
}

/// Says what is new of a run.
pub(super) struct Printer<'a> {
    request: &'a Request,
    tasks: Vec<Task>,
    /// What was said last of each step.
    told: Vec<Told>,
    /// Which run this is was said.
    begun: bool,
    /// How many lines of lookahead's table were said.
    ahead: usize,
    /// How far the commands' output is passed on.
    relay: Relay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Told {
    Nothing,
    Swapping,
    Working,
    Ended,
}

impl Printer<'_> {
    pub(super) fn new(request: &Request, tasks: Vec<Task>) -> Printer<'_> {
        let told = vec![Told::Nothing; tasks.len()];
        Printer { request, tasks, told, begun: false, ahead: 0, relay: Relay::default() }
    }

    /// Says what has changed since the last call.
    pub(super) fn show(&mut self, flow: &Flow, out: &mut Out<'_>) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) && flow.of > 1 {
            self.remark(&format!("run {} of {}", flow.run, flow.of), out);
        }
        for (at, step) in flow.steps.iter().enumerate() {
            let now = match step.state {
                StepState::Waiting => Told::Nothing,
                // Whether there is anything to make ready is known with the plan.
                StepState::Swapping(_) if step.swapping.is_none() => Told::Nothing,
                StepState::Swapping(_) => Told::Swapping,
                StepState::Working(_) => Told::Working,
                StepState::Done | StepState::Failed { .. } | StepState::Skipped => Told::Ended,
            };
            if self.told[at] == now {
                continue;
            }
            let before = std::mem::replace(&mut self.told[at], now);
            // What came and went between two looks is said all the same.
            let is_away = step.swapping.as_ref().is_some_and(|swapping| !swapping.plan.before.in_vram);
            if before < Told::Swapping && is_away {
                self.remark(&format!("{}: makes {} ready", printable(&step.phase), step.model), out);
            }
            if now == Told::Working || (before < Told::Working && step.work.is_some()) {
                self.remark(&works(step, &self.tasks[at], flow.scale), out);
            }
            if now == Told::Ended {
                for line in self.relay.end(at) {
                    self.remark(&format!("  | {line}"), out);
                }
            }
            // One that was not needed has nothing to say.
            if now == Told::Ended && step.state != StepState::Skipped {
                out.result(&if self.request.json { document::step(flow, step) } else { line(flow, step) })?;
            }
        }
        for ahead in flow.ahead.iter().skip(self.ahead) {
            self.remark(&words(ahead), out);
        }
        self.ahead = flow.ahead.len();
        Ok(())
    }

    /// Passes on what the step's command says.
    pub(super) fn said(&mut self, output: &Output, out: &mut Out<'_>) {
        for line in self.relay.take(output) {
            self.remark(&format!("  | {line}"), out);
        }
    }

    /// Says how the run ended.
    pub(super) fn end(&self, flow: &Flow, snapshot: &Snapshot, out: &mut Out<'_>) -> io::Result<Exit> {
        let exit = match flow.state {
            FlowState::Done { .. } => Exit::Done,
            FlowState::Failed { .. } if down(snapshot).is_some() => Exit::NoServer,
            _ => Exit::Failed,
        };
        if self.request.json {
            out.result(&document::run(flow, exit))?;
        }
        match &flow.state {
            FlowState::Done { took } if !self.request.json => out.result(&sum(flow, *took))?,
            FlowState::Done { .. } | FlowState::Running | FlowState::Paused => {}
            FlowState::Failed { why } => {
                out.remark(&format!("{} failed: {}", printable(&flow.name), printable(why)));
            }
            FlowState::Cancelled => out.remark(&format!("cancelled; {}", left(flow, snapshot))),
        }
        Ok(exit)
    }

    /// Who reads JSON wants no progress.
    fn remark(&self, text: &str, out: &mut Out<'_>) {
        if !self.request.json {
            out.remark(text);
        }
    }
}

/// What a step works at.
fn works(step: &FlowStep, task: &Task, scale: u64) -> String {
    let phase = printable(&step.phase);
    match &task.work {
        None => format!("{phase}: nothing to do"),
        Some(Work::For(time)) => {
            let written = match time.as_secs() {
                0..60 => format!("{} s", time.as_secs_f64()),
                _ => KeepAlive::For(*time).to_string(),
            };
            let scaled = step.planned.filter(|_| scale > 1);
            let scaled = scaled.map_or_else(String::new, |time| format!(" at 1:{scale} = {}", seconds(time)));
            format!("{phase}: work {written}{scaled}")
        }
        Some(Work::Prompt { max_tokens: Some(most), .. }) => {
            format!("{phase}: asks {}, {most} tokens at most", step.model)
        }
        Some(Work::Prompt { .. }) => format!("{phase}: asks {}", step.model),
        Some(Work::Command(argv)) => format!("{phase}: runs {}", printable(&argv.join(" "))),
    }
}

/// A step that has ended.
fn line(flow: &Flow, step: &FlowStep) -> String {
    let widest = |text: fn(&FlowStep) -> usize| flow.steps.iter().map(text).max().unwrap_or_default();
    let phases = widest(|step| step.phase.chars().count());
    let models = widest(|step| step.model.to_string().chars().count());
    let mut line = format!("{:phases$}   {:models$}", printable(&step.phase), step.model.to_string());
    if let Some((_, took)) = step.swap {
        let _ = write!(line, "   swap {}", seconds(took));
    }
    if let Some((_, took)) = step.work {
        let _ = write!(line, "   work {}", seconds(took));
    }
    if let Some((tokens, first)) = step.tokens {
        let _ = write!(line, "   {tokens} tokens, the first after {}", seconds(first));
    }
    if let StepState::Failed { why } = &step.state {
        let _ = write!(line, "   failed: {}", printable(why));
    }
    line
}

fn words(ahead: &Ahead) -> String {
    let model = &ahead.model;
    match &ahead.did {
        AheadDid::Warmed { read, took } => format!("  ahead: {model} read, {read} in {}", seconds(*took)),
        AheadDid::Kept => format!("  ahead: {model} is in RAM and stays"),
        AheadDid::Refused { why } => format!("  ahead: {model} is not read: {}", printable(why)),
    }
}

fn sum(flow: &Flow, took: Duration) -> String {
    let mut sum =
        format!("total {}   work {}   swaps {}", seconds(took), seconds(flow.work), seconds(flow.swaps));
    if flow.manner == Manner::Lookahead {
        let _ = write!(sum, "   disk time hidden by lookahead {}", seconds(flow.hidden.1));
    }
    if let Some(last) = flow.last {
        let _ = write!(sum, "   last run {}", seconds(last));
    }
    sum
}

/// Where the workflow's models are when it was cancelled.
fn left(flow: &Flow, snapshot: &Snapshot) -> String {
    let models = snapshot.servers.iter().flat_map(|server| &server.models);
    let ours: Vec<_> =
        models.filter(|model| flow.steps.iter().any(|step| step.model == model.name)).collect();
    let names = |texts: Vec<String>| if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") };
    let vram = ours.iter().filter(|model| model.has_runner()).map(|model| model.name.to_string());
    let ram = ours.iter().filter_map(|model| {
        let percent = model.cached.bytes()?.percent_of(model.size);
        (percent > 0 && !model.has_runner()).then(|| format!("{} {percent} %", model.name))
    });
    format!("left in VRAM: {}; in RAM: {}", names(vram.collect()), names(ram.collect()))
}

/// A time with as many digits as can be meant.
fn seconds(time: Duration) -> String {
    let time = time.as_secs_f64();
    if time < 1.0 { format!("{time:.2} s") } else { format!("{time:.1} s") }
}
