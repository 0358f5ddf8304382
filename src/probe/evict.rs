//! Dropping files from RAM: their clean pages go, and what stays is said, with the reason.

#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod let_go;
#[cfg(target_os = "linux")]
mod mappers;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::page_cache::read::{self, Outcome};
use crate::residency::bytes::Bytes;
use crate::residency::tier::Cached;
use crate::residency::timing::Clock;
#[cfg(not(target_os = "linux"))]
use elsewhere as let_go;

/// What sampling made the kernel read is there after this long, and can be dropped.
const SETTLE: Duration = Duration::from_millis(300);

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// The file's digest.
    pub digest: String,
    /// What was in RAM before.
    pub before: Cached,
    /// And after.
    pub after: Cached,
    /// Why some of it could not go, if more than one percent stays.
    pub why_stays: Option<String>,
}

/// Drops the clean pages of the files (digest, path, size) and reads residency again, on a thread of its own: the answer
/// comes all at once. Our own mappings of them must be gone before. No thread to be had: no answer comes.
pub fn spawn(files: Vec<(String, PathBuf, Bytes)>, clock: Clock) -> oneshot::Receiver<Vec<Evicted>> {
    let (answer, receiver) = oneshot::channel();
    let body = move || {
        let privileged = read::is_privileged();
        let mut sweeps = Vec::new();
        let mut look = |path: &Path| {
            let outcome = read::read(path, privileged, false, &clock);
            if !outcome.missed.is_empty() {
                sweeps.push((path.to_owned(), outcome.missed.clone()));
            }
            outcome
        };
        let all = files.iter().map(|(digest, path, size)| evict(digest, path, *size, &mut look)).collect();
        // Before the answer: a program that ends on it must not leave pages behind that only its looking brought in.
        sweep(&sweeps);
        // Nobody waits any more: the pages are gone all the same.
        let _ = answer.send(all);
    };
    drop(thread::Builder::new().name("probe-evict".to_owned()).spawn(body));
    receiver
}

/// Drops what our own looking brought in, once it is there.
fn sweep(sweeps: &[(PathBuf, Vec<u64>)]) {
    if sweeps.is_empty() {
        return;
    }
    let (_open, pause) = mpsc::channel::<()>();
    let _ = pause.recv_timeout(SETTLE);
    for (path, missed) in sweeps {
        read::sweep(path, missed);
    }
}

fn evict(digest: &str, path: &Path, size: Bytes, look: &mut impl FnMut(&Path) -> Outcome) -> Evicted {
    let before = look(path).pages.cached;
    let dropped = let_go::drop_pages(path);
    let after = look(path);
    let stays = after.pages.cached.bytes().is_some_and(|bytes| bytes.0 > size.0 / 100);
    let why_stays = stays.then(|| match dropped {
        Err(error) => format!("its pages cannot be dropped: {error}"),
        Ok(unwritten) => let_go::why_stays(path, after.method, unwritten),
    });
    Evicted { digest: digest.to_owned(), before, after: after.pages.cached, why_stays }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::page_cache::method::Method;
    use crate::residency::map::Pages;

    fn looks(cached: &Cached, method: Method) -> impl FnMut(&Path) -> Outcome {
        move |_| Outcome { pages: Pages { cached: cached.clone(), map: None }, method, missed: Vec::new() }
    }

    #[test]
    fn little_that_stays_and_what_is_not_known_need_no_reason() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let why = |cached| evict("a", &path, Bytes(1000), &mut looks(&cached, Method::Sample)).why_stays;
        assert_eq!(why(Cached::Sampled(Bytes(10))), None);
        assert_eq!(why(Cached::Unknown("hidden".to_owned())), None);
        assert!(why(Cached::Sampled(Bytes(11))).is_some());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_in_ram_cannot_leave_it() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let all = Cached::Exact(Bytes(1000));
        let evicted = evict("a", &path, Bytes(1000), &mut looks(&all, Method::All));
        let why_stays = Some("files on tmpfs are RAM".to_owned());
        assert_eq!(evicted, Evicted { digest: "a".to_owned(), before: all.clone(), after: all, why_stays });
    }
}
