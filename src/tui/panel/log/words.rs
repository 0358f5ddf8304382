//! An event of the log in words.

use ratatui::style::Style;

use super::times::took;
use crate::residency::event::{Event, What};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::text::printable;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::format;

/// An event in words.
pub(super) fn words(event: &Event, app: &App) -> (String, Style) {
    let theme = &app.settings.theme;
    let whose = |ours: bool| if ours { "" } else { "   by another client" };
    match &event.what {
        What::Appeared => ("installed".into(), theme.text),
        What::Removed => ("removed from the server".into(), theme.text),
        What::Loading { ours } => (format!("loading{}", whose(*ours)), theme.work),
        What::Loaded { from_ram, ours, .. } => {
            // Another client's load is only watched: its beginning and its end are seen late.
            let about = if *ours { "" } else { "~" };
            let took = took(event, &app.snapshot.past);
            let mut words = match took {
                Some(took) => format!("loaded in {about}{}", format::took(took)),
                None => "loaded".to_owned(),
            };
            words += whose(*ours);
            if let Some(percent) = from_ram {
                words = format!("{words}   from RAM {about}{percent} %");
            }
            let size =
                event.model.as_ref().and_then(|name| app.server()?.model(name)).map(|model| model.size);
            if let (true, Some(took), Some(size)) = (*ours, took, size)
                && let Some(rate) = format::rate(size, took.as_secs_f64())
            {
                words = format!("{words}   {rate}");
            }
            (words, theme.good)
        }
        What::Unloaded { took: Some(took) } => (format!("unloaded in {}", format::took(*took)), theme.text),
        What::Unloaded { took: None } => ("unloaded   by another client".into(), theme.text),
        What::Evicted { by: Some(by) } => (format!("evicted: made room for {by}"), theme.warn),
        What::Evicted { by: None } => ("evicted".into(), theme.warn),
        What::Expired => ("expired: its keep_alive ran out".into(), theme.text),
        What::Left => ("left VRAM, why is not known".into(), theme.text),
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
            if let Some(rate) = format::rate(*read, took.as_secs_f64()) {
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
        What::BringsIn => ("pinned by the config: is loaded".into(), theme.text),
        What::BringsBack { by, time, of } => {
            let by = by.as_ref().map_or_else(String::new, |by| format!(": {by} was loaded in its place"));
            (format!("pinned: is brought back{by}   {time} of {of}"), theme.text)
        }
        What::PinGivenUp { by, times } => (given_up(event, by.as_ref(), *times, app), theme.bad),
        What::Refreshes { until: KeepAlive::Forever } => ("in use: stays in VRAM".into(), theme.text),
        What::Refreshes { until } => {
            (format!("in use: stays in VRAM until {until} after its last use"), theme.text)
        }
        What::Ready { took } => (format!("ready in {}", format::took(*took)), theme.good),
        What::There => ("is there already".into(), theme.ram),
        What::NotInstalled => {
            let name = event.model.as_ref().map_or_else(String::new, ToString::to_string);
            (format!("not installed; get it with: ollama pull {name}"), theme.warn)
        }
        What::StartupWaits { why } => (format!("start-up waits: {}", printable(why)), theme.warn),
        What::StartupOver { took, ready, all } if ready == all => {
            (format!("start-up: all {all} ready in {}", format::took(*took)), theme.good)
        }
        What::StartupOver { took, ready, all } => {
            (format!("start-up: {ready} of {all} ready in {}", format::took(*took)), theme.warn)
        }
        What::HandsOff(true) => ("hands off: nothing acts by itself here".into(), theme.warn),
        What::HandsOff(false) => ("hands on: what the config says acts again".into(), theme.text),
        What::ServerGone { why } => (format!("server gone: {}", printable(why)), theme.bad),
        What::ServerBack { after } => (format!("server back after {}", format::took(*after)), theme.good),
    }
}

/// Who wins over a pin, and how it is had again.
fn given_up(event: &Event, by: Option<&ModelName>, times: u32, app: &App) -> String {
    let name = event.model.as_ref().map_or_else(String::new, ToString::to_string);
    let who = by.map_or_else(|| "it left VRAM".to_owned(), |by| format!("{by} was loaded"));
    let how = if by.is_some() { " in its place" } else { "" };
    let again = app
        .keymap
        .first(Action::Pin)
        .map_or_else(String::new, |key| format!("; pin it again with {key} to go on"));
    format!("gives up on {name}: {who} {times} times{how}{again}")
}
