//! Text from outside made safe for a terminal: no control, escape, bidi or zero-width characters pass.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar;

/// `text` with every character that could move the cursor, hide text or reorder it replaced by `�`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) && !has_pile(text) {
        return Cow::Borrowed(text);
    }
    let mut marks = 0;
    let kept = text.chars().filter(|c| {
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        marks <= MARKS
    });
    Cow::Owned(kept.map(|c| if is_printable(c) { c } else { '\u{fffd}' }).collect())
}

/// Marks on one character: no language needs more, and thousands would go to the terminal for one cell.
const MARKS: usize = 6;

/// Whether marks without a width are piled up higher than that.
fn has_pile(text: &str) -> bool {
    let mut marks = 0;
    !text.is_ascii()
        && text.chars().any(|c| {
            marks = if c.width() == Some(0) { marks + 1 } else { 0 };
            marks > MARKS
        })
}

/// Whether a terminal may be sent `c` as it is: no control, and nothing that shows nothing, but for the two selectors
/// that choose between text and emoji.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'))
}

/// The host part of a request's `Host`, which is `host`, `host:port` or `[::1]:port`.
pub fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.rsplit_once(':') {
        Some((before, port)) if !before.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_bidi_marks_and_zero_width_characters_never_pass() {
        assert_eq!(printable("a\u{1b}[31mb"), "a\u{fffd}[31mb");
        assert_eq!(printable("x\u{202e}y\u{200b}z\u{9b}"), "x\u{fffd}y\u{fffd}z\u{fffd}");
        assert_eq!(printable("q\u{34f}w\u{17b4}e\u{180b}n\u{1d173}"), "q\u{fffd}w\u{fffd}e\u{fffd}n\u{fffd}");
        assert_eq!(printable("日本語:7b ⚠\u{fe0f}"), "日本語:7b ⚠\u{fe0f}");
    }

    #[test]
    fn marks_are_not_piled_up_without_end() {
        let pile = format!("z{}a\u{301}", "\u{301}".repeat(3000));
        assert_eq!(printable(&pile), format!("z{}a\u{301}", "\u{301}".repeat(6)));
        assert_eq!(printable("e\u{301}"), "e\u{301}");
    }
}
