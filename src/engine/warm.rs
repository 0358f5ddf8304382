//! Acts of the RAM tier: what is read into RAM, held, released and dropped, one step after the other. Part of the
//! manager; what is kept afterwards is the subject of `hold`, what goes out that of `drop`.

use std::time::Duration;

use super::ask;
use super::hold::Keeping;
use super::known::Known;
use super::manager::Manager;
use super::readings::FromTier;
use crate::config::Hold;
use crate::journal::Journal;
use crate::probe::hold::Holder;
use crate::probe::warm::{Job, Source, Warmer};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::budget::{self, Machine, Verdict, Want};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::hold::How;
use crate::residency::host::{LoadMode, Runner};
use crate::residency::name::ModelName;
use crate::residency::tier::Cached;
use crate::residency::timing::Moment;
use crate::residency::warm::{Progress, Warming};

/// How long the residency that shows a warm done is waited for; then it is done with what is known.
const VERIFY: Duration = Duration::from_secs(3);

/// Between two looks for runners while files are read: another client's load must not wait for the disk behind us.
const LOOK: Duration = Duration::from_millis(50);

/// The priority of what a person asked for.
pub(super) const ASKED: u32 = 10;
/// The priority of what is mended in idle time.
pub(super) const MENDING: u32 = 100;

/// Ended acts that are kept for front ends to see.
const ENDED: usize = 64;

/// What moves and keeps files in RAM, where the server's files are on this machine.
pub struct RamTier {
    /// Reads them.
    pub warmer: Warmer,
    /// Keeps them.
    pub holder: Holder,
    /// Tells other instances what is kept here.
    pub journal: Journals,
}

/// The way to the journal. It is opened when something is kept or dropped: who only looks writes no file.
pub struct Journals {
    open: Option<Box<dyn FnOnce() -> Option<Journal> + Send>>,
    journal: Option<Journal>,
}

impl Journals {
    /// Opened by `open` when it is needed; `None` from it is an instance that is alone.
    pub fn new(open: Box<dyn FnOnce() -> Option<Journal> + Send>) -> Journals {
        Journals { open: Some(open), journal: None }
    }

    /// One that is not there.
    pub fn none() -> Journals {
        Journals { open: None, journal: None }
    }

    /// The journal, opened now if it was not.
    pub(super) fn get(&mut self) -> Option<&mut Journal> {
        if let Some(open) = self.open.take() {
            self.journal = open();
        }
        self.journal.as_mut()
    }

    /// The journal, if it has been opened.
    pub(super) fn opened(&mut self) -> Option<&mut Journal> {
        self.journal.as_mut()
    }
}

/// How far an act of the RAM tier is inside.
#[derive(Debug)]
pub(super) enum Step {
    /// Not begun.
    Planned,
    /// Waits until these are dropped.
    MakingRoom(Vec<ActId>),
    /// The reader has it.
    Reading,
    /// Another act reads the same files.
    Joined(ActId),
    /// All is read; residency is read again.
    Verifying { since: Moment, took: Duration },
    /// All let go, this process first, and others that are asked to.
    LettingGo { since: Moment, others: Others },
    /// The kernel was asked to forget its pages.
    Evicting,
}

/// How far other instances are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Others {
    /// Not asked yet.
    Unasked,
    /// The journal is to say who was asked.
    Asked,
    /// These hold it.
    Hold(Vec<u32>),
    /// Nobody does.
    None,
}

#[derive(Debug)]
pub(super) struct RamAct {
    pub act: Act,
    pub asked: Moment,
    pub priority: u32,
    pub step: Step,
}

impl RamAct {
    pub(super) fn run(&mut self, stage: &'static str) {
        self.act.state = ActState::Running { stage, since: self.asked };
    }

    pub(super) fn done(&mut self, now: Moment) {
        self.act.state = ActState::Done { took: now.since(self.asked.mono), at: now };
    }

    pub(super) fn fail(&mut self, why: String, cancelled: bool, now: Moment) {
        self.act.state = ActState::Failed { why, cancelled, at: now };
    }

    fn reads(&self) -> bool {
        self.act.is_live() && matches!(self.step, Step::Reading)
    }
}

