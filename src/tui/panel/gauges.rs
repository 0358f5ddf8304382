//! The gauges: each card's memory and the machine's, one segment for each holder.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::config::Memory;
use crate::residency::bytes::Bytes;
use crate::residency::host::{Card, Cards, Ram};
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Loaded, Model, State};
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::app::{App, counted_once};
use crate::tui::format::{self, Unit};
use crate::tui::theme::{self, Theme};
use crate::tui::widget::bar::share_out;
use crate::tui::widget::strip::{Strip, row};

/// A part of a gauge.
struct Segment<'a> {
    bytes: Bytes,
    glyph: &'static str,
    style: Style,
    label: Label<'a>,
}

/// What a segment is called inside of the bar.
enum Label<'a> {
    None,
    /// A word and the bytes.
    Word(&'static str, Bytes),
    /// A model and its weights and context on the card.
    Loaded(&'a ModelName, Bytes, Bytes),
    /// A model that is being loaded, and what of it is on the card.
    Arriving(&'a ModelName, Bytes),
    /// A model and what of it is in RAM, maybe an estimate.
    Cached(&'a ModelName, Bytes, bool),
}

impl Label<'_> {
    /// The longest wording first; sizes in the unit of the gauge.
    fn wordings(&self, unit: Unit) -> Vec<String> {
        let figure = |bytes| unit.figure(bytes);
        match *self {
            Label::None => Vec::new(),
            Label::Word(word, bytes) => vec![format!("{word} {}", figure(bytes)), word.to_owned()],
            Label::Loaded(name, weights, context) => {
                let (shown, whole) = (name.to_string(), figure(weights + context));
                let short = format::short_name(&shown);
                let split = format!("{short} {}+{}", figure(weights), figure(context));
                let all = vec![split, format!("{short} {whole}"), short.to_owned()];
                all.into_iter().skip(usize::from(context == Bytes::ZERO)).collect()
            }
            Label::Arriving(name, bytes) => {
                let shown = name.to_string();
                let short = format::short_name(&shown);
                vec![
                    format!("{short} loads {}", figure(bytes)),
                    format!("{short} {}", figure(bytes)),
                    short.to_owned(),
                ]
            }
            Label::Cached(name, bytes, is_estimate) => {
                let shown = name.to_string();
                let short = format::short_name(&shown);
                let about = if is_estimate { "~" } else { "" };
                vec![format!("{short} {about}{}", figure(bytes)), short.to_owned()]
            }
        }
    }
}

/// What one row shows.
struct Gauge<'a> {
    label: String,
    total: Bytes,
    used: Bytes,
    segments: Vec<Segment<'a>>,
    /// Budgets, drawn as marks.
    marks: Vec<Bytes>,
}

/// Draws one row for each card, then RAM.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment) {
    let mut rows = cards(app, now);
    let most = usize::from(area.height);
    if rows.len() + 1 > most && most > 1 {
        rows.truncate(most - 1);
    }
    rows.push(ram(app));
    for (i, shown) in rows.into_iter().take(most).enumerate() {
        match shown {
            Ok(gauge) => draw(buffer, row(area, i), &gauge, app),
            Err((label, words)) => {
                let faint = app.settings.theme.faint;
                Strip::new(buffer, row(area, i))
                    .skip(1)
                    .cell(&label, label_width(area.width), app.settings.theme.text)
                    .skip(1)
                    .put(&words, faint);
            }
        }
    }
}

/// A gauge, or its label and why there is none.
type Shown<'a> = Result<Gauge<'a>, (String, String)>;

fn label_width(width: u16) -> u16 {
    match width {
        0..50 => 4,
        50..100 => 14,
        _ => 20,
    }
}

