//! What others did, told from what is seen: loads and swaps of other clients with the time they took, departures, uses.
//! Only the recorder writes that down; a departure that was ours is written down by whoever asked for it.
//!
//! Part of the manager. It reads the events that `observe` makes.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use crate::engine::manager::Manager;
use crate::probe::runner;
use crate::residency::act::ActState;
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::record::{Happened, Left, SwapRecord};
use crate::residency::swap::{Before, Ended, Stages, Way};
use crate::residency::timing::Moment;

/// What left so long before a load began made room for it.
const BEFORE: Duration = Duration::from_secs(2);
/// What left longer ago has nothing to do with a load that is seen now.
const FORGET: Duration = Duration::from_secs(600);
/// Uses that follow each other faster are one.
const PAUSE: Duration = Duration::from_secs(10);
/// Between two looks at the runners while another client's load is expected or under way.
const LOOK: Duration = Duration::from_millis(250);
/// How long after a departure a load is expected.
const EXPECTED: Duration = Duration::from_secs(5);

/// What was seen and is not written down yet, and what it is told from.
#[derive(Debug, Default)]
pub(crate) struct Others {
    seen: Vec<(ModelName, What, Moment)>,
    /// What left, when, and for which model, if the server's rules tell that.
    departed: Vec<Departure>,
    /// What was seen to come into VRAM, and is there.
    there: HashSet<ModelName>,
    /// Models whose runner died: that they then are not listed any more is no second departure.
    died: HashSet<ModelName>,
    /// When the runner of a load that is not ours was seen ready.
    ready: HashMap<ModelName, Moment>,
    /// The reading of the runners that this was taken from.
    runners_at: Option<Moment>,
    /// When each model was last seen in use.
    used: HashMap<ModelName, Moment>,
    /// Since when the server has told what is loaded, without a gap.
    listed_since: Option<Moment>,
    /// When it was lost.
    lost: Option<Moment>,
    /// The latest `/api/ps` answer that uses were taken from, and the one before.
    looked: Option<Moment>,
}

#[derive(Debug, Clone)]
struct Departure {
    model: ModelName,
    at: Moment,
    by: Option<ModelName>,
    /// We asked it to go.
    asked: bool,
}

impl Others {
    /// Takes an event down, if it is one that this is told from.
    pub(crate) fn see(&mut self, model: Option<&ModelName>, what: &What, at: Moment) {
        if matches!(what, What::ServerGone { .. } | What::LostWithServer) {
            (self.listed_since, self.lost) = (None, Some(at));
        }
        let matters = matches!(
            what,
            What::Loaded { .. }
                | What::Unloaded { .. }
                | What::Evicted { .. }
                | What::Expired
                | What::Left
                | What::RunnerDied
        );
        if let Some(model) = model.filter(|_| matters) {
            self.seen.push((model.clone(), what.clone(), at));
        }
    }
}

/// How a model left, by the event that tells it.
fn departure(what: &What) -> Option<Left> {
    match what {
        What::Unloaded { .. } => Some(Left::Unloaded),
        What::Evicted { by } => Some(Left::Evicted { by: by.clone() }),
        What::Expired => Some(Left::Expired),
        What::Left => Some(Left::Unknown),
        What::RunnerDied => Some(Left::Died),
        _ => None,
    }
}

impl Manager {
    /// Writes down what was seen since the last call, departures first: they are what loads displaced.
    pub(crate) fn write_down_what_was_seen(&mut self) {
        let seen = std::mem::take(&mut self.chronicle.others.seen);
        let records = self.journals.records();
        for (model, what, at) in &seen {
            let Some(how) = departure(what) else { continue };
            let others = &mut self.chronicle.others;
            others.there.remove(model);
            let is_second = *what != What::RunnerDied && others.died.remove(model);
            if *what == What::RunnerDied {
                others.died.insert(model.clone());
            }
            others.departed.retain(|departed| at.since(departed.at.mono) < FORGET);
            let made_room = match &how {
                Left::Evicted { by } => Some(by.clone()),
                Left::Unloaded | Left::Unknown => Some(None),
                Left::Expired | Left::Died => None,
            };
            let ours = matches!(what, What::Unloaded { took: Some(_) });
            if let Some(by) = made_room {
                others.departed.push(Departure { model: model.clone(), at: *at, by, asked: ours });
            }
            if (records || ours) && !is_second {
                self.record_at(at.wall, Happened::Left { model: model.clone(), how });
            }
        }
        for (model, what, at) in &seen {
            let What::Loaded { took, from_ram, ours } = what else { continue };
            self.chronicle.others.died.remove(model);
            let ready = self.chronicle.others.ready.remove(model);
            let began = took.and_then(|took| at.mono.checked_sub(took).map(|mono| (mono, took)));
            let began = began
                .map(|(mono, took)| Moment { mono, wall: at.wall.saturating_sub(took).unwrap_or(at.wall) });
            let others = &mut self.chronicle.others;
            let mut displaced = others.displaced_by(model, began.unwrap_or(*at));
            // Between two looks its runner became another one.
            if !others.there.insert(model.clone()) {
                displaced.push(Departure { model: model.clone(), at: *at, by: None, asked: false });
            }
            if records && !ours {
                self.record_load(model, began, ready.unwrap_or(*at), *from_ram, displaced, *at);
            }
        }
        self.chronicle.others.listed(self.known.ps_at);
        if records {
            self.write_down_uses();
            self.note_ready_runners();
        }
    }

