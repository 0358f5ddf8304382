//! What happened, the newest at the bottom.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::bytes::Bytes;
use crate::residency::event::{Event, What};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::text::printable;
use crate::tui::app::{App, Panel};
use crate::tui::format;
use crate::tui::widget::strip::{Strip, row};

/// Draws the events that fit; none is shown as one that never was.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App) {
    if area.is_empty() {
        return;
    }
    let events = &app.snapshot.events;
    let has_keys = app.panel == Panel::Events;
    let title = usize::from(has_keys && area.height > 2);
    let rows = usize::from(area.height) - title;
    let theme = &app.settings.theme;
    if title == 1 {
        let back = if app.events_back > 0 {
            format!("EVENTS   {} newer below", app.events_back)
        } else {
            "EVENTS".into()
        };
        Strip::new(buffer, area).skip(1).put(&back, theme.title);
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
    let first = last.saturating_sub(rows);
    // The newest stands at the bottom, so that the eye finds it where it was.
    let blank = rows - (last - first);
    for (i, event) in events.range(first..last).enumerate() {
        line(buffer, row(area, blank + i), event, app);
    }
}

/// The events up to `last`, each with all its words: what a server said may be long.
fn whole(buffer: &mut Buffer, area: Rect, title: usize, last: usize, app: &App) {
    let rows = usize::from(area.height) - title;
    let mut lines: Vec<(Option<&Event>, String, Style)> = Vec::new();
    for event in app.snapshot.events.range(..last).rev() {
        let (words, style) = words(event, app);
        let width = area.width.saturating_sub(before(event, area.width));
        let wrapped = format::wrap(&words, width, rows.max(1));
        for (i, line) in wrapped.into_iter().enumerate().rev() {
            lines.push(((i == 0).then_some(event), line, style));
        }
        if lines.len() >= rows {
            break;
        }
    }
    lines.truncate(rows);
    let mut indent = 1;
    for (i, (event, words, style)) in lines.iter().rev().enumerate() {
        let area = row(area, title + i);
        let mut strip = Strip::new(buffer, area);
        match event {
            Some(event) => {
                begin(&mut strip, event, area.width, app);
                indent = before(event, area.width);
            }
            None => {
                strip.skip(indent);
            }
        }
        strip.put(words, *style);
    }
}

/// Columns before the words of an event.
fn before(event: &Event, width: u16) -> u16 {
    11 + event.model.as_ref().map_or(0, |_| name_columns(width) + 2)
}

fn name_columns(width: u16) -> u16 {
    match width {
        0..60 => 14,
        60..100 => 18,
        _ => 26,
    }
}

/// When it was, and whom it happened to.
fn begin(strip: &mut Strip, event: &Event, width: u16, app: &App) {
    let theme = &app.settings.theme;
    strip.skip(1).put(&format::clock_seconds(event.at.wall, &app.settings.zone), theme.faint).skip(2);
    if let Some(model) = &event.model {
        strip.cell(&model.to_string(), name_columns(width), theme.text).skip(2);
    }
}

/// Draws one event.
pub(crate) fn line(buffer: &mut Buffer, area: Rect, event: &Event, app: &App) {
    let (words, style) = words(event, app);
    let mut strip = Strip::new(buffer, area);
    begin(&mut strip, event, area.width, app);
    strip.put(&words, style);
}