/// What an act goes on to, or how it ends.
pub(super) enum Next {
    Step(Step, &'static str),
    Wait(String),
    Done,
    Fail(String),
}

impl Manager {
    /// Takes a new act of the RAM tier; it begins at the next turn.
    pub(super) fn take_ram_act(&mut self, id: ActId, kind: ActKind, model: ModelName, priority: u32) {
        let now = self.now();
        let state = ActState::Queued { why: "about to start".to_owned(), since: now };
        let act = Act { id, kind, model, state, progress: None };
        self.ram_acts.push(RamAct { act, asked: now, priority, step: Step::Planned });
        let mut excess = self.ram_acts.iter().filter(|a| !a.act.is_live()).count().saturating_sub(ENDED);
        self.ram_acts.retain(|a| {
            a.act.is_live() || excess == 0 || {
                excess -= 1;
                false
            }
        });
    }

    /// Whether an act of the RAM tier runs or waits.
    pub(super) fn moves_ram(&self) -> bool {
        self.ram_acts.iter().any(|a| a.act.is_live())
    }

    /// Goes on with every act of the RAM tier as far as it can.
    pub(super) fn turn_ram(&mut self) {
        for at in 0..self.ram_acts.len() {
            // One that is done at once lets the next one begin in the same turn.
            while self.ram_acts[at].act.is_live() {
                let Some(next) = self.next_of(at) else { break };
                let now = self.now();
                let act = &mut self.ram_acts[at];
                match next {
                    Next::Step(step, stage) => {
                        act.step = step;
                        act.run(stage);
                    }
                    Next::Wait(why) => {
                        act.act.state = ActState::Queued { why, since: act.asked };
                        break;
                    }
                    Next::Done => act.done(now),
                    Next::Fail(why) => {
                        act.fail(why.clone(), false, now);
                        let (verb, model) = (act.act.kind.verb(), act.act.model.clone());
                        self.tell(Some(model), What::Failed { verb, why });
                    }
                }
            }
        }
        self.mind_the_disk();
    }

    /// What comes next for an act; `None` while it waits for somebody's answer.
    fn next_of(&mut self, at: usize) -> Option<Next> {
        let now = self.now();
        let RamAct { act, step, .. } = &self.ram_acts[at];
        let model = act.model.clone();
        match (act.kind, step) {
            (ActKind::Release, _) => Some(self.release(&model)),
            (ActKind::Drop, Step::Planned) => Some(self.begin_drop(&model)),
            (ActKind::Drop, Step::LettingGo { since, others }) => {
                let (since, others) = (*since, others.clone());
                self.let_all_go(at, &model, since, others)
            }
            (_, Step::Planned) => Some(self.begin_warm(at, &model)),
            (_, Step::MakingRoom(drops)) => {
                let gone = |id: &ActId| !self.ram_acts.iter().any(|a| a.act.id == *id && a.act.is_live());
                // What they freed is counted again: nothing is promised by a drop.
                drops.iter().all(gone).then_some(Next::Step(Step::Planned, "making room"))
            }
            (_, Step::Joined(with)) => {
                let with = *with;
                self.follow(at, with)
            }
            (kind, Step::Verifying { since, took }) => {
                let (since, took) = (*since, *took);
                let (cached, read_at) = self.known.cached(&model);
                let fresh = read_at.is_some_and(|read_at| read_at.mono >= since.mono);
                let hopeless = matches!(cached, Cached::Unknown(_)) || now.since(since.mono) >= VERIFY;
                (fresh || hopeless).then(|| self.warmed(at, kind, &model, took))
            }
            (_, Step::Reading | Step::LettingGo { .. } | Step::Evicting) => None,
        }
    }

