//! The servers that can be looked at, one at a time: what each one is called and how it is with it now.

use super::action::Action;
use super::app::{App, Effect};
use crate::residency::act::Act;
use crate::residency::snapshot::{Reach, Snapshot};

/// All servers, in the order of the list; empty where there is only one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Tab>,
    /// Which of them is looked at.
    pub(crate) at: usize,
}

/// One server in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tab {
    pub(crate) name: String,
    pub(crate) health: Health,
    /// So many models are in VRAM there.
    pub(crate) loaded: usize,
    /// Something of ours runs there.
    pub(crate) busy: bool,
}

/// Whether a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Up,
    /// Nobody knows yet, or it lets us wait.
    Slow,
    Down,
}

impl Tab {
    /// By what is known of it now.
    pub(crate) fn of(name: &str, snapshot: &Snapshot, works: bool) -> Tab {
        let server = snapshot.servers.first();
        let health = match server.map(|server| &server.reach) {
            Some(Reach::Up { .. }) => Health::Up,
            Some(Reach::Down { .. }) => Health::Down,
            Some(Reach::Connecting | Reach::Slow { .. }) | None => Health::Slow,
        };
        let loaded = server.filter(|_| health == Health::Up);
        Tab {
            name: name.to_owned(),
            health,
            loaded: loaded
                .map_or(0, |server| server.models.iter().filter(|model| model.has_runner()).count()),
            busy: works || snapshot.acts.iter().any(Act::is_live),
        }
    }
}

impl Fleet {
    /// Another server at which something of ours runs.
    pub(crate) fn busy_elsewhere(&self) -> Option<&Tab> {
        let others = self.servers.iter().enumerate().filter(|(at, _)| *at != self.at);
        others.map(|(_, tab)| tab).find(|tab| tab.busy)
    }
}

impl App {
    /// The next server of the list, or the one before it; round and round.
    pub(super) fn look_elsewhere(&mut self, forward: bool) -> Option<Effect> {
        let (count, at) = (self.fleet.servers.len(), self.fleet.at);
        if count < 2 {
            self.notice = Some("there is one server; `servers:` in the config lists more".to_owned());
            return None;
        }
        Some(Effect::Server(if forward { (at + 1) % count } else { (at + count - 1) % count }))
    }

    /// The keys that change the server, in a word.
    pub(crate) fn server_keys(&self) -> String {
        let keys = [Action::PreviousServer, Action::NextServer].map(|action| self.keymap.first(action));
        keys.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}
