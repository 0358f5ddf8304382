//! The page-cache probe's thread on real files.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use resident::probe::page_cache::PageCache;
use resident::residency::bytes::Bytes;
use resident::residency::map::Pages;
use resident::residency::tier::Cached;
use resident::residency::timing::{Clock, Moment};
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const SIZE: u64 = 4 << 20;

#[expect(clippy::disallowed_methods, reason = "the tests' clock")]
fn clock() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

fn directory() -> TempDir {
    // Beside the build, since /tmp may be RAM.
    tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap()
}

/// A blob on disk and not in the page cache.
fn cold(directory: &TempDir, digest: &str) -> (String, PathBuf, Bytes) {
    let path = directory.path().join(digest);
    fs::write(&path, vec![1; usize::try_from(SIZE).unwrap()]).unwrap();
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    (digest.to_owned(), path, Bytes(SIZE))
}

fn percent(pages: &Pages) -> Option<u8> {
    pages.cached.bytes().map(|bytes| bytes.percent_of(Bytes(SIZE)))
}

#[tokio::test]
async fn blobs_are_read_when_asked_and_forgotten_when_off_the_list() {
    let (directory, stop) = (directory(), CancellationToken::new());
    let mut cache = PageCache::spawn(clock(), stop.clone());
    let (a, b) = (cold(&directory, "a"), cold(&directory, "b"));
    let missing = ("c".to_owned(), directory.path().join("c"), Bytes(1));
    cache.list(vec![a.clone(), b.clone(), missing], true);
    let all = cache.readings.wait_for(|all| all.len() == 3).await.unwrap().clone();
    // Where the build itself lies in RAM, nothing is ever cold.
    let in_ram = rustix::fs::statfs(&a.1).unwrap().f_type == 0x0102_1994;
    assert!(in_ram || percent(&all["a"].value).is_some_and(|percent| percent <= 5), "{all:?}");
    let why = Cached::Unknown("the file is not on this machine".to_owned());
    assert_eq!(all["c"].value, Pages { cached: why, map: None });

    // Read it, and ask at once: urgent does not wait for the two seconds to pass.
    fs::read(&a.1).unwrap();
    cache.ask(vec![a.clone()]);
    let warm = cache.readings.wait_for(|all| percent(&all["a"].value).is_some_and(|percent| percent >= 95));
    assert_eq!(warm.await.unwrap().len(), 3);

    cache.list(vec![b], true);
    let left = cache.readings.wait_for(|all| all.len() == 1).await.unwrap().clone();
    assert!(left.contains_key("b"));
    stop.cancel();
}

#[tokio::test]
async fn the_thread_ends_with_the_last_who_asks() {
    let cache = PageCache::spawn(clock(), CancellationToken::new());
    let mut readings = cache.readings.clone();
    drop(cache);
    assert!(readings.changed().await.is_err());
}
