//! Times and sizes as people write them: `keep_alive`, durations, bytes.

use std::time::Duration;

use resident::residency::bytes::Bytes;
use resident::residency::keep_alive::{KeepAlive, parse_duration};

use super::safe;

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub fn holds(data: &[u8]) {
    let text = safe::text(data);
    if let Ok(keep_alive) = KeepAlive::parse(&text) {
        kept(keep_alive);
        if let KeepAlive::For(time) = keep_alive {
            assert!(time.is_zero() || parse_duration(&text).map(|time| time.min(TEN_YEARS)) == Some(time));
        }
    } else {
        assert_eq!(parse_duration(&text), None, "a time that is no keep_alive");
    }
    match Bytes::parse(&text) {
        Ok(bytes) => {
            assert_eq!(Bytes::parse(&bytes.0.to_string()), Ok(bytes));
            safe::assert_safe(&bytes.to_string());
            assert!(bytes.percent_of(bytes + bytes) <= 100);
            assert!((0.0..=1.0).contains(&bytes.share_of(bytes + Bytes(1))));
            assert_eq!(bytes.minus(bytes), Bytes::ZERO);
        }
        Err(error) => safe::assert_safe(&error.to_string()),
    }
}

/// What goes out is what the server takes, and what is shown can be written again.
fn kept(keep_alive: KeepAlive) {
    let wire = keep_alive.to_wire();
    let shown = keep_alive.to_string();
    let read = KeepAlive::parse(&shown).expect("what is shown can be written");
    match (keep_alive, read) {
        (KeepAlive::Forever, read) => {
            assert!(read.is_forever() && wire.is_finite() && wire < 0.0, "{wire}");
        }
        (KeepAlive::For(time), KeepAlive::For(read)) => {
            assert!((0.0..=TEN_YEARS.as_secs_f64()).contains(&wire), "{wire}");
            // Parts of a second are rounded to tenths.
            let most = Duration::from_millis(if time.subsec_nanos() == 0 { 0 } else { 51 });
            assert!(time.abs_diff(read) <= most, "{time:?} is shown as {shown}");
        }
        (_, KeepAlive::Forever) => panic!("{keep_alive:?} is shown as {shown}"),
    }
}
