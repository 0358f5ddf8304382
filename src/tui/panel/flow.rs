//! The panel of a workflow that runs: a row for each step on a common line of time, totals, and what lookahead did.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::flow::{Ahead, AheadDid, Flow, FlowState, FlowStep, StepState};
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::app::{App, Left, Panel, Shown};
use crate::tui::format;
use crate::tui::theme::Theme;
use crate::tui::widget::stages;
use crate::tui::widget::strip::{Strip, row};

mod output;
mod timeline;

use timeline::{Columns, Timeline};

/// A line of the body.
enum Line {
    /// The step with this number.
    Step(usize),
    /// A word and a text.
    Text(String, String),
    /// What the step's command said; the word is before the first line of it.
    Output(String, String),
}

/// Rows that the panel would like; none without a workflow.
pub(crate) fn rows(app: &App, height: u16, now: Moment) -> u16 {
    let Some(shown) = app.shown_flow(now) else { return 0 };
    let roomy = height >= 36 || app.panel == Panel::Flow;
    let said = output::lines(app, &shown, if roomy { output::MOST } else { 1 }).len();
    let told = if roomy { told(&shown.flow).len() } else { 0 };
    u16::try_from(shown.flow.steps.len() + said + told + 2).unwrap_or(u16::MAX)
}

/// Draws it.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment) {
    let Some(shown) = app.shown_flow(now).filter(|_| area.height > 0) else { return };
    let theme = &app.settings.theme;
    let flow = &*shown.flow;
    if area.height == 1 {
        return in_a_line(&mut Strip::new(buffer, area), &shown, app, now);
    }
    let columns = Columns::new(flow, area.width);
    let timeline = Timeline::new(flow, columns, now);
    title(&mut Strip::new(buffer, area), &shown, columns, app, now);
    let with_totals = area.height > 2;
    let rest = usize::from(area.height) - 1 - usize::from(with_totals);
    let lines = lines(app, &shown, rest.saturating_sub(flow.steps.len()));
    // The step that is under way is in sight unless the user looks elsewhere.
    let active = flow.steps.iter().rposition(|step| step.state != StepState::Waiting).unwrap_or(0);
    let follow = (active + 1).saturating_sub(rest);
    let down = if app.flow_down > 0 { app.flow_down } else { follow };
    let down = down.min(lines.len().saturating_sub(rest));
    for (i, line) in lines.iter().skip(down).take(rest).enumerate() {
        let mut strip = Strip::new(buffer, row(area, 1 + i));
        match line {
            Line::Step(step) => timeline.step(&mut strip, *step, theme),
            Line::Text(word, text) => {
                strip.skip(1).cell(word, columns.phase, theme.faint).skip(2).put(text, theme.faint);
            }
            Line::Output(word, text) => {
                strip.skip(1).cell(word, columns.phase, theme.faint).skip(2).put(text, theme.text);
            }
        }
    }
    if with_totals {
        totals(&mut Strip::new(buffer, row(area, usize::from(area.height) - 1)), flow, theme);
    }
}

/// Draws the row of one step on the line of time.
pub(super) fn render_step(
    buffer: &mut Buffer,
    area: Rect,
    flow: &Flow,
    step: usize,
    theme: &Theme,
    now: Moment,
) {
    let timeline = Timeline::new(flow, Columns::new(flow, area.width), now);
    timeline.step(&mut Strip::new(buffer, area), step, theme);
}

/// Draws what the figures of the steps are, at their right.
pub(super) fn render_head(buffer: &mut Buffer, area: Rect, flow: &Flow, word: &str, theme: &Theme) {
    let columns = Columns::new(flow, area.width);
    let mut strip = Strip::new(buffer, area);
    let words = strip.left().saturating_sub(1 + columns.numbers());
    strip.skip(1).cell(word, words, theme.faint);
    columns.head(&mut strip, theme);
}

