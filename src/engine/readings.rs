//! Readings: what the probes say, taken in when it comes and asked for no oftener than it is worth.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::manager::Manager;
use super::tier::RamTier;
use super::{ask, observe};
use crate::journal::Journal;
use crate::probe::watched::Watched;
use crate::residency::bytes::{Bytes, MIB};
use crate::residency::host::Cards;
use crate::residency::map::Pages;
use crate::residency::name::ModelName;
use crate::residency::timing::{Moment, Reading};

/// Between two rounds of page-cache questions; the probe has its own, slower pace where reading disturbs.
const PAGES_PERIOD: Duration = Duration::from_secs(5);
/// The same while nobody looks.
const PAGES_EASED: Duration = Duration::from_secs(30);
/// The same while a load is under way, whose reading shows in the page cache.
const PAGES_BUSY: Duration = Duration::from_secs(2);
/// Between two readings of main memory while nothing is under way.
const RAM_PERIOD: Duration = Duration::from_millis(1900);
/// Between two rounds the machine's page cache moves by less than this where nobody reads or drops a model.
const PAGES_MOVED: Bytes = Bytes(256 * MIB);

impl Manager {
    /// Whether something is under way that moves bytes.
    pub(super) fn is_busy(&self) -> bool {
        self.acts.any_live() || self.moves_ram() || !self.known.loading.is_empty()
    }

    /// Nobody looks at this server now, or somebody does again.
    pub(super) fn ease(&mut self, eased: bool) {
        self.due.eased = eased;
        let now = self.now();
        if !eased {
            self.due.pages = now;
        }
        self.due.ps = self.next_ps(now);
        self.runners.as_ref().inspect(|runners| runners.ease(eased));
        self.cards.as_ref().inspect(|cards| cards.ease(eased));
    }

    pub(super) fn ask_pages(&mut self, now: Moment) {
        if self.pages.is_none() || now.mono < self.due.pages.mono {
            return;
        }
        let period = match (self.is_busy(), self.due.eased) {
            (true, _) => PAGES_BUSY,
            (false, false) => PAGES_PERIOD,
            (false, true) => PAGES_EASED,
        };
        self.due.pages = Moment { mono: now.mono + period, ..now };
        let closely = self.pages_moved() || self.is_busy();
        let names: Vec<ModelName> = self.known.installed.keys().cloned().collect();
        if let Some(pages) = &self.pages {
            pages.list(ask::readable(&self.known, &names), closely);
        }
    }

    /// Whether somebody has read or dropped much since the last round.
    fn pages_moved(&mut self) -> bool {
        let now = self.known.ram.map(|ram| ram.value.page_cache);
        let then = std::mem::replace(&mut self.due.page_cache, now);
        then.zip(now).is_some_and(|(then, now)| then.0.abs_diff(now.0) >= PAGES_MOVED.0)
    }

    /// Takes a reading of the cards; says whether it says anything new.
    pub(super) fn see_cards(&mut self) -> bool {
        let fresh = |cards: &mut Watched<_>| cards.readings.borrow_and_update().clone();
        let fresh = self.cards.as_mut().and_then(fresh);
        let value = |reading: &Option<Reading<Cards>>| reading.as_ref().map(|reading| reading.value.clone());
        let news = value(&fresh) != value(&self.known.cards);
        let both = fresh.as_ref().zip(self.known.cards.as_ref());
        if both.is_some_and(|(fresh, old)| has_newcomer(&fresh.value, &old.value)) {
            // Whoever just came to a card may be a runner: until that is seen its memory is a stranger's.
            self.runners.as_ref().inspect(|runners| runners.wake());
        }
        self.known.cards = fresh;
        self.known.follow_loads();
        self.known.suspect((self.clock)());
        self.look_at_swaps() || news
    }

    /// Takes the page cache's readings; says whether any size or map differs, or a line of their history.
    pub(super) fn see_pages(&mut self) -> bool {
        let Some(fresh) = self.readings.as_mut().map(|readings| Arc::clone(&readings.borrow_and_update()))
        else {
            return false;
        };
        let old = std::mem::replace(&mut self.known.pages, fresh);
        let same = |(digest, reading): (&String, &Reading<Pages>)| {
            old.get(digest).is_some_and(|old| old.value == reading.value)
        };
        let news = !self.known.pages.iter().all(same);
        if news {
            self.watch_fading();
        }
        self.known.keep_history() || news
    }

    /// Takes a reading of the runners; says whether it says anything new.
    pub(super) fn see_runners(&mut self) -> bool {
        let fresh = |runners: &mut Watched<_>| runners.readings.borrow_and_update().clone();
        let Some(fresh) = self.runners.as_mut().and_then(fresh) else {
            return false;
        };
        let news = self.known.runners.as_ref().map(|reading| &reading.value) != Some(&fresh.value);
        if news {
            self.due.pages = (self.clock)();
        }
        let asked = self.acts.asked();
        for (model, what) in observe::runners(&mut self.known, fresh, &asked) {
            self.tell(model, what);
        }
        self.close_departures(self.now());
        self.known.follow_loads();
        self.known.suspect((self.clock)());
        self.known.learn_mode();
        self.look_at_swaps() || news
    }

    /// Reads main memory, if it is time.
    pub(super) fn read_ram(&mut self, now: Moment) {
        if self.is_busy() || self.known.ram.is_none_or(|ram| ram.age(now) >= RAM_PERIOD) {
            self.known.ram = (self.ram)().map(|value| Reading { value, at: now }).or(self.known.ram);
        }
    }
}

/// Whether a process is on a card that was on none before.
fn has_newcomer(fresh: &Cards, old: &Cards) -> bool {
    fn pids(cards: &Cards) -> impl Iterator<Item = u32> {
        cards.list().iter().flat_map(|card| &card.processes).map(|process| process.pid)
    }
    pids(fresh).any(|pid| !pids(old).any(|other| other == pid))
}

/// The same for one that is part of something; when its thread has ended nothing comes any more.
pub(super) async fn changed_in<T>(probe: Option<&mut watch::Receiver<T>>) {
    if let Some(probe) = probe
        && probe.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Waits until the journal says something new: of its leases, of the past, of the uses or of itself.
pub(super) async fn journal_changed(journal: Option<&mut Journal>) {
    let Some(journal) = journal else { return std::future::pending().await };
    tokio::select! {
        () = changed_in(Some(&mut journal.leases)) => {}
        () = changed_in(Some(&mut journal.past)) => {}
        () = changed_in(Some(&mut journal.pins)) => {}
        () = changed_in(Some(&mut journal.tunings)) => {}
        () = changed_in(Some(&mut journal.state)) => {}
    }
}

/// Who has news of the RAM tier.
pub(super) enum FromTier {
    Warmer,
    Holder,
}

/// Waits for news of the RAM tier.
pub(super) async fn changed_tier(tier: Option<&mut RamTier>) -> FromTier {
    let Some(RamTier { warmer, holder }) = tier else { return std::future::pending().await };
    tokio::select! {
        () = changed_in(Some(&mut warmer.progress)) => FromTier::Warmer,
        () = changed_in(Some(&mut holder.readings)) => FromTier::Holder,
    }
}

/// Waits for a probe's next reading; for ever where there is none.
pub(super) async fn changed<T>(probe: &mut Option<watch::Receiver<T>>) {
    let lost = match probe {
        // Cancel-safe: what was not seen here is seen at the next call.
        Some(probe) => probe.changed().await.is_err(),
        None => return std::future::pending().await,
    };
    if lost {
        // Its thread has ended: the last value stays, with its age.
        *probe = None;
    }
}
