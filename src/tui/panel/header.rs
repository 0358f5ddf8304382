//! The first row: which server, whether it answers and how fast, what acts by itself and who does it, host and clock.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::guard::Keeper;
use crate::residency::guard::claim::Idle;
use crate::residency::snapshot::Reach;
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::widget::strip::Strip;

/// One thing in the header; the highest `rank` is shortened, then goes first when there is no room.
#[derive(Default)]
struct Piece {
    text: String,
    short: Option<String>,
    style: Style,
    rank: u8,
}

/// Draws it.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment) {
    let mut left = left(app, now);
    let mut right = right(app, now);
    let wide = |pieces: &[Piece]| -> u16 {
        pieces.iter().map(|piece| format::columns(&piece.text).saturating_add(3)).fold(0, u16::saturating_add)
    };
    while wide(&left).saturating_add(wide(&right)) > area.width.saturating_add(1) {
        let highest = left.iter().chain(&right).map(|piece| piece.rank).max().unwrap_or(0);
        if highest == 0 {
            break;
        }
        let mut of_it = left.iter_mut().chain(&mut right).filter(|piece| piece.rank == highest);
        if let Some((short, piece)) = of_it.find_map(|piece| Some((piece.short.take()?, piece))) {
            piece.text = short;
            continue;
        }
        left.retain(|piece| piece.rank != highest);
        right.retain(|piece| piece.rank != highest);
    }
    let mut strip = Strip::new(buffer, area);
    strip.skip(1);
    for piece in &left {
        strip.put(&piece.text, piece.style).skip(3);
    }
    let blank = strip.left().saturating_sub(wide(&right).saturating_sub(2));
    strip.skip(blank);
    for piece in &right {
        strip.put(&piece.text, piece.style).skip(3);
    }
}

fn left(app: &App, now: Moment) -> Vec<Piece> {
    let theme = &app.settings.theme;
    let mut pieces =
        vec![Piece { text: "resident".into(), style: theme.title, rank: 12, ..Piece::default() }];
    let Some(server) = app.server() else { return pieces };
    let url = format::address(&server.url).to_owned();
    pieces.push(Piece { text: printable(&url).into_owned(), style: theme.text, rank: 4, ..Piece::default() });
    if let Some(version) = &server.version {
        let text = format!("ollama {}", format::fit(version, 16));
        pieces.push(Piece { text, style: theme.faint, rank: 10, ..Piece::default() });
    }
    let time = |moment: Moment| format::clock_seconds(moment.wall, &app.settings.zone);
    let (text, style) = match &server.reach {
        Reach::Connecting => ("◐ connecting".to_owned(), theme.faint),
        Reach::Up { latency } => (format!("● {}", format::latency(*latency)), theme.good),
        Reach::Slow { since } if server.ps_at.is_none() => {
            (format!("◐ no answer since {}", time(*since)), theme.warn)
        }
        Reach::Slow { since } => (format!("◐ busy since {}", time(*since)), theme.warn),
        Reach::Down { since, .. } => (format!("○ gone since {}", time(*since)), theme.bad),
    };
    pieces.push(Piece { text, style, rank: 0, ..Piece::default() });
    let wrong = server.findings.as_ref().map_or(0, |findings| findings.len());
    if wrong > 0 {
        let text = if wrong == 1 { "! 1 finding".to_owned() } else { format!("! {wrong} findings") };
        pieces.push(Piece { text, style: theme.warn, rank: 3, ..Piece::default() });
    }
    if app.frozen.is_some() {
        pieces.push(Piece { text: "frozen".into(), style: theme.warn, rank: 0, ..Piece::default() });
    }
    if let Some(age) = app.stale(now) {
        pieces.push(Piece {
            text: format!("{} old", format::age(age)),
            style: theme.warn,
            rank: 1,
            ..Piece::default()
        });
    }
    pieces
}

