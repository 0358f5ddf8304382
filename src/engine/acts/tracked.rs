//! One act from the asking to its end, and on to when its record can be kept.

mod ending;
mod seen;

use super::goal::Goal;
use super::job::{First, first, load_job};
use super::plan::{lacks_past, objection, plan, waits_for};
use super::{Answer, Job, Order, Said, Stopwatch, Way};
use crate::engine::known::Known;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::expiry::Expiry;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;
use crate::residency::swap::{Ended, Stage, Wish};
use crate::residency::timing::Moment;

/// Snapshots that may pass after an answer before what they do not show counts as failed.
pub(super) const PATIENCE: u32 = 5;

/// What a load does, in a word or two.
const LOADING: &str = "loading";
const WAITING: &str = "waiting for a busy model";

/// How far an act is inside.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Waiting,
    Asked(Job),
    Showing {
        goal: Goal,
        patience: u32,
    },
    /// It did not end well; the next `/api/ps` that is asked shows what the server threw out for it.
    Looking {
        ended: Ended,
        since: Moment,
    },
}

/// A model that was asked to be unloaded and is not seen to be gone.
#[derive(Debug)]
struct Going {
    model: ModelName,
    asked: Moment,
    /// Snapshots after the act's end that may still show it as one that stays.
    patience: u32,
}

impl Going {
    fn new(model: &ModelName, asked: Moment) -> Going {
        Going { model: model.clone(), asked, patience: PATIENCE }
    }
}

/// A model that was loaded when a load was asked for which the server chooses what goes.
#[derive(Debug)]
struct AtStake {
    model: ModelName,
    expiry: Expiry,
    pid: Option<u32>,
    /// The latest `/api/ps` since then that still lists it.
    there: Option<Moment>,
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
    /// What it asked to be unloaded and is not seen to be gone, also after its own end.
    going: Vec<Going>,
    /// What was loaded when the load was asked for, where the server chooses what goes.
    at_stake: Vec<AtStake>,
    /// Nobody looked any more which of them went.
    unseen: bool,
    loads_since: Moment,
    /// When a model that was there already was asked for a token.
    token_asked: Option<Moment>,
    /// It stood in the queue behind others.
    pub queued: bool,
    /// Models at work that go for it, or may go.
    busy: Vec<ModelName>,
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
            act: Act { id, kind, model, state, progress: None, swap: None, first_token: None },
            wish,
            agreed,
            asked: now,
            step: Step::Waiting,
            victims: Vec::new(),
            displaced: Vec::new(),
            going: Vec::new(),
            at_stake: Vec::new(),
            unseen: false,
            loads_since: now,
            token_asked: None,
            queued: false,
            busy: Vec::new(),
            watch: None,
            doubt: None,
            told: false,
        }
    }

    /// For the snapshot.
    pub fn shown(&self) -> Act {
        let swap = self.watch.as_ref().map(|watch| std::sync::Arc::new(watch.swapping(self.went())));
        Act { swap, ..self.act.clone() }
    }

    /// What went for it; `None` where that is not seen.
    fn went(&self) -> Option<&[ModelName]> {
        let is_seen = !self.unseen && self.at_stake.is_empty();
        is_seen.then_some(self.displaced.as_slice())
    }

    /// Whether its load is known to wait for the work of a model that goes for it.
    fn is_waiting(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.stage() == Stage::Wait)
    }

    /// Whether it loads a model after a plan.
    pub fn is_swapping(&self) -> bool {
        self.watch.is_some()
    }

    /// Whether a pin is asked for and not seen yet.
    pub fn is_pinning(&self) -> bool {
        let pins = matches!(self.act.kind, ActKind::Pin | ActKind::KeepAlive(KeepAlive::Forever));
        pins && self.act.is_live() && self.step != Step::Waiting
    }

    pub fn is_reading(&self) -> bool {
        self.watch.as_ref().is_some_and(Stopwatch::is_reading)
    }

    /// Whether it is to be told first how its files are best read, or for how long it is to stay.
    pub fn lacks_past(&self, known: &Known, now: Moment) -> bool {
        let loads = matches!(self.act.kind, ActKind::Load | ActKind::Swap);
        let sets = loads || matches!(self.act.kind, ActKind::Touch | ActKind::Unpin);
        let is_due = known.past_by.is_some_and(|by| now.mono < by.mono);
        if sets && is_due && known.config.keep_alive_auto && known.tunings.is_none() {
            return true;
        }
        loads && lacks_past(&self.act.model, &self.wish, known, now)
    }

    /// Starts it: nothing keeps it from being carried out now.
    pub fn begin(&mut self, known: &mut Known, models: &[Model], now: Moment, jobs: &mut Vec<(ActId, Job)>) {
        match first(&self.act, &self.wish, known) {
            Ok(First::Send(job)) => {
                match &job {
                    Job::Unload { model } => self.going.push(Going::new(model, now)),
                    Job::FirstToken { .. } => self.token_asked = Some(now),
                    _ => {}
                }
                self.send(job, jobs);
            }
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
        self.busy = waits_for(&plan, models);
        let way = plan.way;
        let watch = self.watch.insert(Stopwatch::new(plan, now));
        if self.queued {
            watch.queued(now.since(self.asked.mono));
        }
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
            self.going.push(Going::new(&model, now));
            return self.send(Job::Unload { model }, jobs);
        }
        watch.load(&self.busy, known, now);
        // What goes by the server's own choice is to be seen; of a swap's victims each was asked to.
        let goes = |name: &ModelName| watch.plan.server_chooses || watch.plan.goes.contains(name);
        if watch.plan.server_chooses || self.act.kind != ActKind::Swap {
            let others = known.runs().filter(|(name, _)| goes(name) && !known.are_one(name, &self.act.model));
            let at_stake = others.map(|(name, running)| AtStake {
                model: name.clone(),
                expiry: running.expiry,
                pid: known.runner(name).map(|runner| runner.pid),
                there: None,
            });
            self.at_stake = at_stake.collect();
            self.loads_since = now;
        }
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
            Job::Load { .. } if self.is_waiting() => WAITING,
            Job::Load { .. } => LOADING,
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
        if let (Answer::Ok(_), Job::Load { model, .. }) = (&answer, &job) {
            known.answered.insert(model.clone(), now);
        }
        match (answer, job) {
            (Answer::Failed(why), job) => {
                if let Job::Unload { model } = &job {
                    self.displaced.retain(|displaced| displaced != model);
                    self.going.retain(|going| going.model != *model);
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
            // It was there already, and only the server knows that it has no token to say.
            (Answer::OnlyEmbeds, Job::FirstToken { model, keep_alive, num_ctx }) if self.watch.is_none() => {
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
                match &mut self.watch {
                    Some(watch) => watch.spoke(came),
                    None => self.act.first_token = self.token_asked.map(|asked| came.since(asked.mono)),
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

    fn done(&mut self, now: Moment) {
        if let Some(watch) = &mut self.watch {
            watch.end(Ended::Ready, self.asked, now);
        }
        self.act.state = ActState::Done { took: now.since(self.asked.mono), at: now };
    }
}
