//! Pins: the user's wishes, remembered in the journal as acts end; and the guard that enforces them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Command;
use crate::engine::manager::Manager;
use crate::engine::ram::MENDING;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::event::What;
use crate::residency::expiry::Expiry;
use crate::residency::guard::pins::{Deed, Displaces, Fact, Memory, Place, TRIES};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::pin::{Change, GaveUp, Whose};
use crate::residency::snapshot::{Model, PRELOADED_PERCENT, State};
use crate::residency::swap::Wish;
use crate::residency::timing::Moment;

/// How long the journal is waited for before an act that may be about a pin.
const JOURNAL: Duration = Duration::from_secs(1);

/// What is known of pins beyond their rows.
#[derive(Default)]
pub(crate) struct Pins {
    /// Acts of the user whose end says something of a pin.
    asked: Vec<(ActId, ActKind, ModelName)>,
    /// Since when the rows are waited for.
    waits: Option<Moment>,
    /// Pins that rest, as the rows were told.
    suspended: BTreeSet<ModelName>,
    /// Those of them that the rows do not say yet.
    untold: BTreeSet<ModelName>,
    pub(super) memories: BTreeMap<ModelName, Memory>,
    /// What was loaded in each one's place.
    by: HashMap<ModelName, ModelName>,
    /// The config's pins count anew since this instance keeps.
    anew: bool,
    /// The server restarted: what was given up is tried again.
    restarted: bool,
    /// Pinned models that are not installed: already told.
    missing: BTreeSet<ModelName>,
}

impl Pins {
    /// Takes an event from which it is told who took a pin's place.
    pub(crate) fn see(&mut self, model: Option<&ModelName>, what: &What) {
        match (model, what) {
            (Some(model), What::Evicted { by: Some(by) }) => {
                self.by.insert(model.clone(), by.clone());
            }
            (Some(model), What::Unloaded { .. } | What::Expired | What::Left | What::RunnerDied) => {
                self.by.remove(model);
            }
            (_, What::LostWithServer | What::ServerBack { .. }) => self.restarted = true,
            _ => {}
        }
    }
}

impl Manager {
    /// A command may be about a pin: what is pinned is read before it is carried out.
    pub(in crate::engine) fn note_what_is_asked(&mut self, command: &Command) {
        let (id, kind, model) = match command {
            Command::Act { id, kind, model } if !kind.is_of_ram() => (*id, *kind, model),
            Command::Swap { id, model, .. } => (*id, ActKind::Swap, model),
            _ => return,
        };
        self.follow_journal();
        let now = self.now();
        self.keep.pins.waits.get_or_insert(now);
        if id.is_own() {
            return;
        }
        let is_unlearned = self
            .known
            .running_as(model)
            .is_some_and(|running| running.keep_alive.is_none() && matches!(running.expiry, Expiry::At(_)));
        if kind == ActKind::Pin && is_unlearned {
            // A restart of its countdown shows how long that is: an unpin gives it back.
            let own = self.own_id();
            self.take_act(own, ActKind::Touch, model.clone(), Wish::default());
        }
        self.keep.pins.asked.push((id, kind, model.clone()));
    }

    /// Whether acts wait until it is known what is pinned.
    pub(in crate::engine) fn waits_for_pins(&mut self, now: Moment) -> bool {
        let Some(since) = self.keep.pins.waits else { return false };
        let Some(journal) = self.journals.opened() else {
            self.keep.pins.waits = None;
            return false;
        };
        let is_unread = journal.pins.borrow().is_none()
            && !matches!(journal.state.borrow().opened, Some(Err(_)))
            && now.since(since.mono) < JOURNAL;
        if !is_unread {
            self.keep.pins.waits = None;
            self.see_pins();
        }
        is_unread
    }

