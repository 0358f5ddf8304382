//! Dropping a model from RAM: this process lets go first, then others are asked to, then the kernel.

use std::sync::Arc;
use std::time::Duration;

use super::ask::Reply;
use super::manager::Manager;
use super::ram::{Next, Others, RamAct, Step};
use crate::probe::evict::{self, Evicted};
use crate::residency::act::ActId;
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::map::Pages;
use crate::residency::name::ModelName;
use crate::residency::timing::{Moment, Reading};

/// How long another instance may take to let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// What may stay and still count as dropped: one percent of it.
const REST: u8 = 1;

impl Manager {
    /// Lets go here, asks other instances to, and goes on when nobody holds it any more.
    pub(super) fn let_all_go(
        &mut self,
        at: usize,
        model: &ModelName,
        since: Moment,
        others: Others,
    ) -> Option<Next> {
        let id = self.ram_acts[at].act.id;
        let is_late = self.now().since(since.mono) >= PATIENCE;
        self.known.warmed.remove(model);
        let own: Vec<ModelName> =
            self.known.kept.keys().filter(|kept| self.known.are_one(kept, model)).cloned().collect();
        for kept in own {
            self.let_go(&kept, Some("it is dropped".to_owned()));
        }
        // A warm of the same files would bring back what is dropped.
        let is_rival = |other: &RamAct| {
            let reads = other.act.id != id && other.act.progress.is_some() && other.act.is_live();
            reads && self.known.are_one(&other.act.model, model)
        };
        if let Some(rival) = self.ram_acts.iter().find(|other| is_rival(other)) {
            let rival = &rival.act.model;
            return Some(Next::Fail(format!("{rival} is being read into RAM: cancel that first")));
        }
        let files = self.sources(model);
        let digests: Vec<String> = files.iter().map(|file| file.digest.clone()).collect();
        match others {
            Others::Unasked => return Some(self.ask_others(id, since, digests)),
            Others::Asked => return None,
            Others::Hold(pids) => {
                let journal = self.journals.opened();
                let leases = journal.map(|journal| Arc::clone(&journal.leases.borrow())).unwrap_or_default();
                let holds = |pid: &&u32| {
                    leases.iter().any(|lease| lease.pid == **pid && digests.contains(&lease.digest))
                };
                if let Some(pid) = pids.iter().find(holds) {
                    return is_late.then(|| Next::Fail(format!("held by pid {pid}, which did not let go")));
                }
            }
            Others::None => {}
        }
        // What is still mapped here would stay.
        let mapped = self.tier.as_ref().is_some_and(|tier| {
            let held = tier.holder.readings.borrow();
            digests.iter().any(|digest| held.contains_key(digest))
        });
        if mapped && !is_late {
            return None;
        }
        let clock = Arc::clone(&self.clock);
        let files = files.into_iter().map(|file| (file.digest, file.path, file.size)).collect();
        self.flying.spawn(async move {
            let answer = evict::spawn(files, clock).await;
            Reply::Evicted { id, answer: answer.unwrap_or_default() }
        });
        Some(Next::Step(Step::Evicting, "dropping"))
    }

    /// Asks other instances to let go; the journal answers who they are.
    fn ask_others(&mut self, id: ActId, since: Moment, digests: Vec<String>) -> Next {
        // Without a journal there is nobody who could be known.
        let journal = self.journals.watched();
        let asked = journal.and_then(|journal| journal.ask_release(digests).ok());
        let Some(asked) = asked else {
            return Next::Step(Step::LettingGo { since, others: Others::None }, "letting go");
        };
        self.flying.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, asked).await;
            Reply::Asked {
                id,
                pids: answer.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default(),
            }
        });
        Next::Step(Step::LettingGo { since, others: Others::Asked }, "asking others to let go")
    }

    /// Takes who was asked to let go.
    pub(super) fn asked(&mut self, id: ActId, pids: &[u32]) {
        for act in self.ram_acts.iter_mut().filter(|act| act.act.id == id) {
            if let Step::LettingGo { others, .. } = &mut act.step {
                *others = if pids.is_empty() { Others::None } else { Others::Hold(pids.to_vec()) };
            }
        }
    }

    /// Takes what became of the pages.
    pub(super) fn evicted(&mut self, id: ActId, files: &[Evicted]) {
        let now = self.now();
        let Some(at) = self.ram_acts.iter().position(|act| act.act.id == id && act.act.is_live()) else {
            return;
        };
        let model = self.ram_acts[at].act.model.clone();
        let sum = |part: fn(&Evicted) -> Option<Bytes>| -> Bytes { files.iter().filter_map(part).sum() };
        let was = sum(|file| file.before.bytes());
        let left = sum(|file| file.after.bytes());
        let whole: Bytes = self.known.blobs(&model).iter().map(|blob| blob.size).sum();
        self.known.told_percent.insert(model.clone(), left.percent_of(whole));
        self.tell(Some(model.clone()), What::Dropped { was, left });
        // What was just read counts at once: the next question to the budget must not see what is gone.
        let pages = Arc::make_mut(&mut self.known.pages);
        for file in files {
            let value = Pages { cached: file.after.clone(), map: None };
            pages.insert(file.digest.clone(), Reading { value, at: now });
        }
        let stays = files.iter().find_map(|file| file.why_stays.clone());
        let act = &mut self.ram_acts[at];
        match stays {
            Some(why) if left.percent_of(whole) >= REST => {
                let why = format!("{left} stay in RAM: {why}");
                act.fail(why.clone(), false, now);
                self.tell(Some(model.clone()), What::Failed { verb: "drop", why });
            }
            _ => act.done(now),
        }
        self.look_at(&model);
    }
}
