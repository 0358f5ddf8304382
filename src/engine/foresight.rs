//! Foresight: what was foreseen of a load, compared with what then happened.
//!
//! A load begins when its victims leave, when its runner is seen, or when we send it; what the screen said just before
//! that is what counts. Where anything else happened meanwhile, who went is not compared.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::known::Known;
use super::manager::Manager;
use crate::residency::event::What;
use crate::residency::fit::{Hits, Place};
use crate::residency::name::ModelName;
use crate::residency::record::{Foreseen, Happened, Past};
use crate::residency::snapshot::Snapshot;
use crate::residency::timing::Moment;

/// A server waits at most 5 s for the room that a victim leaves (sched.go:1441-1499): a load that is seen to begin later
/// has nothing to do with it.
const ROOM: Duration = Duration::from_secs(6);
/// Two instances see one load at most so far apart.
const APART: Duration = Duration::from_secs(3);
/// So many comparisons are kept here that the journal has not.
const MOST: usize = 500;

/// Comparisons, and the one that is to come.
#[derive(Debug, Default)]
pub(crate) struct Foresight {
    begun: Option<Begun>,
    /// Made by this process; those that the journal has as well are dropped.
    own: Vec<(Timestamp, Foreseen)>,
    hits: HashMap<ModelName, Hits>,
}

/// A load has begun, as far as it can be seen.
#[derive(Debug)]
struct Begun {
    /// What was said just before.
    said: Arc<Snapshot>,
    /// When it was last heard of.
    at: Moment,
    /// What loads; `None` while only a victim was seen to leave.
    model: Option<ModelName>,
    /// A model left, and it is not known that it made room.
    doubtful: bool,
    /// Something else happened as well.
    disturbed: bool,
}

impl Foresight {
    /// How forecasts of a model's loads turned out.
    pub fn hits(&self, model: &ModelName) -> Hits {
        self.hits.get(model).copied().unwrap_or_default()
    }

    /// Counts again, with what the journal knows.
    pub fn count(&mut self, past: &Past) {
        let is_kept = |(at, one): &(Timestamp, Foreseen)| {
            let same = |(other, kept): &(Timestamp, Foreseen)| {
                kept.model == one.model && at.duration_since(*other).abs() <= signed(APART)
            };
            past.forecasts.iter().any(same)
        };
        self.own.retain(|one| !is_kept(one));
        let mut all: Vec<&(Timestamp, Foreseen)> = past.forecasts.iter().chain(&self.own).collect();
        all.sort_by_key(|(at, _)| *at);
        self.hits.clear();
        for (_, one) in all {
            self.hits.entry(one.model.clone()).or_default().note(one.right, one.said, one.took);
        }
    }

    /// Takes in an event; `said` is what was published before it. Gives the comparison when a load is done.
    fn see(
        &mut self,
        known: &Known,
        said: &Arc<Snapshot>,
        model: &ModelName,
        what: &What,
        now: Moment,
    ) -> Option<Foreseen> {
        let fresh =
            |model| Begun { said: Arc::clone(said), at: now, model, doubtful: false, disturbed: false };
        match what {
            What::Loading { .. } => {
                let begun = self.begun.take().filter(|begun| match &begun.model {
                    Some(before) => before == model || known.loading.contains_key(before),
                    None => now.since(begun.at.mono) < ROOM,
                });
                let mut begun = begun.unwrap_or_else(|| fresh(None));
                begun.disturbed |= begun.model.as_ref().is_some_and(|before| before != model);
                (begun.model, begun.at, begun.doubtful) = (Some(model.clone()), now, false);
                self.begun = Some(begun);
                None
            }
            What::Loaded { .. } => {
                let begun = self.begun.take().unwrap_or_else(|| fresh(None));
                let mut foreseen = compare(known, &begun, model, now)?;
                if begun.model.as_ref().is_some_and(|loading| loading != model) {
                    foreseen.right = None;
                    self.begun = Some(Begun { disturbed: true, ..begun });
                }
                Some(foreseen)
            }
            // It went for one that is there already, and was compared with that.
            What::Evicted { by: Some(by) } if known.running_as(by).is_some() => None,
            What::Evicted { .. } | What::Unloaded { .. } | What::Expired | What::Left | What::RunnerDied => {
                let old = |begun: &Begun| begun.model.is_none() && now.since(begun.at.mono) >= ROOM;
                if self.begun.as_ref().is_none_or(old) {
                    self.begun = Some(fresh(None));
                }
                if let Some(begun) = &mut self.begun {
                    begun.at = now;
                    let unasked = matches!(what, What::Unloaded { took: None } | What::Left);
                    begun.disturbed |= !unasked && !matches!(what, What::Evicted { .. });
                    begun.doubtful |= begun.model.is_none() && unasked;
                }
                None
            }
            What::LostWithServer => {
                self.begun = None;
                None
            }
            _ => None,
        }
    }
}

/// What was said of the load of `model` beside what happened; `None` where the server does not tell its size.
fn compare(known: &Known, begun: &Begun, model: &ModelName, now: Moment) -> Option<Foreseen> {
    let running = known.running.get(model)?;
    let before = begun.said.servers.first()?;
    let said = before.model(model).filter(|said| {
        // Another context than the one that was foreseen is another load.
        said.loaded.is_none() && said.fit.as_ref().is_some_and(|fit| Some(fit.context) == running.context)
    });
    let was = before.models.iter().filter(|model| model.has_runner());
    let left: BTreeSet<&ModelName> =
        was.clone().map(|model| &model.name).filter(|name| known.running_as(name).is_none()).collect();
    let was: BTreeSet<&ModelName> = was.map(|model| &model.name).collect();
    let others_came =
        known.running.keys().any(|name| name != model && !was.iter().any(|was| known.are_one(was, name)));
    let went_by_time = before
        .models
        .iter()
        .filter(|model| left.contains(&model.name))
        .filter_map(|model| model.loaded.as_ref())
        .any(|loaded| loaded.expiry.is_past(now.wall));
    let is_clear = !(begun.doubtful || begun.disturbed || others_came || went_by_time);
    let forecast = said.and_then(|said| said.forecast.as_ref()).filter(|_| is_clear);
    let right = forecast.map(|forecast| forecast.evicts.iter().collect::<BTreeSet<_>>() == left);
    let fit = said.and_then(|said| said.fit.as_ref());
    let without_card = fit.is_some_and(|fit| fit.place == Place::NoCard);
    Some(Foreseen {
        model: model.clone(),
        num_ctx: running.context,
        right,
        said: fit.map(|fit| if without_card { fit.size } else { fit.place.on_card(fit.size) }),
        took: if without_card { running.size } else { running.size_vram },
        size: running.size,
    })
}

impl Manager {
    /// Compares a load that is done with what was said of it. Of others' loads the recorder keeps that.
    pub(super) fn look_back(&mut self, model: Option<&ModelName>, what: &What, now: Moment) {
        let Some(model) = model else { return };
        let said = Arc::clone(&self.publish.borrow());
        let mut foresight = std::mem::take(&mut self.known.foresight);
        let foreseen = foresight.see(&self.known, &said, model, what, now);
        self.known.foresight = foresight;
        let Some(foreseen) = foreseen else { return };
        let own = &mut self.known.foresight.own;
        own.push((now.wall, foreseen.clone()));
        if own.len() > MOST {
            own.remove(0);
        }
        let past = Arc::clone(&self.known.past);
        self.known.foresight.count(&past);
        if self.journals.records() || matches!(what, What::Loaded { ours: true, .. }) {
            self.record(Happened::Foreseen(foreseen));
        }
    }
}

fn signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}
