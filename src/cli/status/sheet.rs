//! The table of `status`: server, memory and cards, then a line for each model, cut to the terminal with a mark.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::keeping;
use super::words::{is_estimate, processor, ram_unknown, state_words};
use crate::residency::bytes::Bytes;
use crate::residency::expiry::Expiry;
use crate::residency::host::{Card, Cards};
use crate::residency::snapshot::{Model, Reach, Server, Snapshot};
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::{fits, format};

/// A column: its head, whether numbers stand right in it, and from which terminal width on it is shown.
struct Column {
    head: &'static str,
    right: bool,
    from: usize,
    cell: fn(&Model, Moment) -> String,
}

/// The name comes first and is cut where there is no room; the state ends the line.
const COLUMNS: [Column; 10] = [
    Column { head: "SIZE", right: true, from: 72, cell: |model, _| model.size.to_string() },
    Column { head: "VRAM", right: true, from: 0, cell: |model, _| share(model, 0) },
    Column { head: "RAM", right: true, from: 0, cell: |model, _| share(model, 1) },
    Column { head: "DISK", right: true, from: 0, cell: |model, _| share(model, 2) },
    Column { head: "LEFT", right: true, from: 0, cell: left },
    Column { head: "TO VRAM", right: true, from: 88, cell: |model, _| to_vram(model) },
    Column { head: "CONTEXT", right: true, from: 100, cell: |model, _| context(model) },
    Column { head: "PROCESSOR", right: false, from: 112, cell: |model, _| split(model) },
    Column { head: "FITS", right: false, from: 132, cell: |model, _| fits(model) },
    Column { head: "STATE", right: false, from: 0, cell: |model, _| state_words(model, percents(model)[1]) },
];

/// No name is cut shorter than this; a terminal too narrow for it breaks the lines itself.
const SHORTEST_NAME: usize = 8;

/// A name is cut to this where no terminal's width does it: names of one server can be of any length.
const LONGEST_NAME: usize = 64;
const LONGEST_VERSION: usize = 24;
/// A column with all victims of a model would push the others off the line.
const LONGEST_FIT: u16 = 28;

/// The status at `now` for a terminal of `columns`; `None` cuts only what no sane server sends.
pub fn table(snapshot: &Snapshot, now: Moment, columns: Option<usize>) -> String {
    let columns = columns.unwrap_or(usize::MAX);
    let mut text = String::new();
    for server in &snapshot.servers {
        line(&mut text, &server_line(server, now), columns);
    }
    line(&mut text, &ram_line(snapshot), columns);
    for card in card_lines(snapshot) {
        line(&mut text, &card, columns);
    }
    if let Some(keeping) = keeping::line(&snapshot.keeping) {
        line(&mut text, &keeping, columns);
    }
    for server in &snapshot.servers {
        text.push('\n');
        models(&mut text, server, now, columns);
    }
    text
}

fn line(text: &mut String, content: &str, columns: usize) {
    text.push_str(fit(content, columns).trim_end());
    text.push('\n');
}

fn server_line(server: &Server, now: Moment) -> String {
    let mut text = format!("SERVER  {}", printable(&server.url));
    if let Some(scale) = server.demo_scale {
        let _ = write!(text, "  DEMO 1:{scale}");
    }
    if let Some(version) = &server.version {
        let _ = write!(text, "  Ollama {}", fit(&printable(version), LONGEST_VERSION));
    }
    match &server.reach {
        Reach::Connecting => text.push_str("  connecting"),
        Reach::Up { latency } => {
            let _ = write!(text, "  up, {} ms", latency.as_millis());
        }
        Reach::Slow { since } => {
            let _ =
                write!(text, "  busy, no answer for {}", format::countdown(now.since(since.mono).as_secs()));
        }
        Reach::Down { since, why, .. } => {
            let seconds = now.since(since.mono).as_secs();
            let time =
                if seconds == 0 { String::new() } else { format!(" for {}", format::countdown(seconds)) };
            let _ = write!(text, "  down{time}: {}", printable(why));
        }
    }
    text
}

fn ram_line(snapshot: &Snapshot) -> String {
    let Some(reading) = &snapshot.host.ram else { return "RAM     ? not read yet".to_owned() };
    let ram = &reading.value;
    format!(
        "RAM     {:.1} GiB  used {:.1}  available {:.1}  page cache {:.1}",
        ram.total.gib(),
        ram.used.gib(),
        ram.available.gib(),
        ram.page_cache.gib()
    )
}

fn card_lines(snapshot: &Snapshot) -> Vec<String> {
    match snapshot.host.cards.as_ref().map(|reading| &reading.value) {
        None | Some(Cards::Unread) => vec!["VRAM    ? not read yet".to_owned()],
        Some(Cards::Unknown(why)) => vec![format!("VRAM    ? {}", printable(why))],
        Some(Cards::Known(cards)) if cards.is_empty() => vec!["VRAM    no card".to_owned()],
        Some(Cards::Known(cards)) => cards.iter().map(card_line).collect(),
    }
}

fn card_line(card: &Card) -> String {
    let sleeps = if card.asleep { "  asleep" } else { "" };
    format!(
        "VRAM    {:.1} GiB  used {:.1}  free {:.1}  {}{sleeps}",
        card.total.gib(),
        card.used.gib(),
        card.free.gib(),
        printable(&card.name)
    )
}

