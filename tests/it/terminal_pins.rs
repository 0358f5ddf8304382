//! The real program on a terminal: what becomes of pins as it ends, by key and by signal.

use std::time::Duration;

use resident::engine::clock;
use resident::sim::{self, Sim};
use rustix::process::Signal;

use crate::sim_http::exchange;
use crate::terminal_pty::{Home, Pty};

const MODEL: &str = "qwen2.5-coder:7b";

/// A dashboard with that word for `pins.on_exit`, once it enforces the pin of a model.
async fn pinned(on_exit: &str) -> (Sim, Home, Pty) {
    let options = sim::Options::for_tests(1024, Duration::ZERO, clock::system());
    let sim = sim::start(options).await.unwrap();
    let home = Home::new(&sim.url());
    home.write(&home.config(), &format!("pins:\n  on_exit: {on_exit}\n"));
    let mut pty = home.resident(&[]);
    pty.shows(MODEL);
    // The models stand by name: its row is the last one.
    pty.press("Gl");
    pty.shows("here");
    pty.press("p");
    pty.shows("auto: pins");
    pty.shows("p unpin");
    (sim, home, pty)
}

/// Whether the server keeps a model for ever.
async fn keeps_one(sim: &Sim) -> bool {
    let listed = exchange(sim, "GET", "/api/ps", &[], None).await.json();
    let expires = listed["models"][0]["expires_at"].as_str().unwrap().to_owned();
    expires[..4].parse::<u32>().unwrap() > 2100
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pins_that_are_released_on_exit_are_let_go_by_every_way_out_and_that_is_told() {
    for (key, signal, code) in [("q", None, 0), ("", Some(Signal::TERM), 143), ("", Some(Signal::HUP), 129)] {
        let (sim, _home, mut pty) = pinned("release").await;
        assert!(keeps_one(&sim).await);
        pty.press(key);
        if let Some(signal) = signal {
            pty.signal(signal);
        }
        pty.ends(code);
        pty.assert_given_back();
        assert_eq!(pty.text().trim(), format!("released: {MODEL}"), "{signal:?}");
        assert!(!keeps_one(&sim).await, "{signal:?}");
        sim.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pins_that_are_kept_stay_and_the_next_dashboard_enforces_them() {
    let (sim, home, mut pty) = pinned("keep").await;
    pty.press("q");
    pty.ends(0);
    assert_eq!(pty.text().trim(), format!("{MODEL} stays pinned"));
    assert!(keeps_one(&sim).await);
    let mut next = home.resident(&[]);
    next.shows("auto: pins");
    next.press("q");
    next.ends(0);
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn with_hands_off_nothing_is_released() {
    let (sim, _home, mut pty) = pinned("release").await;
    pty.press("H");
    pty.shows("auto off (H)");
    pty.press("q");
    pty.ends(0);
    assert_eq!(pty.text().trim(), format!("{MODEL} stays pinned"));
    assert!(keeps_one(&sim).await);
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dashboard_that_may_not_act_does_not_keep_another_from_it() {
    let options = sim::Options::for_tests(1024, Duration::ZERO, clock::system());
    let sim = sim::start(options).await.unwrap();
    let home = Home::new(&sim.url());
    home.write(&home.config(), &format!("pins:\n  models: [\"{MODEL}\"]\n"));
    let mut idle = home.resident(&["--read-only"]);
    idle.shows("read-only, auto off");
    let mut first = home.resident(&[]);
    first.shows("auto: pins");
    idle.shows("keeper: pid ");
    let mut second = home.resident(&[]);
    second.shows("keeper: pid ");
    first.press("H");
    first.shows("auto off (H)");
    second.shows("auto: pins");
    second.signal(Signal::KILL);
    first.press("H");
    first.shows("auto: pins");
    for pty in [&mut first, &mut idle] {
        pty.press("q");
        pty.ends(0);
    }
    sim.shutdown().await;
}
