//! One look: what the engine knows and what the journal counted, as an exposition. It only looks: nothing acts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::exposition::Exposition;
use super::{catalogue, counters, gauges};
use crate::cli::ready;
use crate::engine::{Command, Handle};
use crate::journal::history::{self, Answer, Tally};
use crate::residency::budget::Limits;
use crate::residency::guard::Keeping;
use crate::residency::snapshot::{Reach, Snapshot};
use crate::residency::tally::Count;
use crate::residency::timing::Clock;

/// The journal is counted through at most this often, however many ask.
const COUNTED: Duration = Duration::from_secs(5);
/// How long a scrape waits for its answer, which then comes with the next one: only the first count takes long.
const ANSWER: Duration = Duration::from_secs(3);
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
    /// What was counted so far.
    tally: Tally,
    /// What the journal said, or why it said nothing; `None` where there is none.
    said: Option<Result<Arc<[Count]>, String>>,
    /// It was asked and has not answered yet.
    asked: Option<Answer<Tally>>,
    /// The engine was asked to learn from the past.
    recalled: bool,
}

impl Looker {
    /// All that is known now, once the server was asked at all.
    pub async fn look(&self) -> Exposition {
        let mut handle = self.handle.clone();
        let unasked =
            |snapshot: &Snapshot| snapshot.servers.iter().any(|server| server.reach == Reach::Connecting);
        ready::all(&mut handle, Instant::now() + FIRST, unasked).await;
        self.told(&handle.snapshot(), ANSWER).await.0
    }

    /// All that a snapshot and the journal say; and why the journal says nothing, if it cannot.
    pub(super) async fn told(&self, snapshot: &Snapshot, patience: Duration) -> (Exposition, Option<String>) {
        let mut all = Exposition::default();
        let snapshot = Snapshot { keeping: (self.keeping)(&snapshot.keeping), ..snapshot.clone() };
        gauges::put(&mut all, &snapshot, &self.server, self.limits);
        let trouble = match self.tally(patience).await {
            Some(Ok(tally)) => {
                counters::put(&mut all, &tally, &self.server);
                None
            }
            Some(Err(why)) => Some(why),
            None => return (all, None),
        };
        let server = vec![("server", self.server.clone())];
        all.put(&catalogue::JOURNAL, server, trouble.is_none().into());
        (all, trouble)
    }

    /// Has the engine learn from the past, where there is one; forecasts come of it. Whether it does.
    pub(super) async fn recall(&self) -> bool {
        let mut counted = self.counted.lock().await;
        let is_there = self.journal.as_deref().is_some_and(Path::exists);
        counted.recalled = counted.recalled || is_there && self.handle.send(Command::Recall).is_ok();
        counted.recalled
    }

    /// What the journal counted. One that cannot be read now counts nothing: a gap, where an old number would
    /// be a lie.
    async fn tally(&self, patience: Duration) -> Option<Result<Arc<[Count]>, String>> {
        // Who only looks makes no journal.
        let journal = self.journal.as_deref().filter(|journal| journal.exists())?;
        self.recall().await;
        let mut counted = self.counted.lock().await;
        if counted.at.is_none_or(|at| at.elapsed() >= COUNTED) {
            let now = (self.clock)().wall;
            counted.said = Some(counted.ask(journal, &self.server, now, patience).await);
            counted.at = Some(Instant::now());
        }
        counted.said.clone()
    }
}

impl Counted {
    /// Asks, and waits a little. On a disk that hangs one question waits, never many.
    async fn ask(
        &mut self,
        journal: &Path,
        server: &str,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Arc<[Count]>, String> {
        let asked = match self.asked.take() {
            Some(asked) => asked,
            None => history::tally(journal, server.to_owned(), std::mem::take(&mut self.tally), now)
                .map_err(|error| format!("the journal cannot be read: {error}"))?,
        };
        let asked = self.asked.insert(asked);
        let Ok(answer) = timeout(patience, asked).await else {
            return Err("the journal does not answer in time".to_owned());
        };
        self.asked = None;
        self.tally = answer.unwrap_or_else(|_| Err("the journal gave no answer".to_owned()))?;
        Ok(Arc::from(self.tally.counts()))
    }
}
