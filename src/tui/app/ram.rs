//! Keys of the RAM tier: warm, hold, drop, and the preload list.

use super::{App, Ask, Effect, Layer};
use crate::config::{Confirm, Hold, Strategy};
use crate::residency::act::ActKind;
use crate::residency::budget;
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;
use crate::tui::action::Action;

impl App {
    /// What a key of the RAM tier asks for, if it applies.
    pub(super) fn move_in_ram(&mut self, action: Action) -> Option<Effect> {
        let model = self.movable()?;
        let is_local = self.server().is_some_and(|server| server.local);
        let by_request = action == Action::Warm && self.settings.preload.strategy == Strategy::Request;
        if !is_local || by_request {
            return self.elsewhere(action, &model);
        }
        let is_held = model.kept.as_ref().is_some_and(|kept| kept.held);
        let kind = match action {
            Action::Warm => ActKind::Warm,
            Action::Hold if is_held => ActKind::Release,
            Action::Hold => ActKind::Hold,
            _ => ActKind::Drop,
        };
        if kind == ActKind::Drop && model.cached.bytes() == Some(Bytes::ZERO) {
            self.say(format!("nothing of {} is in RAM", model.name));
            return None;
        }
        if self.is_under_way(kind, &model.name) {
            return None;
        }
        let effect = Effect::Act(kind, model.name.clone());
        if let Some(question) = self.asks(kind, &model) {
            self.layer = Layer::Ask(Ask { question, then: effect });
            return None;
        }
        Some(effect)
    }

    /// RAM of another machine: a load is all that can be done for it, if the config says so.
    fn elsewhere(&mut self, action: Action, model: &Model) -> Option<Effect> {
        let by_request = self.settings.preload.strategy == Strategy::Request;
        if action == Action::Warm && by_request {
            return self.go(ActKind::Load, model, Effect::Act(ActKind::Load, model.name.clone()));
        }
        self.say(
            "the server is on another machine: its RAM cannot be read or filled from here. \
             preload.strategy: request makes w load a model into VRAM instead",
        );
        None
    }

    /// All of the preload list, in its order.
    pub(super) fn warm_all(&mut self) -> Option<Effect> {
        self.movable_at_all()?;
        let models: Vec<ModelName> = self
            .server()?
            .models
            .iter()
            .filter(|model| model.listed.is_some())
            .map(|model| model.name.clone())
            .collect();
        if models.is_empty() {
            let key = self.keymap.first(Action::Listed);
            self.say(match key {
                Some(key) => format!("the preload list is empty; {key} puts the selected model on it"),
                None => "the preload list is empty".to_owned(),
            });
            return None;
        }
        let server = self.server()?;
        let listed: Vec<&Model> = server.models.iter().filter(|model| model.listed.is_some()).collect();
        let (kind, question) = match (server.local, self.settings.preload.strategy) {
            (_, Strategy::Request) => (ActKind::Load, self.risk_of_loads(ActKind::Load, listed)),
            (true, Strategy::Warm) => (ActKind::Warm, self.lock_question(&listed)),
            (false, Strategy::Warm) => {
                let model = self.model().cloned()?;
                return self.elsewhere(Action::WarmAll, &model);
            }
        };
        let then = Effect::Acts(kind, models);
        let Some(question) = question.filter(|_| self.settings.confirm != Confirm::Never) else {
            return Some(then);
        };
        self.layer = Layer::Ask(Ask { question, then });
        None
    }

    /// Whether anything may be moved, whatever is selected.
    pub(super) fn movable_at_all(&mut self) -> Option<()> {
        if self.settings.read_only {
            self.say("read-only: nothing is changed here; start without --read-only to act");
            return None;
        }
        self.measures_nothing()
    }

    /// Puts the selected model on the preload list, or takes it off; then offers to write that down.
    pub(super) fn relist(&mut self) -> Option<Effect> {
        self.movable_at_all()?;
        let Some(model) = self.model().cloned() else {
            self.say("no model is selected");
            return None;
        };
        let mut list: Vec<(usize, ModelName)> = self
            .server()?
            .models
            .iter()
            .filter_map(|other| Some((other.listed?, other.name.clone())))
            .collect();
        list.sort_by_key(|(place, _)| *place);
        let mut list: Vec<ModelName> = list.into_iter().map(|(_, name)| name).collect();
        let is_on = model.listed.is_none();
        let now = if is_on { "on" } else { "off" };
        if is_on {
            list.push(model.name.clone());
        } else {
            list.retain(|name| *name != model.name);
        }
        let said = format!("{} is {now} the preload list", model.name);
        match self.settings.list_place.clone() {
            Some(path) => {
                let question =
                    format!("{said}. write that to {}? no: until the end of this program", path.display());
                self.layer =
                    Layer::Ask(Ask { question, then: Effect::WriteListed(model.name.clone(), is_on) });
            }
            None => self.say(said),
        }
        Some(Effect::List(list))
    }

    /// What a drop takes away.
    pub(super) fn drop_question(model: &Model) -> String {
        let name = &model.name;
        let there = model.cached.bytes().map_or_else(String::new, |bytes| format!(" {bytes} of"));
        let also: Vec<String> = model.shared_with.iter().map(ToString::to_string).collect();
        let also =
            if also.is_empty() { String::new() } else { format!(", which is also {}", also.join(", ")) };
        let loaded = if model.loaded.is_some() { "; what its runner has mapped stays" } else { "" };
        format!("drop{there} {name}{also} from RAM? its next load reads the disk{loaded}")
    }

    /// What the server will see once these are locked in RAM; `None` where nothing is locked, or is already.
    pub(super) fn lock_question(&self, models: &[&Model]) -> Option<String> {
        if self.settings.preload.hold != Hold::Mlock {
            return None;
        }
        let ram = self.snapshot.host.ram?.value;
        let file = self.server()?.models.iter().map(|model| model.size).max().unwrap_or_default();
        let locked = |model: &Model| {
            model.kept.as_ref().and_then(|kept| kept.files.as_ref()).map_or(Bytes::ZERO, |files| files.locked)
        };
        let size: Bytes = models.iter().map(|model| model.size.minus(locked(model))).sum();
        if size == Bytes::ZERO {
            return None;
        }
        let what = match models {
            [one] => one.name.to_string(),
            many => format!("{} models", many.len()),
        };
        let left = ram.available.minus(size);
        let words = budget::server_sees(ram.available, size, file, ram.total)
            .unwrap_or_else(|| format!("the server will see {left} free"));
        Some(format!("lock {size} of {what} in RAM? {words}   go on?"))
    }
}
