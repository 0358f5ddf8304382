//! Numbers that no machine holds: one such as `1e999` is read as null instead of losing the answer it stands in.

use serde::de::DeserializeOwned;

/// Reads an answer; a number out of range costs its own field only.
pub fn read<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    match serde_json::from_str(text) {
        // serde_json has no kind for this error, only the words.
        Err(error) if error.to_string().starts_with("number out of range") => {
            serde_json::from_str(&without_endless(text))
        }
        read => read,
    }
}

/// The text with null for each number, outside of strings, that is too large for an `f64`.
fn without_endless(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => string(rest),
            '-' | '0'..='9' => rest.find(|c| !is_numeric(c)).unwrap_or(rest.len()),
            _ => rest.find(|c| c == '"' || c == '-' || char::is_ascii_digit(&c)).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(end);
        let is_endless = is_numeric(first) && token.parse::<f64>().is_ok_and(f64::is_infinite);
        kept.push_str(if is_endless { "null" } else { token });
        rest = after;
    }
    kept
}

/// Where the string ends that `text` begins with; one that does not end takes all.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_numeric(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')
}

#[cfg(test)]
mod tests {
    use super::super::Ps;
    use super::*;

    #[test]
    fn a_number_out_of_range_costs_its_own_field_only() {
        let long = "9".repeat(400);
        for number in ["1e999", "-1E+999", "0.5e9999999999", &long] {
            let text = format!(
                r#"{{"models":[{{"name":"a","size":{number},"size_vram":0}},{{"name":"b","size":7}},{number}]}}"#
            );
            let models = read::<Ps>(&text).unwrap().models;
            let sizes: Vec<_> = models.iter().map(|model| (model.name.as_str(), model.size)).collect();
            assert_eq!(sizes, [("a", 0), ("b", 7)], "{number}");
        }
    }

    #[test]
    fn strings_and_all_other_numbers_stay_as_they_are() {
        for (text, cleaned) in [
            (r#"["1e999",1e999]"#, r#"["1e999",null]"#),
            (r#"["a\"1e999",-1e999]"#, r#"["a\"1e999",null]"#),
            (r#"["a\\",1e999,"日 1e999"]"#, r#"["a\\",null,"日 1e999"]"#),
            ("[1e300,-0.5,12,1e-999]", "[1e300,-0.5,12,1e-999]"),
            (r#"["1e999"#, r#"["1e999"#),
            ("-e1", "-e1"),
            ("", ""),
        ] {
            assert_eq!(without_endless(text), cleaned, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_stays_an_error() {
        for text in [r#"{"models":[{"size":NaN}]}"#, r#"{"models":[1e999"#, r#"{"models":[1e999e999]}"#] {
            assert!(read::<Ps>(text).is_err(), "{text}");
        }
    }
}
