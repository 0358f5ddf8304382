//! Acts as a state machine: what is sent when, and when it is done. It does no I/O; the manager carries out its
//! [`Job`]s and tells it the answers.

mod job;

use super::known::Known;
use super::observe::Asked;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::event::What;
use crate::residency::expiry::Expiry;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;
use crate::residency::timing::Moment;

pub(crate) use job::Job;
use job::{first_job, load_job};

/// Ended acts that are kept for front ends to see.
const KEPT: usize = 64;

/// Snapshots that may pass after an answer before an act that they do not show counts as failed.
const PATIENCE: u32 = 5;

/// What a job came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// The server said yes.
    Ok,
    /// It only embeds: load it through `/api/embed`.
    OnlyEmbeds,
    /// It failed: the words for the user.
    Failed(String),
}

/// What a snapshot must show for the act to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Goal {
    InVram,
    Gone,
    Forever,
    NotForever,
    Renewed { from: Option<Expiry> },
}

/// How far an act is inside.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Waiting,
    Asked(Job),
    Showing { goal: Goal, patience: u32 },
}

#[derive(Debug)]
struct Tracked {
    act: Act,
    asked: Moment,
    step: Step,
    /// A swap's victims that are still to be unloaded, first last.
    victims: Vec<ModelName>,
    /// Models that it unloaded for another.
    displaced: Vec<ModelName>,
    /// Its end has been made an event.
    told: bool,
}

/// All acts, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    list: Vec<Tracked>,
}

impl Acts {
    /// Takes a new act; it starts at the next [`Acts::start`].
    pub fn take(&mut self, id: ActId, kind: ActKind, model: ModelName, now: Moment) {
        let state = ActState::Queued { why: "about to start".to_owned(), since: now };
        self.list.push(Tracked {
            act: Act { id, kind, model, state, progress: None, swap: None },
            asked: now,
            step: Step::Waiting,
            victims: Vec::new(),
            displaced: Vec::new(),
            told: false,
        });
        forget_ended(&mut self.list, |tracked| &tracked.act);
    }

    /// For the snapshot.
    pub fn list(&self) -> Vec<Act> {
        self.list.iter().map(|tracked| tracked.act.clone()).collect()
    }

    /// Whether anything runs or waits.
    pub fn any_live(&self) -> bool {
        self.list.iter().any(|tracked| tracked.act.is_live())
    }

