//! The manager task: the one owner of what is known. It polls, takes commands, carries out jobs and publishes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::acts::{Acts, Job};
use super::ask::{self, Reply};
use super::chronicle::Chronicle;
use super::due::Due;
use super::facts::Loading;
use super::journals::Journals;
use super::keep::Keep;
use super::known::{Known, PageReadings};
use super::ram::{ASKED, RamAct};
use super::readings::{changed, changed_in, changed_tier, journal_changed};
use super::tier::RamTier;
use super::{Command, poll};
use crate::ollama::Client;
use crate::probe::page_cache::PageCache;
use crate::probe::watched::Watched;
use crate::residency::act::{ActId, ActKind};
use crate::residency::event::{Event, RING, What};
use crate::residency::host::{Cards, Ram, Runners};
use crate::residency::name::ModelName;
use crate::residency::record::Happened;
use crate::residency::snapshot::{Reach, Snapshot};
use crate::residency::swap::Wish;
use crate::residency::timing::{Clock, Moment};

/// Between two looks at acts of the RAM tier that wait for something.
const RAM_TURN: Duration = Duration::from_millis(500);
/// An answer that takes longer makes the server slow.
const SLOW: Duration = Duration::from_secs(1);

/// The manager and all it owns.
pub(crate) struct Manager {
    pub known: Known,
    pub client: Client,
    pub clock: Clock,
    pub ram: Box<dyn FnMut() -> Option<Ram> + Send>,
    pub cards: Option<Watched<Cards>>,
    pub pages: Option<PageCache>,
    pub readings: Option<watch::Receiver<PageReadings>>,
    pub runners: Option<Watched<Runners>>,
    pub tier: Option<RamTier>,
    pub journals: Journals,
    pub chronicle: Chronicle,
    pub keep: Keep,
    pub ram_acts: Vec<RamAct>,
    /// The reading of files waits for another model's load.
    pub paused: bool,
    pub commands: mpsc::Receiver<Command>,
    pub publish: watch::Sender<Arc<Snapshot>>,
    pub stop: CancellationToken,
    pub acts: Acts,
    pub events: VecDeque<Arc<Event>>,
    pub due: Due,
    pub flying: JoinSet<Reply>,
    pub sent: Vec<(ActId, AbortHandle)>,
}

