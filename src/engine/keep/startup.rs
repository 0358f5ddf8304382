//! Start-up: its course from the first answers of the server to its end, by key, by config or by command.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Strategy;
use crate::engine::manager::Manager;
use crate::engine::ram::ASKED;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::event::What;
use crate::residency::guard::Keeper;
use crate::residency::guard::startup::{End, Fact, Goal, Item, ItemState, Startup};
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, PRELOADED_PERCENT, State};
use crate::residency::swap::Wish;
use crate::residency::tier::Cached;
use crate::residency::timing::Moment;

/// How long it is waited for what is not known yet: what is in RAM, and what a load would evict.
const KNOWS: Duration = Duration::from_secs(4);

/// How far start-up is.
#[derive(Default)]
pub(super) struct Course {
    startup: Option<Startup>,
    /// The model that is moved, and by which act.
    act: Option<(usize, ActId)>,
    /// It was decided whether there is a start-up.
    decided: bool,
    /// The answer of the server that was looked at last.
    looked: Option<Moment>,
    /// When the latest act for it ended: what the server said before does not show what that left.
    ended: Option<Moment>,
}

impl Course {
    pub(super) fn is_live(&self) -> bool {
        self.startup.as_ref().is_some_and(Startup::is_live)
    }

    pub(super) fn shown(&self) -> Option<Arc<Startup>> {
        self.startup.clone().map(Arc::new)
    }
}

impl Manager {
    /// The user asks for it now, whoever the keeper is.
    pub(in crate::engine) fn preload_now(&mut self) {
        self.follow_journal();
        self.begin_startup();
    }

    fn begin_startup(&mut self) {
        let config = &self.known.config;
        let list = if config.preload.enabled { &config.preload.models[..] } else { &[] };
        let all = match config.preload.strategy {
            Strategy::Warm => Goal::Ram,
            Strategy::Request => Goal::Vram,
        };
        let startup = Startup::new(config.primary.as_ref(), list, all, self.now());
        self.keep.startup = Course { startup: Some(startup), decided: true, ..Course::default() };
    }

    /// Goes on with start-up as far as it can. Does nothing where nothing is new, so that every turn may call it.
    pub(in crate::engine) fn start_up(&mut self, now: Moment) {
        if !self.keep.startup.decided {
            self.decide_startup();
        }
        if !self.keep.startup.is_live() || self.known.ps_at.is_none() || self.known.tags_at.is_none() {
            return;
        }
        let ended = self.end_of_startup_act();
        let looked = self.keep.startup.looked == self.known.ps_at;
        if looked && ended.is_none() {
            return;
        }
        let Some(mut startup) = self.keep.startup.startup.take() else { return };
        let before: Vec<ItemState> = startup.items.iter().map(|item| item.state.clone()).collect();
        if let Some((at, end)) = ended {
            startup.ended(at, end, now);
            self.keep.startup.ended = Some(now);
        }
        let is_old = |ended: Moment| self.known.ps_asked.is_none_or(|asked| asked.mono < ended.mono);
        if self.keep.startup.ended.is_some_and(is_old) {
            self.tell_startup(&startup, &before);
            self.keep.startup.startup = Some(startup);
            return;
        }
        self.keep.startup.looked = self.known.ps_at;
        let shown = Arc::clone(&self.publish.borrow());
        let models = shown.servers.first().map_or(&[][..], |server| &server.models);
        let waited = now.since(startup.began.mono);
        let begins = startup.turn(|item| self.startup_fact(item, models, waited), now);
        if let Some(at) = begins {
            self.move_item(at, &startup.items[at]);
        }
        self.tell_startup(&startup, &before);
        self.keep.startup.startup = Some(startup);
    }

    /// Start-up is the keeper's, and only as the program starts: who takes over later begins nothing.
    fn decide_startup(&mut self) {
        let config = &self.known.config;
        let wants = config.preload.on_startup && config.may_act && !self.keep.hands_off;
        match self.journals.keeper() {
            _ if !wants || !self.journals.may_keep() => self.keep.startup.decided = true,
            Some(Keeper::This) if self.acts_by_itself() => self.begin_startup(),
            // One that may do less makes way at once.
            Some(_) if !self.journals.is_next() => self.keep.startup.decided = true,
            Some(_) | None => {}
        }
    }