fn models(text: &mut String, server: &Server, now: Moment, columns: usize) {
    if server.models.is_empty() {
        let none = match server.tags_at {
            Some(_) => "no models are installed; install one with: ollama pull qwen2.5-coder:7b",
            None => "the models are not known yet",
        };
        line(text, none, columns);
        return;
    }
    let shown: Vec<&Column> = COLUMNS.iter().filter(|column| column.from <= columns).collect();
    let rows: Vec<Vec<String>> = server
        .models
        .iter()
        .map(|model| shown.iter().map(|column| (column.cell)(model, now)).collect())
        .collect();
    let names: Vec<String> = server.models.iter().map(marked_name).collect();
    let widths: Vec<usize> = shown
        .iter()
        .enumerate()
        .map(|(at, column)| {
            rows.iter().map(|row| row[at].width()).max().unwrap_or(0).max(column.head.width())
        })
        .collect();
    let others: usize = widths.iter().map(|width| width + 2).sum();
    let longest = names.iter().map(|name| name.width()).max().unwrap_or(0).max("  MODEL".len());
    let room = if columns == usize::MAX { LONGEST_NAME } else { columns.saturating_sub(others) };
    let name_width = longest.min(room.max(SHORTEST_NAME));

    let row = |name: &str, cells: &mut dyn Iterator<Item = &str>| {
        let mut row = pad(&fit(name, name_width), name_width, false);
        for ((cell, width), column) in cells.zip(&widths).zip(&shown) {
            row.push_str("  ");
            row.push_str(&pad(cell, *width, column.right));
        }
        row
    };
    line(text, &row("  MODEL", &mut shown.iter().map(|column| column.head)), columns);
    for (name, cells) in names.iter().zip(&rows) {
        line(text, &row(name, &mut cells.iter().map(String::as_str)), columns);
    }
}

/// The name, with a `*` before it if it is in the preload list.
fn marked_name(model: &Model) -> String {
    format!("{} {}", if model.listed.is_some() { '*' } else { ' ' }, model.name)
}

/// A tier's share in percent. The card's share is known even where RAM and disk are not.
fn share(model: &Model, tier: usize) -> String {
    let is_card = tier == 0;
    if !is_card && ram_unknown(model).is_some() {
        return "?".to_owned();
    }
    if bytes_by_tier(model)[tier] == Bytes::ZERO {
        return "-".to_owned();
    }
    let mark = if !is_card && is_estimate(model) { "~" } else { "" };
    match percents(model)[tier] {
        0 => format!("{mark}<1%"),
        percent => format!("{mark}{percent}%"),
    }
}

fn bytes_by_tier(model: &Model) -> [Bytes; 3] {
    [model.tiers.vram, model.tiers.ram, model.tiers.disk]
}

/// Whole percents that add up to 100: the largest tier gets what rounding down leaves. It is 100 only if all is there,
/// so beside a tier of less than one percent one is missing.
fn percents(model: &Model) -> [u8; 3] {
    let bytes = bytes_by_tier(model);
    let whole = model.tiers.whole();
    let mut percents = bytes.map(|bytes| bytes.percent_of(whole));
    if model.tiers.unknown > Bytes::ZERO || whole == Bytes::ZERO {
        return percents;
    }
    let largest = (0..3).rev().max_by_key(|tier| bytes[*tier]).unwrap_or(0);
    let others: u8 = (0..3).filter(|tier| *tier != largest).map(|tier| percents[tier]).sum();
    let most = if bytes[largest] == whole { 100 } else { 99 };
    percents[largest] = (100 - others).min(most);
    percents
}

fn left(model: &Model, now: Moment) -> String {
    match model.loaded.as_ref().map(|loaded| loaded.expiry) {
        None => "-".to_owned(),
        Some(Expiry::Never) => "forever".to_owned(),
        Some(Expiry::Unknown) => "?".to_owned(),
        Some(expiry @ Expiry::At(_)) => {
            format::countdown(expiry.remaining(now).unwrap_or_default().as_secs())
        }
    }
}

/// How long it would take to be in VRAM, where that was learned; one that is there takes no time.
fn to_vram(model: &Model) -> String {
    match model.to_vram {
        _ if model.loaded.is_some() => "-".to_owned(),
        Some(said) => format!("~{:.1} s", said.took.as_secs_f64()),
        None => "?".to_owned(),
    }
}

/// Whether it would fit, and whom it would evict; nothing of what is loaded.
fn fits(model: &Model) -> String {
    let words = fits::words(model, LONGEST_FIT);
    if words.is_empty() { "-".to_owned() } else { words }
}

fn context(model: &Model) -> String {
    match &model.loaded {
        None => "-".to_owned(),
        Some(loaded) => loaded.context.map_or_else(|| "?".to_owned(), |context| context.to_string()),
    }
}

fn split(model: &Model) -> String {
    match &model.loaded {
        None => "-".to_owned(),
        Some(loaded) => processor(loaded).unwrap_or_else(|| "?".to_owned()),
    }
}

/// `text` in at most `columns`; what is cut ends in `…`.
fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    format::fit(text, u16::try_from(columns).unwrap_or(u16::MAX))
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let missing = " ".repeat(width.saturating_sub(text.width()));
    if right { format!("{missing}{text}") } else { format!("{text}{missing}") }
}
