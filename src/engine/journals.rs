//! The way to the journal: opened when there is something to write or to ask, and told once what is wanted of it.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::journal::Journal;
use crate::residency::guard::Keeper;
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
    asked_to_keep: bool,
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
            asked_to_keep: false,
            unread: None,
        }
    }

    /// This instance goes on until the user ends it: it may be the keeper, who writes down what others did.
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

    /// The past of `server` comes from now on; who may keep it watches it and stands by to be its keeper. Says whether it
    /// was asked for now.
    pub(super) fn follow(&mut self, server: &str) -> bool {
        let may_keep = self.may_keep;
        if self.recalled && (self.asked_to_keep || !may_keep) {
            return false;
        }
        let Some(journal) = self.get() else { return false };
        let unread = Arc::clone(&journal.past.borrow());
        let recalled = journal.recall(server, TimeZone::system()).is_ok();
        let kept = may_keep && journal.keep(server).is_ok();
        let is_new = recalled && !self.recalled;
        self.recalled |= recalled;
        if is_new {
            self.unread = Some(unread);
        }
        self.asked_to_keep |= kept;
        if may_keep {
            self.watched();
        }
        is_new
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

    /// Whether this instance may be a keeper, sooner or later.
    pub(super) fn may_keep(&self) -> bool {
        self.may_keep
    }

    /// Whether this instance is the keeper now.
    pub(super) fn keeps(&self) -> bool {
        self.may_keep && self.journal.as_ref().is_some_and(|journal| journal.state.borrow().keeps)
    }

    /// The keeper of the server that this instance would keep, where it is known.
    pub(super) fn keeper(&self) -> Option<Keeper> {
        let state = self.journal.as_ref()?.state.borrow();
        match state.keeper {
            _ if state.keeps => Some(Keeper::This),
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