    fn end_of_startup_act(&mut self) -> Option<(usize, End)> {
        let (at, id) = self.keep.startup.act?;
        let acts = self.acts.list();
        let act = acts.iter().chain(self.ram_acts.iter().map(|ram| &ram.act)).find(|act| act.id == id);
        let end = match act {
            Some(act) if act.is_live() => return None,
            Some(Act { state: ActState::Done { took, .. }, progress, kind, .. }) => {
                let read = progress.map(|progress| progress.read).filter(|_| kind.is_of_ram());
                End::Done { took: *took, read }
            }
            Some(Act { state: ActState::Failed { cancelled: true, .. }, .. }) => End::Cancelled,
            Some(Act { state: ActState::Failed { why, .. }, .. }) => End::Failed(why.clone()),
            _ => End::Failed("it was not seen to its end".to_owned()),
        };
        self.keep.startup.act = None;
        Some((at, end))
    }

    fn startup_fact(&self, item: &Item, models: &[Model], waited: Duration) -> Fact {
        let known = &self.known;
        let name = &item.model;
        if !known.installed.contains_key(name) {
            return Fact::Missing;
        }
        let is_loaded = known.runs_as(name).is_some();
        if is_loaded || known.details(name).remote_host.is_some() {
            return Fact::There;
        }
        if item.goal == Goal::Ram {
            let (cached, _) = known.cached(name);
            return match known.percent_cached(name) {
                Some(percent) if percent >= PRELOADED_PERCENT => Fact::There,
                None if known.local && cached == Cached::Unread && waited < KNOWS => Fact::Unknown,
                _ => Fact::Away { blocked: None },
            };
        }
        if known.config.preload.strategy == Strategy::Request {
            let loaded = known.runs().map(|(model, _)| model).next();
            return Fact::Away { blocked: loaded.map(|model| format!("{model} is loaded")) };
        }
        if let Some(loading) = known.load_pending() {
            return Fact::Away { blocked: Some(format!("{loading} is loading")) };
        }
        self.in_use(name, models, waited)
    }

    /// Whether the card is in use: a load would evict somebody, or nobody can say whether.
    fn in_use(&self, name: &ModelName, models: &[Model], waited: Duration) -> Fact {
        let in_use = |model: &ModelName| Some(format!("{model} is in use"));
        let Some(shown) = models.iter().find(|model| model.name == *name) else { return Fact::Unknown };
        let other = || models.iter().find(|model| model.has_runner() && model.state != State::Cloud);
        let is_foreseeable = self.known.local && self.cards.is_some() && waited < KNOWS;
        match (&shown.forecast, other()) {
            (Some(forecast), _) => Fact::Away { blocked: forecast.evicts.first().and_then(in_use) },
            (None, None) => Fact::Away { blocked: None },
            (None, Some(_)) if is_foreseeable => Fact::Unknown,
            (None, Some(other)) => Fact::Away { blocked: in_use(&other.name) },
        }
    }

    fn move_item(&mut self, at: usize, item: &Item) {
        let id = self.own_id();
        self.keep.startup.act = Some((at, id));
        match item.goal {
            Goal::Vram => {
                // What came meanwhile and is pinned or busy is left alone.
                let wish = Wish { spare: true, ..Wish::default() };
                self.take_act(id, ActKind::Load, item.model.clone(), wish);
            }
            Goal::Ram => self.take_ram_act(id, ActKind::Warm, item.model.clone(), ASKED),
        }
    }

    /// Says what is new.
    fn tell_startup(&mut self, startup: &Startup, before: &[ItemState]) {
        let news = startup.items.iter().zip(before).filter(|(item, before)| item.state != **before);
        for (item, _) in news {
            let what = match &item.state {
                ItemState::Ready { took, .. } if item.goal == Goal::Vram => What::Ready { took: *took },
                ItemState::There => What::There,
                ItemState::Missing => What::NotInstalled,
                ItemState::Waits(why) => What::StartupWaits { why: why.clone() },
                // Acts tell of their own ends.
                _ => continue,
            };
            self.tell(Some(item.model.clone()), what);
        }
        self.tell_startup_over(startup);
    }

    fn tell_startup_over(&mut self, startup: &Startup) {
        if let Some(took) = startup.took.filter(|_| !startup.items.is_empty()) {
            let ready = startup.items.iter().filter(|item| item.state.is_ready()).count();
            self.tell(None, What::StartupOver { took, ready, all: startup.items.len() });
        }
    }

    /// The user wants nothing more of it, or not that model.
    pub(in crate::engine) fn skip_startup(&mut self, model: Option<&ModelName>, now: Moment) {
        let Some(mut startup) = self.keep.startup.startup.take() else { return };
        let was_live = startup.is_live();
        startup.skip(model, now);
        if was_live && !startup.is_live() {
            self.tell_startup_over(&startup);
        }
        self.keep.startup.startup = Some(startup);
    }
}
