//! What happened, the newest at the bottom.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::history;
use crate::residency::act::ActState;
use crate::residency::event::{Event, What};
use crate::residency::timing::Moment;
use crate::tui::app::{App, Panel};
use crate::tui::format;
use crate::tui::widget::strip::{Strip, row};
use crate::tui::widget::{fold, stages};

mod times;
mod words;

use times::Times;
use words::words;

/// Draws the events that fit, and before the oldest of them, in the row above if there is no other, the day's sum.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, above: Rect, app: &App) {
    if area.is_empty() {
        return;
    }
    let events = &app.snapshot.events;
    let has_keys = app.panel == Panel::Events;
    let title = usize::from((has_keys || app.events_back > 0) && area.height > 2);
    let rows = usize::from(area.height) - title;
    let theme = &app.settings.theme;
    if title == 1 {
        let back = if app.events_back > 0 {
            format!("EVENTS   {} newer below", app.events_back)
        } else {
            "EVENTS".into()
        };
        Strip::new(buffer, area).skip(1).put(&back, if has_keys { theme.title } else { theme.faint });
    }
    if events.is_empty() && has_keys {
        Strip::new(buffer, row(area, title)).skip(1).put("nothing has happened yet", theme.faint);
    }
    let back = app.events_back.min(events.len().saturating_sub(rows.min(events.len())));
    let last = events.len() - back;
    if has_keys {
        whole(buffer, area, title, last, app);
        return;
    }
    let said = said(app, last);
    let said = &said[said.len().saturating_sub(rows)..];
    // The newest stands at the bottom, so that the eye finds it where it was.
    let blank = rows - said.len();
    if let Some(day) = history::day(&app.snapshot.past.today) {
        let at = blank.checked_sub(1).map_or(above, |blank| row(area, blank));
        Strip::new(buffer, at).skip(1).put(&day, theme.faint);
    }
    for (i, said) in said.iter().enumerate() {
        said.line(buffer, row(area, blank + i), app);
    }
}

/// The events up to `last`, each with all its words: what a server said may be long.
fn whole(buffer: &mut Buffer, area: Rect, title: usize, last: usize, app: &App) {
    let rows = usize::from(area.height) - title;
    let mut lines: Vec<(Option<Said>, String, Style)> = Vec::new();
    for said in said(app, last).into_iter().rev() {
        let (words, style) = said.words(app, u16::MAX);
        let width = area.width.saturating_sub(said.before(area.width));
        let wrapped = format::wrap(&words, width, rows.max(1));
        for (i, line) in wrapped.into_iter().enumerate().rev() {
            lines.push(((i == 0).then_some(said), line, style));
        }
        if lines.len() >= rows {
            break;
        }
    }
    lines.truncate(rows);
    let mut indent = 1;
    for (i, (said, words, style)) in lines.iter().rev().enumerate() {
        let area = row(area, title + i);
        let mut strip = Strip::new(buffer, area);
        match said {
            Some(said) => {
                said.begin(&mut strip, area.width, app);
                indent = said.before(area.width);
            }
            None => {
                strip.skip(indent);
            }
        }
        strip.put(words, *style);
    }
}

