//! What may reach a terminal: said here a second time, so that the program's own list is held to it.

/// Panics if a terminal that is sent `text` could move its cursor, hide a part of it or show it in another order.
#[track_caller]
pub fn assert_safe(text: &str) {
    let bad: Vec<char> = text.chars().filter(|c| is_bad(*c)).collect();
    assert!(bad.is_empty(), "{bad:?} in {text:?}");
}

/// Controls, and Unicode's `Default_Ignorable_Code_Point` and format characters that show nothing; the two
/// variation selectors that choose between text and emoji may stay.
fn is_bad(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0d | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// The bytes as text, as a server's answer is read.
pub fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}
