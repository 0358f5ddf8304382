//! What each action does: what is refused, what asks first, what runs and says its plan in a line.

use super::{App, Ask, Effect, Layer, Prompt};
use crate::engine::flow::Control;
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Reach, State};
use crate::residency::timing::Moment;
use crate::tui::action::Action;

impl App {
    /// Carries out an action: changes the screen's state, and says what is to be done outside.
    pub fn act(&mut self, action: Action, now: Moment) -> Option<Effect> {
        self.notice = None;
        self.ended = None;
        match action {
            Action::Down | Action::Up | Action::Top | Action::Bottom | Action::PageDown | Action::PageUp => {
                self.roam(action);
            }
            Action::Sort => self.turn_sort(),
            Action::Filter => self.layer = Layer::Prompt(Prompt::filter(&self.filter)),
            Action::NextPanel => self.turn_panel(true),
            Action::PreviousPanel => self.turn_panel(false),
            Action::Zoom => self.zoomed = !self.zoomed,
            Action::Freeze => self.freeze(now),
            Action::Columns => self.layer = Layer::Columns(0),
            Action::Toggle => self.toggle_column(),
            Action::Theme => self.change_theme(),
            Action::Mouse => return Some(self.turn_mouse()),
            Action::Back => self.back(),
            _ => return self.act_behind(action, now),
        }
        None
    }

    /// Carries out an action that is about models and servers, or opens and closes what lies over the screen.
    pub(super) fn carry_out(&mut self, action: Action, now: Moment) -> Option<Effect> {
        match action {
            Action::Swap | Action::Load | Action::Unload | Action::Touch => {
                return self.move_model(action);
            }
            Action::Pin => return self.pin(),
            Action::KeepAlive => self.ask_keep_alive(),
            Action::Warm | Action::Hold | Action::Drop => return self.move_in_ram(action),
            Action::WarmAll => return self.warm_all(),
            Action::Listed => return self.relist(),
            Action::Phase(number) => return self.ready_phase(number),
            Action::Flows => self.open_flows(),
            Action::Pause => return self.control(Control::Pause),
            Action::Skip => return self.control(Control::Skip),
            Action::MarkFailed => return self.control(Control::Fail),
            Action::CancelFlow => return self.control(Control::Cancel),
            Action::Bench => return self.bench(),
            Action::Compare => return self.compare(),
            Action::History => self.layer = Layer::History(0),
            Action::Findings => self.layer = Layer::Findings(0),
            Action::Tune => self.layer = Layer::Tuning(0),
            Action::Cancel => return self.cancel(),
            Action::CancelAll => return self.cancel_all(),
            Action::HandsOff => return self.hands_off(),
            Action::PreviousServer => return self.look_elsewhere(false),
            Action::NextServer => return self.look_elsewhere(true),
            Action::Setup => self.open_setup(),
            Action::Demo => self.ask_demo(),
            Action::Redraw => return Some(Effect::Redraw),
            Action::Help => self.layer = Layer::Help(0),
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
            Action::Choose => return self.choose(now),
            // The others are about the picture.
            _ => {}
        }
        None
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(text.into());
    }

    /// The selected model, if it may be moved at all; says why not otherwise.
    pub(super) fn movable(&mut self) -> Option<Model> {
        self.movable_at_all()?;
        let Some(model) = self.model().cloned() else {
            self.say("no model is selected");
            return None;
        };
        self.moves(&model).then_some(model)
    }

    /// Whether that model may be moved; says why not otherwise.
    pub(super) fn moves(&mut self, model: &Model) -> bool {
        if model.state == State::Cloud || model.details.remote_host.is_some() {
            self.say(format!("{} runs in the cloud: it is never loaded or unloaded here", model.name));
            return false;
        }
        self.answers()
    }

    /// Whether there is a server to ask; says so otherwise.
    pub(super) fn answers(&mut self) -> bool {
        if !self.server().is_some_and(|server| matches!(server.reach, Reach::Up { .. } | Reach::Slow { .. }))
        {
            self.say("the server does not answer; it is asked again all the time");
            return false;
        }
        true
    }

    fn move_model(&mut self, action: Action) -> Option<Effect> {
        let model = self.movable()?;
        let name = &model.name;
        let is_loaded = model.loaded.is_some();
        let kind = match action {
            Action::Swap | Action::Load if model.has_runner() => {
                self.say(format!("{name} is in VRAM already"));
                return None;
            }
            Action::Unload | Action::Touch if !is_loaded => {
                self.say(match self.keymap.first(Action::Load) {
                    Some(key) => format!("{name} is not loaded; {key} loads it"),
                    None => format!("{name} is not loaded"),
                });
                return None;
            }
            Action::Swap => ActKind::Swap,
            Action::Load => ActKind::Load,
            Action::Unload => ActKind::Unload,
            _ => ActKind::Touch,
        };
        if self.is_under_way(kind, name) {
            return None;
        }
        self.go(kind, &model, Effect::Act(kind, model.name.clone()))
    }

    /// Has that act of the model carried out: asks first where it must, and says the plan of a load in a line.
    pub(super) fn go(&mut self, kind: ActKind, model: &Model, effect: Effect) -> Option<Effect> {
        if let Some(question) = self.asks(kind, model) {
            self.layer = Layer::Ask(Ask { question, then: effect });
            return None;
        }
        if matches!(kind, ActKind::Swap | ActKind::Load) {
            self.plan = self.plan(model).map(|plan| (model.name.clone(), plan));
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
        let is_asked = self.asked.iter().any(|(.., asked)| *asked == name);
        if is_asked || self.live_act(&name).is_some() || self.is_in_startup(&name) {
            return Some(Effect::Cancel(name));
        }
        self.say(format!("nothing of ours runs or waits for {name}"));
        None
    }

    /// Cancels everything, a workflow too. A measurement cancels what it began by itself, and puts back what it found.
    fn cancel_all(&mut self) -> Option<Effect> {
        if self.running_proof().is_some() {
            return self.control_proof(Control::Cancel);
        }
        let is_idle = self.asked.is_empty() && self.running_flow().is_none() && !self.is_at_work();
        if !is_idle {
            return Some(Effect::CancelAll);
        }
        self.say("nothing of ours runs or waits");
        None
    }

    /// Takes what an open page offers.
    fn choose(&mut self, now: Moment) -> Option<Effect> {
        match self.layer {
            Layer::Flows(selected) => self.choose_flow(selected),
            Layer::Columns(_) => {
                self.toggle_column();
                None
            }
            _ => self.write_config(now),
        }
    }

    fn answer(&mut self) -> Option<Effect> {
        match std::mem::replace(&mut self.layer, Layer::None) {
            Layer::Ask(ask) => Some(ask.then),
            _ => None,
        }
    }
}

pub(super) fn is_busy(state: State) -> bool {
    matches!(state, State::Busy | State::BusyOrUnloading)
}
