//! The table of `history`: a line for each thing that happened, swaps to and fro in one; and the sum of a day.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthStr;

use crate::residency::fold::{Folded, fold, median};
use crate::residency::name::ModelName;
use crate::residency::record::{Day, Happened, Left, Record, SwapRecord};
use crate::residency::swap::{Ended, Way};
use crate::residency::text::printable;
use crate::tui::format;

/// `today 143 swaps   waited 2:10   (cold would be ~13:50)   median 0.9 s`
pub fn day_line(day: &Day) -> String {
    let mut text = format!("today {}", day.count());
    if let Some(median) = day.median {
        let _ = write!(text, "   waited {}", format::took(day.waited));
        if let Some(cold) = day.cold {
            let _ = write!(text, "   (cold would be ~{})", format::took(cold));
        }
        let _ = write!(text, "   median {}", format::took(median));
    }
    text
}

/// What stands in one line, cell by cell.
type Line = [String; 5];

const HEADS: [&str; 5] = ["WHEN", "TOOK", "RAM", "MODEL", "WHAT"];

/// Said where there is no `what` (swaps, phases) of these models since then.
pub fn nothing(what: &str, server: &str, models: &[ModelName], is_since: bool) -> String {
    let names: Vec<String> = models.iter().map(name).collect();
    let of = if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) };
    let when = if is_since { "since then" } else { "yet" };
    format!("no {what}{of} recorded of {} {when}", printable(server))
}

/// The records, newest first, for a terminal of `columns`; `None` cuts nothing.
pub fn table(records: &[Record], now: Timestamp, zone: &TimeZone, columns: Option<usize>) -> String {
    let when = |at: Timestamp| when(at, now, zone);
    let swaps: Option<Vec<(Timestamp, &SwapRecord)>> = records
        .iter()
        .map(|record| match &record.what {
            Happened::Swap(swap) => Some((record.at, swap)),
            _ => None,
        })
        .collect();
    let lines: Vec<Line> = match swaps {
        Some(swaps) => fold(swaps, |(_, swap)| *swap).iter().map(|line| folded(line, &when)).collect(),
        None => records.iter().map(|record| one(record, &when)).collect(),
    };
    layout(&lines, columns)
}

/// Columns as wide as what is in them; numbers stand right.
fn layout(lines: &[Line], columns: Option<usize>) -> String {
    let heads = HEADS.map(str::to_owned);
    let all = || std::iter::once(&heads).chain(lines);
    let widths: [usize; 5] =
        std::array::from_fn(|column| all().map(|line| line[column].width()).max().unwrap_or(0));
    let mut text = String::new();
    for line in all() {
        let mut row = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let gap = " ".repeat(width - cell.width());
            // Times and shares stand right.
            let (before, after) =
                if matches!(column, 1 | 2) { (gap.as_str(), "") } else { ("", gap.as_str()) };
            let _ = write!(row, "{before}{cell}{after}  ");
        }
        let row = row.trim_end();
        let wide = columns.map_or(u16::MAX, |columns| u16::try_from(columns).unwrap_or(u16::MAX));
        text.push_str(&match columns {
            Some(_) => format::fit(row, wide),
            None => Cow::Borrowed(row),
        });
        text.push('\n');
    }
    text
}

/// The time of day; the date too, where it is not today's.
pub(in crate::cli) fn when(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (then, today) = (zone.to_datetime(at), zone.to_datetime(now));
    match () {
        () if then.date() == today.date() => format::clock_seconds(at, zone),
        () if then.year() == today.year() => {
            format!("{} {}", then.strftime("%m-%d"), format::clock(at, zone))
        }
        () => format!("{} {}", then.date(), format::clock(at, zone)),
    }
}

fn name(model: &ModelName) -> String {
    printable(crate::cli::status::script_name(model)).into_owned()
}

