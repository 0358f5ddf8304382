//! The selected model: what it is, where each of its files lies, and why something of it is unknown.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::table;
use crate::residency::expiry::Expiry;
use crate::residency::hold::How;
use crate::residency::snapshot::{Model, State};
use crate::residency::text::printable;
use crate::residency::tier::Cached;
use crate::residency::timing::Moment;
use crate::tui::app::{App, Panel};
use crate::tui::fits;
use crate::tui::format::{self, Unit};
use crate::tui::pins;
use crate::tui::theme;
use crate::tui::widget::near;
use crate::tui::widget::page;
use crate::tui::widget::strip::{Strip, row};

mod process;
mod swaps;

/// One line: a word at the left, then text in one style or several.
struct Line {
    word: &'static str,
    parts: Vec<(String, Style)>,
}

/// Columns of the words at the left.
const WORDS: u16 = 10;

/// Draws them, scrolled as far as the user asked and the lines go.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment) {
    if area.is_empty() {
        return;
    }
    let theme = &app.settings.theme;
    let has_keys = app.panel == Panel::Details;
    let Some(model) = app.model() else {
        Strip::new(buffer, area).skip(1).put("no model is selected", theme.faint);
        return;
    };
    let style = if has_keys { theme.title } else { theme.selected };
    Strip::new(buffer, area).skip(1).put(&model.name.to_string(), style);
    if area.height > 1 {
        let mut strip = Strip::new(buffer, row(area, 1));
        strip.skip(1);
        let width = strip.left().saturating_sub(1);
        table::tiers(&mut strip, width, model, app);
    }
    let lines = lines(model, app, now, area.width);
    let rest = Rect { y: area.y.saturating_add(2), height: area.height.saturating_sub(2), ..area };
    page::lines(buffer, rest, lines.len(), app.details_down, theme.faint, |buffer, area, i| {
        let line = &lines[i];
        let mut strip = Strip::new(buffer, area);
        strip.skip(1).cell(line.word, WORDS, theme.faint).skip(1);
        for (text, style) in &line.parts {
            strip.put(text, *style);
        }
    });
}

/// A line, if there is anything to say.
fn line(word: &'static str, text: String, style: Style) -> Option<Line> {
    (!text.is_empty()).then(|| Line { word, parts: vec![(text, style)] })
}

fn lines(model: &Model, app: &App, now: Moment, width: u16) -> Vec<Line> {
    let theme = &app.settings.theme;
    let mut lines = Vec::new();
    let mut add = |word, text, style| lines.extend(line(word, text, style));
    let details = &model.details;
    let kind = [&details.parameters, &details.quantisation, &details.family, &details.format];
    let kind: Vec<_> = kind.iter().filter(|text| !text.is_empty()).map(|text| printable(text)).collect();
    add("size", format!("{}   {}", model.size, kind.join("   ")), theme.text);
    add("can", printable(&details.capabilities.join(", ")).into_owned(), theme.text);
    if let Some(host) = &details.remote_host {
        add("cloud", format!("runs at {}; never loaded or unloaded here", printable(host)), theme.text);
    }
    let tiers = &model.tiers;
    if model.state != State::Cloud {
        let unit = Unit::of(tiers.whole());
        let [vram, ram, disk, unknown] =
            [tiers.vram, tiers.ram, tiers.disk, tiers.unknown].map(|part| unit.figure(part));
        let mut parts = Vec::new();
        for (glyph, style, words) in [
            (theme::VRAM, theme.vram, format!(" VRAM {vram}   ")),
            (theme::RAM, theme.ram, format!(" RAM {ram}   ")),
            (theme::DISK, theme.disk, format!(" disk {disk} {}", unit.name())),
        ] {
            parts.extend([(glyph.to_owned(), style), (words, theme.text)]);
        }
        if tiers.unknown.0 > 0 {
            parts.push((format!("   ? {unknown}"), theme.unknown));
        }
        lines.push(Line { word: "tiers", parts });
    }
    let mut add = |word, text, style| lines.extend(line(word, text, style));
    let (words, style) = table::state(model, app, now);
    add("state", words, style);
    if let Some(why) = state_in_words(model.state) {
        add("", why.to_owned(), theme.faint);
    }
    for (word, text, style) in process::loading(model, theme) {
        add(word, text, style);
    }
    loaded(model, app, &mut add);
    for (word, text, style) in pins::details(model, app, width.saturating_sub(WORDS + 2), now) {
        add(word, text, style);
    }
    match &model.cached {
        Cached::Unknown(why) => add("RAM", format!("unknown: {}", printable(why)), theme.unknown),
        Cached::Unread => add("RAM", "not read yet".to_owned(), theme.faint),
        Cached::Exact(bytes) | Cached::Sampled(bytes) => {
            let how = if model.cached.is_estimate() { "sampled" } else { "counted by the kernel" };
            let about = if model.cached.is_estimate() { "~" } else { "" };
            let age = model.cached_at.map(|at| now.since(at.mono)).filter(|age| age.as_secs() >= 60);
            let age = age.map_or_else(String::new, |age| format!(", {} ago", format::age(age)));
            let percent = bytes.percent_of(model.tiers.whole());
            add("RAM", format!("{about}{percent} % of its files   {how}{age}"), theme.ram);
        }
    }
    if let Some(owner) = owner_to_be(model, app) {
        add("", format!("exact, as the files' owner: sudo -u {} resident", printable(owner)), theme.faint);
    }
    let columns = width.saturating_sub(WORDS + 2);
    let map = near::map(model, columns, theme);
    if !map.is_empty() {
        lines.push(Line { word: "map", parts: map });
    }
    let mut add = |word, text, style| lines.extend(line(word, text, style));
    add("RAM was", near::history(model, columns), theme.ram);
    kept(model, app, now, width, &mut add);
    if model.state != State::Cloud {
        let (words, style) = table::to_vram(model, theme);
        let error = model.to_vram.filter(|_| !model.has_runner()).and_then(|prediction| prediction.error);
        let error = error
            .map_or_else(String::new, |error| format!("   predictions were off by {:.0} %", error * 100.0));
        add("to VRAM", words + &error, style);
    }
    for (word, line) in swaps::lines(model, app, columns) {
        add(word, line, theme.text);
    }
    // What is on its way is past foreseeing.
    for (word, text) in fits::details(model, columns).into_iter().filter(|_| model.progress.is_none()) {
        add(word, text, theme.text);
    }
    let shared: Vec<String> = model.shared_with.iter().map(ToString::to_string).collect();
    add("shares", shared.join(", "), theme.text);
    add("digest", printable(&model.digest).into_owned(), theme.faint);
    blobs(model, app, &mut add);
    lines
}

