//! Seats: one for each server; the screen sits in one of them, and what belongs to the others waits there as it was left.

use std::path::PathBuf;
use std::sync::Arc;

use super::Session;
use super::job::Job;
use crate::config::Config;
use crate::engine::{Command, Handle};
use crate::residency::name::ModelName;
use crate::tui::Member;
use crate::tui::app::{App, Settings};
use crate::tui::fleet::{Fleet, Tab};
use crate::tui::keymap::Keymap;
use crate::tui::looks::Looks;
use crate::tui::theme::Depth;

/// What the screens of the other servers are made with.
pub(super) struct Others {
    pub(super) keymap: Keymap,
    pub(super) depth: Depth,
    pub(super) read_only: bool,
    pub(super) list_place: Option<PathBuf>,
}

/// All servers; their engines run, whoever is looked at.
#[derive(Default)]
pub(super) struct Seats {
    servers: Vec<(String, Handle)>,
    /// What belongs to each server that is not looked at.
    left: Vec<Option<Seat>>,
    at: usize,
}

/// What belongs to one server.
struct Seat {
    app: App,
    looked: Option<ModelName>,
    config: Arc<Config>,
    job: Option<Job>,
}

impl Seats {
    /// The way to the server that is looked at.
    pub(super) fn handle(&self) -> Handle {
        self.servers[self.at].1.clone()
    }

    /// Which of them is looked at.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// All of them in a few words; none where there is only one.
    pub(super) fn fleet(&self) -> Fleet {
        if self.servers.len() < 2 {
            return Fleet::default();
        }
        let works = |at: usize| {
            self.left[at].as_ref().and_then(|seat| seat.job.as_ref()).is_some_and(Job::is_running)
        };
        let tab =
            |(at, (name, handle)): (usize, &(String, Handle))| Tab::of(name, &handle.snapshot(), works(at));
        Fleet { servers: self.servers.iter().enumerate().map(tab).collect(), at: self.at }
    }
}

impl Session {
    /// Starts all engines; those that are not looked at take their time.
    pub(super) fn seat(&mut self, fleet: &mut Vec<Member<'_>>, at: usize, others: &Others) {
        let now = (self.clock)();
        for (index, member) in std::mem::take(fleet).into_iter().enumerate() {
            let handle = (member.engine)();
            let seat = (index != at).then(|| {
                // A new queue has room.
                let _ = handle.send(Command::Ease(true));
                let propose =
                    Box::new(|_: &_| Err("a config is proposed for the first server only".to_owned()));
                let zone = self.app.settings.zone.clone();
                let mut settings = Settings::of(&member.config, others.depth, zone, propose);
                settings.read_only |= others.read_only;
                settings.list_place.clone_from(&others.list_place);
                let app = App::new(settings, others.keymap.clone(), None, now);
                Seat { app, looked: None, config: Arc::clone(&member.config), job: None }
            });
            self.seats.servers.push((member.name, handle));
            self.seats.left.push(seat);
        }
        self.seats.at = at;
    }

    /// Looks at another server from now on; all is as it was left there.
    pub(super) fn change_server(&mut self, to: usize) {
        let from = self.seats.at;
        let Some(mut seat) = self.seats.left.get_mut(to).and_then(Option::take) else { return };
        std::mem::swap(&mut self.app, &mut seat.app);
        std::mem::swap(&mut self.looked, &mut seat.looked);
        std::mem::swap(&mut self.config, &mut seat.config);
        std::mem::swap(&mut self.job, &mut seat.job);
        // What was chosen holds at every server; a filter is of this one's models.
        let looks = Looks { filter: self.app.filter.clone(), ..seat.app.looks() };
        self.app.wear(&looks);
        self.app.settings.mouse = seat.app.settings.mouse;
        self.seats.left[from] = Some(seat);
        self.seats.at = to;
        for (at, eased) in [(from, true), (to, false)] {
            // One that is full is asked as before, which does no harm.
            let _ = self.seats.servers[at].1.send(Command::Ease(eased));
        }
        self.app.see(self.seats.handle().snapshot());
        if let Some(job) = &mut self.job {
            job.show(&mut self.app);
        }
    }

    /// How many servers there are.
    pub(super) fn servers(&self) -> usize {
        self.seats.servers.len()
    }

    /// What runs here and at the other servers.
    pub(super) fn take_jobs(&mut self) -> Vec<Job> {
        let left = self.seats.left.iter_mut().flatten().filter_map(|seat| seat.job.take());
        self.job.take().into_iter().chain(left).collect()
    }

    /// What the server that is looked at is called.
    pub(super) fn server_name(&self) -> &str {
        &self.seats.servers[self.seats.at].0
    }
}
