//! Why a pinned model is not in VRAM: told from what the guard goes by, so that what is shown is what is waited for.

use crate::engine::manager::Manager;
use crate::residency::bytes::Bytes;
use crate::residency::guard::hindrance::Hindrance;
use crate::residency::guard::pins::{Displaces, Memory, Place};
use crate::residency::host::Cards;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;
use crate::residency::timing::Moment;

impl Manager {
    /// Why `model` is not in VRAM, though it is wished there; `None` where nothing is in its way, or nobody can say.
    pub(super) fn hindrance(&self, model: &ModelName, models: &[Model], now: Moment) -> Option<Hindrance> {
        let known = &self.known;
        known.tags_at?;
        if known.details(model).remote_host.is_some() {
            return Some(Hindrance::InCloud);
        }
        if !known.installed.contains_key(model) {
            return Some(Hindrance::NotInstalled);
        }
        let Place::Away { displaces, quiet, .. } = self.away(model, models, now) else { return None };
        let memory = self.keep.pins.memories.get(model).filter(|_| self.keeps_pins());
        let was_there = memory.is_some_and(Memory::was_there);
        let goes = self.in_the_way(model, models);
        match displaces {
            Displaces::Precious => {
                let kept = |other: &&&Model| other.pinned || known.is_wished(&other.name);
                let pin = goes.iter().find(kept).map(|other| Hindrance::Beside(other.name.clone()));
                pin.or_else(|| Some(Hindrance::AtWork(goes.first()?.name.clone())))
            }
            Displaces::Unknown if !was_there => self.cannot_read_cards().then_some(Hindrance::CardUnread),
            Displaces::Idle if !was_there => {
                let needs = models.iter().find(|shown| shown.name == *model)?.fit.as_ref()?.size;
                let card: Bytes = known.card_list().iter().map(|card| card.total).sum();
                Some(Hindrance::NoRoom { needs, card, there: goes.first()?.name.clone() })
            }
            _ => memory?.comes_at(displaces, quiet, now).map(Hindrance::Waits),
        }
    }

    /// Whether it will never be known here what is free on the cards.
    fn cannot_read_cards(&self) -> bool {
        let value = self.known.cards.as_ref().map(|reading| &reading.value);
        !self.known.local || self.cards.is_none() || matches!(value, Some(Cards::Unknown(_)))
    }
}