    /// Begins to read, unless there is a reason not to.
    fn begin_warm(&mut self, at: usize, model: &ModelName) -> Next {
        if let Err(why) = self.why_not(model) {
            return Next::Fail(why);
        }
        let priority = self.ram_acts[at].priority;
        let leader = self.ram_acts[..at].iter().find(|other| {
            other.act.is_live()
                && matches!(other.step, Step::Reading | Step::Verifying { .. })
                && self.known.are_one(&other.act.model, model)
        });
        if let Some(leader) = leader {
            let id = leader.act.id;
            // The more urgent of the two counts.
            if let Some(tier) = &self.tier {
                tier.warmer.reprioritise(id.0, priority.min(leader.priority));
            }
            return Next::Step(Step::Joined(id), "joins the warm before it");
        }
        let before = |other: &&RamAct| other.reads() && other.priority <= priority;
        if let Some(other) = self.ram_acts.iter().find(before) {
            return Next::Wait(format!("waits for the warm of {}", other.act.model));
        }
        let files = self.sources(model);
        let size: Bytes = files.iter().map(|file| file.size).sum();
        let cached = self.known.cached(model).0;
        let missing = cached.bytes().map_or(size, |bytes| size.minus(bytes));
        match self.verdict(&Want { model: model.clone(), size, missing }) {
            Verdict::Refused { why } => return Next::Fail(why),
            Verdict::MakesRoom { drops } => {
                let ids = drops.into_iter().map(|victim| self.make_room(victim)).collect();
                return Next::Step(Step::MakingRoom(ids), "making room");
            }
            Verdict::Fits { .. } => {}
        }
        let Some(tier) = &self.tier else { return Next::Fail(nowhere()) };
        tier.warmer.warm(Job { id: self.ram_acts[at].act.id.0, priority, files });
        Next::Step(Step::Reading, "reading")
    }

    fn make_room(&mut self, victim: ModelName) -> ActId {
        let id = self.own_id();
        self.take_ram_act(id, ActKind::Drop, victim, ASKED);
        id
    }

    /// Why this model cannot be warmed, in words for the user.
    fn why_not(&self, model: &ModelName) -> Result<(), String> {
        let details = self.known.details(model);
        if details.remote_host.is_some() {
            return Err("it runs in the cloud: there is nothing to read here".to_owned());
        }
        if !self.known.local || self.tier.is_none() {
            return Err(nowhere());
        }
        match self.known.files.get(model) {
            None if !self.known.installed.contains_key(model) => {
                return Err(format!("not installed; get it with: ollama pull {model}"));
            }
            None => return Err("its files are not found yet: try again in a moment".to_owned()),
            Some(Err(why)) => return Err(format!("its files cannot be read here: {why}")),
            Some(Ok(blobs)) if blobs.iter().any(|blob| blob.path.is_none()) => {
                return Err("its files are not on this machine".to_owned());
            }
            Some(Ok(_)) => {}
        }
        let direct = |runner: &Runner| runner.load_mode == LoadMode::Direct;
        if self.known.runners.iter().flat_map(|reading| &reading.value).any(direct) {
            return Err("the server reads with direct I/O (--load-mode dio): what is in RAM does not make its \
                        loads faster, so nothing was read"
                .to_owned());
        }
        Ok(())
    }

    /// The files of a model that are to be in RAM.
    pub(super) fn sources(&self, model: &ModelName) -> Vec<Source> {
        let files = ask::readable(&self.known, std::slice::from_ref(model));
        files.into_iter().map(|(digest, path, size)| Source { digest, path, size }).collect()
    }

    /// What the budget says of a wish.
    fn verdict(&self, want: &Want) -> Verdict {
        let Some(ram) = self.known.ram else {
            return Verdict::Refused { why: "the machine's memory cannot be read".to_owned() };
        };
        let machine = Machine { ram: ram.value, runners: self.known.runner_memory() };
        let kept = self.in_ram_on_purpose(&want.model);
        budget::verdict(self.known.config.limits(), &machine, &kept, want, self.known.config.preload.make_room)
    }

    /// Takes what is new of the RAM tier; says whether there is something to show.
    pub(super) fn see_tier(&mut self, from: &FromTier) -> bool {
        match from {
            FromTier::Warmer => self.see_warming(),
            FromTier::Holder => self.see_held(),
            FromTier::Journal => self.see_leases(),
        }
    }

    /// Takes what the reader says.
    fn see_warming(&mut self) -> bool {
        let Some(tier) = &mut self.tier else { return false };
        let all = std::sync::Arc::clone(&tier.warmer.progress.borrow_and_update());
        let mut news = false;
        for at in 0..self.ram_acts.len() {
            if !self.ram_acts[at].reads() {
                continue;
            }
            let Some(warming) = all.get(&self.ram_acts[at].act.id.0) else { continue };
            news = true;
            self.read_on(at, warming);
        }
        news
    }

