//! The screen's state: what is selected, what is open, what was said; keys change it and tell the loop what to do.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::KeyEvent;

use super::Outcome;
use super::action::{Action, Context};
use super::columns::Column;
use super::course::Course;
use super::fleet::Fleet;
use super::keymap::Keymap;
use crate::engine::flow::Output;
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::expiry::Expiry;
use crate::residency::flow::Flow;
use crate::residency::guard::Keeping;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Host, Model, Reach, Server, Snapshot, State};
use crate::residency::timing::Moment;

mod act;
mod agent;
mod alert;
mod flow;
mod freeze;
mod keeping;
mod layer;
mod leave;
mod mouse;
mod pin;
mod prompt;
mod proof;
mod question;
mod ram;
mod roam;
mod settings;

pub(crate) use agent::Left;
pub(crate) use flow::Shown;
use freeze::Frozen;
pub use layer::Effect;
pub(crate) use layer::{Ask, Layer};
pub(crate) use prompt::{Asked, Prompt};
pub(crate) use proof::Proof;
pub use settings::Settings;

/// Models whose bytes count: of the names that share a blob only the first.
pub(crate) fn counted_once(models: &[Model]) -> impl Iterator<Item = &Model> {
    models.iter().enumerate().filter_map(|(i, model)| {
        let is_counted = !model.shared_with.is_empty()
            && models[..i].iter().any(|earlier| model.shared_with.contains(&earlier.name));
        (!is_counted).then_some(model)
    })
}

/// A part of the screen that can have the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// All models.
    Models,
    /// The selected one.
    Details,
    /// The workflow that runs, ours or an agent's.
    Flow,
    /// What happened.
    Events,
}

/// How the table is ordered; never by tier, so that a model does not move when its tier changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The preload list in its order, then by name.
    List,
    /// By name.
    Name,
    /// The largest first.
    Size,
}

/// The screen's state.
pub struct App {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) settings: Settings,
    pub(crate) keymap: Keymap,
    /// All servers; empty where there is only one.
    pub(crate) fleet: Fleet,
    pub(crate) selected: Option<ModelName>,
    pub(crate) sort: Sort,
    /// Columns of the table that are not wanted.
    pub(crate) hidden: Vec<Column>,
    pub(crate) filter: String,
    pub(crate) panel: Panel,
    pub(crate) layer: Layer,
    /// Said once, until the next key.
    pub(crate) notice: Option<String>,
    /// What the act that was asked for last will do, until it ends.
    pub(crate) plan: Option<(ModelName, String)>,
    /// Acts that were asked for and that no snapshot shows yet.
    pub(crate) asked: Vec<(ActId, ActKind, ModelName)>,
    /// The swap that ended last, until the next key: its stages are said.
    pub(crate) ended: Option<ActId>,
    /// The workflow of ours that runs, or ran last and is still shown.
    pub(crate) flow: Option<Arc<Flow>>,
    /// What the latest command of that workflow says.
    pub(crate) output: Arc<Output>,
    /// The measurement of ours that runs, or ran last and is still shown; then no workflow is.
    pub(crate) proof: Option<Proof>,
    /// When the last run that was put away ended.
    pub(crate) put_away: Option<jiff::Timestamp>,
    /// The screen ends once what runs is over.
    pub(crate) leaving: bool,
    /// The panel that has the keys has all of the room.
    pub(crate) zoomed: bool,
    /// The picture stands still.
    pub(crate) frozen: Option<Frozen>,
    /// What memory and bus did in the last minutes.
    pub(crate) course: Course,
    /// The number of the last event that was listened to.
    heard: u64,
    /// The end of a long load, until it is told.
    alert: Option<String>,
    /// Lines that the workflow's panel is scrolled down.
    pub(crate) flow_down: usize,
    /// Lines that the details are scrolled down.
    pub(crate) details_down: usize,
    /// Events that the log is scrolled back.
    pub(crate) events_back: usize,
}

