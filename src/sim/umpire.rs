//! The umpire: counts what a client of ours asks that would hurt a real server or somebody else's model on it.
//!
//! Only requests with our own `User-Agent` are looked at. What another client does is a real server's everyday life.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::residency::name::ModelName;
use crate::residency::timing::Moment;

/// How every `User-Agent` of ours begins.
const OURS: &str = "resident/";
/// What another client began to load can be seen after this long: a full period of polling.
pub(super) const VISIBLE: Duration = Duration::from_secs(1);
/// `/api/ps` may be asked five times a second; some time goes by on the way.
const APART: Duration = Duration::from_millis(190);

/// A request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foul {
    /// When it was asked.
    pub at: Timestamp,
    /// Which model it was about, or would have thrown out; `None` for none.
    pub model: Option<ModelName>,
    /// Which rule.
    pub rule: Broken,
}

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A touch, pin or unload of a loaded model while a load was pending, and that could be seen: it may lock a real
    /// scheduler for ever (ollama issue 17408).
    WhileLoading,
    /// A request for a loaded model with other options than it runs with: its runner is ended and started anew.
    Reloads,
    /// A load that throws out a model at work.
    EvictsBusy,
    /// A load that throws out a model that somebody keeps for ever.
    EvictsPinned,
    /// An unload of a model that somebody keeps for ever.
    UnloadsPinned,
    /// `/api/ps` more than five times a second.
    AsksTooOften,
    /// A body that the server refuses: a `keep_alive` in the wrong form, an embedding model asked to generate.
    Refused,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Whose {
    /// A client of ours sent it.
    Ours,
    /// Anybody else did.
    #[default]
    Others,
}

impl Whose {
    /// By the text of the `User-Agent`.
    pub(super) fn of(agent: Option<&str>) -> Whose {
        if agent.is_some_and(|agent| agent.starts_with(OURS)) { Whose::Ours } else { Whose::Others }
    }

    pub(super) fn is_ours(self) -> bool {
        self == Whose::Ours
    }
}

/// What was counted, shared by the scheduler and the routes.
#[derive(Debug, Clone, Default)]
pub(super) struct Umpire {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    fouls: Vec<Foul>,
    /// When `/api/ps` was asked last.
    asked: Option<Moment>,
}

impl Umpire {
    /// Writes one down.
    pub(super) fn foul(&self, model: Option<&ModelName>, rule: Broken, now: Moment) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.fouls.push(Foul { at: now.wall, model: model.cloned(), rule });
    }

    /// `/api/ps` was asked.
    pub(super) fn asked(&self, whose: Whose, now: Moment) {
        if !whose.is_ours() {
            return;
        }
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).asked.replace(now);
        if before.is_some_and(|before| now.since(before.mono) < APART) {
            self.foul(None, Broken::AsksTooOften, now);
        }
    }

    /// All so far.
    pub(super) fn fouls(&self) -> Vec<Foul> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fouls.clone()
    }
}
