//! What snapshots and readings show of an act: that it is done, what went for it, and when its record can be kept.

use std::time::Duration;

use super::super::LOOK;
use super::super::goal::Goal;
use super::super::job::Job;
use super::super::stopwatch::{NOTICED, earlier, exited, lives};
use super::{AtStake, LOADING, Step, Stopwatch, Tracked};
use crate::engine::known::Known;
use crate::engine::observe::Asked;
use crate::residency::act::{ActKind, ActState};
use crate::residency::event::What;
use crate::residency::expiry::Expiry;
use crate::residency::name::ModelName;
use crate::residency::record::SwapRecord;
use crate::residency::timing::Moment;

/// So long after a load is asked for, the server mostly has chosen what goes.
const CHOOSING: Duration = Duration::from_secs(2);
/// Between two looks afterwards, unless one of them works.
const LATER: Duration = Duration::from_millis(250);

impl Tracked {
    pub fn looks_on(&self) -> bool {
        self.watch.as_ref().is_some_and(Stopwatch::looks_on)
    }

    /// Whether what has to go is to be looked for often: while it goes, and a little after the end.
    pub fn is_watching(&self) -> bool {
        self.watch.as_ref().is_some_and(Stopwatch::lacks) && (self.act.is_live() || self.looks_on())
    }

    /// How often to look at the runners where the server chooses which of them goes for a load under way, and once it is
    /// answered.
    pub fn choice_period(&self, known: &Known, now: Moment) -> Option<Duration> {
        let is_over = !self.act.is_live() && self.doubt.is_none();
        if is_over || self.at_stake.is_empty() {
            return None;
        }
        let is_busy =
            |stake: &AtStake| known.runner(&stake.model).and_then(|runner| runner.busy) == Some(true);
        let is_new = now.since(self.loads_since.mono) < CHOOSING;
        if is_new || self.at_stake.iter().any(is_busy) {
            return Some(LOOK);
        }
        self.at_stake.iter().any(|stake| stake.pid.is_some()).then_some(LATER)
    }

    /// Says what of the server's doings is our own work.
    pub fn tell_asked(&self, asked: &mut Asked) {
        let model = self.act.model.clone();
        // What goes is told by the first snapshot without it, and that may come long after the act's end.
        asked.unloads.extend(self.going.iter().map(|going| (going.model.clone(), going.asked)));
        if self.doubt.is_some() || matches!(self.step, Step::Asked(Job::Load { .. })) {
            asked.evicts.extend(self.may_evict().map(|victim| (victim.clone(), model.clone())));
        }
        // Answered, and not listed yet: it is still ours.
        if self.doubt.is_some() {
            asked.loads.push(model.clone());
        }
        if !self.act.is_running() {
            return;
        }
        match (self.act.kind, &self.step) {
            (_, Step::Showing { goal: Goal::Gone, .. }) | (ActKind::Unload, _) => {}
            (ActKind::Unpin | ActKind::KeepAlive(_), _) => asked.unpins.push(model),
            _ => asked.loads.push(model),
        }
    }

    /// What the server may throw out for its load: what the forecast names, or any where none is.
    fn may_evict(&self) -> impl Iterator<Item = &ModelName> {
        let plan = self.watch.as_ref().map(|watch| &watch.plan);
        let foreseen = plan.filter(|plan| self.act.kind == ActKind::Load && !plan.server_chooses);
        let at_stake = self.at_stake.iter().map(|stake| &stake.model);
        let chosen = plan.filter(|plan| plan.server_chooses).map_or(&[][..], |_| &self.displaced);
        at_stake.chain(chosen).chain(foreseen.into_iter().flat_map(|plan| &plan.goes))
    }

    /// What is not listed is gone; what has its time set anew after the act's end, somebody else wants to stay.
    fn see_what_is_gone(&mut self, known: &Known, now: Moment) {
        let is_over = !self.act.is_live();
        self.going.retain_mut(|going| {
            let Some(running) = known.running.get(&going.model) else { return false };
            if is_over && !running.expiry.is_past(now.wall) {
                going.patience -= 1;
            }
            going.patience > 0
        });
    }

