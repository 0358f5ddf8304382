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

/// Widths of the table's columns, from the left; 0 is a column that has no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Pointer, preload mark and a blank.
    pub(crate) mark: u16,
    pub(crate) name: u16,
    pub(crate) size: u16,
    pub(crate) quant: u16,
    pub(crate) tiers: u16,
    pub(crate) percent: u16,
    /// The bar of remaining of total.
    pub(crate) meter: u16,
    pub(crate) time: u16,
    pub(crate) state: u16,
    pub(crate) context: u16,
    pub(crate) split: u16,
    /// Whether it would fit, and whom it would evict.
    pub(crate) fits: u16,
    /// How long it would take to be in VRAM.
    pub(crate) to_vram: u16,
    /// Blanks between two columns that do not belong together.
    pub(crate) gap: u16,
}

/// One step of the division: a column, the width it grows to, and whether less than that is of no use.
type Step = (fn(&mut Columns) -> &mut u16, u16, bool);

/// Name, tier bar, countdown and state come first; then what a load would do, and the bar of the countdown. The rest is
/// in the details too: it is added where there is room for it, and what is left over makes names, bars and states longer.
const STEPS: [Step; 25] = [
    (|c| &mut c.state, 9, false),
    (|c| &mut c.name, 16, false),
    (|c| &mut c.tiers, 10, false),
    (|c| &mut c.state, 10, false),
    (|c| &mut c.size, 6, true),
    (|c| &mut c.to_vram, 7, true),
    (|c| &mut c.fits, 7, true),
    (|c| &mut c.tiers, 12, false),
    (|c| &mut c.meter, 5, true),
    (|c| &mut c.state, 12, false),
    (|c| &mut c.tiers, 14, false),
    (|c| &mut c.meter, 10, false),
    (|c| &mut c.fits, 18, false),
    (|c| &mut c.name, 18, false),
    (|c| &mut c.fits, 24, false),
    (|c| &mut c.state, 16, false),
    (|c| &mut c.split, 7, true),
    (|c| &mut c.context, 7, true),
    (|c| &mut c.percent, 4, true),
    (|c| &mut c.quant, 7, true),
    (|c| &mut c.fits, 36, false),
    (|c| &mut c.name, 32, false),
    (|c| &mut c.tiers, 24, false),
    (|c| &mut c.meter, 16, false),
    (|c| &mut c.name, 60, false),
];

/// Chooses columns for a table of that width.
pub(crate) fn table_columns(width: u16) -> Columns {
    let gap = if width < 60 { 1 } else { 2 };
    let mut columns = Columns { mark: 3, name: 8, tiers: 4, time: 7, state: 5, gap, ..Columns::default() };
    for (column, upto, whole) in STEPS {
        let mut wider = columns;
        let cell = column(&mut wider);
        *cell = if whole { upto } else { upto.min(*cell + 1) };
        let used = wider.used();
        if used <= width {
            let cell = column(&mut wider);
            *cell = upto.min(*cell + (width - used));
            columns = wider;
        }
    }
    columns
}

impl Columns {
    /// All columns with the blanks between them; the one after the last is not counted.
    pub(crate) fn used(&self) -> u16 {
        let apart =
            [self.size, self.quant, self.tiers, self.time, self.context, self.split, self.fits, self.to_vram];
        let joined = [self.percent, self.meter];
        let with =
            |cells: &[u16], blank: u16| -> u16 { cells.iter().filter(|&&c| c > 0).map(|c| c + blank).sum() };
        self.mark + self.name + self.gap + self.state + with(&apart, self.gap) + with(&joined, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_uses_no_more_than_its_width_and_always_has_name_tiers_countdown_and_state() {
        for width in 30..=300 {
            let columns = table_columns(width);
            assert!(columns.used() <= width, "{width}: {columns:?}");
            assert!(
                columns.name >= 8 && columns.tiers >= 4 && columns.time == 7 && columns.state >= 4,
                "{width}: {columns:?}"
            );
        }
        let at_80 = table_columns(80);
        assert!(at_80.name >= 16 && at_80.tiers >= 12 && at_80.state >= 10, "{at_80:?}");
        assert_eq!((at_80.to_vram, at_80.fits), (7, 7));
        // What is left of 160 columns beside the details.
        let beside = table_columns(106);
        assert_eq!((beside.tiers, beside.meter, beside.fits, beside.to_vram), (14, 10, 18, 7));
        assert_eq!(
            (table_columns(60).to_vram, table_columns(60).fits),
            (0, 0),
            "given up before the countdown"
        );
    }

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
