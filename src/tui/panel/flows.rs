//! The workflows of the config, to choose one from.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::config::Workflow;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::widget::page;
use crate::tui::widget::strip::Strip;

/// Draws them, the selected one in sight.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, selected: usize) {
    let theme = &app.settings.theme;
    let flows = &app.settings.workflows;
    let mut lines: Vec<(String, bool, bool)> = Vec::new();
    let mut seen = 0;
    let width = area.width.saturating_sub(7);
    for (i, flow) in flows.iter().enumerate() {
        if i <= selected {
            seen = lines.len();
        }
        let count = match app.models_of(flow).len() {
            1 => "1 model".to_owned(),
            count => format!("{count} models"),
        };
        lines.push((format!("{}   {count}", flow.name), true, i == selected));
        for text in told(flow, app) {
            lines.extend(format::wrap(&text, width, 3).into_iter().map(|line| (line, false, i == selected)));
        }
    }
    let down = (seen + 4).saturating_sub(usize::from(area.height));
    page::lines(buffer, area, lines.len(), down, theme.faint, |buffer, area, i| {
        let (text, is_name, is_selected) = &lines[i];
        let mut strip = Strip::new(buffer, area);
        match (is_name, is_selected) {
            (true, true) => strip.put("▸  ", theme.title).put(text, theme.selected),
            (true, false) => strip.skip(3).put(text, theme.text),
            (false, _) => strip.skip(5).put(text, theme.faint),
        };
    });
}

/// The steps of a workflow, and what is missing for it.
fn told(flow: &Workflow, app: &App) -> Vec<String> {
    let steps: Vec<&str> = flow.steps.iter().map(|step| step.phase.as_str()).collect();
    let again = if flow.repeat { " → and again" } else { "" };
    let models = app.models_of(flow);
    let missing: Vec<String> = models
        .iter()
        .filter(|model| app.server().is_none_or(|server| server.model(model).is_none()))
        .map(ToString::to_string)
        .collect();
    let mut lines = vec![format!("{}{again}", steps.join(" → "))];
    if !missing.is_empty() {
        lines.push(format!("not installed: {}", missing.join(", ")));
    }
    lines
}
