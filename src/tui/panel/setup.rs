//! The config that `I` proposes, shown whole before it is written.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::Proposal;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::widget::page;
use crate::tui::widget::strip::Strip;

/// Draws it, scrolled as far as the user asked and the text goes.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, proposal: &Proposal, down: usize) {
    let theme = &app.settings.theme;
    let place = proposal.path.display();
    let title = if proposal.exists {
        format!("{place} is there already and is never overwritten; this would be proposed:")
    } else {
        format!("proposed for {place}, from what is installed and the memory that is there:")
    };
    let width = area.width.saturating_sub(2);
    let title = format::wrap(&title, width, 3).into_iter().map(|line| (line, theme.title));
    let text = proposal.text.lines().flat_map(|line| {
        let style = if line.trim_start().starts_with('#') { theme.faint } else { theme.text };
        let indent = &line[..line.len() - line.trim_start().len()];
        let width = width.saturating_sub(format::columns(indent));
        let lines = format::wrap(line.trim_start(), width, usize::MAX);
        lines.into_iter().map(move |line| (format!("{indent}{line}"), style))
    });
    let lines: Vec<(String, Style)> = title.chain([(String::new(), theme.text)]).chain(text).collect();
    page::lines(buffer, area, lines.len(), down, theme.faint, |buffer, area, i| {
        Strip::new(buffer, area).skip(1).put(&lines[i].0, lines[i].1);
    });
}