fn title(strip: &mut Strip, shown: &Shown, columns: Columns, app: &App, now: Moment) {
    let flow = &*shown.flow;
    let theme = &app.settings.theme;
    let name = if app.panel == Panel::Flow { theme.title } else { theme.selected };
    strip.skip(1);
    let room = strip.left().saturating_sub(columns.numbers());
    let wide = format::columns(&flow.name).min(room);
    strip.cell(&flow.name, wide, name);
    let mut left = room - wide;
    for (text, style) in title_words(shown, app, now) {
        // What does not fit is left out, but why it failed is cut.
        let wide = match &flow.state {
            FlowState::Failed { .. } => format::columns(&text).min(left.saturating_sub(3)),
            _ => format::columns(&text),
        };
        if wide > 0 && wide + 3 <= left {
            strip.skip(3).cell(&text, wide, style);
            left -= wide + 3;
        }
    }
    strip.skip(left);
    columns.head(strip, theme);
}

/// All that one row says: how far it is, the step that it is at, and its name as far as there is room.
fn in_a_line(strip: &mut Strip, shown: &Shown, app: &App, now: Moment) {
    let (flow, theme) = (&*shown.flow, &app.settings.theme);
    let (state, style) = state(shown, app, now);
    let at = flow.steps.iter().find_map(|step| match step.state {
        StepState::Swapping(_) => Some(format!("{} swaps", step.phase)),
        StepState::Working(_) => Some(format!("{} works", step.phase)),
        _ => None,
    });
    let at = at.unwrap_or_default();
    strip.skip(1);
    let rest = format::columns(&at) + format::columns(&state) + 6;
    let name = format::columns(&flow.name).min(strip.left().saturating_sub(rest).max(8));
    strip.cell(&flow.name, name, theme.selected).skip(3);
    if !at.is_empty() {
        strip.cell(&at, format::columns(&at), theme.text).skip(3);
    }
    strip.put(&state, style);
}

/// How far the whole of it is.
fn state(shown: &Shown, app: &App, now: Moment) -> (String, Style) {
    let (flow, theme) = (&*shown.flow, &app.settings.theme);
    if let Some(Left { model, at }) = &shown.left {
        let at = at.map(|at| format!("left VRAM at {}", format::clock(at, &app.settings.zone)));
        return (format!("{model} {}", at.unwrap_or_else(|| "is not in VRAM".to_owned())), theme.warn);
    }
    match &flow.state {
        FlowState::Running => (format::running(now.since(flow.began.mono)), theme.work),
        FlowState::Paused => ("paused".to_owned(), theme.warn),
        FlowState::Done { took } => (format!("done in {}", format::took(*took)), theme.good),
        FlowState::Failed { why } => (format!("failed: {}", printable(why)), theme.bad),
        FlowState::Cancelled => ("cancelled".to_owned(), theme.warn),
    }
}

/// What stands after the name.
fn title_words(shown: &Shown, app: &App, now: Moment) -> Vec<(String, Style)> {
    let (flow, theme) = (&*shown.flow, &app.settings.theme);
    let mut words = vec![state(shown, app, now)];
    if flow.of > 1 {
        words.push((format!("run {} of {}", flow.run, flow.of), theme.text));
    }
    let how = shown.whose.unwrap_or(flow.manner.word());
    words.push((how.to_owned(), theme.text));
    if let Some(last) = flow.last {
        words.push((format!("last {}", format::took(last)), theme.faint));
    }
    words
}

fn totals(strip: &mut Strip, flow: &Flow, theme: &Theme) {
    let (work, swaps, scaled) = (format::took(flow.work), format::took(flow.swaps), scaled(flow));
    let mut words = format!("work {work}{scaled}   swaps {swaps}");
    let (read, hidden) = flow.hidden;
    if read.0 > 0 {
        let hidden = format::took(hidden);
        let long = format!("{words}   disk time hidden by lookahead {hidden}");
        let short = format!("{words}   hidden {hidden}");
        words = if format::columns(&long) < strip.left() { long } else { short };
    }
    strip.skip(1).put(&words, theme.text);
}

