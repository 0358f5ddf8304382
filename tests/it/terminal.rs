//! The real program on a terminal: every way out gives the terminal back, and keys answer whatever the server does.

use std::time::Duration;

use resident::engine::clock;
use resident::sim::{self, Sim};
use rustix::process::Signal;
use tokio::net::{TcpListener, TcpSocket};

use crate::terminal_pty::{Home, PROGRAM};

/// A model of the embedded server, as the table shows it once the server has answered.
const MODEL: &str = "qwen2.5-coder:7b";

const CTRL_C: &str = "\u{3}";
const CTRL_Z: &str = "\u{1a}";
const ENTER: &str = "\r";
const ESCAPE: &str = "\u{1b}";

/// The embedded server, whose loads take this long.
async fn server(load: Duration) -> Sim {
    sim::start(sim::Options::for_tests(1024, load, clock::system())).await.unwrap()
}

/// An address where nobody listens, and nobody else can as long as the socket is held.
fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).rposition(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_way_out_gives_the_terminal_back() {
    let sim = server(Duration::ZERO).await;
    let home = Home::new(&sim.url());
    let ways = [
        ("q", None, 0),
        (CTRL_C, None, 0),
        ("", Some(Signal::TERM), 143),
        ("", Some(Signal::INT), 130),
        ("", Some(Signal::HUP), 129),
        ("", Some(Signal::QUIT), 131),
    ];
    for (keys, signal, code) in ways {
        let mut pty = home.resident(&[]);
        pty.shows(MODEL);
        pty.assert_taken();
        pty.press(keys);
        if let Some(signal) = signal {
            pty.signal(signal);
        }
        pty.ends(code);
        pty.assert_given_back();
        let (taken, left) = (position(pty.raw(), b"\x1b[?1049h"), position(pty.raw(), b"\x1b[?1049l"));
        assert!(taken.is_some() && taken < left, "{keys:?} {signal:?}: {taken:?} {left:?}");
        assert_eq!(pty.text(), "", "{keys:?} {signal:?}: nothing is left on the shell's screen");
    }
    sim.shutdown().await;
}

#[test]
fn every_way_out_works_before_any_server_answers() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    for (keys, signal, code) in [("q", None, 0), ("", Some(Signal::TERM), 143)] {
        let mut pty = home.resident(&[]);
        pty.shows("no server answers");
        pty.press(keys);
        if let Some(signal) = signal {
            pty.signal(signal);
        }
        pty.ends(code);
        pty.assert_given_back();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_ends_with_its_terminal() {
    let sim = server(Duration::ZERO).await;
    let mut pty = Home::new(&sim.url()).resident(&[]);
    pty.shows(MODEL);
    let status = pty.close("?");
    // The hang-up's own code, or, where the keys' end was seen first, a failure that says so to nobody.
    assert!(status.signal().is_none() && [1, 129].contains(&status.exit_code()), "{status:?}");
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stop_gives_the_terminal_back_and_going_on_takes_it_again() {
    let sim = server(Duration::ZERO).await;
    let mut pty = Home::new(&sim.url()).resident(&[]);
    pty.shows(MODEL);
    for by_key in [true, false] {
        if by_key {
            pty.press(CTRL_Z);
        } else {
            pty.signal(Signal::TSTP);
        }
        pty.stops();
        pty.assert_given_back();
        assert_eq!(pty.text(), "");
        pty.signal(Signal::CONT);
        pty.shows(MODEL);
        pty.assert_taken();
        pty.press("?");
        pty.shows("main screen");
        pty.press(ESCAPE);
        pty.shows_no("main screen");
    }
    // Typed while it was stopped, and read before anything else is.
    pty.press(CTRL_Z);
    pty.stops();
    pty.press("q");
    pty.signal(Signal::CONT);
    pty.ends(0);
    pty.assert_given_back();
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_size_is_drawn_afresh() {
    let sim = server(Duration::ZERO).await;
    let mut pty = Home::new(&sim.url()).resident(&[]);
    pty.shows(MODEL);
    pty.resize(20, 5);
    pty.shows_no(MODEL);
    pty.resize(120, 40);
    pty.shows(MODEL);
    pty.shows("help");
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn leaving_during_a_load_asks_once() {
    let sim = server(Duration::from_secs(3600)).await;
    let mut pty = Home::new(&sim.url()).resident(&[]);
    pty.shows(MODEL);
    pty.press("l");
    pty.shows("loading");
    pty.press("q");
    pty.shows("leaving aborts it");
    pty.press("n");
    pty.shows_no("leaving aborts it");
    pty.press(CTRL_C);
    pty.shows("leaving aborts it");
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_answer_while_the_server_hangs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new(&listener.local_addr().unwrap().to_string());
    let mut pty = home.resident(&[]);
    // Accepted and never answered: from here on a request is under way.
    let hanging = listener.accept().await.unwrap();
    pty.press("?");
    pty.shows("main screen");
    pty.press(ESCAPE);
    pty.shows_no("main screen");
    pty.shows("asking http://");
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    drop(hanging);
}

#[test]
fn without_a_server_the_demo_is_offered_with_its_place_and_its_size() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    let mut pty = home.resident(&[]);
    pty.shows("no server answers at");
    let place = home.cache().to_str().unwrap().to_owned();
    pty.shows(&place);
    pty.shows("GB in ");
    pty.press("d");
    pty.shows("start the demo? it writes");
    pty.shows("resident demo --clean");
    assert_eq!(pty.text().matches(&place).count(), 2, "offered and asked:\n{}", pty.text());
    pty.press("n");
    pty.shows_no("start the demo?");
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    assert!(!home.cache().exists(), "nothing is written before a yes");
}

#[test]
fn the_demo_says_that_it_is_one_and_leaves_like_all_else() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    let mut pty = home.resident(&["--demo", "--demo-scale", "1024"]);
    pty.shows("DEMO 1:1024");
    pty.shows(MODEL);
    pty.assert_taken();
    pty.signal(Signal::TERM);
    pty.ends(143);
    pty.assert_given_back();
}

#[test]
fn a_workflow_of_the_demo_is_chosen_and_its_panel_opens_beside_the_table() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    let mut pty = home.resident(&["--demo", "--demo-scale", "1024"]);
    pty.shows(MODEL);
    pty.press("f");
    pty.shows("react-dashboard   2 models");
    pty.press(ENTER);
    pty.shows("react-dashboard   ");
    pty.shows("lookahead");
    pty.shows(MODEL);
    pty.signal(Signal::TERM);
    pty.ends(143);
    pty.assert_given_back();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_signal_during_a_bench_waits_until_what_was_loaded_is_back() {
    let sim = server(Duration::from_millis(50)).await;
    let home = Home::new(&sim.url());
    let mut pty = home.resident(&[]);
    pty.shows(MODEL);
    pty.press("l");
    pty.shows("loaded in");
    pty.press("p");
    pty.shows("unpin");
    pty.press("b");
    pty.shows("go on?");
    pty.press("y");
    pty.shows("of 6 runs");
    pty.signal(Signal::TERM);
    pty.ends(143);
    pty.assert_given_back();
    let mut after = home.resident(&[]);
    after.shows("pinned");
    after.press("q");
    after.ends(0);
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proposed_config_is_shown_and_written_on_enter() {
    let sim = server(Duration::ZERO).await;
    let home = Home::new(&sim.url());
    let mut pty = home.resident(&[]);
    pty.shows(MODEL);
    pty.press("I");
    pty.shows("proposed for");
    pty.shows("preload:");
    assert!(!home.config().exists());
    pty.press(ENTER);
    pty.shows("wrote");
    pty.shows(MODEL);
    let written = std::fs::read_to_string(home.config()).unwrap();
    assert!(written.contains(MODEL), "{written}");
    // The next start finds the same server.
    assert!(written.contains(&format!("host: \"{}\"", sim.url())), "{written}");
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    let mut pty = home.resident(&["config", "--check"]);
    pty.ends(0);
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_config_that_is_there_is_never_overwritten() {
    const MINE: &str = "ollama:\n  keep_alive: 7m\n";
    let sim = server(Duration::ZERO).await;
    for appears_late in [false, true] {
        let home = Home::new(&sim.url());
        if !appears_late {
            home.write(&home.config(), MINE);
        }
        let mut pty = home.resident(&[]);
        pty.shows(MODEL);
        pty.press("I");
        pty.shows("preload:");
        if appears_late {
            home.write(&home.config(), MINE);
            pty.press(ENTER);
            pty.shows("stays as it");
        } else {
            pty.press(ENTER);
            // Keys are taken one after the other: when the page is closed, the one before had its effect. An escape
            // that something follows at once would be read as Alt with it, so its effect is waited for.
            pty.press(ESCAPE);
            pty.shows_no("preload:");
        }
        pty.press("q");
        pty.ends(0);
        pty.assert_given_back();
        assert_eq!(std::fs::read_to_string(home.config()).unwrap(), MINE, "appears late: {appears_late}");
    }
    sim.shutdown().await;
}

#[test]
fn a_bad_config_is_told_whole_and_the_screen_is_never_taken() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    home.write(&home.config(), "ollama:\n  keep_alife: 60m\nui:\n  refresh: [1]\n");
    let mut pty = home.resident(&[]);
    pty.ends(2);
    for part in ["keep_alife", "keep_alive", "refresh", "config.yaml:2", "config.yaml:4"] {
        assert!(pty.text().contains(part), "{part}:\n{}", pty.text());
    }
    assert!(!pty.raw().contains(&0x1b), "{}", String::from_utf8_lossy(pty.raw()));
    pty.assert_given_back();
}

#[test]
fn into_a_pipe_it_names_the_headless_command_and_writes_no_escape_codes() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    let script =
        "exec 3>&1; { \"$0\"; echo \"ended with $?\" >&3; } | cat; echo | \"$0\"; echo \"and with $?\"";
    let mut pty = home.start("/bin/sh", &["-c", script, PROGRAM]);
    pty.ends(0);
    let text = pty.text().replace('\n', " ");
    for part in
        ["stdout is no terminal", "stdin is no terminal", "resident status", "ended with 2", "and with 2"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!pty.raw().contains(&0x1b), "{text}");
    pty.assert_given_back();
}

#[test]
fn keys_typed_before_the_first_frame_are_forgotten() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    let script = "echo waiting; until [ -e go ]; do sleep 0.02; done; exec \"$0\"";
    let mut pty = home.start("/bin/sh", &["-c", script, PROGRAM]);
    pty.shows("waiting");
    pty.press("qqq");
    pty.shows("qqq");
    home.write(&home.here().join("go"), "");
    pty.shows("no server answers");
    // Keys are taken in order: had the first been kept, there would be nobody to show this.
    pty.press("?");
    pty.shows("main screen");
    pty.press("q");
    pty.press(CTRL_C);
    pty.ends(0);
    pty.assert_given_back();
}

#[test]
fn a_terminal_without_a_screen_is_refused_with_the_headless_command() {
    let (_held, nobody) = nobody();
    let home = Home::new(&nobody);
    for term in ["TERM=dumb", "TERM=", "-u TERM"] {
        let script = format!("exec env {term} \"$0\"");
        let mut pty = home.start("/bin/sh", &["-c", &script, PROGRAM]);
        pty.ends(2);
        assert!(pty.text().replace('\n', " ").contains("resident status"), "{term}: {}", pty.text());
        assert!(!pty.raw().contains(&0x1b), "{term}: {}", pty.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_changes_over_to_another_server_though_a_third_one_hangs() {
    let (one, two) = (server(Duration::ZERO).await, server(Duration::ZERO).await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new(&one.url());
    let listed = [("one", one.url()), ("two", two.url()), ("mute", silent.local_addr().unwrap().to_string())];
    let servers = listed.map(|(name, url)| format!("  - {{name: {name}, url: \"{url}\"}}")).join("\n");
    let config = home.config().with_file_name("servers.yaml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, format!("servers:\n{servers}")).unwrap();
    let mut pty = home.resident(&["--config", config.to_str().unwrap()]);
    pty.shows(MODEL);
    pty.press("l");
    pty.shows("loaded in");
    pty.shows("● one 1");
    pty.press("]");
    pty.shows_no("loaded in");
    pty.shows("● two");
    pty.press("]");
    pty.shows("connecting");
    pty.press("[");
    pty.shows(MODEL);
    pty.press("[");
    pty.shows("loaded in");
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    let mut named = home.resident(&["--config", config.to_str().unwrap(), "--server", "two", "status"]);
    named.shows(&two.url().replace("http://", ""));
    named.ends(0);
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_mouse_is_given_back_by_a_key_by_a_stop_and_at_the_end_and_is_never_taken_where_the_config_says_so()
 {
    let sim = server(Duration::ZERO).await;
    let home = Home::new(&sim.url());
    let mut pty = home.resident(&[]);
    pty.shows(MODEL);
    assert!(pty.has_mouse());
    // A click on the row of the header selects nothing; a key still answers.
    pty.press("\u{1b}[<0;5;1M\u{1b}[<0;5;1m");
    pty.press("m");
    pty.shows("the mouse is the terminal's");
    assert!(!pty.has_mouse());
    pty.press(CTRL_Z);
    pty.stops();
    pty.assert_given_back();
    pty.signal(Signal::CONT);
    pty.shows(MODEL);
    assert!(!pty.has_mouse(), "what was switched off stays off");
    pty.press("m");
    pty.shows("the mouse selects");
    assert!(pty.has_mouse());
    pty.press(CTRL_Z);
    pty.stops();
    pty.assert_given_back();
    pty.signal(Signal::CONT);
    pty.shows(MODEL);
    assert!(pty.has_mouse());
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    home.write(&home.config(), "ui: {mouse: false}\n");
    let mut pty = home.resident(&["--host", &sim.url()]);
    pty.shows(MODEL);
    pty.press("q");
    pty.ends(0);
    assert_eq!(position(pty.raw(), b"\x1b[?1000h"), None);
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn how_the_table_was_sorted_and_filtered_is_remembered() {
    let sim = server(Duration::ZERO).await;
    let home = Home::new(&sim.url());
    let mut pty = home.resident(&[]);
    pty.shows(MODEL);
    pty.press("o");
    pty.shows("MODEL by name");
    pty.press("T");
    pty.shows("theme light");
    pty.press("q");
    pty.ends(0);
    let mut pty = home.resident(&[]);
    pty.shows("MODEL by name");
    pty.press("T");
    pty.shows("theme high-contrast");
    pty.press("/qwen\r");
    pty.shows("MODEL /qwen");
    // Left at once, before a frame is drawn.
    pty.press("q");
    pty.ends(0);
    let mut pty = home.resident(&[]);
    pty.shows("MODEL /qwen");
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    sim.shutdown().await;
}
