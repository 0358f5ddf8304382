//! Warming: what is read into RAM and in which order, whether there is room for it, and when it waits for a load.

use std::time::Duration;

use super::ask;
use super::known::Known;
use super::manager::Manager;
use super::ram::{ASKED, Next, RamAct, Step};
use super::readings::FromTier;
use crate::probe::warm::{Job, Source};
use crate::residency::act::{Act, ActId, ActKind};
use crate::residency::budget::{self, Machine, Verdict, Want};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::host::{LoadMode, Runner};
use crate::residency::name::ModelName;
use crate::residency::timing::Moment;
use crate::residency::warm::{Progress, Warming};

/// How long the journal is waited for.
const JOURNAL: Duration = Duration::from_secs(1);

/// Between two looks for runners while files are read: another client's load must not wait for the disk behind us.
const LOOK: Duration = Duration::from_millis(50);
/// The same while a load is under way: how far it is is shown.
const LOADS: Duration = Duration::from_millis(250);

impl Manager {
    /// Begins to read, unless there is a reason not to.
    pub(super) fn begin_warm(&mut self, at: usize, model: &ModelName) -> Next {
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
        if self.waits_for_journal(at) {
            return Next::Wait("looks what other instances hold".to_owned());
        }
        let files = self.sources(model);
        let size: Bytes = files.iter().map(|file| file.size).sum();
        let cached = self.known.cached(model).0;
        let missing = cached.bytes().map_or(size, |bytes| size.minus(bytes));
        match self.verdict(&Want { model: model.clone(), size, missing }) {
            Verdict::Refused { why } => return Next::Fail(why),
            Verdict::MakesRoom { drops, why } => {
                self.tell(Some(model.clone()), What::Warned { why });
                let ids = drops.into_iter().map(|victim| self.make_room(victim)).collect();
                return Next::Step(Step::MakingRoom(ids), "making room");
            }
            Verdict::Fits { .. } => {}
        }
        if let Some(pages) = &self.pages {
            pages.spare(files.iter().map(|file| file.path.clone()));
        }
        let Some(tier) = &self.tier else { return Next::Fail(super::ram::nowhere()) };
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
        self.why_out_of_reach(model)?;
        let direct = |runner: &Runner| runner.load_mode == LoadMode::Direct;
        if self.known.runners.iter().flat_map(|reading| &reading.value).any(direct) {
            return Err(
                "the server reads with direct I/O (--load-mode dio): what is in RAM does not make its \
                        loads faster, so nothing was read"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The files of a model that are to be in RAM.
    pub(super) fn sources(&self, model: &ModelName) -> Vec<Source> {
        let files = ask::readable(&self.known, std::slice::from_ref(model));
        files.into_iter().map(|(digest, path, size)| Source { digest, path, size }).collect()
    }

    /// What other instances hold is a part of the budget: it is known once the journal has been read, or cannot be.
    fn waits_for_journal(&mut self, at: usize) -> bool {
        let waited = self.now().since(self.ram_acts[at].asked.mono);
        let Some(journal) = self.journals.watched() else { return false };
        waited < JOURNAL && journal.state.borrow().opened.is_none()
    }

    /// What the budget says of a wish.
    pub(super) fn verdict(&mut self, want: &Want) -> Verdict {
        let Some(ram) = self.known.ram else {
            return Verdict::Refused { why: "the machine's memory cannot be read".to_owned() };
        };
        let machine =
            Machine { ram: ram.value, runners: self.known.runner_memory(), locked: self.known.locked() };
        let kept = self.in_ram_on_purpose(&want.model);
        budget::verdict(self.known.config.memory, &machine, &kept, want, self.known.config.preload.make_room)
    }

    /// Takes what is new of the RAM tier; says whether there is something to show.
    pub(super) fn see_tier(&mut self, from: &FromTier) -> bool {
        match from {
            FromTier::Warmer => self.see_warming(),
            FromTier::Holder => self.see_held(),
        }
    }

    /// Takes what the reader says.
    fn see_warming(&mut self) -> bool {
        let Some(tier) = &mut self.tier else { return false };
        let all = std::sync::Arc::clone(&tier.warmer.progress.borrow_and_update());
        let mut news = self.see_swaps_read(&all);
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
    pub(super) fn warmed(&mut self, at: usize, kind: ActKind, model: &ModelName, took: Duration) -> Next {
        let progress = self.ram_acts[at].act.progress.unwrap_or_default();
        let cached = self.known.cached(model).0;
        let percent = self.known.percent_cached(model);
        self.known.warmed.insert(model.clone());
        // Who holds what is there anyway wants to hear of the hold alone.
        if kind == ActKind::Warm || progress.read > Bytes::ZERO {
            let what = What::Warmed { took, read: progress.read, percent, estimate: cached.is_estimate() };
            self.tell(Some(model.clone()), what);
        }
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

    /// While another model's load reads from the disk, nothing of ours does.
    pub(super) fn mind_the_disk(&mut self) {
        // What is read for a swap goes before all else.
        let asked = self.ram_acts.iter().find(|act| act.reads()).map(|act| &act.act.model);
        let Some(reading) = self.acts.reading().or(asked) else {
            self.pause(false);
            return;
        };
        // A load of the model itself is helped by our reading; one that is all in RAM reads nothing, nor does one that
        // has been answered.
        let in_the_way = self.known.loading.iter().any(|(model, load)| {
            load.from_ram != Some(100) && load.answered.is_none() && !self.known.are_one(model, reading)
        });
        self.pause(in_the_way);
    }

    fn pause(&mut self, paused: bool) {
        if let Some(tier) = self.tier.as_ref().filter(|_| self.paused != paused) {
            tier.warmer.pause(paused);
            self.paused = paused;
        }
    }

    /// While files are read, while a load is under way, and while another client's is expected and timed, runners are
    /// looked for more often: says when next.
    pub(super) fn look_for_loads(&mut self, now: Moment) -> Option<std::time::Instant> {
        let reads = self.acts.reading().is_some() || self.ram_acts.iter().any(RamAct::reads);
        let loads = || (!self.known.loading.is_empty()).then_some(LOADS);
        let period = reads.then_some(LOOK).or_else(loads).or_else(|| self.looks_for_others(now))?;
        let runners = self.runners.as_ref()?;
        if now.mono >= self.due.runners.mono {
            runners.wake();
            // What a load has on the card grows as well.
            self.cards.as_ref().filter(|_| loads().is_some()).inspect(|cards| cards.wake());
            self.due.runners = Moment { mono: now.mono + period, ..now };
        }
        Some(self.due.runners.mono)
    }

    /// Asks for the residency of a model's files now.
    pub(super) fn look_at(&self, model: &ModelName) {
        if let Some(pages) = &self.pages {
            pages.ask(ask::readable(&self.known, std::slice::from_ref(model)));
        }
        if let Some(tier) = &self.tier {
            tier.holder.check();
        }
    }
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
