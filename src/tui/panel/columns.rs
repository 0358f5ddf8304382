//! The columns of the table, to choose which of them are shown.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::app::App;
use crate::tui::columns::{CHOICES, table_columns};
use crate::tui::widget::strip::{Strip, row};

/// Draws one row for each; `table` is the width that the table has.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, table: u16, app: &App, selected: usize) {
    let theme = &app.settings.theme;
    Strip::new(buffer, area).skip(1).put("columns, as far as there is room for them", theme.title);
    let mut columns = table_columns(table, &app.hidden);
    let room = usize::from(area.height.saturating_sub(1)).max(1);
    let first = (selected + 1).saturating_sub(room);
    for (i, (column, heading, _, what)) in CHOICES.into_iter().enumerate().skip(first).take(room) {
        let is_hidden = app.hidden.contains(&column);
        let mut strip = Strip::new(buffer, row(area, 1 + i - first));
        let style = if i == selected { theme.selected } else { theme.text };
        strip.cell(if i == selected { "▸" } else { "" }, 2, theme.title);
        strip.cell(if is_hidden { "[ ]" } else { "[x]" }, 4, theme.key).cell(heading, 12, style);
        let no_room = !is_hidden && *columns.cell(column) == 0;
        if no_room {
            strip.put("no room now   ", theme.warn);
        }
        strip.put(what, theme.faint);
    }
}