    /// What we asked for, for telling our own work from others'.
    pub fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for tracked in self.list.iter().filter(|tracked| tracked.act.is_running()) {
            let model = tracked.act.model.clone();
            for victim in &tracked.displaced {
                asked.unloads.insert(victim.clone(), tracked.asked);
            }
            match (&tracked.act.kind, &tracked.step) {
                (_, Step::Showing { goal: Goal::Gone, .. }) | (ActKind::Unload, _) => {
                    asked.unloads.insert(model, tracked.asked);
                }
                (ActKind::Unpin | ActKind::KeepAlive(_), _) => asked.unpins.push(model),
                _ => asked.loads.push(model),
            }
        }
        asked
    }

    fn load_in_flight(&self) -> Option<&ModelName> {
        self.list.iter().find_map(|tracked| match &tracked.step {
            Step::Asked(Job::Load { model, .. }) if tracked.act.is_live() => Some(model),
            _ => None,
        })
    }

    /// Starts what may start, and says what is to be sent. While a load is pending, ours or another client's,
    /// nothing else goes out (#17408 dead-locks the server); acts on one model go one after the other.
    pub fn start(&mut self, known: &Known, models: &[Model], now: Moment) -> Vec<(ActId, Job)> {
        let mut jobs = Vec::new();
        for at in 0..self.list.len() {
            if self.list[at].step != Step::Waiting || !self.list[at].act.is_live() {
                continue;
            }
            if let Some(why) = self.must_wait(at, known) {
                let since = self.list[at].asked;
                self.list[at].act.state = ActState::Queued { why, since };
                continue;
            }
            let tracked = &mut self.list[at];
            match first_job(&tracked.act, &mut tracked.victims, known, models) {
                Ok(Some(job)) => tracked.send(job, &mut jobs),
                Ok(None) => tracked.done(now),
                Err(why) => tracked.fail(why, false, now),
            }
        }
        jobs
    }

    fn must_wait(&self, at: usize, known: &Known) -> Option<String> {
        let act = &self.list[at].act;
        if let Some(loading) = self.load_in_flight().or_else(|| known.load_pending()) {
            return Some(format!("waits for the load of {loading}"));
        }
        let earlier =
            self.list[..at].iter().find(|other| other.act.is_live() && other.act.model == act.model)?;
        Some(format!("waits for the {} before it", earlier.act.kind.verb()))
    }

    /// Takes the answer to a job; a swap goes on with its next one.
    pub fn answered(
        &mut self,
        id: ActId,
        answer: Answer,
        known: &mut Known,
        now: Moment,
    ) -> Vec<(ActId, Job)> {
        let mut jobs = Vec::new();
        let Some(tracked) =
            self.list.iter_mut().find(|tracked| tracked.act.id == id && tracked.act.is_live())
        else {
            return jobs;
        };
        let Step::Asked(job) = tracked.step.clone() else { return jobs };
        match (answer, job) {
            (Answer::Failed(why), _) => tracked.fail(why, false, now),
            (Answer::OnlyEmbeds, Job::Load { model, keep_alive, num_ctx, embed: false }) => {
                tracked.send(Job::Load { model, keep_alive, num_ctx, embed: true }, &mut jobs);
            }
            (Answer::OnlyEmbeds, Job::Touch { model, keep_alive, num_ctx, embed: false }) => {
                tracked.send(Job::Touch { model, keep_alive, num_ctx, embed: true }, &mut jobs);
            }
            (Answer::OnlyEmbeds, _) => tracked.fail("the server cannot load it".to_owned(), false, now),
            (Answer::Ok, Job::Unload { .. }) if tracked.act.kind == ActKind::Swap => {
                let job = match tracked.victims.pop() {
                    Some(model) => Job::Unload { model },
                    None => load_job(&tracked.act, known),
                };
                tracked.send(job, &mut jobs);
            }
            (Answer::Ok, job) => tracked.show(&job, known),
        }
        jobs
    }

    /// Ends what the latest `/api/ps` shows as done, and what it should show by now but does not.
    pub fn settle(&mut self, known: &Known, now: Moment) {
        for tracked in self.list.iter_mut().filter(|tracked| tracked.act.is_live()) {
            let Step::Showing { goal, patience } = tracked.step else { continue };
            let running = known.running_as(&tracked.act.model);
            let forever = running.is_some_and(|running| running.expiry == Expiry::Never);
            let shown = match goal {
                Goal::InVram => running.is_some(),
                Goal::Gone => running.is_none(),
                Goal::Forever => forever,
                Goal::NotForever => running.is_some() && !forever,
                Goal::Renewed { from } => running.is_some_and(|running| {
                    Some(running.expiry) != from || forever || running.expiry.is_past(now.wall)
                }),
            };
            if shown {
                tracked.done(now);
            } else if goal == Goal::Gone {
                // An unload ends when the model's work ends, however long that takes.
            } else if patience == 0 {
                let why = match running {
                    None => "the server answered, but does not list it",
                    Some(_) => {
                        "the server answered, but its keep_alive did not change: another client may have set it"
                    }
                };
                tracked.fail(why.to_owned(), false, now);
            } else {
                tracked.step = Step::Showing { goal, patience: patience - 1 };
            }
        }
    }

    /// Cancels what runs or waits for `model`, or everything; says whose requests are to be dropped.
    pub fn cancel(&mut self, model: Option<&ModelName>, now: Moment) -> Vec<(ActId, ModelName)> {
        let mut dropped = Vec::new();
        for tracked in &mut self.list {
            if tracked.act.is_live() && model.is_none_or(|model| tracked.act.model == *model) {
                dropped.push((tracked.act.id, tracked.act.model.clone()));
                tracked.fail("cancelled".to_owned(), true, now);
            }
        }
        dropped
    }

    /// What ended since the last call and is worth an event of its own; loads and unloads are seen in `/api/ps`.
    pub fn news(&mut self) -> Vec<(ModelName, What)> {
        let mut news = Vec::new();
        for tracked in self.list.iter_mut().filter(|tracked| !tracked.told && !tracked.act.is_live()) {
            tracked.told = true;
            let verb = tracked.act.kind.verb();
            let what = match (&tracked.act.state, tracked.act.kind) {
                (ActState::Failed { cancelled: true, .. }, _) => What::Cancelled { verb },
                (ActState::Failed { why, .. }, _) => What::Failed { verb, why: why.clone() },
                (_, ActKind::Touch) => What::Touched { keep_alive: None },
                (_, ActKind::KeepAlive(keep_alive)) => What::Touched { keep_alive: Some(keep_alive) },
                _ => continue,
            };
            news.push((tracked.act.model.clone(), what));
        }
        news
    }
}

