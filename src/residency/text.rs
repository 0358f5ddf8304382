//! Text from outside made safe for a terminal: no control, escape, bidi or zero-width characters pass.

use std::borrow::Cow;

/// `text` with every character that could move the cursor, hide text or reorder it replaced by `�`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_printable(c) { c } else { '\u{fffd}' }).collect())
}

/// Whether a terminal may be sent `c` as it is.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_bidi_marks_and_zero_width_characters_never_pass() {
        assert_eq!(printable("a\u{1b}[31mb"), "a\u{fffd}[31mb");
        assert_eq!(printable("x\u{202e}y\u{200b}z\u{9b}"), "x\u{fffd}y\u{fffd}z\u{fffd}");
        assert_eq!(printable("日本語:7b"), "日本語:7b");
    }
}
