//! One act from the asking to its end, and on to when its record can be kept.

use super::goal::Goal;
use super::job::{First, first, load_job};
use super::plan::{objection, plan};
use super::words::{left, offer};
use super::{Answer, Job, Order, Said, Stopwatch, Way};
use crate::engine::known::Known;
use crate::engine::observe::Asked;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::expiry::Expiry;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::record::SwapRecord;
use crate::residency::snapshot::Model;
use crate::residency::swap::{Ended, Stage, Wish};
use crate::residency::timing::Moment;

/// Snapshots that may pass after an answer before what they do not show counts as failed.
pub(super) const PATIENCE: u32 = 5;

/// How far an act is inside.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Waiting,
    Asked(Job),
    Showing { goal: Goal, patience: u32 },
}

#[derive(Debug)]
pub(super) struct Tracked {
    pub act: Act,
    wish: Wish,
    agreed: Option<Vec<ModelName>>,
    pub asked: Moment,
    pub step: Step,
    /// A swap's victims that are still to be unloaded, first last.
    victims: Vec<ModelName>,
    /// Models that it unloaded for another.
    displaced: Vec<ModelName>,
    /// The plan and the clocks, of a load or a swap that has begun.
    watch: Option<Stopwatch>,
    /// Snapshots that may still pass before a model that was said to be loaded must be listed.
    pub doubt: Option<u32>,
    /// Its end has been made an event.
    pub told: bool,
}

impl Tracked {
    pub fn new(order: Order, now: Moment) -> Tracked {
        let state = ActState::Queued { why: "about to start".to_owned(), since: now };
        let Order { id, kind, model, wish, agreed } = order;
        Tracked {
            act: Act { id, kind, model, state, progress: None, swap: None },
            wish,
            agreed,
            asked: now,
            step: Step::Waiting,
            victims: Vec::new(),
            displaced: Vec::new(),
            watch: None,
            doubt: None,
            told: false,
        }
    }

    /// For the snapshot.
    pub fn shown(&self) -> Act {
        let swap = self.watch.as_ref().map(|watch| std::sync::Arc::new(watch.swapping()));
        Act { swap, ..self.act.clone() }
    }

    /// Whether it loads a model after a plan.
    pub fn is_swapping(&self) -> bool {
        self.watch.is_some()
    }

    pub fn looks_on(&self) -> bool {
        self.watch.as_ref().is_some_and(Stopwatch::looks_on)
    }

    /// Whether what has to go is to be looked for often: while it goes, and a little after the end.
    pub fn is_watching(&self) -> bool {
        self.watch.as_ref().is_some_and(Stopwatch::lacks) && (self.act.is_live() || self.looks_on())
    }

    pub fn is_reading(&self) -> bool {
        self.watch.as_ref().is_some_and(Stopwatch::is_reading)
    }

    /// Says what of the server's doings is our own work.
    pub fn tell_asked(&self, asked: &mut Asked) {
        if self.act.is_running() || self.looks_on() {
            asked.unloads.extend(self.displaced.iter().map(|victim| (victim.clone(), self.asked)));
        }
        if !self.act.is_running() {
            return;
        }
        let model = self.act.model.clone();
        match (self.act.kind, &self.step) {
            (_, Step::Showing { goal: Goal::Gone, .. }) | (ActKind::Unload, _) => {
                asked.unloads.insert(model, self.asked);
            }
            (ActKind::Unpin | ActKind::KeepAlive(_), _) => asked.unpins.push(model),
            _ => asked.loads.push(model),
        }
    }

    /// Starts it: nothing keeps it from being carried out now.
    pub fn begin(&mut self, known: &mut Known, models: &[Model], now: Moment, jobs: &mut Vec<(ActId, Job)>) {
        match first(&self.act, &self.wish, known) {
            Ok(First::Send(job)) => self.send(job, jobs),
            Ok(First::Nothing) => self.done(now),
            Ok(First::Load) => self.begin_load(known, models, now, jobs),
            Err(why) => self.fail(why, now),
        }
    }

    fn begin_load(&mut self, known: &mut Known, models: &[Model], now: Moment, jobs: &mut Vec<(ActId, Job)>) {
        let model = self.act.model.clone();
        let plan = plan(&model, &self.wish, known, models);
        let agreed = self.agreed.as_deref();
        if let Some(why) = objection((self.act.kind, &model), &plan, &self.wish, agreed, models) {
            return self.fail(why, now);
        }
        // A load leaves it to the server what goes.
        if self.act.kind == ActKind::Swap {
            self.victims = plan.goes.iter().rev().cloned().collect();
        }
        let way = plan.way;
        let watch = self.watch.insert(Stopwatch::new(plan, now));
        if way != Way::First {
            return self.go_on(known, now, jobs);
        }
        watch.enter(Stage::Read, now);
        watch.read(now);
        self.send(Job::Read { model }, jobs);
    }

