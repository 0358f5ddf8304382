//! The real program on a terminal while a workflow runs whose step is a command.

use std::time::Duration;

use resident::engine::clock;
use resident::sim::{self, Sim};

use crate::terminal_pty::{Home, Pty};

const MODEL: &str = "qwen2.5-coder:7b";

const ENTER: &str = "\r";

/// A dashboard, and on it a workflow with one step that runs this script.
async fn running(script: &str) -> (Sim, Home, Pty) {
    let options = sim::Options::for_tests(1024, Duration::ZERO, clock::system());
    let sim = sim::start(options).await.unwrap();
    let home = Home::new(&sim.url());
    let config = format!(
        "phases:\n  verification: {MODEL}\n\
         workflows:\n  checks:\n    - {{phase: verification, command: [sh, -c, {script:?}]}}\n"
    );
    home.write(&home.config(), &config);
    let mut pty = home.resident(&[]);
    pty.shows(MODEL);
    pty.press("f");
    pty.shows("checks   1 model");
    pty.press(ENTER);
    pty.shows("n skip");
    (sim, home, pty)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cancels_everything_ends_a_workflow_too() {
    let (sim, _home, mut pty) = running("sleep 1000").await;
    pty.press("C");
    pty.shows("checks   cancelled");
    // Nothing of it is left: it is put away, and nobody is asked at the end.
    pty.press("q");
    pty.ends(0);
    pty.assert_given_back();
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_command_says_is_shown_while_it_runs() {
    let (sim, _home, mut pty) = running("echo compiling; echo test one of two; sleep 1000").await;
    pty.shows("verification  compiling");
    pty.shows("test one of two");
    pty.press("C");
    pty.shows("checks   cancelled");
    pty.press("q");
    pty.ends(0);
    sim.shutdown().await;
}
