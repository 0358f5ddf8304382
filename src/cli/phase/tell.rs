//! Telling: a phase becomes a row of the journal, which running dashboards watch.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::out::Out;
use crate::cli::wire::{World, journal_path};
use crate::journal::Journal;
use crate::residency::record::{Happened, PhaseRecord, Record};

/// How long the disk may take: the agent waits for it, and its model is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes it down; says why where that cannot be, and whether it could.
pub(super) async fn tell(phase: PhaseRecord, world: &World, out: &mut Out<'_>) -> bool {
    let record =
        Record { at: (world.clock)().wall, server: world.config.url.clone(), what: Happened::Phase(phase) };
    let why = match tokio::time::timeout(PATIENCE, keep(record, world)).await {
        Ok(Ok(())) => return true,
        Ok(Err(why)) => why,
        Err(_) => "the disk takes too long".to_owned(),
    };
    out.remark(&format!("dashboards are not told of it: {why}"));
    false
}

/// Opens the journal, writes one row, closes it.
async fn keep(record: Record, world: &World) -> Result<(), String> {
    let path = journal_path().ok_or("no home directory to keep a journal in")?;
    let journal =
        Journal::open(&path, Arc::clone(&world.clock), &world.stop).map_err(|error| error.to_string())?;
    drop(record);
    journal.close().await;
    Ok(())
}
