//! The heading of the table: what each column is, what the glyphs of the tiers are, and what a click on it sorts by.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::app::{App, Sort};
use crate::tui::columns::Columns;
use crate::tui::format;
use crate::tui::theme;
use crate::tui::widget::strip::Strip;

/// Draws it.
pub(super) fn render(buffer: &mut Buffer, area: Rect, columns: &Columns, app: &App) {
    let faint = app.settings.theme.faint;
    let models = match (app.filter.as_str(), app.sort) {
        ("", Sort::List) => "MODEL".to_owned(),
        ("", Sort::Name) => "MODEL by name".to_owned(),
        ("", Sort::Size) => "MODEL by size".to_owned(),
        (filter, _) => format!("MODEL /{filter}"),
    };
    let mut strip = Strip::new(buffer, area);
    strip.skip(columns.mark).cell(&models, columns.name, faint).skip(columns.gap);
    heading_right(&mut strip, "SIZE", columns.size, columns.gap, faint);
    if columns.quant > 0 {
        strip.cell("QUANT", columns.quant, faint).skip(columns.gap);
    }
    legend(&mut strip, columns.tiers, app);
    if columns.percent > 0 {
        strip.skip(1).cell_right("RAM", columns.percent, faint);
    }
    strip.skip(columns.gap);
    let time = columns.time + if columns.meter > 0 { columns.meter + 1 } else { 0 };
    strip.cell_right(if time > 9 { "KEEP-ALIVE" } else { "STAYS" }, time, faint).skip(columns.gap);
    strip.cell("STATE", columns.state, faint).skip(columns.gap);
    heading_right(&mut strip, "CONTEXT", columns.context, columns.gap, faint);
    heading_right(&mut strip, "GPU/CPU", columns.split, columns.gap, faint);
    if columns.fits > 0 {
        strip.cell("FITS", columns.fits, faint).skip(columns.gap);
    }
    heading_right(&mut strip, "TO VRAM", columns.to_vram, 0, faint);
}

/// The tiers' glyphs and names over their bar, where they fit.
fn legend(strip: &mut Strip, columns: u16, app: &App) {
    let theme = &app.settings.theme;
    if columns < 12 {
        strip.cell(if columns < 5 { "TIER" } else { "TIERS" }, columns, theme.faint);
        return;
    }
    // What is left over is the disk, also where its name has no room.
    let disk = if columns < 14 { "" } else { "disk" };
    let used = 10 + format::columns(disk);
    let air = u16::from(columns >= used + 2);
    strip.put(theme::VRAM, theme.vram).put("VRAM", theme.faint).skip(air);
    strip.put(theme::RAM, theme.ram).put("RAM", theme.faint).skip(air);
    strip.put(theme::DISK, theme.disk).put(disk, theme.faint).skip(columns - used - 2 * air);
}

fn heading_right(strip: &mut Strip, text: &str, columns: u16, gap: u16, style: Style) {
    if columns > 0 {
        strip.cell_right(text, columns, style).skip(gap);
    }
}

/// What the heading that many columns from the left sorts by: by a tier or a time rows would move by themselves.
pub(super) fn sort_at(columns: &Columns, x: u16) -> Option<Sort> {
    let name = columns.mark + columns.name;
    let size = name + columns.gap + columns.size;
    match x {
        _ if x < columns.mark => Some(Sort::List),
        _ if x < name => Some(Sort::Name),
        _ if columns.size > 0 && x < size => Some(Sort::Size),
        _ => None,
    }
}