    /// Another client's load: from the old runner gone, or the new one seen, until the new one was ready.
    fn record_load(
        &mut self,
        model: &ModelName,
        began: Option<Moment>,
        ended: Moment,
        from_ram: Option<u8>,
        displaced: Vec<Departure>,
        seen: Moment,
    ) {
        let known = &self.known;
        let first_gone = displaced.iter().map(|departed| departed.at).min_by_key(|at| at.mono);
        // What is seen to go and to come at one look was not timed; nor is a load of which only the server's next answer
        // told, up to a second later.
        let is_close = began.is_some() || ended != seen;
        let began = [
            began,
            first_gone.filter(|gone| gone.mono < seen.mono),
            self.runner_began(model).filter(|_| is_close),
        ];
        let began = began.into_iter().flatten().min_by_key(|at| at.mono);
        let is_known = self.chronicle.others.knew_at(began.unwrap_or(seen));
        // A reading of the time when it was not loaded yet, and nobody saw it load.
        let read_at = known.cached(model).1;
        let is_of_before =
            self.chronicle.others.looked.zip(read_at).is_some_and(|(looked, at)| at.mono <= looked.mono);
        let from_ram = from_ram.or_else(|| known.percent_cached(model).filter(|_| is_of_before));
        let total = began.map(|began| ended.since(began.mono)).filter(|total| !total.is_zero());
        let blobs: Bytes = known.blobs(model).iter().map(|blob| blob.size).sum();
        let whole = match known.installed.get(model) {
            Some(installed) if blobs == Bytes::ZERO => installed.size,
            _ => blobs,
        };
        let percent = |percent: u8| {
            Bytes(u64::try_from(u128::from(whole.0) * u128::from(percent) / 100).unwrap_or(u64::MAX))
        };
        let swap = SwapRecord {
            model: model.clone(),
            ours: false,
            displaced: is_known.then(|| displaced.into_iter().map(|departed| departed.model).collect()),
            before: Before {
                whole,
                in_vram: false,
                ram: from_ram.map(percent),
                estimate: known.cached(model).0.is_estimate(),
            },
            way: Way::Off,
            mode: known.runner(model).map_or(LoadMode::Unknown, |runner| runner.load_mode),
            num_ctx: known.running.get(model).and_then(|running| running.context),
            stages: Stages { total, ..Stages::default() },
            ended: Ended::Ready,
        };
        self.record_at(began.unwrap_or(seen).wall, Happened::Swap(swap));
    }

    /// When the runner of a model began, if it can be seen and is a young one: its load did.
    fn runner_began(&self, model: &ModelName) -> Option<Moment> {
        let now = self.now();
        let age = runner::age(Path::new("/proc"), self.known.runner(model)?.pid)?;
        let began = now.mono.checked_sub(age).filter(|_| age < FORGET)?;
        Some(Moment { mono: began, wall: now.wall.saturating_sub(age).ok()? })
    }

