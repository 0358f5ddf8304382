//! When each blob is read again: counting by `cachestat` costs next to nothing, `mincore` walks every page, and
//! sampling disturbs what it watches. What stands still, or fades slowly by itself, is counted more and more seldom.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::method::Method;
use crate::residency::bytes::Bytes;
use crate::residency::tier::Cached;

/// A blob to be watched: its digest, where it lies, its size.
pub(crate) type Blob = (String, PathBuf, Bytes);

/// More blobs than any machine has models for: a bound for hostile directories.
pub(crate) const MOST: usize = 4096;

/// An exact count is read again after this long, or after a hundred times what it took.
const COUNTED: Duration = Duration::from_secs(2);
/// While nothing is under way, one that moved by a twentieth of its file waits so long,
const CALM: Duration = Duration::from_secs(5);
const MOVED: u64 = 20;
/// and one that moved less twice as long as before, up to this.
const CALM_MOST: Duration = Duration::from_secs(30);
/// `mincore` walks pages, so it waits longer; and what cannot be known is seldom tried again.
const SELDOM: Duration = Duration::from_secs(30);
/// Sampling doubles its interval from `SELDOM` up to this.
const SAMPLED_MOST: Duration = Duration::from_secs(30 * 60);
/// However urgent, the same blob is not sampled sooner than this.
const SAMPLED_LEAST: Duration = Duration::from_secs(1);
/// No method takes more than this share of one core.
const SHARE: u32 = 100;

/// All blobs that are watched.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    blobs: HashMap<String, Entry>,
    closely: bool,
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    size: Bytes,
    last: Option<Last>,
    asked: bool,
    urgent: bool,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    sampled: bool,
    interval: Duration,
    /// The same while nothing is under way.
    calm: Duration,
    there: Option<Bytes>,
}

impl Schedule {
    /// The whole list: what is not on it any more is forgotten. `closely` while something is under way.
    pub(crate) fn list(&mut self, blobs: Vec<Blob>, closely: bool) {
        self.closely = closely;
        let digests: HashSet<String> = blobs.iter().map(|(digest, _, _)| digest.clone()).collect();
        self.blobs.retain(|digest, _| digests.contains(digest));
        for blob in blobs.into_iter().take(MOST) {
            if let Some(entry) = self.entry(blob) {
                entry.asked = true;
            }
        }
    }

    /// Blobs to be read now, whether on the list or not.
    pub(crate) fn urge(&mut self, blobs: impl IntoIterator<Item = Blob>) {
        for blob in blobs {
            if let Some(entry) = self.entry(blob) {
                entry.urgent = true;
            }
        }
    }

    /// The blob's entry, new if it is new, moved or of another size; `None` when there are too many.
    fn entry(&mut self, (digest, path, size): Blob) -> Option<&mut Entry> {
        if self.blobs.get(&digest).is_none_or(|entry| entry.path != path || entry.size != size) {
            if self.blobs.len() >= MOST && !self.blobs.contains_key(&digest) {
                return None;
            }
            let entry = Entry { path, size, last: None, asked: false, urgent: false };
            self.blobs.insert(digest.clone(), entry);
        }
        self.blobs.get_mut(&digest)
    }

    /// The blob to be read next, if one is due; urgent ones first.
    pub(crate) fn next(&self, now: Instant) -> Option<(String, PathBuf)> {
        let due = self.blobs.iter().filter(|(_, entry)| entry.is_due(now, self.closely));
        due.max_by_key(|(_, entry)| entry.urgent).map(|(digest, entry)| (digest.clone(), entry.path.clone()))
    }

