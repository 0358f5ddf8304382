//! A reader on a thread of its own: what it reads is on a `watch`, and what hangs in it hangs alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::residency::timing::{Clock, Reading};

/// The reading side of such a thread. The thread is never joined; it ends at its next turn after `stop`, or after
/// the last of `readings` is gone.
#[derive(Debug, Clone)]
pub struct Watched<T> {
    /// The latest value and when its reading began; `None` before the first.
    pub readings: watch::Receiver<Option<Reading<T>>>,
    wake: SyncSender<()>,
    eased: Arc<AtomicBool>,
}

/// Of readings that nobody waits for the pause is this many times as long.
const EASED: u32 = 5;

impl<T: Send + Sync + 'static> Watched<T> {
    /// Starts a thread that calls `read` now, then a period after each call ended, or when woken.
    pub fn spawn(
        name: &str,
        clock: Clock,
        period: Duration,
        stop: CancellationToken,
        mut read: impl FnMut() -> T + Send + 'static,
    ) -> io::Result<Watched<T>> {
        let (publish, readings) = watch::channel(None);
        // One waiting wake-up is enough: a second says nothing more, and is dropped.
        let (wake, woken) = sync_channel(1);
        // The thread holds a sender of its own, so that it can outlive this handle while somebody still reads.
        let open = wake.clone();
        let eased = Arc::new(AtomicBool::new(false));
        let takes_its_time = Arc::clone(&eased);
        let body = move || {
            let _open = open;
            while !stop.is_cancelled() && !publish.is_closed() {
                // What was read is as old as the question: an answer may take long.
                let at = clock();
                let value = read();
                publish.send_replace(Some(Reading { value, at }));
                let pause = if takes_its_time.load(Ordering::Relaxed) { period * EASED } else { period };
                if let Err(RecvTimeoutError::Disconnected) = woken.recv_timeout(pause) {
                    return;
                }
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Watched { readings, wake, eased })
    }

    /// One without a thread: somebody else takes the readings.
    pub fn told(readings: watch::Receiver<Option<Reading<T>>>) -> Watched<T> {
        Watched { readings, wake: sync_channel(1).0, eased: Arc::default() }
    }

    /// One that has nothing to say, for want of a thread.
    pub(crate) fn silent() -> Watched<T> {
        Watched::told(watch::channel(None).1)
    }
}

impl<T> Watched<T> {
    /// Asks for a reading now instead of a period later; never waits.
    pub fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Nobody waits for readings now, so that they may come less often; or somebody does again, who gets one at once.
    pub fn ease(&self, eased: bool) {
        self.eased.store(eased, Ordering::Relaxed);
        if !eased {
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::residency::timing::Moment;

    #[expect(clippy::disallowed_methods, reason = "the tests' clock")]
    fn clock() -> Clock {
        Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn it_reads_at_once_and_again_when_woken() {
        let mut count = 0;
        let mut watched = Watched::spawn("t", clock(), LONG, CancellationToken::new(), move || {
            count += 1;
            count
        })
        .unwrap();
        watched.readings.wait_for(|r| r.is_some_and(|r| r.value == 1)).await.unwrap();
        watched.wake();
        watched.readings.wait_for(|r| r.is_some_and(|r| r.value == 2)).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_again_gets_a_reading_at_once() {
        let mut count = 0;
        let mut watched = Watched::spawn("t", clock(), LONG, CancellationToken::new(), move || {
            count += 1;
            count
        })
        .unwrap();
        watched.readings.wait_for(|r| r.is_some_and(|r| r.value == 1)).await.unwrap();
        watched.ease(true);
        watched.ease(false);
        watched.readings.wait_for(|r| r.is_some_and(|r| r.value == 2)).await.unwrap();
    }

    #[test]
    fn a_thread_that_nobody_reads_ends() {
        let (alive, ended) = mpsc::channel::<()>();
        let watched =
            Watched::spawn("t", clock(), Duration::from_millis(1), CancellationToken::new(), move || {
                let _ = &alive;
            });
        drop(watched);
        assert_eq!(ended.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_stopped_thread_ends_at_its_next_turn() {
        let (alive, ended) = mpsc::channel::<()>();
        let stop = CancellationToken::new();
        let watched = Watched::spawn("t", clock(), LONG, stop.clone(), move || {
            let _ = &alive;
        })
        .unwrap();
        stop.cancel();
        watched.wake();
        assert_eq!(ended.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }

    #[tokio::test]
    async fn a_reader_that_hangs_leaves_the_old_value_with_its_age() {
        let (release, hang) = mpsc::channel::<()>();
        let mut first = true;
        let mut watched = Watched::spawn("t", clock(), Duration::ZERO, CancellationToken::new(), move || {
            if !first {
                let _ = hang.recv();
            }
            first = false;
            "old"
        })
        .unwrap();
        watched.readings.wait_for(Option::is_some).await.unwrap();
        let before = (*watched.readings.borrow()).unwrap();
        let now = Moment { mono: before.at.mono + LONG, ..before.at };
        assert_eq!((before.value, before.age(now)), ("old", LONG));
        assert!(!watched.readings.has_changed().unwrap());
        drop(release);
    }
}
