//! The columns of the table: which there are, which the user wants, and how wide each is.

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    Size,
    Quant,
    Tiers,
    Percent,
    Meter,
    State,
    Context,
    Split,
    Fits,
    ToVram,
}

/// The columns that can be hidden, in the order of the table: each with its heading, its name where the choice is
/// remembered, and what it says.
pub(crate) const CHOICES: [(Column, &str, &str, &str); 8] = [
    (Column::Size, "SIZE", "size", "the size of its files"),
    (Column::Quant, "QUANT", "quant", "how its weights are quantised"),
    (Column::Percent, "RAM", "ram", "how much of its files is in RAM"),
    (Column::Meter, "KEEP-ALIVE", "meter", "the bar before the time it stays"),
    (Column::Context, "CONTEXT", "context", "the context it is loaded with"),
    (Column::Split, "GPU/CPU", "split", "how much of it is on the card and in RAM while it is loaded"),
    (Column::Fits, "FITS", "fits", "whether it would fit, and what it would evict"),
    (Column::ToVram, "TO VRAM", "to_vram", "how long it would take to be in VRAM"),
];

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
type Step = (Column, u16, bool);

/// Name, tier bar, countdown and state come first; then what a load would do, and the bar of the countdown. The rest is
/// in the details too: it is added where there is room for it, and what is left over makes names, bars and states longer.
const STEPS: [Step; 25] = [
    (Column::State, 9, false),
    (Column::Name, 16, false),
    (Column::Tiers, 10, false),
    (Column::State, 10, false),
    (Column::Size, 6, true),
    (Column::ToVram, 7, true),
    (Column::Fits, 7, true),
    (Column::Tiers, 12, false),
    (Column::Meter, 5, true),
    (Column::State, 12, false),
    (Column::Tiers, 14, false),
    (Column::Meter, 10, false),
    (Column::Fits, 18, false),
    (Column::Name, 18, false),
    (Column::Fits, 24, false),
    (Column::State, 16, false),
    (Column::Split, 7, true),
    (Column::Context, 7, true),
    (Column::Percent, 4, true),
    (Column::Quant, 7, true),
    (Column::Fits, 36, false),
    (Column::Name, 32, false),
    (Column::Tiers, 24, false),
    (Column::Meter, 16, false),
    (Column::Name, 60, false),
];

/// Chooses columns for a table of that width, without those that are hidden.
pub(crate) fn table_columns(width: u16, hidden: &[Column]) -> Columns {
    let gap = if width < 60 { 1 } else { 2 };
    let mut columns = Columns { mark: 3, name: 8, tiers: 4, time: 7, state: 5, gap, ..Columns::default() };
    for (column, upto, whole) in STEPS.into_iter().filter(|(column, ..)| !hidden.contains(column)) {
        let mut wider = columns;
        let cell = wider.cell(column);
        *cell = if whole { upto } else { upto.min(*cell + 1) };
        let used = wider.used();
        if used <= width {
            let cell = wider.cell(column);
            *cell = upto.min(*cell + (width - used));
            columns = wider;
        }
    }
    columns
}

impl Columns {
    /// The width of that column; 0 where it has no room.
    pub(crate) fn cell(&mut self, column: Column) -> &mut u16 {
        match column {
            Column::Name => &mut self.name,
            Column::Size => &mut self.size,
            Column::Quant => &mut self.quant,
            Column::Tiers => &mut self.tiers,
            Column::Percent => &mut self.percent,
            Column::Meter => &mut self.meter,
            Column::State => &mut self.state,
            Column::Context => &mut self.context,
            Column::Split => &mut self.split,
            Column::Fits => &mut self.fits,
            Column::ToVram => &mut self.to_vram,
        }
    }

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
            let columns = table_columns(width, &[]);
            assert!(columns.used() <= width, "{width}: {columns:?}");
            assert!(
                columns.name >= 8 && columns.tiers >= 4 && columns.time == 7 && columns.state >= 4,
                "{width}: {columns:?}"
            );
        }
        let at_80 = table_columns(80, &[]);
        assert!(at_80.name >= 16 && at_80.tiers >= 12 && at_80.state >= 10, "{at_80:?}");
        assert_eq!((at_80.to_vram, at_80.fits), (7, 7));
        // What is left of 160 columns beside the details.
        let beside = table_columns(106, &[]);
        assert_eq!((beside.tiers, beside.meter, beside.fits, beside.to_vram), (14, 10, 18, 7));
        assert_eq!(
            (table_columns(60, &[]).to_vram, table_columns(60, &[]).fits),
            (0, 0),
            "given up before the countdown"
        );
    }

    #[test]
    fn a_hidden_column_is_not_there_and_leaves_its_room_to_the_others() {
        for width in 30..=300 {
            for (column, heading, ..) in CHOICES {
                let mut columns = table_columns(width, &[column]);
                assert_eq!(*columns.cell(column), 0, "{heading} at {width}");
                assert!(columns.used() <= width);
            }
        }
        let (mut all, mut without) =
            (table_columns(80, &[]), table_columns(80, &[Column::Size, Column::Fits]));
        assert!(without.tiers > all.tiers || without.meter > all.meter, "{all:?} {without:?}");
        assert_eq!((*all.cell(Column::Size), *without.cell(Column::Size)), (6, 0));
    }
}
