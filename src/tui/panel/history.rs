//! The latest swaps, by anybody, as the journal knows them; the day's sum, and each model's times as a line.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::record::{Day, SwapRecord};
use crate::residency::swap::Ended;
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::app::App;
use crate::tui::course::{self, What};
use crate::tui::format::{self, Unit};
use crate::tui::widget::strip::Strip;
use crate::tui::widget::{fold, page, sparkline, stages};

mod latest;

use latest::Latest;

/// `today 143 swaps   waited 2:10   (cold would be ~13:50)   median 0.90 s`; `None` on a day without any.
pub(crate) fn day(day: &Day) -> Option<String> {
    if day.swaps == 0 {
        return None;
    }
    let mut words = format!("today {}", day.count());
    let Some(median) = day.median else { return Some(words) };
    words = format!("{words}   waited {}", format::took(day.waited));
    if let Some(cold) = day.cold {
        words = format!("{words}   (cold would be ~{})", format::took(cold));
    }
    Some(format!("{words}   median {}", format::took(median)))
}

/// What a row says, cell by cell.
struct Row {
    at: Timestamp,
    model: String,
    /// From where it came: `100 %` of it in RAM.
    ram: String,
    took: String,
    words: String,
    style: Style,
}

/// Columns before the words of a row, beside the model's name.
const BESIDE: u16 = 34;

/// A line of the page.
enum Line<'a> {
    /// So many seconds are drawn.
    Seconds(u16),
    /// What something did in them, second by second: its word, the line, its figures.
    Course(&'static str, course::Line, String, Style),
    Title,
    Blank,
    Head,
    /// A model's latest times, and what stands over the first of them.
    LatestHead,
    Latest(&'a Latest),
    /// The cells of a row, and its words where they fit.
    Row(&'a Row, bool),
    /// Words that did not fit.
    Words(String, Style),
}

/// Draws them, newest first, scrolled as far as the user asked and the lines go.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment, down: usize) {
    let theme = &app.settings.theme;
    let most = if area.width < 100 { 24 } else { 48 };
    let rows = rows(app, most);
    // The list is what the page is for: a third of it at most, with a heading and a blank, or nothing on a small one.
    let room = (usize::from(area.height) / 3).saturating_sub(2);
    let latest = latest::of(&app.snapshot.past, if room > 1 { room } else { 0 });
    let shown = rows.iter().map(|row| row.model.clone());
    let shown = shown.chain(latest.iter().map(|latest| latest.model.to_string()));
    let names = shown.map(|model| format::columns(&model)).max().unwrap_or(0).clamp(5, most);
    // On a small screen the swaps have the room.
    let mut lines = if area.height < 14 { Vec::new() } else { course(area.width, app, now) };
    lines.extend(self::lines(&latest, &rows, area.width, names));
    page::lines(buffer, area, lines.len(), down, theme.faint, |buffer, area, i| {
        let mut strip = Strip::new(buffer, area);
        strip.skip(1);
        match &lines[i] {
            Line::Blank => {}
            Line::Seconds(seconds) => {
                strip.put("LAST", theme.title).put(&format!(" {seconds} s"), theme.text);
            }
            Line::Course(word, course, figures, style) => {
                strip
                    .cell(word, WORD, theme.faint)
                    .put(&course.glyphs, *style)
                    .skip(2)
                    .put(figures, theme.text);
            }
            Line::Title => {
                let day = day(&app.snapshot.past.today).unwrap_or_default();
                strip.put("SWAPS", theme.title).skip(3).put(&day, theme.text);
            }
            Line::Head => {
                strip.skip(10).cell("MODEL", names, theme.faint).skip(2);
                strip.cell_right("FROM RAM", 8, theme.faint).skip(2).cell_right("TOOK", 8, theme.faint);
                strip.skip(3).put("STAGES", theme.faint);
            }
            Line::LatestHead => {
                strip.skip(10).cell("MODEL", names, theme.faint).skip(2);
                strip.cell("LATEST", latest::COLUMNS, theme.faint);
            }
            Line::Latest(latest) => {
                strip.skip(10).cell(&latest.model.to_string(), names, theme.text).skip(2);
                strip.cell(&latest.line, latest::COLUMNS, theme.text).skip(3).put(&latest.words, theme.text);
            }
            Line::Row(row, with_words) => {
                strip.put(&format::clock_seconds(row.at, &app.settings.zone), theme.faint).skip(2);
                strip.cell(&row.model, names, theme.text).skip(2);
                strip.cell_right(&row.ram, 8, theme.ram).skip(2).cell_right(&row.took, 8, theme.text);
                strip.skip(3).put(if *with_words { &row.words } else { "" }, row.style);
            }
            Line::Words(words, style) => {
                strip.skip(10).put(words, *style);
            }
        }
    });
}

/// Columns of a word before a line of seconds.
const WORD: u16 = 10;

/// Columns of the figures behind it.
const FIGURES: u16 = 24;

/// What memory and bus did in the last seconds; what was not measured is not drawn.
fn course(width: u16, app: &App, now: Moment) -> Vec<Line<'static>> {
    let theme = &app.settings.theme;
    let seconds = width.saturating_sub(WORD + FIGURES).min(240);
    let mut lines = Vec::new();
    for what in What::ALL {
        let Some(line) = app.course.line(what, seconds, now.mono) else { continue };
        let of = |line: &course::Line| {
            let unit = Unit::of(line.most);
            format!("{} of {} {}", unit.figure(line.now), unit.figure(line.most), unit.name())
        };
        let rate = |bytes| format::rate(bytes, 1.0).unwrap_or_else(|| "0".to_owned());
        let (word, figures, style) = match what {
            What::Vram => ("VRAM", of(&line), theme.vram),
            What::Ram => ("in RAM", of(&line), theme.ram),
            What::Pcie => ("PCIe", format!("{}   most {}", rate(line.now), rate(line.most)), theme.work),
        };
        lines.push(Line::Course(word, line, figures, style));
    }
    if !lines.is_empty() {
        lines.insert(0, Line::Seconds(seconds));
        lines.push(Line::Blank);
    }
    lines
}