    /// Takes the journal's pins; says whether there is something to show.
    pub(in crate::engine) fn see_pins(&mut self) -> bool {
        let Some(journal) = self.journals.opened() else { return false };
        let fresh = journal.pins.borrow_and_update().clone();
        let is_new = fresh != self.known.pins;
        self.known.pins = fresh;
        let Some(pins) = self.known.pins.clone().filter(|_| is_new) else { return is_new };
        for pin in pins.iter() {
            if let Some(before) = pin.before {
                self.known.before_pin.insert(pin.model.clone(), before);
            }
            if pin.suspended.is_some() {
                self.keep.pins.untold.remove(&pin.model);
                self.keep.pins.suspended.insert(pin.model.clone());
                self.known.suspended_pins.insert(pin.model.clone());
            }
        }
        let says = |model: &ModelName| {
            pins.iter().find(|pin| pin.model == *model).is_none_or(|pin| pin.whose == Whose::Released)
        };
        self.known.let_go.retain(|model| !says(model));
        // Another instance has it back.
        let rests = |model: &ModelName| pins.iter().any(|pin| pin.model == *model && pin.suspended.is_some());
        let untold = &self.keep.pins.untold;
        let back: Vec<ModelName> =
            self.keep.pins.suspended.iter().filter(|m| !rests(m) && !untold.contains(*m)).cloned().collect();
        for model in back {
            self.keep.pins.suspended.remove(&model);
            self.known.suspended_pins.remove(&model);
        }
        is_new
    }

    fn remember(&mut self, model: &ModelName, change: Change) {
        // What the user wants counts at once, however long the journal takes to write it.
        if let Change::Unpin { .. } = change {
            self.known.let_go.insert(model.clone());
        } else if let Change::Pin { .. } = change {
            self.known.let_go.remove(model);
        }
        let (server, now) = (self.journal_server(), self.now());
        if let Some(journal) = self.journals.get() {
            // A full queue is the journal's own trouble, which is told.
            let _ = journal.pin(&server, model.clone(), change, now.wall);
        }
    }

    /// Remembers what acts that have ended say of pins, and which pins a swap displaced.
    pub(in crate::engine) fn note_what_is_done(&mut self) {
        let asked = !self.keep.pins.asked.is_empty();
        if !asked && self.known.suspended_pins == self.keep.pins.suspended {
            return;
        }
        let acts = self.acts.list();
        for (id, kind, model) in std::mem::take(&mut self.keep.pins.asked) {
            match acts.iter().find(|act| act.id == id).map(|act| &act.state) {
                Some(ActState::Done { .. }) => self.note_done(kind, &model),
                Some(ActState::Queued { .. } | ActState::Running { .. }) => {
                    self.keep.pins.asked.push((id, kind, model));
                }
                Some(ActState::Failed { .. }) | None => {}
            }
        }
        let rests = self.known.suspended_pins.clone();
        let before = std::mem::replace(&mut self.keep.pins.suspended, rests.clone());
        for model in rests.difference(&before) {
            self.keep.pins.untold.insert(model.clone());
            let by = displacer(&acts, model).cloned().unwrap_or_else(|| model.clone());
            self.remember(model, Change::Suspend { by });
        }
        for model in before.difference(&rests) {
            self.keep.pins.untold.remove(model);
            self.remember(model, Change::Resume);
        }
    }

    fn note_done(&mut self, kind: ActKind, model: &ModelName) {
        let memory = self.keep.pins.memories.get_mut(model);
        memory.into_iter().for_each(Memory::forget);
        let is_wished = self.known.is_wished(model);
        match kind {
            ActKind::Pin | ActKind::KeepAlive(KeepAlive::Forever) => {
                let before = self.known.before_pin.get(model).copied();
                self.remember(model, Change::Pin { before });
            }
            // What the user asks for with his own hand ends a pin.
            ActKind::Unpin | ActKind::Unload | ActKind::KeepAlive(_) if is_wished => {
                let configured = self.known.is_configured(model);
                self.known.suspended_pins.remove(model);
                self.remember(model, Change::Unpin { configured });
            }
            ActKind::Load | ActKind::Swap => {
                self.known.suspended_pins.remove(model);
                if self.known.pin(model).is_some_and(|pin| pin.tries > 0 || pin.gave_up.is_some()) {
                    self.remember(model, Change::Tried { tries: 0, gave_up: None });
                }
            }
            _ => {}
        }
    }

