//! The selected model's runner: how far its load is, and what its process says beside the server.

use ratatui::style::Style;

use crate::residency::host::{LoadMode, Runner};
use crate::residency::snapshot::Model;
use crate::residency::text::printable;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::theme::Theme;
use crate::tui::widget::bar::share_out;

/// A line: its word, its text and how it looks.
type Line = (&'static str, String, Style);

/// Columns of the bar of a load.
const BAR: u16 = 12;

/// How far its load is, if one is under way, and what says so.
pub(super) fn loading(model: &Model, theme: &Theme) -> Vec<Line> {
    let Some(progress) = model.progress else { return Vec::new() };
    let lit = usize::from(share_out(&[progress.done.0], progress.of.0, BAR)[0]);
    let bar = "━".repeat(lit) + &"─".repeat(usize::from(BAR) - lit);
    let about = if progress.source.is_estimate() { "~" } else { "" };
    let far = format!("{bar} {about}{} %", progress.percent());
    let what = format!("{} of {} {}", progress.done, progress.of, progress.source.words());
    vec![
        ("progress", far, theme.work),
        ("", what, theme.text),
        ("", format!("pid {}", progress.pid), theme.faint),
    ]
}

/// What its process says of itself, and the driver of it.
pub(super) fn lines(runner: &Runner, app: &App) -> Vec<Line> {
    let theme = &app.settings.theme;
    let mut lines = Vec::new();
    let port = runner.port.map_or_else(String::new, |port| format!("   port {port}"));
    let works = match runner.busy {
        Some(true) => "   busy",
        Some(false) => "   idle",
        None => "",
    };
    lines.push(("runner", format!("pid {}{port}{works}", runner.pid), theme.text));
    let layers = runner.gpu_layers.as_ref().map(|layers| format!("-ngl {}", printable(layers)));
    let slots = runner.slots.map(|slots| {
        let each = runner.context.map(|all| all / u64::from(slots.max(1)));
        format!("{slots}{}", each.map_or_else(String::new, |each| format!(" of {each} tokens")))
    });
    let all: Vec<String> = slots.into_iter().chain(layers).collect();
    lines.push(("slots", all.join("   "), theme.text));
    let files = Some(runner.file_backed).filter(|bytes| bytes.0 > 0);
    let files = files.map_or_else(String::new, |bytes| format!("   of files {}", format::memory(bytes)));
    lines.push(("memory", format!("own {}{files}", format::memory(runner.anonymous)), theme.text));
    let cards = app.snapshot.host.card_list();
    match app.snapshot.host.on_cards(runner.pid) {
        Some(bytes) => {
            lines.push(("by driver", format!("{} on the card", format::memory(bytes)), theme.text));
        }
        None if cards.iter().any(|card| !card.processes.is_empty()) => {
            lines.push(("by driver", "the driver does not name its process".to_owned(), theme.faint));
        }
        None => {}
    }
    let mode = match runner.load_mode {
        LoadMode::Mmap => "mmap: mapped; what is in RAM loads fast",
        LoadMode::Buffered => "buffered reads; what is in RAM loads fast",
        LoadMode::Direct => "direct I/O: RAM makes no difference to its load",
        LoadMode::InTree => "in-tree engine: parallel reads; what is in RAM loads fast",
        LoadMode::Unknown => "unknown",
    };
    lines.push(("load mode", mode.to_owned(), theme.text));
    lines
}
