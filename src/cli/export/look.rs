//! One look: what the engine knows and what the journal counted, as an exposition. It only looks: nothing acts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::exposition::Exposition;
use super::{counters, gauges};
use crate::cli::ready;
use crate::engine::{Command, Handle};
use crate::journal::history;
use crate::residency::budget::Limits;
use crate::residency::guard::Keeping;
use crate::residency::snapshot::{Reach, Snapshot};
use crate::residency::tally::Count;
use crate::residency::timing::Clock;

/// The journal is counted through at most this often, however many ask.
const COUNTED: Duration = Duration::from_secs(5);
/// How long the first answer of the server is waited for.
const FIRST: Duration = Duration::from_secs(3);

/// What an exporter looks at.
pub struct Looker {
    /// The engine, which asks the server as for a dashboard.
    pub handle: Handle,
    /// The one clock.
    pub clock: Clock,
    /// What the journal calls the server.
    pub server: String,
    /// The config's budget.
    pub limits: Limits,
    /// The journal; `None` without a place for one.
    pub journal: Option<PathBuf>,
    /// Says who acts by itself.
    pub keeping: Box<dyn Fn(&Keeping) -> Keeping + Send + Sync>,
    /// What was counted last.
    pub counted: Mutex<Counted>,
}

/// What was counted last, and when.
#[derive(Default)]
pub struct Counted {
    at: Option<Instant>,
    tally: Arc<[Count]>,
    /// The engine was asked to learn from the past.
    recalled: bool,
    trouble: Option<String>,
}

impl Looker {
    /// All that is known now, once the server was asked at all.
    pub async fn look(&self) -> Exposition {
        let mut handle = self.handle.clone();
        let was_asked =
            |snapshot: &Snapshot| snapshot.servers.iter().all(|server| server.reach != Reach::Connecting);
        ready::all(&mut handle, Instant::now() + FIRST, |snapshot| !was_asked(snapshot)).await;
        self.told(&handle.snapshot()).await
    }

    /// All that a snapshot and the journal say.
    pub(super) async fn told(&self, snapshot: &Snapshot) -> Exposition {
        let mut all = Exposition::default();
        let snapshot = Snapshot { keeping: (self.keeping)(&snapshot.keeping), ..snapshot.clone() };
        gauges::put(&mut all, &snapshot, &self.server, self.limits);
        counters::put(&mut all, &self.tally().await, &self.server);
        all
    }

    /// Why the journal could not be counted at the last look, if it could not.
    pub async fn trouble(&self) -> Option<String> {
        self.counted.lock().await.trouble.clone()
    }

    /// What the journal counted. A journal that cannot be read now counts nothing: a gap, where an old number would be a
    /// lie.
    async fn tally(&self) -> Arc<[Count]> {
        // Who only looks makes no journal.
        let Some(journal) = self.journal.as_deref().filter(|journal| journal.exists()) else {
            return Arc::default();
        };
        let mut counted = self.counted.lock().await;
        if !counted.recalled {
            counted.recalled = self.handle.send(Command::Recall).is_ok();
        }
        if counted.at.is_some_and(|at| at.elapsed() < COUNTED) {
            return Arc::clone(&counted.tally);
        }
        let answer = match history::tally(journal, self.server.clone(), (self.clock)().wall) {
            Ok(answer) => answer.await.unwrap_or_else(|_| Err("the journal gave no answer".to_owned())),
            Err(error) => Err(format!("the journal cannot be read: {error}")),
        };
        counted.at = Some(Instant::now());
        (counted.tally, counted.trouble) = match answer {
            Ok(tally) => (tally.into(), None),
            Err(why) => (Arc::default(), Some(why)),
        };
        Arc::clone(&counted.tally)
    }
}
