//! The one table of all models: where each is, how long it stays, what it is doing.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::residency::act::{Act, ActKind, ActState};
use crate::residency::expiry::Expiry;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::{Loaded, Model, State};
use crate::residency::timing::Moment;
use crate::tui::app::{App, Sort};
use crate::tui::columns::{Columns, table_columns};
use crate::tui::fits;
use crate::tui::format;
use crate::tui::layout::TABLE;
use crate::tui::pins;
use crate::tui::theme::{self, Theme};
use crate::tui::widget::bar::share_out;
use crate::tui::widget::stages;
use crate::tui::widget::strip::{Strip, row};

mod head;

/// Draws the heading and as many models as fit, the selected one among them.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment) {
    if area.is_empty() {
        return;
    }
    let columns = table_columns(area.width, &app.hidden);
    let models = app.models();
    let window = Window::new(area, &columns, models.len(), app.row());
    if window.heading == 1 {
        head::render(buffer, area, &columns, app);
    }
    let heading = window.heading;
    if models.is_empty() {
        let words = if app.filter.is_empty() {
            "   no models are installed; `ollama pull qwen2.5-coder:7b` gets one".to_owned()
        } else {
            format!("   no model's name contains {:?}", app.filter)
        };
        Strip::new(buffer, row(area, heading)).put(&words, app.settings.theme.faint);
        return;
    }
    let Window { rows, first, .. } = window;
    for (i, model) in models.iter().enumerate().skip(first).take(rows) {
        line(buffer, row(area, heading + i - first), &columns, model, i == app.row(), app, now);
    }
    if window.is_cut {
        let words = more(first, models.len().saturating_sub(first + rows));
        let at = if window.in_heading { area } else { row(area, heading + rows) };
        let wide = format::columns(&words) + 1;
        let skip = if window.in_heading { area.width - wide } else { columns.mark };
        Strip::new(buffer, at).skip(skip).put(&words, app.settings.theme.faint);
    }
}

/// What of the table lies at that place.
pub(crate) fn at(area: Rect, app: &App, place: Position) -> Option<Hit> {
    if !area.contains(place) {
        return None;
    }
    let columns = table_columns(area.width, &app.hidden);
    let count = app.models().len();
    let window = Window::new(area, &columns, count, app.row());
    let down = usize::from(place.y - area.y);
    if down < window.heading {
        return Some(Hit::Heading(head::sort_at(&columns, place.x - area.x)));
    }
    let shown = down - window.heading;
    let model = window.first + shown;
    (shown < window.rows && model < count).then_some(Hit::Row(model))
}

/// What of the table can be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    /// The model with this number.
    Row(usize),
    /// A heading, and what it sorts by, if it does.
    Heading(Option<Sort>),
}

/// Which rows of the table are seen, and where.
struct Window {
    /// Rows of the heading.
    heading: usize,
    /// Rows for models.
    rows: usize,
    /// The first model that is seen.
    first: usize,
    is_cut: bool,
    /// The mark that it is cut stands in the heading.
    in_heading: bool,
}

impl Window {
    fn new(area: Rect, columns: &Columns, models: usize, selected: usize) -> Window {
        // A few models on a large screen have little area, and a heading all the same.
        let heading = usize::from(area.height >= TABLE || usize::from(area.height) > models);
        let mut rows = usize::from(area.height).saturating_sub(heading);
        let is_cut = models > rows;
        // The mark stands in the heading where that has room for the longest one, else it takes the last row.
        let in_heading = heading == 1 && columns.used() + MARK < area.width;
        if is_cut && !in_heading && rows > 1 {
            rows -= 1;
        }
        // The selection is kept in the middle where the list is longer than the table; the state has no offset to keep.
        let first = selected.saturating_sub(rows / 2).min(models.saturating_sub(rows));
        Window { heading, rows, first, is_cut, in_heading }
    }
}

/// Columns of the longest mark of a cut table.
const MARK: u16 = 24;

