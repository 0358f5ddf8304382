//! The steps of a workflow on a line of time: swaps and work in glyphs of their own, figures at the right.

use std::time::Duration;

use super::said;
use crate::residency::flow::{Flow, FlowState, FlowStep, StepState};
use crate::residency::timing::Moment;
use crate::tui::format;
use crate::tui::theme::{self, Theme};
use crate::tui::widget::bar::share_out;
use crate::tui::widget::strip::Strip;

/// Columns of each figure, with the blank before it.
const FIGURE: u16 = 7;

/// Columns of the bar of a model that is read for later.
const WARMING: u16 = 10;

/// Where the parts of a row stand; 0 is a part that has no room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) phase: u16,
    model: u16,
    bar: u16,
    last: u16,
}

impl Columns {
    pub(super) fn new(flow: &Flow, width: u16) -> Columns {
        let longest = |text: fn(&FlowStep) -> String| {
            flow.steps.iter().map(|step| format::columns(&text(step))).max().unwrap_or(0)
        };
        let phase = longest(|step| step.phase.clone()).clamp(4, if width < 60 { 10 } else { 14 });
        let model = longest(|step| step.model.to_string()).min(if width < 100 { 18 } else { 30 }) + 2;
        let model = if width < 60 { 0 } else { model };
        let last = if width >= 70 && flow.steps.iter().any(|step| step.last.is_some()) { FIGURE } else { 0 };
        let used = 1 + phase + 2 + model + 2 * FIGURE + last;
        Columns { phase, model, bar: width.saturating_sub(used), last }
    }

    /// Columns of the figures at the right.
    pub(super) fn numbers(self) -> u16 {
        2 * FIGURE + self.last
    }

    /// What the figures are.
    pub(super) fn head(self, strip: &mut Strip, theme: &Theme) {
        strip.cell_right("swap", FIGURE, theme.faint).cell_right("work", FIGURE, theme.faint);
        strip.cell_right("last", self.last, theme.faint);
    }
}

/// A stretch of time: when it began, from the run's beginning, how long it took, and whether it goes on.
type Stretch = (Duration, Duration, bool);

