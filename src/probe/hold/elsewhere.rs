//! Systems other than Linux: nothing can be held yet.

use std::path::Path;
use std::time::Duration;

use super::{Fate, Keep, Unlocked};
use crate::residency::bytes::Bytes;
use crate::residency::hold::{limit_lines, raise_limit};

const WHY: &str = "this system cannot hold files";

/// A held file; there is none here.
#[derive(Debug)]
pub(super) enum Kept {}

impl Keep for Kept {
    fn open(_path: &Path) -> Result<Kept, String> {
        Err(WHY.to_owned())
    }

    fn size(&self) -> u64 {
        match *self {}
    }

    fn locked(&self) -> u64 {
        match *self {}
    }

    fn fate(&self, _path: &Path) -> Fate {
        match *self {}
    }

    fn populate(&self, _offset: u64, _length: u64) -> Result<(), String> {
        match *self {}
    }

    fn lock(&mut self, _end: u64) -> Result<(), Unlocked> {
        match *self {}
    }

    fn unlock(&mut self) {
        match *self {}
    }

    fn resident(_kept: &[&Kept]) -> Result<Vec<u64>, String> {
        Ok(Vec::new())
    }

    fn cpu_used() -> Duration {
        Duration::ZERO
    }
}

/// Nothing is known of a limit.
pub fn lock_limit() -> Option<Bytes> {
    None
}

/// What to do where a limit is known after all.
pub fn lock_advice(needed: Bytes, limit: Bytes) -> String {
    raise_limit(needed, limit, "USER")
}

/// Only the lines.
pub fn lock_lines(needed: Bytes) -> String {
    limit_lines(needed, "USER")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::probe::hold::Holder;
    use crate::residency::hold::{Held, How};
    use crate::residency::timing::{Clock, Moment};

    #[expect(clippy::disallowed_methods, reason = "the tests' clock")]
    fn clock() -> Clock {
        Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_held_says_so_and_is_let_go_like_any_other() {
        let mut holder = Holder::spawn_on::<Kept>(clock(), CancellationToken::new(), Box::new(|| None));
        holder.hold("a".to_owned(), PathBuf::from("Cargo.toml"), How::Lock);
        let refused = Held { trouble: Some(WHY.to_owned()), ..Held::new(How::Lock) };
        holder.readings.wait_for(|all| all.get("a").is_some_and(|held| held.value == refused)).await.unwrap();
        holder.release("a");
        holder.readings.wait_for(|all| all.is_empty()).await.unwrap();
    }

    #[test]
    fn no_limit_is_known() {
        assert_eq!(lock_limit(), None);
        assert!(lock_advice(Bytes(1024), Bytes(0)).contains("`USER - memlock 1`"));
        assert!(lock_lines(Bytes(1024)).contains("`USER - memlock 1`"));
    }
}
