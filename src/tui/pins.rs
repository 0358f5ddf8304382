//! Pins in words: how it is with a model's pin, whose it is and since when, and what the user can do about it.

use ratatui::style::Style;

use crate::residency::act::ActKind;
use crate::residency::guard::hindrance::Hindrance;
use crate::residency::guard::pins::TRIES;
use crate::residency::guard::{Auto, Keeper, PinState, Pinned};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::{Model, State};
use crate::residency::timing::Moment;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::theme::Theme;

/// The state of a pin in at most so many columns, where it says more than the model's own state; nothing for one that is
/// held, or whose model is doing something.
pub(crate) fn words(model: &Model, app: &App, columns: u16) -> Option<(&'static str, Style)> {
    let theme = &app.settings.theme;
    let pin = app.snapshot.keeping.pin(&model.name)?;
    let is_kept = why_not_kept(app).is_none();
    let (words, style): (&[&str], _) = match &pin.state {
        PinState::Held => return None,
        PinState::Overridden if !matches!(model.state, State::Idle | State::Overdue) => return None,
        _ if matches!(model.state, State::Loading { .. } | State::Unloading) => return None,
        PinState::Overridden => (&["pin overwritten", "pin lost", "lost"], theme.warn),
        PinState::Suspended(_) => (&["pinned, rests", "pin rests", "rests"], theme.key),
        PinState::Away(Some(Hindrance::NotInstalled)) => {
            (&["pinned, not installed", "not installed", "not here", "none"], theme.warn)
        }
        PinState::Away(Some(Hindrance::NoRoom { .. } | Hindrance::Beside(_))) if is_kept => {
            (&["pinned, no room", "no room"], theme.warn)
        }
        PinState::Away(Some(Hindrance::CardUnread)) if is_kept => {
            (&["pinned, may not fit", "may not fit", "fits?"], theme.warn)
        }
        PinState::Away(Some(Hindrance::AtWork(_) | Hindrance::Waits(_))) if is_kept => {
            (&["pinned, waits", "pin waits", "waits"], theme.key)
        }
        PinState::Away(None) if is_kept => {
            (&["pinned, being brought back", "pin comes back", "comes back", "back"], theme.key)
        }
        PinState::Away(_) => (&["pinned, not enforced", "not enforced", "not kept", "away"], theme.warn),
        PinState::GaveUp(_) => (&["pinned, given up", "pin given up", "given up", "lost"], theme.bad),
    };
    let fits = |words: &&&str| format::columns(words) <= columns;
    words.iter().find(fits).or(words.last()).map(|words| (*words, style))
}

/// Why nobody enforces pins here; `None` while somebody does.
fn why_not_kept(app: &App) -> Option<String> {
    let keeping = &app.snapshot.keeping;
    match keeping.keeper {
        Some(Keeper::Other(_)) => None,
        _ if keeping.hands_off => {
            let key = app.keymap.first(Action::HandsOff);
            Some(key.map_or_else(|| "hands off".to_owned(), |key| format!("hands off, {key} goes on")))
        }
        _ if app.settings.read_only => Some("read-only".to_owned()),
        Some(Keeper::This) if keeping.auto.contains(&Auto::Pins) => None,
        _ => Some(match keeping.idle {
            Some(idle) => idle.why.words().to_owned(),
            None => "no keeper is known".to_owned(),
        }),
    }
}

/// All that is known of a pin, in lines of at most so many columns.
pub(crate) fn details(
    model: &Model,
    app: &App,
    columns: u16,
    now: Moment,
) -> Vec<(&'static str, String, Style)> {
    let theme = &app.settings.theme;
    let keeping = &app.snapshot.keeping;
    let mut said: Vec<(String, Style)> = Vec::new();
    match keeping.pin(&model.name) {
        Some(pin) => {
            said.push(how(pin, app, theme, now));
            said.push((whose(pin, app, now), theme.faint));
            if pin.tries > 0 {
                let times = format!("brought back {} of {TRIES} times within the hour", pin.tries);
                said.push((times, theme.text));
            }
        }
        None if model.pinned && model.has_runner() && keeping.pins.is_some() => {
            said.push(("by another client: it is not enforced here".to_owned(), theme.text));
        }
        None => return Vec::new(),
    }
    said.extend(what_to_do(model, app).map(|words| (words, theme.text)));
    let mut lines = Vec::new();
    for (i, (words, style)) in said.into_iter().enumerate() {
        for (j, line) in format::wrap(&words, columns, 3).into_iter().enumerate() {
            lines.push((if i + j == 0 { "pin" } else { "" }, line, style));
        }
    }
    lines
}

fn how(pin: &Pinned, app: &App, theme: &Theme, now: Moment) -> (String, Style) {
    let not_kept = why_not_kept(app).map(|why| format!("nothing enforces it: {why}"));
    let or = |kept: &str| not_kept.clone().unwrap_or_else(|| kept.to_owned());
    match &pin.state {
        PinState::Held => {
            (not_kept.map_or_else(|| "held".to_owned(), |why| format!("held; {why}")), theme.key)
        }
        PinState::Overridden => {
            let then = or("it is set again in a while");
            (format!("another client gave it another keep_alive; {then}"), theme.warn)
        }
        PinState::Suspended(by) => {
            (format!("rests: a swap put {by} in its place; a swap back pins it again"), theme.key)
        }
        PinState::Away(Some(why)) => {
            let then = not_kept.map_or_else(String::new, |why| format!("; {why}"));
            (format!("not in VRAM; {}{then}", why.words(&pin.model, now.wall)), theme.warn)
        }
        PinState::Away(None) => {
            let then = or("it is brought back as soon as nothing that is pinned or at work has to go for it");
            (format!("not in VRAM; {then}"), theme.warn)
        }
        PinState::GaveUp(Some(by)) => {
            (format!("given up: {by} insists, it was loaded in its place again and again"), theme.bad)
        }
        PinState::GaveUp(None) => ("given up: it left VRAM again and again".to_owned(), theme.bad),
    }
}

fn whose(pin: &Pinned, app: &App, now: Moment) -> String {
    let whose = if pin.configured { "by the config" } else { "by you" };
    match pin.since {
        Some(since) => format!("{whose}, since {}", format::when(since, now.wall, &app.settings.zone)),
        None => whose.to_owned(),
    }
}

/// What the key does now.
fn what_to_do(model: &Model, app: &App) -> Option<String> {
    let key = app.keymap.first(Action::Pin).filter(|_| !app.settings.read_only)?;
    let before = app.snapshot.keeping.pin(&model.name).and_then(|pin| pin.before);
    Some(match app.pin_does(model)? {
        ActKind::Unpin if model.has_runner() => match before {
            Some(KeepAlive::For(before)) => {
                format!("{key} lets it go, with keep_alive {} as before", KeepAlive::For(before))
            }
            _ => format!("{key} lets it go; its keep_alive before is not known"),
        },
        ActKind::Unpin => format!("{key} lets it go"),
        ActKind::Load => format!("{key} loads it and pins it again"),
        _ => format!("{key} sets it again now"),
    })
}