    /// Enforces all pins, if this instance keeps them.
    pub(super) fn guard_pins(&mut self, now: Moment) {
        if !self.keeps_pins() || self.known.pins.is_none() {
            // Whoever acts meanwhile counts its own pauses.
            self.keep.pins.memories.values_mut().for_each(Memory::look_away);
            return;
        }
        self.begin_anew();
        let wished: Vec<ModelName> = self.known.wished().cloned().collect();
        self.keep.pins.memories.retain(|model, _| wished.contains(model));
        if wished.is_empty() {
            return;
        }
        let shown = Arc::clone(&self.publish.borrow());
        let models = shown.servers.first().map_or(&[][..], |server| &server.models);
        let mut acts = None;
        for model in wished {
            let fact = self.fact(&model, models, &mut acts, now);
            // One at a time: what a load would displace is known when the one before it has ended.
            // While it is open why this one left, a load of another client may be pending that nobody sees yet.
            let is_open = self.known.departures.contains_key(&model);
            let pending = is_open || self.known.load_pending().is_some() || self.acts.any_load_live();
            self.tell_if_missing(&model);
            let memory = self.keep.pins.memories.entry(model.clone()).or_default();
            let deed = memory.turn(&fact, pending, now);
            let tries = memory.tries();
            if fact.place == Place::Held && fact.suspended {
                self.known.suspended_pins.remove(&model);
            }
            if let Some(deed) = deed {
                self.carry_out_deed(&model, deed, &fact, tries);
            }
        }
        self.note_what_is_done();
    }

    /// At the first look, and after the server restarted.
    fn begin_anew(&mut self) {
        let pins = self.known.pins.clone().unwrap_or_default();
        if !std::mem::replace(&mut self.keep.pins.anew, true) {
            // What the user let go since it began stays so, whoever was the keeper then.
            let began = self.keep.began;
            let is_old = |since| began.is_none_or(|began| since < began.wall);
            for pin in pins.iter().filter(|pin| pin.whose == Whose::Released && is_old(pin.since)) {
                self.remember(&pin.model, Change::Anew);
            }
        }
        if std::mem::take(&mut self.keep.pins.restarted) {
            self.keep.pins.memories.values_mut().for_each(Memory::forget);
            for pin in pins.iter().filter(|pin| pin.tries > 0 || pin.gave_up.is_some()) {
                self.remember(&pin.model, Change::Tried { tries: 0, gave_up: None });
            }
        }
    }

    /// A pinned model that is not installed stands in no row of the table: it is said once.
    fn tell_if_missing(&mut self, model: &ModelName) {
        if self.known.installed.contains_key(model) {
            self.keep.pins.missing.remove(model);
        } else if self.keep.pins.missing.insert(model.clone()) {
            self.tell(Some(model.clone()), What::NotInstalled);
        }
    }

    fn fact(&self, model: &ModelName, models: &[Model], acts: &mut Option<Vec<Act>>, now: Moment) -> Fact {
        let known = &self.known;
        let is_gone = known.details(model).remote_host.is_some() || !known.installed.contains_key(model);
        let place = match known.runs_as(model) {
            Some(running) if running.expiry == Expiry::Never => Place::Held,
            Some(running) => Place::Expires(running.expiry.remaining(now)),
            None if is_gone => Place::Nowhere,
            None => self.away(model, models, now),
        };
        let cached = known.percent_cached(model).filter(|_| known.local && self.tier.is_some());
        let is_live = |act: &Act| act.is_live() && act.model == *model;
        // Mostly all pins are held, and no act need be looked at.
        let under_way = place != Place::Held
            && (self.ram_acts.iter().any(|ram| is_live(&ram.act))
                || acts.get_or_insert_with(|| self.acts.list()).iter().any(is_live));
        Fact {
            model: model.clone(),
            place,
            under_way,
            suspended: known.suspended_pins.contains(model),
            gave_up: known.pin(model).is_some_and(|pin| pin.gave_up.is_some()),
            next_look: self.due.ps.mono.saturating_duration_since(now.mono),
            cold: cached.is_some_and(|percent| percent < PRELOADED_PERCENT),
        }
    }

