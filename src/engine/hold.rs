//! What this process keeps in RAM: until when, how it fades, when it is let go, and what other instances are told of it.

use std::sync::Arc;
use std::time::Duration;

use super::known::Known;
use super::manager::Manager;
use super::ram::{MENDING, RamAct};
use crate::config::Hold;
use crate::probe::warm::Source;
use crate::residency::act::ActKind;
use crate::residency::budget::Kept as Claim;
use crate::residency::bytes::Bytes;
use crate::residency::event::{DROPPED_BY_ANOTHER, What};
use crate::residency::hold::{Held, How};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Blob, Kept};
use crate::residency::timing::Moment;

/// A fade is told when one of these percentages is crossed.
const LEVELS: [u8; 4] = [95, 75, 50, 5];

/// What another instance drops sinks within this time: that is no fading.
const DROPPED: Duration = Duration::from_secs(10);

/// A model that faded is not mended again sooner than this.
const MEND_AGAIN: Duration = Duration::from_secs(120);

/// One model that is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Keeping {
    /// Until it is released.
    pub held: bool,
    /// By a mapping, or locked.
    pub how: How,
    /// When it was last used, or warmed.
    pub used: Moment,
    /// Its files.
    pub digests: Vec<String>,
}

impl Known {
    /// What keeps a model in RAM here, for the snapshot.
    pub(super) fn kept(&self, model: &ModelName) -> Option<Kept> {
        let keeping = self.kept.get(model)?;
        let total = self.ram_time().filter(|_| !keeping.held);
        let ends = total.map(|total| Moment {
            mono: keeping.used.mono + total,
            wall: keeping.used.wall.saturating_add(total).unwrap_or(keeping.used.wall),
        });
        Some(Kept { held: keeping.held, ends, total, files: self.held(model, keeping.how) })
    }

    /// How long a model stays in RAM after its last use; `None` is for ever.
    fn ram_time(&self) -> Option<Duration> {
        match self.config.ram_keep_alive() {
            KeepAlive::Forever => None,
            KeepAlive::For(time) => Some(time),
        }
    }

    /// All its files together, as the holder sees them.
    fn held(&self, model: &ModelName, how: How) -> Option<Held> {
        let mut all = Held {
            how,
            size: Bytes::ZERO,
            resident: Bytes::ZERO,
            locked: Bytes::ZERO,
            fading: None,
            trouble: None,
        };
        for blob in self.blobs(model) {
            let held = &self.held.get(&blob.digest)?.value;
            all.size += held.size;
            all.resident += held.resident;
            all.locked += held.locked;
            all.fading = all.fading.or_else(|| held.fading.clone());
            all.trouble = all.trouble.or_else(|| held.trouble.clone());
        }
        (all.size > Bytes::ZERO).then_some(all)
    }

    /// Bytes that this process keeps in RAM.
    pub(super) fn holds(&self) -> Bytes {
        self.held.values().map(|reading| reading.value.resident).sum()
    }

    /// Bytes that this process has locked.
    pub(super) fn locked(&self) -> Bytes {
        self.held.values().map(|reading| reading.value.locked).sum()
    }

    /// Whether somebody wants it in RAM: its fading is told.
    fn is_watched(&self, model: &ModelName) -> bool {
        self.kept.contains_key(model)
            || (self.config.preload.enabled && self.config.preload.models.contains(model))
    }
}

impl Manager {
    /// From now on the model is kept in RAM: until it is released, or until its countdown ends.
    pub(super) fn keep(&mut self, model: &ModelName, held: bool) {
        // Its countdown begins, also where nothing is held: until it is over, what fades is mended.
        let used = self.now();
        self.known.last_use.insert(model.clone(), used);
        let how = match self.known.config.preload.hold {
            Hold::None if !held => return,
            Hold::None | Hold::Map => How::Map,
            Hold::Mlock => How::Lock,
        };
        let files = self.sources(model);
        let digests: Vec<String> = files.iter().map(|file| file.digest.clone()).collect();
        let held = held || self.known.kept.get(model).is_some_and(|keeping| keeping.held);
        self.known.kept.insert(model.clone(), Keeping { held, how, used, digests: digests.clone() });
        let Some(tier) = &mut self.tier else { return };
        for Source { digest, path, .. } in files {
            tier.holder.hold(digest, path, how);
        }
        if let Some(journal) = self.journals.get() {
            // A full queue is the journal's own trouble; nobody waits for it here.
            let _ = journal.hold(digests);
        }
    }

