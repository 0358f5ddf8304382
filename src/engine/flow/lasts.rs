//! The last whole run of each workflow in this process, for the next one to compare itself with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::residency::workflow::Last;

/// The last runs by their workflows' names; every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Lasts(Arc<Mutex<BTreeMap<String, Last>>>);

impl Lasts {
    /// The last run of that workflow.
    pub(super) fn of(&self, name: &str) -> Option<Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Keeps a run that came to its end.
    pub(super) fn keep(&self, name: &str, last: Last) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), last);
    }
}
