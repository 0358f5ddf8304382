//! The help page, made from the keymap, and what the glyphs mean.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::text::printable;
use crate::tui::action::{ACTIONS, Action, Context};
use crate::tui::app::App;
use crate::tui::theme;
use crate::tui::widget::page;
use crate::tui::widget::strip::Strip;

/// A line: keys (or a glyph), a name, a sentence.
type Line = (String, &'static str, Cow<'static, str>, Style);

/// Draws it, scrolled as far as the user asked and the lines go.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, down: usize) {
    let theme = &app.settings.theme;
    let lines = lines(app);
    page::lines(buffer, area, lines.len(), down, theme.faint, |buffer, area, i| {
        let (keys, name, sentence, style) = &lines[i];
        let mut strip = Strip::new(buffer, area);
        strip.skip(1);
        if name.is_empty() && sentence.is_empty() {
            strip.put(keys, theme.title);
            return;
        }
        strip.cell(keys, 11, *style).skip(1);
        if area.width >= 70 {
            strip.cell(name, 16, theme.faint).skip(1);
        }
        strip.put(sentence, theme.text);
    });
}

fn lines(app: &App) -> Vec<Line> {
    let theme = &app.settings.theme;
    let mut lines: Vec<Line> = Vec::new();
    let mut context = None;
    for entry in ACTIONS {
        if context != Some(entry.context) {
            context = Some(entry.context);
            if entry.context != Context::Main {
                lines.push((String::new(), "", "".into(), theme.text));
            }
            lines.push((entry.context.to_string(), "", "".into(), theme.text));
        }
        let keys: Vec<String> = app.keymap.keys(entry.action).collect();
        let keys = if keys.is_empty() { "no key".to_owned() } else { keys.join(" ") };
        let sentence = match entry.action {
            Action::Phase(number) => {
                // A key without its phase is not told.
                let Some(phase) = app.settings.phases.get(usize::from(number) - 1) else { continue };
                Cow::Owned(format!("make ready: {}, {}", printable(&phase.name), phase.model))
            }
            _ => Cow::Borrowed(entry.sentence),
        };
        lines.push((keys, entry.name, sentence, theme.key));
    }
    lines.push((String::new(), "", "".into(), theme.text));
    lines.push(("glyphs".to_owned(), "", "".into(), theme.text));
    let glyphs = [
        ("█", "vram", "on the card", theme.vram),
        ("▒", "ram", "in RAM: page cache, or the runner's own memory", theme.ram),
        ("░", "disk", "only on disk", theme.disk),
        (theme::PARTLY, "partly", "partly in RAM, in the map of a model's files", theme.ram),
        ("?", "unknown", "nobody can say: RAM or disk", theme.unknown),
        ("▓", "context", "a runner's context; in the RAM row: the system", theme.context),
        ("▚", "other", "other programs; in the RAM row: runners' memory", theme.other),
        ("·", "cache", "page cache of other files", theme.faint),
        ("━", "work", "a step's work; a swap before it is ▚", theme.work),
        ("~", "about", "a forecast or an estimate", theme.text),
        ("*", "listed", "in the preload list", theme.text),
    ];
    lines.extend(
        glyphs.map(|(glyph, name, sentence, style)| (glyph.to_owned(), name, sentence.into(), style)),
    );
    lines
}
