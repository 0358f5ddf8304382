//! Moving about: the selection by name, the panels, scrolling.

use super::{App, Layer, Panel, Sort};
use crate::tui::action::Action;
use crate::tui::columns::CHOICES;

/// Rows of a page: a screen's height is not known here, and ten is what people expect to keep in sight.
const PAGE: usize = 10;

impl App {
    /// The selected model's row.
    pub(crate) fn row(&self) -> usize {
        let selected = self.selected.as_ref();
        self.models().iter().position(|model| Some(&model.name) == selected).unwrap_or(0)
    }

    /// Keeps the selection if its model is still there, else selects the one that now has its row.
    pub(super) fn reselect(&mut self, row: usize) {
        let models = self.models();
        let name = match self.selected.as_ref() {
            Some(name) if models.iter().any(|model| model.name == *name) => return,
            _ => models.get(row.min(models.len().saturating_sub(1))).map(|model| model.name.clone()),
        };
        if name != self.selected {
            self.details_down = 0;
        }
        self.selected = name;
    }

    pub(super) fn select(&mut self, row: usize) {
        let models = self.models();
        let name = models.get(row.min(models.len().saturating_sub(1))).map(|model| model.name.clone());
        if name != self.selected {
            self.details_down = 0;
        }
        self.selected = name;
    }

    /// Moves the selection, or scrolls the panel that has the keys.
    pub(super) fn roam(&mut self, action: Action) {
        let models = self.models().len();
        let events = self.snapshot.events.len();
        let step = |from: usize, most: usize| match action {
            Action::Down => (from + 1).min(most),
            Action::Up => from.saturating_sub(1),
            Action::PageDown => (from + PAGE).min(most),
            Action::PageUp => from.saturating_sub(PAGE),
            Action::Top => 0,
            _ => most,
        };
        match self.panel {
            Panel::Models => self.select(step(self.row(), models.saturating_sub(1))),
            // The view clamps: how many lines there are depends on the width.
            Panel::Details => self.details_down = step(self.details_down, 500),
            Panel::Flow => self.flow_down = step(self.flow_down, 500),
            Panel::Events => {
                let oldest = events.saturating_sub(1);
                let from_top = oldest.saturating_sub(self.events_back);
                self.events_back = oldest - step(from_top, oldest);
            }
        }
    }

    /// Scrolls an open page.
    pub(super) fn scroll(&mut self, action: Action) {
        let flows = self.settings.workflows.len();
        let (down, most) = match &mut self.layer {
            Layer::Help(down)
            | Layer::Setup(_, down)
            | Layer::History(down)
            | Layer::Findings(down)
            | Layer::Tuning(down) => (down, 1000),
            Layer::Columns(selected) => (selected, CHOICES.len() - 1),
            Layer::Flows(selected) => (selected, flows.saturating_sub(1)),
            _ => return,
        };
        *down = match action {
            Action::ScrollDown => *down + 1,
            Action::ScrollUp => down.saturating_sub(1),
            Action::ScrollPageDown => *down + PAGE,
            _ => down.saturating_sub(PAGE),
        }
        .min(most);
    }

    pub(super) fn turn_panel(&mut self, forward: bool) {
        let mut panels = vec![Panel::Models, Panel::Details, Panel::Flow, Panel::Events];
        panels.retain(|panel| *panel != Panel::Flow || self.has_flow());
        let at = panels.iter().position(|panel| *panel == self.panel).unwrap_or(0);
        let by = if forward { 1 } else { panels.len() - 1 };
        self.panel = panels[(at + by) % panels.len()];
        self.flow_down = 0;
    }

    pub(super) fn turn_sort(&mut self) {
        self.sort_by(match self.sort {
            Sort::List => Sort::Name,
            Sort::Name => Sort::Size,
            Sort::Size => Sort::List,
        });
    }

    pub(super) fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.say(match sort {
            Sort::List => "sorted as the preload list, then by name",
            Sort::Name => "sorted by name",
            Sort::Size => "sorted by size, the largest first",
        });
    }

    /// Shows or hides the column that is selected on their page.
    pub(super) fn toggle_column(&mut self) {
        let Layer::Columns(selected) = self.layer else { return };
        let Some((column, ..)) = CHOICES.get(selected) else { return };
        let before = self.hidden.len();
        self.hidden.retain(|hidden| hidden != column);
        if self.hidden.len() == before {
            self.hidden.push(*column);
        }
    }

    pub(super) fn change_theme(&mut self) {
        self.notice = Some(self.settings.wardrobe.change());
        self.settings.theme = self.settings.wardrobe.theme();
    }

    /// Back out of one thing: the zoom first, the panel, then the filter, then a workflow or a measurement that has ended.
    pub(super) fn back(&mut self) {
        if self.zoomed {
            self.zoomed = false;
        } else if self.panel != Panel::Models {
            self.panel = Panel::Models;
            self.events_back = 0;
            self.flow_down = 0;
        } else if self.events_back > 0 {
            self.events_back = 0;
        } else if !self.filter.is_empty() {
            self.filter.clear();
            self.reselect(0);
        } else {
            self.close_flow();
        }
    }
}
