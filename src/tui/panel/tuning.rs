//! How long each model is idle between its uses, which keep_alive follows, and what each policy would have cost: the
//! selected model first.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::bytes::Bytes;
use crate::residency::tune::Tuning;
use crate::residency::tune::histogram::Stretch;
use crate::residency::tune::policy::Policy;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::theme::{self, Theme};
use crate::tui::widget::page;
use crate::tui::widget::strip::Strip;

/// Columns of a stretch's name, of its count, and between things.
const LABEL: u16 = 10;
const COUNT: u16 = 5;
const GAP: u16 = 2;
/// The longest bar.
const BAR: u16 = 60;
/// From so many columns on the policies stand beside the histogram.
const BESIDE: u16 = 64;
/// From so many columns on it is said what was for nothing.
const WIDE: u16 = 100;

/// A line of the page.
enum Line {
    /// Parts in their styles.
    Words(Vec<(String, Style)>),
    /// A stretch of the histogram, and a policy beside it.
    Both(Option<Bar>, Option<Row>),
}

/// How often it came back after so long.
struct Bar {
    stretch: Stretch,
    /// Of these, so many within the advised keep_alive; `None` where none is.
    kept: Option<u32>,
    /// The highest count of all stretches, and columns of its bar.
    most: u32,
    room: u16,
}

/// A policy's cells, and how they look.
struct Row {
    cells: Vec<String>,
    widths: Vec<u16>,
    style: Style,
}

/// Draws it, scrolled as far as the user asked and the lines go.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, down: usize) {
    let theme = &app.settings.theme;
    let lines = lines(app, area.width);
    page::lines(buffer, area, lines.len(), down, theme.faint, |buffer, area, i| {
        let mut strip = Strip::new(buffer, area);
        strip.skip(1);
        match &lines[i] {
            Line::Words(words) => {
                for (text, style) in words {
                    strip.put(text, *style);
                }
            }
            Line::Both(bar, row) => {
                if let Some(bar) = bar {
                    bar.draw(&mut strip, theme);
                }
                if let Some(row) = row {
                    row.draw(strip.skip(GAP));
                }
            }
        }
    });
}

impl Bar {
    fn draw(&self, strip: &mut Strip<'_>, theme: &Theme) {
        let room = self.room;
        let Stretch { label, count, .. } = self.stretch;
        strip.cell_right(label, LABEL, theme.faint).skip(GAP);
        strip.cell_right(&count.to_string(), COUNT, theme.text).skip(GAP);
        // What is there at all is seen.
        let columns = |count: u32| {
            let columns = (u64::from(count) * u64::from(room)).div_ceil(u64::from(self.most.max(1)));
            u16::try_from(columns).unwrap_or(room).min(room)
        };
        let all = columns(count);
        let kept = self.kept.map_or(all, &columns);
        // What nobody's keep_alive covers is no tier.
        let (glyph, style) =
            if self.kept.is_some() { (theme::VRAM, theme.vram) } else { ("━", theme.text) };
        strip.fill(glyph, kept, style).fill(theme::DISK, all - kept.min(all), theme.disk);
        strip.skip(room - all);
    }
}

impl Row {
    fn columns(&self) -> u16 {
        self.widths.iter().map(|width| width + GAP).sum::<u16>().saturating_sub(GAP)
    }

    fn draw(&self, strip: &mut Strip<'_>) {
        for (i, (cell, width)) in self.cells.iter().zip(&self.widths).enumerate() {
            match i {
                0 => strip.cell(cell, *width, self.style),
                _ => strip.skip(GAP).cell_right(cell, *width, self.style),
            };
        }
    }
}

