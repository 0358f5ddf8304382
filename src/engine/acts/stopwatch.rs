//! The stopwatch of a load or a swap: which stage runs since when, and what is watched beside it until it is seen.

use std::time::Duration;

use crate::engine::known::Known;
use crate::residency::bytes::Bytes;
use crate::residency::host::{Cards, LoadMode};
use crate::residency::name::ModelName;
use crate::residency::record::SwapRecord;
use crate::residency::swap::{Ended, Plan, Stage, Stages, Swapping, Way};
use crate::residency::timing::Moment;

/// So many `/api/ps` after the end what is not seen by then counts as not to be seen.
const LOOKS: u32 = 5;

/// A runner that exits so long after the load was asked for was at work: an idle one is gone sooner, also a large one,
/// and that is part of what a swap costs.
pub(super) const NOTICED: Duration = Duration::from_secs(1);

/// What runs since when, and what it took so far.
#[derive(Debug)]
pub(super) struct Stopwatch {
    pub plan: Plan,
    stages: Stages,
    stage: Option<Stage>,
    since: Moment,
    ended: Option<Ended>,
    /// When the first unload was asked.
    unloading: Option<Moment>,
    leaving: Vec<Leaving>,
    /// How long it stood in our queue.
    queued: Option<Duration>,
    /// When the load was asked for.
    load_asked: Option<Moment>,
    /// Models at work that the load waits for, with their runners.
    busy: Vec<(ModelName, Option<u32>)>,
    /// What was free on all cards then; `None` where the driver did not say.
    room: Option<Bytes>,
    /// Our own reader works since then.
    reading: Option<Moment>,
    looks: u32,
    recorded: bool,
}

/// A model that has to go, as it was when that was asked.
#[derive(Debug)]
struct Leaving {
    model: ModelName,
    pid: Option<u32>,
    vram: Bytes,
    /// The driver lists its process.
    on_card: bool,
    gone: Option<Moment>,
    off_card: Option<Moment>,
}

impl Stopwatch {
    /// Nothing has begun yet.
    pub fn new(plan: Plan, now: Moment) -> Stopwatch {
        Stopwatch {
            plan,
            stages: Stages::default(),
            stage: None,
            since: now,
            ended: None,
            unloading: None,
            leaving: Vec::new(),
            queued: None,
            load_asked: None,
            busy: Vec::new(),
            room: None,
            reading: None,
            looks: LOOKS,
            recorded: false,
        }
    }

    /// What a snapshot shows; `went` has gone for it.
    pub fn swapping(&self, went: Option<&[ModelName]>) -> Swapping {
        Swapping {
            plan: self.plan.clone(),
            stages: self.stages,
            stage: self.stage.map(|stage| self.shown(stage)),
            ended: self.ended.clone(),
            went: went.map(<[ModelName]>::to_vec),
        }
    }

    /// The stage it is in, or would have begun with.
    pub fn stage(&self) -> Stage {
        self.shown(self.stage.unwrap_or(Stage::Load))
    }

    /// Where the server chooses what goes, it may be another one than the busy one.
    fn shown(&self, stage: Stage) -> Stage {
        if stage == Stage::Wait && self.plan.server_chooses { Stage::Load } else { stage }
    }

    /// The next stage begins; several unloads are one.
    pub fn enter(&mut self, stage: Stage, now: Moment) {
        if self.stage != Some(stage) {
            self.since = now;
        }
        self.stage = Some(stage);
    }

    /// It had to wait for others before it began.
    pub fn queued(&mut self, waited: Duration) {
        (self.queued, self.stages.waited) = (Some(waited), Some(waited));
    }

    /// The load is asked for; what has to go and is `busy` keeps it waiting first.
    pub fn load(&mut self, busy: &[ModelName], known: &Known, now: Moment) {
        let pid = |model| known.runner(model).map(|runner| runner.pid);
        self.busy = busy.iter().map(|model| (model.clone(), pid(model))).collect();
        self.load_asked = Some(now);
        self.enter(if self.busy.is_empty() { Stage::Load } else { Stage::Wait }, now);
    }

    /// Takes what the latest readings show of the models that the load waits for; says whether it waits no more.
    pub fn look_for_the_busy(&mut self, known: &Known) -> bool {
        if self.stage != Some(Stage::Wait) {
            return false;
        }
        let gone = last(self.busy.iter().map(|(model, pid)| gone(model, *pid, self.since, known)));
        let Some(gone) = gone else { return false };
        self.begin_load(gone);
        true
    }

