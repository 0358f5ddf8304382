//! The thread that holds: every 20 s it populates again what was lost, and measures.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use super::{Gate, Holds, Keep, Mail};
use crate::residency::bytes::Bytes;
use crate::residency::hold::Held;
use crate::residency::timing::{Clock, Reading};

/// From the end of one turn to the next. A turn over what is resident costs 3 ms for each GiB on an idle machine, of which
/// measuring is 2.5; 45 to 80 ms where the cache is in pages of 4 KiB, as read-ahead in small steps leaves it.
const TURN: Duration = Duration::from_secs(20);
/// But a turn takes no more than one in so many of a core's time.
const SHARE: u32 = 50;
/// With nothing to do the thread looks this often whether it should end.
const IDLE: Duration = Duration::from_secs(5);
/// A long turn shows this often how far it is.
const SHOW: Duration = Duration::from_secs(1);

/// The thread's own state.
pub(super) struct Turns<K> {
    // First, so dropped first: once `readings` is closed nothing is mapped any more.
    entries: Vec<Entry<K>>,
    holds: Holds,
    mail: Arc<Mutex<Mail>>,
    clock: Clock,
    stop: CancellationToken,
    gate: Gate,
    publish: watch::Sender<Arc<Holds>>,
}

impl<K: Keep> Turns<K> {
    pub(super) fn new(
        mail: Arc<Mutex<Mail>>,
        publish: watch::Sender<Arc<Holds>>,
        clock: Clock,
        stop: CancellationToken,
        gate: Gate,
    ) -> Turns<K> {
        Turns { entries: Vec::new(), holds: Holds::new(), mail, clock, stop, gate, publish }
    }

    pub(super) fn run(mut self, woken: &Receiver<()>) {
        let mut due = (self.clock)().mono;
        loop {
            let wait = due.saturating_duration_since((self.clock)().mono).min(IDLE);
            if woken.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) || self.stop.is_cancelled() {
                return;
            }
            self.open_mail();
            let is_turn = (self.clock)().mono >= due;
            if is_turn {
                self.entries.iter_mut().for_each(Entry::renew);
            }
            let before = K::cpu_used();
            if !self.work(woken) {
                return;
            }
            if is_turn {
                let used = K::cpu_used().saturating_sub(before);
                due = (self.clock)().mono + TURN.max(used.saturating_mul(SHARE));
            }
        }
    }

    /// Goes on until no file has more to do; false when all is to end.
    fn work(&mut self, woken: &Receiver<()>) -> bool {
        let mut shown = None;
        while let Some(place) = self.entries.iter().position(Entry::is_due) {
            let shown_at = *shown.get_or_insert_with(|| (self.clock)().mono);
            self.step(place);
            match woken.try_recv() {
                Ok(()) => self.open_mail(),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return false,
            }
            if self.stop.is_cancelled() {
                return false;
            }
            if (self.clock)().since(shown_at) >= SHOW {
                self.show();
                shown = None;
            }
        }
        if shown.is_some() {
            self.show();
        }
        true
    }

    fn step(&mut self, place: usize) {
        let all: Bytes = self.entries.iter().map(Entry::to_lock).sum();
        let others = all.minus(self.entries[place].to_lock());
        self.entries[place].step(&mut self.gate, others);
    }

    /// Takes what was asked. Files that are let go are unmapped when others see it, and new ones are seen before they
    /// are mapped: so what is not in `readings` is not mapped.
    fn open_mail(&mut self) {
        let Mail { wishes, check } =
            std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        let before = self.entries.len();
        self.entries.retain(|entry| !matches!(wishes.get(&entry.digest), Some(None)));
        let mut news = self.entries.len() < before;
        self.holds.retain(|digest, _| self.entries.iter().any(|entry| entry.digest == *digest));
        let at = (self.clock)();
        for (digest, wish) in wishes {
            let Some((path, how)) = wish else { continue };
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.digest == digest) {
                news |= entry.again(path, how);
            } else {
                self.holds.insert(digest.clone(), Reading { value: Held::new(how), at });
                self.entries.push(Entry::new(digest, path, how));
                news = true;
            }
        }
        if check {
            self.entries.iter_mut().for_each(Entry::renew);
        }
        if news {
            self.publish.send_replace(Arc::new(self.holds.clone()));
        }
    }

    /// Measures all, and shows it.
    fn show(&mut self) {
        let kept: Vec<&K> = self.entries.iter().filter_map(|entry| entry.kept.as_ref()).collect();
        let measured = if kept.is_empty() { Ok(Vec::new()) } else { K::resident(&kept) };
        let at = (self.clock)();
        let (mut sizes, trouble) = match measured {
            Ok(sizes) => (sizes.into_iter(), None),
            Err(why) => (Vec::new().into_iter(), Some(format!("what is resident cannot be measured: {why}"))),
        };
        for entry in &mut self.entries {
            let size = entry.kept.as_ref().and_then(|_| sizes.next());
            entry.held.resident = Bytes(size.unwrap_or(0)).min(entry.held.size);
            let mut value = entry.held.clone();
            value.trouble = value.trouble.or_else(|| trouble.clone());
            self.holds.insert(entry.digest.clone(), Reading { value, at });
        }
        self.publish.send_replace(Arc::new(self.holds.clone()));
    }
}
