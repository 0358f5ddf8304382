//! Systems other than Linux: nothing is told of the page cache yet.

use std::path::Path;

use super::method::Method;
use crate::residency::tier::Cached;
use crate::residency::timing::Clock;

/// What was read, and how.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) cached: Cached,
    /// The way that answered last.
    pub(crate) method: Method,
    /// Always empty here.
    pub(crate) missed: Vec<u64>,
}

/// Says why nothing is known.
pub(crate) fn read(_path: &Path, _privileged: bool, _clock: &Clock) -> Outcome {
    let why = "this system does not tell what is cached";
    Outcome { cached: Cached::Unknown(why.to_owned()), method: Method::Unknown(why), missed: Vec::new() }
}

/// Nothing was brought in.
pub(crate) fn sweep(_path: &Path, _missed: &[u64]) {}

/// Not here.
pub(crate) fn is_privileged() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::residency::timing::Moment;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the tests' clock")]
    fn nothing_is_claimed_of_any_file() {
        let clock: Clock =
            Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() });
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let Outcome { cached, method, missed } = read(&path, is_privileged(), &clock);
        sweep(&path, &missed);
        let why = "this system does not tell what is cached";
        assert_eq!((cached, method), (Cached::Unknown(why.to_owned()), Method::Unknown(why)));
        assert_eq!(missed, [0; 0]);
    }
}
