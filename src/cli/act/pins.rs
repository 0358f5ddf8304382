//! What acts have to do with pins: what is known of them first, whether one more has room, and which end.

use std::time::Duration;

use super::Request;
use crate::config::Confirm;
use crate::residency::act::ActKind;
use crate::residency::bytes::Bytes;
use crate::residency::guard::room::{Room, room};
use crate::residency::host::Cards;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;

/// How long the journal and the cards are waited for.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// Whether what is pinned is still to be read, or how much the cards have, where that matters.
pub(in crate::cli) fn lacks(snapshot: &Snapshot, request: &Request) -> bool {
    let cards = snapshot.host.cards.as_ref().map(|reading| &reading.value);
    let is_unread = matches!(cards, None | Some(Cards::Unread));
    let lacks_pins = request.recalls && !request.kind.is_of_ram() && snapshot.keeping.pins.is_none();
    lacks_pins || (request.kind == ActKind::Pin && is_unread)
}

/// Why the model cannot be pinned beside the pins that are there.
pub(super) fn too_much(snapshot: &Snapshot, request: &Request, model: &ModelName) -> Option<String> {
    match beside(snapshot, request.kind, model) {
        Some(Room::TooMuch(why)) if request.confirm != Confirm::Never => Some(why),
        _ => None,
    }
}

/// What is said where it cannot be told whether it has room.
pub(super) fn doubt(snapshot: &Snapshot, request: &Request, model: &ModelName) -> Option<String> {
    match beside(snapshot, request.kind, model) {
        Some(Room::Unknown(why)) => {
            Some(format!("{model}: whether it fits beside the other pins cannot be told: {why}"))
        }
        _ => None,
    }
}

fn beside(snapshot: &Snapshot, kind: ActKind, model: &ModelName) -> Option<Room> {
    let server = snapshot.servers.first().filter(|_| kind == ActKind::Pin)?;
    let cards: Vec<Bytes> = snapshot.host.card_list().iter().map(|card| card.total).collect();
    Some(room(server, &snapshot.keeping, &cards, model))
}

/// Whether the model is meant to stay, so that an unload ends that.
pub(super) fn ends(snapshot: &Snapshot, model: &ModelName) -> bool {
    let is_wished = |name: &ModelName| snapshot.servers.first()?.model(name).map(|model| model.wished);
    is_wished(model).unwrap_or(false)
}

/// Whether a pin is to go of a model that the server no longer has.
pub(super) fn is_unpinned_unseen(snapshot: &Snapshot, kind: ActKind, model: &ModelName) -> bool {
    kind == ActKind::Unpin && snapshot.keeping.pin(model).is_some()
}
