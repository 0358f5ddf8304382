//! Acts as a state machine: what is sent when, and when it is done. It does no I/O; the manager carries out its
//! [`Job`]s and tells it the answers.

mod goal;
mod job;
mod plan;
mod stopwatch;
mod tracked;
mod words;

use std::time::Duration;

use super::known::Known;
use super::observe::Asked;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::record::SwapRecord;
use crate::residency::snapshot::Model;
use crate::residency::swap::{Way, Wish};
use crate::residency::timing::Moment;

pub(crate) use job::Job;
pub(in crate::engine) use plan::victims;
use stopwatch::Stopwatch;
use tracked::{Step, Tracked};

/// Ended acts that are kept for front ends to see.
const KEPT: usize = 64;

/// So many acts that are asked for here run or wait; one more is refused, lest a server that hangs lets them pile up.
const MOST_LIVE: usize = 64;

/// Between two looks at runners and cards while something goes: a fifth of what the shortest swap takes.
const LOOK: Duration = Duration::from_millis(50);

/// What a job came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// The server said yes.
    Ok(Said),
    /// It only embeds: load it through `/api/embed`.
    OnlyEmbeds,
    /// It failed: the words for the user.
    Failed(String),
}

/// What else an answer says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Said {
    /// What the load took by the server's own clock.
    pub server_load: Option<Duration>,
    /// When the first line of it came.
    pub first_line: Option<Moment>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Names it.
    pub id: ActId,
    /// What.
    pub kind: ActKind,
    /// To which model.
    pub model: ModelName,
    /// What else.
    pub wish: Wish,
    /// What the forecast named when it was asked for.
    pub agreed: Option<Vec<ModelName>>,
}

/// All acts, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    list: Vec<Tracked>,
}

impl Acts {
    /// Takes a new act; it starts at the next [`Acts::start`]. Where too many wait it has failed already.
    pub fn take(&mut self, order: Order, now: Moment) {
        let live = self.list.iter().filter(|tracked| tracked.act.is_live()).count();
        let mut tracked = Tracked::new(order, now);
        if live >= MOST_LIVE && !tracked.act.id.is_own() {
            let why = format!("busy: {live} acts wait already; try again");
            tracked.act.state = ActState::Failed { why, cancelled: false, at: now };
        }
        self.list.push(tracked);
        forget_ended(&mut self.list, |tracked| &tracked.act);
    }

    /// For the snapshot.
    pub fn list(&self) -> Vec<Act> {
        self.list.iter().map(Tracked::shown).collect()
    }

    /// Whether anything runs or waits.
    pub fn any_live(&self) -> bool {
        self.list.iter().any(|tracked| tracked.act.is_live())
    }

    /// Whether anything runs or waits for a model.
    pub fn is_live_for(&self, model: &ModelName) -> bool {
        self.list.iter().any(|tracked| tracked.act.is_live() && tracked.act.model == *model)
    }

    /// Whether anything runs or waits that loads a model, or unloads one.
    pub fn any_load_live(&self) -> bool {
        let loads = |kind| matches!(kind, ActKind::Load | ActKind::Swap | ActKind::Pin | ActKind::Unload);
        self.list.iter().any(|tracked| tracked.act.is_live() && loads(tracked.act.kind))
    }

    /// Whether an act that has ended is still to be seen: what had to go is not gone, or what was loaded is not listed.
    pub fn any_unseen(&self) -> bool {
        self.list.iter().any(|tracked| tracked.doubt.is_some() || tracked.looks_on())
    }

    /// How often runners and cards are to be looked at for what goes for a swap; `None` where nothing does.
    pub fn look_period(&self, known: &Known, now: Moment) -> Option<Duration> {
        if self.list.iter().any(Tracked::is_watching) {
            return Some(LOOK);
        }
        self.list.iter().filter_map(|tracked| tracked.choice_period(known, now)).min()
    }

