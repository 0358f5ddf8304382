//! `expires_at` read: when a loaded model will go, and what its forms mean.

use std::time::Duration;

use jiff::Timestamp;

use super::keep_alive::KeepAlive;
use super::timing::Moment;

/// Further ahead than this, `expires_at` means for ever (the server's own rule, format/time.go: 20 years).
const FOREVER: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// When the server will unload a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Pinned.
    Never,
    /// At this moment; in the past it means busy or unloading.
    At(Timestamp),
    /// The server said nothing that can be read.
    Unknown,
}

impl Expiry {
    /// Reads the wire's text, which carries the server's own offset and up to nine digits of a second.
    pub fn read(text: Option<&str>, now: Timestamp) -> Expiry {
        let Some(at) = text.and_then(|text| text.parse::<Timestamp>().ok()) else { return Expiry::Unknown };
        if Duration::try_from(at.duration_since(now)).is_ok_and(|ahead| ahead > FOREVER) {
            Expiry::Never
        } else {
            Expiry::At(at)
        }
    }

    /// What is left at `now`; `None` for ever or unknown, zero when past.
    pub fn remaining(self, now: Moment) -> Option<Duration> {
        let Expiry::At(at) = self else { return None };
        Some(Duration::try_from(at.duration_since(now.wall)).unwrap_or(Duration::ZERO))
    }

    /// Whether the moment has passed: the model is busy or being unloaded.
    pub fn is_past(self, now: Timestamp) -> bool {
        matches!(self, Expiry::At(at) if at <= now)
    }

    /// The keep_alive that a jump of `expires_at` betrays: the last request ended between the poll at `before` and
    /// the one at `now`, so it lies between `expires_at - now` and `expires_at - before`; the roundest time in
    /// there is what somebody wrote.
    pub fn betrays(self, before: Timestamp, now: Timestamp) -> Option<KeepAlive> {
        let at = match self {
            Expiry::Never => return Some(KeepAlive::Forever),
            Expiry::Unknown => return None,
            Expiry::At(at) => at,
        };
        let ahead = |of: Timestamp| Duration::try_from(at.duration_since(of)).ok();
        let (least, most) = (ahead(now)?, ahead(before)? + SLACK);
        STEPS
            .iter()
            .map(|step| most.as_secs() / step * step)
            .find(|&seconds| seconds > 0 && seconds + 1 > least.as_secs())
            .map(|seconds| KeepAlive::For(Duration::from_secs(seconds)))
            .or(Some(KeepAlive::For(most)))
    }
}

/// Time between the server's answer and our stamp of it.
const SLACK: Duration = Duration::from_millis(50);

/// Steps of seconds that people write, roundest first.
const STEPS: [u64; 9] = [3600, 1800, 600, 300, 60, 30, 10, 5, 1];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_of_expires_at_is_read() {
        let now = at("2026-11-23T12:00:00Z");
        let read = |text| Expiry::read(Some(text), now);
        assert_eq!(read("2026-11-23T04:05:00.5-08:00"), Expiry::At(at("2026-11-23T12:05:00.5Z")));
        assert_eq!(read("2319-03-05T06:45:19.07349331Z"), Expiry::Never);
        assert_eq!(read("0001-01-01T00:00:00Z"), Expiry::At(at("0001-01-01T00:00:00Z")));
        assert_eq!(read("soon"), Expiry::Unknown);
        assert_eq!(Expiry::read(None, now), Expiry::Unknown);
    }

    #[test]
    fn a_jump_betrays_the_roundest_keep_alive_it_can_mean() {
        let expiry = Expiry::At(at("2026-11-23T12:05:00.4Z"));
        let learn = |before, now| expiry.betrays(at(before), at(now));
        let minutes = |m: u64| Some(KeepAlive::For(Duration::from_secs(m * 60)));
        assert_eq!(learn("2026-11-23T12:00:00Z", "2026-11-23T12:00:01Z"), minutes(5));
        assert_eq!(learn("2026-11-23T11:05:00Z", "2026-11-23T11:05:01Z"), minutes(60));
        let seconds = Some(KeepAlive::For(Duration::from_secs(3)));
        assert_eq!(learn("2026-11-23T12:04:57Z", "2026-11-23T12:04:58Z"), seconds);
        assert_eq!(
            Expiry::Never.betrays(at("2026-11-23T12:00:00Z"), at("2026-11-23T12:00:01Z")),
            Some(KeepAlive::Forever)
        );
    }
}
