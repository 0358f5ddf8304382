//! Start-up: the primary model into VRAM first, then the preload list into RAM, in its order; nobody is evicted for it.

use std::time::Duration;

use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::timing::Moment;

/// What start-up does, or did.
#[derive(Debug, Clone, PartialEq)]
pub struct Startup {
    /// When it began.
    pub began: Moment,
    /// The primary model first, then the list in its order.
    pub items: Vec<Item>,
    /// When the latest of them was where it was to be.
    pub latest: Option<Moment>,
    /// How long it all took, once nothing is left to be done.
    pub took: Option<Duration>,
}

/// One model.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which.
    pub model: ModelName,
    /// Where it is to be.
    pub goal: Goal,
    /// How far it is.
    pub state: ItemState,
}

/// Where a model is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// In VRAM.
    Vram,
    /// In RAM, or nearer.
    Ram,
}

/// How far one model is.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemState {
    /// Its turn has not come.
    Queued,
    /// Its turn has come, and something is in the way.
    Waits(String),
    /// It is loaded or read.
    Working,
    /// It is where it was to be.
    Ready {
        /// How long that took.
        took: Duration,
        /// What came from the disk for it, where our reader read it.
        read: Option<Bytes>,
    },
    /// It was there already.
    There,
    /// It is not installed.
    Missing,
    /// It did not work.
    Failed(String),
    /// The user does not want it.
    Skipped,
}

impl ItemState {
    /// Whether there is nothing left to be done.
    pub fn is_over(&self) -> bool {
        !matches!(self, ItemState::Queued | ItemState::Waits(_) | ItemState::Working)
    }

    /// Whether the model is where it was to be.
    pub fn is_ready(&self) -> bool {
        matches!(self, ItemState::Ready { .. } | ItemState::There)
    }
}

/// What is known of one model now.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// It is not installed.
    Missing,
    /// It is where it is to be.
    There,
    /// It is not.
    Away {
        /// What is in the way of it, in words for the user.
        blocked: Option<String>,
    },
    /// That is not known yet.
    Unknown,
}

/// How an act for a model ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// It is done.
    Done {
        /// How long it took.
        took: Duration,
        /// What our reader read of it.
        read: Option<Bytes>,
    },
    /// The user cancelled it.
    Cancelled,
    /// It did not work.
    Failed(String),
}

impl Startup {
    /// The primary model, if there is one, then the list without it; `all` of them go into VRAM where that is how a
    /// server on another machine is preloaded.
    pub fn new(primary: Option<&ModelName>, list: &[ModelName], all: Goal, now: Moment) -> Startup {
        let item = |model: &ModelName, goal| Item { model: model.clone(), goal, state: ItemState::Queued };
        let first = primary.map(|model| item(model, Goal::Vram));
        let rest = list.iter().filter(|model| Some(*model) != primary).map(|model| item(model, all));
        Startup { began: now, items: first.into_iter().chain(rest).collect(), latest: None, took: None }
    }

    /// Goes on as far as it can: which of the models is to be moved now. One is moved at a time.
    pub fn turn(&mut self, fact: impl Fn(&Item) -> Fact, now: Moment) -> Option<usize> {
        let mut is_working = self.items.iter().any(|item| item.state == ItemState::Working);
        let mut begins = None;
        for (at, item) in self.items.iter_mut().enumerate() {
            if item.state.is_ready() && item.goal == Goal::Vram && matches!(fact(item), Fact::Away { .. }) {
                item.state = ItemState::Failed("it left VRAM again".to_owned());
            }
            if item.state.is_over() || item.state == ItemState::Working {
                continue;
            }
            item.state = match fact(item) {
                Fact::Missing => ItemState::Missing,
                Fact::There => ItemState::There,
                // Its order holds, but what has begun before it goes on.
                Fact::Unknown => break,
                Fact::Away { .. } if is_working => continue,
                Fact::Away { blocked: Some(why) } => ItemState::Waits(why),
                Fact::Away { blocked: None } => {
                    (is_working, begins) = (true, Some(at));
                    ItemState::Working
                }
            };
        }
        self.end_if_over(now);
        begins
    }

    /// Takes the end of the act for one model; it is over by a later turn, which sees what that left.
    pub fn ended(&mut self, at: usize, end: End, now: Moment) {
        if let Some(item) = self.items.get_mut(at) {
            item.state = match end {
                End::Done { took, read } => ItemState::Ready { took, read },
                End::Cancelled => ItemState::Skipped,
                End::Failed(why) => ItemState::Failed(why),
            };
            self.latest = Some(now);
        }
    }

    /// The user does not want that model moved, or none of what is left.
    pub fn skip(&mut self, model: Option<&ModelName>, now: Moment) {
        for item in &mut self.items {
            let is_meant = model.is_none_or(|model| item.model == *model);
            if is_meant && matches!(item.state, ItemState::Queued | ItemState::Waits(_)) {
                item.state = ItemState::Skipped;
            }
        }
        self.end_if_over(now);
    }

    /// Whether something is left to be done.
    pub fn is_live(&self) -> bool {
        self.took.is_none()
    }

    /// Whether nothing goes on before something else leaves.
    pub fn is_stuck(&self) -> bool {
        let open = || self.items.iter().filter(|item| !item.state.is_over());
        open().next().is_some() && open().all(|item| matches!(item.state, ItemState::Waits(_)))
    }

    /// The primary model, or whichever is to be in VRAM first.
    pub fn primary(&self) -> Option<&Item> {
        self.items.first().filter(|item| item.goal == Goal::Vram)
    }

    fn end_if_over(&mut self, now: Moment) {
        if self.took.is_none() && self.items.iter().all(|item| item.state.is_over()) {
            self.took = Some(self.latest.unwrap_or(now).since(self.began.mono));
        }
    }
}

#[cfg(test)]
mod tests;