    /// What we asked for, for telling our own work from others'.
    pub fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for tracked in &self.list {
            tracked.tell_asked(&mut asked);
        }
        asked
    }

    /// The model whose files our own reader reads for a load or a swap.
    pub fn reading(&self) -> Option<&ModelName> {
        self.list.iter().find(|tracked| tracked.act.is_live() && tracked.is_reading()).map(|t| &t.act.model)
    }

    fn load_in_flight(&self) -> Option<&ModelName> {
        self.list.iter().find_map(|tracked| match &tracked.step {
            Step::Asked(Job::Load { model, .. }) if tracked.act.is_live() => Some(model),
            _ => None,
        })
    }

    /// Starts what may start, and says what is to be sent. While a load is pending, ours or another client's,
    /// nothing else goes out (#17408 dead-locks the server); acts on one model go one after the other.
    pub fn start(&mut self, known: &mut Known, models: &[Model], now: Moment) -> Vec<(ActId, Job)> {
        let mut jobs = Vec::new();
        for at in 0..self.list.len() {
            if self.list[at].step != Step::Waiting || !self.list[at].act.is_live() {
                continue;
            }
            if let Some(why) = self.must_wait(at, known) {
                let since = self.list[at].asked;
                self.list[at].queued = true;
                self.list[at].act.state = ActState::Queued { why, since };
                continue;
            }
            if !self.list[at].lacks_past(known, now) {
                self.list[at].begin(known, models, now, &mut jobs);
            }
        }
        jobs
    }

    fn must_wait(&self, at: usize, known: &Known) -> Option<String> {
        let act = &self.list[at].act;
        if let Some(loading) = self.load_in_flight().or_else(|| known.load_pending()) {
            return Some(format!("waits for the load of {loading}"));
        }
        // What must go for it is not known before the other has ended.
        let loads = matches!(act.kind, ActKind::Load | ActKind::Swap);
        let swaps = |other: &&Tracked| other.act.is_live() && other.is_swapping();
        if let Some(other) = self.list[..at].iter().find(swaps).filter(|_| loads) {
            return Some(format!("waits for the {} of {}", other.act.kind.verb(), other.act.model));
        }
        // What is about to be pinned is no model to displace unasked, and only the next list shows its pin.
        let pins = |other: &&Tracked| other.is_pinning() && other.act.model != act.model;
        if let Some(other) = self.list.iter().find(pins).filter(|_| loads) {
            return Some(format!("waits for the pin of {}", other.act.model));
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
        if let Some(tracked) = self.live(id) {
            tracked.answered(answer, known, now, &mut jobs);
        }
        jobs
    }

    /// Our own reader got so far for a load or a swap; `over` when nothing more comes of it.
    pub fn read_on(
        &mut self,
        id: ActId,
        read: Bytes,
        over: bool,
        known: &mut Known,
        now: Moment,
    ) -> Vec<(ActId, Job)> {
        let mut jobs = Vec::new();
        if let Some(tracked) = self.list.iter_mut().find(|tracked| tracked.act.id == id) {
            tracked.read_on(read, over, known, now, &mut jobs);
        }
        jobs
    }

    /// Our own reader must not read for it: it goes on without.
    pub fn reads_nothing(&mut self, id: ActId, known: &mut Known, now: Moment) -> Vec<(ActId, Job)> {
        let mut jobs = Vec::new();
        if let Some(tracked) = self.live(id) {
            tracked.reads_nothing(known, now, &mut jobs);
        }
        jobs
    }

    /// The act of a load or a swap that our own reader reads for.
    pub fn reader_of(&mut self, id: ActId) -> Option<&mut Act> {
        let found = self.list.iter_mut().find(|tracked| tracked.act.id == id && tracked.is_reading())?;
        Some(&mut found.act)
    }

    /// Loads and swaps that our own reader reads for.
    pub fn read_for(&self) -> Vec<ActId> {
        self.list.iter().filter(|tracked| tracked.is_reading()).map(|tracked| tracked.act.id).collect()
    }

    fn live(&mut self, id: ActId) -> Option<&mut Tracked> {
        self.list.iter_mut().find(|tracked| tracked.act.id == id && tracked.act.is_live())
    }

    /// Ends what the latest `/api/ps` shows as done, and what it should show by now but does not; says what it
    /// contradicts that was taken for done.
    pub fn settle(&mut self, known: &mut Known, now: Moment) -> Vec<(ModelName, What)> {
        let mut contradicted = Vec::new();
        for tracked in &mut self.list {
            contradicted.extend(tracked.settle(known, now));
        }
        self.look(known);
        contradicted
    }

    /// The server is gone: what is loaded cannot be seen any more.
    pub fn give_up_looking(&mut self, now: Moment) {
        self.list.iter_mut().for_each(|tracked| tracked.give_up_looking(now));
    }

    /// Takes what the latest readings show of models that have to go.
    pub fn look(&mut self, known: &mut Known) {
        self.list.iter_mut().for_each(|tracked| tracked.look(known));
    }

    /// Loads and swaps that are over and all seen of; `now_or_never` also those of which something is still to come.
    pub fn records(&mut self, known: &Known, now_or_never: bool) -> Vec<SwapRecord> {
        self.list.iter_mut().filter_map(|tracked| tracked.record(known, now_or_never)).collect()
    }

    /// Cancels what runs or waits for `model`, or everything; says whose requests are to be dropped.
    pub fn cancel(
        &mut self,
        model: Option<&ModelName>,
        known: &Known,
        now: Moment,
    ) -> Vec<(ActId, ModelName)> {
        let mut dropped = Vec::new();
        for tracked in &mut self.list {
            if tracked.act.is_live() && model.is_none_or(|model| tracked.act.model == *model) {
                dropped.push((tracked.act.id, tracked.act.model.clone()));
                tracked.cancel(known, now);
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
                (ActState::Failed { why, cancelled: true, .. }, _) => {
                    let left = why.strip_prefix("cancelled ").map(ToOwned::to_owned);
                    What::Cancelled { verb, left }
                }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::tracked::PATIENCE;
    use super::*;
    use crate::config::{Config, Pins};
    use crate::engine::facts::{Installed, Loading, Running};
    use crate::residency::bytes::Bytes;
    use crate::residency::expiry::Expiry;
    use crate::residency::forecast::Forecast;
    use crate::residency::host::{LoadMode, Runner, Runners};
    use crate::residency::keep_alive::KeepAlive;
    use crate::residency::snapshot::Details;
    use crate::residency::swap::{Ended, Stage};
    use crate::residency::tune::Tuning;
    use crate::residency::tune::policy::Rule;
    use crate::residency::tune::trace::{Trace, Use};

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
            context: Some(context),
            expiry,
            keep_alive: Some(KeepAlive::For(Duration::from_secs(600))),
            ..Running::listed(text, Bytes(1))
        };
        known.running.insert(name(text), running);
    }

    fn soon() -> Expiry {
        Expiry::At("2026-11-23T12:05:00Z".parse().unwrap())
    }

    fn order(acts: &Acts, kind: ActKind, text: &str) -> Order {
        let id = ActId(acts.list.len() as u64 + 1);
        Order { id, kind, model: name(text), wish: Wish::default(), agreed: None }
    }

    fn ok() -> Answer {
        Answer::Ok(Said::default())
    }

    fn begin(acts: &mut Acts, known: &mut Known, kind: ActKind, text: &str) -> Vec<Job> {
        acts.take(order(acts, kind, text), now());
        acts.start(known, &[], now()).into_iter().map(|(_, job)| job).collect()
    }

    fn load(text: &str) -> Job {
        Job::Load { model: name(text), keep_alive: None, num_ctx: None, embed: false }
    }

    #[test]
    fn a_load_is_done_when_it_is_answered_and_stays_pending_until_a_snapshot_lists_it() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        assert_eq!(begin(&mut acts, &mut known, ActKind::Load, "a"), [load("a")]);
        known.loading.insert(name("a"), pending());
        acts.answered(ActId(1), ok(), &mut known, now());
        assert!(matches!(acts.list()[0].state, ActState::Done { .. }));
        assert!(known.loading[&name("a")].answered.is_some());
        assert_eq!(begin(&mut acts, &mut known, ActKind::Unload, "a"), [], "it is not listed yet");
        run(&mut known, "a", 4096, soon());
        assert_eq!(acts.settle(&mut known, now()), []);
        assert!(!acts.any_unseen());
    }

    #[test]
    fn a_load_that_no_snapshot_lists_is_contradicted_in_the_end_once() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        begin(&mut acts, &mut known, ActKind::Load, "a");
        acts.answered(ActId(1), ok(), &mut known, now());
        assert_eq!(acts.asked().loads, [name("a")], "whoever sees no runner still knows that it is ours");
        let told: Vec<usize> = (0..PATIENCE + 3).map(|_| acts.settle(&mut known, now()).len()).collect();
        assert_eq!(told, [0, 0, 0, 0, 0, 1, 0, 0]);
        assert!(!acts.any_unseen());
    }

    #[test]
    fn a_touch_carries_the_context_that_is_loaded_and_no_keep_alive() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        run(&mut known, "a", 16384, soon());
        let job = Job::Touch { model: name("a"), keep_alive: None, num_ctx: Some(16384), embed: false };
        assert_eq!(begin(&mut acts, &mut known, ActKind::Touch, "a"), std::slice::from_ref(&job));
        acts.cancel(None, &known, now());
        assert_eq!(begin(&mut acts, &mut known, ActKind::Load, "a"), [job]);
    }

    #[test]
    fn while_a_load_is_pending_nothing_else_goes_out() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
        run(&mut known, "b", 4096, soon());
        known
            .loading
            .insert(name("a"), Loading { since: now(), ours: false, answered: None, from_ram: None });
        for kind in [ActKind::Touch, ActKind::Pin, ActKind::Unload] {
            assert_eq!(begin(&mut acts, &mut known, kind, "b"), []);
        }
        assert!(matches!(&acts.list()[0].state, ActState::Queued { why, .. } if why.contains("load of a")));
        known.loading.clear();
        assert_eq!(acts.start(&mut known, &[], now()).len(), 1, "one act on a model at a time");
    }

    fn pending() -> Loading {
        Loading { since: now(), ours: true, answered: None, from_ram: None }
    }

    /// The models as a snapshot has them; what loading `a` would evict.
    fn models(known: &Known, evicts: &[&str]) -> Vec<Model> {
        let snapshot =
            crate::engine::poll::join(known, &std::collections::VecDeque::new(), Vec::new(), now());
        let mut models = snapshot.servers[0].models.clone();
        models[0].forecast =
            Some(Forecast { evicts: evicts.iter().map(|text| name(text)).collect(), why: String::new() });
        models
    }

    /// A swap to `a` beside `b` and `c`, of which `b` is pinned.
    fn swap(evicts: &[&str], change: impl FnOnce(&mut Order)) -> (Acts, Known, Vec<(ActId, Job)>) {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b", "c"]));
        run(&mut known, "b", 4096, Expiry::Never);
        run(&mut known, "c", 4096, soon());
        let models = models(&known, evicts);
        let mut order = order(&acts, ActKind::Swap, "a");
        change(&mut order);
        acts.take(order, now());
        let jobs = acts.start(&mut known, &models, now());
        (acts, known, jobs)
    }

    fn unload(text: &str) -> Vec<(ActId, Job)> {
        vec![(ActId(1), Job::Unload { model: name(text) })]
    }

    fn why(acts: &Acts) -> String {
        let ActState::Failed { why, .. } = &acts.list()[0].state else { panic!("{:?}", acts.list()) };
        why.clone()
    }

    #[test]
    fn a_swap_unloads_the_victims_in_order_and_loads_as_soon_as_the_last_is_answered() {
        let (mut acts, mut known, jobs) = swap(&["c", "b"], |_| {});
        assert_eq!(jobs, unload("c"));
        assert_eq!(acts.answered(ActId(1), ok(), &mut known, now()), unload("b"));
        assert_eq!(acts.answered(ActId(1), ok(), &mut known, now()), [(ActId(1), load("a"))]);
        assert!(acts.asked().unloads.contains_key(&name("b")), "both are our own unloads");
        acts.answered(ActId(1), ok(), &mut known, now());
        assert!(matches!(acts.list()[0].state, ActState::Done { .. }));
        assert!(acts.asked().unloads.contains_key(&name("b")), "also while they go after the end");
        let swap = acts.list()[0].swap.clone().unwrap();
        assert_eq!((&swap.plan.goes[..], &swap.plan.stays[..]), (&[name("c"), name("b")][..], &[][..]));
        assert_eq!((swap.stage, &swap.ended), (None, &Some(Ended::Ready)));
    }

    #[test]
    fn a_pin_that_a_swap_displaces_comes_back_with_the_model() {
        let (mut acts, mut known, jobs) = swap(&["b"], |_| {});
        assert_eq!(jobs, unload("b"));
        acts.answered(ActId(1), ok(), &mut known, now());
        acts.answered(ActId(1), ok(), &mut known, now());
        known.running.remove(&name("b"));
        let keep_alive = Some(KeepAlive::Forever);
        let back = Job::Load { model: name("b"), keep_alive, num_ctx: None, embed: false };
        assert_eq!(begin(&mut acts, &mut known, ActKind::Swap, "b"), [back]);
        acts.cancel(None, &known, now());
        acts.give_up_looking(now());
        assert_eq!(begin(&mut acts, &mut known, ActKind::Unpin, "b"), [], "there is no pin left");
        assert!(known.suspended_pins.is_empty());
    }

    #[test]
    fn where_the_server_chooses_what_went_is_seen_after_a_cancel_and_its_pin_comes_back() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
        run(&mut known, "b", 4096, Expiry::Never);
        begin(&mut acts, &mut known, ActKind::Swap, "a");
        assert!(acts.list()[0].swap.as_ref().is_some_and(|swap| swap.plan.server_chooses));
        acts.cancel(None, &known, now());
        assert!(acts.list()[0].is_live(), "nobody can say yet what is loaded");
        known.running.clear();
        (known.ps_asked, known.ps_at) = (Some(now()), Some(now()));
        acts.settle(&mut known, now());
        assert_eq!(why(&acts), "cancelled while loading: b is unloaded, nothing is loaded");
        assert!(known.suspended_pins.contains(&name("b")));
        let records = acts.records(&known, false);
        assert_eq!(records[0].displaced, Some(vec![name("b")]));
    }

    #[test]
    fn where_the_server_chooses_the_runners_show_what_went_before_the_list_does() {
        let (mut acts, mut known) = (Acts::default(), known_cold());
        known.installed.insert(name("b"), known.installed[&name("a")].clone());
        let mut blob = known.blobs(&name("a"))[0].clone();
        (blob.digest, blob.path) = ("sha256:b".to_owned(), Some("/blobs/sha256-b".into()));
        known.files.insert(name("b"), Ok(vec![blob]));
        run(&mut known, "b", 4096, soon());
        let start = now();
        let runners = |blobs: &[&str], millis| {
            let runner = |blob: &&str| Runner {
                pid: 7,
                blob: format!("/blobs/sha256-{blob}"),
                load_mode: LoadMode::Mmap,
                ready: Some(true),
                ..Runner::default()
            };
            let value = Runners { list: blobs.iter().map(runner).collect(), server: None };
            Some(crate::residency::timing::Reading { value, at: at(start, millis) })
        };
        known.runners = runners(&["b"], 0);
        acts.take(order(&acts, ActKind::Swap, "a"), start);
        acts.start(&mut known, &[], start);
        assert_eq!(acts.look_period(&known, start), Some(LOOK), "the runners are looked at");
        known.runners = runners(&["b"], 50);
        acts.look(&mut known);
        known.runners = runners(&[], 100);
        acts.look(&mut known);
        acts.answered(ActId(1), ok(), &mut known, at(start, 300));
        let records = acts.records(&known, true);
        assert_eq!(records[0].displaced, Some(vec![name("b")]), "though the list still has it");
        assert_eq!(records[0].stages.gone, Some(Duration::from_millis(100)));
        let stages = records[0].stages;
        assert_eq!((stages.waited, stages.load), (None, Some(Duration::from_millis(300))), "it was idle");

        // The same with one that nobody knew to be at work.
        run(&mut known, "b", 4096, soon());
        known.runners = runners(&["b"], 0);
        let mut acts = Acts::default();
        acts.take(order(&acts, ActKind::Swap, "a"), start);
        acts.start(&mut known, &[], start);
        let later = at(start, 3000);
        assert!(acts.look_period(&known, later).is_some_and(|period| period > LOOK), "while it is under way");
        let busy = |runner: &mut Runner| runner.busy = Some(true);
        known.runners.as_mut().unwrap().value.list.iter_mut().for_each(busy);
        assert_eq!(acts.look_period(&known, later), Some(LOOK), "what works goes when its work ends");
        known.runners = runners(&[], 5000);
        acts.look(&mut known);
        acts.answered(ActId(1), ok(), &mut known, at(start, 5300));
        let stages = acts.records(&known, true)[0].stages;
        let ms = |millis| Some(Duration::from_millis(millis));
        assert_eq!((stages.waited, stages.load, stages.total), (ms(5000), ms(300), ms(5300)));

        // And where only the list shows it: it was there long after an idle one had gone.
        known.runners = None;
        for (listed, waited) in [(200, None), (4800, ms(5000))] {
            let mut acts = Acts::default();
            run(&mut known, "b", 4096, soon());
            acts.take(order(&acts, ActKind::Swap, "a"), start);
            acts.start(&mut known, &[], start);
            (known.ps_asked, known.ps_at) = (Some(at(start, listed)), Some(at(start, listed)));
            acts.look(&mut known);
            known.running.clear();
            (known.ps_asked, known.ps_at) = (Some(at(start, 5000)), Some(at(start, 5000)));
            acts.look(&mut known);
            acts.answered(ActId(1), ok(), &mut known, at(start, 5300));
            assert_eq!(acts.records(&known, true)[0].stages.waited, waited);
        }
    }

    #[test]
    fn a_look_at_the_runners_from_before_our_load_was_answered_keeps_nobody_waiting() {
        let start = now();
        for (looked, waits) in [(200, false), (400, true)] {
            let (mut acts, mut known) = (Acts::default(), known_cold());
            acts.take(order(&acts, ActKind::Swap, "a"), start);
            acts.start(&mut known, &[], start);
            acts.answered(ActId(1), ok(), &mut known, at(start, 300));
            run(&mut known, "a", 4096, soon());
            acts.settle(&mut known, at(start, 350));
            let runner = Runner {
                pid: 9,
                blob: "/blobs/sha256-a".to_owned(),
                ready: Some(false),
                ..Runner::default()
            };
            let value = Runners { list: vec![runner], server: None };
            known.runners = Some(crate::residency::timing::Reading { value, at: at(start, looked) });
            acts.take(order(&acts, ActKind::Unload, "a"), at(start, 500));
            let jobs = acts.start(&mut known, &[], at(start, 500));
            assert_eq!(jobs.is_empty(), waits, "{:?}", acts.list());
        }
    }

    #[test]
    fn where_the_server_chose_the_look_after_the_end_shows_what_went_and_what_did_not() {
        let (mut acts, mut known) = (Acts::default(), known_cold());
        for text in ["b", "c"] {
            known.installed.insert(name(text), known.installed[&name("a")].clone());
            let mut blob = known.blobs(&name("a"))[0].clone();
            (blob.digest, blob.path) =
                (format!("sha256:{text}"), Some(format!("/blobs/sha256-{text}").into()));
            known.files.insert(name(text), Ok(vec![blob]));
            run(&mut known, text, 4096, soon());
        }
        let start = now();
        let runners = |list: &[(u32, &str)], millis| {
            let runner = |(pid, blob): &(u32, &str)| Runner {
                pid: *pid,
                blob: format!("/blobs/sha256-{blob}"),
                ready: Some(true),
                ..Runner::default()
            };
            let value = Runners { list: list.iter().map(runner).collect(), server: None };
            Some(crate::residency::timing::Reading { value, at: at(start, millis) })
        };
        known.runners = runners(&[(7, "b"), (8, "c")], 0);
        acts.take(order(&acts, ActKind::Swap, "a"), start);
        acts.start(&mut known, &[], start);
        acts.answered(ActId(1), ok(), &mut known, at(start, 300));
        let went = |acts: &Acts| acts.list()[0].swap.as_ref().unwrap().went.clone();
        assert_eq!((went(&acts), acts.records(&known, false).len()), (None, 0));
        assert_eq!(acts.look_period(&known, at(start, 301)), Some(LOOK), "it is looked on after the end");
        known.runners = runners(&[(8, "c"), (9, "a")], 350);
        acts.look(&mut known);
        assert_eq!(went(&acts), Some(vec![name("b")]));
        assert_eq!(acts.records(&known, false)[0].displaced, Some(vec![name("b")]));
        assert_eq!(acts.look_period(&known, at(start, 400)), None);
    }

    #[test]
    fn where_the_server_chose_and_died_nothing_is_said_of_what_is_loaded() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
        run(&mut known, "b", 4096, soon());
        begin(&mut acts, &mut known, ActKind::Swap, "a");
        acts.cancel(None, &known, now());
        acts.give_up_looking(now());
        assert_eq!(why(&acts), "cancelled while loading: what is still loaded shows at the next look");
        assert_eq!(acts.records(&known, true)[0].displaced, None);
    }

    #[test]
    fn where_the_server_chose_what_went_is_offered_back_after_a_failure() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
        run(&mut known, "b", 4096, soon());
        begin(&mut acts, &mut known, ActKind::Swap, "a");
        acts.answered(ActId(1), Answer::Failed("signal: 9".to_owned()), &mut known, now());
        known.running.clear();
        (known.ps_asked, known.ps_at) = (Some(now()), Some(now()));
        acts.settle(&mut known, now());
        assert_eq!(why(&acts), "signal: 9; load b again with l (or resident load b)");
        assert_eq!(acts.list()[0].swap.as_ref().unwrap().plan.goes, [name("b")]);
    }

    #[test]
    fn a_pinned_model_that_nobody_was_asked_about_is_not_displaced() {
        let (acts, _, jobs) = swap(&["c", "b"], |order| order.agreed = Some(vec![name("c")]));
        assert_eq!(jobs, []);
        assert_eq!(why(&acts), "by now it would displace b, which is pinned: swap again to go on");
        let (_, _, jobs) = swap(&["b", "c"], |order| order.agreed = Some(vec![name("b")]));
        assert_eq!(jobs, unload("b"), "an idle model is displaced without asking");
        let (acts, _, jobs) = swap(&["b"], |order| {
            order.agreed = Some(vec![name("b")]);
            order.wish.spare = true;
        });
        assert_eq!((jobs, why(&acts)), (vec![], "it would displace b, which is pinned".to_owned()));
    }

    #[test]
    fn a_model_whose_pin_is_under_way_counts_as_pinned_for_a_swap_that_is_asked_for_meanwhile() {
        for kind in [ActKind::Pin, ActKind::KeepAlive(KeepAlive::Forever)] {
            let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
            run(&mut known, "b", 4096, soon());
            let pin = begin(&mut acts, &mut known, kind, "b");
            assert!(matches!(&pin[..], [Job::Touch { keep_alive: Some(KeepAlive::Forever), .. }]));
            let models = models(&known, &["b"]);
            let order = Order { agreed: Some(vec![]), ..order(&acts, ActKind::Swap, "a") };
            acts.take(order, now());
            for answered in [false, true] {
                if answered {
                    acts.answered(ActId(1), ok(), &mut known, now());
                    acts.settle(&mut known, now());
                }
                assert_eq!(acts.start(&mut known, &models, now()), []);
                let waits = &acts.list()[1].state;
                assert!(
                    matches!(waits, ActState::Queued { why, .. } if why == "waits for the pin of b"),
                    "{waits:?}"
                );
            }
            run(&mut known, "b", 4096, Expiry::Never);
            acts.settle(&mut known, now());
            let models = self::models(&known, &["b"]);
            assert_eq!(acts.start(&mut known, &models, now()), [], "{kind:?}");
            let ActState::Failed { why, .. } = &acts.list()[1].state else { panic!("{:?}", acts.list()) };
            assert_eq!(why, "by now it would displace b, which is pinned: swap again to go on");
        }
    }

    #[test]
    fn a_model_that_is_wished_pinned_is_not_displaced_unasked_either() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "c"]));
        run(&mut known, "c", 4096, soon());
        let pins = Pins { models: vec![name("c")], ..Pins::default() };
        known.config = Arc::new(Config { pins, ..Config::default() });
        let models = models(&known, &["c"]);
        let order = Order { agreed: Some(vec![]), ..order(&acts, ActKind::Swap, "a") };
        acts.take(order, now());
        assert_eq!(acts.start(&mut known, &models, now()), []);
        assert_eq!(why(&acts), "by now it would displace c, which is listed as pinned: swap again to go on");
    }

    #[test]
    fn what_fails_says_in_which_stage_and_offers_the_old_model() {
        let no = || Answer::Failed("out of memory".to_owned());
        let ended = |acts: &Acts| acts.list()[0].swap.clone().unwrap().ended.clone().unwrap();
        let failed = |stage| Ended::Failed { stage, why: "out of memory".to_owned() };

        let (mut acts, mut known, _) = swap(&["c"], |_| {});
        acts.answered(ActId(1), no(), &mut known, now());
        assert_eq!((ended(&acts), why(&acts)), (failed(Stage::Unload), "out of memory".to_owned()));

        let offer = "out of memory; load c again with l (or resident load c)".to_owned();
        let (mut acts, mut known, _) = swap(&["c"], |order| order.wish.first_token = true);
        acts.answered(ActId(1), ok(), &mut known, now());
        acts.answered(ActId(1), no(), &mut known, now());
        assert_eq!((ended(&acts), why(&acts)), (failed(Stage::Load), offer.clone()));
        assert!(matches!(acts.news()[..], [(_, What::Failed { verb: "swap", .. })]));
        assert_eq!(acts.news(), []);

        let (mut acts, mut known, _) = swap(&["c"], |order| order.wish.first_token = true);
        acts.answered(ActId(1), ok(), &mut known, now());
        let token = acts.answered(ActId(1), ok(), &mut known, now());
        assert!(matches!(&token[..], [(_, Job::FirstToken { .. })]));
        acts.answered(ActId(1), no(), &mut known, now());
        assert_eq!((ended(&acts), why(&acts)), (failed(Stage::FirstToken), offer));
    }

    #[test]
    fn what_is_cancelled_says_in_which_stage_and_what_is_loaded_now() {
        let mut seen = Vec::new();
        for answers in 0..2 {
            let (mut acts, mut known, _) = swap(&["c", "b"], |order| order.wish.first_token = true);
            (0..answers * 2).for_each(|_| drop(acts.answered(ActId(1), ok(), &mut known, now())));
            acts.cancel(None, &known, now());
            seen.push(why(&acts));
        }
        assert_eq!(seen[0], "cancelled while unloading: c is unloaded, b is still loaded");
        assert_eq!(seen[1], "cancelled while loading: c, b are unloaded, nothing is loaded");
        let (mut acts, mut known, _) = swap(&["c"], |order| order.wish.first_token = true);
        acts.answered(ActId(1), ok(), &mut known, now());
        acts.cancel(None, &known, now());
        let left = "while loading: c is unloaded, b is still loaded";
        let expected = What::Cancelled { verb: "swap", left: Some(left.to_owned()) };
        assert_eq!(acts.news(), [(name("a"), expected)]);
        let (mut acts, mut known, _) = swap(&[], |order| order.wish.first_token = true);
        acts.answered(ActId(1), ok(), &mut known, now());
        acts.cancel(None, &known, now());
        assert_eq!(why(&acts), "cancelled while waiting for the first token: a is loaded");
    }

    #[test]
    fn reading_first_comes_before_the_unload_and_reading_beside_with_the_load() {
        let wants = |way| move |order: &mut Order| order.wish.way = Some(way);
        let read = || (ActId(1), Job::Read { model: name("a") });
        let (mut acts, mut known, jobs) = swap(&["c"], wants(Way::First));
        assert_eq!(jobs, [read()]);
        assert_eq!(acts.reading(), Some(&name("a")));
        let next = acts.read_on(ActId(1), Bytes(7), true, &mut known, now());
        assert_eq!(next, unload("c"), "the old model stays until all is read");
        assert_eq!(acts.answered(ActId(1), ok(), &mut known, now()), [(ActId(1), load("a"))]);

        let (mut acts, mut known, _) = swap(&["c"], wants(Way::First));
        acts.cancel(None, &known, now());
        assert_eq!(why(&acts), "cancelled while reading ahead: what was loaded still is");
        assert_eq!(acts.read_on(ActId(1), Bytes(7), true, &mut known, now()), []);

        let (mut acts, mut known, jobs) = swap(&["c"], wants(Way::Beside));
        assert_eq!(jobs, unload("c"));
        let jobs = acts.answered(ActId(1), ok(), &mut known, now());
        assert_eq!(jobs, [read(), (ActId(1), load("a"))]);
        let jobs = acts.answered(ActId(1), ok(), &mut known, now());
        assert_eq!(jobs, [(ActId(1), Job::ReadNoMore)], "the load needs no more help");
        acts.read_on(ActId(1), Bytes(9), true, &mut known, now());
        let swap = acts.list()[0].swap.clone().unwrap();
        assert_eq!((swap.stages.read, swap.plan.way), (Some(Bytes(9)), Way::Beside));
    }

    /// A swap of a model of which nothing is in RAM, as it was recorded: the load took so many seconds.
    fn cold(model: &str, way: Way, mode: LoadMode, seconds: u64) -> SwapRecord {
        use crate::residency::swap::{Before, Stages};
        let time = |seconds| Some(Duration::from_secs(seconds));
        SwapRecord {
            model: name(model),
            ours: true,
            displaced: Some(Vec::new()),
            before: Before { whole: Bytes(1_000_000_000), ram: Some(Bytes::ZERO), ..Before::default() },
            way,
            mode,
            num_ctx: None,
            stages: Stages {
                load: time(seconds),
                read_took: time(1),
                total: time(seconds + 1),
                ..Stages::default()
            },
            ended: Ended::Ready,
        }
    }

    /// `a` is not loaded, and nothing of its file is in RAM.
    fn known_cold() -> Known {
        use crate::residency::map::Pages;
        use crate::residency::snapshot::Blob;
        use crate::residency::tier::Cached;
        let mut known = known(&["a"]);
        let blob = Blob {
            digest: "sha256:a".to_owned(),
            role: "weights",
            size: Bytes(1_000_000_000),
            path: Some("/blobs/sha256-a".into()),
            cached: Cached::Unread,
            map: None,
        };
        known.files.insert(name("a"), Ok(vec![blob]));
        let pages = Pages { cached: Cached::Exact(Bytes::ZERO), map: None };
        let reading = crate::residency::timing::Reading { value: pages, at: now() };
        known.pages = Arc::new([("sha256:a".to_owned(), reading)].into());
        known
    }

    fn past(swaps: Vec<SwapRecord>) -> Arc<crate::residency::record::Past> {
        let swaps = swaps.into_iter().map(|swap| (now().wall, swap)).collect();
        Arc::new(crate::residency::record::Past { swaps, ..Default::default() })
    }

    #[test]
    fn what_the_journal_shows_to_be_fastest_is_how_a_cold_swap_reads_also_where_no_runner_was_seen_yet() {
        for mode in [LoadMode::Mmap, LoadMode::Buffered] {
            let slow = (0..3).flat_map(|_| [cold("a", Way::Off, mode, 9), cold("b", Way::Beside, mode, 8)]);
            // Of some loads nobody saw the runner.
            let fast = [mode, LoadMode::Unknown, mode].map(|seen| cold("b", Way::First, seen, 2));
            let (mut acts, mut known) = (Acts::default(), known_cold());
            known.past = past(slow.chain(fast).collect());
            let jobs = begin(&mut acts, &mut known, ActKind::Swap, "a");
            assert_eq!(jobs, [Job::Read { model: name("a") }], "{mode:?}");
        }
    }

    #[test]
    fn a_cold_swap_waits_a_moment_for_what_the_journal_says_and_no_longer() {
        let (mut acts, mut known) = (Acts::default(), known_cold());
        let start = now();
        known.past_by = Some(at(start, 100));
        acts.take(order(&acts, ActKind::Swap, "a"), start);
        assert_eq!(acts.start(&mut known, &[], start), []);
        assert_eq!(acts.start(&mut known, &[], at(start, 100)).len(), 1);
        assert_eq!(acts.list()[0].swap.clone().unwrap().stages.waited, None, "that is no queue");
        let (mut acts, mut known) = (Acts::default(), self::known(&["a"]));
        known.past_by = Some(at(start, 100));
        acts.take(order(&acts, ActKind::Swap, "a"), start);
        assert_eq!(acts.start(&mut known, &[], start).len(), 1, "a warm one has nothing to wait for");
    }

    #[test]
    fn how_a_model_will_be_read_is_told_by_its_own_last_load_before_any_others() {
        let mut known = known_cold();
        assert_eq!(known.load_mode(&name("a")), LoadMode::Unknown);
        known.past =
            past(vec![cold("b", Way::Off, LoadMode::Buffered, 1), cold("a", Way::Off, LoadMode::Mmap, 1)]);
        assert_eq!(known.load_mode(&name("a")), LoadMode::Mmap);
        assert_eq!(known.load_mode(&name("c")), LoadMode::Buffered);
        known.mode = Some(LoadMode::Direct);
        assert_eq!(known.load_mode(&name("c")), LoadMode::Direct, "what is seen now, before the journal");
    }

    #[test]
    fn what_must_not_be_read_is_loaded_without() {
        let (mut acts, mut known, jobs) = swap(&["c"], |order| order.wish.way = Some(Way::First));
        assert!(matches!(jobs[..], [(_, Job::Read { .. })]));
        assert_eq!(acts.reads_nothing(ActId(1), &mut known, now()), unload("c"));
        assert_eq!(acts.list()[0].swap.clone().unwrap().plan.way, Way::Off);
    }

    #[test]
    fn a_context_that_is_wished_is_loaded_and_another_one_is_a_reload() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        known.last_context.insert(name("a"), 2048);
        let with = |num_ctx| Job::Load { model: name("a"), keep_alive: None, num_ctx, embed: false };
        let begin = |known: &mut Known, acts: &mut Acts, wanted| {
            let mut order = order(acts, ActKind::Swap, "a");
            order.wish.num_ctx = wanted;
            acts.take(order, now());
            let jobs: Vec<Job> = acts.start(known, &[], now()).into_iter().map(|(_, job)| job).collect();
            acts.cancel(None, known, now());
            jobs
        };
        assert_eq!(begin(&mut known, &mut acts, None), [with(Some(2048))], "what it last ran with");
        assert_eq!(begin(&mut known, &mut acts, Some(8192)), [with(Some(8192))]);
        run(&mut known, "a", 4096, soon());
        let touch = |num_ctx| Job::Touch { model: name("a"), keep_alive: None, num_ctx, embed: false };
        assert_eq!(begin(&mut known, &mut acts, None), [touch(Some(4096))]);
        assert_eq!(begin(&mut known, &mut acts, Some(4096)), [touch(Some(4096))]);
        assert_eq!(begin(&mut known, &mut acts, Some(8192)), [with(Some(8192))]);
        assert!(acts.list().last().unwrap().swap.as_ref().unwrap().plan.before.in_vram);
        known.installed.get_mut(&name("a")).unwrap().details.train_context = Some(4096);
        assert_eq!(begin(&mut known, &mut acts, Some(8192)), [touch(Some(4096))], "it gets no more");
    }

    /// So many milliseconds after `start`.
    fn at(start: Moment, millis: u64) -> Moment {
        Moment { mono: start.mono + Duration::from_millis(millis), ..start }
    }

    #[test]
    fn each_stage_has_its_clock_and_what_goes_is_watched_past_the_end() {
        use crate::residency::host::{Card, CardProcess, Cards};
        use crate::residency::timing::Reading;
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
        run(&mut known, "b", 4096, soon());
        let start = now();
        let card = |pids: &[u32], millis| {
            let process = |pid: &u32| CardProcess { pid: *pid, used: Some(Bytes(1)) };
            let free = Bytes(10 - pids.len() as u64);
            let card = Card { free, processes: pids.iter().map(process).collect(), ..Card::default() };
            Some(Reading { value: Cards::Known(vec![card]), at: at(start, millis) })
        };
        known.cards = card(&[], 0);
        let models = models(&known, &["b"]);
        let mut order = order(&acts, ActKind::Swap, "a");
        order.wish.first_token = true;
        acts.take(order, start);
        acts.start(&mut known, &models, at(start, 10));
        acts.answered(ActId(1), ok(), &mut known, at(start, 30));
        let said = Said { server_load: Some(Duration::from_millis(250)), first_line: None };
        acts.answered(ActId(1), Answer::Ok(said), &mut known, at(start, 330));
        let came = Said { server_load: None, first_line: Some(at(start, 370)) };
        acts.answered(ActId(1), Answer::Ok(came), &mut known, at(start, 400));
        let ms = |millis| Some(Duration::from_millis(millis));
        let mut stages = crate::residency::swap::Stages {
            unload: ms(20),
            load: ms(300),
            server_load: ms(250),
            first_token: ms(40),
            total: ms(370),
            ..Default::default()
        };
        assert_eq!(acts.list()[0].swap.clone().unwrap().stages, stages);
        assert_eq!(acts.records(&known, false), [], "what goes is not gone yet");
        known.running.clear();
        run(&mut known, "a", 4096, soon());
        known.ps_at = Some(at(start, 500));
        acts.settle(&mut known, at(start, 500));
        known.cards = card(&[], 600);
        acts.look(&mut known);
        assert_eq!(acts.records(&known, false), [], "nothing shows that its memory is back");
        let back = Card { free: Bytes(11), ..Card::default() };
        known.cards = Some(Reading { value: Cards::Known(vec![back]), at: at(start, 700) });
        acts.look(&mut known);
        (stages.gone, stages.card_free) = (ms(490), ms(690));
        let records = acts.records(&known, false);
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].stages, records[0].displaced.clone()), (stages, Some(vec![name("b")])));
        assert_eq!(acts.records(&known, true), [], "once");
    }

    /// A swap to `a` for which `c` goes, which is at work; its load is asked for 100 ms after `start`.
    fn behind_a_busy_one(start: Moment) -> (Acts, Known) {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "c"]));
        run(&mut known, "c", 4096, soon());
        let mut models = models(&known, &["c"]);
        models[1].state = crate::residency::snapshot::State::Busy;
        acts.take(order(&acts, ActKind::Swap, "a"), start);
        acts.start(&mut known, &models, start);
        acts.answered(ActId(1), ok(), &mut known, at(start, 100));
        (acts, known)
    }

    #[test]
    fn the_work_of_what_has_to_go_is_waited_for_apart_from_the_load() {
        let start = now();
        let (mut acts, mut known) = behind_a_busy_one(start);
        let shown = |acts: &Acts| (acts.list()[0].state.clone(), acts.list()[0].swap.clone().unwrap().stage);
        let waiting = ActState::Running { stage: "waiting for a busy model", since: start };
        assert_eq!(shown(&acts), (waiting, Some(Stage::Wait)));
        known.loading.insert(name("a"), Loading { since: at(start, 100), ..pending() });
        known.running.clear();
        known.ps_at = Some(at(start, 600));
        acts.settle(&mut known, at(start, 600));
        assert_eq!(known.loading[&name("a")].since, at(start, 600), "what the log tells of the load");
        let loading = ActState::Running { stage: "loading", since: start };
        assert_eq!(shown(&acts), (loading, Some(Stage::Load)));
        acts.answered(ActId(1), ok(), &mut known, at(start, 900));
        let ms = |millis| Some(Duration::from_millis(millis));
        let stages = acts.records(&known, true)[0].stages;
        assert_eq!(
            (stages.unload, stages.waited, stages.load, stages.total),
            (ms(100), ms(500), ms(300), ms(900))
        );
    }

    #[test]
    fn how_long_a_load_took_that_waited_unseen_is_not_known() {
        let start = now();
        let (mut acts, mut known) = behind_a_busy_one(start);
        acts.cancel(None, &known, start);
        assert_eq!(why(&acts), "cancelled while waiting for a busy model: c is unloaded, nothing is loaded");
        (acts, known) = behind_a_busy_one(start);
        acts.answered(ActId(1), ok(), &mut known, at(start, 900));
        let stages = acts.records(&known, true)[0].stages;
        assert_eq!((stages.waited, stages.load), (None, None));
        assert_eq!(stages.total, Some(Duration::from_millis(900)));
    }

    #[test]
    fn standing_in_the_queue_is_a_stage_so_that_the_stages_make_the_total() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b"]));
        let start = now();
        acts.take(order(&acts, ActKind::Swap, "b"), start);
        acts.take(order(&acts, ActKind::Swap, "a"), start);
        acts.start(&mut known, &[], start);
        acts.answered(ActId(1), ok(), &mut known, at(start, 960));
        acts.start(&mut known, &[], at(start, 960));
        acts.answered(ActId(2), ok(), &mut known, at(start, 1040));
        let stages = |number: usize| acts.list()[number].swap.clone().unwrap().stages;
        let ms = |millis| Some(Duration::from_millis(millis));
        assert_eq!((stages(0).waited, stages(0).load), (None, ms(960)));
        assert_eq!((stages(1).waited, stages(1).load, stages(1).total), (ms(960), ms(80), ms(1040)));
    }

    #[test]
    fn what_is_never_seen_does_not_keep_the_record_for_ever() {
        let (mut acts, mut known, _) = swap(&["c"], |_| {});
        acts.answered(ActId(1), ok(), &mut known, now());
        acts.answered(ActId(1), ok(), &mut known, now());
        let after = |acts: &mut Acts, known: &mut Known| {
            acts.settle(known, now());
            acts.records(known, false).len()
        };
        let kept: Vec<usize> = (0..6).map(|_| after(&mut acts, &mut known)).collect();
        assert_eq!(kept, [0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn an_unload_waits_until_the_model_is_gone_however_long_it_works() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        run(&mut known, "a", 4096, soon());
        assert_eq!(begin(&mut acts, &mut known, ActKind::Unload, "a"), [Job::Unload { model: name("a") }]);
        acts.answered(ActId(1), ok(), &mut known, now());
        (0..100).for_each(|_| drop(acts.settle(&mut known, now())));
        assert!(acts.any_live());
        known.running.clear();
        acts.settle(&mut known, now());
        assert!(matches!(acts.list()[0].state, ActState::Done { .. }));
    }

    #[test]
    fn an_unpin_restores_what_was_learned_before_the_pin() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        run(&mut known, "a", 4096, soon());
        begin(&mut acts, &mut known, ActKind::Pin, "a");
        acts.answered(ActId(1), ok(), &mut known, now());
        run(&mut known, "a", 4096, Expiry::Never);
        acts.settle(&mut known, now());
        let restored = Some(KeepAlive::For(Duration::from_secs(600)));
        let job = Job::Touch { model: name("a"), keep_alive: restored, num_ctx: Some(4096), embed: false };
        assert_eq!(begin(&mut acts, &mut known, ActKind::Unpin, "a"), [job]);
    }

    /// As `keep_alive: auto` with a model that comes back every 12 minutes, and so is to stay for 15.
    fn tuned(installed: &[&str], text: &str) -> Known {
        let mut known = known(installed);
        let every = Duration::from_secs(720);
        let uses = (0..41_u32).map(|n| Use { at: now().wall + every * n, idle: (n > 0).then_some(every) });
        let (uses, until) = (uses.collect(), now().wall + every * 41);
        let trace = Trace { model: name(text), size: None, uses, until };
        known.config = Arc::new(Config { keep_alive_auto: true, ..Config::default() });
        known.tunings = Some(Arc::from([Tuning::of(&trace, Rule::default())]));
        known
    }

    const FIFTEEN: Option<KeepAlive> = Some(KeepAlive::For(Duration::from_secs(900)));

    #[test]
    fn a_model_that_is_there_says_its_token_with_its_own_context_and_is_timed_from_the_asking() {
        let start = now();
        let begun = || {
            let (mut acts, mut known) = (Acts::default(), known(&["a"]));
            run(&mut known, "a", 4096, soon());
            let mut order = order(&acts, ActKind::Swap, "a");
            order.wish.first_token = true;
            acts.take(order, start);
            let jobs = acts.start(&mut known, &[], at(start, 10));
            let token = Job::FirstToken { model: name("a"), keep_alive: None, num_ctx: Some(4096) };
            assert_eq!(jobs, [(ActId(1), token)], "no touch beside it");
            (acts, known)
        };
        let (mut acts, mut known) = begun();
        let came = Said { server_load: None, first_line: Some(at(start, 50)) };
        assert_eq!(acts.answered(ActId(1), Answer::Ok(came), &mut known, at(start, 90)), []);
        let act = &acts.list()[0];
        let took = Duration::from_millis(50);
        assert_eq!(act.state, ActState::Done { took, at: at(start, 50) });
        assert_eq!((act.first_token, act.swap.as_ref()), (Some(Duration::from_millis(40)), None));
        assert_eq!(acts.records(&known, true), [], "it is no swap");
        let (mut acts, mut known) = begun();
        let touch = acts.answered(ActId(1), Answer::OnlyEmbeds, &mut known, at(start, 50));
        assert!(matches!(touch[..], [(_, Job::Touch { embed: true, num_ctx: Some(4096), .. })]));
        acts.answered(ActId(1), ok(), &mut known, at(start, 60));
        let act = &acts.list()[0];
        assert!(matches!((&act.state, act.first_token), (ActState::Done { .. }, None)), "{act:?}");
    }

    #[test]
    fn under_auto_what_sets_a_keep_alive_sets_what_the_uses_say() {
        let job = |kind, change: fn(&mut Known)| {
            let mut known = tuned(&["a", "b"], "a");
            change(&mut known);
            let jobs = begin(&mut Acts::default(), &mut known, kind, "a");
            let [Job::Load { keep_alive, .. } | Job::Touch { keep_alive, .. }] = jobs[..] else {
                panic!("{jobs:?}")
            };
            keep_alive
        };
        let loaded = |known: &mut Known| run(known, "a", 4096, soon());
        let pinned = |known: &mut Known| run(known, "a", 4096, Expiry::Never);
        for (kind, change, sent) in [
            (ActKind::Load, (|_| {}) as fn(&mut Known), FIFTEEN),
            (ActKind::Load, loaded, FIFTEEN),
            (ActKind::Touch, loaded, FIFTEEN),
            (ActKind::Pin, loaded, Some(KeepAlive::Forever)),
            (ActKind::Unpin, pinned, FIFTEEN),
            // It stays pinned.
            (ActKind::Touch, pinned, None),
            (ActKind::Swap, pinned, None),
            // What the user asks for by name counts.
            (ActKind::KeepAlive(KeepAlive::Forever), loaded, Some(KeepAlive::Forever)),
        ] {
            assert_eq!(job(kind, change), sent, "{kind:?}");
        }
    }

    #[test]
    fn under_auto_the_servers_own_applies_where_too_little_is_known() {
        let mut known = tuned(&["a", "b"], "a");
        run(&mut known, "b", 4096, soon());
        let touch = Job::Touch { model: name("b"), keep_alive: None, num_ctx: Some(4096), embed: false };
        assert_eq!(begin(&mut Acts::default(), &mut known, ActKind::Touch, "b"), [touch]);
        known.running.clear();
        assert_eq!(begin(&mut Acts::default(), &mut known, ActKind::Load, "b"), [load("b")]);
        known.config = Arc::default();
        assert_eq!(begin(&mut Acts::default(), &mut known, ActKind::Load, "a"), [load("a")], "without auto");
    }

    #[test]
    fn under_auto_what_sets_a_keep_alive_waits_a_while_for_the_uses_to_be_read() {
        for (kind, waits) in [(ActKind::Touch, true), (ActKind::Load, true), (ActKind::Unload, false)] {
            let mut known = tuned(&["a"], "a");
            let (tunings, at) = (known.tunings.take(), now());
            known.past_by = Some(Moment { mono: at.mono + Duration::from_secs(1), ..at });
            if kind != ActKind::Load {
                run(&mut known, "a", 4096, soon());
            }
            let mut acts = Acts::default();
            acts.take(order(&acts, kind, "a"), at);
            assert_eq!(acts.start(&mut known, &[], at).is_empty(), waits, "{kind:?}");
            known.tunings = tunings;
            assert_eq!(acts.start(&mut known, &[], at).is_empty(), !waits, "{kind:?}");
        }
    }

    #[test]
    fn an_embedding_model_is_loaded_again_through_the_other_door() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        begin(&mut acts, &mut known, ActKind::Load, "a");
        let again = acts.answered(ActId(1), Answer::OnlyEmbeds, &mut known, now());
        assert!(matches!(&again[..], [(_, Job::Load { embed: true, .. })]));
    }

    /// What the next `/api/ps` says, which lists these.
    fn look(acts: &Acts, known: &mut Known, lists: &[&str]) -> Vec<What> {
        let mut listed = self::known(&[]);
        for text in lists {
            run(&mut listed, text, 4096, soon());
        }
        let seen = crate::engine::observe::ps(known, listed.running, &acts.asked(), false, now());
        seen.into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn a_load_stays_ours_when_the_runners_are_looked_at_between_its_answer_and_the_list() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        (known.ps_at, known.ps_asked) = (Some(now()), Some(now()));
        begin(&mut acts, &mut known, ActKind::Load, "a");
        known.loading.insert(name("a"), pending());
        acts.answered(ActId(1), ok(), &mut known, now());
        let nobody = crate::residency::timing::Reading { value: Runners::default(), at: now() };
        assert_eq!(crate::engine::observe::runners(&mut known, nobody, &acts.asked()), []);
        let told = look(&acts, &mut known, &["a"]);
        assert!(matches!(told[..], [What::Loaded { took: Some(_), ours: true, .. }]), "{told:?}");
    }

    fn is_ours(what: &What) -> bool {
        matches!(what, What::Unloaded { took: Some(_) })
    }

    #[test]
    fn what_a_swap_unloaded_is_its_own_work_though_the_list_shows_it_after_the_end() {
        let (mut acts, mut known, _) = swap(&["c"], |_| {});
        (known.ps_at, known.ps_asked) = (Some(now()), Some(now()));
        acts.answered(ActId(1), ok(), &mut known, now());
        acts.answered(ActId(1), ok(), &mut known, now());
        assert_eq!(acts.records(&known, true).len(), 1, "nothing more is to be seen for its record");
        // One answer may still be from before it went.
        assert!(!look(&acts, &mut known, &["b", "c"]).iter().any(is_ours));
        acts.settle(&mut known, now());
        let told = look(&acts, &mut known, &["a", "b"]);
        assert!(told.iter().any(is_ours), "{told:?}");
        acts.settle(&mut known, now());
        assert!(acts.asked().unloads.is_empty(), "it is gone: whatever comes next is another's");
    }

    #[test]
    fn what_a_cancelled_act_asked_to_go_is_its_own_work_unless_somebody_keeps_it() {
        let (mut acts, mut known) = (Acts::default(), known(&["b"]));
        run(&mut known, "b", 4096, soon());
        (known.ps_at, known.ps_asked) = (Some(now()), Some(now()));
        begin(&mut acts, &mut known, ActKind::Unload, "b");
        acts.cancel(None, &known, now());
        assert!(acts.asked().unloads.contains_key(&name("b")), "the server may carry it out");
        (0..PATIENCE).for_each(|_| drop(acts.settle(&mut known, now())));
        assert!(acts.asked().unloads.is_empty(), "it stays: its next unload is another's");
    }

    #[test]
    fn what_the_server_throws_out_for_our_load_is_told_to_go_for_it() {
        let (mut acts, mut known) = (Acts::default(), known(&["a", "b", "c"]));
        run(&mut known, "b", 4096, soon());
        (known.ps_at, known.ps_asked) = (Some(now()), Some(now()));
        begin(&mut acts, &mut known, ActKind::Load, "a");
        known.loading.insert(name("a"), pending());
        acts.answered(ActId(1), ok(), &mut known, now());
        let told = look(&acts, &mut known, &["C", "a"]);
        assert!(told.contains(&What::Evicted { by: Some(name("a")) }), "another came too: {told:?}");
    }

    #[test]
    fn cloud_models_and_unknown_names_are_refused_with_words() {
        let (mut acts, mut known) = (Acts::default(), known(&["a"]));
        known.installed.get_mut(&name("a")).unwrap().details.remote_host = Some("https://ollama.com".into());
        assert_eq!(begin(&mut acts, &mut known, ActKind::Unload, "a"), []);
        assert_eq!(begin(&mut acts, &mut known, ActKind::Load, "b"), []);
        let whys: Vec<bool> =
            acts.list().iter().map(|act| matches!(&act.state, ActState::Failed { .. })).collect();
        assert_eq!(whys, [true, true]);
    }
}
