//! Moving about: the selection by name, the panels, scrolling.

use super::{App, Layer, Panel, Sort};
use crate::tui::action::Action;

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

    fn select(&mut self, row: usize) {
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
    }

    pub(super) fn turn_sort(&mut self) {
        let (sort, said) = match self.sort {
            Sort::List => (Sort::Name, "sorted by name"),
            Sort::Name => (Sort::Size, "sorted by size, the largest first"),
            Sort::Size => (Sort::List, "sorted as the preload list, then by name"),
        };
        self.sort = sort;
        self.notice = Some(said.to_owned());
    }

    /// Back out of one thing: the panel first, then the filter, then a workflow or a measurement that has ended.
    pub(super) fn back(&mut self) {
        if self.panel != Panel::Models {
            self.panel = Panel::Models;
            self.events_back = 0;
        } else if !self.filter.is_empty() {
            self.filter.clear();
            self.reselect(0);
        } else {
            self.close_flow();
        }
    }
}
