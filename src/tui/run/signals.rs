//! The signals that end, stop or continue the screen.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

use crate::tui::terminal::give_back;

/// Each as it arrives.
pub(super) struct Signals {
    term: Arrivals,
    int: Arrivals,
    quit: Arrivals,
    stop: Arrivals,
    cont: Arrivals,
    hangup: tokio::task::JoinHandle<()>,
}

impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        let of = |number: Signal| signal(SignalKind::from_raw(number.as_raw()));
        let mut hup = of(Signal::HUP)?;
        // On a task of its own: the loop may be writing to a terminal that takes nothing any more.
        let hangup = tokio::spawn(async move {
            if hup.recv().await.is_some() {
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
        }
    }

    /// Waits for one that ends us.
    pub(super) async fn end_us(&mut self) {
        while matches!(self.next().await, Signal::TSTP | Signal::CONT) {}
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.hangup.abort();
    }
}
