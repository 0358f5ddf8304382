//! Phases and workflows: the keys that make a phase's model ready, choose a workflow and steer the one that runs.

use std::borrow::Cow;
use std::time::Duration;

use super::act::is_busy;
use super::{App, Ask, Effect, Layer, Panel, agent};
use crate::config::{Confirm, Workflow};
use crate::engine::flow::Control;
use crate::residency::act::ActKind;
use crate::residency::flow::{Flow, FlowState, StepState};
use crate::residency::name::ModelName;
use crate::residency::swap::Wish;
use crate::residency::text::printable;
use crate::residency::timing::Moment;

/// What the panel of a workflow shows.
pub(crate) struct Shown<'a> {
    pub(crate) flow: Cow<'a, Flow>,
    /// Whose run it is, if not ours: as its phases were told, only to be looked at.
    pub(crate) whose: Option<&'static str>,
    /// The model that it worked with has left VRAM.
    pub(crate) left: Option<agent::Left>,
}

impl App {
    /// Makes the model of that phase ready.
    pub(super) fn ready_phase(&mut self, number: u8) -> Option<Effect> {
        let Some(phase) = self.settings.phases.get(usize::from(number) - 1).cloned() else {
            self.say(match self.settings.phases.len() {
                0 => "the config names no phases".to_owned(),
                known => format!("there is no phase {number}: the config names {known}"),
            });
            return None;
        };
        self.movable_at_all()?;
        let name = printable(&phase.name).into_owned();
        let Some(model) = self.server().and_then(|server| server.model(&phase.model)).cloned() else {
            self.say(format!("{name}: {} is not installed", phase.model));
            return None;
        };
        if !self.moves(&model) || self.is_under_way(ActKind::Swap, &model.name) {
            return None;
        }
        let wish = Wish { num_ctx: phase.num_ctx, ..Wish::default() };
        let effect = Effect::Swap(model.name.clone(), wish);
        let Some(is) = model.loaded.as_ref().filter(|_| model.has_runner()) else {
            return self.go(ActKind::Swap, &model, effect);
        };
        let larger = phase.num_ctx.zip(is.context).filter(|(wanted, is)| wanted > is);
        let Some((wanted, is)) = larger else {
            self.say(format!("{name}: {} is in VRAM already", model.name));
            return self.go(ActKind::Swap, &model, effect);
        };
        let is_used = match self.running_flow() {
            _ if is_busy(model.state) => Some("is busy".to_owned()),
            Some(flow) if flow.steps.iter().any(|step| step.model == model.name) => {
                Some(format!("{} uses", printable(&flow.name)))
            }
            _ => None,
        };
        if let Some(is_used) = is_used.filter(|_| self.settings.confirm != Confirm::Never) {
            let question =
                format!("{name}: load {}, which {is_used}, anew with context {is} → {wanted}?", model.name);
            self.layer = Layer::Ask(Ask { question, then: effect });
            return None;
        }
        self.say(format!("{name}: {} is loaded anew, context {is} → {wanted}", model.name));
        self.go(ActKind::Swap, &model, effect)
    }

    /// Shows the workflows to choose from.
    pub(super) fn open_flows(&mut self) {
        if self.settings.workflows.is_empty() {
            self.say("the config names no workflows");
            return;
        }
        self.layer = Layer::Flows(0);
    }

