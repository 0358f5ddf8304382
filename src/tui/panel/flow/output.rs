//! The last lines of what a step's command says.

use super::Line;
use crate::residency::flow::StepState;
use crate::tui::app::{App, Shown};

/// Lines that are shown at most; the table below them is what the screen is for.
pub(super) const MOST: usize = 8;

/// So many of the last lines, the newest at the bottom; none where no command has begun in this round.
pub(super) fn lines(app: &App, shown: &Shown, most: usize) -> Vec<Line> {
    let output = &app.output;
    let is_ours = shown.whose.is_none() && output.command > 0;
    let Some(step) = shown.flow.steps.get(output.step).filter(|_| is_ours) else { return Vec::new() };
    if matches!(step.state, StepState::Waiting | StepState::Swapping(_)) {
        return Vec::new();
    }
    let said = output.lines.iter().filter(|line| !line.trim().is_empty());
    let mut last: Vec<&String> = said.rev().take(most).collect();
    last.reverse();
    let word = |i| if i == 0 { step.phase.clone() } else { String::new() };
    last.into_iter().enumerate().map(|(i, text)| Line::Output(word(i), text.clone())).collect()
}
