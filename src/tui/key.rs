//! One key as it is written in the config (`j`, `G`, `ctrl-l`, `shift-tab`) and as the terminal reports it.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::residency::text::printable;

/// A key with its modifiers, normalised: a character says by itself whether SHIFT was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

/// The names of the keys that are no characters, first the one we print.
const NAMED: [(&str, KeyCode); 20] = [
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
    ("return", KeyCode::Enter),
    ("escape", KeyCode::Esc),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
    ("del", KeyCode::Delete),
];

impl Key {
    /// Reads a key as a person writes it; `None` if it is none.
    pub fn parse(text: &str) -> Option<Key> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text.trim();
        // `-` itself is a key, and so is `ctrl--`.
        while let Some((before, after)) = rest.split_once('-').filter(|(_, after)| !after.is_empty()) {
            modifiers |= match before.to_ascii_lowercase().as_str() {
                "ctrl" => KeyModifiers::CONTROL,
                "alt" => KeyModifiers::ALT,
                "shift" => KeyModifiers::SHIFT,
                _ => return None,
            };
            rest = after;
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.next()) {
            (Some(c), None) if modifiers.contains(KeyModifiers::SHIFT) && c.is_lowercase() => {
                KeyCode::Char(c.to_uppercase().next()?)
            }
            // What shows nothing could not be named in the help.
            (Some(c), None) if printable(rest) == rest => KeyCode::Char(c),
            _ => named(&rest.to_ascii_lowercase())?,
        };
        Some(Key::new(code, modifiers))
    }

    /// The key of a press; `None` for releases.
    pub fn of(event: KeyEvent) -> Option<Key> {
        (!event.is_release()).then(|| Key::new(event.code, event.modifiers))
    }

    fn new(code: KeyCode, modifiers: KeyModifiers) -> Key {
        let mut modifiers = modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            // Terminals disagree on whether `?` comes with SHIFT, and whether Ctrl-L comes as `l` or `L`.
            KeyCode::Char(c) => {
                modifiers -= KeyModifiers::SHIFT;
                let held = modifiers.contains(KeyModifiers::CONTROL);
                KeyCode::Char(if held { c.to_ascii_lowercase() } else { c })
            }
            code => code,
        };
        Key { code, modifiers }
    }

    /// The character it types, if it is held with nothing.
    pub fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if self.modifiers.is_empty() => Some(c),
            _ => None,
        }
    }

    /// Whether Control is held: such keys act whatever is on top.
    pub fn is_control(self) -> bool {
        self.modifiers.contains(KeyModifiers::CONTROL)
    }
}

fn named(text: &str) -> Option<KeyCode> {
    if let Some((_, code)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Some(*code);
    }
    let number: u8 = text.strip_prefix('f')?.parse().ok()?;
    (1..=12).contains(&number).then_some(KeyCode::F(number))
}

impl fmt::Display for Key {
    /// As it is written in the config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.modifiers.contains(modifier) {
                f.write_str(name)?;
            }
        }
        if let Some((name, _)) = NAMED.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(number) => write!(f, "f{number}"),
            _ => f.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEventKind;

    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        Key::of(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn a_key_prints_as_it_is_written() {
        for text in
            ["j", "G", "enter", "shift-tab", "ctrl-l", "?", "-", "ctrl--", "alt-x", "f5", "space", "pgdn"]
        {
            assert_eq!(Key::parse(text).map(|key| key.to_string()).as_deref(), Some(text));
        }
        for bad in ["", "hyper-x", "jk", "ctrl-", "f13", "\u{1b}", "\u{fff8}", "f"] {
            assert_eq!(Key::parse(bad), (bad == "f").then(|| Key::parse("f").unwrap()), "{bad}");
        }
    }

    #[test]
    fn shift_on_a_symbol_and_the_case_of_a_control_letter_make_no_difference() {
        assert_eq!(pressed(KeyCode::Char('?'), KeyModifiers::SHIFT), Key::parse("?"));
        assert_eq!(pressed(KeyCode::Char('G'), KeyModifiers::SHIFT), Key::parse("shift-g"));
        assert_eq!(
            pressed(KeyCode::Char('L'), KeyModifiers::CONTROL | KeyModifiers::SHIFT),
            Key::parse("ctrl-l")
        );
        assert_eq!(pressed(KeyCode::BackTab, KeyModifiers::NONE), Key::parse("shift-tab"));
    }

    #[test]
    fn a_release_is_no_key() {
        let event = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(Key::of(event), None);
    }
}
