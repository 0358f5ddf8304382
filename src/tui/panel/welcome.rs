//! What stands in the table's place while no server has answered: why, and what can be done.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::snapshot::Reach;
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::widget::strip::{Strip, row};

/// The word before a line that goes on with the one above.
const BLANK: &str = " ";

/// Whether it is shown: nothing is known of any model, and the server does not answer.
pub(crate) fn applies(app: &App) -> bool {
    app.server().is_none_or(|server| {
        server.models.is_empty() && (server.tags_at.is_none() || matches!(server.reach, Reach::Down { .. }))
    })
}

/// Draws it.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App) {
    let theme = &app.settings.theme;
    let Some(server) = app.server() else { return };
    let url = printable(&server.url).into_owned();
    let time = |moment: &Moment| format::clock_seconds(moment.wall, &app.settings.zone);
    let width = area.width.saturating_sub(5);
    let mut lines: Vec<(&str, String, Style)> = Vec::new();
    let mut say = |text: &str, style: Style| {
        lines.extend(format::wrap(text, width, 4).into_iter().map(|line| ("", line, style)));
    };
    match &server.reach {
        Reach::Down { since, answers, why } => {
            let what = if *answers { "no Ollama server" } else { "no server" };
            say(&format!("{what} answers at {url}, since {}", time(since)), theme.warn);
            say(&printable(why), theme.faint);
            if *answers {
                say("something else answers at that address", theme.faint);
            }
        }
        Reach::Slow { since } => {
            say(&format!("{url} takes connections but has not answered since {}", time(since)), theme.warn);
            say("it may be busy with a load, hang, or be no Ollama server", theme.faint);
        }
        Reach::Connecting | Reach::Up { .. } => {
            say(&format!("asking {url} …"), theme.faint);
            Strip::new(buffer, area).skip(3).put(&lines[0].1, theme.faint);
            return;
        }
    }
    lines.push(("", String::new(), theme.text));
    if matches!(server.reach, Reach::Down { answers: false, .. }) {
        lines.push(("start one", "ollama serve".to_owned(), theme.text));
    }
    lines.push(("or name one", "resident --host http://name:11434, or OLLAMA_HOST".to_owned(), theme.text));
    if let (Some((place, size)), Some(key)) = (&app.settings.demo_place, app.keymap.first(Action::Demo)) {
        let demo = format!("{key} starts an embedded server with real files");
        lines.push(("or look at it", demo, theme.text));
        let place = place.display();
        let files =
            if size.0 == 0 { format!("its files are in {place}") } else { format!("{size} in {place}") };
        lines.push((BLANK, files, theme.faint));
    }
    lines.push(("", String::new(), theme.text));
    lines.push(("", "it is asked again all the time and appears here when it answers".into(), theme.faint));
    for (i, (word, text, style)) in lines.iter().enumerate() {
        let mut strip = Strip::new(buffer, row(area, i));
        strip.skip(3);
        if !word.is_empty() {
            strip.cell(word, 15, theme.faint);
        }
        strip.put(text, *style);
    }
}
