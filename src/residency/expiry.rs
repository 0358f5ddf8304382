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

    /// The keep_alive that a jump of `expires_at`, seen at `now`, betrays: whole seconds, since polls come late.
    pub fn betrays(self, now: Timestamp) -> Option<KeepAlive> {
        match self {
            Expiry::Never => Some(KeepAlive::Forever),
            Expiry::At(at) => Duration::try_from(at.duration_since(now))
                .ok()
                .map(|left| KeepAlive::For(Duration::from_secs_f64(left.as_secs_f64().ceil()))),
            Expiry::Unknown => None,
        }
    }
}

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
}