    /// The models that a workflow needs, each once; those of a step's phase where the step names none.
    pub(crate) fn models_of<'a>(&'a self, workflow: &'a Workflow) -> Vec<&'a ModelName> {
        let mut models = Vec::new();
        for step in workflow.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.on_failure)) {
            let of_phase = || self.settings.phases.iter().find(|phase| phase.name == step.phase);
            let model = step.model.as_ref().or_else(|| of_phase().map(|phase| &phase.model));
            models.extend(model.filter(|model| !models.contains(model)));
        }
        models
    }

    /// Runs the selected workflow; asks first where a pinned or busy model would go for one of its own.
    pub(super) fn choose_flow(&mut self, selected: usize) -> Option<Effect> {
        let workflow = self.settings.workflows.get(selected)?.clone();
        self.may_run()?;
        let name = printable(&workflow.name).into_owned();
        let server = self.server();
        let models = self.models_of(&workflow).into_iter().filter_map(|model| server?.model(model));
        let risk = self.risk_of_loads(ActKind::Swap, models);
        let question = match self.settings.confirm {
            Confirm::Never => None,
            Confirm::Risky => risk.map(|risk| format!("{name}: {risk}")),
            Confirm::Always => {
                Some(risk.map_or_else(|| format!("run {name}?"), |risk| format!("{name}: {risk}")))
            }
        };
        let then = Effect::Flow(workflow);
        let Some(question) = question else {
            self.layer = Layer::None;
            return Some(then);
        };
        self.layer = Layer::Ask(Ask { question, then });
        None
    }

    /// Whether a workflow can be started now; says why not otherwise.
    pub(super) fn may_run(&mut self) -> Option<()> {
        self.movable_at_all()?;
        if let Some(running) = self.running_flow() {
            let name = printable(&running.name).into_owned();
            self.say(format!("{name} is under way: one workflow at a time"));
            return None;
        }
        self.answers().then_some(())
    }

    /// Tells the workflow that runs what to do.
    pub(super) fn control(&mut self, control: Control) -> Option<Effect> {
        if self.running_proof().is_some() {
            return self.control_proof(control);
        }
        if self.running_flow().is_none() {
            self.say("no workflow runs");
            return None;
        }
        Some(Effect::Control(control))
    }

    /// The workflow of ours that runs or is paused.
    pub(crate) fn running_flow(&self) -> Option<&Flow> {
        self.flow.as_deref().filter(|flow| matches!(flow.state, FlowState::Running | FlowState::Paused))
    }

    /// The workflow that the panel shows, where no measurement does: ours, else an agent's run that is not over.
    pub(crate) fn shown_flow(&self, now: Moment) -> Option<Shown<'_>> {
        if self.proof.is_some() {
            return None;
        }
        if let Some(flow) = &self.flow {
            return Some(Shown { flow: Cow::Borrowed(flow), whose: None, left: None });
        }
        let run = agent::live(&self.snapshot.past, self.put_away, now)?;
        let left = agent::left(run, &self.snapshot);
        let flow = Cow::Owned(agent::as_flow(run, left.as_ref(), now));
        Some(Shown { flow, whose: Some(agent::whose(run)), left })
    }

    /// How soon the panel's clocks show another figure; `None` where none runs.
    pub(super) fn flow_tick(&self, now: Moment) -> Option<Duration> {
        let shown = self.shown_flow(now)?;
        let flow = &shown.flow;
        let step = flow.steps.iter().find_map(|step| match step.state {
            StepState::Swapping(since) | StepState::Working(since) => Some(now.since(since.mono)),
            _ => None,
        });
        let whole = (flow.state == FlowState::Running).then(|| now.since(flow.began.mono));
        // Tenths are shown of the first ten seconds, whole seconds after.
        let tick = |clock: Duration| {
            let step = Duration::from_millis(if clock < Duration::from_secs(10) { 100 } else { 1000 });
            let into = clock.as_millis() % step.as_millis();
            step.saturating_sub(Duration::from_millis(u64::try_from(into).unwrap_or(0)))
        };
        step.into_iter().chain(whole).map(tick).min()
    }

    /// Takes the newest state of a workflow of ours. Why one failed is said whole: its title has no room for that.
    pub(crate) fn see_flow(&mut self, flow: std::sync::Arc<Flow>) {
        let ended_now = self.flow.as_ref().is_none_or(|before| !before.state.is_over());
        if let FlowState::Failed { why } = &flow.state
            && ended_now
        {
            self.notice = Some(format!("{} failed: {why}", flow.name));
        }
        self.flow = Some(flow);
    }

    /// Puts a workflow or a measurement that has ended away.
    pub(super) fn close_flow(&mut self) {
        if !self.is_running() {
            (self.flow, self.proof) = (None, None);
            self.put_away = agent::last_end(&self.snapshot.past);
            self.flow_down = 0;
        }
    }

    /// Whether the panel of a workflow can have the keys now.
    pub(super) fn has_flow(&self) -> bool {
        self.flow.is_some()
            || self.proof.is_some()
            || agent::live(&self.snapshot.past, self.put_away, self.snapshot.at).is_some()
    }

    /// Whether that panel has the keys, and they steer a workflow or a measurement of ours.
    pub(super) fn steers(&self) -> bool {
        self.panel == Panel::Flow && self.is_running()
    }

    /// Whether a workflow or a measurement of ours runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running_flow().is_some() || self.running_proof().is_some()
    }
}
