//! `ui.theme`: one of the themes that come with the program, and the user's own colours over it, role by role.

use std::collections::BTreeMap;
use std::fmt;

use super::reader::Reader;
use super::tree::{Kind, Node};

/// A theme, and what the user has in it another way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Theme {
    /// What it begins with.
    pub base: Base,
    /// The user's own colours.
    pub own: BTreeMap<Role, Hue>,
}

impl fmt::Display for Theme {
    /// In a line: its base, then each role that is the user's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.name())?;
        self.own.iter().try_for_each(|(role, hue)| write!(f, " {}={hue}", role.name()))
    }
}

/// The themes that come with the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Base {
    /// For dark ground.
    #[default]
    Dark,
    /// For light ground.
    Light,
    /// The brightest colours, nothing dimmed.
    HighContrast,
    /// Colours that are told apart with any kind of colour vision.
    Safe,
    /// No colours.
    Mono,
}

impl Base {
    /// All, in the order in which a key changes them.
    pub const ALL: [Base; 5] = [Base::Dark, Base::Light, Base::HighContrast, Base::Safe, Base::Mono];

    /// Its name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Base::Dark => "dark",
            Base::Light => "light",
            Base::HighContrast => "high-contrast",
            Base::Safe => "safe",
            Base::Mono => "mono",
        }
    }
}

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the config, said there")]
pub enum Role {
    Title,
    Text,
    Faint,
    Selected,
    Vram,
    Ram,
    Disk,
    Unknown,
    Context,
    Other,
    Good,
    Warn,
    Bad,
    Key,
    Work,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 15] = [
        Role::Title,
        Role::Text,
        Role::Faint,
        Role::Selected,
        Role::Vram,
        Role::Ram,
        Role::Disk,
        Role::Unknown,
        Role::Context,
        Role::Other,
        Role::Good,
        Role::Warn,
        Role::Bad,
        Role::Key,
        Role::Work,
    ];

    /// Its name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Role::Title => "title",
            Role::Text => "text",
            Role::Faint => "faint",
            Role::Selected => "selected",
            Role::Vram => "vram",
            Role::Ram => "ram",
            Role::Disk => "disk",
            Role::Unknown => "unknown",
            Role::Context => "context",
            Role::Other => "other",
            Role::Good => "good",
            Role::Warn => "warn",
            Role::Bad => "bad",
            Role::Key => "key",
            Role::Work => "work",
        }
    }
}

/// The names of the terminal's sixteen colours, by their numbers.
const NAMES: [&str; 16] = [
    "black",
    "red",
    "green",
    "yellow",
    "blue",
    "magenta",
    "cyan",
    "white",
    "bright-black",
    "bright-red",
    "bright-green",
    "bright-yellow",
    "bright-blue",
    "bright-magenta",
    "bright-cyan",
    "bright-white",
];

/// The name of the terminal's own colour of text.
const PLAIN: &str = "default";

/// One colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    /// The terminal's own colour of text.
    Plain,
    /// The one with this number of the terminal's sixteen.
    Ansi(u8),
    /// Red, green and blue.
    Rgb(u8, u8, u8),
}

impl Hue {
    /// Reads a name or `#rrggbb`.
    fn parse(text: &str) -> Option<Hue> {
        let text = text.to_ascii_lowercase();
        if text == PLAIN {
            return Some(Hue::Plain);
        }
        if let Some(at) = NAMES.iter().position(|name| *name == text) {
            return u8::try_from(at).ok().map(Hue::Ansi);
        }
        let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.is_ascii())?;
        let part = |at: usize| {
            let two = &hex[at..at + 2];
            two.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(two, 16).ok()).flatten()
        };
        Some(Hue::Rgb(part(0)?, part(2)?, part(4)?))
    }
}

impl fmt::Display for Hue {
    /// As it is written in the config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Hue::Plain => f.write_str(PLAIN),
            Hue::Ansi(number) => f.write_str(NAMES[usize::from(number) % NAMES.len()]),
            Hue::Rgb(red, green, blue) => write!(f, "#{red:02x}{green:02x}{blue:02x}"),
        }
    }
}

/// A name, or a map of `base` and roles.
pub(super) fn read(reader: &mut Reader, key: &str, node: &Node) -> Option<Theme> {
    let bases = Base::ALL.map(|base| (base.name(), base));
    if !matches!(node.kind, Kind::Map(_)) {
        let base = reader.one_of(key, node, &bases)?;
        return Some(Theme { base, own: BTreeMap::new() });
    }
    let known: Vec<&str> = std::iter::once("base").chain(Role::ALL.map(Role::name)).collect();
    let fields = reader.fields(key, node, &known)?;
    let base = reader.field(&fields, "base", |r, key, node| r.one_of(key, node, &bases)).unwrap_or_default();
    if let Kind::Map(entries) = &node.kind {
        for entry in entries.iter().filter(|entry| entry.value.kind == Kind::Null && entry.key != "base") {
            let message =
                "empty; a colour such as \"#56b4e9\" stands in quotes, else YAML takes it for a comment";
            reader.wrong(entry.at, &fields.path_of(&entry.key), message);
        }
    }
    let mut own = BTreeMap::new();
    for role in Role::ALL {
        if let Some(hue) = reader.field(&fields, role.name(), hue) {
            own.insert(role, hue);
        }
    }
    Some(Theme { base, own })
}

fn hue(reader: &mut Reader, key: &str, node: &Node) -> Option<Hue> {
    let text = reader.words(key, node)?;
    let hue = Hue::parse(&text);
    if hue.is_none() {
        let message = "no colour; write \"#rrggbb\", default, or one such as red or bright-cyan";
        reader.wrong(node.at, key, message);
    }
    hue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_reads_back_as_it_is_written() {
        for text in NAMES.into_iter().chain([PLAIN, "#0a1bfe"]) {
            assert_eq!(Hue::parse(text).map(|hue| hue.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Hue::parse("#E69F00"), Some(Hue::Rgb(230, 159, 0)));
        for bad in ["", "#", "#12345", "#1234567", "#+12345", "#ééé", "rgb", "bright", "12"] {
            assert_eq!(Hue::parse(bad), None, "{bad}");
        }
    }
}