fn draw(buffer: &mut Buffer, area: Rect, gauge: &Gauge, app: &App) {
    let theme = &app.settings.theme;
    let unit = Unit::of(gauge.total);
    let (used, total) = (unit.figure(gauge.used), unit.figure(gauge.total));
    let figures = match unit {
        Unit::Gib if area.width < 40 => format!("{used}/{total}"),
        Unit::Mib if area.width < 40 => format!("{used}/{total}M"),
        _ => format!("{used:>5}/{total} {}", unit.name()),
    };
    let mut strip = Strip::new(buffer, area);
    let label = match label_width(area.width) {
        4 => gauge.label.split(' ').next().unwrap_or_default(),
        _ => &gauge.label,
    };
    strip.skip(1).cell(label, label_width(area.width), theme.text).skip(1);
    // Figures of all gauges end in one column.
    let reserved = format::columns(&figures).max(if area.width < 40 { 9 } else { 14 }) + 2;
    let width = strip.left().saturating_sub(reserved);
    let parts: Vec<u64> = gauge.segments.iter().map(|segment| segment.bytes.0).collect();
    let mut free = width;
    let bar = Rect { x: area.x + 2 + label_width(area.width), width, ..area };
    let columns = share_out(&parts, gauge.total.0, width);
    for (i, (segment, &columns)) in gauge.segments.iter().zip(&columns).enumerate() {
        free = free.saturating_sub(columns);
        // Two neighbours with one glyph are told apart by a blank.
        let joins = gauge.segments.get(i + 1).is_some_and(|next| next.glyph == segment.glyph);
        let blank = u16::from(joins && columns > 2);
        fill(&mut strip, segment, unit, columns - blank, theme);
        strip.skip(blank);
    }
    strip.skip(free).skip(1).cell_right(&figures, reserved - 2, theme.text);
    for mark in &gauge.marks {
        let column = share_out(&[mark.0], gauge.total.0, width.saturating_sub(1))[0];
        let at = (bar.x.saturating_add(column), bar.y);
        // A budget's mark never hides a letter of a label.
        if width > 0
            && let Some(cell) = buffer.cell_mut(at)
            && !cell.symbol().chars().any(|c| c.is_alphanumeric() || matches!(c, '.' | '+'))
        {
            cell.set_symbol("│").set_style(theme.warn);
        }
    }
}

/// A segment's columns with its words in the middle: in air if there is room for it, else close.
fn fill(strip: &mut Strip, segment: &Segment, unit: Unit, columns: u16, theme: &Theme) {
    // Below three columns there is no room for a word: most segments of a long list end here.
    let wordings = if columns > 2 { segment.label.wordings(unit) } else { Vec::new() };
    let fitting = |around: u16| {
        let words = wordings.iter().find(|words| format::columns(words).saturating_add(around) <= columns);
        words.map(|words| (words, around / 4))
    };
    let Some((words, air)) = fitting(4).or_else(|| fitting(2)) else {
        strip.fill(segment.glyph, columns, segment.style);
        return;
    };
    let text = format::columns(words) + 2 * air;
    let before = (columns - text) / 2;
    // A tier has one colour; what is on its way says so in its words.
    let said = if matches!(segment.label, Label::Arriving(..)) { theme.work } else { segment.style };
    strip.fill(segment.glyph, before, segment.style).skip(air).put(words, said).skip(air);
    strip.fill(segment.glyph, columns - text - before, segment.style);
}

fn cards(app: &App, now: Moment) -> Vec<Shown<'_>> {
    let models: Vec<(&Model, &Loaded)> = app
        .server()
        .map_or(&[][..], |server| &server.models)
        .iter()
        .filter_map(|model| model.loaded.as_ref().map(|loaded| (model, loaded)))
        .filter(|(model, loaded)| loaded.size_vram.0 > 0 && !is_gone(model))
        .collect();
    let sum: Bytes = models.iter().map(|(_, loaded)| loaded.size_vram).sum();
    let in_models = match app.server().and_then(|server| server.ps_at) {
        None => "not read yet".to_owned(),
        Some(_) if models.is_empty() => "no model is loaded".to_owned(),
        Some(_) => format!("models {}", format::memory(sum)),
    };
    let Some(reading) = &app.snapshot.host.cards else {
        return vec![Err(("VRAM".into(), in_models))];
    };
    match &reading.value {
        Cards::Unread => vec![Err(("VRAM".into(), in_models))],
        Cards::Unknown(why) => {
            vec![Err(("VRAM".into(), format!("{in_models}   card not readable: {}", printable(why))))]
        }
        Cards::Known(cards) if cards.is_empty() => {
            vec![Err(("VRAM".into(), format!("{in_models}   no card is on this machine")))]
        }
        Cards::Known(cards) => {
            // The driver is asked every few seconds; a value much older than that is said to be old.
            let age = reading.age(now);
            let old = (age > (app.settings.refresh * 5).max(std::time::Duration::from_secs(15)))
                .then(|| format::age(age));
            cards
                .iter()
                .map(|card| Ok(gauge_of(card, cards.len() == 1, &models, old.as_deref(), app)))
                .collect()
        }
    }
}

/// Models that are on their way to the card.
fn arriving(app: &App) -> impl Iterator<Item = &Model> {
    let models = app.server().map_or(&[][..], |server| &server.models);
    models.iter().filter(|model| model.arriving > Bytes::ZERO)
}

/// The server still counts a dead runner's memory; the driver has it back.
fn is_gone(model: &Model) -> bool {
    model.state == State::Ghost && model.tiers.vram == Bytes::ZERO
}

