//! `expires_at`: whatever is written there and whenever that is, what is made of it is consistent.
//!
//! The first eight bytes are now, in seconds; the rest is the text.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use resident::residency::expiry::Expiry;
use resident::residency::keep_alive::KeepAlive;
use resident::residency::timing::Moment;

use super::safe;

const YEARS: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
pub fn holds(data: &[u8]) {
    let Some((seconds, text)) = data.split_first_chunk() else { return };
    let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let second = first + i64::from_le_bytes(*seconds).rem_euclid(last - first);
    let now = Timestamp::from_second(second).expect("a time of the calendar");
    let text = safe::text(text);
    let expiry = Expiry::read(Some(&text), now);
    let moment = Moment { mono: std::time::Instant::now(), wall: now };
    let remaining = expiry.remaining(moment);
    match expiry {
        Expiry::At(at) => {
            let left = remaining.expect("a time that is left");
            assert!(left <= YEARS);
            assert_eq!(expiry.is_past(now), left.is_zero());
            assert_eq!(now.saturating_add(left).ok().filter(|end| *end > now), (at > now).then_some(at));
            assert_eq!(Expiry::read(Some(&at.to_string()), now), expiry, "it reads back as it is written");
        }
        Expiry::Never | Expiry::Unknown => {
            assert_eq!((remaining, expiry.is_past(now)), (None, false));
        }
    }
    for earlier in [0, 1, 3, i64::MAX / 2] {
        let before = now.saturating_sub(SignedDuration::from_secs(earlier)).unwrap_or(Timestamp::MIN);
        match (expiry, expiry.betrays(before, now)) {
            (Expiry::Never, learned) => assert_eq!(learned, Some(KeepAlive::Forever)),
            (Expiry::Unknown, learned) => assert_eq!(learned, None),
            // A past one betrays nothing.
            (Expiry::At(at), None) => assert!(at < now),
            (Expiry::At(at), Some(KeepAlive::For(time))) => {
                let most = Duration::try_from(at.duration_since(before)).expect("it lies ahead");
                assert!(time <= most + Duration::from_millis(50), "{time:?} of {most:?}");
            }
            (Expiry::At(_), Some(KeepAlive::Forever)) => panic!("{expiry:?} is not for ever"),
        }
    }
}
