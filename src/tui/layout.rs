//! Where each panel is: at 80×24 everything at once, from 140 columns the details at the right, less on less room.

use ratatui::layout::Rect;

use super::app::Panel;

/// Below this the screen only says so.
pub(crate) const SMALLEST: (u16, u16) = (30, 8);

/// From here the details have a place of their own.
pub(crate) const WIDE: u16 = 140;

/// Rows that the table keeps beside the panels below it, with its heading, unless it needs fewer.
pub(crate) const TABLE: u16 = 5;

/// What the layout depends on besides the size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    /// Cards with a gauge each.
    pub(crate) cards: u16,
    /// Rows of the table without its heading.
    pub(crate) models: u16,
    /// Rows of the servers' names; 0 where there is only one.
    pub(crate) servers: u16,
    /// Rows of a workflow's panel; 0 where there is none.
    pub(crate) flow: u16,
    /// Rows of start-up's panel; 0 where there is none.
    pub(crate) startup: u16,
    /// Events to show.
    pub(crate) events: u16,
    /// Rows of the message above the footer.
    pub(crate) message: u16,
    /// All of the room is for the panel that has the keys.
    pub(crate) zoomed: bool,
    /// Who has the keys.
    pub(crate) panel: Panel,
}

/// The areas; one that has no room is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) header: Rect,
    pub(crate) servers: Rect,
    pub(crate) gauges: Rect,
    /// All between gauges and message, for pages.
    pub(crate) body: Rect,
    pub(crate) table: Rect,
    pub(crate) details: Rect,
    pub(crate) startup: Rect,
    pub(crate) flow: Rect,
    /// The row above the log, for the day's sum.
    pub(crate) day: Rect,
    pub(crate) log: Rect,
    pub(crate) message: Rect,
    pub(crate) footer: Rect,
}

/// Divides the screen.
pub(crate) fn areas(screen: Rect, wants: Wants) -> Areas {
    let mut areas = Areas::default();
    let mut rest = screen;
    areas.header = top(&mut rest, 1);
    areas.servers = top(&mut rest, wants.servers);
    areas.footer = bottom(&mut rest, 1);
    areas.message = bottom(&mut rest, wants.message.min(screen.height / 4).max(1));
    let gauges = match screen.height {
        0..10 => 1,
        10..16 => 2,
        _ => wants.cards.clamp(1, 4) + 1,
    };
    areas.gauges = top(&mut rest, gauges);
    let airy = screen.height >= 16;
    if airy {
        top(&mut rest, 1);
    }
    areas.body = rest;
    if wants.zoomed {
        let panel = match wants.panel {
            Panel::Details => &mut areas.details,
            Panel::Flow if wants.flow > 0 => &mut areas.flow,
            Panel::Events => &mut areas.log,
            Panel::Models | Panel::Flow => &mut areas.table,
        };
        *panel = rest;
        return areas;
    }
    if screen.width >= WIDE {
        let (left, right) = beside(rest, (screen.width * 13 / 40).min(72));
        rest = left;
        areas.details = right;
    } else if wants.panel == Panel::Details {
        areas.details = rest;
        return areas;
    }
    if wants.panel == Panel::Events {
        areas.log = rest;
        return areas;
    }
    areas.table = rest;
    if !airy {
        // What the table leaves free, and one row in any case.
        let free = rest.height.saturating_sub(wants.models.saturating_add(1)).max(1);
        if wants.panel == Panel::Flow && wants.flow > 0 {
            areas.flow = std::mem::take(&mut areas.table);
        } else if wants.flow > 0 {
            areas.flow = bottom(&mut areas.table, free.min(wants.flow));
        } else if wants.startup > 0 {
            areas.startup = bottom(&mut areas.table, free.min(wants.startup));
        }
        return areas;
    }
    let with_gap = |rows: u16| if rows > 0 { rows + 1 } else { 0 };
    let flow = rows_below(rest.height, wants.flow, wants);
    let startup = rows_below(rest.height.saturating_sub(with_gap(flow)), wants.startup, wants);
    let below = with_gap(flow) + with_gap(startup);
    // The table takes what it needs, the log what is left, and a quarter where it has so much to say and nothing is
    // between them.
    let least = if below > 0 { 0 } else { (rest.height / 4).max(3).min(wants.events.saturating_add(1)) };
    let used = wants.models.saturating_add(2) + below;
    let log = rest.height.saturating_sub(used).max(least);
    areas.log = bottom(&mut areas.table, log);
    areas.day = bottom(&mut areas.table, u16::from(log > 0));
    for (area, rows) in [(&mut areas.flow, flow), (&mut areas.startup, startup)] {
        if rows > 0 {
            *area = bottom(&mut areas.table, rows);
            bottom(&mut areas.table, 1);
        }
    }
    areas
}

/// Rows of a panel below the table: what it wants, as long as the table keeps half of the room, or a few rows while a
/// workflow's panel has the keys.
fn rows_below(height: u16, rows: u16, wants: Wants) -> u16 {
    let table = if wants.panel == Panel::Flow { TABLE } else { TABLE.max(height / 2) };
    rows.min(height.saturating_sub(table.min(wants.models.saturating_add(1)) + 1))
}

fn top(rest: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(rest.height);
    let taken = Rect { height: rows, ..*rest };
    rest.y += rows;
    rest.height -= rows;
    taken
}

fn bottom(rest: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(rest.height);
    rest.height -= rows;
    Rect { y: rest.y + rest.height, height: rows, ..*rest }
}

/// Left and right with a gap of two columns between.
fn beside(area: Rect, right: u16) -> (Rect, Rect) {
    let right = right.min(area.width);
    let left = area.width - right;
    (Rect { width: left.saturating_sub(2), ..area }, Rect { x: area.x + left, width: right, ..area })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_areas_overlap_and_none_leaves_the_screen() {
        for (width, height) in [(30, 8), (80, 24), (139, 9), (140, 50), (300, 100), (31, 16), (0, 0), (1, 3)]
        {
            for (panel, flow) in [
                (Panel::Models, 0),
                (Panel::Models, 6),
                (Panel::Details, 6),
                (Panel::Flow, 40),
                (Panel::Events, 6),
            ] {
                let screen = Rect::new(0, 0, width, height);
                let startup = 7;
                let wants = Wants {
                    cards: 9,
                    models: 200,
                    servers: 1,
                    flow,
                    startup,
                    events: 512,
                    message: 4,
                    zoomed: height % 2 == 1,
                    panel,
                };
                let a = areas(screen, wants);
                let all = [
                    a.header, a.gauges, a.table, a.details, a.startup, a.flow, a.day, a.log, a.message,
                    a.footer,
                ];
                for (i, one) in all.iter().enumerate() {
                    assert!(one.is_empty() || screen.intersection(*one) == *one, "{one:?} in {screen:?}");
                    assert!(
                        all[i + 1..].iter().all(|other| !one.intersects(*other)),
                        "{width}x{height}: {a:?}"
                    );
                }
            }
        }
    }
}
