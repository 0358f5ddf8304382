//! The columns that are chosen, and all that is remembered of how the screen was set.

use crate::config::{self, Base};
use crate::tui::app::{Layer, Sort};
use crate::tui::fixture::{app, picture, press, usual};
use crate::tui::looks::Looks;
use crate::tui::theme::{Depth, Wardrobe};

#[test]
fn a_page_shows_and_hides_columns_and_says_which_have_no_room() {
    let mut app = app(usual());
    press(&mut app, "v");
    let page = picture(&app, 80, 24);
    assert!(page.contains("[x] SIZE") && page.contains("[x] QUANT       no room now"), "{page}");
    assert!(page.lines().last().unwrap().contains("space show or hide"), "{page}");
    press(&mut app, "space");
    assert!(picture(&app, 80, 24).contains("[ ] SIZE"));
    press(&mut app, "j j j j j j enter esc");
    assert!(matches!(app.layer, Layer::None));
    let table = picture(&app, 80, 24);
    assert!(!table.contains("SIZE") && !table.contains("FITS") && table.contains("TO VRAM"), "{table}");
    press(&mut app, "v space esc");
    assert!(picture(&app, 80, 24).contains("SIZE"));
}

#[test]
fn what_was_chosen_comes_back_at_the_next_start() {
    let mut before = app(usual());
    press(&mut before, "o o T T v space esc / l l a enter");
    let text = serde_json::to_string(&before.looks()).unwrap();
    let mut then = app(usual());
    then.wear(&serde_json::from_str::<Looks>(&text).unwrap());
    assert_eq!((then.sort, then.filter.as_str(), then.hidden.len()), (Sort::Size, "lla", 1));
    assert_eq!(then.settings.theme, before.settings.theme);
    assert_eq!(then.looks(), before.looks());
    let shown = picture(&then, 80, 24);
    assert!(shown.contains("MODEL /lla") && !shown.contains("mistral"), "{shown}");
}

#[test]
fn what_is_not_known_or_hostile_in_it_is_passed_over() {
    let mut app = app(usual());
    let plain = app.looks();
    let text = r#"{"theme": "neon", "instead_of": "dark", "sort": "by moon", "hidden": ["name", "x"],
                   "filter": "\u001b[2J"}"#;
    app.wear(&serde_json::from_str(text).unwrap());
    assert_eq!(app.looks(), plain);
}

#[test]
fn a_theme_that_the_config_was_changed_to_since_wins() {
    let mut before = app(usual());
    press(&mut before, "T");
    let mut then = app(usual());
    then.settings.wardrobe =
        Wardrobe::new(config::Theme { base: Base::Safe, ..config::Theme::default() }, Depth::Sixteen);
    then.wear(&before.looks());
    assert_eq!(then.settings.wardrobe.name(), "safe");
}
