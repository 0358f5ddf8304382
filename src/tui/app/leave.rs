//! Leaving the screen: what is asked first, what is said of what stays, and what is started instead of it.

use super::{App, Ask, Effect, Layer};
use crate::config::OnExit;
use crate::residency::act::{ActKind, ActState};
use crate::residency::guard::Keeper;
use crate::residency::name::ModelName;
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::Outcome;
use crate::tui::action::Action;
use crate::tui::format;

impl App {
    pub(super) fn open_setup(&mut self) {
        if self.server().is_none_or(|server| server.models.is_empty()) {
            self.say("a config is proposed from the models that are installed: none is known yet");
            return;
        }
        match (self.settings.propose)(&self.snapshot) {
            Ok(proposal) => self.layer = Layer::Setup(proposal, 0),
            Err(why) => self.say(why),
        }
    }

    /// Leaves to write what is proposed; what runs here would end with the screen, so it asks first.
    pub(super) fn write_config(&mut self, now: Moment) -> Option<Effect> {
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
        let (path, text) = (proposal.path.clone(), proposal.text.clone());
        let leave = Effect::Leave(Outcome::WriteConfig { path, text });
        let Some(question) = self.leaving_ends(now) else { return Some(leave) };
        let question = format!("writing it ends this screen: {question}");
        self.layer = Layer::Ask(Ask { question, then: leave });
        None
    }

    pub(super) fn ask_demo(&mut self) {
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

    /// Leaves; while an act of ours runs it asks once, and a second `q` is a yes.
    pub(super) fn quit(&mut self, now: Moment) -> Option<Effect> {
        let leave = Effect::Leave(Outcome::Quit { message: self.what_stays() });
        let asked = matches!(&self.layer, Layer::Ask(ask) if ask.then == leave);
        if asked {
            self.layer = Layer::None;
            return Some(leave);
        }
        if self.leaving
            && self.asked.is_empty()
            && self.leaves_proof().is_none()
            && self.running_flow().is_some()
        {
            self.leave_once_over();
            return None;
        }
        let Some(question) = self.leaving_ends(now) else { return Some(leave) };
        self.layer = Layer::Ask(Ask { question, then: leave });
        None
    }

    /// The question about what would end with the screen, where something of ours is under way.
    fn leaving_ends(&self, now: Moment) -> Option<String> {
        if let Some((_, kind, model)) = self.asked.last() {
            // Asked for in the same breath: no snapshot has it yet.
            return Some(format!("{} {model} was only just asked for. leave?", kind.verb()));
        }
        if let Some(question) = self.leaves_proof() {
            return Some(question);
        }
        if let Some(flow) = self.running_flow() {
            return Some(format!("{} is under way; leaving cancels it. leave?", printable(&flow.name)));
        }
        let Some(act) = self.live_acts().last() else {
            let name = printable(&self.fleet.busy_elsewhere()?.name);
            return Some(format!("something of ours runs at {name}; leaving cancels it. leave?"));
        };
        let (verb, model) = (act.kind.verb(), &act.model);
        Some(match act.state {
            ActState::Running { since, .. } if matches!(act.kind, ActKind::Load | ActKind::Swap) => format!(
                "{verb} {model} runs for {}; leaving aborts it. leave?",
                format::running(now.since(since.mono))
            ),
            ActState::Running { .. } if act.kind.is_of_ram() => {
                format!("{verb} {model} is under way; leaving ends it, what is in RAM stays. leave?")
            }
            ActState::Running { .. } => format!("{verb} {model} is under way. leave without seeing its end?"),
            _ => format!("{verb} {model} still waits and will not be done. leave?"),
        })
    }

    /// What stays as it is after we are gone.
    pub(crate) fn what_stays(&self) -> Option<String> {
        self.what_stays_but(&self.pins_to_release())
    }

    /// The same without these models, of which more is said. A pin of a model that is not in VRAM stays too.
    pub(crate) fn what_stays_but(&self, released: &[ModelName]) -> Option<String> {
        let server = self.server()?;
        let stays = |name: &&ModelName| !released.contains(name);
        let pinned = server.models.iter().filter(|model| model.pinned && model.loaded.is_some());
        let is_away = |name: &&ModelName| server.model(name).is_none_or(|model| model.loaded.is_none());
        let pins = self.snapshot.keeping.pins.iter().flat_map(|pins| pins.iter());
        let wished = pins.filter(|pin| !pin.state.is_over()).map(|pin| &pin.model);
        let said = |models: Vec<&ModelName>, how: &str| {
            let names: Vec<String> = models.iter().map(ToString::to_string).collect();
            let verb = if names.len() == 1 { "stays" } else { "stay" };
            (!names.is_empty()).then(|| format!("{} {verb} pinned{how}", names.join(", ")))
        };
        let here = said(pinned.map(|model| &model.name).filter(stays).collect(), "");
        let away = said(wished.filter(stays).filter(is_away).collect(), ", not in VRAM now");
        let lines: Vec<String> = here.into_iter().chain(away).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The pins that are let go as this dashboard ends: the config says so, and it is the one that enforces them.
    pub(crate) fn pins_to_release(&self) -> Vec<ModelName> {
        let keeping = &self.snapshot.keeping;
        let settings = &self.settings;
        let may = settings.may_act && !settings.read_only && !keeping.hands_off;
        if settings.on_exit != OnExit::Release || keeping.keeper != Some(Keeper::This) || !may {
            return Vec::new();
        }
        keeping.pins.iter().flat_map(|pins| pins.iter()).map(|pin| pin.model.clone()).collect()
    }

    /// Whether something of ours is under way that ends with us.
    pub(crate) fn is_at_work(&self) -> bool {
        self.live_acts().next().is_some() || self.live_startup().is_some()
    }

    /// Says what the end waits for.
    pub(crate) fn say_releasing(&mut self, count: usize) {
        let pins = if count == 1 { "the pin".to_owned() } else { format!("{count} pins") };
        let again = self.keymap.first(Action::Quit);
        let again = again.map_or_else(String::new, |key| format!("; {key} leaves at once"));
        self.layer = Layer::None;
        self.say(format!("releasing {pins}, 3 s at most{again}"));
    }
}
