//! Acts of the RAM tier as a list: each goes on by one step after the other until it is done, fails or is cancelled.
//!
//! Part of the manager. What reading is, is the subject of `warm`; what is kept afterwards that of `hold`; what goes
//! out that of `drop`.

use std::time::Duration;

use super::acts::forget_ended;
use super::manager::Manager;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::tier::Cached;
use crate::residency::timing::Moment;

/// How long the residency that shows a warm done is waited for; then it is done with what is known.
const VERIFY: Duration = Duration::from_secs(3);

/// How long files that are not found yet are waited for.
const FILES: Duration = Duration::from_secs(10);

/// The priority of what a person asked for.
pub(super) const ASKED: u32 = 10;
/// The priority of what is mended in idle time.
pub(super) const MENDING: u32 = 100;

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

    pub(super) fn reads(&self) -> bool {
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
        let act = Act { id, kind, model, state, progress: None, swap: None, first_token: None };
        self.ram_acts.push(RamAct { act, asked: now, priority, step: Step::Planned });
        forget_ended(&mut self.ram_acts, |ram_act| &ram_act.act);
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
            (kind, Step::Planned) => Some(match self.waits_for_files(at, &model) {
                Some(why) => Next::Wait(why.to_owned()),
                None if kind == ActKind::Drop => self.begin_drop(&model),
                None => self.begin_warm(at, &model),
            }),
            (ActKind::Drop, Step::LettingGo { since, others }) => {
                let (since, others) = (*since, others.clone());
                self.let_all_go(at, &model, since, others)
            }
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
                let progress = act.progress.unwrap_or_default();
                // Where the reader found all in RAM, a reading that says the same needs no other.
                let agrees = progress.read == Bytes::ZERO && cached.bytes() == Some(progress.total);
                let fresh = agrees || read_at.is_some_and(|read_at| read_at.mono >= since.mono);
                let hopeless = matches!(cached, Cached::Unknown(_)) || now.since(since.mono) >= VERIFY;
                (fresh || hopeless).then(|| self.warmed(at, kind, &model, took))
            }
            (_, Step::Reading | Step::LettingGo { .. } | Step::Evicting) => None,
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
            self.tell(Some(model), What::Cancelled { verb, left: None });
        }
    }

    /// A number for an act that nobody asked for by key.
    pub(super) fn own_id(&mut self) -> ActId {
        self.due.next_own += 1;
        ActId::own(self.due.next_own)
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
        match self.why_out_of_reach(model) {
            Err(why) => Next::Fail(why),
            Ok(()) => {
                Next::Step(Step::LettingGo { since: self.now(), others: Others::Unasked }, "letting go")
            }
        }
    }

    /// Why the files of a model cannot be moved from here, in words for the user.
    pub(super) fn why_out_of_reach(&self, model: &ModelName) -> Result<(), String> {
        if !self.known.local || self.tier.is_none() {
            return Err(nowhere());
        }
        match self.known.files.get(model) {
            None if !self.known.installed.contains_key(model) => {
                Err(format!("not installed; get it with: ollama pull {model}"))
            }
            None => Err("its files were not found".to_owned()),
            Some(Err(why)) => Err(format!("its files cannot be read here: {why}")),
            Some(Ok(blobs)) if blobs.iter().any(|blob| blob.path.is_none()) => {
                Err("its files are not on this machine".to_owned())
            }
            Some(Ok(_)) => Ok(()),
        }
    }

    /// What an act waits for before it can begin: the server's files are looked for on a thread of their own, and their
    /// residency is read on another. `None` once that is known, or takes too long.
    fn waits_for_files(&self, at: usize, model: &ModelName) -> Option<&'static str> {
        let waited = self.now().since(self.ram_acts[at].asked.mono);
        let is_here = self.known.local && self.known.installed.contains_key(model);
        if !is_here || waited >= FILES {
            return None;
        }
        if !self.known.files.contains_key(model) {
            return Some("its files are being looked for");
        }
        (self.known.cached(model).0 == Cached::Unread && waited < VERIFY)
            .then_some("its files are being read")
    }
}

pub(super) fn nowhere() -> String {
    "the server is on another machine: its RAM cannot be read from here; preload.strategy: request loads models \
     into VRAM instead"
        .to_owned()
}