/// What one line says: an event, or many swaps to and fro between two models.
#[derive(Clone, Copy)]
enum Said<'a> {
    Event(&'a Event),
    /// The last two swaps of them, and what their times come to.
    ToAndFro([&'a Event; 2], Times),
}

/// The lines up to the event with that number in the ring, oldest first. The last swap is told whole.
fn said(app: &App, last: usize) -> Vec<Said<'_>> {
    let mut events: Vec<&Event> = app.snapshot.events.range(..last).map(|event| &**event).collect();
    // Why a model left may be told later than what came next.
    events.sort_by_key(|event| event.at.mono);
    let came = |event: &&'_ Event| matches!(event.what, What::Loaded { .. });
    let newest = events.iter().rposition(came).unwrap_or(0);
    let before = events[..newest].iter().rposition(came).map_or(0, |event| event + 1);
    let stretches = fold::alternating(
        &events[..before],
        |event| if came(event) { event.model.as_ref() } else { None },
        |event, pair| {
            let moves = matches!(
                event.what,
                What::Loading { .. }
                    | What::Unloaded { .. }
                    | What::Evicted { .. }
                    | What::Left
                    | What::Loaded { .. }
            );
            moves && event.model.as_ref().is_some_and(|model| pair.contains(&model))
        },
    );
    let mut said: Vec<Said<'_>> = Vec::new();
    for stretch in stretches {
        let swaps: Vec<&Event> = events[stretch.clone()].iter().copied().filter(came).collect();
        match swaps[..] {
            [.., earlier, later] => {
                said.push(Said::ToAndFro([earlier, later], Times::of(&swaps, &app.snapshot.past)));
            }
            _ => said.extend(events[stretch].iter().map(|event| Said::Event(event))),
        }
    }
    said.extend(events[before..].iter().map(|event| Said::Event(event)));
    said
}

impl Said<'_> {
    /// When it was, and whom it happened to.
    fn begin(self, strip: &mut Strip, width: u16, app: &App) {
        let theme = &app.settings.theme;
        let (Said::Event(event) | Said::ToAndFro([_, event], ..)) = self;
        strip.skip(1).put(&format::clock_seconds(event.at.wall, &app.settings.zone), theme.faint).skip(2);
        if let (Said::Event(_), Some(model)) = (self, &event.model) {
            strip.cell(&model.to_string(), name_columns(width), theme.text).skip(2);
        }
    }

    /// Columns before its words.
    fn before(self, width: u16) -> u16 {
        match self {
            Said::Event(Event { model: Some(_), .. }) => 11 + name_columns(width) + 2,
            _ => 11,
        }
    }

    fn line(self, buffer: &mut Buffer, area: Rect, app: &App) {
        let mut strip = Strip::new(buffer, area);
        self.begin(&mut strip, area.width, app);
        let (words, style) = self.words(app, strip.left());
        strip.put(&words, style);
    }

    /// What it says, as far as that matters in so many columns.
    fn words(self, app: &App, columns: u16) -> (String, Style) {
        match self {
            Said::Event(event) => stages_of(event, app)
                .filter(|stages| format::columns(stages) <= columns)
                .map_or_else(|| words(event, app), |stages| (stages, app.settings.theme.good)),
            Said::ToAndFro(pair, times) => {
                let names: Vec<String> =
                    pair.iter().filter_map(|event| event.model.as_ref()).map(ToString::to_string).collect();
                (format!("{} {}", names.join(" ⇄ "), times.words()), app.settings.theme.text)
            }
        }
    }
}

fn name_columns(width: u16) -> u16 {
    match width {
        0..60 => 14,
        60..100 => 18,
        _ => 26,
    }
}

/// Draws the newest event.
pub(crate) fn newest(buffer: &mut Buffer, area: Rect, app: &App) {
    if let Some(event) = app.snapshot.events.back() {
        Said::Event(event).line(buffer, area, app);
    }
}

/// The stages of the swap of ours that ended with that event, on one line.
fn stages_of(event: &Event, app: &App) -> Option<String> {
    let What::Loaded { ours: true, .. } = event.what else { return None };
    let model = event.model.as_ref()?;
    let ends = app.snapshot.acts.iter().filter(|act| act.model == *model).filter_map(|act| {
        let ActState::Done { at, .. } = act.state else { return None };
        Some((at, act.swap.as_ref()?))
    });
    let (at, swapping) = ends.min_by_key(|(at, _)| apart(*at, event.at))?;
    // It ended with the event that is nearest to it: each is told once.
    let others = app.snapshot.events.iter().filter(|other| {
        other.model.as_ref() == Some(model) && matches!(other.what, What::Loaded { ours: true, .. })
    });
    let its_own = others.min_by_key(|other| apart(at, other.at))?;
    (its_own.number == event.number && apart(at, event.at) < NEAR)
        .then(|| stages::line(&swapping.stages, &swapping.plan.before))
        .filter(|line| line.contains('│'))
}

/// The time between two moments, whichever is the earlier.
fn apart(one: Moment, other: Moment) -> Duration {
    one.mono.max(other.mono) - one.mono.min(other.mono)
}

/// An act's end and its event are seen by the same look at the server, or the next one.
const NEAR: Duration = Duration::from_secs(3);