/// Of acts that have ended only the latest are kept.
pub(super) fn forget_ended<T>(list: &mut Vec<T>, act: impl Fn(&T) -> &Act) {
    let ended = list.iter().filter(|one| !act(one).is_live()).count();
    let mut excess = ended.saturating_sub(KEPT);
    list.retain(|one| {
        act(one).is_live() || excess == 0 || {
            excess -= 1;
            false
        }
    });
}

impl Tracked {
    fn send(&mut self, job: Job, jobs: &mut Vec<(ActId, Job)>) {
        if let Job::Unload { model } = &job
            && self.act.kind == ActKind::Swap
        {
            self.displaced.push(model.clone());
        }
        let stage = match &job {
            Job::Load { .. } => "loading",
            Job::Touch { .. } => "asking",
            Job::Unload { .. } if self.act.kind == ActKind::Swap => "making room",
            Job::Unload { .. } => "unloading",
        };
        self.act.state = ActState::Running { stage, since: self.asked };
        self.step = Step::Asked(job.clone());
        jobs.push((self.act.id, job));
    }

    /// The server said yes: now a snapshot has to show it.
    fn show(&mut self, job: &Job, known: &mut Known) {
        let model = &self.act.model;
        let running = known.running.get(model);
        let goal = match (self.act.kind, job) {
            (_, Job::Unload { .. }) => Goal::Gone,
            (ActKind::Pin | ActKind::KeepAlive(KeepAlive::Forever), _) => Goal::Forever,
            (ActKind::Unpin, _) => Goal::NotForever,
            (_, Job::Touch { .. }) => Goal::Renewed { from: running.map(|running| running.expiry) },
            _ => Goal::InVram,
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
        self.act.state = ActState::Done { took: now.since(self.asked.mono), at: now };
    }

    fn fail(&mut self, why: String, cancelled: bool, now: Moment) {
        self.act.state = ActState::Failed { why, cancelled, at: now };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Config;
    use crate::engine::facts::{Installed, Loading, Running};
    use crate::residency::bytes::Bytes;
    use crate::residency::forecast::Forecast;
    use crate::residency::snapshot::Details;

    fn name(text: &str) -> ModelName {
        ModelName::parse(text).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Moment {
        Moment { mono: Instant::now(), wall: "2026-11-23T12:00:00Z".parse().unwrap() }
    }

    fn known(installed: &[&str]) -> Known {
        let mut known = Known::new(Arc::new(Config::default()), "host".into(), true, None);
        known.tags_at = Some(now());
        for text in installed {
            let model = Installed { digest: (*text).to_owned(), size: Bytes(1), details: Details::default() };
            known.installed.insert(name(text), model);
        }
        known
    }

    fn run(known: &mut Known, text: &str, context: u64, expiry: Expiry) {
        let running = Running {
            digest: text.to_owned(),
            details: Details::default(),
            size: Bytes(1),
            size_vram: Bytes(1),
            context: Some(context),
            expiry,
            keep_alive: Some(KeepAlive::For(Duration::from_secs(600))),
            slides: 0,
            cut_short: false,
            pid: None,
            unseen: 0,
        };
        known.running.insert(name(text), running);
    }

    fn soon() -> Expiry {
        Expiry::At("2026-11-23T12:05:00Z".parse().unwrap())
    }

    fn begin(acts: &mut Acts, known: &Known, kind: ActKind, text: &str) -> Vec<Job> {
        let id = ActId(acts.list.len() as u64 + 1);
        acts.take(id, kind, name(text), now());
        acts.start(known, &[], now()).into_iter().map(|(_, job)| job).collect()
    }

    fn load(text: &str) -> Job {
        Job::Load { model: name(text), keep_alive: None, num_ctx: None, embed: false }
    }

    #[test]
    fn a_load_is_done_only_when_a_snapshot_shows_it() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        assert_eq!(begin(&mut acts, &known, ActKind::Load, "a"), [load("a")]);
        acts.answered(ActId(1), Answer::Ok, &mut known, now());
        acts.settle(&known, now());
        assert!(acts.any_live());
        run(&mut known, "a", 4096, soon());
        acts.settle(&known, now());
        assert!(matches!(acts.list()[0].state, ActState::Done { .. }));
    }

    #[test]
    fn a_load_that_no_snapshot_shows_fails_in_the_end() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        begin(&mut acts, &known, ActKind::Load, "a");
        acts.answered(ActId(1), Answer::Ok, &mut known, now());
        (0..=PATIENCE).for_each(|_| acts.settle(&known, now()));
        assert!(matches!(acts.list()[0].state, ActState::Failed { .. }));
        assert!(matches!(acts.news()[..], [(_, What::Failed { verb: "load", .. })]));
        assert_eq!(acts.news(), []);
    }

    #[test]
    fn a_touch_carries_the_context_that_is_loaded_and_no_keep_alive() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        run(&mut known, "a", 16384, soon());
        let job = Job::Touch { model: name("a"), keep_alive: None, num_ctx: Some(16384), embed: false };
        assert_eq!(begin(&mut acts, &known, ActKind::Touch, "a"), std::slice::from_ref(&job));
        acts.cancel(None, now());
        assert_eq!(begin(&mut acts, &known, ActKind::Load, "a"), [job]);
    }

