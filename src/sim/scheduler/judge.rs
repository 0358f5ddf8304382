//! Which requests of ours the umpire is told of, by what is loaded and what loads as they come.

use super::Ask;
use super::state::State;
use crate::residency::timing::Moment;
use crate::sim::keep_alive::FOREVER;
use crate::sim::umpire::{Broken, VISIBLE};

impl State {
    /// A request for a runner.
    pub(super) fn judge(&self, ask: &Ask) {
        let Some(entry) = self.of_blob(ask.model).map(|at| &self.entries[at]) else { return };
        let now = (self.rules.clock)();
        if entry.is_alive() && !entry.options.serve(&ask.options, &self.model(ask.model).spec) {
            self.foul(ask.model, Broken::Reloads, now);
        }
        if !entry.is_ending() && self.load_is_visible(ask.model, now) {
            self.foul(ask.model, Broken::WhileLoading, now);
        }
    }

    /// An unload of entry `at`.
    pub(super) fn judge_unload(&self, at: usize, now: Moment) {
        let entry = &self.entries[at];
        if entry.is_ending() {
            return;
        }
        if entry.keep_alive == FOREVER {
            self.foul(entry.model, Broken::UnloadsPinned, now);
        }
        if self.load_is_visible(entry.model, now) {
            self.foul(entry.model, Broken::WhileLoading, now);
        }
    }

    /// A load that throws out entry `at`.
    pub(super) fn judge_eviction(&self, at: usize) {
        let (entry, now) = (&self.entries[at], (self.rules.clock)());
        if entry.users > 0 {
            self.foul(entry.model, Broken::EvictsBusy, now);
        }
        if entry.keep_alive == FOREVER {
            self.foul(entry.model, Broken::EvictsPinned, now);
        }
    }

    /// Whether a client of ours can know that another model loads, or waits for its load: it asked for that itself, or
    /// the runner has been in the process table for long enough.
    fn load_is_visible(&self, of: usize, now: Moment) -> bool {
        let another = |ask: &Ask| ask.model != of && !ask.reply.is_closed();
        let loads = self.loading.iter().any(|loading| {
            another(&loading.ask) && (loading.ask.whose.is_ours() || now.since(loading.since.mono) >= VISIBLE)
        });
        loads || self.queue.iter().any(|ask| another(ask) && ask.whose.is_ours())
    }

    fn foul(&self, model: usize, rule: Broken, now: Moment) {
        self.rules.umpire.foul(Some(&self.model(model).spec.name), rule, now);
    }
}
