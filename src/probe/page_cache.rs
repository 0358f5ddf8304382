//! The page-cache probe: one thread that reads the residency of the blobs it is asked about, at a pace that each
//! method can bear.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::residency_of::{Method, read};
use crate::residency::bytes::Bytes;
use crate::residency::tier::Cached;
use crate::residency::timing::{Clock, Reading};

/// A blob to look at: its digest, where it lies, its size.
pub type Wanted = (String, PathBuf, Bytes);

/// Readings by digest.
pub type Readings = Arc<HashMap<String, Reading<Cached>>>;

/// Between two readings of a blob by a call that disturbs nothing.
const EXACT: Duration = Duration::from_secs(2);
/// `mincore` costs 18 ms a GiB: it is read this seldom unless somebody looks.
const DEAR: Duration = Duration::from_secs(20);
/// Sampling reads a page for each miss: from this, doubled up to the next while nobody looks.
const SAMPLE_FIRST: Duration = Duration::from_secs(30);
const SAMPLE_LAST: Duration = Duration::from_secs(30 * 60);
/// A reading that took longer than this makes the blob wait a hundred times as long.
const SLOW: Duration = Duration::from_millis(20);
/// Questions that may wait; when full the new one is left out, the next round asks again.
const QUESTIONS: usize = 4;

struct Question {
    blobs: Vec<Wanted>,
    urgent: bool,
}

/// The hold on the thread; it ends when this is dropped, at its next question.
#[derive(Debug, Clone)]
pub struct PageCache {
    questions: SyncSender<Question>,
    readings: watch::Receiver<Readings>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} blobs", self.blobs.len())
    }
}

impl PageCache {
    /// Starts the thread.
    pub fn spawn(clock: Clock) -> std::io::Result<PageCache> {
        let (questions, asked) = sync_channel(QUESTIONS);
        let (tell, readings) = watch::channel(Readings::default());
        std::thread::Builder::new().name("page cache".to_owned()).spawn(move || {
            Reader { clock, tell, due: HashMap::new() }.run(&asked);
        })?;
        Ok(PageCache { questions, readings })
    }

    /// Asks for these blobs; `urgent` where somebody looks at them or an act depends on them. Never waits.
    pub fn ask(&self, blobs: Vec<Wanted>, urgent: bool) {
        match self.questions.try_send(Question { blobs, urgent }) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// The latest readings.
    pub fn latest(&self) -> Readings {
        Arc::clone(&self.readings.borrow())
    }

    /// Told at each new reading.
    pub fn readings(&self) -> watch::Receiver<Readings> {
        self.readings.clone()
    }
}

/// When a blob may be read again.
#[derive(Debug, Clone, Copy)]
struct Pace {
    next: Instant,
    interval: Duration,
}

struct Reader {
    clock: Clock,
    tell: watch::Sender<Readings>,
    due: HashMap<String, Pace>,
}

impl Reader {
    fn run(&mut self, asked: &Receiver<Question>) {
        while let Ok(question) = asked.recv() {
            if self.tell.is_closed() {
                return;
            }
            let wanted: Vec<Wanted> =
                question.blobs.into_iter().filter(|blob| self.is_due(&blob.0, question.urgent)).collect();
            for (digest, path, _) in wanted {
                self.read(digest, &path);
            }
        }
    }

    fn is_due(&self, digest: &str, urgent: bool) -> bool {
        let now = (self.clock)().mono;
        match self.due.get(digest) {
            None => true,
            // Looking does not read oftener than a second: holding down j must not sample.
            Some(pace) if urgent => now + pace.interval.saturating_sub(Duration::from_secs(1)) >= pace.next,
            Some(pace) => now >= pace.next,
        }
    }

    fn read(&mut self, digest: String, path: &std::path::Path) {
        let before = (self.clock)();
        let seed = before.wall.as_nanosecond().unsigned_abs() as u64;
        let found = read(path, seed);
        let after = (self.clock)();
        let old = self.due.get(&digest).copied();
        let changed = self.tell.borrow().get(&digest).is_none_or(|last| last.value != found.cached);
        let interval =
            interval(found.method, old.map(|pace| pace.interval), changed, after.since(before.mono));
        self.due.insert(digest.clone(), Pace { next: after.mono + interval, interval });
        self.tell.send_modify(|readings| {
            Arc::make_mut(readings).insert(digest, Reading { value: found.cached, at: after });
        });
    }
}

/// How long until a blob is read again: by method, by whether it changed, by what the reading took.
fn interval(method: Method, last: Option<Duration>, changed: bool, took: Duration) -> Duration {
    let base = match method {
        Method::Always | Method::Never(_) | Method::Cachestat => EXACT,
        Method::Mincore => DEAR,
        Method::Sample if changed => SAMPLE_FIRST,
        Method::Sample => last.map_or(SAMPLE_FIRST, |last| (last * 2).clamp(SAMPLE_FIRST, SAMPLE_LAST)),
    };
    if took > SLOW { base.max(took * 100) } else { base }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_is_read_ever_more_seldom_until_it_changes() {
        let quick = Duration::from_millis(1);
        let secs = Duration::from_secs;
        assert_eq!(interval(Method::Cachestat, None, true, quick), secs(2));
        assert_eq!(interval(Method::Sample, None, true, quick), secs(30));
        assert_eq!(interval(Method::Sample, Some(secs(30)), false, quick), secs(60));
        assert_eq!(interval(Method::Sample, Some(secs(1800)), false, quick), secs(1800));
        assert_eq!(interval(Method::Sample, Some(secs(1800)), true, quick), secs(30));
        assert_eq!(interval(Method::Cachestat, None, false, secs(1)), secs(100));
    }

    #[tokio::test]
    async fn it_reads_what_it_is_asked_and_tells() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        std::fs::write(&path, vec![1; 100_000]).unwrap();
        let probe = PageCache::spawn(crate_clock()).unwrap();
        let mut readings = probe.readings();
        probe.ask(vec![("d".into(), path, Bytes(100_000))], true);
        let found = readings.wait_for(|readings| readings.contains_key("d")).await.unwrap().clone();
        assert_eq!(found["d"].value.bytes(), Some(Bytes(100_000)), "just written, so it is in RAM");
    }

    #[expect(clippy::disallowed_methods, reason = "a test has no other clock")]
    fn crate_clock() -> Clock {
        Arc::new(|| crate::residency::timing::Moment { mono: Instant::now(), wall: jiff::Timestamp::now() })
    }
}
