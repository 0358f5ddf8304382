//! Lines that may be more than there is room for: scrolled, and marked where they go on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::strip::{Strip, row};

/// Draws of `count` lines those from `down` on, each by `draw`; the last row says how many more there are below.
pub(crate) fn lines(
    buffer: &mut Buffer,
    area: Rect,
    count: usize,
    down: usize,
    faint: Style,
    mut draw: impl FnMut(&mut Buffer, Rect, usize),
) {
    let rows = usize::from(area.height);
    let down = down.min(count.saturating_sub(rows));
    // Where there is one row, a line says more than a mark.
    let below = count - down > rows && rows > 1;
    let shown = rows - usize::from(below);
    for (i, line) in (down..count).take(shown).enumerate() {
        draw(buffer, row(area, i), line);
    }
    if below {
        let words = format!("… {} more below", count - down - shown);
        Strip::new(buffer, row(area, shown)).skip(1).put(&words, faint);
    }
}