/// An event in words.
fn words(event: &Event, app: &App) -> (String, Style) {
    let theme = &app.settings.theme;
    let whose = |ours: bool| if ours { "" } else { "   by another client" };
    match &event.what {
        What::Appeared => ("installed".into(), theme.text),
        What::Removed => ("removed from the server".into(), theme.text),
        What::Loading { ours } => (format!("loading{}", whose(*ours)), theme.work),
        What::Loaded { took, from_ram, ours } => {
            let mut words = match took {
                Some(took) => format!("loaded in {}", format::took(*took)),
                None => "loaded".to_owned(),
            };
            if let Some(percent) = from_ram {
                words = format!("{words}   from RAM {percent} %");
            }
            let size =
                event.model.as_ref().and_then(|name| app.server()?.model(name)).map(|model| model.size);
            if let (Some(took), Some(size)) = (took, size)
                && let Some(rate) = rate(size, took.as_secs_f64())
            {
                words = format!("{words}   {rate}");
            }
            (words + whose(*ours), theme.good)
        }
        What::Unloaded { took: Some(took) } => (format!("unloaded in {}", format::took(*took)), theme.text),
        What::Unloaded { took: None } => ("unloaded   by another client".into(), theme.text),
        What::Evicted { by: Some(by) } => (format!("evicted: made room for {by}"), theme.warn),
        What::Evicted { by: None } => ("evicted".into(), theme.warn),
        What::Expired => ("expired: its keep_alive ran out".into(), theme.text),
        What::LostWithServer => ("no longer loaded: the server had gone".into(), theme.text),
        What::RunnerDied => ("its runner is dead, the server still lists it".into(), theme.bad),
        What::Pinned => ("pinned".into(), theme.key),
        What::Unpinned => ("no longer pinned".into(), theme.text),
        What::PinOverridden { to } => (format!("pin overridden by another client: {to}"), theme.warn),
        What::Touched { keep_alive: Some(keep_alive) } => (format!("keep_alive {keep_alive}"), theme.text),
        What::Touched { keep_alive: None } => ("keep_alive restarted".into(), theme.text),
        What::Warmed { took, read, percent, estimate } => {
            let mut words = match read.0 {
                0 => "in RAM already".to_owned(),
                _ => format!("read {read} in {}", format::took(*took)),
            };
            if let Some(rate) = rate(*read, took.as_secs_f64()) {
                words = format!("{words}   {rate}");
            }
            let about = if *estimate { "~" } else { "" };
            let share = percent.map_or_else(|| "?".to_owned(), |percent| format!("{about}{percent}"));
            (format!("{words}   {share} % in RAM"), theme.ram)
        }
        What::Dropped { was, left } if left.0 == 0 => (format!("dropped from RAM: {was}"), theme.text),
        What::Dropped { was, left } => {
            (format!("dropped from RAM: {} of {was}, {left} stay", was.minus(*left)), theme.warn)
        }
        What::Held => ("held in RAM until it is released".into(), theme.ram),
        What::Released { why: None } => ("no longer held in RAM".into(), theme.text),
        What::Released { why: Some(why) } => {
            (format!("no longer held in RAM: {}", printable(why)), theme.text)
        }
        What::Faded { from, to } => (format!("fading: {from} → {to} % in RAM"), theme.warn),
        What::Warned { why } | What::HoldTrouble { why } => (printable(why).into_owned(), theme.warn),
        What::Failed { verb, why } => (format!("{verb} failed: {}", printable(why)), theme.bad),
        What::Cancelled { verb, left } => {
            let left = left.as_deref().map(|left| format!(" {}", printable(left)));
            (format!("{verb} cancelled{}", left.unwrap_or_default()), theme.warn)
        }
        What::Returns { after } => {
            (format!("returns to VRAM: nothing was used for {}", KeepAlive::For(*after)), theme.text)
        }
        What::ServerGone { why } => (format!("server gone: {}", printable(why)), theme.bad),
        What::ServerBack { after } => (format!("server back after {}", format::took(*after)), theme.good),
    }
}

/// Bytes over seconds; nothing of no time.
fn rate(size: Bytes, seconds: f64) -> Option<String> {
    let rate = size.gb() / seconds;
    (seconds >= 0.01 && rate >= 0.001).then(|| match rate {
        0.0..0.1 => format!("{:.0} MB/s", rate * 1e3),
        _ => format!("{rate:.1} GB/s"),
    })
}