impl Manager {
    /// Runs until it is stopped or every front end is gone.
    pub async fn run(mut self) {
        // Readings come oftener than news: a snapshot is made when something may have changed, and at each poll.
        let mut news = true;
        loop {
            news |= self.send_what_is_due(news);
            self.write_down_what_was_seen();
            self.hand_over();
            if std::mem::take(&mut news) {
                self.publish();
            }
            if self.act_by_itself() {
                news = true;
                continue;
            }
            let wake = self.wake();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                command = self.commands.recv() => match command {
                    Some(command) => {
                        self.command(command);
                        news = true;
                    }
                    None => break,
                },
                Some(reply) = self.flying.join_next(), if !self.flying.is_empty() => {
                    // A reply that was aborted or whose task failed has nothing to say.
                    if let Ok(reply) = reply {
                        self.reply(reply);
                        news = true;
                    }
                }
                () = changed_in(self.cards.as_mut().map(|w| &mut w.readings)) => news = self.see_cards(),
                () = changed_in(self.runners.as_mut().map(|w| &mut w.readings)) => news = self.see_runners(),
                from = changed_tier(self.tier.as_mut()) => news = self.see_tier(&from),
                () = journal_changed(self.journals.opened()) => news = self.see_journal(),
                () = changed(&mut self.readings) => news = self.see_pages(),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
        self.keep_records(true);
        self.hand_over_the_rest();
    }

    pub(super) fn now(&self) -> Moment {
        (self.clock)()
    }

    /// When the next thing is due by the clock.
    fn wake(&mut self) -> std::time::Instant {
        let now = self.now();
        let ps = match self.due.ps_sent {
            None => self.due.ps.mono,
            Some(sent) if matches!(self.known.reach, Reach::Up { .. }) => sent.mono + SLOW,
            Some(sent) => sent.mono + Duration::from_secs(3600),
        };
        // What waits for the RAM tier is looked at again in a while: a verification may have to be given up.
        let ram = self.moves_ram().then(|| now.mono + RAM_TURN);
        let past = self.known.past_by.map(|by| by.mono).filter(|by| *by > now.mono && self.acts.any_live());
        [Some(ps), ram, past, self.look_for_loads(now), self.watch_leaving(now)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(ps)
    }

    /// Sends what is due; says whether something is to be shown for it. With `news` the snapshot is older than what is
    /// known.
    fn send_what_is_due(&mut self, news: bool) -> bool {
        let now = self.now();
        let reach = std::mem::discriminant(&self.known.reach);
        match self.due.ps_sent {
            None if now.mono >= self.due.ps.mono => {
                self.read_ram(now);
                self.due.ps_sent = Some(now);
                // A server that takes longer than is usual still answers in the end.
                let patient = self.due.ps_late;
                self.flying.spawn(ask::ps(self.client.clone(), Arc::clone(&self.clock), patient));
                self.ask_pages(now);
            }
            Some(sent) if now.since(sent.mono) >= SLOW && matches!(self.known.reach, Reach::Up { .. }) => {
                self.known.reach = Reach::Slow { since: sent };
            }
            _ => {}
        }
        // At first what is installed is asked beside what is loaded: a command that waits needs both.
        let asks = matches!(self.known.reach, Reach::Up { .. } | Reach::Connecting);
        if !asks && self.known.tags_trouble.is_none() {
            return reach != std::mem::discriminant(&self.known.reach);
        }
        let is_there = !matches!(self.known.reach, Reach::Connecting);
        if is_there
            && self.known.version.is_none()
            && !self.due.version_sent
            && now.mono >= self.due.version.mono
        {
            self.due.version_sent = true;
            self.flying.spawn(ask::version(self.client.clone()));
        }
        if now.mono >= self.due.tags.mono && !self.due.tags_sent {
            self.due.tags_sent = true;
            self.flying.spawn(ask::tags(self.client.clone()));
        }
        if !self.due.show_sent
            && let Some(name) = poll::lacks_shape(&self.known)
        {
            self.due.show_sent = true;
            let digest = self.known.installed[&name].digest.clone();
            self.flying.spawn(ask::show(self.client.clone(), name, digest));
        }
        // Where the models lie is often told by /api/show: the first answers come before the first look.
        if self.due.files && !self.due.files_sent && self.known.local && !self.known.shown.is_empty() {
            (self.due.files, self.due.files_sent) = (false, true);
            self.flying.spawn(ask::files(&self.known));
        }
        self.follow_runs();
        self.turn_ram();
        if !self.acts.any_live() || self.waits_for_pins(now) {
            return reach != std::mem::discriminant(&self.known.reach);
        }
        // A swap takes its victims from the forecast that is on the screen; what just ended may have changed it.
        if news {
            self.publish();
        }
        let shown = Arc::clone(&self.publish.borrow());
        let models = shown.servers.first().map_or(&[][..], |server| &server.models);
        let jobs = self.acts.start(&mut self.known, models, now);
        self.carry_out(jobs);
        // Some are done without a question to the server: what they say of pins is remembered before they are shown.
        self.end_acts();
        true
    }

    /// Sends the jobs of acts. A load that starts is known to be pending from now on.
    pub(super) fn carry_out(&mut self, jobs: Vec<(ActId, Job)>) {
        let now = self.now();
        let mut jobs = VecDeque::from(jobs);
        while let Some((id, job)) = jobs.pop_front() {
            match &job {
                Job::Read { model } => {
                    // A swap that must not read goes on without.
                    for job in self.read_ahead(id, model).into_iter().rev() {
                        jobs.push_front(job);
                    }
                    continue;
                }
                Job::ReadNoMore => {
                    self.read_no_more(id);
                    continue;
                }
                Job::Load { model, .. } => self.note_load(model.clone(), now),
                Job::Touch { .. } | Job::Unload { .. } | Job::FirstToken { .. } => {}
            }
            let handle = self.flying.spawn(ask::job(self.client.clone(), Arc::clone(&self.clock), id, job));
            self.sent.push((id, handle));
        }
    }

    fn note_load(&mut self, model: ModelName, now: Moment) {
        let from_ram = self.known.percent_cached(&model);
        let load = Loading { since: now, ours: true, answered: None, from_ram };
        self.known.acquit(&model);
        self.known.loading.insert(model.clone(), load);
        self.due.pages = now;
        self.mind_the_disk();
        self.tell(Some(model), What::Loading { ours: true });
    }

    pub(super) fn command(&mut self, command: Command) {
        self.note_what_is_asked(&command);
        match command {
            Command::Recall => self.follow_journal(),
            Command::HandsOff(off) => self.hands_off(off),
            Command::Ease(eased) => self.ease(eased),
            Command::Preload => self.preload_now(),
            Command::Act { id, kind, model } if kind.is_of_ram() => self.take_ram_act(id, kind, model, ASKED),
            Command::Act { id, kind, model } => self.take_act(id, kind, model, Wish::default()),
            Command::Swap { id, model, wish } => self.take_act(id, ActKind::Swap, model, wish),
            Command::Phase(phase) => self.record(Happened::Phase(phase)),
            Command::Cancel { model } => self.cancel(Some(&model)),
            Command::CancelAll => self.cancel(None),
            Command::List { models } => {
                let preload = &mut Arc::make_mut(&mut self.known.config).preload;
                (preload.enabled, preload.models) = (true, models);
            }
            Command::Look { model } => {
                self.known.looked_at = Some(model.clone());
                let blobs = ask::readable(&self.known, &[model]);
                if let Some(pages) = &self.pages {
                    pages.ask(blobs);
                }
            }
        }
        self.end_acts();
    }

    fn cancel(&mut self, model: Option<&ModelName>) {
        let now = self.now();
        self.skip_startup(model, now);
        self.cancel_ram(model);
        for (id, model) in self.acts.cancel(model, &self.known, now) {
            self.read_no_more(id);
            for (_, handle) in self.sent.extract_if(.., |(sent, _)| *sent == id) {
                handle.abort();
            }
            self.known.loading.retain(|loading, load| !(load.ours && *loading == model));
        }
        // What is left is seen soon.
        self.due.ps = self.next_ps(now);
    }

    pub(super) fn end_acts(&mut self) {
        for (model, what) in self.acts.news() {
            self.known.loading.retain(|loading, load| !(load.ours && *loading == model));
            if !self.is_refresh(&model, &what) {
                self.tell(Some(model), what);
            }
        }
        self.note_what_is_done();
        self.keep_records(false);
    }

    pub(super) fn tell(&mut self, model: Option<ModelName>, what: What) {
        let at = self.now();
        self.look_back(model.as_ref(), &what, at);
        self.tell_at(model, what, at);
    }

    /// Of what happened before and is only told now.
    fn tell_at(&mut self, model: Option<ModelName>, what: What, at: Moment) {
        self.chronicle.others.see(model.as_ref(), &what, at);
        self.keep.pins.see(model.as_ref(), &what);
        let number = self.due.next_event;
        self.due.next_event += 1;
        if self.events.len() >= RING {
            self.events.pop_front();
        }
        self.events.push_back(Arc::new(Event { number, at, model, what }));
    }

    /// Tells of departures whose cause is known by now. What was foreseen is compared from the time when the model left.
    pub(super) fn close_departures(&mut self, now: Moment) {
        for (model, what, at) in self.known.close_departures(now) {
            if at == now {
                self.tell(Some(model), what);
            } else {
                self.tell_at(Some(model), what, at);
            }
        }
        let fresh = self.known.departures.iter().filter(|(_, open)| open.at == now);
        for model in fresh.map(|(model, _)| model.clone()).collect::<Vec<_>>() {
            self.look_back(Some(&model), &What::Left, now);
        }
    }

    /// Stores the new snapshot; readers wake only if more than reading times changed.
    fn publish(&mut self) {
        let mut acts = self.acts.list();
        acts.extend(self.ram_acts.iter().map(|act| act.act.clone()));
        self.known.learn();
        let mut fresh = poll::join(&self.known, &self.events, acts, self.now());
        fresh.keeping = self.keeping(&fresh.servers[0].models);
        self.publish.send_if_modified(|current| {
            let changed = poll::differs(current, &fresh);
            *current = Arc::new(fresh);
            changed
        });
    }
}
