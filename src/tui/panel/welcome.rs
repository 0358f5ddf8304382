//! What stands in the table's place while no server has answered: why, and what can be done.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::residency::snapshot::Reach;
use crate::residency::text::printable;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::widget::strip::{Strip, row};

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
    let Reach::Down { since, why } = &server.reach else {
        let words = format!("asking {url} …");
        Strip::new(buffer, area).skip(3).put(&words, theme.faint);
        return;
    };
    let since = format::clock_seconds(since.wall, &app.settings.zone);
    let mut lines = vec![
        (String::new(), format!("no server answers at {url}, since {since}"), theme.warn),
        (String::new(), printable(why).into_owned(), theme.faint),
        (String::new(), String::new(), theme.text),
        ("start one".to_owned(), "ollama serve".to_owned(), theme.text),
        (
            "or name one".to_owned(),
            "resident --host http://name:11434, or OLLAMA_HOST".to_owned(),
            theme.text,
        ),
    ];
    if let (Some((place, size)), Some(key)) = (&app.settings.demo_place, app.keymap.first(Action::Demo)) {
        let demo = format!("{key} starts an embedded server with real files");
        lines.push(("or look at it".to_owned(), demo, theme.text));
        lines.push((String::new(), format!("{size} in {}", place.display()), theme.faint));
    }
    lines.push((String::new(), String::new(), theme.text));
    lines.push((
        String::new(),
        "it is asked again all the time and appears here when it answers".into(),
        theme.faint,
    ));
    for (i, (word, text, style)) in lines.iter().enumerate() {
        let mut strip = Strip::new(buffer, row(area, i));
        strip.skip(3);
        if !word.is_empty() || (i > 5 && i + 2 < lines.len()) {
            strip.cell(word, 15, theme.faint);
        }
        strip.put(text, *style);
    }
}
