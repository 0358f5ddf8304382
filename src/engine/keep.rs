//! What the keeper does by itself: pins are enforced, models in use stay, start-up loads and reads; and what is said of it.
//!
//! Part of the manager. Decisions are made in `residency::guard`; here facts go in, and acts come out, through the same
//! queue as the user's own: while a load is pending they wait like all others.

mod hindrance;
mod pins;
mod refresh;
mod startup;
mod wishes;

use super::manager::Manager;
use crate::residency::event::What;
use crate::residency::guard::claim::{Claim, Idle, Onlooker};
use crate::residency::guard::{Auto, Keeping};
use crate::residency::snapshot::Model;
use crate::residency::timing::Moment;

pub(crate) use pins::Pins;
use refresh::Refresh;
use startup::Course;

/// What the guards remember.
#[derive(Default)]
pub(crate) struct Keep {
    /// The user has stopped all of it here.
    pub hands_off: bool,
    /// When this instance began.
    pub began: Option<Moment>,
    /// The server has answered since guards looked last.
    pub is_due: bool,
    /// What is known of pins beyond their rows.
    pub pins: Pins,
    refresh: Refresh,
    startup: Course,
}

impl Keep {
    /// Nothing is known yet.
    pub(crate) fn new(hands_off: bool) -> Keep {
        Keep { hands_off, ..Keep::default() }
    }
}

impl Manager {
    /// Goes on with start-up, and looks at what the server's latest answer shows, once for each. Called when the snapshot
    /// shows all that is known; says whether something has changed by it.
    pub(super) fn act_by_itself(&mut self) -> bool {
        let (now, before) = (self.now(), (self.due.next_event, self.due.next_own));
        self.keep.began.get_or_insert(now);
        let (server, claim) = (&self.known, self.claim());
        self.journals.claim(|| server.journal_name(), claim);
        self.start_up(now);
        if std::mem::take(&mut self.keep.is_due) {
            self.keep_watch(now);
        }
        before != (self.due.next_event, self.due.next_own)
    }

    fn keep_watch(&mut self, now: Moment) {
        self.note_uses(now);
        if self.known.tags_at.is_none() {
            return;
        }
        self.guard_pins(now);
        self.refresh_what_is_used(now);
    }

    /// Whether pins are enforced by this instance: the user's word for each was given as it was pinned.
    pub(super) fn keeps_pins(&self) -> bool {
        !self.known.config.ui.read_only && !self.keep.hands_off && self.journals.acts()
    }

    /// How far this instance may act by itself.
    fn claim(&self) -> Claim {
        let config = &self.known.config;
        if config.ui.read_only {
            Claim::Nothing(Idle::ReadOnly)
        } else if self.keep.hands_off {
            Claim::Nothing(Idle::HandsOff)
        } else if config.may_act {
            Claim::All
        } else if self.known.wished().next().is_some() {
            Claim::Pins
        } else {
            Claim::Nothing(Idle::NoConfig)
        }
    }

    /// Why this instance does not act by itself, if it is one that could.
    fn idle(&self) -> Option<Onlooker> {
        let unusable = || self.journals.is_unusable().then_some(Idle::NoJournal);
        let why = self.claim().idle().or_else(unusable).filter(|_| self.journals.may_keep())?;
        Some(Onlooker { pid: std::process::id(), why })
    }

    pub(super) fn hands_off(&mut self, off: bool) {
        if std::mem::replace(&mut self.keep.hands_off, off) != off {
            self.tell(None, What::HandsOff(off));
            if off {
                // What start-up has begun comes to its end, like every act; nothing new is begun.
                self.skip_startup(None, self.now());
            }
        }
    }

    /// What front ends show of it.
    pub(super) fn keeping(&self, models: &[Model]) -> Keeping {
        Keeping {
            keeper: self.journals.keeper(),
            idle: self.idle(),
            hands_off: self.keep.hands_off,
            auto: self.auto(),
            pins: self.pins_shown(models),
            startup: self.keep.startup.shown(),
        }
    }

    fn auto(&self) -> Vec<Auto> {
        let config = &self.known.config;
        let acts = self.acts_by_itself();
        let all = [
            (Auto::Startup, self.keep.startup.is_live()),
            (Auto::Refresh, acts && config.preload.enabled && config.preload.auto_refresh),
            (Auto::Pins, self.keeps_pins() && self.known.wished().next().is_some()),
            (Auto::Agents, acts && !self.known.past.runs.is_empty()),
            (Auto::Return, acts && config.return_to_primary.is_some() && config.primary.is_some()),
        ];
        all.into_iter().filter_map(|(auto, is_on)| is_on.then_some(auto)).collect()
    }
}
