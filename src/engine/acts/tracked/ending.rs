//! How an act ends that does not end well: what went for it is looked for first, then said.

use super::super::words::{left, offer, unseen};
use super::{Step, Stopwatch, Tracked};
use crate::engine::known::Known;
use crate::residency::act::ActState;
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
        self.unseen = known.is_none() && !self.at_stake.is_empty();
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
        self.going.clear();
        if let Step::Looking { ended, .. } = self.step.clone()
            && self.act.is_live()
        {
            self.conclude(&ended, None, now);
        }
    }
}
