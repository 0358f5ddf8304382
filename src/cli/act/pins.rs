//! What acts have to do with pins: what is known of them first, whether one more has room, and which end.

use std::time::Duration;

use tokio::time::timeout;

use super::Request;
use crate::config::Confirm;
use crate::engine::Handle;
use crate::residency::act::ActKind;
use crate::residency::bytes::Bytes;
use crate::residency::guard::room::{Room, room};
use crate::residency::host::Cards;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;

/// How long the journal and the cards are waited for.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// How long the look is waited for that shows whether pinned models went: where the server must not be asked often it
/// comes a second after the one before.
const SEEN: Duration = Duration::from_secs(2);

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

/// The models beside this one that are pinned in VRAM now.
pub(in crate::cli) fn others(snapshot: &Snapshot, model: &ModelName) -> Vec<ModelName> {
    let models = snapshot.servers.iter().flat_map(|server| &server.models);
    models.filter(|other| other.pinned && other.name != *model).map(|other| other.name.clone()).collect()
}

/// Which of the models that were pinned went for `model`. It waits for the look that shows that one: by then it is
/// remembered too that their pins rest.
pub(in crate::cli) async fn rest(
    handle: &mut Handle,
    model: &ModelName,
    pinned: &[ModelName],
) -> Vec<ModelName> {
    if pinned.is_empty() {
        return Vec::new();
    }
    let is_loaded = |snapshot: &Snapshot, name: &ModelName| {
        let model = snapshot.servers.first().and_then(|server| server.model(name));
        model.is_some_and(|model| model.loaded.is_some())
    };
    // One that stays unseen says nothing of the others.
    let _ = timeout(SEEN, handle.snapshots.wait_for(|snapshot| is_loaded(snapshot, model))).await;
    let snapshot = handle.snapshot();
    pinned.iter().filter(|name| !is_loaded(&snapshot, name)).cloned().collect()
}

/// Whether the model is meant to stay, so that an unload or another keep_alive ends that.
pub(super) fn ends(snapshot: &Snapshot, model: &ModelName) -> bool {
    let is_wished = |name: &ModelName| snapshot.servers.first()?.model(name).map(|model| model.wished);
    is_wished(model).unwrap_or(false)
}

/// What there is to say of another keep_alive.
pub(super) fn another(before: &Snapshot, model: &ModelName, time: KeepAlive) -> String {
    let pin = if ends(before, model) { "; its pin is over" } else { "" };
    format!("goes {time} after its last use{pin}")
}

/// Whether a pin is to go of a model that the server no longer has.
pub(super) fn is_unpinned_unseen(snapshot: &Snapshot, kind: ActKind, model: &ModelName) -> bool {
    kind == ActKind::Unpin && snapshot.keeping.pin(model).is_some()
}