fn gauge_of<'a>(
    card: &Card,
    only: bool,
    models: &[(&'a Model, &Loaded)],
    old: Option<&str>,
    app: &'a App,
) -> Gauge<'a> {
    let theme = &app.settings.theme;
    let mut segments = Vec::new();
    let mut mine = Bytes::ZERO;
    for (model, loaded) in models {
        let by_driver = || loaded.runner.as_ref().map_or(Bytes::ZERO, |runner| card.used_by(runner.pid));
        let on_card = if only { loaded.size_vram } else { by_driver() };
        if on_card == Bytes::ZERO {
            continue;
        }
        mine += on_card;
        let (weights, context) = weights_and_context(model, loaded, on_card);
        let label = Label::Loaded(&model.name, weights, context);
        segments.push(Segment { bytes: weights, glyph: theme::VRAM, style: theme.vram, label });
        let label = Label::None;
        segments.push(Segment { bytes: context, glyph: theme::CONTEXT, style: theme.context, label });
    }
    for model in arriving(app) {
        let here = || model.progress.map_or(Bytes::ZERO, |progress| card.used_by(progress.pid));
        let bytes = if only { model.arriving } else { here() };
        if bytes > Bytes::ZERO {
            mine += bytes;
            let label = Label::Arriving(&model.name, bytes);
            segments.push(Segment { bytes, glyph: theme::VRAM, style: theme.vram, label });
        }
    }
    let other = card.used.minus(mine);
    // Without process ids on several cards nobody can say whose it is.
    let whose = if only || mine > Bytes::ZERO || models.is_empty() { "other" } else { "used" };
    let label = Label::Word(whose, other);
    segments.push(Segment { bytes: other, glyph: theme::OTHER, style: theme.other, label });
    let name = printable(&card.name);
    let name = name.trim_start_matches("NVIDIA ").trim_start_matches("GeForce ");
    let label = match old {
        Some(old) => format!("VRAM {old} old"),
        None if card.asleep => "VRAM asleep".to_owned(),
        None if card.unified => format!("VRAM shared {name}"),
        None => format!("VRAM {name}"),
    };
    Gauge { label, total: card.total, used: card.used.max(mine), segments, marks: Vec::new() }
}

/// The model's bytes on the card as weights and the rest, its context: the weights are as large as the file, and of
/// a model that is partly in RAM the same share of both is on the card.
fn weights_and_context(model: &Model, loaded: &Loaded, on_card: Bytes) -> (Bytes, Bytes) {
    let weights = u128::from(model.size.0.min(loaded.size.0)) * u128::from(on_card.0);
    let weights = weights.checked_div(u128::from(loaded.size.0)).unwrap_or(0);
    let weights = Bytes(u64::try_from(weights).unwrap_or(u64::MAX)).min(on_card);
    (weights, on_card.minus(weights))
}

fn ram(app: &App) -> Shown<'_> {
    if app.server().is_some_and(|server| !server.local && server.ps_at.is_some()) {
        return Err(("RAM".into(), "unknown: the server is on another machine".into()));
    }
    match &app.snapshot.host.ram {
        None => Err(("RAM".into(), "not read yet".into())),
        Some(reading) => Ok(ram_gauge(&reading.value, app)),
    }
}

fn ram_gauge<'a>(ram: &Ram, app: &'a App) -> Gauge<'a> {
    let theme = &app.settings.theme;
    let models = app.server().map_or(&[][..], |server| &server.models);
    let runners: Bytes = models
        .iter()
        .filter_map(|model| model.loaded.as_ref()?.runner.as_ref())
        .map(|runner| runner.anonymous)
        .sum::<Bytes>()
        .min(ram.used);
    let system = ram.used.minus(runners);
    let word = |bytes, glyph, style, word| Segment { bytes, glyph, style, label: Label::Word(word, bytes) };
    let mut segments = vec![
        word(system, theme::CONTEXT, theme.other, "system"),
        word(runners, theme::OTHER, theme.context, "context"),
    ];
    let mut in_cache = Bytes::ZERO;
    for model in counted_once(models) {
        let Some(bytes) = model.cached.bytes().filter(|bytes| bytes.0 > 0) else { continue };
        let bytes = bytes.min(ram.page_cache.minus(in_cache));
        in_cache += bytes;
        let label = Label::Cached(&model.name, bytes, model.cached.is_estimate());
        segments.push(Segment { bytes, glyph: theme::RAM, style: theme.ram, label });
    }
    segments.push(word(ram.page_cache.minus(in_cache), theme::CACHE, theme.faint, "cache"));
    let marks = match app.settings.memory {
        Memory::Auto => Vec::new(),
        Memory::Set { system, models_preload, total, .. } => vec![system, system + models_preload, total],
    };
    let marks = marks.into_iter().filter(|mark| *mark < ram.total).collect();
    let label = if ram.cgroup_limit.is_some() { "RAM (limited)" } else { "RAM" };
    Gauge { label: label.into(), total: ram.total, used: ram.used + in_cache, segments, marks }
}
