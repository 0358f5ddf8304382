//! Systems other than Linux: nothing is told of the page cache yet.

use std::path::Path;

use super::method::Method;
use crate::residency::map::Pages;
use crate::residency::tier::Cached;
use crate::residency::timing::Clock;

/// What was read, and how.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) pages: Pages,
    /// The way that answered last.
    pub(crate) method: Method,
    /// Always empty here.
    pub(crate) missed: Vec<u64>,
}

/// Says why nothing is known.
pub(crate) fn read(_path: &Path, _privileged: bool, _was_mixed: bool, _clock: &Clock) -> Outcome {
    let why = "this system does not tell what is cached";
    let pages = Pages { cached: Cached::Unknown(why.to_owned()), map: None };
    Outcome { pages, method: Method::Unknown(why), missed: Vec::new() }
}

/// Nothing was brought in.
pub(crate) fn sweep(_path: &Path, _missed: &[u64]) {}

/// Not here.
pub(crate) fn is_privileged() -> bool {
    false
}
