//! The colours of the themes that come with the program, and those of the user's own as the terminal can show them.

use ratatui::style::{Color, Modifier, Style};

use super::{Depth, Theme};
use crate::config::{Base, Hue};

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

pub(super) const MONO: Theme = Theme {
    title: BOLD,
    text: PLAIN,
    faint: DIM,
    selected: BOLD,
    vram: BOLD,
    ram: PLAIN,
    disk: DIM,
    unknown: DIM,
    context: PLAIN,
    other: DIM,
    good: PLAIN,
    warn: BOLD,
    bad: BOLD.add_modifier(Modifier::UNDERLINED),
    key: BOLD,
    work: BOLD,
};

const DARK: Theme = Theme {
    title: BOLD.fg(Color::Magenta),
    text: PLAIN,
    faint: DIM,
    selected: BOLD,
    vram: PLAIN.fg(Color::Green),
    ram: PLAIN.fg(Color::Cyan),
    disk: DIM,
    unknown: PLAIN.fg(Color::Yellow),
    context: PLAIN.fg(Color::LightGreen),
    other: PLAIN.fg(Color::Yellow),
    good: PLAIN.fg(Color::Green),
    warn: BOLD.fg(Color::Yellow),
    bad: BOLD.fg(Color::Red),
    key: BOLD.fg(Color::Cyan),
    work: BOLD.fg(Color::Magenta),
};

const LIGHT: Theme = Theme {
    ram: PLAIN.fg(Color::Blue),
    unknown: PLAIN.fg(Color::Magenta),
    context: PLAIN.fg(Color::Green),
    other: PLAIN.fg(Color::Magenta),
    warn: BOLD.fg(Color::Magenta),
    key: BOLD.fg(Color::Blue),
    ..DARK
};

/// For dark ground: nothing is dimmed, and all colours are the bright ones.
const HIGH_CONTRAST: Theme = Theme {
    title: BOLD.fg(Color::LightMagenta),
    text: PLAIN,
    faint: PLAIN,
    selected: BOLD.add_modifier(Modifier::UNDERLINED),
    vram: BOLD.fg(Color::LightGreen),
    ram: BOLD.fg(Color::LightCyan),
    disk: PLAIN,
    unknown: BOLD.fg(Color::LightYellow),
    context: PLAIN.fg(Color::LightGreen),
    other: PLAIN.fg(Color::LightYellow),
    good: BOLD.fg(Color::LightGreen),
    warn: BOLD.fg(Color::LightYellow),
    bad: BOLD.fg(Color::LightRed).add_modifier(Modifier::UNDERLINED),
    key: BOLD.fg(Color::LightCyan),
    work: BOLD.fg(Color::LightMagenta),
};

/// The hues of Okabe and Ito, each with the one of sixteen that stands for it: blue, orange and yellow carry what
/// matters, and nowhere do red and green have to be told apart.
fn safe(depth: Depth) -> Theme {
    let hue = |red, green, blue, twin| {
        PLAIN.fg(if depth == Depth::All { Color::Rgb(red, green, blue) } else { twin })
    };
    let sky = hue(0x56, 0xb4, 0xe9, Color::LightBlue);
    let orange = hue(0xe6, 0x9f, 0x00, Color::Yellow);
    let yellow = hue(0xf0, 0xe4, 0x42, Color::LightYellow);
    let vermilion = hue(0xd5, 0x5e, 0x00, Color::LightRed);
    let purple = hue(0xcc, 0x79, 0xa7, Color::Magenta);
    let green = hue(0x00, 0x9e, 0x73, Color::Cyan);
    Theme {
        title: purple.add_modifier(Modifier::BOLD),
        vram: sky,
        ram: orange,
        unknown: purple,
        context: green,
        other: purple,
        good: sky,
        warn: yellow.add_modifier(Modifier::BOLD),
        bad: vermilion.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        key: sky.add_modifier(Modifier::BOLD),
        work: purple.add_modifier(Modifier::BOLD),
        ..DARK
    }
}

/// One of the themes that come with the program.
pub(super) fn of(base: Base, depth: Depth) -> Theme {
    match base {
        Base::Dark => DARK,
        Base::Light => LIGHT,
        Base::HighContrast => HIGH_CONTRAST,
        Base::Safe => safe(depth),
        Base::Mono => MONO,
    }
}

/// The sixteen by their numbers, with what they look like on most terminals.
const SIXTEEN: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];

/// A colour of the user's own as the terminal can show it; `None` is the terminal's own.
pub(super) fn colour(hue: Hue, depth: Depth) -> Option<Color> {
    match hue {
        Hue::Plain => None,
        Hue::Ansi(number) => SIXTEEN.get(usize::from(number)).map(|(colour, _)| *colour),
        Hue::Rgb(red, green, blue) if depth == Depth::All => Some(Color::Rgb(red, green, blue)),
        Hue::Rgb(red, green, blue) => {
            let far = |of: &[u8; 3]| -> u32 {
                let parts = of.iter().zip([red, green, blue]);
                parts.map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
            };
            SIXTEEN.iter().min_by_key(|(_, of)| far(of)).map(|(colour, _)| *colour)
        }
    }
}