    /// Models that are in RAM on purpose, beside `but`: what the budget is spent on, other instances' holds included.
    pub(super) fn in_ram_on_purpose(&mut self, but: &ModelName) -> Vec<Claim> {
        let now = self.now();
        let me = std::process::id();
        let leases = self.journals.opened();
        let leases = leases.map(|journal| Arc::clone(&journal.leases.borrow())).unwrap_or_default();
        let list = &self.known.config.preload.models;
        let place = |name: &ModelName| list.iter().position(|listed| listed == name);
        let wanted = place(but);
        let mut claims: Vec<Claim> = Vec::new();
        for name in self.known.installed.keys() {
            let blobs = self.known.blobs(name);
            let of_others = |blob: &Blob| leases.iter().any(|l| l.pid != me && l.digest == blob.digest);
            let is_leased = blobs.iter().any(of_others);
            let counted = claims.iter().any(|claim| self.known.are_one(&claim.model, name));
            if counted || self.known.are_one(name, but) || !(is_leased || self.known.is_watched(name)) {
                continue;
            }
            let keeping = self.known.kept.get(name);
            // What is read or held is counted as a whole: it will be, or is kept so.
            let is_read = |a: &RamAct| a.act.is_live() && a.act.model == *name && a.act.progress.is_some();
            let is_whole = is_leased || keeping.is_some() || self.ram_acts.iter().any(is_read);
            let bytes: Bytes = if is_whole {
                blobs.iter().map(|blob| blob.size).sum()
            } else {
                self.known.cached(name).0.bytes().unwrap_or_default()
            };
            if bytes == Bytes::ZERO {
                continue;
            }
            // The list is in the order of need: a model of it does not go for one that stands behind it.
            let comes_first = place(name).zip(wanted).is_some_and(|(other, wanted)| other < wanted);
            let used = keeping.map(|keeping| keeping.used).or_else(|| self.known.last_use.get(name).copied());
            claims.push(Claim {
                model: name.clone(),
                bytes,
                idle: used.map_or(Duration::MAX, |used| now.since(used.mono)),
                in_vram: self.known.running_as(name).is_some(),
                held: is_leased || comes_first || keeping.is_some_and(|keeping| keeping.held),
                listed: place(name).is_some(),
            });
        }
        claims
    }

    /// No longer keeps a model; the files stay as long as the kernel lets them.
    pub(super) fn let_go(&mut self, model: &ModelName, why: Option<String>) {
        self.known.warmed.remove(model);
        let Some(keeping) = self.known.kept.remove(model) else { return };
        // Another name of the same weights may still be kept.
        let is_shared =
            |digest: &String| self.known.kept.values().any(|other| other.digests.contains(digest));
        let released: Vec<String> = keeping.digests.into_iter().filter(|digest| !is_shared(digest)).collect();
        if let Some(tier) = &mut self.tier {
            for digest in &released {
                tier.holder.release(digest);
            }
            if let Some(journal) = self.journals.opened() {
                let _ = journal.release(released);
            }
        }
        self.tell(Some(model.clone()), What::Released { why });
    }

    /// Lets go what has not been used for its time, and what is no longer what it was.
    pub(super) fn let_go_what_is_over(&mut self) {
        let now = self.now();
        let time = self.known.ram_time();
        let known = &mut self.known;
        for (model, keeping) in &mut known.kept {
            if let Some(used) = known.last_use.get(model)
                && used.mono > keeping.used.mono
            {
                keeping.used = *used;
            }
        }
        let over = |(model, keeping): (&ModelName, &Keeping)| {
            let is_late = time.is_some_and(|time| !keeping.held && now.since(keeping.used.mono) >= time);
            let files = self.known.files.get(model).and_then(|files| files.as_ref().ok());
            let is_other =
                files.is_some_and(|blobs| blobs.iter().any(|blob| !keeping.digests.contains(&blob.digest)));
            let why = match () {
                () if is_late => "its time in RAM is over",
                () if !self.known.installed.contains_key(model) => "it was removed from the server",
                () if is_other => "it was installed anew",
                () => return None,
            };
            Some((model.clone(), why))
        };
        let over: Vec<(ModelName, &str)> = self.known.kept.iter().filter_map(over).collect();
        for (model, why) in over {
            self.let_go(&model, Some(why.to_owned()));
        }
    }