    fn read_on(&mut self, at: usize, warming: &Warming) {
        let now = self.now();
        let act = &mut self.ram_acts[at];
        match warming {
            Warming::Waiting => act.run("waits for a more urgent one"),
            Warming::Reading(progress) => {
                act.act.progress = Some(*progress);
                act.run(if progress.paused { "paused: a load reads the disk" } else { "reading" });
                return;
            }
            Warming::Done { progress, took } => {
                act.act.progress = Some(*progress);
                act.step = Step::Verifying { since: now, took: *took };
                act.run("reading residency again");
                let (model, kind) = (act.act.model.clone(), act.act.kind);
                self.keep(&model, kind == ActKind::Hold);
                self.look_at(&model);
            }
            Warming::Cancelled(progress) => {
                act.act.progress = Some(*progress);
                act.fail("cancelled".to_owned(), true, now);
            }
            Warming::Failed { why, progress } => {
                act.act.progress = Some(*progress);
                act.fail(why.clone(), false, now);
                let (verb, model) = (act.act.kind.verb(), act.act.model.clone());
                self.tell(Some(model), What::Failed { verb, why: why.clone() });
            }
        }
        let id = self.ram_acts[at].act.id.0;
        if let Some(tier) = self.tier.as_ref().filter(|_| !self.ram_acts[at].reads()) {
            tier.warmer.forget(id);
        }
    }

    /// Residency was read again: says what is there, and ends the act.
    fn warmed(&mut self, at: usize, kind: ActKind, model: &ModelName, took: Duration) -> Next {
        let progress = self.ram_acts[at].act.progress.unwrap_or_default();
        let cached = self.known.cached(model).0;
        let percent = self.known.percent_cached(model);
        let what = What::Warmed { took, read: progress.read, percent, estimate: cached.is_estimate() };
        self.tell(Some(model.clone()), what);
        if let Some(percent) = percent {
            self.known.told_percent.insert(model.clone(), percent);
        }
        if kind == ActKind::Hold {
            self.tell(Some(model.clone()), What::Held);
        }
        self.warn_of_containers();
        Next::Done
    }

    /// An Ollama in a container takes page cache for used memory; said once.
    fn warn_of_containers(&mut self) {
        let of_runner = |runner: &Runner| runner.contained;
        let contained = self.known.ram.is_some_and(|ram| ram.value.contained)
            || self.known.runners.iter().flat_map(|reading| &reading.value).any(of_runner);
        if contained && !std::mem::replace(&mut self.known.warned, true) {
            let why = "Ollama runs in a container and counts page cache as used memory: what is warmed inside of it may \
                       look like too little memory to load; raise the container's limit, or warm from outside"
                .to_owned();
            self.tell(None, What::Warned { why });
        }
    }

    /// Ends an act with the one that reads for both.
    fn follow(&mut self, at: usize, with: ActId) -> Option<Next> {
        let leader = self.ram_acts.iter().find(|other| other.act.id == with);
        let (progress, state) =
            leader.map_or((None, None), |leader| (leader.act.progress, Some(leader.act.state.clone())));
        let act = &mut self.ram_acts[at].act;
        act.progress = progress.or(act.progress);
        let (kind, model) = (act.kind, act.model.clone());
        match state {
            Some(ActState::Queued { .. } | ActState::Running { .. }) => None,
            Some(ActState::Done { .. }) => {
                if kind == ActKind::Hold {
                    self.keep(&model, true);
                    self.tell(Some(model), What::Held);
                }
                Some(Next::Done)
            }
            // The other was cancelled or failed: this one was asked for all the same.
            Some(ActState::Failed { .. }) | None => Some(Next::Step(Step::Planned, "reading")),
        }
    }

    /// Cancels what is read or waits for `model`, or all; what is in RAM stays there.
    pub(super) fn cancel_ram(&mut self, model: Option<&ModelName>) {
        let now = self.now();
        let mut cancelled = Vec::new();
        for act in self.ram_acts.iter_mut().filter(|act| act.act.is_live()) {
            if model.is_none_or(|model| act.act.model == *model) {
                if let (Step::Reading, Some(tier)) = (&act.step, &self.tier) {
                    tier.warmer.cancel(act.act.id.0);
                }
                act.fail("cancelled".to_owned(), true, now);
                cancelled.push((act.act.model.clone(), act.act.kind.verb()));
            }
        }
        for (model, verb) in cancelled {
            self.look_at(&model);
            self.tell(Some(model), What::Cancelled { verb });
        }
    }

