//! `ui`: how the screen looks and behaves.

use std::time::Duration;

use super::reader::Reader;
use super::theme::{self, Theme};
use super::tree::Node;

/// `ui`: the screen.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct Ui {
    /// Between polls; at least 1 s.
    pub refresh: Duration,
    /// Draw with ASCII only.
    pub ascii: bool,
    /// How things are coloured.
    pub theme: Theme,
    /// The mouse is ours from the start; else the terminal selects text with it.
    pub mouse: bool,
    /// How the end of a long load is told.
    pub notify: Notify,
    /// When acts ask first.
    pub confirm: Confirm,
    /// No act changes anything.
    pub read_only: bool,
    /// Ask the card's driver; false leaves the card alone.
    pub gpu: bool,
}

impl Default for Ui {
    fn default() -> Ui {
        Ui {
            refresh: Duration::from_secs(1),
            ascii: false,
            theme: Theme::default(),
            mouse: true,
            notify: Notify::None,
            confirm: Confirm::Risky,
            read_only: false,
            gpu: true,
        }
    }
}

/// How the end of a long load is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Notify {
    /// Not at all.
    #[default]
    None,
    /// The terminal's bell.
    Bell,
    /// A notice of the desktop, by OSC 9.
    Osc9,
}

impl Notify {
    const WORDS: [(&'static str, Notify); 3] =
        [("none", Notify::None), ("bell", Notify::Bell), ("osc9", Notify::Osc9)];

    /// Its word in the config.
    pub fn word(self) -> &'static str {
        Notify::WORDS.iter().find(|(_, notify)| *notify == self).map_or("none", |(word, _)| word)
    }
}

/// When acts ask first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Confirm {
    /// Where it cannot be undone cheaply.
    #[default]
    Risky,
    /// Before every act that changes something.
    Always,
    /// Never.
    Never,
}

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn read(ui: &mut Ui, node: &Node, reader: &mut Reader) {
    let known = ["refresh", "ascii", "theme", "mouse", "notify", "confirm", "read_only", "gpu"];
    let Some(fields) = reader.fields("ui", node, &known) else { return };
    reader.set(&mut ui.refresh, &fields, "refresh", |r, key, node| r.duration(key, node, SECOND));
    reader.set(&mut ui.ascii, &fields, "ascii", Reader::switch);
    reader.set(&mut ui.theme, &fields, "theme", theme::read);
    reader.set(&mut ui.mouse, &fields, "mouse", Reader::switch);
    reader.set(&mut ui.notify, &fields, "notify", |r, key, node| r.one_of(key, node, &Notify::WORDS));
    let words = [("risky", Confirm::Risky), ("always", Confirm::Always), ("never", Confirm::Never)];
    reader.set(&mut ui.confirm, &fields, "confirm", |r, key, node| r.one_of(key, node, &words));
    reader.set(&mut ui.read_only, &fields, "read_only", Reader::switch);
    reader.set(&mut ui.gpu, &fields, "gpu", Reader::switch);
}