    /// Sends the next unload, or the load.
    fn go_on(&mut self, known: &mut Known, now: Moment, jobs: &mut Vec<(ActId, Job)>) {
        let Some(watch) = &mut self.watch else { return };
        if let Some(model) = self.victims.pop() {
            watch.unload(&model, known, now);
            if known.running.get(&model).is_some_and(|running| running.expiry == Expiry::Never) {
                known.suspended_pins.insert(model.clone());
            }
            self.displaced.push(model.clone());
            return self.send(Job::Unload { model }, jobs);
        }
        watch.enter(Stage::Load, now);
        let model = self.act.model.clone();
        let job = load_job(self.act.kind, &model, watch.plan.num_ctx, known);
        if watch.plan.way == Way::Beside {
            watch.read(now);
            jobs.push((self.act.id, Job::Read { model }));
        }
        self.send(job, jobs);
    }

    fn send(&mut self, job: Job, jobs: &mut Vec<(ActId, Job)>) {
        let stage = match &job {
            Job::Load { .. } => "loading",
            Job::Touch { .. } => "asking",
            Job::Unload { .. } if self.act.kind == ActKind::Swap => "making room",
            Job::Unload { .. } => "unloading",
            Job::FirstToken { .. } => "waiting for the first token",
            Job::Read { .. } | Job::ReadNoMore => "reading ahead",
        };
        self.act.state = ActState::Running { stage, since: self.asked };
        self.step = Step::Asked(job.clone());
        jobs.push((self.act.id, job));
    }

    /// Takes the answer to the job that it waits for.
    pub fn answered(&mut self, answer: Answer, known: &mut Known, now: Moment, jobs: &mut Vec<(ActId, Job)>) {
        let Step::Asked(job) = self.step.clone() else { return };
        match (answer, job) {
            (Answer::Failed(why), job) => {
                if let Job::Unload { model } = &job {
                    self.displaced.retain(|displaced| displaced != model);
                }
                self.read_no_more(jobs);
                self.fail(why, now);
            }
            (Answer::OnlyEmbeds, Job::Load { model, keep_alive, num_ctx, embed: false }) => {
                self.send(Job::Load { model, keep_alive, num_ctx, embed: true }, jobs);
            }
            (Answer::OnlyEmbeds, Job::Touch { model, keep_alive, num_ctx, embed: false }) => {
                self.send(Job::Touch { model, keep_alive, num_ctx, embed: true }, jobs);
            }
            (Answer::OnlyEmbeds, _) => {
                self.read_no_more(jobs);
                self.fail("the server cannot load it".to_owned(), now);
            }
            (Answer::Ok(_), Job::Unload { .. }) if self.watch.is_some() => {
                if let Some(watch) = &mut self.watch {
                    watch.unloaded(now);
                }
                self.go_on(known, now, jobs);
            }
            (Answer::Ok(said), Job::Load { model, keep_alive, num_ctx, embed }) if self.watch.is_some() => {
                if let Some(load) = known.loading.get_mut(&model) {
                    load.answered = Some(now);
                }
                self.read_no_more(jobs);
                let first_token = self.wish.first_token && !embed;
                if let Some(watch) = &mut self.watch {
                    watch.loaded(said.server_load, now);
                    if first_token {
                        watch.enter(Stage::FirstToken, now);
                    }
                }
                self.doubt = Some(PATIENCE);
                if first_token {
                    self.send(Job::FirstToken { model, keep_alive, num_ctx }, jobs);
                } else {
                    self.done(now);
                }
            }
            (Answer::Ok(Said { first_line, .. }), Job::FirstToken { .. }) => {
                let came = first_line.unwrap_or(now);
                if let Some(watch) = &mut self.watch {
                    watch.spoke(came);
                }
                self.done(came);
            }
            // Already there: nothing is to be seen.
            (Answer::Ok(_), Job::Touch { .. }) if matches!(self.act.kind, ActKind::Load | ActKind::Swap) => {
                self.done(now);
            }
            (Answer::Ok(_), job) => self.show(&job, known),
        }
    }

    fn read_no_more(&mut self, jobs: &mut Vec<(ActId, Job)>) {
        if self.is_reading() {
            jobs.push((self.act.id, Job::ReadNoMore));
        }
    }

