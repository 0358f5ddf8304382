//! The terminal: taken whole, drawn on only where the picture changed, and given back whatever happens.
//!
//! No cursor position is ever asked for: the answer would race with the reader of keys, and a detached terminal never
//! gives one. So there is no `ratatui::Terminal` here, only its backend and two buffers that are compared.

use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
};
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::config::Notify;
use crate::residency::text::printable;

/// Whether the terminal is ours now. The panic hook and the hang-up task must give it back from any thread.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Asks for clicks and the wheel, in the form that has no widest screen; not for each move of the mouse, as crossterm
/// would.
const CLICKS: &str = "\x1b[?1000h\x1b[?1006h";

/// A change of more cells than this is wrapped, so that a terminal that knows how shows it at once.
const ONE_GO: usize = 100;

/// Whether the screen can be shown at all, and what to do where it cannot.
pub fn can_run() -> Result<(), &'static str> {
    if !io::stdin().is_terminal() {
        return Err("stdin is no terminal; `resident status` prints the same without a screen");
    }
    if !io::stdout().is_terminal() {
        return Err("stdout is no terminal; `resident status` prints the same without a screen");
    }
    if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        return Err("TERM names no terminal with a screen; `resident status` prints the same without one");
    }
    Ok(())
}

/// The taken terminal; dropping it gives it back.
pub(crate) struct Screen {
    backend: CrosstermBackend<Tty>,
    /// What the terminal shows.
    shown: Buffer,
    next: Buffer,
    /// Nothing of what the terminal shows is known: draw all of it.
    afresh: bool,
    /// Clicks and the wheel are told to us; else the terminal selects text with them.
    mouse: bool,
}

impl Screen {
    /// Takes the terminal; on failure all is undone. What was typed before is forgotten: nobody saw what it would act
    /// on.
    pub(crate) fn take(mouse: bool) -> io::Result<Screen> {
        give_back_on_panic();
        // Whatever fails from here on, dropping `screen` undoes all.
        let mut screen = Screen {
            backend: CrosstermBackend::new(Tty { pending: Vec::new() }),
            shown: Buffer::default(),
            next: Buffer::default(),
            afresh: true,
            mouse,
        };
        screen.take_again()?;
        rustix::termios::tcflush(rustix::stdio::stdin(), rustix::termios::QueueSelector::IFlush)?;
        Ok(screen)
    }

    /// Takes the terminal again after it was given back; nothing is known of what it shows.
    pub(crate) fn take_again(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        self.afresh = true;
        queue!(self.backend, EnterAlternateScreen, EnableBracketedPaste, Hide)?;
        if self.mouse {
            queue!(self.backend, Print(CLICKS))?;
        }
        Write::flush(&mut self.backend)
    }

    /// Draws a picture: only the cells that changed are written, and nothing at all if none did; says whether any were.
    pub(crate) fn draw(&mut self, paint: impl FnOnce(&mut Buffer)) -> io::Result<bool> {
        let area = size();
        self.next.resize(area);
        self.next.reset();
        paint(&mut self.next);
        if area != self.shown.area || self.afresh {
            self.shown.resize(area);
            self.shown.reset();
            queue!(self.backend, BeginSynchronizedUpdate, Clear(ClearType::All))?;
            self.backend.draw(self.shown.diff_iter(&self.next))?;
            queue!(self.backend, EndSynchronizedUpdate)?;
        } else {
            let changes: Vec<_> = self.shown.diff_iter(&self.next).collect();
            if changes.is_empty() {
                return Ok(false);
            }
            let wrapped = changes.len() > ONE_GO;
            if wrapped {
                queue!(self.backend, BeginSynchronizedUpdate)?;
            }
            self.backend.draw(changes.into_iter())?;
            if wrapped {
                queue!(self.backend, EndSynchronizedUpdate)?;
            }
        }
        Write::flush(&mut self.backend)?;
        self.afresh = false;
        std::mem::swap(&mut self.shown, &mut self.next);
        Ok(true)
    }

