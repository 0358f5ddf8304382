//! Words of states, glyphs and colours: nothing is said by colour alone.

use ratatui::style::{Color, Modifier};

use crate::residency::snapshot::{Reach, State};
use crate::tui::fixture::{app, drawn, now, picture, press, running, usual};
use crate::tui::theme::{self, Depth};

#[test]
fn every_state_has_its_word() {
    let at = |columns: u16, state: State| {
        let mut snapshot = usual();
        snapshot.servers[0].models[0].state = state;
        let shown = picture(&app(snapshot), columns, 24);
        let heading = shown.lines().nth(4).unwrap();
        let column = |head: &str| heading[..heading.find(head).unwrap()].chars().count();
        let (from, to) = (column("STATE"), column("FITS"));
        let state: String = shown.lines().nth(5).unwrap().chars().skip(from).take(to - from).collect();
        state.trim().to_owned()
    };
    let words = |state| at(90, state);
    let ram = |percent, estimate| words(State::InRam { percent, estimate });
    assert_eq!(at(80, State::InRam { percent: 100, estimate: true }), "RAM ~100%");
    assert_eq!(
        [ram(62, false), ram(62, true), ram(100, true)],
        ["in RAM 62%", "in RAM ~62%", "in RAM ~100%"]
    );
    let states = [
        State::OnDisk,
        State::NotLoaded,
        State::Loading { since: crate::tui::fixture::after(-7), ours: false },
        State::Idle,
        State::Busy,
        State::BusyOrUnloading,
        State::Unloading,
        State::Overdue,
        State::Ghost,
        State::NotHere,
        State::Cloud,
    ];
    assert_eq!(
        states.map(words),
        [
            "on disk",
            "not loaded",
            "loading 5 s",
            "idle",
            "busy",
            "busy/leaving",
            "unloading",
            "overdue",
            "ghost",
            "not here",
            "cloud"
        ]
    );
}

#[test]
fn tiers_differ_by_glyph_and_colour_and_the_selection_by_a_mark_and_weight() {
    let buffer = drawn(&app(usual()), 80, 24, now());
    let row =
        |y: u16, glyph: &str| (0..80).map(|x| &buffer[(x, y)]).find(|cell| cell.symbol() == glyph).cloned();
    let colour = |y, glyph| row(y, glyph).map(|cell| (cell.fg, cell.modifier));
    assert_eq!(colour(5, "▒"), Some((Color::Cyan, Modifier::empty())));
    assert_eq!(colour(6, "█"), Some((Color::Green, Modifier::empty())));
    assert_eq!(colour(8, "░"), Some((Color::Reset, Modifier::DIM)));
    assert_eq!(colour(5, "▸"), Some((Color::Magenta, Modifier::BOLD)));
    assert_eq!(buffer[(3, 5)].modifier, Modifier::BOLD);
    assert_eq!(buffer[(3, 6)].modifier, Modifier::empty());
}

#[test]
fn without_colour_nothing_is_coloured() {
    let mut app = app(usual());
    app.settings.theme = theme::choose(&crate::config::Theme::default(), Depth::None);
    assert!(
        drawn(&app, 160, 50, now())
            .content
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
}

#[test]
fn ascii_means_ascii() {
    let mut snapshot = usual();
    snapshot.acts = vec![running(crate::residency::act::ActKind::Swap, "llama3.1:8b", 1)];
    snapshot.servers[0].reach = Reach::Slow { since: now() };
    for keys in ["g", "tab", "?", "esc K", "v", "z", "space", "T", "y", "i"] {
        let mut app = app(snapshot.clone());
        app.fleet = super::fleet::fleet(2);
        app.settings.ascii = true;
        press(&mut app, keys);
        for (width, height) in [(30, 8), (80, 24), (160, 50)] {
            let shown = picture(&app, width, height);
            assert!(shown.is_ascii(), "{keys}\n{shown}");
        }
    }
}
