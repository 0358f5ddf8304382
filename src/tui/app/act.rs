//! What each action does: what is refused, what asks first, what runs and says its plan in a line.

use super::{App, Ask, Effect, Layer, Prompt};
use crate::config::Confirm;
use crate::residency::act::{ActKind, ActState};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Reach, State};
use crate::residency::timing::Moment;
use crate::tui::Outcome;
use crate::tui::action::Action;
use crate::tui::format;

impl App {
    /// Carries out an action: changes the screen's state, and says what is to be done outside.
    pub fn act(&mut self, action: Action, now: Moment) -> Option<Effect> {
        self.notice = None;
        match action {
            Action::Down | Action::Up | Action::Top | Action::Bottom | Action::PageDown | Action::PageUp => {
                self.roam(action);
            }
            Action::Swap | Action::Load | Action::Unload | Action::Pin | Action::Touch => {
                return self.move_model(action);
            }
            Action::KeepAlive => self.ask_keep_alive(),
            Action::Warm | Action::Hold | Action::Drop => return self.move_in_ram(action),
            Action::WarmAll => return self.warm_all(),
            Action::Listed => return self.relist(),
            Action::Cancel => return self.cancel(),
            Action::CancelAll => return self.cancel_all(),
            Action::Sort => self.turn_sort(),
            Action::Filter => self.layer = Layer::Prompt(Prompt::filter(&self.filter)),
            Action::NextPanel => self.turn_panel(true),
            Action::PreviousPanel => self.turn_panel(false),
            Action::Setup => self.open_setup(),
            Action::Demo => self.ask_demo(),
            Action::Redraw => return Some(Effect::Redraw),
            Action::Help => self.layer = Layer::Help(0),
            Action::Back => self.back(),
            Action::Quit => return self.quit(now),
            Action::Suspend => return Some(Effect::Suspend),
            Action::Yes => return self.answer(),
            Action::No | Action::Close => self.layer = Layer::None,
            Action::Accept | Action::Dismiss | Action::Erase | Action::EraseAll => {
                return self.prompt(action);
            }
            Action::ScrollDown | Action::ScrollUp | Action::ScrollPageDown | Action::ScrollPageUp => {
                self.scroll(action);
            }
            Action::Choose => return self.write_config(),
        }
        None
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(text.into());
    }

    /// The selected model, if it may be moved at all; says why not otherwise.
    pub(super) fn movable(&mut self) -> Option<Model> {
        if self.settings.read_only {
            self.say("read-only: nothing is changed here; start without --read-only to act");
            return None;
        }
        let Some(model) = self.model().cloned() else {
            self.say("no model is selected");
            return None;
        };
        if model.state == State::Cloud || model.details.remote_host.is_some() {
            self.say(format!("{} runs in the cloud: it is never loaded or unloaded here", model.name));
            return None;
        }
        if !self.server().is_some_and(|server| matches!(server.reach, Reach::Up { .. } | Reach::Slow { .. }))
        {
            self.say("the server does not answer; it is asked again all the time");
            return None;
        }
        Some(model)
    }

    fn move_model(&mut self, action: Action) -> Option<Effect> {
        let model = self.movable()?;
        let name = &model.name;
        let is_loaded = model.loaded.is_some();
        let kind = match action {
            Action::Swap | Action::Load if is_loaded && model.state != State::Ghost => {
                self.say(format!("{name} is in VRAM already"));
                return None;
            }
            Action::Unload | Action::Pin | Action::Touch if !is_loaded => {
                self.say(match self.keymap.first(Action::Load) {
                    Some(key) => format!("{name} is not loaded; {key} loads it"),
                    None => format!("{name} is not loaded"),
                });
                return None;
            }
            Action::Swap => ActKind::Swap,
            Action::Load => ActKind::Load,
            Action::Unload => ActKind::Unload,
            Action::Pin if model.pinned => ActKind::Unpin,
            Action::Pin => ActKind::Pin,
            _ => ActKind::Touch,
        };
        if self.is_under_way(kind, name) {
            return None;
        }
        let effect = Effect::Act(kind, model.name.clone());
        if let Some(question) = self.asks(kind, &model) {
            self.layer = Layer::Ask(Ask { question, then: effect });
            return None;
        }
        if matches!(kind, ActKind::Swap | ActKind::Load) {
            self.plan = self.plan(&model).map(|plan| (model.name.clone(), plan));
        }
        Some(effect)
    }

