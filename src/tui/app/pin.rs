//! The key that pins: what it does by how it is with the pin, and whether all pins have room together.

use super::{App, Ask, Effect, Layer};
use crate::config::Confirm;
use crate::residency::act::ActKind;
use crate::residency::bytes::Bytes;
use crate::residency::guard::PinState;
use crate::residency::guard::room::{Room, room};
use crate::residency::snapshot::Model;
use crate::tui::action::Action;

impl App {
    /// What the key does with a model: one whose pin was lost is pinned again, one that is held or on its way back is let
    /// go; `None` for one that is neither loaded nor pinned.
    pub(crate) fn pin_does(&self, model: &Model) -> Option<ActKind> {
        match self.snapshot.keeping.pin(&model.name).map(|pin| &pin.state) {
            _ if model.pinned => Some(ActKind::Unpin),
            // A load of a model that is to be pinned pins it.
            Some(PinState::GaveUp(_)) if !model.has_runner() => Some(ActKind::Load),
            Some(PinState::Suspended(_) | PinState::Away(_)) if !model.has_runner() => Some(ActKind::Unpin),
            _ if model.loaded.is_some() => Some(ActKind::Pin),
            _ => None,
        }
    }

    /// Pins the selected model, pins it again, or lets it go.
    pub(super) fn pin(&mut self) -> Option<Effect> {
        let model = self.movable()?;
        let name = &model.name;
        let Some(kind) = self.pin_does(&model) else {
            self.say(match self.keymap.first(Action::Load) {
                Some(key) => format!("{name} is not loaded; {key} loads it"),
                None => format!("{name} is not loaded"),
            });
            return None;
        };
        if self.is_under_way(kind, name) {
            return None;
        }
        let effect = Effect::Act(kind, name.clone());
        if kind == ActKind::Unpin {
            if self.snapshot.keeping.pin(name).is_some_and(|pin| pin.configured) {
                self.say(format!("{name} is let go; the config pins it again at the next start"));
            }
            return self.go(kind, &model, effect);
        }
        match self.room_for(&model) {
            Room::TooMuch(why) if self.settings.confirm != Confirm::Never => {
                let question = format!("pin {name} anyway? {why}");
                self.layer = Layer::Ask(Ask { question, then: effect });
                return None;
            }
            Room::TooMuch(why) => self.say(format!("{name}: {why}")),
            Room::Unknown(why) => {
                self.say(format!("{name}: whether all pins fit together is not known: {why}"));
            }
            Room::Fits => {}
        }
        self.go(kind, &model, effect)
    }

    /// Whether a model can be pinned beside the pins that are there or on their way.
    pub(super) fn room_for(&self, model: &Model) -> Room {
        let cards: Vec<Bytes> = self.snapshot.host.card_list().iter().map(|card| card.total).collect();
        let Some(mut server) = self.server().cloned() else { return Room::Fits };
        for other in &mut server.models {
            other.pinned |= self.is_being_pinned(other);
        }
        room(&server, &self.snapshot.keeping, &cards, &model.name)
    }
}
