//! The proof: the keys that measure a model cold and warm or compare a workflow's manners, and what they ask first.

use std::sync::Arc;

use super::{App, Ask, Effect, Layer, Panel};
use crate::config::Confirm;
use crate::engine::flow::Control;
use crate::residency::bench::{self, Bench, BenchState, Kind, RUNS, why_not_here, why_not_measured};
use crate::residency::compare::{self, Comparison};
use crate::residency::name::ModelName;
use crate::residency::text::printable;
use crate::tui::Outcome;
use crate::tui::action::Action;

/// A measurement of ours.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// Of a model's loads.
    Bench(Arc<Bench>),
    /// Of a workflow's manners.
    Comparison(Arc<Comparison>),
}

impl Proof {
    /// How far it is.
    pub(crate) fn state(&self) -> &BenchState {
        match self {
            Proof::Bench(bench) => &bench.state,
            Proof::Comparison(comparison) => &comparison.state,
        }
    }

    /// What it is called in a sentence.
    pub(crate) fn name(&self) -> String {
        match self {
            Proof::Bench(bench) => {
                let names: Vec<String> = bench.models.iter().map(ToString::to_string).collect();
                format!("bench {}", names.join(", "))
            }
            Proof::Comparison(comparison) => format!("compare {}", printable(&comparison.name)),
        }
    }
}

impl App {
    /// Measures the selected model; it unloads all and drops caches, so it asks.
    pub(super) fn bench(&mut self) -> Option<Effect> {
        let model = self.movable()?;
        self.may_measure(std::slice::from_ref(&model.name))?;
        let models = [model.name.clone()];
        let question = bench::question(self.server()?, &models, &Kind::PLAIN, RUNS);
        self.measure(&question, Effect::Bench(model.name))
    }

    /// Compares the selected workflow; it unloads all and drops caches, so it asks.
    pub(super) fn compare(&mut self) -> Option<Effect> {
        let Layer::Flows(selected) = self.layer else { return None };
        let workflow = self.settings.workflows.get(selected)?.clone();
        self.may_run()?;
        let models: Vec<ModelName> = self.models_of(&workflow).into_iter().cloned().collect();
        self.may_measure(&models)?;
        let question = compare::question(self.server()?, &workflow.name, &models, RUNS);
        self.measure(&question, Effect::Compare(workflow))
    }

    fn measure(&mut self, question: &str, then: Effect) -> Option<Effect> {
        if self.settings.confirm == Confirm::Never {
            self.layer = Layer::None;
            return Some(then);
        }
        self.layer = Layer::Ask(Ask { question: format!("{question}. go on?"), then });
        None
    }

    /// Whether these models can be measured now; says why not otherwise.
    fn may_measure(&mut self, models: &[ModelName]) -> Option<()> {
        let server = self.server()?;
        let why_not = |name: &ModelName| match server.model(name) {
            None => Some(format!("{name} is not installed on this server")),
            Some(model) => why_not_measured(model).map(|why| format!("{name} {why}")),
        };
        let running = || Some(format!("{} is under way; measure when it is over", self.running_flow()?.name));
        let act = || {
            let act = self.live_acts().last()?;
            Some(format!("{} {} is under way; measure when it is over", act.kind.verb(), act.model))
        };
        let asked = || {
            let (_, kind, model) = self.asked.last()?;
            Some(format!("{} {model} was only just asked for; measure when it is over", kind.verb()))
        };
        let why = why_not_here(server).map(ToOwned::to_owned);
        let why =
            why.or_else(|| models.iter().find_map(why_not)).or_else(running).or_else(act).or_else(asked);
        if let Some(why) = why {
            self.say(why);
            return None;
        }
        self.answers().then_some(())
    }

    /// Whether nothing is measured, which what moves models would disturb; says so otherwise.
    pub(super) fn measures_nothing(&mut self) -> Option<()> {
        let Some(proof) = self.running_proof() else { return Some(()) };
        let name = proof.name();
        self.say(match self.keymap.first(Action::CancelFlow) {
            Some(key) => format!("{name} is under way and would be disturbed; {key} in its panel ends it"),
            None => format!("{name} is under way and would be disturbed"),
        });
        None
    }

    /// Tells the measurement that runs what to do.
    pub(super) fn control_proof(&mut self, control: Control) -> Option<Effect> {
        match (control, self.running_proof()?.state()) {
            (Control::Cancel, BenchState::PuttingBack) => self.say("what was loaded is being put back"),
            (Control::Cancel, _) => return Some(Effect::Control(control)),
            _ => self.say("a measurement runs from its beginning to its end, or is cancelled"),
        }
        None
    }

    /// The measurement that runs or puts back what it found.
    pub(crate) fn running_proof(&self) -> Option<&Proof> {
        self.proof.as_ref().filter(|proof| !proof.state().is_over())
    }

    /// Shows a workflow or a measurement that begins, and gives its panel the keys.
    pub(crate) fn begin_job(&mut self) {
        self.flow = None;
        self.flow_down = 0;
        self.panel = Panel::Flow;
    }

    /// How the screen ends after a measurement: what is pinned again was not while it ran.
    pub(crate) fn after_proof(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Quit { .. } => Outcome::Quit { message: self.what_stays() },
            outcome => outcome,
        }
    }

    /// The screen ends once what runs is over: says what is waited for.
    pub(crate) fn leave_once_over(&mut self) {
        self.leaving = true;
        self.notice = Some(match self.running_flow() {
            Some(flow) => {
                let name = printable(&flow.name);
                format!("{name}: leaving once what it began has ended, 3 s at most")
            }
            None => "putting back what was loaded; then it leaves".to_owned(),
        });
    }

    /// The question before leaving while something is measured.
    pub(super) fn leaves_proof(&self) -> Option<String> {
        let proof = self.running_proof()?;
        Some(match proof.state() {
            _ if self.leaving => "what was loaded is not all back yet. leave it so?".to_owned(),
            BenchState::PuttingBack => {
                "what was loaded is being put back. leave once that is done?".to_owned()
            }
            _ => format!(
                "{} is under way; leaving cancels it and puts back what was loaded. leave?",
                proof.name()
            ),
        })
    }
}
