//! What the engine is handed for the RAM tier: the reader, the holder, and the way to the journal.

use crate::journal::Journal;
use crate::probe::hold::Holder;
use crate::probe::warm::Warmer;

/// What moves and keeps files in RAM, where the server's files are on this machine.
pub struct RamTier {
    /// Reads them.
    pub warmer: Warmer,
    /// Keeps them.
    pub holder: Holder,
    /// Tells other instances what is kept here.
    pub journal: Journals,
}

/// The way to the journal. It is opened when something is kept or dropped: who only looks writes no file.
pub struct Journals {
    open: Option<Box<dyn FnOnce() -> Option<Journal> + Send>>,
    journal: Option<Journal>,
    watched: bool,
}

impl Journals {
    /// Opened by `open` when it is needed; `None` from it is an instance that is alone.
    pub fn new(open: Box<dyn FnOnce() -> Option<Journal> + Send>) -> Journals {
        Journals { open: Some(open), journal: None, watched: false }
    }

    /// One that is not there.
    pub fn none() -> Journals {
        Journals { open: None, journal: None, watched: false }
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
        let watched = self.watched;
        let journal = self.get()?;
        // A full queue is the journal's own trouble: it is told again at the next turn.
        let watches = watched || journal.watch(true).is_ok();
        self.watched = watches;
        self.journal.as_mut().filter(|_| watches)
    }

    /// The journal, if it has been opened.
    pub(super) fn opened(&mut self) -> Option<&mut Journal> {
        self.journal.as_mut()
    }
}
