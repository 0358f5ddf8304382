//! How near a model is: the map of its files in RAM and the line of its fading, glyph by glyph.

use ratatui::style::Style;

use crate::residency::map;
use crate::residency::snapshot::Model;
use crate::tui::theme::{self, Theme};

/// Glyphs of a line from nothing to all.
pub(crate) const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The map of a model's files in so many columns, as texts of one style each; empty where no map was read.
pub(crate) fn map(model: &Model, columns: u16, theme: &Theme) -> Vec<(String, Style)> {
    if model.blobs.iter().all(|blob| blob.map.is_none()) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut columns = columns;
    if model.blobs.iter().any(|blob| blob.map.is_some() && blob.cached.is_estimate()) {
        parts.push(("~".to_owned(), theme.ram));
        columns = columns.saturating_sub(1);
    }
    let files: Vec<_> = model.blobs.iter().map(|blob| (blob.size, blob.map)).collect();
    let row = map::row(&files, columns);
    let look = |share: &Option<u8>| match share {
        None => (theme::UNKNOWN, theme.unknown),
        Some(0) => (theme::DISK, theme.disk),
        Some(100..) => (theme::RAM, theme.ram),
        Some(_) => (theme::PARTLY, theme.ram),
    };
    for run in row.chunk_by(|a, b| look(a) == look(b)) {
        let (glyph, style) = look(&run[0]);
        parts.push((glyph.repeat(run.len()), style));
    }
    parts
}

/// The last readings of a model's share in RAM, as many as go into so many columns, oldest left.
pub(crate) fn history(model: &Model, columns: u16) -> String {
    let mark = if model.cached.is_estimate() { "~" } else { "" };
    let room = usize::from(columns).saturating_sub(mark.len());
    let line = &model.ram_history[model.ram_history.len().saturating_sub(room)..];
    if line.is_empty() {
        return String::new();
    }
    // The top is said only of all of it.
    let level = |percent: &u8| LEVELS[usize::from(*percent.min(&100)) * (LEVELS.len() - 1) / 100];
    mark.chars().map(String::from).chain(line.iter().map(|percent| level(percent).to_owned())).collect()
}
