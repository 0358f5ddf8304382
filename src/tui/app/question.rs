//! The question an act asks first: what it would take from the user that cannot be had again cheaply.

use super::App;
use super::act::is_busy;
use crate::config::Confirm;
use crate::residency::act::ActKind;
use crate::residency::flow::{Flow, FlowStep, StepState};
use crate::residency::guard::room::Room;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;
use crate::residency::text::printable;

impl App {
    /// The line that says what a load will displace: the server's own rules applied, so it is marked `~`.
    pub(super) fn plan(&self, model: &Model) -> Option<String> {
        let forecast = model.forecast.as_ref().filter(|forecast| !forecast.evicts.is_empty())?;
        let victims: Vec<String> = forecast.evicts.iter().map(|name| self.described(name)).collect();
        let why = printable(&forecast.why);
        Some(format!("~ evicts {} ({why})", victims.join(", ")))
    }

    fn described(&self, name: &ModelName) -> String {
        match self.server().and_then(|server| server.model(name)) {
            Some(model) if is_busy(model.state) => format!("{name}, which is busy"),
            found => match found.and_then(|model| self.pin_word(model)) {
                Some(word) => format!("{name}, which is {word}"),
                None => name.to_string(),
            },
        }
    }

    /// The question an act asks first, if it asks.
    pub(super) fn asks(&self, kind: ActKind, model: &Model) -> Option<String> {
        let name = &model.name;
        let risky = self.risky(kind, model);
        match self.settings.confirm {
            Confirm::Never => None,
            Confirm::Risky => risky,
            Confirm::Always => risky.or_else(|| {
                let verb = kind.verb();
                let plan = self.plan(model).map(|plan| format!("{verb} {name}: {plan}   go on?"));
                plan.or_else(|| Some(format!("{verb} {name}?")))
            }),
        }
    }

    /// What an act asks for that cannot be undone cheaply.
    pub(super) fn risky(&self, kind: ActKind, model: &Model) -> Option<String> {
        self.disturbs_models(kind, model).or_else(|| self.disturbs_flow(kind, model))
    }

    fn disturbs_models(&self, kind: ActKind, model: &Model) -> Option<String> {
        let name = &model.name;
        let precious = |model: &Model| self.pin_word(model).is_some() || is_busy(model.state);
        match kind {
            ActKind::Unload => self.why_to_stay(model).map(|why| format!("unload {name}, which {why}")),
            ActKind::Swap | ActKind::Load if model.forecast.is_none() && model.loaded.is_none() => {
                self.at_stake().map(|at_stake| {
                    let verb = kind.verb();
                    format!("{verb} {name}? what it evicts cannot be foreseen; {at_stake}   go on?")
                })
            }
            ActKind::Swap | ActKind::Load => model
                .forecast
                .iter()
                .flat_map(|forecast| &forecast.evicts)
                .filter_map(|victim| self.server()?.model(victim))
                .any(precious)
                .then(|| self.plan(model))
                .flatten()
                .map(|plan| format!("{} {name}: {plan}   go on?", kind.verb())),
            ActKind::Drop => Some(App::drop_question(model)),
            ActKind::Warm | ActKind::Hold => self.lock_question(&[model]),
            _ => None,
        }
    }

    /// Why a model is not to leave VRAM unasked, with the question mark.
    fn why_to_stay(&self, model: &Model) -> Option<String> {
        if let Some(flow) = self.at_work_with(model) {
            return Some(format!("{} works with?", printable(&flow.name)));
        }
        if is_busy(model.state) {
            return Some("is busy? its answer under way is finished first".to_owned());
        }
        self.pin_word(model).map(|word| format!("is {word}?"))
    }

    /// Why it is not to leave VRAM unasked: it is pinned or meant to be, or that was asked for here.
    fn pin_word(&self, model: &Model) -> Option<&'static str> {
        model.pin_word().or_else(|| self.is_being_pinned(model).then_some("being pinned"))
    }

    /// Whether a pin of that model waits or runs, or was asked for and no snapshot shows it yet.
    pub(super) fn is_being_pinned(&self, model: &Model) -> bool {
        let pins = |kind: ActKind| {
            kind == ActKind::Pin || matches!(kind, ActKind::KeepAlive(keep_alive) if keep_alive.is_forever())
        };
        let live = self.live_acts().map(|act| (act.kind, &act.model));
        let asked = self.asked.iter().map(|(_, kind, name)| (*kind, name));
        live.chain(asked)
            .any(|(kind, name)| pins(kind) && (*name == model.name || model.shared_with.contains(name)))
    }

    /// The workflow of ours whose step works with that model now, or makes it ready.
    fn at_work_with(&self, model: &Model) -> Option<&Flow> {
        let is_current = |step: &FlowStep| {
            matches!(step.state, StepState::Swapping(_) | StepState::Working(_))
                && (step.model == model.name || model.shared_with.contains(&step.model))
        };
        self.running_flow().filter(|flow| flow.steps.iter().any(is_current))
    }

    /// What the first risky one of several loads asks.
    pub(super) fn risk_of_loads<'a>(
        &self,
        kind: ActKind,
        models: impl IntoIterator<Item = &'a Model>,
    ) -> Option<String> {
        models.into_iter().filter(|model| !model.has_runner()).find_map(|model| self.risky(kind, model))
    }

    /// The loaded models that are pinned or busy, any of which a load that cannot be foreseen may evict.
    fn at_stake(&self) -> Option<String> {
        let models = &self.server()?.models;
        let at_stake: Vec<String> = models
            .iter()
            .filter(|model| model.has_runner())
            .filter_map(|model| match model.state {
                state if is_busy(state) => Some(format!("{} is busy", model.name)),
                _ => self.pin_word(model).map(|word| format!("{} is {word}", model.name)),
            })
            .collect();
        (!at_stake.is_empty()).then(|| at_stake.join(", "))
    }

    /// A `keep_alive` of zero is an unload and one without an end is a pin; they ask like those.
    pub(super) fn asks_keep_alive(&self, name: &ModelName, keep_alive: KeepAlive) -> Option<String> {
        let model = self.server()?.model(name)?;
        let unloads = keep_alive == KeepAlive::For(std::time::Duration::ZERO);
        if keep_alive.is_forever()
            && !model.pinned
            && self.settings.confirm != Confirm::Never
            && let Room::TooMuch(why) = self.room_for(model)
        {
            return Some(format!("pin {name} anyway? {why}"));
        }
        self.asks(if unloads { ActKind::Unload } else { ActKind::KeepAlive(keep_alive) }, model)
    }

    /// The question of a load while a workflow of ours is under way: the model that it works with may have to go.
    pub(super) fn disturbs_flow(&self, kind: ActKind, model: &Model) -> Option<String> {
        let loads = matches!(kind, ActKind::Swap | ActKind::Load) && !model.has_runner();
        let flow = self.running_flow().filter(|_| loads)?;
        let plan = match &model.forecast {
            Some(forecast) if forecast.evicts.is_empty() => return None,
            Some(_) => self.plan(model)?,
            None => "what it evicts cannot be foreseen".to_owned(),
        };
        let (flow, verb) = (printable(&flow.name), kind.verb());
        Some(format!("{flow} is under way; {verb} {}: {plan}   go on?", model.name))
    }
}