    /// Takes the latest `/api/ps`; says what it contradicts that was taken for done.
    pub fn settle(&mut self, known: &mut Known, now: Moment) -> Option<(ModelName, What)> {
        self.see_what_went(known);
        if let Some(watch) = &mut self.watch {
            watch.tick();
        }
        self.see_what_is_gone(known, now);
        if let Step::Looking { ended, since } = self.step.clone()
            && self.act.is_live()
        {
            if known.ps_asked.is_some_and(|asked| asked.mono >= since.mono) {
                self.conclude(&ended, Some(known), now);
            }
            return None;
        }
        if self.doubt.is_some() {
            return self.check(known);
        }
        let Step::Showing { goal, patience } = self.step else { return None };
        if !self.act.is_live() {
            return None;
        }
        let running = known.running_as(&self.act.model);
        if goal.is_shown(running, now) {
            self.done(now);
        } else if goal == Goal::Gone {
            // An unload ends when the model's work ends, however long that takes.
        } else if patience == 0 {
            let why = match running {
                None => "the server answered, but does not list it",
                Some(_) => {
                    "the server answered, but its keep_alive did not change: another client may have set it"
                }
            };
            self.fail(why.to_owned(), now);
        } else {
            self.step = Step::Showing { goal, patience: patience - 1 };
        }
        None
    }

    pub fn look(&mut self, known: &mut Known) {
        self.see_what_went(known);
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.looks_on() || self.act.is_live()) {
            watch.look(known);
            if watch.look_for_the_busy(known)
                && let ActState::Running { stage, .. } = &mut self.act.state
            {
                *stage = LOADING;
            }
            // The log tells what the load itself took, too.
            if let (Some(since), Some(load)) =
                (watch.loading_since(), known.loading.get_mut(&self.act.model).filter(|load| load.ours))
                && since.mono > load.since.mono
            {
                load.since = since;
            }
        }
    }

    pub fn record(&mut self, known: &Known, now_or_never: bool) -> Option<SwapRecord> {
        let is_unseen = self.act.is_live() || !self.at_stake.is_empty();
        if is_unseen && !now_or_never {
            return None;
        }
        let went = self.went().map(<[ModelName]>::to_vec);
        let watch = self.watch.as_mut()?;
        watch.record(&self.act.model, went.as_deref(), known.load_mode(&self.act.model), now_or_never)
    }

    /// Where the server chooses, what went after the load was asked for went for it, unless its time was up. A load may
    /// be over before the server is asked again: then only the runners show it.
    fn see_what_went(&mut self, known: &mut Known) {
        let since = self.loads_since;
        let is_fresh = known.ps_asked.is_some_and(|asked| asked.mono >= since.mono);
        let ready = match &self.act.state {
            ActState::Done { at, .. } => Some(*at),
            _ => None,
        };
        for mut stake in std::mem::take(&mut self.at_stake) {
            // What was loaded a moment ago, the look before may not have shown.
            stake.pid = stake.pid.or_else(|| known.runner(&stake.model).map(|runner| runner.pid));
            let AtStake { model, expiry, pid, there } = &stake;
            let unlisted = known.ps_at.filter(|_| is_fresh && !known.running.contains_key(model));
            // One that was never seen is gone where it would be seen now.
            let lacks = pid.is_none() && known.lacks_runner(model);
            let looked = known.runners.as_ref().map(|reading| reading.at);
            let missed = looked.filter(|at| lacks && at.mono >= since.mono);
            let exit = exited(*pid, since, known).or(missed);
            let Some(gone) = earlier(unlisted, exit) else {
                // Who lives when the other is ready did not have to go for it.
                if ready.is_some_and(|ready| lives(*pid, ready, known)) {
                    continue;
                }
                stake.there = known.ps_asked.filter(|_| is_fresh).or(stake.there);
                self.at_stake.push(stake);
                continue;
            };
            if matches!(expiry, Expiry::At(at) if *at <= gone.wall) {
                continue;
            }
            if *expiry == Expiry::Never {
                known.suspended_pins.insert(model.clone());
            }
            if let Some(watch) = &mut self.watch {
                watch.went(model, gone.since(since.mono));
                // One list alone does not tell when it went: it may have gone right after the one before.
                if Some(gone) == exit || there.is_some_and(|there| there.since(since.mono) >= NOTICED) {
                    watch.exited(gone);
                }
            }
            self.displaced.push(stake.model);
        }
    }

    /// Whether `/api/ps` lists what the server said is loaded.
    pub(super) fn check(&mut self, known: &mut Known) -> Option<(ModelName, What)> {
        let left = self.doubt.take()?;
        if known.running_as(&self.act.model).is_some() {
            self.at_stake.clear();
            return None;
        }
        if left > 0 {
            self.doubt = Some(left - 1);
            return None;
        }
        let model = self.act.model.clone();
        known.loading.remove(&model);
        self.at_stake.clear();
        let why = "the server said it is loaded, but does not list it".to_owned();
        Some((model, What::Failed { verb: self.act.kind.verb(), why }))
    }
}
