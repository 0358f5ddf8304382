//! The row of servers, where there are several: each with its name, whether it answers and how many models are loaded.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::residency::text::printable;
use crate::tui::app::App;
use crate::tui::fleet::{Health, Tab};
use crate::tui::format;
use crate::tui::widget::strip::Strip;

/// Between two of them.
const GAP: u16 = 3;

/// How many rows it wants.
pub(crate) fn rows(app: &App) -> u16 {
    u16::from(app.fleet.servers.len() > 1)
}

/// Draws as many as there is room for, the one that is looked at among them.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App) {
    if area.is_empty() {
        return;
    }
    let (theme, fleet) = (&app.settings.theme, &app.fleet);
    let keys = keys(app);
    let from = first(&fleet.servers, fleet.at, room(area, &keys));
    let mut strip = Strip::new(buffer, area);
    strip.skip(1);
    if from > 0 {
        strip.put("‹ ", theme.faint);
    }
    for (at, tab) in fleet.servers.iter().enumerate().skip(from) {
        if strip.left() < needs(tab, &keys) {
            strip.put("› ", theme.faint);
            break;
        }
        let (sign, style) = match tab.health {
            Health::Up => ("● ", theme.good),
            Health::Slow => ("◐ ", theme.warn),
            Health::Down => ("○ ", theme.bad),
        };
        let name = if at == fleet.at { theme.selected } else { theme.text };
        strip.put(sign, style).put(&printable(&tab.name), name);
        strip.put(&count(tab), theme.faint).skip(GAP);
    }
    let blank = strip.left().saturating_sub(format::columns(&keys) + 1);
    strip.skip(blank).put(&keys, theme.faint);
}

/// The server whose name stands at that place.
pub(crate) fn at(area: Rect, app: &App, place: Position) -> Option<usize> {
    if !area.contains(place) {
        return None;
    }
    let keys = keys(app);
    let from = first(&app.fleet.servers, app.fleet.at, room(area, &keys));
    let mut x = area.x + 1 + if from > 0 { 2 } else { 0 };
    for (at, tab) in app.fleet.servers.iter().enumerate().skip(from) {
        if area.right().saturating_sub(x) < needs(tab, &keys) {
            break;
        }
        if (x..x + width(tab) - GAP).contains(&place.x) {
            return Some(at);
        }
        x += width(tab);
    }
    None
}

/// The keys that change over, at the end of the row.
fn keys(app: &App) -> String {
    format!("{} server", app.server_keys())
}

/// Columns for the names.
fn room(area: Rect, keys: &str) -> u16 {
    area.width.saturating_sub(format::columns(keys) + GAP + 1)
}

/// Columns that must be left for a name to be shown.
fn needs(tab: &Tab, keys: &str) -> u16 {
    width(tab) + format::columns(keys) + GAP
}

/// How many are loaded, and whether something of ours runs there.
fn count(tab: &Tab) -> String {
    let loaded = if tab.loaded > 0 { format!(" {}", tab.loaded) } else { String::new() };
    let busy = if tab.busy { " …" } else { "" };
    format!("{loaded}{busy}")
}

fn width(tab: &Tab) -> u16 {
    2 + format::columns(&tab.name) + format::columns(&count(tab)) + GAP
}

/// The first one that is shown, so that the one at `at` has room too.
fn first(tabs: &[Tab], at: usize, room: u16) -> usize {
    let mut left = room.saturating_sub(4);
    let mut first = at;
    for (index, tab) in tabs.iter().enumerate().take(at + 1).rev() {
        let Some(rest) = left.checked_sub(width(tab)) else { break };
        (left, first) = (rest, index);
    }
    first
}
