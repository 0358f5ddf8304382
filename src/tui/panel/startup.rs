//! Start-up while it goes on: how far each of its models is, the primary first; its room is given back at the end.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::guard::startup::{Goal, Item, ItemState, Startup};
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::theme::Theme;
use crate::tui::widget::bar::share_out;
use crate::tui::widget::stages;
use crate::tui::widget::strip::{Strip, row};

/// The widest column of names.
const NAME: u16 = 32;
/// Columns of the bar of a model that is read or loaded.
const BAR: u16 = 12;

/// Rows that the panel would like; none without a start-up that goes on or has only just ended. While nothing moves
/// before something else leaves, one row says so.
pub(crate) fn rows(app: &App, now: Moment) -> u16 {
    match app.shown_startup(now) {
        None => 0,
        Some(startup) if startup.is_stuck() => 1,
        Some(startup) => u16::try_from(startup.items.len() + 1).unwrap_or(u16::MAX),
    }
}

/// Draws it.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment) {
    let Some(startup) = app.shown_startup(now).filter(|_| area.height > 0) else { return };
    title(&mut Strip::new(buffer, area), startup, app, now);
    let items = &startup.items;
    let longest = items.iter().map(|item| format::columns(&item.model.to_string())).max().unwrap_or(0);
    let name = longest.min(NAME).min(area.width / 3);
    for (i, item) in in_sight(startup, area.height).enumerate() {
        let mut strip = Strip::new(buffer, row(area, 1 + i));
        strip.skip(1).cell(&item.model.to_string(), name, app.settings.theme.text).skip(3);
        line(&mut strip, item, app, now);
    }
}

/// Whether that many rows of the panel say how far a model's act is.
pub(crate) fn tells_of(app: &App, rows: u16, model: &ModelName, now: Moment) -> bool {
    let works = |item: &Item| item.model == *model && matches!(item.state, ItemState::Working);
    app.shown_startup(now).is_some_and(|startup| in_sight(startup, rows).any(works))
}

/// The models that so many rows show: what is under way is in sight, where not all of them have room.
fn in_sight(startup: &Startup, rows: u16) -> impl Iterator<Item = &Item> {
    let rest = usize::from(rows).saturating_sub(1);
    let items = &startup.items;
    let at = items.iter().position(|item| !item.state.is_over()).unwrap_or(0);
    let first = at.min(items.len().saturating_sub(rest));
    items.iter().skip(first).take(rest)
}

fn title(strip: &mut Strip, startup: &Startup, app: &App, now: Moment) {
    let theme = &app.settings.theme;
    let all = startup.items.len();
    let ready = startup.items.iter().filter(|item| item.state.is_ready()).count();
    let clock = match startup.took {
        None if !startup.is_stuck() => format::running(now.since(startup.began.mono)),
        _ => String::new(),
    };
    let right = if clock.is_empty() { 0 } else { format::columns(&clock) + 1 };
    let room = strip.left().saturating_sub(right);
    let mut words = vec![("start-up".to_owned(), theme.selected)];
    words.extend(first(startup, theme));
    words.push(match startup.took {
        Some(took) if ready == all => (format!("all ready in {}", format::took(took)), theme.good),
        Some(took) => (format!("{ready} of {all} ready in {}", format::took(took)), theme.warn),
        None => (format!("{ready} of {all} ready"), theme.text),
    });
    if startup.is_stuck()
        && let Some(key) = app.keymap.first(Action::CancelAll)
    {
        words.push((format!("{key} ends it"), theme.faint));
    }
    let mut used = 1;
    strip.skip(1);
    for (text, style) in words {
        let wide = format::columns(&text);
        if used + wide > room {
            break;
        }
        strip.put(&text, style).skip(3);
        used += wide + 3;
    }
    let blank = strip.left().saturating_sub(right);
    strip.skip(blank).put(&clock, theme.faint);
}

