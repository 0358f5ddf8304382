//! Telling: a phase becomes a row of the journal, which running dashboards watch.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::state::journal_path;
use crate::cli::wire::World;
use crate::journal::{Journal, Opened, history};
use crate::residency::record::{Happened, PhaseRecord, Record, server_name};
use crate::residency::text::printable;
use crate::sim::Sim;

/// How long the disk may take: the agent waits for it, though its model is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way into the journal, or why there is none. It is opened while the server is asked.
pub(super) struct Teller<'a> {
    journal: Result<Journal, String>,
    world: &'a World,
}

impl Teller<'_> {
    pub(super) fn open(world: &World) -> Teller<'_> {
        let journal = journal_path(world.sim.is_some())
            .ok_or_else(|| "no home directory to keep a journal in".to_owned());
        let journal = journal.and_then(|path| {
            Journal::open(&path, Arc::clone(&world.clock), &world.stop).map_err(|error| error.to_string())
        });
        Teller { journal, world }
    }

    /// Writes a phase down, or says why it could not be. What is given back is to be said: the journal began anew.
    pub(super) async fn tell(self, phase: PhaseRecord) -> Result<Option<String>, String> {
        let at = (self.world.clock)().wall;
        let record = Record { at, server: server(self.world), what: Happened::Phase(phase) };
        let told = tokio::time::timeout(PATIENCE, write(self.journal?, record)).await;
        told.unwrap_or_else(|_| Err("the disk takes too long".to_owned()))
    }
}

/// Why a run cannot be told to be over: nobody told of its beginning, or it is over already. A journal that cannot be read
/// has its say when it is told.
pub(super) async fn why_not_over(world: &World, run: &str) -> Option<String> {
    let path = journal_path(world.sim.is_some())?;
    let asked = history::latest_phase(&path, server(world), run.to_owned()).ok()?;
    let latest = tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?.ok()?;
    let run = printable(run);
    match latest.as_deref() {
        None => {
            Some(format!("no run {run} is known at this server; --run wants what its phases were told with"))
        }
        Some("") => Some(format!("the run {run} is over already")),
        Some(_) => None,
    }
}

/// The server, as records name it.
fn server(world: &World) -> String {
    server_name(&world.config.url, world.sim.as_ref().map(Sim::scale))
}

/// Waits until the row is in the file. Nobody waits for the file to be closed: it survives any end.
async fn write(mut journal: Journal, record: Record) -> Result<Option<String>, String> {
    let gone = || "the journal's thread has ended".to_owned();
    let opened = match journal.state.wait_for(|state| state.opened.is_some()).await {
        Ok(state) => state.opened.clone(),
        Err(_) => None,
    };
    let anew = match opened {
        Some(Err(why)) => return Err(why),
        Some(Ok(Opened::MovedAside { to, why })) => {
            Some(format!("the journal was unusable ({why}) and lies at {} now", to.display()))
        }
        Some(Ok(Opened::Fresh | Opened::Existing)) | None => None,
    };
    journal.record(vec![record]).map_err(|(why, _)| why.to_string())?;
    // Whose answer comes, nobody has to let go of anything for it: what was told before it is written then.
    let written = journal.ask_release(Vec::new()).map_err(|why| why.to_string())?;
    written.await.map_err(|_| gone())??;
    Ok(anew)
}