    /// A runner that had to go has exited at `at`, so long after the load was asked for that its work was waited for,
    /// though nobody knew it at work.
    pub fn exited(&mut self, at: Moment) {
        if self.load_asked.is_some_and(|asked| at.since(asked.mono) >= NOTICED) {
            self.begin_load(at);
        }
    }

    /// Until now the load had to wait, unless it is over.
    fn begin_load(&mut self, at: Moment) {
        let Some(asked) = self.load_asked.filter(|_| self.is_loading()) else { return };
        self.stages.waited = Some(self.queued.unwrap_or_default() + at.since(asked.mono));
        (self.stage, self.since) = (Some(Stage::Load), at);
    }

    /// Since when the load itself is under way.
    pub fn loading_since(&self) -> Option<Moment> {
        (self.stage == Some(Stage::Load)).then_some(self.since)
    }

    fn is_loading(&self) -> bool {
        matches!(self.stage, Some(Stage::Wait | Stage::Load))
    }

    /// An unload is asked for.
    pub fn unload(&mut self, model: &ModelName, known: &Known, now: Moment) {
        self.enter(Stage::Unload, now);
        let cards = known.cards.as_ref().map(|reading| &reading.value);
        if self.unloading.is_none() {
            self.unloading = Some(now);
            self.room = cards.and_then(free);
        }
        let pid = known.runner(model).map(|runner| runner.pid);
        self.leaving.push(Leaving {
            model: model.clone(),
            pid,
            vram: known.running.get(model).map(|running| running.size_vram).unwrap_or_default(),
            on_card: pid.is_some_and(|pid| cards.is_some_and(|cards| lists(cards, pid))),
            gone: None,
            off_card: None,
        });
    }

    /// An unload is answered.
    pub fn unloaded(&mut self, now: Moment) {
        self.stages.unload = Some(now.since(self.since.mono));
    }

    /// The load is answered; `server` is what it says itself.
    pub fn loaded(&mut self, server: Option<Duration>, now: Moment) {
        // As long as it is not seen how long it waited, nobody can say what it took by itself.
        if self.stage != Some(Stage::Wait) {
            self.stages.load = Some(now.since(self.since.mono));
        }
        self.stages.server_load = server;
    }

    /// The first token has come.
    pub fn spoke(&mut self, now: Moment) {
        self.stages.first_token = Some(now.since(self.since.mono));
    }

    /// Our own reader begins.
    pub fn read(&mut self, now: Moment) {
        self.reading = Some(now);
    }

    /// Our own reader got so far; `over` when nothing more will come of it.
    pub fn read_on(&mut self, read: Bytes, over: bool, now: Moment) {
        let Some(since) = self.reading else { return };
        self.stages.read = Some(read);
        if self.ended.is_none() {
            self.stages.read_took = Some(now.since(since.mono));
        }
        if over {
            self.reading = None;
        }
    }

    /// Nothing is read ahead after all.
    pub fn reads_nothing(&mut self) {
        (self.reading, self.plan.way) = (None, Way::Off);
    }

    /// Whether our own reader works for it.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// It is over.
    pub fn end(&mut self, ended: Ended, asked: Moment, now: Moment) {
        if let Some(since) = self.reading {
            self.stages.read_took = Some(now.since(since.mono));
        }
        if ended == Ended::Ready {
            self.stages.total = Some(now.since(asked.mono));
        }
        (self.stage, self.ended) = (None, Some(ended));
    }

    /// The server chose this model; it was seen to be gone so long after the load was asked.
    pub fn went(&mut self, model: &ModelName, after: Duration) {
        self.plan.goes.push(model.clone());
        self.stages.gone = Some(after);
    }

    /// Takes what the latest readings show of the models that have to go.
    pub fn look(&mut self, known: &Known) {
        let Some(asked) = self.unloading else { return };
        let after = |at: &Moment| at.mono >= asked.mono;
        let cards = known.cards.as_ref().filter(|reading| after(&reading.at));
        let mut exit = None;
        for leaving in &mut self.leaving {
            if leaving.gone.is_none() {
                leaving.gone = gone(&leaving.model, leaving.pid, asked, known);
                let exited = exited(leaving.pid, asked, known);
                exit = exited.filter(|_| leaving.gone == exited).or(exit);
            }
            if let (Some(pid), true, None) = (leaving.pid, leaving.on_card, leaving.off_card) {
                let off = |reading: &&_| is_known(reading) && !lists(&reading.value, pid);
                leaving.off_card = cards.filter(off).map(|reading| reading.at);
            }
        }
        if let Some(at) = exit {
            self.exited(at);
        }
        if self.leaving.len() < self.plan.goes.len() {
            return;
        }
        if self.stages.gone.is_none() {
            self.stages.gone =
                last(self.leaving.iter().map(|leaving| leaving.gone)).map(|at| at.since(asked.mono));
        }
        if self.stages.card_free.is_none() {
            let on_cards =
                self.leaving.iter().filter(|leaving| leaving.on_card || leaving.vram > Bytes::ZERO);
            let exact = last(on_cards.map(|leaving| leaving.off_card));
            let risen = cards.filter(|reading| self.has_risen(&reading.value)).map(|reading| reading.at);
            self.stages.card_free = exact.or(risen).map(|at| at.since(asked.mono));
        }
    }

