//! Pins that are enforced: when a keep_alive is set for ever again, when a model is brought back, and when that is given
//! up, so that a client that insists, or two pins that cannot both fit, never make an eviction loop.

use std::time::Duration;

use jiff::Timestamp;

use crate::residency::name::ModelName;
use crate::residency::timing::Moment;

/// An overwritten keep_alive is set again after this long at first: an unpin by another instance is heard of by then.
const ASSERT: Duration = Duration::from_secs(3);
/// The longest pause before it is set again.
const ASSERT_MOST: Duration = Duration::from_secs(60);
/// A model is brought back after this long at first.
const BACK: Duration = Duration::from_secs(5);
/// A pin that rests comes back when nothing has been in its way for so long.
const ROOM: Duration = Duration::from_secs(30);
/// One that was given up is tried again when nothing has been in its way for so long.
const PEACE: Duration = Duration::from_secs(900);
/// So often it is brought back within [`WITHIN`]; then whoever insists wins.
pub const TRIES: u32 = 4;
/// The time within which tries count.
pub const WITHIN: Duration = Duration::from_secs(3600);
/// A keep_alive that was left alone for this long begins with the first pause again.
const CALM: Duration = Duration::from_secs(600);
/// With less time left than this a touch may come too late and load the model anew.
pub const TOO_LATE: Duration = Duration::from_secs(2);

/// What is known of one pin now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is true of a pin by itself")]
pub struct Fact {
    /// Which model.
    pub model: ModelName,
    /// Where it is.
    pub place: Place,
    /// An act of ours runs or waits for it.
    pub under_way: bool,
    /// A swap of ours displaced it.
    pub suspended: bool,
    /// It was given up before this guard began.
    pub gave_up: bool,
    /// Its files are on the disk and can be read into RAM first.
    pub cold: bool,
    /// It is looked at again after so long.
    pub next_look: Duration,
}

/// Where a pinned model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In VRAM for ever.
    Held,
    /// In VRAM, and expires after so long; `None` where that cannot be said.
    Expires(Option<Duration>),
    /// Not in VRAM.
    Away {
        /// What it would displace.
        displaces: Displaces,
        /// What was loaded in its place, where that is known.
        by: Option<ModelName>,
        /// How long nobody has used what it would displace.
        quiet: Duration,
    },
    /// It cannot be loaded: not installed, or it runs in the cloud.
    Nowhere,
}

/// What bringing a model back would displace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Displaces {
    /// Nothing.
    Nothing,
    /// Idle models that nobody pinned.
    Idle,
    /// A model at work, or pinned, whoever pinned it.
    Precious,
    /// Nobody can say, and models are loaded.
    Unknown,
}

/// What is done for a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Its keep_alive is set for ever again.
    Assert,
    /// Its files are read into RAM, so that its way back is short.
    Warm,
    /// It is loaded for the first time since this guard began: by the config it is to be there.
    BringIn,
    /// It is loaded again.
    BringBack,
    /// It is brought back no more; this model was loaded in its place.
    GiveUp(Option<ModelName>),
}

/// What the guard remembers of one pin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// When it was seen overwritten, and when it was set again last.
    overwritten: Option<Moment>,
    asserted: Option<Moment>,
    asserts: u32,
    /// Since when it is away.
    away: Option<Moment>,
    /// It was in VRAM while this guard looked.
    seen: bool,
    warmed: bool,
    /// When it was brought back, within [`WITHIN`].
    backs: Vec<Moment>,
    gave_up: bool,
}

impl Memory {
    /// How often it was brought back lately.
    pub fn tries(&self) -> u32 {
        u32::try_from(self.backs.len()).unwrap_or(u32::MAX)
    }

    /// Whether the model was in VRAM while this guard looked.
    pub fn was_there(&self) -> bool {
        self.seen
    }

    /// When a model that is away is brought back, to the second, if nothing else changes and it still is to be waited.
    pub fn comes_at(&self, displaces: Displaces, quiet: Duration, now: Moment) -> Option<Timestamp> {
        let pause = BACK * 2_u32.saturating_pow(self.tries());
        let away = self.away.map_or(Duration::ZERO, |away| now.since(away.mono));
        let rest = match displaces {
            Displaces::Nothing => pause.saturating_sub(away),
            Displaces::Idle | Displaces::Unknown => pause.saturating_sub(away.min(quiet)),
            Displaces::Precious => return None,
        };
        let at = now.wall.checked_add(rest).ok().filter(|_| !rest.is_zero())?;
        at.round(jiff::Unit::Second).ok()
    }

