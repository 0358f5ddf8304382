//! The line of text that is typed: a filter, or a `keep_alive`.

use super::{App, Ask, Effect, Layer};
use crate::residency::act::ActKind;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::tui::action::Action;

/// More than this is not taken: no name and no duration is longer.
const LONGEST: usize = 200;

/// What is typed, and what for.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) what: Asked,
    pub(crate) text: String,
    /// What is wrong with the text, said when Enter was pressed.
    pub(crate) wrong: Option<String>,
}

/// What the text is for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// The table's filter; the one before, should the user leave.
    Filter(String),
    /// A `keep_alive` for this model.
    KeepAlive(ModelName),
}

impl Prompt {
    pub(super) fn filter(before: &str) -> Prompt {
        Prompt { what: Asked::Filter(before.to_owned()), text: before.to_owned(), wrong: None }
    }

    pub(super) fn keep_alive(model: ModelName, current: Option<KeepAlive>) -> Prompt {
        let text = match current {
            Some(KeepAlive::Forever) => "-1".to_owned(),
            Some(keep_alive) => keep_alive.to_string(),
            None => String::new(),
        };
        Prompt { what: Asked::KeepAlive(model), text, wrong: None }
    }

    pub(super) fn push(&mut self, c: char) {
        if self.text.len() < LONGEST {
            self.text.push(c);
        }
        self.wrong = None;
    }
}

impl App {
    /// A filter acts while it is typed.
    pub(super) fn prompt_changed(&mut self) {
        if let Layer::Prompt(Prompt { what: Asked::Filter(_), text, .. }) = &self.layer {
            self.filter.clone_from(text);
            self.reselect(0);
        }
    }

    /// Carries out the keys of a prompt.
    pub(super) fn prompt(&mut self, action: Action) -> Option<Effect> {
        let Layer::Prompt(prompt) = &mut self.layer else { return None };
        prompt.wrong = None;
        match action {
            Action::Erase => {
                prompt.text.pop();
                self.prompt_changed();
            }
            Action::EraseAll => {
                prompt.text.clear();
                self.prompt_changed();
            }
            Action::Dismiss => {
                if let Asked::Filter(before) = &prompt.what {
                    self.filter.clone_from(before);
                }
                self.layer = Layer::None;
                self.reselect(0);
            }
            Action::Accept => return self.accept(),
            _ => {}
        }
        None
    }

    fn accept(&mut self) -> Option<Effect> {
        let Layer::Prompt(prompt) = &mut self.layer else { return None };
        let Asked::KeepAlive(model) = &prompt.what else {
            self.layer = Layer::None;
            return None;
        };
        match KeepAlive::parse(&prompt.text) {
            Err(error) => {
                prompt.wrong = Some(error.to_string());
                None
            }
            Ok(keep_alive) => {
                let model = model.clone();
                let question = self.asks_keep_alive(&model, keep_alive);
                let then = Effect::Act(ActKind::KeepAlive(keep_alive), model);
                self.layer =
                    question.map_or(Layer::None, |question| Layer::Ask(Ask { question, then: then.clone() }));
                matches!(self.layer, Layer::None).then_some(then)
            }
        }
    }
}
