//! Systems other than Linux: no file can be dropped from RAM yet, and nobody tells what of it is there.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::probe::page_cache::method::Method;

/// Says that it cannot.
pub(super) fn drop_pages(_path: &Path) -> io::Result<bool> {
    Err(ErrorKind::Unsupported.into())
}

/// Nobody knows.
pub(super) fn why_stays(_path: &Path, _method: Method, _unwritten: bool) -> String {
    "this system does not tell".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_dropped_and_nothing_is_claimed() {
        let path = Path::new("Cargo.toml");
        assert_eq!(drop_pages(path).map_err(|error| error.kind()), Err(ErrorKind::Unsupported));
        assert_eq!(why_stays(path, Method::All, false), "this system does not tell");
    }
}
