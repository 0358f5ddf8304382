//! Pins: models that somebody wants in VRAM until he says otherwise, as instances remember them between them.

use jiff::Timestamp;

use super::keep_alive::KeepAlive;
use super::name::ModelName;

/// A pin as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Which model.
    pub model: ModelName,
    /// Since when.
    pub since: Timestamp,
    /// Who wants it.
    pub whose: Whose,
    /// Its keep_alive before the pin, which an unpin gives back.
    pub before: Option<KeepAlive>,
    /// A swap of ours displaced it: it rests until the model is swapped back.
    pub suspended: Option<Suspended>,
    /// How often it was brought back lately.
    pub tries: u32,
    /// It is brought back no more until the user acts or the server restarts.
    pub gave_up: Option<GaveUp>,
}

/// Who wants a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The user asked for it, by key or by command.
    User,
    /// The config does, or another client had pinned the model: only what became of it is remembered.
    Other,
    /// The config does, but the user let it go since.
    Released,
}

impl Whose {
    /// The word for it in files.
    pub fn word(self) -> &'static str {
        match self {
            Whose::User => "user",
            Whose::Other => "other",
            Whose::Released => "released",
        }
    }

    /// Reads the word; one that is not known wants nothing.
    pub fn of_word(word: &str) -> Whose {
        match word {
            "user" => Whose::User,
            "released" => Whose::Released,
            _ => Whose::Other,
        }
    }
}

/// A swap took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// For which model.
    pub by: ModelName,
    /// When.
    pub since: Timestamp,
}

/// It was brought back too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaveUp {
    /// What was loaded in its place, where that is known.
    pub by: Option<ModelName>,
    /// When.
    pub at: Timestamp,
}

/// What is to be remembered of a model from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The user pins it; what was remembered of tries is over.
    Pin {
        /// Its keep_alive before, where that is known; what was known already is kept.
        before: Option<KeepAlive>,
    },
    /// The user lets it go; with `configured` that holds against the config.
    Unpin {
        /// The config wants it pinned.
        configured: bool,
    },
    /// A swap of ours displaced it.
    Suspend {
        /// The model that took its place.
        by: ModelName,
    },
    /// It is back after that.
    Resume,
    /// So often it was brought back lately, and whether that is over.
    Tried {
        /// How often.
        tries: u32,
        /// It is brought back no more.
        gave_up: Option<GaveUp>,
    },
    /// What the config wants holds again.
    Anew,
}