    /// Another instance wants to drop what is kept here: it goes.
    pub(super) fn see_leases(&mut self) -> bool {
        let Some(journal) = self.journals.opened() else { return false };
        let leases = std::sync::Arc::clone(&journal.leases.borrow_and_update());
        let me = std::process::id();
        let asked: Vec<&String> = leases
            .iter()
            .filter(|lease| lease.pid == me && lease.asked_to_let_go)
            .map(|lease| &lease.digest)
            .collect();
        let wanted =
            |model: &&ModelName| self.known.blobs(model).iter().any(|blob| asked.contains(&&blob.digest));
        let models: Vec<ModelName> = self.known.kept.keys().filter(wanted).cloned().collect();
        let now = self.now();
        for model in &models {
            self.known.let_go_at.insert(model.clone(), now);
            self.let_go(model, Some(DROPPED_BY_ANOTHER.to_owned()));
        }
        !models.is_empty()
    }

    /// Takes the holder's readings; says whether there is something new to show.
    pub(super) fn see_held(&mut self) -> bool {
        let Some(tier) = &mut self.tier else { return false };
        let fresh = std::sync::Arc::clone(&tier.holder.readings.borrow_and_update());
        let old = std::mem::replace(&mut self.known.held, fresh);
        let troubled: Vec<(ModelName, String)> = self
            .known
            .kept
            .keys()
            .filter_map(|model| {
                let trouble = |held: &super::known::Holds| {
                    self.known
                        .blobs(model)
                        .iter()
                        .find_map(|blob| held.get(&blob.digest)?.value.trouble.clone())
                };
                let now = trouble(&self.known.held)?;
                (Some(&now) != trouble(&old).as_ref()).then(|| (model.clone(), now))
            })
            .collect();
        for (model, why) in troubled {
            self.tell(Some(model), What::HoldTrouble { why });
        }
        let same = |(digest, reading): (&String, &crate::residency::timing::Reading<Held>)| {
            old.get(digest).is_some_and(|old| old.value == reading.value)
        };
        old.len() != self.known.held.len() || !self.known.held.iter().all(same)
    }

    /// Tells what the kernel took back, and mends it where the user has asked for that.
    pub(super) fn watch_fading(&mut self) {
        let now = self.now();
        let names: Vec<ModelName> =
            self.known.installed.keys().filter(|name| self.known.is_watched(name)).cloned().collect();
        for name in names {
            let Some(percent) = self.known.percent_cached(&name) else { continue };
            let told = self.known.told_percent.entry(name.clone()).or_insert(percent);
            let is_dropped = self.known.let_go_at.get(&name).is_some_and(|at| now.since(at.mono) < DROPPED);
            if percent >= *told || is_dropped {
                *told = percent;
            } else if LEVELS.iter().any(|level| *told >= *level && percent < *level) {
                let from = std::mem::replace(told, percent);
                self.tell(Some(name.clone()), What::Faded { from, to: percent });
            }
            self.mend(&name, percent);
        }
    }

    /// Reads again what faded of a model of the preload list, in idle time, while it is in use.
    fn mend(&mut self, name: &ModelName, percent: u8) {
        let now = self.now();
        let config = &self.known.config;
        let preload = &config.preload;
        let is_ours = preload.models.contains(name) && self.known.warmed.contains(name);
        // A dashboard mends only as the keeper; who was asked to hold does.
        let is_asked = !self.journals.may_keep() || self.journals.acts();
        let may = config.may_act && preload.enabled && preload.auto_refresh && is_ours;
        let may = may && is_asked && !self.keep.hands_off;
        if !may || percent >= preload.mend_below || self.is_busy() {
            return;
        }
        let in_use = self
            .known
            .last_use
            .get(name)
            .is_some_and(|used| self.known.ram_time().is_none_or(|time| now.since(used.mono) < time));
        let lately = |at: &Moment| now.since(at.mono) < MEND_AGAIN;
        if !in_use || self.known.mended.get(name).is_some_and(lately) {
            return;
        }
        self.known.mended.insert(name.clone(), now);
        let id = self.own_id();
        self.take_ram_act(id, ActKind::Warm, name.clone(), MENDING);
    }
}
