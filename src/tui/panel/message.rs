//! The rows above the footer: a question, a prompt, what was just said, what runs, or one hint.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{log, startup};
use crate::residency::act::{Act, ActState};
use crate::residency::bytes::Bytes;
use crate::residency::snapshot::{Model, Reach, State};
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::residency::warm::Progress;
use crate::tui::action::Action;
use crate::tui::app::{App, Asked, Layer, Prompt, counted_once};
use crate::tui::format;
use crate::tui::layout::Areas;
use crate::tui::widget::stages;
use crate::tui::widget::strip::{Strip, row};

/// Rows of words, and how they look.
pub(crate) type Lines = (Vec<String>, Style);

/// What is said, wrapped to at most four rows; what so many rows of start-up's panel say is not said again.
pub(crate) fn lines(app: &App, now: Moment, width: u16, startup: u16) -> Lines {
    words(app, now, startup).map_or_else(Default::default, |(words, style)| {
        (format::wrap(&words, width.saturating_sub(2), 4), style)
    })
}

/// Draws the lines that the layout made room for.
pub(crate) fn render(buffer: &mut Buffer, areas: &Areas, app: &App, (lines, style): &Lines) {
    if let Layer::Prompt(prompt) = &app.layer {
        render_prompt(buffer, areas.message, prompt, app);
        return;
    }
    // Where the log has no room, its last line is still seen.
    if lines.is_empty() && areas.log.is_empty() {
        log::newest(buffer, areas.message, app);
    }
    for (i, line) in lines.iter().enumerate() {
        Strip::new(buffer, row(areas.message, i)).skip(1).put(line, *style);
    }
}

fn render_prompt(buffer: &mut Buffer, area: Rect, prompt: &Prompt, app: &App) {
    let theme = &app.settings.theme;
    let mut strip = Strip::new(buffer, area);
    strip.skip(1);
    let (title, hint) = match &prompt.what {
        Asked::Filter(_) => ("filter".to_owned(), ""),
        Asked::KeepAlive(model) => {
            (format!("keep_alive of {model}"), "60m, 1h30m, 90 (seconds), -1 for ever")
        }
    };
    // The end of a long text is what is being typed: cut at its beginning.
    let room = strip.left().saturating_sub(format::columns(&title).saturating_add(4));
    let mut shown = prompt.text.as_str();
    while format::columns(shown) > room && !shown.is_empty() {
        shown = &shown[shown.chars().next().map_or(0, char::len_utf8)..];
    }
    strip.put(&title, theme.title).skip(2).put(shown, theme.text).put("█", theme.title).skip(3);
    match &prompt.wrong {
        Some(wrong) => strip.put(wrong, theme.bad),
        None => strip.put(hint, theme.faint),
    };
}

fn words(app: &App, now: Moment, startup: u16) -> Option<(String, Style)> {
    let theme = &app.settings.theme;
    if let Layer::Ask(ask) = &app.layer {
        return Some((ask.question.clone(), theme.warn));
    }
    if let Some(notice) = &app.notice {
        return Some((printable(notice).into_owned(), theme.warn));
    }
    if let Some(frozen) = app.frozen_words() {
        return Some((frozen, theme.warn));
    }
    // What moves says more than what waits.
    let live = || app.live_acts().filter(|act| !startup::tells_of(app, startup, &act.model, now));
    let act = live().filter(|act| act.is_running()).last().or_else(|| live().last());
    if let Some(act) = act {
        let (verb, model) = (act.kind.verb(), &act.model);
        if let Some(progress) = act.progress.filter(|_| act.is_running()) {
            return Some((reading(act, &progress, app, now), theme.work));
        }
        let words = match &act.state {
            ActState::Queued { why, .. } => format!("{verb} {model}   queued: {}", printable(why)),
            ActState::Running { .. } if stages::running(act, now).is_some() => {
                format!("{verb} {model}   {}", stages::running(act, now).unwrap_or_default())
            }
            ActState::Running { stage, since } => {
                let time = format::running(now.since(since.mono));
                let plan = app.plan.as_ref().filter(|(of, _)| of == model);
                let plan = plan.map_or_else(String::new, |(_, plan)| format!("   {plan}"));
                format!("{verb} {model}   {stage}   {time}{plan}")
            }
            ActState::Done { .. } | ActState::Failed { .. } => return None,
        };
        return Some((words, theme.work));
    }
    if let Some(said) = ended(app) {
        return Some(said);
    }
    if let Some((model, plan)) = &app.plan {
        return Some((format!("{model}   {plan}"), theme.work));
    }
    hint(app).map(|words| (words, theme.faint))
}

