//! One row that is written from left to right: the only door through which text gets into the picture.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::format;

/// A row of the picture and how far it is written.
pub(crate) struct Strip<'a> {
    buffer: &'a mut Buffer,
    x: u16,
    y: u16,
    end: u16,
}

impl<'a> Strip<'a> {
    /// The first row of `area`, as far as it lies in the picture.
    pub(crate) fn new(buffer: &'a mut Buffer, area: Rect) -> Strip<'a> {
        let area = area.intersection(buffer.area);
        // An empty area has no row: end where it begins.
        let end = if area.height == 0 { area.x } else { area.right() };
        Strip { buffer, x: area.x, y: area.y, end }
    }

    /// Columns that are left.
    pub(crate) fn left(&self) -> u16 {
        self.end.saturating_sub(self.x)
    }

    /// Writes as much of `text` as fits, marked if it is cut.
    pub(crate) fn put(&mut self, text: &str, style: Style) -> &mut Self {
        let left = self.left();
        if left == 0 {
            return self;
        }
        if text.len() <= usize::from(left) && format::is_plain(text) {
            // Nearly all text is this: a byte is a glyph is a column.
            for i in 0..text.len() {
                self.glyph(&text[i..=i], style);
            }
            return self;
        }
        let text = format::fit(text, left);
        (self.x, _) = self.buffer.set_stringn(self.x, self.y, text, usize::from(left), style);
        self
    }

    /// Writes into a cell of so many columns, at its left.
    pub(crate) fn cell(&mut self, text: &str, columns: u16, style: Style) -> &mut Self {
        let end = self.x.saturating_add(columns).min(self.end);
        let whole = std::mem::replace(&mut self.end, end);
        self.put(text, style);
        self.x = end;
        self.end = whole;
        self
    }

    /// Writes into a cell of so many columns, at its right.
    pub(crate) fn cell_right(&mut self, text: &str, columns: u16, style: Style) -> &mut Self {
        let blank = columns.saturating_sub(format::columns(text));
        self.skip(blank).cell(text, columns - blank, style)
    }

    /// Writes one glyph so many times.
    pub(crate) fn fill(&mut self, glyph: &str, times: u16, style: Style) -> &mut Self {
        for _ in 0..times.min(self.left()) {
            self.glyph(glyph, style);
        }
        self
    }

    fn glyph(&mut self, glyph: &str, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((self.x, self.y)) {
            cell.set_symbol(glyph).set_style(style);
        }
        self.x += 1;
    }

    /// Leaves columns blank.
    pub(crate) fn skip(&mut self, columns: u16) -> &mut Self {
        self.x = self.x.saturating_add(columns).min(self.end);
        self
    }
}

/// The row of `area` that many rows down; empty if there is none.
pub(crate) fn row(area: Rect, down: usize) -> Rect {
    match u16::try_from(down) {
        Ok(down) if down < area.height => Rect { y: area.y + down, height: 1, ..area },
        _ => Rect { height: 0, ..area },
    }
}