    /// Writes something that changes nothing: a terminal that is gone is found by the error, no other way is sure.
    pub(crate) fn heartbeat(&mut self) -> io::Result<()> {
        queue!(self.backend, Hide)?;
        Write::flush(&mut self.backend)
    }

    /// Takes the mouse, or leaves it to the terminal.
    pub(crate) fn mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        if on {
            queue!(self.backend, Print(CLICKS))?;
        } else {
            queue!(self.backend, DisableMouseCapture)?;
        }
        Write::flush(&mut self.backend)
    }

    /// Tells that something has ended, as the user wants it told; nothing on the screen changes.
    pub(crate) fn alert(&mut self, how: Notify, words: &str) -> io::Result<()> {
        queue!(self.backend, Print(told(how, words)))?;
        Write::flush(&mut self.backend)
    }

    /// What the terminal shows now.
    pub(crate) fn area(&self) -> Rect {
        self.shown.area
    }

    /// Draws everything at the next frame.
    pub(crate) fn redraw(&mut self) {
        self.afresh = true;
    }
}

/// What tells those words.
fn told(how: Notify, words: &str) -> String {
    match how {
        Notify::None => String::new(),
        Notify::Bell => "\x07".to_owned(),
        // What ends the sequence must not be in it.
        Notify::Osc9 => format!("\x1b]9;{}\x1b\\", printable(words)),
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// The terminal's size now; one that says 0×0 (some detached ones do) is taken for 80×24.
fn size() -> Rect {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Rect::new(0, 0, size.ws_col, size.ws_row),
        _ => Rect::new(0, 0, 80, 24),
    }
}

/// Gives the terminal back: undoes all that is ever switched on, from whatever thread; twice does no harm.
pub(crate) fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut undo = Vec::new();
    let queued = queue!(
        undo,
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        Show,
        LeaveAlternateScreen
    );
    // Nothing can be done about a terminal that is gone; and nothing may panic here, the panic hook calls this.
    let _ = queued.and_then(|()| write_out(&undo));
    let _ = disable_raw_mode();
}

/// A panic in any thread gives the terminal back, says itself on the normal screen, and ends the program: else tokio
/// would catch it and the loop would draw on over the shell.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let was_taken = TAKEN.load(Ordering::SeqCst);
            give_back();
            before(info);
            if was_taken {
                std::process::exit(101);
            }
        }));
    });
}

/// Collects a frame and writes it in one go.
struct Tty {
    pending: Vec<u8>,
}

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // After a panic elsewhere the terminal is no longer ours; what is pending must not get onto the shell's screen.
        let done = if TAKEN.load(Ordering::SeqCst) { write_out(&self.pending) } else { Ok(()) };
        self.pending.clear();
        done
    }
}

/// Writes past the lock of `io::stdout`, which a thread that panics might never get.
fn write_out(mut bytes: &[u8]) -> io::Result<()> {
    let stdout = rustix::stdio::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(stdout, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            // A shell may have left the terminal non-blocking.
            Err(rustix::io::Errno::AGAIN) => {
                let mut wait = [rustix::event::PollFd::new(&stdout, rustix::event::PollFlags::OUT)];
                match rustix::event::poll(&mut wait, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_gets_into_a_notice() {
        assert_eq!(told(Notify::None, "a"), "");
        assert_eq!(told(Notify::Bell, "a"), "\x07");
        assert_eq!(told(Notify::Osc9, "qwen is loaded"), "\x1b]9;qwen is loaded\x1b\\");
        let hostile = told(Notify::Osc9, "a\x07\x1b[2J\n\u{9c}b");
        let inside = hostile.strip_prefix("\x1b]9;").and_then(|rest| rest.strip_suffix("\x1b\\")).unwrap();
        assert!(!inside.chars().any(char::is_control), "{inside:?}");
    }
}