/// Says how many models are above and below what is seen.
fn more(above: usize, below: usize) -> String {
    match (above, below) {
        (0, below) => format!("… {below} below"),
        (above, 0) => format!("… {above} above"),
        (above, below) => format!("… {above} above, {below} below"),
    }
}

fn line(
    buffer: &mut Buffer,
    area: Rect,
    columns: &Columns,
    model: &Model,
    is_selected: bool,
    app: &App,
    now: Moment,
) {
    let theme = &app.settings.theme;
    let plain = if is_selected { theme.selected } else { theme.text };
    let mut strip = Strip::new(buffer, area);
    strip.cell(if is_selected { "▸" } else { "" }, 1, theme.title);
    strip.cell(if model.listed.is_some() { "*" } else { "" }, columns.mark - 1, plain);
    strip.cell(&model.name.to_string(), columns.name, plain).skip(columns.gap);
    if columns.size > 0 {
        strip.cell_right(&model.size.to_string(), columns.size, plain).skip(columns.gap);
    }
    if columns.quant > 0 {
        strip.cell(&model.details.quantisation, columns.quant, theme.faint).skip(columns.gap);
    }
    tiers(&mut strip, columns.tiers, model, app);
    if columns.percent > 0 {
        strip.skip(1).cell_right(&percent(model), columns.percent, theme.ram);
    }
    strip.skip(columns.gap);
    stays(&mut strip, columns, model, app, now);
    let (words, style) = doing_or_being(model, columns.state, app, now);
    strip.skip(columns.gap).cell(&words, columns.state, style).skip(columns.gap);
    let loaded = model.living();
    let mut figure = |of: fn(&Loaded) -> String, width: u16| {
        if width > 0 {
            strip.cell_right(&loaded.map_or_else(String::new, of), width, plain).skip(columns.gap);
        }
    };
    figure(
        |loaded| loaded.context.map_or_else(|| "?".to_owned(), |tokens| tokens.to_string()),
        columns.context,
    );
    figure(split, columns.split);
    if columns.fits > 0 {
        let words = fits::words(model, columns.fits);
        let style = if words == "?" { theme.unknown } else { theme.text };
        strip.cell(&words, columns.fits, style).skip(columns.gap);
    }
    if columns.to_vram > 0 {
        let (words, style) = to_vram(model, theme);
        strip.cell_right(&words, columns.to_vram, style);
    }
}

/// How long it would take to be in VRAM from where it is: `here`, `~0.6 s`, `?`; nothing for one on its way.
pub(crate) fn to_vram(model: &Model, theme: &Theme) -> (String, Style) {
    match (model.state, &model.to_vram) {
        (State::Loading { .. } | State::Cloud, _) => (String::new(), theme.faint),
        _ if model.has_runner() => ("here".to_owned(), theme.vram),
        (_, Some(prediction)) => (format::about(prediction.took), theme.text),
        (_, None) => ("?".to_owned(), theme.unknown),
    }
}

/// The tier bar: VRAM, RAM and disk shares, each with its own glyph.
pub(crate) fn tiers(strip: &mut Strip, width: u16, model: &Model, app: &App) {
    let theme = &app.settings.theme;
    if matches!(model.state, State::Cloud) {
        strip.cell("cloud", width, theme.faint);
        return;
    }
    let tiers = &model.tiers;
    let shares = [tiers.vram.0, tiers.ram.0, tiers.disk.0, tiers.unknown.0];
    let looks = [
        (theme::VRAM, theme.vram),
        (theme::RAM, theme.ram),
        (theme::DISK, theme.disk),
        (theme::UNKNOWN, theme.unknown),
    ];
    let cells = share_out(&shares, tiers.whole().0, width);
    let used: u16 = cells.iter().sum();
    for (columns, (glyph, style)) in cells.into_iter().zip(looks) {
        strip.fill(glyph, columns, style);
    }
    strip.skip(width.saturating_sub(used));
}

