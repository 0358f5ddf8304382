//! The JSON of `preload`: one document when it has ended.

use serde_json::{Value, json as object};

use super::teller::Teller;
use super::{End, Request, Wanted, started};
use crate::cli::Exit;
use crate::cli::status::{script_name, seconds};
use crate::residency::guard::startup::{Goal, Item, ItemState, Startup};
use crate::residency::snapshot::Snapshot;

/// The version of the JSON; it rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

pub(super) fn json(
    snapshot: &Snapshot,
    request: &Request,
    end: &End,
    exit: Exit,
    teller: &Teller<'_>,
) -> Value {
    let startup = started(snapshot);
    let outcome = match end {
        End::Over if exit == Exit::Done => "done",
        End::Over => "incomplete",
        End::Stuck => "waits",
        End::Interrupted => "cancelled",
        End::TimedOut(_) => "timed_out",
        End::NoServer(_) => "no_server",
        End::Failed(_) => "failed",
    };
    let error = match end {
        End::Over | End::Stuck | End::Interrupted => Value::Null,
        End::TimedOut(why) | End::NoServer(why) | End::Failed(why) => why.as_str().into(),
    };
    let took =
        |startup: &Startup| seconds(startup.took.unwrap_or_else(|| snapshot.at.since(startup.began.mono)));
    let items = startup.map_or(&[][..], |startup| &startup.items);
    let models =
        items.iter().enumerate().map(|(at, item)| model(item, teller.reason(snapshot, at, item).as_deref()));
    object!({
        "schema_version": SCHEMA_VERSION,
        "act": "preload",
        "server": snapshot.servers.first().map(|server| server.url.as_str()),
        "wanted": match request.wanted { Wanted::Primary => "primary", Wanted::All => "all" },
        "outcome": outcome,
        "exit_code": exit as u8,
        "error": error,
        "took_seconds": startup.map(took),
        "primary": request.primary.as_ref().map(script_name),
        "models": models.collect::<Vec<_>>(),
    })
}

fn model(item: &Item, why: Option<&str>) -> Value {
    let (took, read) = match &item.state {
        ItemState::Ready { took, read } => (Some(seconds(*took)), *read),
        _ => (None, None),
    };
    object!({
        "model": script_name(&item.model),
        "goal": match item.goal { Goal::Vram => "vram", Goal::Ram => "ram" },
        "state": match &item.state {
            ItemState::Ready { .. } | ItemState::There => "ready",
            ItemState::Waits(_) => "waits",
            ItemState::Missing => "missing",
            ItemState::Failed(_) => "failed",
            ItemState::Skipped => "cancelled",
            ItemState::Queued => "queued",
            ItemState::Working => "under_way",
        },
        "already": item.state == ItemState::There,
        "took_seconds": took,
        "read_bytes": read,
        "error": why,
    })
}