/// How much of the work was made shorter than it is written: only times are, commands and prompts take what they take.
fn scaled(flow: &Flow) -> String {
    if flow.scale <= 1 || flow.steps.iter().all(|step| step.planned.is_none()) {
        return String::new();
    }
    let work = |is_scaled: bool| -> Duration {
        let of_it = flow.steps.iter().filter(|step| step.planned.is_some() == is_scaled);
        of_it.filter_map(|step| step.work).map(|(_, took)| took).sum()
    };
    let scale = flow.scale;
    if work(false).is_zero() {
        format!(" at 1:{scale}")
    } else {
        format!(" ({} of it at 1:{scale})", format::took(work(true)))
    }
}

/// The steps; and where so many rows are left, what a command says now and what is told of the rest.
fn lines(app: &App, shown: &Shown, room: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = (0..shown.flow.steps.len()).map(Line::Step).collect();
    if room > 0 {
        let told = told(&shown.flow);
        // A command has what the others leave, and at least half.
        let most = room.saturating_sub(told.len()).max(room.div_ceil(2));
        lines.extend(output::lines(app, shown, most.min(output::MOST)));
        lines.extend(told);
    }
    lines
}

/// The stages of all swaps and what lookahead did, the latest first.
fn told(flow: &Flow) -> Vec<Line> {
    let mut lines: Vec<Line> = flow.steps.iter().flat_map(told_of).collect();
    lines.extend(looked_ahead(flow));
    lines
}

/// A step's swap stage by stage, and the tokens that came.
fn told_of(step: &FlowStep) -> impl Iterator<Item = Line> {
    let swap = step.swapping.as_ref().map(|swapping| stages::line(&swapping.stages, &swapping.plan.before));
    let tokens =
        step.tokens.map(|(tokens, first)| format!("{tokens} tokens, first after {}", format::took(first)));
    let said = swap.into_iter().chain(tokens).filter(|text| !text.is_empty());
    said.map(|text| Line::Text(step.phase.clone(), text))
}

/// What lookahead did while each step worked, the latest first; what it found in RAM is one line for each step.
fn looked_ahead(flow: &Flow) -> Vec<Line> {
    let mut lines = Vec::new();
    let by_step = flow.ahead.chunk_by(|a, b| a.during == b.during);
    for ahead in by_step.rev() {
        let during = flow.steps.get(ahead[0].during).map_or("", |step| step.phase.as_str());
        let mut kept = Vec::new();
        let mut did = Vec::new();
        for Ahead { model, did: what, .. } in ahead {
            match what {
                AheadDid::Warmed { read, took } => {
                    let rate = format::rate(*read, took.as_secs_f64());
                    let rate = rate.map_or_else(String::new, |rate| format!("   {rate}"));
                    did.push(format!("{model}   read {read} in {}{rate}", format::took(*took)));
                }
                AheadDid::Kept => kept.push(model.to_string()),
                AheadDid::Refused { why } => {
                    did.push(format!("{model}   not read ahead: {}", printable(why)));
                }
            }
        }
        if !kept.is_empty() {
            did.push(format!("in RAM already: {}", kept.join(", ")));
        }
        let line = |did| Line::Text(during.to_owned(), format!("meanwhile {did}"));
        lines.extend(did.into_iter().map(line));
    }
    lines
}

/// A state in a word, where a bar alone does not say it.
fn said(steps: &[FlowStep], number: usize, theme: &Theme) -> Option<(String, Style)> {
    let step = &steps[number];
    match &step.state {
        StepState::Failed { why } => Some((format!("failed: {}", printable(why)), theme.bad)),
        StepState::Skipped if step.on_failure => Some(("not needed".to_owned(), theme.faint)),
        StepState::Skipped => Some(("skipped".to_owned(), theme.warn)),
        StepState::Waiting if step.on_failure => {
            let before = steps[..number].iter().rev().find(|before| !before.on_failure)?;
            Some((format!("only if {} fails", before.phase), theme.faint))
        }
        _ => None,
    }
}