    /// Notes that so much of a blob was found at `at` by `method`, which took `took`.
    pub(crate) fn done(
        &mut self,
        digest: &str,
        at: Instant,
        took: Duration,
        method: Method,
        cached: &Cached,
    ) {
        let Some(entry) = self.blobs.get_mut(digest) else { return };
        let sampled = method == Method::Sample;
        let interval = match (method, entry.last) {
            (Method::Cachestat | Method::All, _) => COUNTED,
            // Urgent: something has changed, so look closer again.
            (Method::Sample, Some(last)) if last.sampled && !entry.urgent => {
                (last.interval * 2).min(SAMPLED_MOST)
            }
            (Method::Mincore | Method::Sample | Method::Unknown(_), _) => SELDOM,
        };
        let interval = interval.max(took.saturating_mul(SHARE));
        let there = cached.bytes();
        let calm = match entry.last {
            Some(last) if !entry.moved(last.there, there) => (last.calm * 2).min(CALM_MOST),
            _ => CALM,
        };
        entry.last = Some(Last { at, sampled, interval, calm, there });
        entry.asked = false;
        entry.urgent = false;
    }

    /// All that was due is read; what was asked and is not due waits until it is asked again.
    pub(crate) fn rest(&mut self) {
        for entry in self.blobs.values_mut() {
            entry.asked = false;
        }
    }

    /// Whether an urgent blob waits for its time.
    pub(crate) fn is_urged(&self) -> bool {
        self.blobs.values().any(|entry| entry.urgent)
    }

    /// Whether the blob is watched.
    pub(crate) fn knows(&self, digest: &str) -> bool {
        self.blobs.contains_key(digest)
    }
}

impl Entry {
    /// Whether what is there now differs from what was there by much.
    fn moved(&self, then: Option<Bytes>, now: Option<Bytes>) -> bool {
        match (then, now) {
            (Some(then), Some(now)) => then.0.abs_diff(now.0) > self.size.0 / MOVED,
            (then, now) => then != now,
        }
    }

