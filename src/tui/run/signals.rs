//! The signals that end, stop or continue the screen.

use std::io;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::tui::terminal::give_back;

/// How long after the terminal's end all else may take to end: a command has three seconds before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Each as it arrives.
pub(super) struct Signals {
    term: Arrivals,
    int: Arrivals,
    quit: Arrivals,
    stop: Arrivals,
    cont: Arrivals,
    hung_up: CancellationToken,
    hangup: tokio::task::JoinHandle<()>,
}

impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        let of = |number: Signal| signal(SignalKind::from_raw(number.as_raw()));
        let mut hup = of(Signal::HUP)?;
        let hung_up = CancellationToken::new();
        let tell = hung_up.clone();
        // On a task of its own: the loop may be writing to a terminal that takes nothing any more.
        let hangup = tokio::spawn(async move {
            if hup.recv().await.is_some() {
                give_back();
                tell.cancel();
                // A workflow's command is ended meanwhile, and what a measurement found is put back.
                tokio::time::sleep(PATIENCE).await;
                std::process::exit(129);
            }
        });
        Ok(Signals {
            term: of(Signal::TERM)?,
            int: of(Signal::INT)?,
            quit: of(Signal::QUIT)?,
            stop: of(Signal::TSTP)?,
            cont: of(Signal::CONT)?,
            hung_up,
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
            () = self.hung_up.cancelled() => Signal::HUP,
        }
    }

    /// Waits for one that ends us; the terminal's end was one already.
    pub(super) async fn end_us(&mut self) {
        while matches!(self.next().await, Signal::TSTP | Signal::CONT | Signal::HUP) {
            if self.has_hung_up() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether the terminal has ended.
    pub(super) fn has_hung_up(&self) -> bool {
        self.hung_up.is_cancelled()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.hangup.abort();
    }
}
