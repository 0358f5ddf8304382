//! The mouse: what a click and the wheel do, and that no click but one on a key moves a model.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use super::fleet::fleet;
use crate::residency::act::ActKind;
use crate::tui::app::{App, Effect, Layer, Panel, Sort};
use crate::tui::fixture::{app, many, name, now, picture, press, usual};

/// Does that with the mouse at the first place where the picture shows `text`.
fn mouse(app: &mut App, size: (u16, u16), kind: MouseEventKind, text: &str) -> Option<Effect> {
    let shown = picture(app, size.0, size.1);
    let found = shown.lines().enumerate().find_map(|(y, line)| {
        let x = line.find(text)?;
        Some((u16::try_from(line[..x].chars().count()).unwrap(), u16::try_from(y).unwrap()))
    });
    let (column, row) = found.unwrap_or_else(|| panic!("{text}\n{shown}"));
    let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    app.mouse(event, Rect::new(0, 0, size.0, size.1), now())
}

const CLICK: MouseEventKind = MouseEventKind::Down(MouseButton::Left);
const SMALL: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (160, 50);

fn selected(app: &App) -> &str {
    app.selected().unwrap().as_str()
}

#[test]
fn a_click_on_a_row_selects_it_also_in_a_list_that_is_cut() {
    let mut app = app(usual());
    assert_eq!(mouse(&mut app, SMALL, CLICK, "mistral:7b"), None);
    assert_eq!(selected(&app), "mistral:7b");
    let mut app = self::app(many(100));
    press(&mut app, "G");
    mouse(&mut app, SMALL, CLICK, "model-095");
    assert!(selected(&app).starts_with("model-095"));
    mouse(&mut app, SMALL, CLICK, "model-09");
    mouse(&mut app, SMALL, MouseEventKind::Down(MouseButton::Right), "model-08");
    assert!(selected(&app).starts_with("model-0"));
}

#[test]
fn a_click_on_a_heading_sorts_by_it_and_once_more_by_the_list() {
    let mut app = app(usual());
    for (heading, sort) in [
        ("SIZE", Sort::Size),
        ("SIZE", Sort::List),
        ("MODEL", Sort::Name),
        ("SIZE", Sort::Size),
        ("MODEL", Sort::Name),
    ] {
        mouse(&mut app, SMALL, CLICK, heading);
        assert_eq!(app.sort, sort, "{heading}");
    }
    mouse(&mut app, SMALL, CLICK, "TO VRAM");
    assert!(app.sort == Sort::Name && app.notice.as_deref().unwrap().contains("list, name or size"));
}

#[test]
fn a_click_on_a_key_of_the_footer_presses_it_and_nothing_else_moves_a_model() {
    let mut app = app(usual());
    mouse(&mut app, SMALL, CLICK, "llama3.1:8b");
    let pressed = mouse(&mut app, SMALL, CLICK, "l load");
    assert_eq!(pressed, Some(Effect::Act(ActKind::Load, name("llama3.1:8b"))));
    mouse(&mut app, SMALL, CLICK, "? help");
    assert!(matches!(app.layer, Layer::Help(_)));
    mouse(&mut app, SMALL, CLICK, "close");
    assert!(matches!(app.layer, Layer::None));
    // Whatever lies above the footer, at every place of the screen.
    for (width, height) in [SMALL, WIDE] {
        for y in 0..height - 1 {
            for x in 0..width {
                let event = MouseEvent { kind: CLICK, column: x, row: y, modifiers: KeyModifiers::NONE };
                assert_eq!(app.mouse(event, Rect::new(0, 0, width, height), now()), None, "{x} {y}");
            }
        }
    }
}

#[test]
fn while_a_question_is_open_only_its_keys_can_be_clicked() {
    let mut app = app(usual());
    press(&mut app, "j x");
    assert!(matches!(app.layer, Layer::Ask(_)));
    mouse(&mut app, SMALL, CLICK, "mistral:7b");
    assert_eq!(selected(&app), "qwen2.5-coder:7b");
    mouse(&mut app, SMALL, CLICK, "n no");
    assert!(matches!(app.layer, Layer::None));
}

#[test]
fn the_wheel_scrolls_the_panel_that_it_is_over() {
    let mut app = app(usual());
    mouse(&mut app, WIDE, MouseEventKind::ScrollDown, "llama3.1:8b");
    assert_eq!(selected(&app), "qwen2.5-coder:7b");
    mouse(&mut app, WIDE, MouseEventKind::ScrollUp, "llama3.1:8b");
    assert_eq!(selected(&app), "openthinker3-7b:latest");
    mouse(&mut app, WIDE, MouseEventKind::ScrollDown, "Q4_K_M");
    assert_eq!((app.details_down, app.panel), (3, Panel::Models));
    mouse(&mut app, WIDE, MouseEventKind::ScrollUp, "12:03:03");
    assert_eq!(app.events_back, 3);
    assert!(picture(&app, 160, 50).contains("3 newer below"));
    press(&mut app, "esc");
    assert_eq!(app.events_back, 0);
    press(&mut app, "?");
    mouse(&mut app, SMALL, MouseEventKind::ScrollDown, "main screen");
    assert!(matches!(app.layer, Layer::Help(1)));
}

#[test]
fn a_click_on_a_server_looks_at_it() {
    let mut app = app(usual());
    app.fleet = fleet(0);
    let far = app.fleet.servers[2].name.clone();
    assert_eq!(mouse(&mut app, WIDE, CLICK, &far), Some(Effect::Server(2)));
    let here = app.fleet.servers[0].name.clone();
    assert_eq!(mouse(&mut app, WIDE, CLICK, &here), None);
}

#[test]
fn a_key_leaves_the_mouse_to_the_terminal_and_takes_it_again() {
    let mut app = app(usual());
    assert_eq!(press(&mut app, "m"), Some(Effect::Mouse(false)));
    assert!(app.notice.as_deref().unwrap().ends_with("m takes it"));
    assert_eq!(press(&mut app, "m"), Some(Effect::Mouse(true)));
}
