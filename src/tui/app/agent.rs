//! An agent's run on the screen: its phases, as they were told, as the steps of a workflow.

use std::time::Duration;

use jiff::Timestamp;

use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::flow::{Flow, FlowState, FlowStep, Manner, StepState};
use crate::residency::name::ModelName;
use crate::residency::record::{Past, PhaseRecord, Run};
use crate::residency::snapshot::{Snapshot, State};
use crate::residency::timing::Moment;

/// A run whose last phase is older is shown no longer: its agent has gone without a word.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// A run that is over is shown for so long, that its end is seen.
const OVER: Duration = Duration::from_secs(10);

/// Phases that are shown, the latest: an agent may go on for hours.
const SHOWN: usize = 8;

/// The newest run that is not over, or only just; none that ended before what was put away.
pub(super) fn live(past: &Past, put_away: Option<Timestamp>, now: Moment) -> Option<&Run> {
    past.runs.iter().find(|run| {
        run.phases.last().is_some_and(|(at, phase)| {
            let age = between(*at, now.wall).saturating_sub(phase.swap);
            if phase.phase.is_empty() {
                age < OVER && run.phases.len() > 1 && put_away.is_none_or(|put_away| *at > put_away)
            } else {
                age < FORGOTTEN
            }
        })
    })
}

/// When the last of the runs that are over ended.
pub(super) fn last_end(past: &Past) -> Option<Timestamp> {
    let last = past.runs.iter().filter_map(|run| run.phases.last());
    last.filter(|(_, phase)| phase.phase.is_empty()).map(|(at, _)| *at).max()
}

/// What a run is called, and whose it is: a workflow's is its name and when it began.
fn named(run: &str) -> (String, &'static str) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match run.rsplit_once('-') {
        Some((name, began)) if began.len() >= 13 && is_number(began) && !name.is_empty() => {
            (name.to_owned(), "another instance's run")
        }
        _ if is_number(run) => (format!("run {run}"), AGENT),
        _ => (run.to_owned(), AGENT),
    }
}

const AGENT: &str = "an agent's run";

/// Whose run that is.
pub(super) fn whose(run: &Run) -> &'static str {
    named(&run.run).1
}

/// The model of the phase that was told last is no longer in VRAM: nobody works with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) model: ModelName,
    /// When it left, where that was seen.
    pub(crate) at: Option<Timestamp>,
}

/// Whether the model of a run's last phase has left VRAM since it was told.
pub(super) fn left(run: &Run, snapshot: &Snapshot) -> Option<Left> {
    let (at, phase) = run.phases.last().filter(|(_, phase)| !phase.phase.is_empty())?;
    let ready = at.checked_add(phase.swap).ok()?;
    let name = phase.model.as_ref()?;
    let server = snapshot.servers.first()?;
    // What the server said before is no word about it.
    server.ps_at.filter(|ps| ps.wall > ready)?;
    let model = server.model(name)?;
    if model.has_runner() || matches!(model.state, State::Loading { .. } | State::Cloud) {
        return None;
    }
    let left = snapshot.events.iter().rev().find(|event| {
        let leaves = matches!(
            event.what,
            What::Unloaded { .. }
                | What::Evicted { .. }
                | What::Expired
                | What::Left
                | What::RunnerDied
                | What::LostWithServer
        );
        leaves && event.model.as_ref() == Some(name) && event.at.wall >= ready
    });
    Some(Left { model: name.clone(), at: left.map(|event| event.at.wall) })
}

/// From one moment on the wall to another; nothing if it lies ahead.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The run as a workflow: what one phase took is the time until the next one was told, or until its model left.
pub(super) fn as_flow(run: &Run, left: Option<&Left>, now: Moment) -> Flow {
    let first = run.phases.first().map_or(now.wall, |(at, _)| *at);
    let moment = |at: Timestamp| Moment {
        mono: now.mono.checked_sub(between(at, now.wall)).unwrap_or(now.mono),
        wall: at,
    };
    let mut steps: Vec<FlowStep> = Vec::new();
    for (i, (at, phase)) in run.phases.iter().enumerate().filter(|(_, (_, phase))| !phase.phase.is_empty()) {
        let next = run.phases.get(i + 1).map(|(at, _)| *at);
        let ends = match left {
            Some(left) if next.is_none() => left.at,
            _ => Some(next.unwrap_or(now.wall)),
        };
        let offset = between(first, *at);
        let work = ends.map(|ends| between(*at, ends).saturating_sub(phase.swap));
        steps.push(FlowStep {
            phase: phase.phase.clone(),
            model: model(phase),
            on_failure: false,
            state: match next {
                None if left.is_none() => StepState::Working(Moment {
                    mono: moment(*at).mono + phase.swap,
                    wall: at.checked_add(phase.swap).unwrap_or(*at),
                }),
                _ => StepState::Done,
            },
            swap: Some((offset, phase.swap)),
            swapping: None,
            work: work.map(|work| (offset + phase.swap, work)),
            planned: None,
            tokens: None,
            last: None,
            warming: None,
        });
    }
    let total = |part: fn(&FlowStep) -> Option<(Duration, Duration)>| {
        steps.iter().filter_map(part).map(|(_, took)| took).sum()
    };
    let state = match run.phases.last() {
        Some((at, phase)) if phase.phase.is_empty() => FlowState::Done { took: between(first, *at) },
        // Nobody said that it is over, and nothing of it is seen.
        _ if left.is_some() => FlowState::Paused,
        _ => FlowState::Running,
    };
    Flow {
        name: named(&run.run).0,
        run: 1,
        of: 1,
        manner: Manner::Lookahead,
        began: moment(first),
        state,
        work: total(|step| step.work),
        swaps: total(|step| step.swap),
        steps: steps.split_off(steps.len().saturating_sub(SHOWN)),
        hidden: (Bytes::ZERO, Duration::ZERO),
        ahead: Vec::new(),
        last: None,
        scale: 1,
    }
}

/// The phase's model; one that was not told has no name.
fn model(phase: &PhaseRecord) -> ModelName {
    phase.model.clone().unwrap_or_else(|| ModelName::from_server("?"))
}