    /// Whether the same act of that model runs or waits already; says so.
    pub(super) fn is_under_way(&mut self, kind: ActKind, name: &ModelName) -> bool {
        let is_so = self.live_act(name).is_some_and(|act| act.kind == kind);
        if is_so {
            self.say(format!("{} {name} is under way already", kind.verb()));
        }
        is_so
    }

    /// The line that says what a load will displace: the server's own rules applied, so it is marked `~`.
    fn plan(&self, model: &Model) -> Option<String> {
        let forecast = model.forecast.as_ref().filter(|forecast| !forecast.evicts.is_empty())?;
        let victims: Vec<String> = forecast.evicts.iter().map(|name| self.described(name)).collect();
        let why = crate::residency::text::printable(&forecast.why);
        Some(format!("~ evicts {} ({why})", victims.join(", ")))
    }

    fn described(&self, name: &ModelName) -> String {
        match self.server().and_then(|server| server.model(name)) {
            Some(model) if model.pinned => format!("{name}, which is pinned"),
            Some(model) if is_busy(model.state) => format!("{name}, which is busy"),
            _ => name.to_string(),
        }
    }

    /// The question an act asks first, if it asks.
    pub(super) fn asks(&self, kind: ActKind, model: &Model) -> Option<String> {
        let name = &model.name;
        let precious = |model: &Model| model.pinned || is_busy(model.state);
        let risky = match kind {
            ActKind::Unload if model.pinned => Some(format!("unload {name}, which is pinned?")),
            ActKind::Unload if is_busy(model.state) => {
                Some(format!("unload {name}, which is busy? its answer under way is finished first"))
            }
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
        };
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

    /// The loaded models that are pinned or busy, any of which a load that cannot be foreseen may evict.
    fn at_stake(&self) -> Option<String> {
        let models = &self.server()?.models;
        let at_stake: Vec<String> = models
            .iter()
            .filter(|model| model.loaded.is_some() && model.state != State::Ghost)
            .filter_map(|model| match model.state {
                state if is_busy(state) => Some(format!("{} is busy", model.name)),
                _ => model.pinned.then(|| format!("{} is pinned", model.name)),
            })
            .collect();
        (!at_stake.is_empty()).then(|| at_stake.join(", "))
    }

    /// A `keep_alive` of zero is an unload, and asks like one.
    pub(super) fn asks_keep_alive(&self, name: &ModelName, keep_alive: KeepAlive) -> Option<String> {
        let model = self.server()?.model(name)?;
        let unloads = keep_alive == KeepAlive::For(std::time::Duration::ZERO);
        self.asks(if unloads { ActKind::Unload } else { ActKind::KeepAlive(keep_alive) }, model)
    }

    fn ask_keep_alive(&mut self) {
        let Some(model) = self.movable() else { return };
        match &model.loaded {
            None => self.say(format!("{} is not loaded; a keep_alive counts only in VRAM", model.name)),
            Some(loaded) => {
                self.layer = Layer::Prompt(Prompt::keep_alive(model.name.clone(), loaded.keep_alive));
            }
        }
    }

    fn cancel(&mut self) -> Option<Effect> {
        let name = self.selected.clone()?;
        if self.live_act(&name).is_some() {
            return Some(Effect::Cancel(name));
        }
        self.say(format!("nothing of ours runs or waits for {name}"));
        None
    }

    fn cancel_all(&mut self) -> Option<Effect> {
        if self.live_acts().next().is_some() {
            return Some(Effect::CancelAll);
        }
        self.say("nothing of ours runs or waits");
        None
    }

    fn open_setup(&mut self) {
        if self.server().is_none_or(|server| server.models.is_empty()) {
            self.say("a config is proposed from the models that are installed: none is known yet");
            return;
        }
        match (self.settings.propose)(&self.snapshot) {
            Ok(proposal) => self.layer = Layer::Setup(proposal, 0),
            Err(why) => self.say(why),
        }
    }

    fn write_config(&mut self) -> Option<Effect> {
        let Layer::Setup(proposal, _) = &self.layer else { return None };
        if proposal.exists {
            let said = format!("{} is there already and is never overwritten", proposal.path.display());
            self.say(said);
            return None;
        }
        if self.settings.read_only {
            self.say("read-only: nothing is written");
            return None;
        }
        Some(Effect::Leave(Outcome::WriteConfig { path: proposal.path.clone(), text: proposal.text.clone() }))
    }

    fn ask_demo(&mut self) {
        if !self.offers_demo() {
            self.say("the demo is offered when no server answers; `resident --demo` starts it at any time");
            return;
        }
        let Some((place, size)) = &self.settings.demo_place else { return };
        let place = place.display();
        let question = if size.0 == 0 {
            format!("start the demo? its files are in {place} already; `resident demo --clean` removes them")
        } else {
            format!(
                "start the demo? it writes {size} of model files to {place}; `resident demo --clean` removes them"
            )
        };
        self.layer = Layer::Ask(Ask { question, then: Effect::Leave(Outcome::Demo) });
    }

    fn answer(&mut self) -> Option<Effect> {
        match std::mem::replace(&mut self.layer, Layer::None) {
            Layer::Ask(ask) => Some(ask.then),
            _ => None,
        }
    }

    /// Leaves; while an act of ours runs it asks once, and a second `q` is a yes.
    fn quit(&mut self, now: Moment) -> Option<Effect> {
        let leave = Effect::Leave(Outcome::Quit { message: self.what_stays() });
        let asked = matches!(&self.layer, Layer::Ask(ask) if ask.then == leave);
        let unseen = self.asked.last().filter(|_| !asked);
        if let Some((_, kind, model)) = unseen {
            // Asked for in the same breath: no snapshot has it yet.
            let question = format!("{} {model} was only just asked for. leave?", kind.verb());
            self.layer = Layer::Ask(Ask { question, then: leave });
            return None;
        }
        let Some(act) = self.live_acts().last().filter(|_| !asked) else { return Some(leave) };
        let (verb, model) = (act.kind.verb(), &act.model);
        let question = match act.state {
            ActState::Running { since, .. } if matches!(act.kind, ActKind::Load | ActKind::Swap) => format!(
                "{verb} {model} runs for {}; leaving aborts it. leave?",
                format::running(now.since(since.mono))
            ),
            ActState::Running { .. } if act.kind.is_of_ram() => {
                format!("{verb} {model} is under way; leaving ends it, what is in RAM stays. leave?")
            }
            ActState::Running { .. } => format!("{verb} {model} is under way. leave without seeing its end?"),
            _ => format!("{verb} {model} still waits and will not be done. leave?"),
        };
        self.layer = Layer::Ask(Ask { question, then: leave });
        None
    }

    /// What stays as it is after we are gone.
    fn what_stays(&self) -> Option<String> {
        let pinned: Vec<String> = self
            .server()?
            .models
            .iter()
            .filter(|model| model.pinned && model.loaded.is_some())
            .map(|model| model.name.to_string())
            .collect();
        match pinned.as_slice() {
            [] => None,
            [one] => Some(format!("{one} stays pinned")),
            many => Some(format!("{} stay pinned", many.join(", "))),
        }
    }
}

fn is_busy(state: State) -> bool {
    matches!(state, State::Busy | State::BusyOrUnloading)
}
