//! Leaving the screen: what is asked first, what is said of what stays, and what is started instead of it.

use super::{App, Ask, Effect, Layer};
use crate::residency::act::{ActKind, ActState};
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::Outcome;
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

    pub(super) fn write_config(&mut self) -> Option<Effect> {
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
        if let Some((_, kind, model)) = self.asked.last() {
            // Asked for in the same breath: no snapshot has it yet.
            let question = format!("{} {model} was only just asked for. leave?", kind.verb());
            self.layer = Layer::Ask(Ask { question, then: leave });
            return None;
        }
        if let Some(question) = self.leaves_proof() {
            self.layer = Layer::Ask(Ask { question, then: leave });
            return None;
        }
        if self.leaving && self.running_flow().is_some() {
            self.leave_once_over();
            return None;
        }
        if let Some(flow) = self.running_flow() {
            let question = format!("{} is under way; leaving cancels it. leave?", printable(&flow.name));
            self.layer = Layer::Ask(Ask { question, then: leave });
            return None;
        }
        let Some(act) = self.live_acts().last() else { return Some(leave) };
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
    pub(super) fn what_stays(&self) -> Option<String> {
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
