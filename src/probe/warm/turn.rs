//! A job that is not over: its files one after the other, and who goes first among several jobs.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::file::{Reading, Verdicts};
use super::leg::{Means, Step};
use super::pace::Pace;
use super::{Guard, Job, Source};
use crate::residency::bytes::Bytes;
use crate::residency::timing::Clock;
use crate::residency::warm::{Progress, Warming};

/// What all jobs share.
pub(super) struct Tools {
    pub(super) clock: Clock,
    pub(super) guard: Guard,
    pub(super) means: Means,
    pub(super) verdicts: Verdicts,
    pub(super) buffer: Vec<u8>,
}

/// One job.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: u64,
    files: VecDeque<Source>,
    reading: Option<Reading>,
    total: Bytes,
    so_far: Step,
    pace: Pace,
    /// What was read since the guard was asked; `None` before that, in each turn.
    unguarded: Option<u64>,
}

impl Turn {
    /// A job with all of it ahead; a digest that it names twice is read once.
    pub(super) fn new(job: Job) -> Turn {
        let mut seen = HashSet::new();
        let files: VecDeque<Source> =
            job.files.into_iter().filter(|file| seen.insert(file.digest.clone())).collect();
        Turn {
            id: job.id,
            total: files.iter().map(|file| file.size).sum(),
            files,
            reading: None,
            so_far: Step::default(),
            pace: Pace::default(),
            unguarded: None,
        }
    }

    /// How far it is.
    pub(super) fn progress(&self, paused: bool) -> Progress {
        Progress {
            total: self.total,
            there: Bytes(self.so_far.there),
            read: Bytes(self.so_far.read),
            rate: self.pace.rate(),
            paused,
            readers: self.reading.as_ref().map_or(1, Reading::readers),
        }
    }

    /// What becomes of it when it ends: well, or not for this reason.
    pub(super) fn end(&self, outcome: Result<(), String>) -> Warming {
        let progress = Progress { readers: 0, ..self.progress(false) };
        match outcome {
            Ok(()) => Warming::Done { progress, took: self.pace.took() },
            Err(why) => Warming::Failed { why, progress },
        }
    }

    /// What becomes of it when it is cancelled: nothing more is read.
    pub(super) fn cancel(mut self) -> Warming {
        self.rest();
        Warming::Cancelled(Progress { readers: 0, ..self.progress(false) })
    }

    /// Others come first, or all wait: nothing more is read until the next step.
    pub(super) fn rest(&mut self) {
        if let Some(reading) = &mut self.reading {
            self.so_far += reading.rest();
        }
        self.unguarded = None;
    }

    /// Does the next little thing, at most one block; true when all is done.
    pub(super) fn step(&mut self, tools: &mut Tools) -> Result<bool, String> {
        if self.unguarded.is_none_or(|read| read >= tools.means.tuning.guard) {
            self.unguarded = Some(0);
            if let Some(why) = (tools.guard)() {
                self.rest();
                return Err(why);
            }
            // The mail comes first: the asking may have taken its time.
            return self.reading.as_ref().map_or(Ok(()), Reading::check).map(|()| false);
        }
        let Some(reading) = &mut self.reading else {
            let Some(file) = self.files.pop_front() else { return Ok(true) };
            self.reading = Some(Reading::open(&file, tools.means.clone())?);
            return Ok(false);
        };
        match reading.step(&mut tools.buffer, &mut tools.verdicts, &tools.clock)? {
            Some((step, took)) => {
                self.so_far += step;
                self.pace.note(took, step.read);
                self.unguarded = self.unguarded.map(|read| read.saturating_add(step.through));
            }
            None => self.reading = None,
        }
        Ok(false)
    }
}

/// All jobs that are not over. The first of them is the one that reads: lowest number first, then first come.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turns: BTreeMap<(u32, u64), Turn>,
    come: u64,
}

impl Queue {
    /// Adds a job; one that is here already is joined, and is as urgent as the more urgent of both.
    pub(super) fn add(&mut self, job: Job) {
        if let Some((priority, _)) = self.place(job.id) {
            return self.reprioritise(job.id, priority.min(job.priority));
        }
        self.come += 1;
        self.turns.insert((job.priority, self.come), Turn::new(job));
    }

    /// Gives a job another priority; among its equals it stands where it came.
    pub(super) fn reprioritise(&mut self, id: u64, priority: u32) {
        if let Some(place) = self.place(id)
            && let Some(turn) = self.turns.remove(&place)
        {
            self.turns.insert((priority, place.1), turn);
        }
    }

    /// Takes a job out.
    pub(super) fn remove(&mut self, id: u64) -> Option<Turn> {
        self.turns.remove(&self.place(id)?)
    }

    /// The job.
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Turn> {
        self.turns.get_mut(&self.place(id)?)
    }

    /// All jobs, the first first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Turn> {
        self.turns.values()
    }

    /// The one whose turn it is.
    pub(super) fn first(&mut self) -> Option<&mut Turn> {
        self.turns.values_mut().next()
    }

    fn place(&self, id: u64) -> Option<(u32, u64)> {
        self.turns.iter().find(|(_, turn)| turn.id == id).map(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(jobs: &[(u64, u32)]) -> Queue {
        let mut queue = Queue::default();
        for (id, priority) in jobs {
            queue.add(Job { id: *id, priority: *priority, files: Vec::new() });
        }
        queue
    }

    fn order(queue: &Queue) -> Vec<u64> {
        queue.iter().map(|turn| turn.id).collect()
    }

    #[test]
    fn the_lowest_number_goes_first_and_equals_in_the_order_they_came() {
        assert_eq!(order(&queue(&[(1, 5), (2, 0), (3, 5), (4, 0)])), [2, 4, 1, 3]);
    }

    #[test]
    fn a_second_request_joins_the_first_and_can_only_make_it_more_urgent() {
        assert_eq!(order(&queue(&[(1, 5), (2, 4), (1, 3)])), [1, 2]);
        assert_eq!(order(&queue(&[(1, 5), (2, 6), (1, 9)])), [1, 2]);
    }

    #[test]
    fn another_priority_moves_a_job_and_among_its_equals_it_stands_where_it_came() {
        let mut queue = queue(&[(1, 1), (2, 2), (3, 1)]);
        queue.reprioritise(1, 2);
        assert_eq!(order(&queue), [3, 1, 2]);
        queue.reprioritise(9, 0);
        assert_eq!(order(&queue), [3, 1, 2]);
        assert!(queue.remove(3).is_some() && queue.remove(3).is_none());
        assert_eq!(order(&queue), [1, 2]);
    }

    #[test]
    fn a_digest_named_twice_counts_once() {
        let file =
            |digest: &str, size| Source { digest: digest.to_owned(), path: digest.into(), size: Bytes(size) };
        let job = Job { id: 1, priority: 0, files: vec![file("a", 5), file("b", 7), file("a", 5)] };
        let turn = Turn::new(job);
        assert_eq!((turn.total, turn.files.len()), (Bytes(12), 2));
    }
}