/// The swap that ended last, stage by stage, until the next key.
fn ended(app: &App) -> Option<(String, Style)> {
    let id = app.ended?;
    let act = app.snapshot.acts.iter().find(|act| act.id == id)?;
    let swapping = act.swap.as_ref()?;
    let line = stages::line(&swapping.stages, &swapping.plan.before);
    matches!(act.state, ActState::Done { .. })
        .then(|| (format!("{}   {line}", act.model), app.settings.theme.good))
}

/// How far a reading is; with several, also how far all are.
fn reading(act: &Act, progress: &Progress, app: &App, now: Moment) -> String {
    let unit = |bytes: Bytes| bytes.to_string();
    let mut words = format!(
        "{} {}   {} of {}   {} %",
        act.kind.verb(),
        act.model,
        unit(progress.done()),
        unit(progress.total),
        progress.percent()
    );
    if let Some(stages) = stages::running(act, now) {
        return format!("{words}   {stages}");
    }
    if let ActState::Running { stage, .. } = &act.state
        && *stage != "reading"
    {
        words = format!("{words}   {stage}");
    } else if let Some(rate) = progress.rate.filter(|rate| rate.0 > 0) {
        words = format!("{words}   {:.1} GB/s", rate.gb());
        if let Some(left) = progress.time_left() {
            words = format!("{words}   {} left", format::running(left));
        }
    }
    let waiting: Vec<&Act> =
        app.live_acts().filter(|other| other.kind == act.kind && other.id != act.id).collect();
    if waiting.is_empty() {
        return words;
    }
    let size = |act: &&Act| app.server().and_then(|server| server.model(&act.model)).map(|model| model.size);
    let more: Bytes = waiting.iter().filter_map(size).sum();
    format!("{words}   then {} more, {more}", waiting.len())
}

/// Without a config: what could be kept near, and the key that proposes it.
fn hint(app: &App) -> Option<String> {
    let server = app.server()?;
    if app.settings.has_config || !server.local || !matches!(server.reach, Reach::Up { .. }) {
        return None;
    }
    let ram = app.snapshot.host.ram?.value;
    let mut sizes: Vec<Bytes> = Vec::new();
    // Only what is on this machine can be in its RAM.
    let here = |model: &&Model| {
        model.details.remote_host.is_none() && model.size.0 > 0 && model.state != State::NotHere
    };
    sizes.extend(counted_once(&server.models).filter(here).map(|model| model.size));
    sizes.sort_unstable();
    let mut fitting = Bytes::ZERO;
    let count = sizes
        .iter()
        .take_while(|&&size| {
            let fits = fitting + size <= ram.available;
            if fits {
                fitting += size;
            }
            fits
        })
        .count();
    let key = app.keymap.first(Action::Setup).map_or_else(String::new, |key| format!("   {key} set up"));
    let help = app.keymap.first(Action::Help).map_or_else(String::new, |key| format!("   {key} help"));
    let models = match (count, sizes.len()) {
        (_, 0) => return None,
        (1, _) => "1 model fits".to_owned(),
        (count, all) if count == all => format!("all {all} models fit"),
        (count, _) => format!("{count} models fit"),
    };
    Some(format!("{models} in RAM ({fitting} of {} free){key}{help}", ram.available))
}
