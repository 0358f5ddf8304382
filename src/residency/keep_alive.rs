//! `keep_alive`: how long the server keeps a model in VRAM after its last use.

use std::fmt;
use std::time::Duration;

/// How long after its last use a model stays loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepAlive {
    /// This long; zero unloads at once.
    For(Duration),
    /// Until told otherwise: a pin.
    Forever,
}

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a duration; write 60m, 1h30m, 90 (seconds), or -1 for ever")]
pub struct KeepAliveError;

/// The longest keep_alive that is sent, 10 years: beyond it the server's own arithmetic overflows and it unloads
/// at once (seen on 0.24 and 0.32 with 1e12 seconds).
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl KeepAlive {
    /// What the server takes where nobody set any (`OLLAMA_KEEP_ALIVE`, envconfig/config.go).
    pub const SERVERS_DEFAULT: Duration = Duration::from_secs(300);

    /// Reads what a person writes: `60m`, `1h30m`, `-1`, bare seconds, `forever`.
    pub fn parse(text: &str) -> Result<KeepAlive, KeepAliveError> {
        let text = text.trim();
        if text == "forever" {
            return Ok(KeepAlive::Forever);
        }
        if let Some(rest) = text.strip_prefix('-') {
            return match parse_duration(rest) {
                Some(d) if d.is_zero() => Ok(KeepAlive::For(Duration::ZERO)),
                Some(_) => Ok(KeepAlive::Forever),
                None => Err(KeepAliveError),
            };
        }
        parse_duration(text).map(|d| KeepAlive::For(d.min(LONGEST))).ok_or(KeepAliveError)
    }

    /// The value as the API takes it: a number of seconds, `-1` for ever (never the strings `"-1"` or `"300"`,
    /// which the server refuses).
    pub fn to_wire(self) -> f64 {
        match self {
            KeepAlive::Forever => -1.0,
            KeepAlive::For(d) => d.min(LONGEST).as_secs_f64(),
        }
    }

    /// Whether it is for ever.
    pub fn is_forever(self) -> bool {
        self == KeepAlive::Forever
    }
}

/// Reads a Go-like duration (`1h30m`, `90.5s`, `300ms`) or bare seconds; no sign.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return text
            .chars()
            .all(|c| c.is_ascii_digit() || c == '.')
            .then_some(())
            .and_then(|()| Duration::try_from_secs_f64(seconds).ok());
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let factor = match rest[..unit_end].trim() {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * factor).ok()?)?;
        rest = rest[unit_end..].trim_start();
    }
    Some(total)
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeepAlive::For(d) = self else { return f.write_str("forever") };
        let s = d.as_secs();
        if d.subsec_nanos() != 0 {
            return write!(f, "{:.1}s", d.as_secs_f64());
        }
        if s == 0 {
            return f.write_str("0s");
        }
        for (value, unit) in [(s / 3600, 'h'), (s / 60 % 60, 'm'), (s % 60, 's')] {
            if value > 0 {
                write!(f, "{value}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what parsing returns")]
    fn secs(s: u64) -> Result<KeepAlive, KeepAliveError> {
        Ok(KeepAlive::For(Duration::from_secs(s)))
    }

    #[test]
    fn every_form_a_person_writes_is_read() {
        assert_eq!(KeepAlive::parse("60m"), secs(3600));
        assert_eq!(KeepAlive::parse("1h30m"), secs(5400));
        assert_eq!(KeepAlive::parse("1800"), secs(1800));
        assert_eq!(KeepAlive::parse("-1"), Ok(KeepAlive::Forever));
        assert_eq!(KeepAlive::parse("-1m"), Ok(KeepAlive::Forever));
        assert_eq!(KeepAlive::parse("forever"), Ok(KeepAlive::Forever));
        assert_eq!(KeepAlive::parse("90.5s"), Ok(KeepAlive::For(Duration::from_millis(90_500))));
        assert_eq!(KeepAlive::parse("0"), secs(0));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in ["", "abc", "5min", "m", "1h30", "--1", "NaN", "inf", "1e99", "٣s"] {
            assert_eq!(KeepAlive::parse(bad), Err(KeepAliveError), "{bad}");
        }
    }

    #[test]
    fn what_goes_out_never_overflows_the_server() {
        let huge = KeepAlive::parse("1000000000000").unwrap();
        assert!(huge.to_wire() < 9.2e9);
        assert!((KeepAlive::Forever.to_wire() + 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn it_prints_as_it_is_written() {
        for text in ["60s", "1h30m", "5m", "1h", "1m30s", "forever"] {
            let expected = if text == "60s" { "1m" } else { text };
            assert_eq!(KeepAlive::parse(text).unwrap().to_string(), expected);
        }
    }
}
