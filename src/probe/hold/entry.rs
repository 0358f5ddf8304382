//! One file that was asked to be held, and how far its populating has come.

use std::path::PathBuf;

use super::{Fate, Gate, Keep, lock_advice};
use crate::residency::bytes::Bytes;
use crate::residency::hold::{Held, How};

/// Populated at once; between two steps the thread can be told otherwise.
const STEP: u64 = 64 << 20;
/// After this much the gate is asked again; after each step while locking, since what is locked never gives way.
const GATED: u64 = 4 * STEP;
/// Locks count in pages, of at most this size.
const PAGE: u64 = 64 << 10;

/// A file to be held.
#[derive(Debug)]
pub(super) struct Entry<K> {
    pub(super) digest: String,
    pub(super) path: PathBuf,
    pub(super) kept: Option<K>,
    pub(super) held: Held,
    /// Where this turn goes on; `None` when it is through.
    at: Option<u64>,
    /// And where it ends.
    end: u64,
    /// Nothing more can be locked in this turn.
    full: bool,
    /// The file has another size now.
    changed: bool,
    /// The file is not there any more, and is not looked for again by itself.
    lost: bool,
}

impl<K: Keep> Entry<K> {
    /// One that the next step opens.
    pub(super) fn new(digest: String, path: PathBuf, how: How) -> Entry<K> {
        let held = Held::new(how);
        Entry {
            digest,
            path,
            kept: None,
            held,
            at: Some(0),
            end: 0,
            full: false,
            changed: false,
            lost: false,
        }
    }

    /// Asks for it once more; true if that changes anything.
    pub(super) fn again(&mut self, path: PathBuf, how: How) -> bool {
        if self.path != path || self.lost || self.changed || self.kept.is_none() {
            *self = Entry::new(std::mem::take(&mut self.digest), path, how);
            return true;
        }
        let changes = self.held.how != how;
        if changes {
            self.held.how = how;
            if let (How::Map, Some(kept)) = (how, &mut self.kept) {
                kept.unlock();
            }
            self.renew();
        }
        changes
    }

    /// Begins a turn.
    pub(super) fn renew(&mut self) {
        self.at = Some(0);
    }

    /// Whether this turn has more to do.
    pub(super) fn is_due(&self) -> bool {
        self.at.is_some()
    }

    /// What is to be locked of it, in whole pages.
    pub(super) fn to_lock(&self) -> Bytes {
        let size = if self.held.how == How::Lock { self.held.size.0 } else { 0 };
        Bytes(size.next_multiple_of(PAGE))
    }

    /// Does the next step of this turn; `others` is what is to be locked beside this file.
    pub(super) fn step(&mut self, gate: &mut Gate, others: Bytes) {
        let Some(at) = self.at.take() else { return };
        let is_first = at == 0;
        if is_first && !self.begin() {
            return;
        }
        let to_lock = others + self.to_lock();
        let Some(kept) = &mut self.kept else { return };
        // What is locked cannot have gone.
        let at = at.max(kept.locked());
        if at >= self.end {
            return;
        }
        let locks = self.held.how == How::Lock && !self.full;
        if is_first || locks || at.is_multiple_of(GATED) {
            self.held.fading = gate();
            if self.held.fading.is_some() {
                return;
            }
        }
        let next = ((at / STEP + 1) * STEP).min(self.end);
        if let Err(why) = kept.populate(at, next - at) {
            // Cut just now, perhaps: then that is what is wrong.
            let fate = kept.fate(&self.path);
            self.judge(fate);
            self.held.trouble.get_or_insert(why);
            return;
        }
        // Populated first: in a small cgroup a lock that has to read would kill instead of fail.
        if locks {
            if let Err(unlocked) = kept.lock(next) {
                self.full = true;
                self.held.trouble.get_or_insert_with(|| match unlocked.limit {
                    Some(limit) if limit < to_lock => lock_advice(to_lock, limit),
                    _ => format!("the file cannot be locked: {}", unlocked.why),
                });
            }
            self.held.locked = Bytes(kept.locked());
        }
        self.at = (next < self.end).then_some(next);
    }

    /// Opens the file, or looks what became of it; false when there is nothing to populate.
    fn begin(&mut self) -> bool {
        self.held.fading = None;
        (self.full, self.changed) = (false, false);
        if self.lost {
            return false;
        }
        self.held.trouble = None;
        let kept = match self.kept.take().map_or_else(|| K::open(&self.path), Ok) {
            Ok(kept) => kept,
            Err(why) => {
                self.held.trouble = Some(why);
                return false;
            }
        };
        self.held.size = Bytes(kept.size());
        self.held.locked = Bytes(kept.locked());
        self.end = kept.size();
        let fate = kept.fate(&self.path);
        self.kept = Some(kept);
        self.judge(fate);
        !self.lost
    }

    /// Says what became of the file, and lets it go if it is no longer the one that was meant.
    fn judge(&mut self, fate: Fate) {
        match fate {
            Fate::Same => {}
            Fate::Resized(now) => {
                let what = if now < self.held.size.0 { "was cut" } else { "grew" };
                let (from, to) = (self.held.size, Bytes(now));
                self.held.trouble = Some(format!("the file {what} from {from} to {to}: hold it again"));
                self.held.locked = self.held.locked.min(to);
                self.changed = true;
                self.end = self.end.min(now);
            }
            Fate::Lost(why) => {
                self.kept = None;
                self.held = Held { size: self.held.size, ..Held::new(self.held.how) };
                self.held.trouble = Some(why.to_owned());
                self.lost = true;
            }
            Fate::Hidden(why) => {
                self.held.trouble = Some(format!("what became of the file is not known: {why}"));
            }
        }
    }
}