/// How much of the model's files is in RAM: `100%`, `~62%`, `?`.
fn percent(model: &Model) -> String {
    match model.cached.bytes() {
        _ if model.state == State::Cloud => String::new(),
        None => "?".to_owned(),
        Some(bytes) => {
            let about = if model.cached.is_estimate() { "~" } else { "" };
            format!("{about}{}%", bytes.percent_of(model.tiers.whole()))
        }
    }
}

/// How much of a loaded model is on the card and in RAM.
pub(crate) fn split(loaded: &Loaded) -> String {
    let card = loaded.size_vram.percent_of(loaded.size);
    if loaded.size.0 == 0 { "?".to_owned() } else { format!("{card}/{}", 100 - card) }
}

fn stays(strip: &mut Strip, columns: &Columns, model: &Model, app: &App, now: Moment) {
    let theme = &app.settings.theme;
    let meter = if columns.meter > 0 { columns.meter + 1 } else { 0 };
    // A ghost's time means nothing: nothing is left that could go.
    let Some(loaded) = model.living() else {
        stays_in_ram(strip, columns, model, app, now);
        return;
    };
    match loaded.expiry {
        Expiry::Never => {
            strip.skip(meter).cell_right("pinned", columns.time, theme.key);
        }
        Expiry::Unknown => {
            strip.skip(meter).cell_right("?", columns.time, theme.unknown);
        }
        Expiry::At(at) => {
            let left = u64::try_from(at.as_second().saturating_sub(now.wall.as_second())).unwrap_or(0);
            if columns.meter > 0 {
                match loaded.keep_alive {
                    Some(KeepAlive::For(total)) if total.as_secs() > 0 => {
                        let lit = share_out(&[left], total.as_secs().max(left), columns.meter)[0];
                        strip.fill("━", lit, theme.good).fill("─", columns.meter - lit, theme.faint).skip(1);
                    }
                    // The total is learned when expires_at jumps; until then there is no bar to draw.
                    _ => {
                        strip.skip(meter);
                    }
                }
            }
            let style = if left == 0 { theme.warn } else { theme.text };
            strip.cell_right(&format::countdown(left), columns.time, style);
        }
    }
}

/// How long what is not loaded is kept in RAM.
fn stays_in_ram(strip: &mut Strip, columns: &Columns, model: &Model, app: &App, now: Moment) {
    /// `RAM` and a blank before the bar: without colours too it is not taken for a time in VRAM.
    const WORD: u16 = 4;
    let theme = &app.settings.theme;
    let meter = if columns.meter > 0 { columns.meter + 1 } else { 0 };
    if let Some(progress) = model.progress {
        let lit = share_out(&[progress.done.0], progress.of.0, columns.meter)[0];
        strip.fill("━", lit, theme.work).fill("─", columns.meter - lit, theme.faint);
        strip.skip(meter - columns.meter + columns.time);
        return;
    }
    let Some(kept) = &model.kept else {
        strip.skip(meter + columns.time);
        return;
    };
    let Some(ends) = kept.ends else {
        strip.skip(meter).cell_right("held", columns.time, theme.ram);
        return;
    };
    let left = ends.mono.saturating_duration_since(now.mono).as_secs();
    let total = kept.total.map_or(left, |total| total.as_secs()).max(1);
    if columns.meter > WORD + 4 {
        let width = columns.meter - WORD;
        let lit = share_out(&[left], total.max(left), width)[0];
        strip.cell("RAM", WORD, theme.ram);
        strip.fill("━", lit, theme.ram).fill("─", width - lit, theme.faint).skip(1);
    } else if columns.meter > 0 {
        strip.cell("RAM", meter, theme.ram);
    }
    strip.cell_right(&format::countdown(left), columns.time, theme.ram);
}