    pub(super) fn away(&self, model: &ModelName, models: &[Model], now: Moment) -> Place {
        let known = &self.known;
        let goes = self.in_the_way(model, models);
        let is_foreseen = models.iter().any(|shown| shown.name == *model && shown.forecast.is_some());
        let works = |other: &&&Model| !matches!(other.state, State::Idle | State::Overdue | State::Ghost);
        let displaces = if goes.is_empty() {
            Displaces::Nothing
        } else if goes.iter().any(|other| works(&other) || other.pinned || known.is_wished(&other.name)) {
            Displaces::Precious
        } else if is_foreseen {
            Displaces::Idle
        } else {
            Displaces::Unknown
        };
        // One that was never seen in use is idle for as long as anybody looks.
        let idle = |other: &&Model| {
            known.last_use.get(&other.name).map_or(Duration::MAX, |used| now.since(used.mono))
        };
        let quiet = goes.iter().map(idle).min().unwrap_or(Duration::MAX);
        Place::Away { displaces, by: self.keep.pins.by.get(model).cloned(), quiet }
    }

    /// What is loaded and would go for the model; where nobody can say who goes, all of it may.
    pub(super) fn in_the_way<'a>(&self, model: &ModelName, models: &'a [Model]) -> Vec<&'a Model> {
        let shown = models.iter().find(|shown| shown.name == *model);
        let forecast = shown.and_then(|shown| shown.forecast.as_ref());
        let goes = |other: &&Model| forecast.is_none_or(|forecast| forecast.evicts.contains(&other.name));
        let is_other = |other: &&Model| other.has_runner() && !self.known.are_one(&other.name, model);
        models.iter().filter(is_other).filter(goes).collect()
    }

    fn carry_out_deed(&mut self, model: &ModelName, deed: Deed, fact: &Fact, tries: u32) {
        match deed {
            Deed::Assert => {
                let id = self.own_id();
                self.take_act(id, ActKind::Pin, model.clone(), Wish::default());
            }
            Deed::Warm => {
                let id = self.own_id();
                self.take_ram_act(id, ActKind::Warm, model.clone(), MENDING);
            }
            Deed::BringIn | Deed::BringBack => {
                let by = self.keep.pins.by.get(model).cloned();
                let back = What::BringsBack { by, time: tries, of: TRIES };
                self.tell(Some(model.clone()), if deed == Deed::BringIn { What::BringsIn } else { back });
                self.remember(model, Change::Tried { tries, gave_up: None });
                let is_foreseen = !matches!(fact.place, Place::Away { displaces: Displaces::Unknown, .. });
                let id = self.own_id();
                self.take_act(
                    id,
                    ActKind::Load,
                    model.clone(),
                    Wish { spare: is_foreseen, ..Wish::default() },
                );
            }
            Deed::GiveUp(by) => {
                self.tell(Some(model.clone()), What::PinGivenUp { by: by.clone(), times: tries });
                let gave_up = Some(GaveUp { by, at: self.now().wall });
                self.remember(model, Change::Tried { tries, gave_up });
            }
        }
    }
}

/// The model of the latest act that displaced this one.
fn displacer<'a>(acts: &'a [Act], model: &ModelName) -> Option<&'a ModelName> {
    let took = |act: &&Act| act.swap.as_ref().is_some_and(|swap| swap.plan.goes.contains(model));
    let loads = |act: &&Act| matches!(act.kind, ActKind::Swap | ActKind::Load) && act.model != *model;
    acts.iter().rev().find(took).or_else(|| acts.iter().rev().find(loads)).map(|act| &act.model)
}