impl App {
    /// A screen before the first snapshot.
    pub fn new(settings: Settings, keymap: Keymap, notice: Option<String>, now: Moment) -> App {
        let server = Server {
            url: settings.url.clone(),
            reach: Reach::Connecting,
            version: None,
            local: false,
            demo_scale: None,
            models_dir: None,
            models_dir_unknown: None,
            files_owner: None,
            findings: None,
            models: Vec::new(),
            ps_at: None,
            tags_at: None,
            runners: None,
        };
        let snapshot = Snapshot {
            at: now,
            host: Host { name: String::new(), ram: None, cards: None, holds: Bytes::ZERO },
            servers: vec![server],
            events: std::collections::VecDeque::new(),
            acts: Vec::new(),
            past: Arc::default(),
            keeping: Keeping::default(),
            tunings: None,
        };
        App {
            snapshot: Arc::new(snapshot),
            settings,
            keymap,
            fleet: Fleet::default(),
            selected: None,
            sort: Sort::List,
            hidden: Vec::new(),
            filter: String::new(),
            panel: Panel::Models,
            layer: Layer::None,
            notice,
            plan: None,
            asked: Vec::new(),
            ended: None,
            flow: None,
            output: Arc::default(),
            proof: None,
            put_away: None,
            leaving: false,
            zoomed: false,
            frozen: None,
            course: Course::default(),
            heard: 0,
            alert: None,
            flow_down: 0,
            details_down: 0,
            events_back: 0,
        }
    }

    /// Takes a newer snapshot; the selection stays with its model, or goes to the first one if that is gone.
    pub fn see(&mut self, snapshot: Arc<Snapshot>) {
        self.listen(&snapshot);
        self.course.note(&snapshot);
        let Some(snapshot) = self.keep_back(snapshot) else { return };
        if self.events_back > 0
            && let (Some(old), Some(new)) = (self.snapshot.events.back(), snapshot.events.back())
        {
            // What the user reads stays where it is while new events come in below.
            let newer = usize::try_from(new.number.saturating_sub(old.number)).unwrap_or(usize::MAX);
            self.events_back = self.events_back.saturating_add(newer).min(snapshot.events.len());
        }
        let row = self.row();
        let seen = self.snapshot.events.back().map_or(0, |event| event.number);
        let ended = self.live_acts().map(|act| act.id).filter(|id| {
            snapshot.acts.iter().any(|act| act.id == *id && !act.is_live() && act.swap.is_some())
        });
        self.ended = ended.last().or(self.ended);
        let let_go = self.let_go(&snapshot);
        self.snapshot = snapshot;
        if self.panel == Panel::Flow && !self.has_flow() {
            self.panel = Panel::Models;
        }
        self.reselect(row);
        self.asked.retain(|(id, ..)| !self.snapshot.acts.iter().any(|act| act.id == *id));
        let planned = |name: &ModelName| {
            self.live_act(name).is_some() || self.asked.iter().any(|(_, _, asked)| asked == name)
        };
        if self.plan.as_ref().is_some_and(|(name, _)| !planned(name)) {
            self.plan = None;
        }
        if let Some(said) = self.said_since(seen).or(let_go) {
            self.notice = Some(said);
        }
    }

    /// What is said whole of what happened since that event: a line of the log has no room for a server's own words.
    fn said_since(&self, seen: u64) -> Option<String> {
        self.snapshot.events.iter().rev().take_while(|event| event.number > seen).find_map(|event| {
            match (&event.what, &event.model) {
                (What::Failed { verb, why }, Some(model)) => Some(format!("{verb} {model} failed: {why}")),
                (What::Cancelled { verb, left: Some(left) }, Some(model)) => {
                    Some(format!("{verb} {model} cancelled {left}"))
                }
                (What::HandsOff(are_off), _) => Some(self.hands(*are_off)),
                _ => None,
            }
        })
    }

    /// Carries out a key, or types it into an open prompt.
    pub fn key(&mut self, event: KeyEvent, now: Moment) -> Option<Effect> {
        let context = self.context();
        if let Some(action) = self.keymap.action(event, context) {
            return self.act(action, now);
        }
        let leaves = |ask: &Ask| matches!(ask.then, Effect::Leave(Outcome::Quit { .. }));
        if matches!(&self.layer, Layer::Ask(ask) if leaves(ask))
            && self.keymap.action(event, Context::Main) == Some(Action::Quit)
        {
            return self.act(Action::Quit, now);
        }
        if let Layer::Prompt(prompt) = &mut self.layer
            && let Some(c) = super::key::Key::of(event).and_then(super::key::Key::typed)
        {
            prompt.push(c);
            self.prompt_changed();
        }
        None
    }

    /// Text from the clipboard: into a prompt, else nowhere, for it is not pressed keys.
    pub fn paste(&mut self, text: &str) {
        if let Layer::Prompt(prompt) = &mut self.layer {
            text.chars().filter(|c| !c.is_control()).for_each(|c| prompt.push(c));
            self.prompt_changed();
        }
    }