/// What is being done to a model, how it is with its pin, or what it is doing, in so many columns.
fn doing_or_being(model: &Model, columns: u16, app: &App, now: Moment) -> (String, Style) {
    let pin = pins::words(model, app, columns).filter(|_| app.live_act(&model.name).is_none());
    if let Some((words, style)) = pin {
        return (words.to_owned(), style);
    }
    let (words, style) = state(model, app, now);
    let short = if format::columns(&words) > columns { shorter(model, columns) } else { None };
    (short.unwrap_or(words), style)
}

/// What a model is doing, or what is being done to it.
pub(crate) fn state(model: &Model, app: &App, now: Moment) -> (String, Style) {
    let theme = &app.settings.theme;
    if let Some(act) = app.live_act(&model.name) {
        return (doing(act, model, now), theme.work);
    }
    let since = |moment: Moment| format::age(now.since(moment.mono));
    match model.state {
        State::OnDisk => ("on disk".into(), theme.disk),
        State::InRam { percent: 100, estimate: false } => ("in RAM".into(), theme.ram),
        State::InRam { percent, estimate } => {
            (format!("in RAM {}{percent}%", if estimate { "~" } else { "" }), theme.ram)
        }
        State::NotLoaded => ("not loaded".into(), theme.faint),
        State::Loading { since: at, .. } => {
            let far = model.progress.map_or_else(|| since(at), |progress| progress.words());
            (format!("loading {far}"), theme.work)
        }
        State::Idle if app.stale(now).is_some() => ("idle?".into(), theme.faint),
        State::Idle => ("idle".into(), theme.good),
        State::Busy => ("busy".into(), theme.work),
        State::BusyOrUnloading => ("busy/leaving".into(), theme.warn),
        State::Unloading => ("unloading".into(), theme.work),
        State::Overdue => ("overdue".into(), theme.warn),
        State::Ghost => ("ghost".into(), theme.bad),
        State::NotHere => ("not here".into(), theme.unknown),
        State::Cloud => ("cloud".into(), theme.faint),
    }
}

/// A shorter word for a state, for where the usual one would be cut.
fn shorter(model: &Model, columns: u16) -> Option<String> {
    let word = match model.state {
        State::OnDisk => "disk",
        State::InRam { percent, estimate } if columns >= 9 => {
            return Some(format!("RAM {}{percent}%", if estimate { "~" } else { "" }));
        }
        State::InRam { .. } => "RAM",
        State::NotLoaded => "out",
        State::Loading { .. } => {
            let far = model.progress.map(|progress| format!("load {}", progress.words()));
            let fits = |words: &String| format::columns(words) <= columns;
            return Some(far.filter(fits).unwrap_or_else(|| "loads".to_owned()));
        }
        State::BusyOrUnloading => "busy?",
        State::Unloading => "goes",
        State::Overdue => "late",
        State::NotHere => "away",
        State::Idle | State::Busy | State::Ghost | State::Cloud => return None,
    };
    Some(word.to_owned())
}

/// An act as it runs, with how far it is or its time: `load 43%`, `unload 2.3 s`, `queued 4 s`.
fn doing(act: &Act, model: &Model, now: Moment) -> String {
    let verb = match act.kind {
        ActKind::KeepAlive(_) => "change",
        kind => kind.verb(),
    };
    if let Some(progress) = act.progress.filter(|_| act.is_running()) {
        let pause = if progress.paused { " paused" } else { "" };
        return format!("{verb} {}%{pause}", progress.percent());
    }
    if let (Some(progress), State::Loading { .. }, true) = (model.progress, model.state, act.is_running()) {
        return format!("load {}", progress.words());
    }
    if let Some((stage, clock)) = stages::now(act, now) {
        return format!("{} {}", stages::short(stage), format::running(clock));
    }
    match act.state {
        ActState::Queued { since, .. } => format!("queued {}", format::running(now.since(since.mono))),
        ActState::Running { since, .. } => format!("{verb} {}", format::running(now.since(since.mono))),
        ActState::Done { .. } | ActState::Failed { .. } => verb.to_owned(),
    }
}
