//! Room: whether a model can be pinned beside the pins that are there, before that is promised.

use super::Keeping;
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Server};

/// What is known of the room for one more pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// All fit together.
    Fits,
    /// They cannot all be in VRAM: why, in words for the user.
    TooMuch(String),
    /// It cannot be told: why.
    Unknown(&'static str),
}

/// Whether `name` can be pinned beside the other pins. A model in VRAM takes what the server reports; another one takes at
/// least its weights.
pub fn room(server: &Server, keeping: &Keeping, cards: &[Bytes], name: &ModelName) -> Room {
    let Some(model) = server.model(name) else { return Room::Fits };
    let card: Bytes = cards.iter().copied().sum();
    let is_other = |other: &&Model| other.name != *name && !other.shared_with.contains(name);
    let is_pin = |other: &&Model| {
        let wished = keeping.pin(&other.name).is_some_and(|pin| !pin.state.is_over());
        wished || (other.pinned && other.has_runner())
    };
    let mut others: Vec<&Model> = Vec::new();
    for other in server.models.iter().filter(is_other).filter(is_pin) {
        if !others.iter().any(|known| known.shared_with.contains(&other.name)) {
            others.push(other);
        }
    }
    if others.is_empty() {
        return Room::Fits;
    }
    if card == Bytes::ZERO {
        return Room::Unknown("the card's memory is not known");
    }
    let takes = |model: &Model| model.loaded.as_ref().map_or(model.size, |loaded| loaded.size_vram);
    let own = takes(model);
    let all = own + others.iter().map(|other| takes(other)).sum();
    if all <= card {
        return Room::Fits;
    }
    let beside: Vec<String> = others.iter().map(|other| other.name.to_string()).collect();
    let about = if model.loaded.is_some() { "" } else { "at least " };
    Room::TooMuch(format!(
        "{own} and the pins there are ({}) take {about}{all} together, the card has {card}",
        beside.join(", ")
    ))
}