    /// Nobody looks for a while: how long something has been so is not known any more.
    pub fn look_away(&mut self) {
        (self.overwritten, self.away) = (None, None);
    }

    /// The user acted, or the server restarted: all begins anew.
    pub fn forget(&mut self) {
        *self = Memory { seen: self.seen, ..Memory::default() };
    }

    /// What is to be done now; what is done is remembered. While a load is pending nothing is begun.
    pub fn turn(&mut self, fact: &Fact, load_pending: bool, now: Moment) -> Option<Deed> {
        self.backs.retain(|back| now.since(back.mono) < WITHIN);
        match &fact.place {
            Place::Nowhere => None,
            Place::Held => {
                self.is_there();
                (self.seen, self.warmed) = (true, false);
                (self.overwritten, self.away) = (None, None);
                if self.asserted.is_some_and(|asserted| now.since(asserted.mono) >= CALM) {
                    (self.asserts, self.asserted) = (0, None);
                }
                None
            }
            Place::Expires(left) => {
                self.is_there();
                (self.seen, self.warmed, self.away) = (true, false, None);
                let overwritten = *self.overwritten.get_or_insert(now);
                let may = !fact.under_way && !fact.suspended && !load_pending;
                let in_time = left.is_none_or(|left| left > TOO_LATE);
                // An answer of the server may be missed: it is set again while there are two looks left.
                let is_last = left.is_some_and(|left| left <= TOO_LATE + 2 * fact.next_look);
                let waited_enough = is_last || now.since(overwritten.mono) >= self.assert_pause();
                if !may || !in_time || !waited_enough {
                    return None;
                }
                self.asserts += 1;
                (self.asserted, self.overwritten) = (Some(now), None);
                Some(Deed::Assert)
            }
            Place::Away { displaces, by, quiet } => {
                let away = *self.away.get_or_insert(now);
                self.overwritten = None;
                if fact.under_way || load_pending {
                    return None;
                }
                // Where there is room by now it hurts nobody, whoever took its place before.
                let pause = if self.gave_up || fact.gave_up { PEACE } else { ROOM };
                let is_free = *displaces == Displaces::Nothing && now.since(away.mono) >= pause;
                if (fact.suspended || self.gave_up || fact.gave_up) && !is_free {
                    return None;
                }
                if self.gave_up || fact.gave_up {
                    self.gave_up = false;
                    self.backs.clear();
                }
                if self.tries() >= TRIES {
                    self.gave_up = true;
                    return Some(Deed::GiveUp(by.clone()));
                }
                self.bring_back(fact, *displaces, now.since(away.mono), *quiet, now)
            }
        }
    }

    /// In VRAM: how often it was tried to bring it there at first no longer counts.
    fn is_there(&mut self) {
        if !self.seen {
            self.backs.clear();
        }
    }

    fn bring_back(
        &mut self,
        fact: &Fact,
        displaces: Displaces,
        away: Duration,
        quiet: Duration,
        now: Moment,
    ) -> Option<Deed> {
        let pause = BACK * 2_u32.saturating_pow(self.tries());
        let may = match displaces {
            Displaces::Nothing => true,
            Displaces::Precious => false,
            // Nothing is thrown out for a model that this guard never saw in VRAM: starting the program evicts nobody.
            Displaces::Idle | Displaces::Unknown => self.seen && quiet >= pause,
        };
        if away < pause || !may {
            return None;
        }
        if fact.cold && !std::mem::replace(&mut self.warmed, true) {
            return Some(Deed::Warm);
        }
        self.backs.push(now);
        (self.away, self.warmed) = (None, false);
        Some(if self.seen { Deed::BringBack } else { Deed::BringIn })
    }

    /// Twice as long each time.
    fn assert_pause(&self) -> Duration {
        (ASSERT * 2_u32.saturating_pow(self.asserts)).min(ASSERT_MOST)
    }
}

#[cfg(test)]
mod tests;
