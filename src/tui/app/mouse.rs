//! The mouse: a click selects, sorts, changes the server or presses a key of the footer; the wheel scrolls what it is over.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{App, Effect, Panel, Sort};
use crate::residency::timing::Moment;
use crate::tui::action::Action;
use crate::tui::view::{Under, under};

/// Lines that one notch of the wheel is.
const NOTCH: usize = 3;

impl App {
    /// Carries out what was done with the mouse on a screen of that size. Nothing but a key of the footer moves a model.
    pub fn mouse(&mut self, event: MouseEvent, screen: Rect, now: Moment) -> Option<Effect> {
        let place = Position { x: event.column, y: event.row };
        let under = under(self, screen, place, now);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) => self.click(under, now),
            MouseEventKind::ScrollDown => {
                self.wheel(under, true);
                None
            }
            MouseEventKind::ScrollUp => {
                self.wheel(under, false);
                None
            }
            _ => None,
        }
    }

    fn click(&mut self, under: Under, now: Moment) -> Option<Effect> {
        match under {
            Under::Key(action) => return self.act(action, now),
            Under::Server(at) if at != self.fleet.at => return Some(Effect::Server(at)),
            Under::Row(row) => {
                self.panel = Panel::Models;
                self.notice = None;
                self.select(row);
            }
            Under::Heading(Some(sort)) => {
                // Once more is back to the list.
                self.sort_by(if self.sort == sort { Sort::List } else { sort });
            }
            Under::Heading(None) => {
                self.say("rows are sorted by list, name or size, so that none moves by itself");
            }
            Under::Panel(panel @ (Panel::Details | Panel::Flow)) => self.panel = panel,
            Under::Panel(_) | Under::Server(_) | Under::Page | Under::Nothing => {}
        }
        None
    }

    fn wheel(&mut self, under: Under, down: bool) {
        let turned = |from: usize, by: usize| if down { from + by } else { from.saturating_sub(by) };
        match under {
            Under::Page => {
                let action = if down { Action::ScrollDown } else { Action::ScrollUp };
                self.scroll(action);
            }
            Under::Row(_) | Under::Heading(_) | Under::Panel(Panel::Models) => {
                self.select(turned(self.row(), 1));
            }
            Under::Panel(Panel::Details) => self.details_down = turned(self.details_down, NOTCH).min(500),
            Under::Panel(Panel::Flow) => self.flow_down = turned(self.flow_down, NOTCH).min(500),
            Under::Panel(Panel::Events) => {
                // The newest is at the bottom.
                let most = self.snapshot.events.len().saturating_sub(1);
                let back = self.events_back;
                self.events_back = if down { back.saturating_sub(NOTCH) } else { (back + NOTCH).min(most) };
            }
            Under::Key(_) | Under::Server(_) | Under::Nothing => {}
        }
    }

    /// Takes the mouse, or leaves it to the terminal.
    pub(super) fn turn_mouse(&mut self) -> Effect {
        let on = !self.settings.mouse;
        self.settings.mouse = on;
        let key =
            self.keymap.first(Action::Mouse).map_or_else(String::new, |key| format!("; {key} takes it"));
        self.say(if on {
            "the mouse selects, scrolls and sorts; with shift held most terminals select text".to_owned()
        } else {
            format!("the mouse is the terminal's: it selects text{key}")
        });
        Effect::Mouse(on)
    }
}