    fn is_due(&self, now: Instant, closely: bool) -> bool {
        let Some(last) = self.last else { return self.asked || self.urgent };
        let age = now.saturating_duration_since(last.at);
        let interval = if closely { last.interval } else { last.interval.max(last.calm) };
        (self.asked && age >= interval) || (self.urgent && (!last.sampled || age >= SAMPLED_LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(digest: &str) -> Blob {
        (digest.to_owned(), PathBuf::from(digest), Bytes(1))
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    /// The seconds at which a blob is read when it is asked for every second until `end`.
    fn reads(end: u64, took: Duration, method: Method, urgent_at: Option<u64>) -> Vec<u64> {
        let (start, mut schedule) = (start(), Schedule::default());
        let mut read = Vec::new();
        for second in 0..=end {
            let now = start + Duration::from_secs(second);
            schedule.list(vec![blob("a")], true);
            if urgent_at == Some(second) {
                schedule.urge([blob("a")]);
            }
            while schedule.next(now).is_some() {
                schedule.done("a", now, took, method, &Cached::Unread);
                read.push(second);
            }
            schedule.rest();
        }
        read
    }

    const QUICK: Duration = Duration::from_micros(50);

    #[test]
    fn each_method_has_its_pace() {
        assert_eq!(reads(6, QUICK, Method::Cachestat, None), [0, 2, 4, 6]);
        assert_eq!(reads(6, QUICK, Method::Cachestat, Some(3)), [0, 2, 3, 5]);
        assert_eq!(reads(60, QUICK, Method::Mincore, None), [0, 30, 60]);
        assert_eq!(reads(60, QUICK, Method::Unknown("x"), None), [0, 30, 60]);
        assert_eq!(reads(500, QUICK, Method::Sample, None), [0, 30, 90, 210, 450]);
    }

    #[test]
    fn what_took_long_is_left_alone_for_longer() {
        assert_eq!(reads(20, Duration::from_millis(80), Method::Cachestat, None), [0, 8, 16]);
        assert_eq!(reads(200, Duration::from_secs(1), Method::Mincore, None), [0, 100, 200]);
    }

    #[test]
    fn sampling_looks_closer_again_after_an_urgent_look_and_never_less_than_each_half_hour() {
        assert_eq!(reads(200, QUICK, Method::Sample, Some(100)), [0, 30, 90, 100, 130, 190]);
        let all = reads(20_000, QUICK, Method::Sample, None);
        let last = all.last_chunk::<2>().unwrap();
        assert_eq!(last[1] - last[0], 1800);
    }

    #[test]
    fn however_urgent_the_same_blob_is_not_sampled_twice_in_a_second() {
        let (start, mut schedule) = (start(), Schedule::default());
        schedule.urge([blob("a")]);
        schedule.done("a", start, QUICK, Method::Sample, &Cached::Unread);
        schedule.urge([blob("a")]);
        let at = |millis| schedule.next(start + Duration::from_millis(millis)).is_some();
        assert_eq!((at(0), at(999), at(1000)), (false, false, true));
        assert!(schedule.is_urged());
    }

    /// The seconds at which a blob of 1000 bytes is counted when it is asked for every 5 s until `end`, `closely` from
    /// a second on, and so much of it is there at a second.
    fn counts(end: u64, closely_from: u64, there: impl Fn(u64) -> u64) -> Vec<u64> {
        let (start, mut schedule) = (start(), Schedule::default());
        let mut read = Vec::new();
        for second in (0..=end).step_by(5) {
            let now = start + Duration::from_secs(second);
            schedule.list(vec![("a".to_owned(), PathBuf::from("a"), Bytes(1000))], second >= closely_from);
            while schedule.next(now).is_some() {
                let cached = Cached::Exact(Bytes(there(second)));
                schedule.done("a", now, QUICK, Method::Cachestat, &cached);
                read.push(second);
            }
            schedule.rest();
        }
        read
    }

    #[test]
    fn what_stands_still_or_fades_slowly_is_counted_more_and_more_seldom() {
        assert_eq!(counts(120, u64::MAX, |_| 700), [0, 5, 15, 35, 65, 95]);
        assert_eq!(counts(70, u64::MAX, |second| 1000 - second), [0, 5, 15, 35, 65]);
    }

    #[test]
    fn what_moves_much_is_counted_at_each_round_and_rests_once_it_stands() {
        assert_eq!(counts(20, u64::MAX, |second| 1000 - second * 11), [0, 5, 10, 15, 20]);
        let falls = |second| if second < 30 { 1000 } else { 10 };
        assert_eq!(counts(80, u64::MAX, falls), [0, 5, 15, 35, 40, 50, 70]);
    }

    #[test]
    fn while_something_is_under_way_it_is_counted_at_each_round() {
        assert_eq!(counts(60, 40, |_| 700), [0, 5, 15, 35, 40, 45, 50, 55, 60]);
    }

    #[test]
    fn urgent_goes_first_and_nobody_is_read_unasked() {
        let (start, mut schedule) = (start(), Schedule::default());
        schedule.list(vec![blob("a"), blob("b"), blob("c")], true);
        schedule.urge([blob("b")]);
        assert_eq!(schedule.next(start), Some(("b".to_owned(), PathBuf::from("b"))));
        schedule.rest();
        schedule.done("b", start, QUICK, Method::Cachestat, &Cached::Unread);
        assert_eq!(schedule.next(start + SAMPLED_MOST), None);
    }

    #[test]
    fn a_blob_that_moved_is_new_and_one_off_the_list_is_forgotten() {
        let (start, mut schedule) = (start(), Schedule::default());
        schedule.list(vec![blob("a")], true);
        schedule.done("a", start, QUICK, Method::Sample, &Cached::Unread);
        schedule.list(vec![("a".to_owned(), PathBuf::from("elsewhere"), Bytes(1))], true);
        assert_eq!(schedule.next(start), Some(("a".to_owned(), PathBuf::from("elsewhere"))));
        schedule.list(Vec::new(), true);
        assert!(!schedule.knows("a"));
    }

    #[test]
    fn there_is_a_bound_to_how_many_are_watched() {
        let mut schedule = Schedule::default();
        schedule.list((0..MOST + 5).map(|number| blob(&number.to_string())).collect(), true);
        schedule.urge([blob("one more")]);
        assert_eq!(schedule.blobs.len(), MOST);
        assert!(!schedule.knows("one more"));
    }
}