    #[test]
    fn while_a_load_is_pending_nothing_else_goes_out() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
        run(&mut known, "b", 4096, soon());
        known.loading.insert(name("a"), Loading { since: now(), ours: false, from_ram: None });
        for kind in [ActKind::Touch, ActKind::Pin, ActKind::Unload] {
            assert_eq!(begin(&mut acts, &known, kind, "b"), []);
        }
        assert!(matches!(&acts.list()[0].state, ActState::Queued { why, .. } if why.contains("load of a")));
        known.loading.clear();
        assert_eq!(acts.start(&known, &[], now()).len(), 1, "one act on a model at a time");
    }

    #[test]
    fn a_swap_unloads_the_victims_in_order_and_loads_as_soon_as_the_last_is_answered() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b", "c"]));
        run(&mut known, "b", 4096, soon());
        run(&mut known, "c", 4096, soon());
        let snapshot =
            crate::engine::poll::join(&known, &std::collections::VecDeque::new(), Vec::new(), now());
        let mut models = snapshot.servers[0].models.clone();
        models[0].forecast = Some(Forecast { evicts: vec![name("c"), name("b")], why: String::new() });
        acts.take(ActId(1), ActKind::Swap, name("a"), now());
        let unload = |text| vec![(ActId(1), Job::Unload { model: name(text) })];
        assert_eq!(acts.start(&known, &models, now()), unload("c"));
        assert_eq!(acts.answered(ActId(1), Answer::Ok, &mut known, now()), unload("b"));
        assert_eq!(acts.answered(ActId(1), Answer::Ok, &mut known, now()), [(ActId(1), load("a"))]);
        assert!(acts.asked().unloads.contains_key(&name("b")), "both are our own unloads");
    }

    #[test]
    fn an_unload_waits_until_the_model_is_gone_however_long_it_works() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        run(&mut known, "a", 4096, soon());
        assert_eq!(begin(&mut acts, &known, ActKind::Unload, "a"), [Job::Unload { model: name("a") }]);
        acts.answered(ActId(1), Answer::Ok, &mut known, now());
        (0..100).for_each(|_| acts.settle(&known, now()));
        assert!(acts.any_live());
        known.running.clear();
        acts.settle(&known, now());
        assert!(matches!(acts.list()[0].state, ActState::Done { .. }));
    }

    #[test]
    fn an_unpin_restores_what_was_learned_before_the_pin() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        run(&mut known, "a", 4096, soon());
        begin(&mut acts, &known, ActKind::Pin, "a");
        acts.answered(ActId(1), Answer::Ok, &mut known, now());
        run(&mut known, "a", 4096, Expiry::Never);
        acts.settle(&known, now());
        let restored = Some(KeepAlive::For(Duration::from_secs(600)));
        let job = Job::Touch { model: name("a"), keep_alive: restored, num_ctx: Some(4096), embed: false };
        assert_eq!(begin(&mut acts, &known, ActKind::Unpin, "a"), [job]);
    }

    #[test]
    fn an_embedding_model_is_loaded_again_through_the_other_door() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        begin(&mut acts, &known, ActKind::Load, "a");
        let again = acts.answered(ActId(1), Answer::OnlyEmbeds, &mut known, now());
        assert!(matches!(&again[..], [(_, Job::Load { embed: true, .. })]));
    }

    #[test]
    fn cloud_models_and_unknown_names_are_refused_with_words() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        known.installed.get_mut(&name("a")).unwrap().details.remote_host = Some("https://ollama.com".into());
        assert_eq!(begin(&mut acts, &known, ActKind::Unload, "a"), []);
        assert_eq!(begin(&mut acts, &known, ActKind::Load, "b"), []);
        let whys: Vec<bool> =
            acts.list().iter().map(|act| matches!(&act.state, ActState::Failed { .. })).collect();
        assert_eq!(whys, [true, true]);
    }
}
