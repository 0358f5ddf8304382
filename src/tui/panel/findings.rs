//! What is wrong with the server or with how it is used, what says so, and what to do.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::residency::finding::{Finding, Severity};
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::theme::Theme;
use crate::tui::widget::page;
use crate::tui::widget::strip::Strip;

/// Columns before what is said of a finding.
const INDENT: u16 = 3;

/// A line: parts in their styles.
type Line = Vec<(String, Style)>;

/// Draws them, the worst first, scrolled as far as the user asked and the lines go.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment, down: usize) {
    let theme = &app.settings.theme;
    let findings = app.server().and_then(|server| server.findings.as_deref());
    let lines = match findings {
        None => said("FINDINGS", "the server has to answer twice before anything is judged", theme),
        Some([]) => said("FINDINGS", "nothing is wrong, as far as can be seen from here", theme),
        Some(findings) => {
            let blank = || vec![(String::new(), theme.text)];
            let head = vec![("FINDINGS".to_owned(), theme.title)];
            let each = findings.iter().flat_map(|finding| {
                [blank()].into_iter().chain(lines(finding, now, area.width.saturating_sub(2), theme))
            });
            [head].into_iter().chain(each).collect()
        }
    };
    page::lines(buffer, area, lines.len(), down, theme.faint, |buffer, area, i| {
        let mut strip = Strip::new(buffer, area);
        strip.skip(1);
        for (text, style) in &lines[i] {
            strip.put(text, *style);
        }
    });
}

fn said(title: &str, words: &str, theme: &Theme) -> Vec<Line> {
    vec![vec![(format!("{title}   "), theme.title), (words.to_owned(), theme.text)]]
}

fn lines(finding: &Finding, now: Moment, width: u16, theme: &Theme) -> Vec<Line> {
    let style = match finding.severity {
        Severity::Broken => theme.bad,
        Severity::Costs => theme.warn,
    };
    let mut head = vec![("!  ".to_owned(), style), (finding.kind.words().to_owned(), style)];
    if let Some(model) = &finding.model {
        head.push((format!("   {model}"), theme.selected));
    }
    if let Some(since) = finding.since {
        head.push((format!("   for {}", format::age(now.since(since.mono))), theme.faint));
    }
    let indent = " ".repeat(usize::from(INDENT));
    let wrapped = |text: &str, first: &str, style: Style| {
        let room = width.saturating_sub(INDENT + format::columns(first));
        let lines = format::wrap(&printable(text), room, 6);
        let rest = " ".repeat(usize::from(format::columns(first)));
        let marked = lines.into_iter().enumerate().map(|(i, line)| {
            let lead = if i == 0 { first } else { &rest };
            vec![(format!("{indent}{lead}"), theme.faint), (line, style)]
        });
        marked.collect::<Vec<Line>>()
    };
    let mut lines = vec![head];
    lines.extend(wrapped(&finding.evidence, "", theme.text));
    lines.extend(wrapped(&finding.advice, "do: ", theme.text));
    lines
}