fn lines<'a>(latest: &'a [Latest], rows: &'a [Row], width: u16, names: u16) -> Vec<Line<'a>> {
    if rows.is_empty() {
        return vec![Line::Title, Line::Words("no swap is known yet".to_owned(), Style::new())];
    }
    let mut lines = vec![Line::Title, Line::Blank];
    if !latest.is_empty() {
        lines.push(Line::LatestHead);
        lines.extend(latest.iter().map(Line::Latest));
        lines.push(Line::Blank);
    }
    lines.push(Line::Head);
    for row in rows {
        let fits = format::columns(&row.words) <= width.saturating_sub(names + BESIDE);
        lines.push(Line::Row(row, fits));
        if !fits {
            let wrapped = format::wrap(&row.words, width.saturating_sub(12), 4);
            lines.extend(wrapped.into_iter().map(|words| Line::Words(words, row.style)));
        }
    }
    lines
}

/// A row for each swap, or for many to and fro; names take so many columns at most.
fn rows(app: &App, most: u16) -> Vec<Row> {
    let swaps = &app.snapshot.past.swaps;
    let ready = |(_, swap): &&(Timestamp, SwapRecord)| swap.ended == Ended::Ready;
    let stretches =
        fold::alternating(swaps, |swap| Some(swap).filter(ready).map(|(_, swap)| &swap.model), |_, _| false);
    stretches
        .into_iter()
        .map(|stretch| match &swaps[stretch] {
            [(at, swap)] => single(*at, swap, app),
            many => folded(many, most, app),
        })
        .collect()
}

fn single(at: Timestamp, swap: &SwapRecord, app: &App) -> Row {
    let theme = &app.settings.theme;
    let about = if swap.ours { "" } else { "~" };
    let took =
        swap.stages.total.map_or_else(|| "?".to_owned(), |took| format!("{about}{}", format::took(took)));
    let (words, style) = match &swap.ended {
        Ended::Ready if swap.before.in_vram => ("was in VRAM".to_owned(), theme.faint),
        Ended::Ready => {
            let untotalled = crate::residency::swap::Stages { total: None, ..swap.stages };
            let words = stages::line(&untotalled, &crate::residency::swap::Before::default());
            let client = if swap.ours { "" } else { "by another client" };
            let both = [words.as_str(), client].into_iter().filter(|text| !text.is_empty());
            (both.collect::<Vec<_>>().join("   "), theme.faint)
        }
        Ended::Failed { stage, why } => {
            (format!("failed in {}: {}", stage.word(), printable(why)), theme.bad)
        }
        Ended::Cancelled { stage } => (format!("cancelled in {}", stage.word()), theme.warn),
    };
    let ram = stages::from_ram(&swap.before).unwrap_or_else(|| "?".to_owned());
    Row { at, model: swap.model.to_string(), ram, took, words, style }
}

/// Swaps to and fro in one row.
fn folded(swaps: &[(Timestamp, SwapRecord)], most: u16, app: &App) -> Row {
    let at = swaps.first().map_or(Timestamp::UNIX_EPOCH, |(at, _)| *at);
    let times: Vec<Duration> = swaps.iter().filter_map(|(_, swap)| swap.stages.total).collect();
    let about = if swaps.iter().all(|(_, swap)| swap.ours) { "" } else { "~" };
    let count = swaps.len();
    let (took, words) = match sparkline::median(&times) {
        None => ("?".to_owned(), format!("×{count}, not timed")),
        Some(median) => {
            let of = if times.len() == count { String::new() } else { format!(" of {}", times.len()) };
            (format!("{about}{}", format::took(median)), format!("×{count}, the median{of}"))
        }
    };
    let pair: Vec<String> = swaps.iter().take(2).map(|(_, swap)| swap.model.to_string()).collect();
    let whole = pair.join(" ⇄ ");
    let short = || pair.iter().map(|name| format::short_name(name)).collect::<Vec<_>>().join(" ⇄ ");
    Row {
        at,
        model: if format::columns(&whole) > most { short() } else { whole },
        ram: String::new(),
        took,
        words,
        style: app.settings.theme.faint,
    }
}
