//! How an act ends that does not end well: what went for it is looked for first, then said.

use super::super::words::{left, offer, unseen};
use super::{Step, Stopwatch, Tracked};
use crate::engine::known::Known;
use crate::residency::act::ActState;
use crate::residency::event::What;
use crate::residency::expiry::Expiry;
use crate::residency::name::ModelName;
use crate::residency::swap::{Ended, Stage};
use crate::residency::timing::Moment;

impl Tracked {
    pub(super) fn fail(&mut self, why: String, now: Moment) {
        let stage = self.watch.as_ref().map_or(Stage::Load, Stopwatch::stage);
        self.end_badly(Ended::Failed { stage, why }, None, now);
    }

    /// The user does not want it any more; its request is dropped.
    pub fn cancel(&mut self, known: &Known, now: Moment) {
        if let Step::Looking { ended, .. } = self.step.clone() {
            return self.conclude(&ended, None, now);
        }
        let stage = self.watch.as_ref().map_or(Stage::Load, Stopwatch::stage);
        self.end_badly(Ended::Cancelled { stage }, Some(known), now);
    }

    /// It ends without the model in VRAM; what the server threw out for it is looked for first.
    fn end_badly(&mut self, ended: Ended, known: Option<&Known>, now: Moment) {
        if let Some(watch) = &mut self.watch {
            watch.end(ended.clone(), self.asked, now);
        }
        if self.at_stake.is_empty() {
            return self.conclude(&ended, known, now);
        }
        self.act.state = ActState::Running { stage: "looking what is loaded", since: self.asked };
        self.step = Step::Looking { ended, since: now };
    }

    /// Says how it ended; without `known` nobody can say what is loaded.
    pub(super) fn conclude(&mut self, ended: &Ended, known: Option<&Known>, now: Moment) {
        self.at_stake.clear();
        let (why, cancelled) = match ended {
            Ended::Failed { why, .. } => (offer(why, &self.displaced), false),
            Ended::Cancelled { stage } => (self.left(*stage, known), true),
            Ended::Ready => return,
        };
        self.act.state = ActState::Failed { why, cancelled, at: now };
    }

    /// What a cancel in this stage leaves behind.
    fn left(&self, stage: Stage, known: Option<&Known>) -> String {
        if self.watch.is_none() {
            return "cancelled".to_owned();
        }
        let Some(known) = known else { return unseen(stage) };
        let stays: Vec<&ModelName> = known
            .running
            .keys()
            .filter(|name| !self.displaced.contains(name) && !known.are_one(name, &self.act.model))
            .collect();
        left(stage, &self.act.model, &self.displaced.iter().collect::<Vec<_>>(), &stays)
    }

    /// The server is gone: what is loaded cannot be seen any more.
    pub fn give_up_looking(&mut self, now: Moment) {
        if let Step::Looking { ended, .. } = self.step.clone()
            && self.act.is_live()
        {
            self.conclude(&ended, None, now);
        }
    }

    /// Where the server chooses, what it no longer lists after the load was asked for went for it, unless its time was
    /// up.
    pub(super) fn see_what_went(&mut self, known: &mut Known) {
        let Some(listed) = known.ps_at.filter(|_| !self.at_stake.is_empty()) else { return };
        if known.ps_asked.is_none_or(|asked| asked.mono < self.loads_since.mono) {
            return;
        }
        let is_there = |(model, _): &(ModelName, Expiry)| known.running.contains_key(model);
        let (there, gone) = std::mem::take(&mut self.at_stake).into_iter().partition(is_there);
        self.at_stake = there;
        for (model, expiry) in gone {
            if matches!(expiry, Expiry::At(at) if at <= listed.wall) {
                continue;
            }
            if expiry == Expiry::Never {
                known.suspended_pins.insert(model.clone());
            }
            if let Some(watch) = &mut self.watch {
                watch.went(&model, listed.since(self.loads_since.mono));
            }
            self.displaced.push(model);
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