/// Who may count this model's pages, where we may not.
fn owner_to_be<'a>(model: &Model, app: &'a App) -> Option<&'a str> {
    let hidden = model.cached.is_estimate() || matches!(model.cached, Cached::Unknown(_));
    let here = !model.blobs.is_empty() && model.blobs.iter().all(|blob| blob.path.is_some());
    app.server()?.files_owner.as_deref().filter(|_| hidden && here)
}

/// What keeps it in RAM, how well, and until when.
fn kept(
    model: &Model,
    app: &App,
    now: Moment,
    width: u16,
    add: &mut impl FnMut(&'static str, String, Style),
) {
    let theme = &app.settings.theme;
    let Some(kept) = &model.kept else { return };
    let until = match kept.ends {
        None if kept.held => "until it is released".to_owned(),
        None => "for ever: keep_alive is -1".to_owned(),
        Some(ends) => {
            let left = ends.mono.saturating_duration_since(now.mono).as_secs();
            format!("for {}, then it is let go", format::countdown(left))
        }
    };
    let Some(files) = &kept.files else {
        add("kept", until, theme.ram);
        return;
    };
    let how = match files.how {
        How::Lock if files.locked < files.size => format!("locked {} of {}", files.locked, files.size),
        How::Lock => format!("locked {}", files.locked),
        How::Map => format!("mapped, {} there", files.resident),
    };
    add("kept", format!("{how}   {until}"), theme.ram);
    for trouble in files.fading.iter().chain(&files.trouble) {
        for line in format::wrap(&printable(trouble), width.saturating_sub(WORDS + 2), 4) {
            add("", line, theme.warn);
        }
    }
}

fn loaded(model: &Model, app: &App, add: &mut impl FnMut(&'static str, String, Style)) {
    let theme = &app.settings.theme;
    let trained = model.details.train_context.map(|context| format!("trained for {context}"));
    let Some(loaded) = model.living() else {
        add("context", trained.unwrap_or_default(), theme.text);
        return;
    };
    let context = loaded.context.map_or_else(|| "?".to_owned(), |context| context.to_string());
    add(
        "context",
        [Some(context), trained].into_iter().flatten().collect::<Vec<_>>().join("   "),
        theme.text,
    );
    let stays = match (loaded.expiry, loaded.keep_alive) {
        (Expiry::Never, _) => "for ever: it is pinned".to_owned(),
        (_, Some(keep_alive)) => format!("{keep_alive} after its last use"),
        (_, None) => "not learned yet: it is seen when expires_at jumps".to_owned(),
    };
    add("keep_alive", stays, theme.text);
    let unit = Unit::of(loaded.size);
    let (on_card, all) = (unit.figure(loaded.size_vram), unit.figure(loaded.size));
    let split = table::split(loaded);
    add("on card", format!("{on_card} of {all} {}   GPU/CPU {split} %", unit.name()), theme.text);
    let Some(runner) = &loaded.runner else {
        add("runner", "not visible from here".to_owned(), theme.faint);
        return;
    };
    for (word, text, style) in process::lines(runner, app) {
        add(word, text, style);
    }
}

fn blobs(model: &Model, app: &App, add: &mut impl FnMut(&'static str, String, Style)) {
    let theme = &app.settings.theme;
    for blob in &model.blobs {
        let cached = match blob.cached.bytes() {
            Some(bytes) => format!(
                "{}{} % in RAM",
                if blob.cached.is_estimate() { "~" } else { "" },
                bytes.percent_of(blob.size)
            ),
            None => "RAM ?".to_owned(),
        };
        add(blob.role, format!("{}   {cached}", blob.size), theme.text);
        match &blob.path {
            Some(path) => add("", printable(&path.to_string_lossy()).into_owned(), theme.faint),
            None => add("", "not on this machine".to_owned(), theme.unknown),
        }
    }
    if model.blobs.is_empty()
        && model.state != State::Cloud
        && let Some(why) = app.server().and_then(|server| server.models_dir_unknown.as_ref())
    {
        add("files", format!("unknown: {}", printable(why)), theme.unknown);
    }
}

/// States whose one word says too little.
fn state_in_words(state: State) -> Option<&'static str> {
    Some(match state {
        State::BusyOrUnloading => "its time is past: it works or goes, the server does not say which",
        State::Overdue => "its time is past, it is idle, and the server has not let it go",
        State::Ghost => "the server lists it, but its runner is dead; a load brings it back",
        State::NotHere => "installed on the server; its files are not on this machine",
        State::NotLoaded => "whether RAM holds it cannot be read",
        _ => return None,
    })
}