fn one(record: &Record, when: &impl Fn(Timestamp) -> String) -> Line {
    let at = when(record.at);
    let none = String::new;
    match &record.what {
        Happened::Swap(swap) => line_of(at, swap),
        Happened::Left { model, how } => {
            let how = match how {
                Left::Unloaded => "unloaded".to_owned(),
                Left::Evicted { by: None } => "evicted".to_owned(),
                Left::Evicted { by: Some(by) } => format!("evicted for {}", name(by)),
                Left::Expired => "expired".to_owned(),
                Left::Died => "its runner died".to_owned(),
                Left::Unknown => "left, nobody knows why".to_owned(),
            };
            [at, none(), none(), name(model), how]
        }
        Happened::Used { model, idle } => {
            let idle = idle.map_or_else(none, |idle| format!(" after {}", format::took(idle)));
            [at, none(), none(), name(model), format!("used{idle}")]
        }
        Happened::Phase(phase) => {
            let model = phase.model.as_ref().map_or_else(none, name);
            let run = if phase.run.is_empty() { none() } else { format!(" of {}", printable(&phase.run)) };
            let what = if phase.phase.is_empty() {
                format!("end{run}")
            } else {
                format!("phase {}{run}", printable(&phase.phase))
            };
            let next = phase.next.as_ref().map_or_else(none, |next| format!(", then {}", name(next)));
            [at, format::took(phase.swap), none(), model, what + &next]
        }
        Happened::Foreseen(foreseen) => {
            let what = match foreseen.right {
                Some(true) => "the forecast was right",
                Some(false) => "the forecast was wrong",
                None => "the forecast was not compared",
            };
            [at, none(), none(), name(&foreseen.model), what.to_owned()]
        }
    }
}

fn folded(line: &Folded<(Timestamp, &SwapRecord)>, when: &impl Fn(Timestamp) -> String) -> Line {
    let swaps = &line.swaps;
    let Some((one, other)) = line.pair(|(_, swap)| *swap) else {
        return swaps.first().map(|(at, swap)| line_of(when(*at), swap)).unwrap_or_default();
    };
    let took = median(swaps.iter().filter_map(|(_, swap)| swap.took()).collect());
    let by_watching = if swaps.iter().all(|(_, swap)| swap.ours) { "" } else { "~" };
    let took = took.map_or_else(|| "?".to_owned(), |took| format!("{by_watching}{}", format::took(took)));
    let since = swaps.last().map(|(at, _)| format!("since {}, the median", when(*at))).unwrap_or_default();
    let at = swaps.first().map(|(at, _)| when(*at)).unwrap_or_default();
    // Oldest first, as it went.
    let between = format!("{} ⇄ {} ×{}", name(other), name(one), swaps.len());
    [at, took, String::new(), between, since]
}

fn line_of(at: String, swap: &SwapRecord) -> Line {
    let took = match swap.stages.total {
        Some(total) => format!("{}{}", mark(swap.ours), format::took(total)),
        None if swap.ended == Ended::Ready => "?".to_owned(),
        None => String::new(),
    };
    let before = &swap.before;
    let ram = match before.ram {
        _ if before.in_vram => "VRAM".to_owned(),
        Some(ram) => format!("{}{} %", mark(!before.estimate), ram.percent_of(before.whole)),
        None => "?".to_owned(),
    };
    let mut what = Vec::new();
    match swap.displaced.as_deref() {
        Some([]) => {}
        Some(displaced) => {
            let names: Vec<String> = displaced.iter().map(name).collect();
            what.push(format!("in place of {}", names.join(", ")));
        }
        None => what.push("in place of ?".to_owned()),
    }
    match swap.way {
        Way::Off => {}
        Way::First => what.push("read first".to_owned()),
        Way::Beside => what.push("read beside".to_owned()),
    }
    let stage =
        |label: &str, took: Option<Duration>| took.map(|took| format!("{label} {}", format::took(took)));
    what.extend(stage("unload", swap.stages.unload));
    what.extend(stage("read", swap.stages.read_took));
    what.extend(stage("load", swap.stages.load));
    what.extend(stage("first token", swap.stages.first_token));
    match &swap.ended {
        Ended::Ready => {}
        Ended::Failed { stage, why } => {
            what.push(format!("{} failed: {}", stage.word(), printable(why)));
        }
        Ended::Cancelled { stage } => what.push(format!("{} cancelled", stage.word())),
    }
    [at, took, ram, name(&swap.model), what.join(", ")]
}

/// What was only watched, or taken from samples, is marked.
fn mark(exact: bool) -> &'static str {
    if exact { "" } else { "~" }
}
