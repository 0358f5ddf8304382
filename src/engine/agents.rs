//! Agents' runs, as their phases are told in the journal: what comes next is read into RAM while a phase works.
//!
//! Part of the manager. What happens after a run is the subject of `homing`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::manager::Manager;
use super::ram::MENDING;
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;
use crate::residency::record::{Past, Run};

/// A run that has not said for this long what it does is no longer followed.
const LIVES: Duration = Duration::from_secs(3600);
/// Of a model of which this many percent are in RAM nothing is read.
const THERE: u8 = 95;

/// How far agents' runs were followed.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    /// The phase of each living run for which something was done, by when it was told.
    followed: BTreeMap<String, Timestamp>,
    /// Since when this instance looks: what was over by then is not its concern.
    pub since: Option<Timestamp>,
    /// The end of the latest run after which the primary model came back, or need not.
    pub home: Option<Timestamp>,
}

impl Manager {
    /// Follows the runs that the journal tells of. Does nothing where nothing is new, so that every turn may call it.
    pub(super) fn follow_runs(&mut self) {
        let now = self.now();
        self.known.agents.since.get_or_insert(now.wall);
        if self.known.past.runs.is_empty() || self.known.tags_at.is_none() || !self.acts_by_itself() {
            return;
        }
        self.warm_what_comes_next();
        self.return_home();
    }

    /// Whether this instance may act though nobody pressed a key; of several it is the keeper who does.
    pub(super) fn acts_by_itself(&self) -> bool {
        self.known.config.may_act && self.keeps_pins()
    }

    /// Once for each phase that is told: what its run needs next goes into RAM, behind all that a person asked for.
    fn warm_what_comes_next(&mut self) {
        let now = self.now();
        let past = Arc::clone(&self.known.past);
        let followed = &mut self.known.agents.followed;
        followed.retain(|run, _| past.runs.iter().any(|known| known.run == *run));
        for (run, told, model) in next_up(&past, now.wall) {
            if self.known.agents.followed.insert(run.to_owned(), told) == Some(told) {
                continue;
            }
            let is_there = self.known.running_as(model).is_some()
                || self.known.percent_cached(model).is_some_and(|percent| percent >= THERE);
            if self.known.local && self.known.installed.contains_key(model) && !is_there {
                let id = self.own_id();
                self.take_ram_act(id, ActKind::Warm, model.clone(), MENDING);
            }
        }
    }
}

/// What each living run needs next, and when it said so.
fn next_up(past: &Past, now: Timestamp) -> impl Iterator<Item = (&str, Timestamp, &ModelName)> {
    past.runs.iter().filter_map(move |run| {
        let (told, phase) = run.phases.last()?;
        let lives = !phase.phase.is_empty() && now.duration_since(*told).unsigned_abs() < LIVES;
        let next = phase.next.as_ref().filter(|next| lives && phase.model.as_ref() != Some(*next))?;
        Some((run.run.as_str(), *told, next))
    })
}

/// When a run told something last.
pub(super) fn last_told(run: &Run) -> Option<Timestamp> {
    run.phases.last().map(|(told, _)| *told)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::residency::record::PhaseRecord;

    /// So many seconds after the beginning of a day.
    pub fn at(second: i64) -> Timestamp {
        Timestamp::new(1_800_000_000 + second, 0).unwrap()
    }

    /// A phase, its model and what comes next; an empty name is no phase.
    pub fn phase(run: &str, phase: &str, model: &str, next: &str) -> PhaseRecord {
        let name = |text: &str| (!text.is_empty()).then(|| ModelName::parse(text).unwrap());
        PhaseRecord {
            run: run.to_owned(),
            phase: phase.to_owned(),
            model: name(model),
            next: name(next),
            swap: Duration::ZERO,
        }
    }

    /// A run of these phases.
    pub fn run(phases: &[(i64, PhaseRecord)]) -> Run {
        let phases: Vec<_> = phases.iter().map(|(second, phase)| (at(*second), phase.clone())).collect();
        Run { run: phases[0].1.run.clone(), phases }
    }

    fn next(runs: &[Run], second: i64) -> Vec<String> {
        let past = Past { runs: runs.to_vec(), ..Past::default() };
        next_up(&past, at(second)).map(|(run, _, model)| format!("{run} {model}")).collect()
    }

    #[test]
    fn what_the_newest_phase_of_each_living_run_says_comes_next() {
        let one = run(&[(0, phase("one", "context", "a", "c")), (10, phase("one", "execution", "b", "a"))]);
        let two = run(&[(20, phase("two", "context", "a", "b"))]);
        assert_eq!(next(&[two.clone(), one.clone()], 30), ["two b", "one a"]);
        assert_eq!(next(&[two, one], 10 + 3600), ["two b"], "a run that is silent for an hour is dead");
    }

    #[test]
    fn nothing_comes_next_of_a_run_that_is_over_or_does_not_say() {
        let over = run(&[(0, phase("one", "context", "a", "b")), (10, phase("one", "", "", ""))]);
        let silent = run(&[(0, phase("two", "context", "a", ""))]);
        let same = run(&[(0, phase("three", "context", "a", "a"))]);
        assert_eq!(next(&[over, silent, same], 20), Vec::<String>::new());
    }
}
