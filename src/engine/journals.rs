//! The way to the journal: opened when there is something to write or to ask, and told once what is wanted of it.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::journal::Journal;
use crate::residency::guard::Keeper;
use crate::residency::guard::claim::Claim;
use crate::residency::record::Past;
use crate::residency::tune::policy::Rule;

/// The way to the journal. It is opened when something happens that it keeps: who only looks writes no file.
#[expect(clippy::struct_excessive_bools, reason = "one thing that the journal is told each")]
pub struct Journals {
    open: Option<Box<dyn FnOnce() -> Option<Journal> + Send>>,
    journal: Option<Journal>,
    may_keep: bool,
    watched: bool,
    recalled: bool,
    tuned: bool,
    /// How far it said that it may act.
    claimed: Option<Claim>,
    /// What stands for the past until it was read.
    unread: Option<Arc<Past>>,
}

impl Journals {
    /// Opened by `open` when it is needed; `None` from it is an instance that is alone.
    pub fn new(open: Box<dyn FnOnce() -> Option<Journal> + Send>) -> Journals {
        Journals { open: Some(open), ..Journals::none() }
    }

    /// One that is not there.
    pub fn none() -> Journals {
        Journals {
            open: None,
            journal: None,
            may_keep: false,
            watched: false,
            recalled: false,
            tuned: false,
            claimed: None,
            unread: None,
        }
    }

    /// This instance goes on until the user ends it: it may write down what others do, and act by itself.
    #[must_use]
    pub fn keeping(mut self) -> Journals {
        self.may_keep = true;
        self
    }

    /// The journal, opened now if it was not.
    pub(super) fn get(&mut self) -> Option<&mut Journal> {
        if let Some(open) = self.open.take() {
            self.journal = open();
        }
        self.journal.as_mut()
    }

    /// The same, kept fresh from now on: what other instances do is seen within half a second.
    pub(super) fn watched(&mut self) -> Option<&mut Journal> {
        let known = self.watched;
        let journal = self.get()?;
        // A full queue is the journal's own trouble: it is told again at the next turn.
        self.watched = known || journal.watch(true).is_ok();
        self.journal.as_mut().filter(|_| self.watched)
    }

    /// The past of `server` comes from now on, and whoever takes part watches it. Says whether it was asked for now.
    pub(super) fn follow(&mut self, server: &str) -> bool {
        let may_keep = self.may_keep;
        if self.recalled && (self.watched || !may_keep) {
            return false;
        }
        let Some(journal) = self.get() else { return false };
        let unread = Arc::clone(&journal.past.borrow());
        let recalled = journal.recall(server, TimeZone::system()).is_ok();
        let is_new = recalled && !self.recalled;
        self.recalled |= recalled;
        if is_new {
            self.unread = Some(unread);
        }
        if may_keep {
            self.watched();
        }
        is_new
    }

    /// This instance takes part at `server` once it follows it, and acts by itself as far as `claim` goes. A full queue is
    /// told at the next turn.
    pub(super) fn claim(&mut self, server: impl FnOnce() -> String, claim: Claim) {
        if self.may_keep
            && self.recalled
            && self.claimed != Some(claim)
            && self.journal.as_ref().is_some_and(|journal| journal.keep(&server(), claim).is_ok())
        {
            self.claimed = Some(claim);
        }
    }

    /// What the uses of `server` say by `rule` comes from now on.
    pub(super) fn tune(&mut self, server: &str, rule: Rule) {
        let known = self.tuned;
        self.tuned = known || self.get().is_some_and(|journal| journal.tune(server, rule).is_ok());
    }

    /// Whether this is the past, once asked for, and not what stands for it.
    pub(super) fn is_read(&self, past: &Arc<Past>) -> bool {
        self.unread.as_ref().is_some_and(|unread| !Arc::ptr_eq(unread, past))
    }

    /// Whether this instance takes part: it may have roles, sooner or later.
    pub(super) fn may_keep(&self) -> bool {
        self.may_keep
    }

    /// Whether it is the one that writes down what others do.
    pub(super) fn records(&self) -> bool {
        self.may_keep && self.journal.as_ref().is_some_and(|journal| journal.state.borrow().roles.records)
    }

    /// Whether it is the keeper now, who acts by itself.
    pub(super) fn acts(&self) -> bool {
        self.may_keep && self.journal.as_ref().is_some_and(|journal| journal.state.borrow().roles.acts)
    }

    /// Whether it is the keeper as soon as one that may do less has made way.
    pub(super) fn is_next(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.state.borrow().roles.is_next)
    }

    /// Whether there is no journal that could be used.
    pub(super) fn is_unusable(&self) -> bool {
        let state = self.journal.as_ref().map(|journal| journal.state.borrow());
        state.map_or(self.open.is_none(), |state| matches!(state.opened, Some(Err(_))))
    }

    /// The keeper of the server at which this instance takes part, where it is known.
    pub(super) fn keeper(&self) -> Option<Keeper> {
        let roles = &self.journal.as_ref()?.state.borrow().roles;
        match roles.keeper {
            _ if roles.acts => Some(Keeper::This),
            Some(pid) if pid != std::process::id() => Some(Keeper::Other(pid)),
            _ => None,
        }
    }

    /// Whether the pins were asked for, and will come sooner or later.
    pub(super) fn gives_pins(&self) -> bool {
        let is_usable = |journal: &Journal| !matches!(journal.state.borrow().opened, Some(Err(_)));
        self.recalled && self.journal.as_ref().is_some_and(is_usable)
    }

    /// The journal, if it has been opened.
    pub(super) fn opened(&mut self) -> Option<&mut Journal> {
        self.journal.as_mut()
    }
}
