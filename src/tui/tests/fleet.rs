//! Several servers: the row of their names, the keys that change over, and what is asked before leaving.

use super::super::app::{Effect, Layer};
use super::super::fixture::*;
use super::super::fleet::{Fleet, Health, Tab};

fn tab(name: &str, health: Health, loaded: usize) -> Tab {
    Tab { name: name.to_owned(), health, loaded, busy: false }
}

pub(super) fn fleet(at: usize) -> Fleet {
    let servers = vec![tab("box", Health::Up, 2), tab("old", Health::Down, 0), tab("far", Health::Slow, 0)];
    Fleet { servers, at }
}

#[test]
fn several_servers_stand_in_a_row_and_one_alone_takes_no_room() {
    let mut app = app(usual());
    assert!(!picture(&app, 80, 24).contains("server"));
    app.fleet = fleet(1);
    let shown = picture(&app, 80, 24);
    let row = shown.lines().nth(1).unwrap();
    assert!(row.starts_with(" ● box 2   ○ old   ◐ far"), "{row}");
    assert!(row.trim_end().ends_with("[ ] server"), "{row}");
}

#[test]
fn of_more_servers_than_there_is_room_for_the_one_that_is_looked_at_is_shown() {
    let mut app = app(usual());
    let servers: Vec<Tab> = (0..20).map(|n| tab(&format!("server-{n}"), Health::Up, 1)).collect();
    for at in 0..20 {
        app.fleet = Fleet { servers: servers.clone(), at };
        for width in [40, 80, 160] {
            let shown = picture(&app, width, 24);
            let row = shown.lines().nth(1).unwrap();
            assert!(row.contains(&format!("server-{at} 1")), "{at} {width}: {row}");
        }
    }
}

#[test]
fn the_keys_go_round_and_with_one_server_say_how_to_have_more() {
    let mut app = app(usual());
    assert!(press(&mut app, "]").is_none());
    assert!(app.notice.as_deref().unwrap().contains("servers:"));
    for (at, keys, to) in [(0, "]", 1), (2, "]", 0), (0, "[", 2), (2, "[", 1)] {
        app.fleet = fleet(at);
        assert_eq!(press(&mut app, keys), Some(Effect::Server(to)), "{at} {keys}");
    }
}

#[test]
fn leaving_asks_where_something_of_ours_runs_at_another_server() {
    let mut app = app(usual());
    app.fleet = fleet(0);
    assert!(matches!(press(&mut app, "q"), Some(Effect::Leave(_))));
    app.fleet.servers[2].busy = true;
    assert!(press(&mut app, "q").is_none());
    assert!(matches!(&app.layer, Layer::Ask(ask) if ask.question.contains("runs at far")));
    assert!(matches!(press(&mut app, "q"), Some(Effect::Leave(_))));
}