    /// Our own reader got so far; `over` when nothing more comes of it.
    pub fn read_on(
        &mut self,
        read: Bytes,
        over: bool,
        known: &mut Known,
        now: Moment,
        jobs: &mut Vec<(ActId, Job)>,
    ) {
        let Some(watch) = &mut self.watch else { return };
        watch.read_on(read, over, now);
        if over && matches!(self.step, Step::Asked(Job::Read { .. })) && self.act.is_live() {
            self.go_on(known, now, jobs);
        }
    }

    /// Our own reader must not read: it goes on without.
    pub fn reads_nothing(&mut self, known: &mut Known, now: Moment, jobs: &mut Vec<(ActId, Job)>) {
        let Some(watch) = &mut self.watch else { return };
        watch.reads_nothing();
        if matches!(self.step, Step::Asked(Job::Read { .. })) {
            self.go_on(known, now, jobs);
        }
    }

    /// The server said yes: now a snapshot has to show it.
    fn show(&mut self, job: &Job, known: &mut Known) {
        let model = &self.act.model;
        let running = known.running.get(model);
        let goal = match (self.act.kind, job) {
            (_, Job::Unload { .. }) => Goal::Gone,
            (ActKind::Pin | ActKind::KeepAlive(KeepAlive::Forever), _) => Goal::Forever,
            (ActKind::Unpin, _) => Goal::NotForever,
            _ => Goal::Renewed { from: running.map(|running| running.expiry) },
        };
        if self.act.kind == ActKind::Pin
            && let Some(before) = running.and_then(|running| running.keep_alive)
            && !before.is_forever()
        {
            known.before_pin.insert(model.clone(), before);
        }
        let stage = if goal == Goal::Gone { "waiting until it is gone" } else { "waiting to see it" };
        self.act.state = ActState::Running { stage, since: self.asked };
        self.step = Step::Showing { goal, patience: PATIENCE };
    }

    /// Takes the latest `/api/ps`; says what it contradicts that was taken for done.
    pub fn settle(&mut self, known: &mut Known, now: Moment) -> Option<(ModelName, What)> {
        if let Some(watch) = &mut self.watch {
            watch.tick();
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

    /// Whether `/api/ps` lists what the server said is loaded.
    fn check(&mut self, known: &mut Known) -> Option<(ModelName, What)> {
        let left = self.doubt.take()?;
        if known.running_as(&self.act.model).is_some() {
            return None;
        }
        if left > 0 {
            self.doubt = Some(left - 1);
            return None;
        }
        let model = self.act.model.clone();
        known.loading.remove(&model);
        let why = "the server said it is loaded, but does not list it".to_owned();
        Some((model, What::Failed { verb: self.act.kind.verb(), why }))
    }

    pub fn look(&mut self, known: &Known) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.looks_on() || self.act.is_live()) {
            watch.look(known);
        }
    }

    pub fn record(&mut self, known: &Known, now_or_never: bool) -> Option<SwapRecord> {
        let mut displaced = self.displaced.clone();
        let watch = self.watch.as_mut()?;
        if self.act.kind == ActKind::Load {
            // What the server threw out for it.
            displaced.extend(watch.plan.goes.iter().filter(|m| !known.running.contains_key(m)).cloned());
        }
        watch.record(&self.act.model, &displaced, known.load_mode(), now_or_never)
    }

    fn done(&mut self, now: Moment) {
        if let Some(watch) = &mut self.watch {
            watch.end(Ended::Ready, self.asked, now);
        }
        self.act.state = ActState::Done { took: now.since(self.asked.mono), at: now };
    }

    fn fail(&mut self, why: String, now: Moment) {
        let words = offer(&why, &self.displaced);
        if let Some(watch) = &mut self.watch {
            let stage = watch.stage();
            watch.end(Ended::Failed { stage, why }, self.asked, now);
        }
        self.act.state = ActState::Failed { why: words, cancelled: false, at: now };
    }

    /// The user does not want it any more; its request is dropped.
    pub fn cancel(&mut self, known: &Known, now: Moment) {
        let mut why = "cancelled".to_owned();
        if let Some(watch) = &mut self.watch {
            let stage = watch.stage();
            let stays: Vec<&ModelName> = known
                .running
                .keys()
                .filter(|name| !self.displaced.contains(name) && !known.are_one(name, &self.act.model))
                .collect();
            why = left(stage, &self.act.model, &self.displaced.iter().collect::<Vec<_>>(), &stays);
            watch.end(Ended::Cancelled { stage }, self.asked, now);
        }
        self.act.state = ActState::Failed { why, cancelled: true, at: now };
    }
}