fn lines(app: &App, width: u16) -> Vec<Line> {
    let theme = &app.settings.theme;
    let words = |text: &str, style| Line::Words(vec![(text.to_owned(), style)]);
    let applied = if app.settings.keep_alive_auto {
        "keep_alive is auto: loads and touches from here carry what follows"
    } else {
        "only shown: with `keep_alive: auto` in the config it would be applied"
    };
    let mut lines =
        vec![Line::Words(vec![("TUNING   ".to_owned(), theme.title), (applied.to_owned(), theme.faint)])];
    let Some(tunings) = app.snapshot.tunings.as_deref() else {
        lines.push(words("the journal, where uses are written down, was not read yet", theme.text));
        return lines;
    };
    let selected = app.selected();
    let is_selected = |tuning: &&Tuning| Some(&tuning.model) == selected;
    if let Some(model) = selected.filter(|_| !tunings.iter().any(|tuning| is_selected(&tuning))) {
        lines.push(Line::Words(vec![
            (model.to_string(), theme.selected),
            ("   no use of it is known yet: this screen writes them down".to_owned(), theme.text),
        ]));
    }
    let (first, rest): (Vec<&Tuning>, Vec<&Tuning>) = tunings.iter().partition(is_selected);
    for tuning in first.into_iter().chain(rest) {
        if lines.len() > 1 {
            lines.push(words("", theme.text));
        }
        lines.extend(block(&sized(tuning, app), width, theme));
    }
    lines
}

/// The same with the size that the server reports, where the journal saw no load of it.
fn sized<'a>(tuning: &'a Tuning, app: &App) -> Cow<'a, Tuning> {
    let size = app.server().and_then(|server| server.model(&tuning.model)).map(|model| model.size);
    match (tuning.size, size.filter(|size| *size > Bytes::ZERO)) {
        (None, Some(size)) => Cow::Owned(Tuning { size: Some(size), ..tuning.clone() }),
        _ => Cow::Borrowed(tuning),
    }
}

fn block(tuning: &Tuning, width: u16, theme: &Theme) -> Vec<Line> {
    let mut lines = vec![Line::Words(vec![
        (tuning.model.to_string(), theme.selected),
        (format!("   {}", tuning.head_words()), theme.text),
    ])];
    // Where it never came back there is nothing to compare.
    if tuning.histogram.returns() > 0 {
        let rows = rows(tuning, width >= WIDE, theme);
        // There are fewer policies than stretches.
        let (beside, below) = if width >= BESIDE { (rows, Vec::new()) } else { (Vec::new(), rows) };
        let table = beside.first().map_or(0, |row| row.columns() + GAP);
        let room = width.saturating_sub(2 + LABEL + COUNT + 2 * GAP + table).min(BAR);
        let mut beside = beside.into_iter();
        lines.extend(bars(tuning, room).into_iter().map(|bar| Line::Both(Some(bar), beside.next())));
        lines.extend(below.into_iter().map(|row| Line::Both(None, Some(row))));
    }
    let sentence = format::wrap(&tuning.advice_words(), width.saturating_sub(4), 4);
    let mark = if tuning.keep_alive().is_some() { theme::VRAM } else { " " };
    lines.extend(sentence.into_iter().enumerate().map(|(i, line)| {
        let mark = if i == 0 { mark } else { " " };
        Line::Words(vec![(format!("{mark} "), theme.vram), (line, theme.text)])
    }));
    lines
}

fn bars(tuning: &Tuning, room: u16) -> Vec<Bar> {
    let stretches = tuning.histogram.stretches();
    let most = stretches.iter().map(|stretch| stretch.count).max().unwrap_or(0);
    let within = tuning.keep_alive().map(|keep_alive| tuning.histogram.within(keep_alive));
    let mut before = 0;
    let bar = |stretch: Stretch| {
        let kept = within.map(|within| within.saturating_sub(before).min(stretch.count));
        before += stretch.count;
        Bar { stretch, kept, most, room }
    };
    stretches.into_iter().map(bar).collect()
}

fn rows(tuning: &Tuning, is_wide: bool, theme: &Theme) -> Vec<Row> {
    let shown = if is_wide { 4 } else { 3 };
    let table = tuning.table();
    let widest = |column: usize| table.iter().map(|row| format::columns(&row[column])).max().unwrap_or(0);
    let widths: Vec<u16> = (0..shown).map(widest).collect();
    let style = |i: usize| match i.checked_sub(1).map(|i| tuning.rows[i].0) {
        None => theme.faint,
        Some(Policy::Auto(_)) => theme.selected,
        Some(_) => theme.text,
    };
    let row = |(i, cells): (usize, &[String; 4])| Row {
        cells: cells[..shown].to_vec(),
        widths: widths.clone(),
        style: style(i),
    };
    table.iter().enumerate().map(row).collect()
}
