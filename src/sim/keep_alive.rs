//! `keep_alive` as the server reads it: Go's durations and its own forms, with its own error texts.

use serde_json::Value;

/// Nanoseconds, as Go holds a duration; [`FOREVER`] for one below zero.
pub(crate) type Nanos = i64;
/// What a negative one becomes: 292 years.
pub(crate) const FOREVER: Nanos = i64::MAX;

/// Reads the field of a request; `None` for absent or `null`.
pub(crate) fn read(value: Option<&Value>) -> Result<Option<Nanos>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(seconds(number.as_f64().unwrap_or(0.0)))),
        Some(Value::String(text)) => {
            go_duration(text).map(|nanos| Some(if nanos < 0 { FOREVER } else { nanos }))
        }
        Some(Value::Bool(_)) => Err("Unsupported type: 'bool'".to_owned()),
        Some(Value::Array(_)) => Err("Unsupported type: '[]interface {}'".to_owned()),
        Some(Value::Object(_)) => Err("Unsupported type: 'map[string]interface {}'".to_owned()),
    }
}

/// A number of seconds. Too large a one overflows in Go to the smallest integer, which unloads at once (seen on both
/// servers with 1e12).
fn seconds(seconds: f64) -> Nanos {
    if seconds < 0.0 {
        return FOREVER;
    }
    let nanos = seconds * 1e9;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    if nanos < 9.2e18 { nanos as Nanos } else { Nanos::MIN }
}

/// Go's `time.ParseDuration`.
pub(crate) fn go_duration(text: &str) -> Result<Nanos, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, after) = rest.split_at(end);
        let factor = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += number * factor;
        rest = after;
    }
    if total >= 9.2e18 {
        return Err(invalid());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    let nanos = total as Nanos;
    Ok(if negative { -nanos } else { nanos })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn every_form_the_server_takes_is_read() {
        for (value, nanos) in [
            (json!(-1), Some(FOREVER)),
            (json!("-1m"), Some(FOREVER)),
            (json!("-1s"), Some(FOREVER)),
            (json!(0), Some(0)),
            (json!("0"), Some(0)),
            (json!("0s"), Some(0)),
            (json!(300), Some(300 * SECOND)),
            (json!(90.5), Some(90 * SECOND + SECOND / 2)),
            (json!("1h30m"), Some(5400 * SECOND)),
            (json!(null), None),
            (json!(1_000_000_000_000_u64), Some(Nanos::MIN)),
        ] {
            assert_eq!(read(Some(&value)), Ok(nanos), "{value}");
        }
        assert_eq!(read(None), Ok(None));
    }

    #[test]
    fn what_the_server_refuses_is_refused_in_its_words() {
        for (value, words) in [
            (json!("-1"), r#"time: missing unit in duration "-1""#),
            (json!("300"), r#"time: missing unit in duration "300""#),
            (json!(""), r#"time: invalid duration """#),
            (json!("abc"), r#"time: invalid duration "abc""#),
            (json!("5min"), r#"time: unknown unit "min" in duration "5min""#),
            (json!(true), "Unsupported type: 'bool'"),
        ] {
            assert_eq!(read(Some(&value)), Err(words.to_owned()));
        }
    }
}
