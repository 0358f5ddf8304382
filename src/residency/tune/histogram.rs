//! The histogram of idle times: bins of a minute up to four hours, a count of what was longer, and the latest of that.
//!
//! Range and bins are those of the paper (section 4.2, "Range-limited histogram"): minutes are fine enough here too,
//! since uses within seconds are one, and the server's shortest usual keep_alive is 5 minutes; and a card that holds a
//! model or two does not hold one idle for longer than four hours. 240 counters, less than a kilobyte a model.

use std::time::Duration;

/// How many bins.
pub const BINS: u32 = 240;

/// What one bin covers.
pub const BIN: Duration = Duration::from_secs(60);

/// What all of them cover: 4 h.
pub const RANGE: Duration = Duration::from_secs(60 * BINS as u64);

/// How often a model came back after how long.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    bins: [u32; BINS as usize],
    beyond: u32,
    far: Vec<Duration>,
}

/// So many of those beyond the bins are kept, the latest.
const FAR: usize = 9;

impl std::fmt::Debug for Histogram {
    /// Only the bins that are not empty.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let full = self.bins.iter().enumerate().filter(|(_, count)| **count > 0);
        f.debug_map().entries(full).entry(&"beyond", &self.beyond).finish()
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { bins: [0; BINS as usize], beyond: 0, far: Vec::new() }
    }
}

/// A line of the histogram as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Such as `5m to 10m`.
    pub label: &'static str,
    /// Where it ends; `None` is open.
    pub until: Option<Duration>,
    /// How many idle times were that long.
    pub count: u32,
}

/// The ends of what is shown as one line, in minutes.
const STRETCHES: [(u32, &str); 9] = [
    (1, "under 1m"),
    (2, "1m to 2m"),
    (5, "2m to 5m"),
    (10, "5m to 10m"),
    (20, "10m to 20m"),
    (40, "20m to 40m"),
    (60, "40m to 1h"),
    (120, "1h to 2h"),
    (BINS, "2h to 4h"),
];

impl Histogram {
    /// Of these idle times.
    pub fn of(idle: impl IntoIterator<Item = Duration>) -> Histogram {
        let mut histogram = Histogram::default();
        idle.into_iter().for_each(|idle| histogram.note(idle));
        histogram
    }

    /// Counts one more.
    pub fn note(&mut self, idle: Duration) {
        let bin = usize::try_from(idle.as_secs() / BIN.as_secs()).unwrap_or(usize::MAX);
        if let Some(count) = self.bins.get_mut(bin) {
            *count = count.saturating_add(1);
            return;
        }
        self.beyond = self.beyond.saturating_add(1);
        if self.far.len() == FAR {
            self.far.remove(0);
        }
        self.far.push(idle);
    }

    /// All of them.
    pub fn returns(&self) -> u32 {
        self.within(RANGE).saturating_add(self.beyond)
    }

    /// Those longer than the bins reach.
    pub fn beyond(&self) -> u32 {
        self.beyond
    }

    /// The median of the latest of those; `None` without any.
    pub fn far(&self) -> Option<Duration> {
        let mut far = self.far.clone();
        far.sort_unstable();
        far.get(far.len() / 2).copied()
    }