/// The line of time and all that stands on it.
pub(super) struct Timeline<'a> {
    flow: &'a Flow,
    columns: Columns,
    now: Moment,
    from: Duration,
    span: Duration,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(flow: &'a Flow, columns: Columns, now: Moment) -> Timeline<'a> {
        let parts = |step: &FlowStep| [swap(step, now), work(step, now)].into_iter().flatten();
        let from = flow.steps.iter().flat_map(parts).map(|(began, ..)| began).min().unwrap_or_default();
        let ends = flow.steps.iter().flat_map(parts).map(|(began, took, _)| began + took).max();
        let took = ends.unwrap_or_default().saturating_sub(from);
        let is_over = !matches!(flow.state, FlowState::Running | FlowState::Paused);
        let planned: Duration = flow.steps.iter().filter_map(|step| step.planned).sum();
        let expected = flow.last.unwrap_or_default().max(planned);
        let span = match took {
            _ if is_over => took,
            _ if took <= expected => expected,
            _ => round(took),
        };
        Timeline { flow, columns, now, from, span }
    }

    /// Draws a step's row.
    pub(super) fn step(&self, strip: &mut Strip, number: usize, theme: &Theme) {
        let step = &self.flow.steps[number];
        let columns = self.columns;
        let waits = matches!(step.state, StepState::Waiting | StepState::Skipped);
        let name = if waits { theme.faint } else { theme.text };
        strip.skip(1).cell(&step.phase, columns.phase, name).skip(2);
        if columns.model > 0 {
            strip.cell(&step.model.to_string(), columns.model - 2, name).skip(2);
        }
        let left = strip.left();
        self.bar(strip, number, theme);
        strip.skip(columns.bar.saturating_sub(left - strip.left()));
        let mut figure = |stretch: Option<Stretch>, style| {
            let text = stretch.map_or_else(String::new, |(_, took, lives)| {
                if lives {
                    format::running(took).trim_end_matches(" s").to_owned()
                } else {
                    format::seconds(took)
                }
            });
            strip.cell_right(&text, FIGURE, style);
        };
        figure(swap(step, self.now), theme.warn);
        figure(work(step, self.now), theme.text);
        let last = step.last.map(|(swap, work)| format::seconds(swap + work));
        strip.cell_right(&last.unwrap_or_default(), columns.last, theme.faint);
    }

    fn bar(&self, strip: &mut Strip, number: usize, theme: &Theme) {
        let step = &self.flow.steps[number];
        let mut at = 0;
        let work_style = if matches!(step.state, StepState::Failed { .. }) { theme.bad } else { theme.work };
        for (stretch, glyph, style) in
            [(swap(step, self.now), theme::OTHER, theme.warn), (work(step, self.now), "━", work_style)]
        {
            let Some((began, took, lives)) = stretch.filter(|(_, took, _)| !took.is_zero()) else { continue };
            let from = self.column(began).min(self.columns.bar.saturating_sub(1)).max(at);
            // What is there at all is seen.
            let to = self.column(began + took).max(from + 1).min(self.columns.bar);
            let head = u16::from(lives && glyph == "━" && to > from);
            strip.skip(from - at).fill(glyph, to.saturating_sub(from + head), style);
            strip.fill("╸", head, style);
            at = to.max(from);
        }
        let room = self.columns.bar.saturating_sub(at);
        let said = said(&self.flow.steps, number, theme);
        let warming = step.warming.filter(|_| step.state == StepState::Waiting);
        let mut room = room;
        if let Some((text, style)) = said {
            let wide = format::columns(&text);
            let gap = u16::from(at > 0);
            let both = wide + 3 + WARMING + 13;
            if warming.is_none() || both <= room {
                strip.skip(gap.min(room)).cell(&text, wide.min(room.saturating_sub(gap)), style);
                room = room.saturating_sub(wide + gap);
                if warming.is_some() {
                    strip.skip(3);
                    room = room.saturating_sub(3);
                }
            }
        }
        if let Some(percent) = warming {
            let lit = share_out(&[u64::from(percent.min(100))], 100, WARMING)[0];
            let word = if room >= WARMING + 13 { "warming " } else { "" };
            let bar = WARMING.min(room.saturating_sub(6));
            strip.cell(word, format::columns(word), theme.faint);
            strip.fill(theme::RAM, lit.min(bar), theme.ram);
            strip.fill(theme::DISK, bar.saturating_sub(lit), theme.disk);
            strip.cell(&format!(" {percent} %"), room.saturating_sub(bar).min(6), theme.ram);
        }
    }

    /// The column of a moment, counted from the run's beginning.
    fn column(&self, at: Duration) -> u16 {
        let (at, span) = (at.saturating_sub(self.from).as_micros(), self.span.as_micros().max(1));
        let column = (at * u128::from(self.columns.bar) + span / 2) / span;
        u16::try_from(column).unwrap_or(u16::MAX).min(self.columns.bar)
    }
}

/// A model that is in VRAM already is made ready in less: that is no swap.
const TOUCH: Duration = Duration::from_millis(5);

/// The swap of a step, as far as it is now.
fn swap(step: &FlowStep, now: Moment) -> Option<Stretch> {
    let (began, took) = step.swap?;
    match step.state {
        StepState::Swapping(since) => Some((began, now.since(since.mono).max(took), true)),
        _ => (took >= TOUCH).then_some((began, took, false)),
    }
}

/// The work of a step, as far as it is now.
fn work(step: &FlowStep, now: Moment) -> Option<Stretch> {
    let (began, took) = step.work?;
    Some(match step.state {
        StepState::Working(since) => (began, now.since(since.mono).max(took), true),
        _ => (began, took, false),
    })
}

/// The next round time, so that a line that grows is seldom drawn anew: 1, 2, 5, 10, 20 …
fn round(took: Duration) -> Duration {
    let mut unit = Duration::from_millis(100);
    loop {
        for by in [1, 2, 5] {
            if unit * by >= took {
                return unit * by;
            }
        }
        match unit.checked_mul(10) {
            Some(next) if next.as_secs() < u64::from(u32::MAX) => unit = next,
            _ => return took,
        }
    }
}