/// How many models of the preload list need no disk, of how many; `None` without a list or where RAM cannot be read.
fn preloaded(app: &App) -> Option<(usize, usize)> {
    let server = app.server().filter(|server| server.local)?;
    let listed = server.models.iter().filter(|model| model.listed.is_some());
    let all = listed.clone().count();
    (all > 0).then(|| (listed.filter(|model| model.needs_no_disk()).count(), all))
}

fn right(app: &App, now: Moment) -> Vec<Piece> {
    let theme = &app.settings.theme;
    let mut pieces = Vec::new();
    if let Some((there, all)) = preloaded(app) {
        let style = if there == all { theme.ram } else { theme.faint };
        pieces.push(Piece {
            text: format!("preload {there}/{all} in RAM"),
            short: Some(format!("preload {there}/{all}")),
            style,
            rank: 8,
        });
    }
    let holds = app.snapshot.host.holds;
    if holds.0 > 0 {
        pieces.push(Piece { text: format!("holds {holds}"), style: theme.ram, rank: 9, ..Piece::default() });
    }
    pieces.extend(by_itself(app));
    if let Some(path) = &app.settings.auto_off {
        let text = format!("auto off: {}", printable(&path.to_string_lossy()));
        pieces.push(Piece { text, style: theme.faint, rank: 11, ..Piece::default() });
    }
    if app.settings.read_only {
        let acts = matches!(app.snapshot.keeping.keeper, Some(Keeper::Other(_)));
        let text = if acts { "read-only" } else { "read-only, auto off" };
        let short = Some("read-only".to_owned()).filter(|_| !acts);
        pieces.push(Piece { text: text.into(), short, style: theme.warn, rank: 2 });
    }
    if let Some(scale) = app.server().and_then(|server| server.demo_scale) {
        pieces.push(Piece {
            text: format!("DEMO 1:{scale}"),
            style: theme.warn,
            rank: 0,
            ..Piece::default()
        });
    }
    let host = &app.snapshot.host.name;
    if !host.is_empty() {
        pieces.push(Piece {
            text: format::fit(host, 24).into_owned(),
            style: theme.faint,
            rank: 13,
            ..Piece::default()
        });
    }
    let text = format::clock(now.wall, &app.settings.zone);
    pieces.push(Piece { text, style: theme.text, rank: 5, ..Piece::default() });
    pieces
}

/// What acts by itself here, or that it was stopped, and who does it instead.
fn by_itself(app: &App) -> Vec<Piece> {
    let theme = &app.settings.theme;
    let keeping = &app.snapshot.keeping;
    let mut pieces = Vec::new();
    if keeping.hands_off {
        let key = app.keymap.first(Action::HandsOff).map_or_else(String::new, |key| format!(" ({key})"));
        let text = format!("auto off{key}");
        pieces.push(Piece { text, style: theme.warn, rank: 3, ..Piece::default() });
    } else if let Some((first, rest)) = keeping.auto.split_first() {
        let words: Vec<&str> = keeping.auto.iter().map(|auto| auto.word()).collect();
        let short = format!("auto: {} +{}", first.word(), rest.len());
        let short = Some(short).filter(|_| rest.len() > 1);
        let text = format!("auto: {}", words.join(" "));
        pieces.push(Piece { text, short, style: theme.faint, rank: 6 });
    }
    if let Some(Keeper::Other(pid)) = keeping.keeper {
        let text = format!("keeper: pid {pid}");
        pieces.push(Piece { text, style: theme.faint, rank: 7, ..Piece::default() });
        return pieces;
    }
    // Hands off, read-only and a config that was merely found have pieces of their own.
    match keeping.idle.map(|idle| idle.why) {
        Some(why @ Idle::NoJournal) => {
            let text = format!("auto off: {}", why.words());
            pieces.push(Piece { text, style: theme.warn, rank: 3, ..Piece::default() });
        }
        Some(why @ Idle::NoConfig) if app.settings.auto_off.is_none() => {
            let text = format!("auto off: {}", why.words());
            pieces.push(Piece { text, style: theme.faint, rank: 11, ..Piece::default() });
        }
        _ => {}
    }
    pieces
}
