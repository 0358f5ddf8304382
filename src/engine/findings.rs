//! What findings are told from: who is where beside what the server says, followed over several looks.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::known::Known;
use crate::probe::runner;
use crate::residency::bytes::Bytes;
use crate::residency::finding::{Facts, Finding, GRACE, Pending, Shared, Unlisted, find};
use crate::residency::host::Runner;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;
use crate::residency::timing::Moment;

/// So many answers of the server are seen before anything is judged.
const ANSWERS: u32 = 2;

/// What may turn out to be wrong.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// How often the server has said what is loaded.
    pub answers: u32,
    /// Since when each runner is seen that the server does not list.
    unlisted: HashMap<u32, Moment>,
    /// What the processes on the cards are called.
    names: HashMap<u32, Option<String>>,
    /// All that was there at the start was looked at for long enough.
    judged: bool,
}

impl Known {
    /// Takes down who is there at `now` that the server does not tell of.
    pub fn suspect(&mut self, now: Moment) {
        let names = self.running.keys().chain(self.loading.keys());
        let listed: BTreeSet<u32> =
            names.flat_map(|name| self.runners_of(name)).map(|runner| runner.pid).collect();
        let is_suspect = |runner: &&Runner| {
            // One that still loads is not listed yet.
            let is_up = runner.left_behind || runner.ready == Some(true);
            is_up && !listed.contains(&runner.pid) && self.is_of_ours(runner)
        };
        let suspects: Vec<u32> =
            self.all_runners().iter().filter(is_suspect).map(|runner| runner.pid).collect();
        let unlisted = &mut self.suspects.unlisted;
        unlisted.retain(|pid, _| suspects.contains(pid));
        for pid in suspects {
            unlisted.entry(pid).or_insert(now);
        }
        let mut names = std::mem::take(&mut self.suspects.names);
        self.suspects.names = self
            .strangers()
            .map(|(_, pid, _)| {
                // A name is asked for once: in `/proc` of this machine, where the cards are too.
                let name = names.remove(&pid);
                (pid, name.unwrap_or_else(|| runner::called(Path::new("/proc"), pid)))
            })
            .collect();
        // At the start a runner that is not listed may have been so for long or not at all: that is waited for.
        let is_young = |since: &Moment| now.since(since.mono) <= GRACE;
        self.suspects.judged |=
            self.suspects.answers >= ANSWERS && !self.suspects.unlisted.values().any(is_young);
    }

    /// What is wrong at `now`; `None` before enough was seen.
    pub fn findings(&self, models: &[Model], now: Moment) -> Option<Vec<Finding>> {
        if !self.suspects.judged {
            return None;
        }
        let pending: Vec<Pending> = self.pending().collect();
        let unlisted: Vec<Unlisted> = self.unlisted().collect();
        let cards: Vec<Shared> = self.shared_cards();
        let loads = &self.past.swaps;
        Some(find(&Facts { now, models, loads, pending: &pending, unlisted: &unlisted, cards: &cards }))
    }

    fn all_runners(&self) -> &[Runner] {
        self.runners.as_ref().map_or(&[][..], |reading| &reading.value)
    }

    /// Whether a runner holds a file of this server.
    fn is_of_ours(&self, runner: &Runner) -> bool {
        let dir = self.models_dir.as_deref();
        dir.is_some_and(|dir| Path::new(&runner.blob).starts_with(dir)) || self.model_of(runner).is_some()
    }

    fn model_of(&self, runner: &Runner) -> Option<&ModelName> {
        self.installed.keys().find(|name| {
            let path = self.weights(name).and_then(|blob| blob.path.as_deref());
            path == Some(Path::new(&runner.blob))
        })
    }

    /// Loads of ours that are not answered. Without a look at the runners nobody can say that one hangs.
    fn pending(&self) -> impl Iterator<Item = Pending> {
        let sent = self.loading.iter().filter(|(_, load)| load.ours && load.answered.is_none());
        sent.filter(|_| self.runners.is_some()).map(|(model, load)| Pending {
            model: model.clone(),
            since: load.since,
            has_runner: self.runners_of(model).next().is_some(),
        })
    }

    fn unlisted(&self) -> impl Iterator<Item = Unlisted> {
        let cards = self.cards.as_ref().map_or(&[][..], |reading| reading.value.list());
        self.all_runners().iter().filter_map(move |runner| {
            let since = *self.suspects.unlisted.get(&runner.pid)?;
            let on_cards: Bytes = cards.iter().map(|card| card.used_by(runner.pid)).sum();
            Some(Unlisted {
                pid: runner.pid,
                model: self.model_of(runner).cloned(),
                since,
                left_behind: runner.left_behind,
                memory: (runner.anonymous, on_cards),
            })
        })
    }

    /// Processes on the cards that are no runner: on which card, their id, and what they hold.
    fn strangers(&self) -> impl Iterator<Item = (usize, u32, Bytes)> {
        let cards = self.cards.as_ref().map_or(&[][..], |reading| reading.value.list());
        let is_runner = |pid: u32| self.all_runners().iter().any(|runner| runner.pid == pid);
        let on = |(card, process): (usize, &crate::residency::host::CardProcess)| {
            Some((card, process.pid, process.used?))
        };
        let processes =
            cards.iter().enumerate().flat_map(|(i, card)| card.processes.iter().map(move |one| (i, one)));
        processes.filter_map(on).filter(move |(_, pid, _)| !is_runner(*pid))
    }

    fn shared_cards(&self) -> Vec<Shared> {
        // Where no runner can be seen, the server's own look like strangers.
        if self.runners.is_none() {
            return Vec::new();
        }
        let cards = self.cards.as_ref().map_or(&[][..], |reading| reading.value.list());
        let mut shared: Vec<Shared> = cards
            .iter()
            .map(|card| Shared { card: card.name.clone(), total: card.total, others: Vec::new() })
            .collect();
        for (card, pid, bytes) in self.strangers() {
            let name = self.suspects.names.get(&pid).cloned().flatten();
            shared[card].others.push((pid, name, bytes));
        }
        shared
    }
}
