//! The picture stands still while all goes on behind it: keys act on what is, and are said to.

use std::sync::Arc;

use super::{App, Effect};
use crate::residency::snapshot::Snapshot;
use crate::residency::timing::Moment;
use crate::tui::action::Action;
use crate::tui::format;

/// A picture that stands still.
pub(crate) struct Frozen {
    pub(crate) since: Moment,
    /// What has come since.
    live: Arc<Snapshot>,
}

impl App {
    /// Lets the picture stand still, or go on with what has come meanwhile.
    pub(super) fn freeze(&mut self, now: Moment) {
        if self.frozen.is_none() {
            self.frozen = Some(Frozen { since: now, live: Arc::clone(&self.snapshot) });
        } else {
            self.thaw();
        }
    }

    /// Lets the picture go on.
    pub(crate) fn thaw(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.see(frozen.live);
        }
    }

    /// Keeps what has come while the picture stands still; gives it back where it does not.
    pub(super) fn keep_back(&mut self, snapshot: Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let Some(frozen) = &mut self.frozen else { return Some(snapshot) };
        self.asked.retain(|(id, ..)| !snapshot.acts.iter().any(|act| act.id == *id));
        frozen.live = snapshot;
        None
    }

    /// Carries out an action that is not about the picture, by what is now and not by what is shown.
    pub(super) fn act_behind(&mut self, action: Action, now: Moment) -> Option<Effect> {
        let Some(live) = self.frozen.as_ref().map(|frozen| Arc::clone(&frozen.live)) else {
            return self.carry_out(action, now);
        };
        let shown = std::mem::replace(&mut self.snapshot, live);
        let effect = self.carry_out(action, now);
        self.snapshot = shown;
        if self.notice.is_none()
            && effect.as_ref().is_some_and(Effect::is_for_the_engine)
            && let Some(frozen) = self.frozen_words()
        {
            self.say(format!("asked for; {frozen}"));
        }
        effect
    }

    /// That the picture stands still, since when, and what lets it go on.
    pub(crate) fn frozen_words(&self) -> Option<String> {
        let since = self.frozen.as_ref()?.since;
        let time = format::clock_seconds(since.wall, &self.settings.zone);
        let key = self.keymap.first(Action::Freeze);
        let key = key.map_or_else(String::new, |key| format!("  {key} goes on"));
        Some(format!("frozen  since {time}{key}"))
    }
}