    /// While another model's load reads from the disk, nothing of ours does.
    pub(super) fn mind_the_disk(&mut self) {
        let Some(reading) = self.ram_acts.iter().find(|act| act.reads()) else {
            self.pause(false);
            return;
        };
        // A load of the model itself is helped by our reading; one that is all in RAM reads nothing.
        let in_the_way = self.known.loading.iter().any(|(model, load)| {
            load.from_ram != Some(100) && !self.known.are_one(model, &reading.act.model)
        });
        self.pause(in_the_way);
    }

    fn pause(&mut self, paused: bool) {
        if let Some(tier) = self.tier.as_ref().filter(|_| self.paused != paused) {
            tier.warmer.pause(paused);
            self.paused = paused;
        }
    }

    /// While files are read, runners are looked for more often: says when next.
    pub(super) fn look_for_loads(&mut self, now: Moment) -> Option<std::time::Instant> {
        self.ram_acts.iter().find(|act| act.reads())?;
        let runners = self.runners.as_ref()?;
        if now.mono >= self.due.runners.mono {
            runners.wake();
            self.due.runners = Moment { mono: now.mono + LOOK, ..now };
        }
        Some(self.due.runners.mono)
    }

    /// Asks for the residency of a model's files now.
    pub(super) fn look_at(&self, model: &ModelName) {
        if let Some(pages) = &self.pages {
            pages.ask(ask::readable(&self.known, std::slice::from_ref(model)), true);
        }
        if let Some(tier) = &self.tier {
            tier.holder.check();
        }
    }

    /// A number for an act that nobody asked for by key.
    pub(super) fn own_id(&mut self) -> ActId {
        self.due.next_own += 1;
        ActId(OWN + self.due.next_own)
    }

    fn release(&mut self, model: &ModelName) -> Next {
        if self.known.kept.contains_key(model) {
            self.let_go(model, None);
            Next::Done
        } else {
            Next::Fail("it is not held here".to_owned())
        }
    }

    fn begin_drop(&mut self, model: &ModelName) -> Next {
        match self.why_not_drop(model) {
            Some(why) => Next::Fail(why),
            None => Next::Step(Step::LettingGo { since: self.now(), others: Others::Unasked }, "letting go"),
        }
    }

    /// From now on the model is kept in RAM: until it is released, or until its countdown ends.
    pub(super) fn keep(&mut self, model: &ModelName, held: bool) {
        let how = match self.known.config.preload.hold {
            Hold::None if !held => return,
            Hold::None | Hold::Map => How::Map,
            Hold::Mlock => How::Lock,
        };
        let used = self.now();
        let keeping = self.known.kept.entry(model.clone()).or_insert(Keeping { held, how, used });
        (keeping.held, keeping.how, keeping.used) = (keeping.held || held, how, used);
        let files = self.sources(model);
        if let Some(tier) = &self.tier {
            for Source { digest, path, .. } in &files {
                tier.holder.hold(digest.clone(), path.clone(), how);
            }
        }
        self.tell_others();
    }
}

/// Numbers of acts that nobody asked for by key begin here.
const OWN: u64 = 1 << 63;

fn nowhere() -> String {
    "the server is on another machine: its RAM cannot be read from here; preload.strategy: request loads models \
     into VRAM instead"
        .to_owned()
}

/// How far the reading of a model's files is, if one is under way.
pub(super) fn reading<'a>(acts: impl IntoIterator<Item = &'a Act>, model: &ModelName) -> Option<Progress> {
    acts.into_iter()
        .find(|act| act.is_live() && act.model == *model && act.kind.is_of_ram() && act.progress.is_some())
        .and_then(|act| act.progress)
}

impl Known {
    /// Memory of the runners' own.
    pub(super) fn runner_memory(&self) -> Bytes {
        self.runners.iter().flat_map(|reading| &reading.value).map(|runner| runner.anonymous).sum()
    }
}
