//! The signals that end, stop or continue the screen.

use std::io;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

use crate::tui::terminal::give_back;

/// How long what runs may take to end once the terminal is gone; a command that stays is killed after three seconds.
const HANGUP: Duration = Duration::from_secs(5);

/// Each as it arrives.
pub(super) struct Signals {
    term: Arrivals,
    int: Arrivals,
    quit: Arrivals,
    stop: Arrivals,
    cont: Arrivals,
    hup: Arrivals,
    hangup: tokio::task::JoinHandle<()>,
}

impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        let of = |number: Signal| signal(SignalKind::from_raw(number.as_raw()));
        let mut hup = of(Signal::HUP)?;
        // The loop ends by itself. On a task of its own: it may be writing to a terminal that takes nothing any more.
        let hangup = tokio::spawn(async move {
            if hup.recv().await.is_some() {
                tokio::time::sleep(HANGUP).await;
                give_back();
                std::process::exit(129);
            }
        });
        Ok(Signals {
            term: of(Signal::TERM)?,
            int: of(Signal::INT)?,
            quit: of(Signal::QUIT)?,
            stop: of(Signal::TSTP)?,
            cont: of(Signal::CONT)?,
            hup: of(Signal::HUP)?,
            hangup,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::TERM,
            _ = self.int.recv() => Signal::INT,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.stop.recv() => Signal::TSTP,
            _ = self.cont.recv() => Signal::CONT,
            _ = self.hup.recv() => Signal::HUP,
        }
    }

    /// Waits for one that ends us at once: a terminal that closes says so twice, as an error and as a signal.
    pub(super) async fn end_us(&mut self) {
        while matches!(self.next().await, Signal::TSTP | Signal::CONT | Signal::HUP) {}
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.hangup.abort();
    }
}
