//! What findings are told from: who is where beside what the server says, followed over several looks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::facts::Running;
use super::known::Known;
use crate::probe::runner;
use crate::residency::bytes::Bytes;
use crate::residency::finding::{Facts, Finding, GRACE, Pending, Shared, Unlisted, find};
use crate::residency::host::{CardProcess, Runner, used_on};
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Reach};
use crate::residency::timing::Moment;

/// So many answers of the server are seen before anything is judged.
const ANSWERS: u32 = 2;

/// By then all is judged that can be.
const ENOUGH: Duration = Duration::from_secs(10);
/// What is on a card for so long, and no runner by then, is another program.
const ONCE_MORE: Duration = Duration::from_millis(500);

/// What may turn out to be wrong.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// When the first look was.
    began: Option<Moment>,
    /// How often the server has said what is loaded.
    pub answers: u32,
    /// Since when each runner is seen that the server does not list.
    unlisted: HashMap<u32, Moment>,
    /// What the processes on the cards are called.
    names: HashMap<u32, (Moment, Option<String>)>,
    /// Processes on the cards that are runners, or were: one that ends holds its memory a little longer.
    runners: HashSet<u32>,
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
        let on_cards: HashSet<u32> =
            self.card_list().iter().flat_map(|card| &card.processes).map(|process| process.pid).collect();
        let mut runners = std::mem::take(&mut self.suspects.runners);
        runners.extend(self.all_runners().iter().map(|runner| runner.pid));
        runners.retain(|pid| on_cards.contains(pid));
        self.suspects.runners = runners;
        let mut names = std::mem::take(&mut self.suspects.names);
        self.suspects.names = self
            .strangers()
            .map(|(_, pid, _)| {
                // A name is asked for once: in `/proc` of this machine, where the cards are too.
                let name = names.remove(&pid);
                (pid, name.unwrap_or_else(|| (now, runner::called(Path::new("/proc"), pid))))
            })
            .collect();
        let began = *self.suspects.began.get_or_insert(now);
        // At the start a runner that is not listed may have been so for long or not at all: that is waited for.
        let is_young = |runner: &Runner| {
            let since = self.suspects.unlisted.get(&runner.pid);
            !runner.left_behind && since.is_some_and(|since| now.since(since.mono) <= GRACE)
        };
        // So may a model whose runner was not seen yet.
        let may_be_ghost = |(name, running): (&ModelName, &Running)| {
            running.pid.is_none() && self.is_findable(name) && !self.ghosts.contains(name)
        };
        let is_clear = !self.all_runners().iter().any(is_young) && !self.running.iter().any(may_be_ghost);
        self.suspects.judged |=
            self.suspects.answers >= ANSWERS && (is_clear || now.since(began.mono) > ENOUGH);
    }

    /// What is wrong at `now`; `None` before enough was seen.
    pub fn findings(&self, models: &[Model], now: Moment) -> Option<Vec<Finding>> {
        if !self.suspects.judged || matches!(self.reach, Reach::Down { .. }) {
            return None;
        }
        let pending: Vec<Pending> = self.pending().collect();
        let unlisted: Vec<Unlisted> = self.unlisted().collect();
        let cards: Vec<Shared> = self.shared_cards();
        let loads = &self.past.swaps;
        Some(find(&Facts { now, models, loads, pending: &pending, unlisted: &unlisted, cards: &cards }))
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
        let cards = self.card_list();
        self.all_runners().iter().filter_map(move |runner| {
            let since = *self.suspects.unlisted.get(&runner.pid)?;
            let on_cards = used_on(cards, runner.pid);
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
        let cards = self.card_list();
        let is_runner = |pid: u32| {
            self.suspects.runners.contains(&pid) || self.all_runners().iter().any(|runner| runner.pid == pid)
        };
        let on = |(card, process): (usize, &CardProcess)| Some((card, process.pid, process.used?));
        let processes =
            cards.iter().enumerate().flat_map(|(i, card)| card.processes.iter().map(move |one| (i, one)));
        processes.filter_map(on).filter(move |(_, pid, _)| !is_runner(*pid))
    }

    fn shared_cards(&self) -> Vec<Shared> {
        // Where no runner can be seen, the server's own look like strangers.
        if self.runners.is_none() {
            return Vec::new();
        }
        let cards = self.card_list();
        let mut shared: Vec<Shared> = cards
            .iter()
            .map(|card| Shared { card: card.name.clone(), total: card.total, others: Vec::new() })
            .collect();
        let looked = self.runners.as_ref().map(|runners| runners.at);
        for (card, pid, bytes) in self.strangers() {
            // One that has just come may be a runner: the processes are looked through once more.
            let (Some((since, name)), Some(looked)) = (self.suspects.names.get(&pid), looked) else {
                continue;
            };
            if looked.since(since.mono) >= ONCE_MORE {
                shared[card].others.push((pid, name.clone(), bytes));
            }
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::engine::facts::{Installed, Loading};
    use crate::residency::bytes::MIB;
    use crate::residency::finding::Kind;
    use crate::residency::host::{Card, Cards, Runners};
    use crate::residency::snapshot::{Blob, Details};
    use crate::residency::tier::Cached;
    use crate::residency::timing::Reading;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Moment {
        Moment { mono: Instant::now(), wall: "2026-11-24T12:00:00Z".parse().unwrap() }
    }

    fn later(at: Moment, seconds: u64) -> Moment {
        Moment { mono: at.mono + Duration::from_secs(seconds), ..at }
    }

    fn name(text: &str) -> ModelName {
        ModelName::parse(text).unwrap()
    }

    /// A server on this machine with one installed model and these runners, that has answered twice.
    fn known(at: Moment, runners: Vec<Runner>) -> Known {
        let mut known = Known::new(Arc::new(Config::default()), "host".into(), true, None);
        known.models_dir = Some("/models".into());
        let installed = Installed { digest: "a".into(), size: Bytes(9), details: Details::default() };
        known.installed.insert(name("a"), installed);
        let blob = Blob {
            digest: "sha256:a".into(),
            role: "weights",
            size: Bytes(9),
            path: Some("/models/blobs/sha256-a".into()),
            cached: Cached::Unread,
            map: None,
        };
        known.files.insert(name("a"), Ok(vec![blob]));
        known.runners = Some(Reading { value: Runners { list: runners, server: None }, at });
        known.suspects.answers = 2;
        known
    }

    fn runner(pid: u32, blob: &str) -> Runner {
        Runner { pid, blob: blob.to_owned(), ready: Some(true), ..Runner::default() }
    }

    /// What is found after so many seconds in which nothing changed.
    fn kinds(known: &mut Known, at: Moment, seconds: u64) -> Option<Vec<Kind>> {
        known.suspect(at);
        known.suspect(later(at, seconds));
        let found = known.findings(&[], later(at, seconds))?;
        Some(found.into_iter().map(|finding| finding.kind).collect())
    }

    #[test]
    fn before_two_answers_nothing_is_judged() {
        let at = start();
        let mut known = known(at, Vec::new());
        known.suspects.answers = 1;
        assert_eq!(kinds(&mut known, at, 60), None);
        known.suspects.answers = 2;
        assert_eq!(kinds(&mut known, at, 60), Some(vec![]));
        let why = String::new();
        known.reach = Reach::Down { since: at, answers: false, why };
        assert_eq!(kinds(&mut known, at, 60), None, "of a server that is gone nothing is known");
    }

    #[test]
    fn a_runner_that_is_not_listed_is_waited_for_and_then_found() {
        let at = start();
        let mut suspicious = known(at, vec![runner(7, "/models/blobs/sha256-a")]);
        assert_eq!(kinds(&mut suspicious, at, 5), None);
        assert_eq!(kinds(&mut suspicious, at, 7), Some(vec![Kind::Orphan]));
        let found = suspicious.findings(&[], later(at, 7)).unwrap();
        assert_eq!(found[0].model, Some(name("a")));
        // A file that no model has any more.
        assert_eq!(
            kinds(&mut known(at, vec![runner(7, "/models/blobs/sha256-gone")]), at, 7),
            Some(vec![Kind::Orphan])
        );
        suspicious.runners = Some(Reading { value: Runners::default(), at });
        assert_eq!(kinds(&mut suspicious, at, 8), Some(vec![]));
    }

    #[test]
    fn what_is_listed_loads_or_is_another_servers_is_no_orphan() {
        let at = start();
        let not_ready = Runner { ready: Some(false), ..runner(7, "/models/blobs/sha256-a") };
        assert_eq!(kinds(&mut known(at, vec![not_ready]), at, 60), Some(vec![]));
        assert_eq!(kinds(&mut known(at, vec![runner(7, "/other/blobs/sha256-a")]), at, 60), Some(vec![]));
        let mut loading = known(at, vec![runner(7, "/models/blobs/sha256-a")]);
        let load = Loading { since: at, ours: true, answered: None, from_ram: None };
        loading.loading.insert(name("a"), load);
        assert_eq!(kinds(&mut loading, at, 60), Some(vec![]));
    }

    #[test]
    fn what_was_left_behind_is_found_at_once_and_is_no_models_runner() {
        let at = start();
        let left = Runner { left_behind: true, ready: None, ..runner(7, "/models/blobs/sha256-a") };
        let loads = Runner { ready: Some(false), ..runner(8, "/models/blobs/sha256-a") };
        let mut known = known(at, vec![left, loads]);
        assert_eq!(known.runner(&name("a")).map(|runner| runner.pid), Some(8));
        assert_eq!(kinds(&mut known, at, 0), Some(vec![Kind::Orphan]));
    }

    #[test]
    fn who_is_on_the_card_and_no_runner_is_another_program_with_its_name() {
        let at = start();
        let own = std::process::id();
        let process = |pid, mib| CardProcess { pid, used: Some(Bytes(mib * MIB)) };
        let card = Card {
            name: "RTX".into(),
            total: Bytes(1000 * MIB),
            processes: vec![process(7, 500), process(own, 200)],
            ..Card::default()
        };
        let mut known = known(at, vec![runner(7, "/other/blobs/sha256-a")]);
        known.cards = Some(Reading { value: Cards::Known(vec![card]), at });
        assert_eq!(kinds(&mut known, at, 0), Some(vec![]), "it may be a runner that has just come");
        known.runners.as_mut().unwrap().at.mono += ONCE_MORE;
        assert_eq!(kinds(&mut known, at, 1), Some(vec![Kind::OtherPrograms]));
        let evidence = known.findings(&[], at).unwrap().remove(0).evidence;
        let called = runner::called(Path::new("/proc"), own);
        let named = format!("{} (pid {own}) 200 MiB", called.as_deref().unwrap_or("a process"));
        assert!(
            evidence.starts_with("200 MiB of 1.0 GiB on RTX") && evidence.ends_with(&named),
            "{evidence}"
        );
        // A runner that ends is no stranger while its memory is given back.
        let mut ending = known.runners.clone().unwrap();
        ending.value.list.push(runner(own, "/other/blobs/sha256-b"));
        let gone = known.runners.replace(ending);
        assert_eq!(kinds(&mut known, at, 2), Some(vec![]));
        known.runners = gone;
        assert_eq!(kinds(&mut known, at, 3), Some(vec![]));
        known.runners = None;
        assert_eq!(kinds(&mut known, at, 4), Some(vec![]), "nobody can say whose they are");
    }

    #[test]
    fn a_load_of_ours_that_gets_no_runner_is_a_stuck_scheduler() {
        let at = start();
        let mut known = known(at, Vec::new());
        let load = Loading { since: at, ours: true, answered: None, from_ram: None };
        known.loading.insert(name("a"), load);
        assert_eq!(kinds(&mut known, at, 29), Some(vec![]));
        assert_eq!(kinds(&mut known, at, 31), Some(vec![Kind::StuckScheduler]));
        known.runners = None;
        assert_eq!(kinds(&mut known, at, 31), Some(vec![]), "its runner may be there");
    }
}
