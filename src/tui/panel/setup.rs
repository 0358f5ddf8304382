//! The config that `I` proposes, shown whole before it is written.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::Proposal;
use crate::tui::app::App;
use crate::tui::widget::strip::{Strip, row};

/// Draws it, scrolled as far as the user asked and the text goes.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, proposal: &Proposal, down: usize) {
    let theme = &app.settings.theme;
    let place = proposal.path.display();
    let title = if proposal.exists {
        format!("{place} is there already and is never overwritten; this would be proposed:")
    } else {
        format!("proposed for {place}, from what is installed and the memory that is there:")
    };
    Strip::new(buffer, area).skip(1).put(&title, theme.title);
    let lines: Vec<&str> = proposal.text.lines().collect();
    let rows = usize::from(area.height.saturating_sub(2));
    let down = down.min(lines.len().saturating_sub(rows));
    for (i, line) in lines.iter().skip(down).take(rows).enumerate() {
        let style = if line.trim_start().starts_with('#') { theme.faint } else { theme.text };
        Strip::new(buffer, row(area, i + 2)).skip(1).put(line, style);
    }
}
