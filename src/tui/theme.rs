//! Colours by role: views name what a thing is, this file says how it looks, in colour, on light ground or without.

use ratatui::buffer::Buffer;
use ratatui::style::{Modifier, Style};

use crate::config::{self, Role};

mod palette;
mod wardrobe;

pub use wardrobe::Wardrobe;

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

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// None are wanted.
    None,
    /// Those sixteen that every terminal has.
    Sixteen,
    /// All of them.
    All,
}

impl Depth {
    /// By the values of `NO_COLOR` and `COLORTERM`; an empty one is not set.
    pub fn of(no_color: Option<&str>, colorterm: Option<&str>) -> Depth {
        if no_color.is_some_and(|value| !value.is_empty()) {
            return Depth::None;
        }
        match colorterm {
            Some("truecolor" | "24bit") => Depth::All,
            _ => Depth::Sixteen,
        }
    }
}

/// How a theme looks on such a terminal.
pub fn choose(theme: &config::Theme, depth: Depth) -> Theme {
    if depth == Depth::None {
        return palette::MONO;
    }
    let mut looks = palette::of(theme.base, depth);
    for (role, hue) in &theme.own {
        let style = looks.role(*role);
        // Who chose a colour wants it as it is.
        style.add_modifier -= Modifier::DIM;
        style.fg = palette::colour(*hue, depth);
    }
    looks
}

impl Theme {
    fn role(&mut self, role: Role) -> &mut Style {
        match role {
            Role::Title => &mut self.title,
            Role::Text => &mut self.text,
            Role::Faint => &mut self.faint,
            Role::Selected => &mut self.selected,
            Role::Vram => &mut self.vram,
            Role::Ram => &mut self.ram,
            Role::Disk => &mut self.disk,
            Role::Unknown => &mut self.unknown,
            Role::Context => &mut self.context,
            Role::Other => &mut self.other,
            Role::Good => &mut self.good,
            Role::Warn => &mut self.warn,
            Role::Bad => &mut self.bad,
            Role::Key => &mut self.key,
            Role::Work => &mut self.work,
        }
    }
}

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
const ASCII: [(&str, &str); 27] = [
    (VRAM, "#"),
    (RAM, "="),
    (DISK, "."),
    (CONTEXT, "%"),
    (OTHER, "x"),
    (CACHE, ":"),
    ("▸", ">"),
    ("‹", "<"),
    ("›", ">"),
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
    use ratatui::style::Color;

    use super::*;
    use crate::config::{Base, Hue};

    fn plain(base: Base) -> config::Theme {
        config::Theme { base, ..config::Theme::default() }
    }

    #[test]
    fn no_color_wins_over_every_theme_and_empty_means_unset() {
        assert_eq!(Depth::of(Some("1"), Some("truecolor")), Depth::None);
        assert_eq!(Depth::of(Some(""), Some("24bit")), Depth::All);
        assert_eq!(Depth::of(None, Some("")), Depth::Sixteen);
        for base in Base::ALL {
            let own = [(Role::Vram, Hue::Ansi(1))].into();
            assert_eq!(choose(&config::Theme { base, own }, Depth::None), palette::MONO);
        }
    }

    #[test]
    fn every_theme_has_a_look_of_its_own_on_every_terminal_with_colours() {
        for depth in [Depth::Sixteen, Depth::All] {
            let looks = Base::ALL.map(|base| choose(&plain(base), depth));
            for (i, one) in looks.iter().enumerate() {
                assert!(looks[i + 1..].iter().all(|other| other != one), "{:?}", Base::ALL[i]);
            }
        }
    }

    #[test]
    fn no_role_is_black_white_or_outside_the_sixteen_colours_where_there_are_no_more() {
        for base in Base::ALL {
            let mut theme = choose(&plain(base), Depth::Sixteen);
            for role in Role::ALL {
                let style = *theme.role(role);
                assert_eq!(style.bg, None);
                assert!(
                    !matches!(
                        style.fg,
                        Some(Color::Black | Color::White | Color::Gray | Color::Rgb(..) | Color::Indexed(_))
                    ),
                    "{base:?} {role:?} {style:?}"
                );
            }
        }
    }

    #[test]
    fn the_tiers_differ_in_every_theme() {
        for base in Base::ALL {
            for depth in [Depth::None, Depth::Sixteen, Depth::All] {
                let theme = choose(&plain(base), depth);
                assert!(
                    theme.vram != theme.ram && theme.ram != theme.disk && theme.vram != theme.disk,
                    "{base:?}"
                );
            }
        }
    }

    #[test]
    fn a_colour_of_the_users_own_is_shown_as_it_is_or_as_the_nearest_of_sixteen() {
        let own =
            [(Role::Disk, Hue::Rgb(0xf0, 0x30, 0x20)), (Role::Vram, Hue::Plain), (Role::Ram, Hue::Ansi(12))];
        let theme = config::Theme { base: Base::Dark, own: own.into() };
        let all = choose(&theme, Depth::All);
        assert_eq!(all.disk, Style::new().fg(Color::Rgb(0xf0, 0x30, 0x20)));
        assert_eq!((all.vram.fg, all.ram.fg), (None, Some(Color::LightBlue)));
        assert_eq!(choose(&theme, Depth::Sixteen).disk.fg, Some(Color::LightRed));
        assert_eq!(all.good, choose(&plain(Base::Dark), Depth::All).good);
    }
}
