//! Guards: what the keeper does by itself, decided from facts and the time alone; and what it says of that.
//!
//! | file | subject |
//! |---|---|
//! | `claim` | how far each of several instances may act, and why one does not |
//! | `pins` | a pin is re-asserted, its model brought back, and given up where somebody insists |
//! | `hindrance` | why a pinned model is not in VRAM |
//! | `room` | whether pins have room on the card together |
//! | `refresh` | when the countdown of a model in use is restarted |
//! | `startup` | what is loaded and read when the program starts |
//!
//! The engine's `keep` turns decisions into acts.

pub mod claim;
pub mod hindrance;
pub mod pins;
pub mod refresh;
pub mod room;
pub mod startup;

use std::sync::Arc;

use jiff::Timestamp;

use super::keep_alive::KeepAlive;
use super::name::ModelName;
use claim::Onlooker;
use hindrance::Hindrance;
use startup::Startup;

/// What acts by itself, as front ends show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keeping {
    /// The one instance that acts by itself; `None` where that is not known, or there is none.
    pub keeper: Option<Keeper>,
    /// The instance that would act here but does not: this one, or as `status` sees it one that watches the server while
    /// nobody acts.
    pub idle: Option<Onlooker>,
    /// The user has stopped all that acts by itself here.
    pub hands_off: bool,
    /// What acts by itself here now.
    pub auto: Vec<Auto>,
    /// All pins, by name; `None` before they are known.
    pub pins: Option<Arc<Vec<Pinned>>>,
    /// What start-up does, or did last.
    pub startup: Option<Arc<Startup>>,
}

impl Keeping {
    /// The pin of a model, if it has one.
    pub fn pin(&self, model: &ModelName) -> Option<&Pinned> {
        self.pins.as_ref()?.iter().find(|pin| pin.model == *model)
    }
}

/// Which instance acts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// This one.
    This,
    /// The process with this pid.
    Other(u32),
}

/// One thing that acts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto {
    /// Models of the preload list that are in use stay.
    Refresh,
    /// Pins are enforced.
    Pins,
    /// What an agent's next phase needs is read.
    Agents,
    /// The primary model comes back after an agent's run.
    Return,
    /// The preload list is loaded and read, once.
    Startup,
}

impl Auto {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Auto::Refresh => "refresh",
            Auto::Pins => "pins",
            Auto::Agents => "agents",
            Auto::Return => "return",
            Auto::Startup => "start-up",
        }
    }
}

/// A pin and how it is with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Which model.
    pub model: ModelName,
    /// Since when; `None` for one of the config that nothing is remembered of.
    pub since: Option<Timestamp>,
    /// The config wants it, the user did not ask.
    pub configured: bool,
    /// The keep_alive that an unpin gives back, where it is known.
    pub before: Option<KeepAlive>,
    /// How it is with it.
    pub state: PinState,
    /// How often it was brought back lately.
    pub tries: u32,
}

/// How it is with a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinState {
    /// It is in VRAM for ever.
    Held,
    /// It is in VRAM, but another client set its keep_alive.
    Overridden,
    /// A swap of ours displaced it, for this model.
    Suspended(ModelName),
    /// It is not in VRAM, and why, where that can be said.
    Away(Option<Hindrance>),
    /// It is brought back no more: this model was loaded in its place, where that is known.
    GaveUp(Option<ModelName>),
}

impl PinState {
    /// Whether the user has to do something to have it back.
    pub fn is_over(&self) -> bool {
        matches!(self, PinState::GaveUp(_))
    }
}
