//! The tuning for a person: the histogram of each model's idle times, what follows, and what each policy costs.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use crate::residency::name::ModelName;
use crate::residency::text::printable;
use crate::residency::tune::Tuning;

/// Columns of the longest bar.
const BAR: u32 = 40;

/// Said where no use is known.
pub fn nothing(server: &str, models: &[ModelName]) -> String {
    let names: Vec<String> = models.iter().map(name).collect();
    let of = if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) };
    format!("no uses{of} recorded of {} yet: a running dashboard writes them down", printable(server))
}

/// All models, one below the other.
pub fn sheet(tunings: &[Tuning], ascii: bool) -> String {
    let all: Vec<String> = tunings.iter().map(|tuning| one(tuning, ascii)).collect();
    let text = all.join("\n");
    if ascii { text.replace('·', "*") } else { text }
}

fn name(model: &ModelName) -> String {
    printable(crate::cli::status::script_name(model)).into_owned()
}

fn one(tuning: &Tuning, ascii: bool) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}   {}", name(&tuning.model), tuning.head_words());
    // Where it never came back there is nothing to compare.
    if tuning.histogram.returns() > 0 {
        bars(tuning, ascii, &mut text);
        table(tuning, &mut text);
    }
    let _ = writeln!(text, "  {}", tuning.advice_words());
    text
}

fn bars(tuning: &Tuning, ascii: bool, text: &mut String) {
    let stretches = tuning.histogram.stretches();
    let most = stretches.iter().map(|stretch| stretch.count).max().unwrap_or(0).max(1);
    for stretch in &stretches {
        let columns = (u64::from(stretch.count) * u64::from(BAR)).div_ceil(u64::from(most));
        let bar = if ascii { "#" } else { "█" }.repeat(usize::try_from(columns).unwrap_or(0));
        let line = format!("  {:>10}  {:>5}  {bar}", stretch.label, stretch.count);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
}

fn table(tuning: &Tuning, text: &mut String) {
    let rows = tuning.table();
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = " ".repeat(width - cell.width());
            let _ = if column == 0 { write!(text, "  {cell}{gap}") } else { write!(text, "  {gap}{cell}") };
        }
        text.push('\n');
    }
    text.push('\n');
}
