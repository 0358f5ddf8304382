//! Which models are wished pinned, by the journal's rows and the config; and what front ends show of that.

use std::sync::Arc;

use crate::engine::known::Known;
use crate::engine::manager::Manager;
use crate::residency::expiry::Expiry;
use crate::residency::guard::{PinState, Pinned};
use crate::residency::name::ModelName;
use crate::residency::pin::{Pin, Whose};
use crate::residency::snapshot::Model;

impl Known {
    /// What is remembered of a model's pin.
    pub(super) fn pin(&self, model: &ModelName) -> Option<&Pin> {
        self.pins.as_ref()?.iter().find(|pin| pin.model == *model)
    }

    pub(super) fn is_configured(&self, model: &ModelName) -> bool {
        self.config.pins.models.contains(model)
    }

    /// Whether the user wants the model in VRAM until he says otherwise, under this name or another one of its weights:
    /// asked for, or listed in the config, even in one that may not act.
    pub(crate) fn is_wished(&self, model: &ModelName) -> bool {
        self.named().filter(|name| self.are_one(name, model)).any(|name| self.wants(name, true))
    }

    /// All models whose pins may be enforced, by name: those of a config that was merely found are not among them.
    pub(crate) fn wished(&self) -> impl Iterator<Item = &ModelName> {
        self.named().filter(|model| self.wants(model, self.config.may_act))
    }

    /// Whether the model is wanted under this very name: what the user said counts before what the config lists.
    fn wants(&self, model: &ModelName, config_counts: bool) -> bool {
        match self.pin(model).map(|pin| pin.whose) {
            _ if self.let_go.contains(model) => false,
            Some(Whose::User) => true,
            Some(Whose::Released) => false,
            Some(Whose::Other) | None => config_counts && self.is_configured(model),
        }
    }

    /// Each model once of which the journal or the config says something.
    fn named(&self) -> impl Iterator<Item = &ModelName> {
        let rows = self.pins.iter().flat_map(|pins| pins.iter().map(|pin| &pin.model));
        let configured = self.config.pins.models.iter().filter(|model| self.pin(model).is_none());
        rows.chain(configured)
    }
}

impl Manager {
    /// All pins, for the snapshot.
    pub(super) fn pins_shown(&self, models: &[Model]) -> Option<Arc<Vec<Pinned>>> {
        let known = &self.known;
        // The config alone does not tell: the user may have unpinned what it lists.
        if known.pins.is_none() && (known.config.pins.models.is_empty() || self.journals.gives_pins()) {
            return None;
        }
        let now = self.now();
        let shown = |model: &ModelName| {
            let pin = known.pin(model);
            let running = known.runs_as(model);
            let suspended = pin.and_then(|pin| pin.suspended.as_ref());
            let state = match running.map(|running| running.expiry) {
                Some(Expiry::Never) => PinState::Held,
                Some(_) => PinState::Overridden,
                None => match (suspended, pin.and_then(|pin| pin.gave_up.as_ref())) {
                    (Some(suspended), _) => PinState::Suspended(suspended.by.clone()),
                    (None, Some(gave_up)) => PinState::GaveUp(gave_up.by.clone()),
                    (None, None) => PinState::Away(self.hindrance(model, models, now)),
                },
            };
            Pinned {
                model: model.clone(),
                since: pin.filter(|pin| pin.whose == Whose::User).map(|pin| pin.since),
                configured: pin.is_none_or(|pin| pin.whose != Whose::User),
                before: pin.and_then(|pin| pin.before),
                state,
                tries: pin.map_or(0, |pin| pin.tries),
            }
        };
        let mut pins: Vec<Pinned> = known.wished().map(shown).collect();
        pins.sort_by(|a, b| a.model.cmp(&b.model));
        Some(Arc::new(pins))
    }
}
