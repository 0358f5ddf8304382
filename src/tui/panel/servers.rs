//! The row of servers, where there are several: each with its name, whether it answers and how many models are loaded.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

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
    let keys = format!("{} server", app.server_keys());
    let room = area.width.saturating_sub(format::columns(&keys) + GAP + 1);
    let from = first(&fleet.servers, fleet.at, room);
    let mut strip = Strip::new(buffer, area);
    strip.skip(1);
    if from > 0 {
        strip.put("‹ ", theme.faint);
    }
    for (at, tab) in fleet.servers.iter().enumerate().skip(from) {
        if strip.left() < width(tab) + format::columns(&keys) + GAP {
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
