//! What acts by itself: the key that stops it, start-up's models as far as keys are about them, and what is said of both.

use std::time::Duration;

use super::{App, Effect};
use crate::residency::act::{ActKind, ActState};
use crate::residency::guard::startup::Startup;
use crate::residency::guard::{Auto, Keeper};
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;
use crate::residency::timing::Moment;
use crate::tui::action::Action;

/// Start-up that is over is shown for so long, that its end is seen.
const OVER: Duration = Duration::from_secs(10);

impl App {
    /// Stops what acts by itself here, or lets it go on.
    pub(super) fn hands_off(&mut self) -> Option<Effect> {
        if self.settings.read_only {
            self.say("read-only: nothing acts by itself here");
            return None;
        }
        Some(Effect::HandsOff(!self.snapshot.keeping.hands_off))
    }

    /// What that came to, once the engine says so.
    pub(crate) fn hands(&self, are_off: bool) -> String {
        let keeping = &self.snapshot.keeping;
        let keeper = match keeping.keeper {
            Some(Keeper::Other(pid)) => format!("; the keeper, pid {pid}, goes on"),
            _ => String::new(),
        };
        if are_off {
            let until = self.keymap.first(Action::HandsOff);
            let until = until.map_or_else(String::new, |key| format!(" until {key} is pressed again"));
            return format!("hands off: nothing acts by itself here{until}{keeper}");
        }
        let words: Vec<&str> = keeping.auto.iter().copied().map(Auto::word).collect();
        match words.as_slice() {
            // Whether it is the keeper again is not known yet.
            [] if keeping.keeper.is_none() && keeping.idle.is_none() => {
                "hands on: what is set to act by itself does so again".to_owned()
            }
            [] if keeper.is_empty() => "hands on: nothing is set to act by itself".to_owned(),
            [] => format!("hands on{keeper}"),
            words => format!("hands on: acts by itself again: {}", words.join(", ")),
        }
    }

    /// Start-up, while something of it is left to be done.
    pub(crate) fn live_startup(&self) -> Option<&Startup> {
        self.snapshot.keeping.startup.as_deref().filter(|startup| startup.is_live())
    }

    /// Start-up, while it goes on and until its end was seen.
    pub(crate) fn shown_startup(&self, now: Moment) -> Option<&Startup> {
        let startup = self.snapshot.keeping.startup.as_deref()?;
        (startup.is_live() || self.startup_tick(now).is_some()).then_some(startup)
    }

    /// How long the end of start-up is still shown.
    pub(super) fn startup_tick(&self, now: Moment) -> Option<Duration> {
        let startup = self.snapshot.keeping.startup.as_deref()?;
        let ended = now.since(startup.began.mono).checked_sub(startup.took?)?;
        OVER.checked_sub(ended).filter(|left| !left.is_zero() && !startup.items.is_empty())
    }

    /// Whether start-up still wants that model moved.
    pub(crate) fn is_in_startup(&self, name: &ModelName) -> bool {
        let is_open =
            |startup: &Startup| startup.items.iter().any(|item| item.model == *name && !item.state.is_over());
        self.live_startup().is_some_and(is_open)
    }

    /// What is said of pins that were let go while their models were not in VRAM: nothing else shows it.
    pub(super) fn let_go(&self, fresh: &Snapshot) -> Option<String> {
        let is_done =
            |id| fresh.acts.iter().any(|act| act.id == id && matches!(act.state, ActState::Done { .. }));
        let is_away = |name: &ModelName| {
            let model = fresh.servers.first().and_then(|server| server.model(name));
            model.is_none_or(|model| !model.has_runner())
        };
        let (_, _, model) = self
            .asked
            .iter()
            .find(|(id, kind, model)| *kind == ActKind::Unpin && is_done(*id) && is_away(model))?;
        let again = self.snapshot.keeping.pin(model).is_some_and(|pin| pin.configured);
        let again = if again { " before the next start, when the config pins it again" } else { "" };
        Some(format!("{model} is no longer pinned: it is not brought back{again}"))
    }
}