    /// Which keys apply now.
    pub fn context(&self) -> Context {
        match self.layer {
            Layer::None if self.steers() => Context::Flow,
            Layer::None => Context::Main,
            Layer::Help(_)
            | Layer::Setup(..)
            | Layer::Flows(_)
            | Layer::History(_)
            | Layer::Findings(_)
            | Layer::Tuning(_)
            | Layer::Columns(_) => Context::Page,
            Layer::Ask(_) => Context::Confirm,
            Layer::Prompt(_) => Context::Prompt,
        }
    }

    /// The server that is shown.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.snapshot.servers.first()
    }

    /// The models that pass the filter, in the order of the table.
    pub(crate) fn models(&self) -> Vec<&Model> {
        let wanted = self.filter.to_lowercase();
        let all = self.server().map_or(&[][..], |server| &server.models);
        let mut models: Vec<&Model> = all
            .iter()
            .filter(|model| wanted.is_empty() || model.name.as_str().to_lowercase().contains(&wanted))
            .collect();
        match self.sort {
            Sort::List => {}
            Sort::Name => models.sort_by(|a, b| a.name.cmp(&b.name)),
            Sort::Size => models.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name))),
        }
        models
    }

    /// The selected model.
    pub(crate) fn model(&self) -> Option<&Model> {
        let name = self.selected.as_ref()?;
        self.server()?.model(name)
    }

    /// The name of the selected model: the engine is told to look at it.
    pub fn selected(&self) -> Option<&ModelName> {
        self.selected.as_ref()
    }

    /// The latest act of that model that still runs or waits.
    pub(crate) fn live_act(&self, name: &ModelName) -> Option<&Act> {
        self.snapshot.acts.iter().rev().find(|act| act.is_live() && act.model == *name)
    }

    /// All acts that still run or wait.
    pub(crate) fn live_acts(&self) -> impl Iterator<Item = &Act> {
        self.snapshot.acts.iter().filter(|act| act.is_live())
    }

    /// Whether the server's last word is older than it should be, and how old.
    pub(crate) fn stale(&self, now: Moment) -> Option<Duration> {
        let at = self.server()?.ps_at?;
        let age = now.since(at.mono);
        (age > (self.settings.refresh * 3).max(Duration::from_secs(5))).then_some(age)
    }

    /// Whether the demo can be offered: there is no server, and there is a place for it.
    pub(crate) fn offers_demo(&self) -> bool {
        let never_heard =
            |server: &Server| server.ps_at.is_none() && matches!(server.reach, Reach::Slow { .. });
        self.settings.demo_place.is_some()
            && self.server().is_none_or(|s| matches!(s.reach, Reach::Down { .. }) || never_heard(s))
    }

    /// How long the picture stays true; `None` where only a heartbeat is needed.
    pub fn next_tick(&self, now: Moment) -> Option<Duration> {
        if self.frozen.is_some() {
            return None;
        }
        let is_young = |act: &Act| match act.state {
            ActState::Running { since, .. } => now.since(since.mono) < Duration::from_secs(10),
            _ => false,
        };
        if self.live_acts().any(is_young) {
            return Some(Duration::from_millis(100));
        }
        let shown = [self.flow_tick(now), self.startup_tick(now)];
        let flow = shown.into_iter().flatten().min().filter(|_| !self.is_covered());
        let counts = |model: &&Model| {
            matches!(model.state, State::Loading { .. })
                || model.kept.as_ref().is_some_and(|kept| kept.ends.is_some())
                || model.living().is_some_and(|loaded| {
                    matches!(loaded.expiry, Expiry::At(_)) && !loaded.expiry.is_past(now.wall)
                })
        };
        let covered = self.is_covered();
        // The page of swaps begins with a line a second.
        let moves = matches!(self.layer, Layer::History(_));
        let counting = moves || (!covered && self.models().iter().any(counts));
        if counting || self.live_acts().next().is_some() {
            // All countdowns change together, at the turn of the wall clock's second: one frame, not one each.
            let into = u64::try_from(now.wall.subsec_nanosecond()).unwrap_or(0);
            let second = Duration::from_nanos(1_000_000_000_u64.saturating_sub(into).max(1_000_000));
            return Some(flow.map_or(second, |flow| flow.min(second)));
        }
        flow
    }

    /// Whether a page hides the table and what stands with it.
    pub(crate) fn is_covered(&self) -> bool {
        self.context() == Context::Page
    }
}
