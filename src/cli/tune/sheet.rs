//! The tuning for a person: the histogram of each model's idle times, what follows, and what each policy costs.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::text::printable;
use crate::residency::tune::Tuning;
use crate::residency::tune::policy::{Advice, FEW, percent_of};
use crate::residency::tune::replay::gib_hours;
use crate::tui::format;

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
    all.join("\n")
}

fn name(model: &ModelName) -> String {
    printable(crate::cli::status::script_name(model)).into_owned()
}

/// What follows from a model's uses, in a sentence.
pub(crate) fn advice(tuning: &Tuning) -> String {
    let histogram = &tuning.histogram;
    let bounds = tuning.rule.bounds;
    let max = KeepAlive::For(bounds.max);
    match tuning.advice {
        Advice::TooFew { returns } => {
            format!("{returns} idle times are known: too few, at least {FEW}; left to the server's own")
        }
        Advice::Scattered { .. } => "idle times are spread evenly: left to the server's own".to_owned(),
        Advice::Away { keep_alive, within } => format!(
            "keep_alive {}: only {within} % of its returns come within {max}",
            KeepAlive::For(keep_alive)
        ),
        Advice::Keep { keep_alive, head } => {
            let kept = histogram.within(keep_alive);
            let (within, all) = (histogram.within(bounds.max), histogram.returns());
            let mut text = format!(
                "keep_alive {} would have kept {} % of its returns within {max} in VRAM, {} % of all",
                KeepAlive::For(keep_alive),
                percent_of(kept, within),
                percent_of(kept, all)
            );
            if !head.is_zero() {
                let _ = write!(text, "; it hardly ever comes back before {}", KeepAlive::For(head));
            }
            text
        }
    }
}

fn one(tuning: &Tuning, ascii: bool) -> String {
    let mut text = String::new();
    let size = tuning.size.map_or_else(|| "?".to_owned(), |size| size.to_string());
    let days = tuning.span.as_secs() / 86_400;
    let span = if days > 1 { format!("{days} days") } else { format::countdown(tuning.span.as_secs()) };
    let _ = writeln!(text, "{}   {size}   {} uses in {span}", name(&tuning.model), tuning.uses);
    let stretches = tuning.histogram.stretches();
    let most = stretches.iter().map(|stretch| stretch.count).max().unwrap_or(0).max(1);
    for stretch in &stretches {
        let columns = (u64::from(stretch.count) * u64::from(BAR)).div_ceil(u64::from(most));
        let bar = if ascii { "#" } else { "█" }.repeat(usize::try_from(columns).unwrap_or(0));
        let line = format!("  {:>10}  {:>5}  {bar}", stretch.label, stretch.count);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = writeln!(text, "  {}", advice(tuning));
    table(tuning, &mut text);
    text
}

fn table(tuning: &Tuning, text: &mut String) {
    let unit = if tuning.size.is_some() { "GIB·H" } else { "HOURS" };
    let mut rows =
        vec![["POLICY".to_owned(), "COLD STARTS".to_owned(), unit.to_owned(), "FOR NOTHING".to_owned()]];
    rows.extend(tuning.rows.iter().map(|(policy, outcome)| {
        let figure = |held: std::time::Duration| match tuning.size {
            Some(size) => format!("{:.1}", gib_hours(held, size)),
            None => format!("{:.1}", held.as_secs_f64() / 3600.0),
        };
        let loads = format!("{} of {}", outcome.loads, outcome.uses);
        [policy.to_string(), loads, figure(outcome.held), figure(outcome.wasted)]
    }));
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
    for row in rows {
        let gap = |column: usize| " ".repeat(widths[column] - row[column].width());
        let _ = write!(text, "  {}{}", row[0], gap(0));
        for column in 1..4 {
            let _ = write!(text, "  {}{}", gap(column), row[column]);
        }
        text.push('\n');
    }
}
