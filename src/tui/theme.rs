//! Colours by role: views name what a thing is, this file says how it looks, in colour, on light ground or without.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// How each role looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// The program's name and the titles of panels.
    pub(crate) title: Style,
    /// Plain text.
    pub(crate) text: Style,
    /// What matters less: headings of columns, units, what is old.
    pub(crate) faint: Style,
    /// What the selection points at.
    pub(crate) selected: Style,
    /// Bytes on the card.
    pub(crate) vram: Style,
    /// Bytes in RAM.
    pub(crate) ram: Style,
    /// Bytes only on disk.
    pub(crate) disk: Style,
    /// Bytes nobody can place.
    pub(crate) unknown: Style,
    /// A runner's context.
    pub(crate) context: Style,
    /// Memory of other programs.
    pub(crate) other: Style,
    /// What is well.
    pub(crate) good: Style,
    /// What wants a look.
    pub(crate) warn: Style,
    /// What is broken.
    pub(crate) bad: Style,
    /// A key that can be pressed.
    pub(crate) key: Style,
    /// Something that is under way.
    pub(crate) work: Style,
}

/// Chooses the theme of that name; a non-empty `NO_COLOR` (the variable's value, if it is set) means `mono`.
pub fn choose(name: &str, no_color: Option<&str>) -> Theme {
    if no_color.is_some_and(|value| !value.is_empty()) {
        return MONO;
    }
    match name {
        "mono" => MONO,
        "light" => LIGHT,
        _ => DARK,
    }
}

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

const MONO: Theme = Theme {
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

/// One glyph density per tier, the same in gauge and bar.
pub(crate) const VRAM: &str = "█";
/// RAM's glyph.
pub(crate) const RAM: &str = "▒";
/// Disk's glyph.
pub(crate) const DISK: &str = "░";
/// Partly in RAM, as a column of a map.
pub(crate) const PARTLY: &str = "▄";
/// What nobody can place.
pub(crate) const UNKNOWN: &str = "?";
/// A runner's context, and the system's own memory.
pub(crate) const CONTEXT: &str = "▓";
/// Other programs.
pub(crate) const OTHER: &str = "▚";
/// Page cache of other files.
pub(crate) const CACHE: &str = "·";

/// The second glyph of each drawn one, for terminals that have ASCII only.
const ASCII: [(&str, &str); 25] = [
    (VRAM, "#"),
    (RAM, "="),
    (DISK, "."),
    (CONTEXT, "%"),
    (OTHER, "x"),
    (CACHE, ":"),
    ("▸", ">"),
    ("━", "-"),
    ("─", "_"),
    ("│", "|"),
    ("●", "*"),
    ("◐", "~"),
    ("○", "o"),
    ("…", "~"),
    ("→", ">"),
    ("╸", ">"),
    ("⇄", "&"),
    ("×", "x"),
    ("▁", "_"),
    ("▂", "."),
    ("▃", ":"),
    (PARTLY, "-"),
    ("▅", "="),
    ("▆", "+"),
    ("▇", "*"),
];

/// Replaces every glyph of ours by its ASCII twin.
pub(crate) fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if let Some((_, twin)) = ASCII.iter().find(|(glyph, _)| *glyph == cell.symbol()) {
            cell.set_symbol(twin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_over_every_theme_and_empty_means_unset() {
        assert_eq!(choose("dark", Some("1")), MONO);
        assert_eq!(choose("light", Some("1")), MONO);
        assert_eq!(choose("dark", Some("")), DARK);
        assert_eq!(choose("light", None), LIGHT);
        assert_eq!(choose("mono", None), MONO);
    }

    #[test]
    fn no_role_is_black_white_or_outside_the_sixteen_colours() {
        for theme in [DARK, LIGHT, MONO] {
            let Theme { title, text, faint, selected, vram, ram, disk, unknown, context, other, .. } = theme;
            let Theme { good, warn, bad, key, work, .. } = theme;
            for style in [
                title, text, faint, selected, vram, ram, disk, unknown, context, other, good, warn, bad, key,
                work,
            ] {
                assert_eq!(style.bg, None);
                assert!(
                    !matches!(
                        style.fg,
                        Some(Color::Black | Color::White | Color::Gray | Color::Rgb(..) | Color::Indexed(_))
                    ),
                    "{style:?}"
                );
            }
        }
    }
}
