//! Text from outside: what may not reach a terminal does not, and nothing else is changed.

use std::borrow::Cow;

use resident::residency::text::printable;

use super::safe;

pub fn holds(data: &[u8]) {
    let text = safe::text(data);
    let shown = printable(&text);
    safe::assert_safe(&shown);
    assert!(shown.chars().count() <= text.chars().count(), "{shown:?} is longer than {text:?}");
    assert_eq!(printable(&shown), shown, "what is printable stays so");
    match &shown {
        Cow::Borrowed(same) => assert_eq!(*same, text),
        Cow::Owned(_) => assert_ne!(shown, text),
    }
    // In their order: each is as it was, replaced, or a mark of a pile.
    let mut old = text.chars();
    for new in shown.chars() {
        assert!(old.any(|old| old == new || new == '\u{fffd}'), "{new:?} of {shown:?} is not of {text:?}");
    }
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        assert_eq!(shown, text);
    }
}