    /// Those in bins that end by `limit`.
    pub fn within(&self, limit: Duration) -> u32 {
        self.upto(limit).iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn upto(&self, limit: Duration) -> &[u32] {
        let bins = usize::try_from(limit.as_secs() / BIN.as_secs()).unwrap_or(usize::MAX);
        &self.bins[..bins.min(self.bins.len())]
    }

    /// The end of the bin by which `percent` of those within `limit` are over: the tail, rounded up.
    pub fn tail(&self, percent: u8, limit: Duration) -> Option<Duration> {
        self.bin_of(percent, limit).map(|bin| BIN * (bin + 1))
    }

    /// The beginning of the bin in which the first `percent` of those within the range end: the head, rounded down.
    pub fn head(&self, percent: u8) -> Option<Duration> {
        self.bin_of(percent, RANGE).map(|bin| BIN * bin)
    }

    fn bin_of(&self, percent: u8, limit: Duration) -> Option<u32> {
        let bins = self.upto(limit);
        let all: u64 = bins.iter().copied().map(u64::from).sum();
        let wanted = (all * u64::from(percent)).div_ceil(100).max(1);
        let mut sum = 0;
        let at = bins.iter().position(|count| {
            sum += u64::from(*count);
            sum >= wanted
        })?;
        u32::try_from(at).ok()
    }

    /// The coefficient of variation of the bins' counts: 0 where all are the same, 15 where all returns are in one.
    pub fn variation(&self) -> f64 {
        let n = f64::from(BINS);
        let mean = self.bins.iter().copied().map(f64::from).sum::<f64>() / n;
        if mean == 0.0 {
            return 0.0;
        }
        let squares = self.bins.iter().map(|count| (f64::from(*count) - mean).powi(2)).sum::<f64>();
        (squares / n).sqrt() / mean
    }

    /// For the eye: a few lines that grow longer, and what is beyond.
    pub fn stretches(&self) -> Vec<Stretch> {
        let mut before = 0;
        let mut all: Vec<Stretch> = STRETCHES
            .iter()
            .map(|(minutes, label)| {
                let until = BIN * *minutes;
                let within = self.within(until);
                let count = within - before;
                before = within;
                Stretch { label, until: Some(until), count }
            })
            .collect();
        all.push(Stretch { label: "over 4h", until: None, count: self.beyond });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(all: &[u64]) -> Histogram {
        Histogram::of(all.iter().map(|minutes| Duration::from_secs(60 * minutes)))
    }

    #[test]
    fn every_idle_time_is_in_one_bin_or_beyond() {
        let histogram = minutes(&[0, 1, 1, 239, 240, 100_000]);
        assert_eq!((histogram.returns(), histogram.beyond()), (6, 2));
        let within = [1, 2, 239, 240].map(|limit| histogram.within(BIN * limit));
        assert_eq!(within, [1, 3, 3, 4]);
        assert_eq!(Histogram::of([Duration::MAX]).beyond(), 1);
    }

    #[test]
    fn of_what_is_beyond_the_bins_the_latest_are_kept() {
        assert_eq!(minutes(&[5, 239]).far(), None);
        let hours: Vec<u64> = [5, 5, 5, 5, 5].iter().chain(&[9; 8]).chain(&[7]).map(|h| h * 60).collect();
        assert_eq!(minutes(&hours[..6]).far(), Some(Duration::from_secs(5 * 3600)));
        assert_eq!(minutes(&hours).far(), Some(Duration::from_secs(9 * 3600)));
    }

    #[test]
    fn head_is_rounded_down_and_tail_up_and_a_limit_leaves_out_what_is_longer() {
        let histogram = minutes(&[10, 11, 12, 13, 14, 15, 16, 17, 18, 200]);
        let minute = |found: Option<Duration>| found.map(|found| found.as_secs() / 60);
        assert_eq!(minute(histogram.head(5)), Some(10));
        assert_eq!(minute(histogram.tail(90, RANGE)), Some(19));
        assert_eq!(minute(histogram.tail(99, RANGE)), Some(201));
        assert_eq!(minute(histogram.tail(99, BIN * 60)), Some(19));
        assert_eq!(minute(histogram.tail(1, RANGE)), Some(11));
        assert_eq!(minute(histogram.tail(99, BIN * 10)), None);
        assert_eq!(Histogram::default().head(5), None);
    }

    #[test]
    fn the_variation_is_nothing_where_all_bins_are_alike_and_high_where_one_has_all() {
        let even: Vec<u64> = (0..u64::from(BINS)).collect();
        assert!(minutes(&even).variation() < 1e-9);
        assert!((minutes(&[7; 50]).variation() - 239.0_f64.sqrt()).abs() < 1e-9);
        assert!(Histogram::default().variation() < 1e-9);
    }

    #[test]
    fn the_lines_that_are_shown_leave_nothing_out() {
        let histogram = minutes(&[0, 1, 4, 9, 19, 39, 59, 119, 239, 241, 241]);
        let counts: Vec<u32> = histogram.stretches().iter().map(|stretch| stretch.count).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
    }
}