    /// Uses that the latest answer of the server shows, but for those that an act of ours is.
    fn write_down_uses(&mut self) {
        let Some(looked) = self.known.ps_at else { return };
        let before = self.chronicle.others.looked.replace(looked);
        if before == Some(looked) {
            return;
        }
        let used: Vec<ModelName> = self
            .known
            .last_use
            .iter()
            .filter(|(_, at)| **at == looked)
            .map(|(model, _)| model.clone())
            .collect();
        if used.is_empty() {
            return;
        }
        let acts = self.acts.list();
        let is_lately = |at: &Moment| before.is_none_or(|before| at.mono >= before.mono);
        for model in used {
            let is_ours = acts.iter().filter(|act| act.model == model).any(|act| match &act.state {
                ActState::Queued { .. } => false,
                ActState::Running { .. } => true,
                ActState::Done { at, .. } | ActState::Failed { at, .. } => is_lately(at),
            });
            if is_ours {
                continue;
            }
            let last = self.chronicle.others.used.insert(model.clone(), looked);
            let idle = last.map(|last| looked.since(last.mono));
            if idle.is_none_or(|idle| idle >= PAUSE) {
                self.record_at(looked.wall, Happened::Used { model, idle });
            }
        }
    }

    /// When the runner of another client's load is seen ready: sooner than the server lists it.
    fn note_ready_runners(&mut self) {
        let known = &self.known;
        let Some(at) = known.runners.as_ref().map(|reading| reading.at) else { return };
        if self.chronicle.others.runners_at.replace(at) == Some(at) {
            return;
        }
        let is_ready = |model: &ModelName| known.runner(model).and_then(|runner| runner.ready) == Some(true);
        let ready = &mut self.chronicle.others.ready;
        ready.retain(|model, _| is_ready(model));
        let ours = |model| known.loading.get(model).is_some_and(|load| load.ours);
        for model in known.installed.keys() {
            if !known.running.contains_key(model) && !ours(model) && is_ready(model) {
                ready.entry(model.clone()).or_insert(at);
            }
        }
    }

    /// How often the runners are to be looked at, while another client's load is expected or under way here.
    pub(crate) fn looks_for_others(&self, now: Moment) -> Option<Duration> {
        if !self.journals.records() {
            return None;
        }
        let loads = self.known.loading.values().any(|load| !load.ours);
        let departed = &self.chronicle.others.departed;
        let expects = !self.known.departures.is_empty()
            || departed.iter().any(|departed| now.since(departed.at.mono) < EXPECTED);
        (loads || expects).then_some(LOOK)
    }
}

impl Others {
    /// The latest answer that tells what is loaded.
    fn listed(&mut self, at: Option<Moment>) {
        if self.listed_since.is_none() {
            self.listed_since = at.filter(|at| self.lost.is_none_or(|lost| at.mono >= lost.mono));
        }
    }

    /// Whether it was known then what is loaded: not before the server told that, nor while it was away.
    fn knew_at(&self, moment: Moment) -> bool {
        self.listed_since.is_some_and(|since| since.mono < moment.mono)
    }

    /// What left for a load that began then: named so by the server's rules, or gone just before it or since. A model
    /// leaves for one load only.
    fn displaced_by(&mut self, model: &ModelName, began: Moment) -> Vec<Departure> {
        let made_room = |departed: &mut Departure| {
            // The model's own runner, of other options, made room for the new one.
            let is_just_gone = departed.by.is_none() && began.since(departed.at.mono) < BEFORE;
            departed.by.as_ref() == Some(model)
                || is_just_gone && !(departed.asked && departed.model == *model)
        };
        self.departed.extract_if(.., made_room).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Moment {
        Moment { mono: std::time::Instant::now(), wall: "2026-11-25T12:00:00Z".parse().unwrap() }
    }

    #[test]
    fn what_a_load_displaced_is_unknown_where_it_began_before_the_server_said_what_is_loaded() {
        let start = start();
        let at = |seconds| Moment { mono: start.mono + Duration::from_secs(seconds), ..start };
        let mut others = Others::default();
        others.listed(None);
        assert!(!others.knew_at(at(1)), "it never said");
        (2..4).for_each(|seconds| others.listed(Some(at(seconds))));
        assert_eq!([1, 2, 3].map(|seconds| others.knew_at(at(seconds))), [false, false, true]);
        for lost in [What::ServerGone { why: "refused".to_owned() }, What::LostWithServer] {
            others.see(None, &lost, at(5));
            others.listed(Some(at(4)));
            assert!(!others.knew_at(at(6)), "that answer is from before it was away");
            (7..9).for_each(|seconds| others.listed(Some(at(seconds))));
            assert_eq!([6, 7, 8].map(|seconds| others.knew_at(at(seconds))), [false, false, true]);
        }
    }
}