    /// Whether the cards have what the models held free again; where processes are hidden, only this tells.
    fn has_risen(&self, cards: &Cards) -> bool {
        let held: Bytes = self.leaving.iter().map(|leaving| leaving.vram).sum();
        let (Some(before), Some(now)) = (self.room, free(cards)) else { return false };
        // The last tenth may be taken by the load by then.
        held > Bytes::ZERO && now.0 >= before.0 + held.0 - held.0 / 10
    }

    /// An `/api/ps` more has passed.
    pub fn tick(&mut self) {
        if self.ended.is_some() {
            self.looks = self.looks.saturating_sub(1);
        }
    }

    /// Whether what had to go is not seen to be gone, or its memory not to be back.
    pub fn lacks(&self) -> bool {
        let lacks_card = self.stages.card_free.is_none() && self.room.is_some();
        self.unloading.is_some() && (self.stages.gone.is_none() || lacks_card)
    }

    /// Whether it has ended and it is worth looking on.
    pub fn looks_on(&self) -> bool {
        self.ended.is_some() && !self.recorded && self.looks > 0 && (self.lacks() || self.is_reading())
    }

    /// What the journal keeps, once: when it is over and all is seen, or `now_or_never`.
    pub fn record(
        &mut self,
        model: &ModelName,
        displaced: Option<&[ModelName]>,
        mode: LoadMode,
        now_or_never: bool,
    ) -> Option<SwapRecord> {
        let ended = self.ended.clone()?;
        if self.recorded || (self.looks_on() && !now_or_never) {
            return None;
        }
        self.recorded = true;
        Some(SwapRecord {
            model: model.clone(),
            ours: true,
            displaced: displaced.map(<[ModelName]>::to_vec),
            before: self.plan.before,
            way: self.plan.way,
            mode,
            num_ctx: self.plan.num_ctx,
            stages: self.stages,
            ended,
        })
    }
}

/// When a model was seen to be gone since `asked`: the server does not list it, or its runner has exited.
fn gone(model: &ModelName, pid: Option<u32>, asked: Moment, known: &Known) -> Option<Moment> {
    let after = |at: &Moment| at.mono >= asked.mono;
    let unlisted = known.ps_at.filter(after).filter(|_| !known.running.contains_key(model));
    earlier(unlisted, exited(pid, asked, known))
}

/// When the runner with this pid was seen to have exited, at a look since `asked`.
pub(super) fn exited(pid: Option<u32>, asked: Moment, known: &Known) -> Option<Moment> {
    let pid = pid?;
    let reading = known.runners.as_ref().filter(|reading| reading.at.mono >= asked.mono)?;
    reading.value.iter().all(|runner| runner.pid != pid).then_some(reading.at)
}

/// Whether the runner with this pid was seen at a look since `asked`.
pub(super) fn lives(pid: Option<u32>, asked: Moment, known: &Known) -> bool {
    pid.is_some_and(|pid| {
        let reading = known.runners.as_ref().filter(|reading| reading.at.mono >= asked.mono);
        reading.is_some_and(|reading| reading.value.iter().any(|runner| runner.pid == pid))
    })
}

pub(super) fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.mono < one.mono { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// The last of them; `None` if one is missing, or if there are none.
fn last(mut all: impl Iterator<Item = Option<Moment>>) -> Option<Moment> {
    let first = all.next()??;
    all.try_fold(first, |last, next| next.map(|next| if next.mono > last.mono { next } else { last }))
}

fn is_known(reading: &crate::residency::timing::Reading<Cards>) -> bool {
    matches!(reading.value, Cards::Known(_))
}

fn lists(cards: &Cards, pid: u32) -> bool {
    cards.list().iter().any(|card| card.processes.iter().any(|process| process.pid == pid))
}

/// What is free on all cards, where the driver says so.
fn free(cards: &Cards) -> Option<Bytes> {
    match cards {
        Cards::Known(cards) if !cards.is_empty() => Some(cards.iter().map(|card| card.free).sum()),
        _ => None,
    }
}
