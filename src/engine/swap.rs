//! Loads and swaps beyond what the server is asked: files are read ahead, what goes is watched, and all is recorded.
//!
//! Part of the manager. When what is sent is the subject of `acts`.

use std::sync::Arc;

use super::acts::{Job, Order, victims};
use super::manager::Manager;
use crate::probe::warm::{Job as Reading, Warmings};
use crate::residency::act::{ActId, ActKind};
use crate::residency::budget::{Verdict, Want};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::record::Happened;
use crate::residency::swap::Wish;
use crate::residency::timing::Moment;
use crate::residency::warm::Warming;

/// What a load waits for is read before all else.
const FIRST: u32 = 0;

impl Manager {
    /// Takes a new act, with what the forecast says now: that is what was shown when it was asked for.
    pub(super) fn take_act(&mut self, id: ActId, kind: ActKind, model: ModelName, wish: Wish) {
        let shown = Arc::clone(&self.publish.borrow());
        let agreed = shown.servers.first().and_then(|server| victims(&model, &server.models));
        self.known.looked_at = Some(model.clone());
        self.acts.take(Order { id, kind, model, wish, agreed }, self.now());
    }

    /// Begins to read the files of a model that is to be loaded; says what comes instead where they must not be read.
    pub(super) fn read_ahead(&mut self, id: ActId, model: &ModelName) -> Vec<(ActId, Job)> {
        let files = self.sources(model);
        let size: Bytes = files.iter().map(|file| file.size).sum();
        let missing = self.known.cached(model).0.bytes().map_or(size, |bytes| size.minus(bytes));
        let verdict = match self.why_out_of_reach(model) {
            Ok(()) => self.verdict(&Want { model: model.clone(), size, missing }),
            Err(why) => Verdict::Refused { why },
        };
        let reads = match (verdict, &self.tier) {
            (Verdict::Fits { .. }, Some(tier)) => {
                if let Some(pages) = &self.pages {
                    pages.spare(files.iter().map(|file| file.path.clone()));
                }
                tier.warmer.warm(Reading { id: id.0, priority: FIRST, files });
                Ok(())
            }
            // Nothing is dropped while a load waits.
            (Verdict::MakesRoom { why, .. } | Verdict::Refused { why }, _) => Err(why),
            (Verdict::Fits { .. }, None) => Err(super::ram::nowhere()),
        };
        let Err(why) = reads else {
            self.mind_the_disk();
            return Vec::new();
        };
        self.tell(Some(model.clone()), What::Warned { why: format!("{model} is not read ahead: {why}") });
        let now = self.now();
        self.acts.reads_nothing(id, &mut self.known, now)
    }

    /// The load needs no more help: what was read stays.
    pub(super) fn read_no_more(&self, id: ActId) {
        if let Some(tier) = &self.tier {
            tier.warmer.cancel(id.0);
        }
    }

    /// Takes what the reader says of the files of models that are loaded; says whether there is anything.
    pub(super) fn see_swaps_read(&mut self, all: &Warmings) -> bool {
        let now = self.now();
        let mut news = false;
        for id in self.acts.read_for() {
            let Some(warming) = all.get(&id.0) else { continue };
            news = true;
            let (progress, over) = (warming.progress().copied(), warming.is_over());
            if let (Warming::Failed { why, .. }, Some(act)) = (warming, self.acts.reader_of(id)) {
                let (model, why) = (act.model.clone(), format!("reading ahead ended: {why}"));
                self.tell(Some(model), What::Warned { why });
            }
            if let Some(act) = self.acts.reader_of(id) {
                act.progress = progress.or(act.progress);
            }
            let read = progress.unwrap_or_default().read;
            let jobs = self.acts.read_on(id, read, over, &mut self.known, now);
            self.carry_out(jobs);
            if let Some(tier) = self.tier.as_ref().filter(|_| over) {
                tier.warmer.forget(id.0);
            }
        }
        news
    }

    /// While models go for a swap, runners and cards are looked at more often: says when next. Nothing waits for it.
    pub(super) fn watch_leaving(&mut self, now: Moment) -> Option<std::time::Instant> {
        let period = self.acts.look_period(&self.known, now)?;
        if now.mono >= self.due.leaving.mono {
            if let Some(runners) = &self.runners {
                runners.wake();
            }
            if let Some(cards) = &self.cards {
                cards.wake();
            }
            self.due.leaving = Moment { mono: now.mono + period, ..now };
        }
        Some(self.due.leaving.mono)
    }

    /// Takes what new readings show of what goes; says whether anything is shown for it.
    pub(super) fn look_at_swaps(&mut self) -> bool {
        let leaving = self.acts.look_period(&self.known, self.now()).is_some();
        if leaving {
            self.acts.look(&mut self.known);
            self.keep_records(false);
        }
        leaving
    }

    /// Records what is over and all seen of; `now_or_never` also that of which something is still to come.
    pub(super) fn keep_records(&mut self, now_or_never: bool) {
        for record in self.acts.records(&self.known, now_or_never) {
            self.record(Happened::Swap(record));
        }
    }
}