/// How it is with the model that the user waits for most, or with whatever holds all up.
fn first(startup: &Startup, theme: &Theme) -> Option<(String, Style)> {
    let waits = |item: &Item| match &item.state {
        ItemState::Waits(why) => Some(printable(why).into_owned()),
        _ => None,
    };
    if let Some(primary) = startup.primary() {
        match &primary.state {
            ItemState::Ready { took, .. } => {
                return Some((ready_for(&primary.model, Some(*took)), theme.good));
            }
            ItemState::There => return Some((ready_for(&primary.model, None), theme.good)),
            ItemState::Waits(why) => return Some((format!("primary waits: {}", printable(why)), theme.warn)),
            _ => {}
        }
    }
    let stuck = startup.items.iter().find_map(|item| Some((item, waits(item)?)));
    let (item, why) = stuck.filter(|_| startup.is_stuck())?;
    Some((format!("{} waits: {why}", item.model), theme.warn))
}

fn ready_for(model: &ModelName, took: Option<Duration>) -> String {
    let took = took.map_or_else(String::new, |took| format!(" ({})", format::took(took)));
    format!("ready for {model}{took}")
}

fn line(strip: &mut Strip, item: &Item, app: &App, now: Moment) {
    let theme = &app.settings.theme;
    let model = app.server().and_then(|server| server.model(&item.model));
    let (words, style) = match &item.state {
        ItemState::Queued => ("waiting".to_owned(), theme.faint),
        ItemState::Waits(why) => (format!("waits: {}", printable(why)), theme.warn),
        ItemState::Working => return working(strip, item, model, app, now),
        ItemState::Ready { took, read } => (ready(item, *took, *read, model, app), theme.good),
        ItemState::There => {
            let is_loaded = model.is_some_and(Model::has_runner);
            (format!("in {} already", if is_loaded { "VRAM" } else { "RAM" }), theme.ram)
        }
        ItemState::Missing => (format!("not installed: ollama pull {}", item.model), theme.warn),
        ItemState::Failed(why) => (format!("failed: {}", printable(why)), theme.bad),
        ItemState::Skipped => ("skipped".to_owned(), theme.faint),
    };
    strip.put(&words, style);
}

/// How long it took, and how fast that was: all of a model that was loaded, or what our reader brought in the time that it
/// read, without what it waited.
fn ready(item: &Item, took: Duration, read: Option<Bytes>, model: Option<&Model>, app: &App) -> String {
    let rate = match item.goal {
        Goal::Vram => model.and_then(|model| format::rate(model.size, took.as_secs_f64())),
        Goal::Ram => app.snapshot.events.iter().rev().find_map(|event| match event.what {
            What::Warmed { took, read: now, .. }
                if event.model.as_ref() == Some(&item.model) && read == Some(now) =>
            {
                format::rate(now, took.as_secs_f64())
            }
            _ => None,
        }),
    };
    let rate = rate.map_or_else(String::new, |rate| format!("   {rate}"));
    format!("ready   {}{rate}", format::took(took))
}

fn working(strip: &mut Strip, item: &Item, model: Option<&Model>, app: &App, now: Moment) {
    let theme = &app.settings.theme;
    let act = app.live_act(&item.model);
    let word = if item.goal == Goal::Ram { "reading" } else { "loading" };
    strip.put(word, theme.work).skip(3);
    let bar = |strip: &mut Strip, done: Bytes, of: Bytes| {
        if strip.left() > 2 * BAR {
            let lit = share_out(&[done.0], of.0, BAR)[0];
            strip.fill("━", lit, theme.work).fill("─", BAR - lit, theme.faint).skip(1);
        }
    };
    if let Some(progress) = act.and_then(|act| act.progress.filter(|_| act.is_running())) {
        bar(strip, progress.done(), progress.total);
        let mut words = format!("{} %", progress.percent());
        if progress.paused {
            words += "   paused";
        } else if let Some(rate) = progress.rate.and_then(|rate| format::rate(rate, 1.0)) {
            words = format!("{words}   {rate}");
        }
        if let Some(left) = progress.time_left() {
            words = format!("{words}   {} left", format::running(left));
        }
        strip.put(&words, theme.text);
    } else if let Some(progress) = model.and_then(|model| model.progress) {
        bar(strip, progress.done, progress.of);
        strip.put(&progress.words(), theme.text);
    } else if let Some(words) = act.and_then(|act| stages::running(act, now)) {
        strip.put(&words, theme.text);
    }
}
