//! A pseudo-terminal with the real program on it: what it shows, what it leaves behind, and how it ends.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use rustix::termios::LocalModes;
use tempfile::TempDir;

/// Longer than anything takes that works at all; no test passes because of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what the terminal does not tell: whether the program has stopped or ended.
const LOOK: Duration = Duration::from_millis(10);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_resident");

/// The terminal's input and echo as a shell needs them; raw mode has neither.
const COOKED: LocalModes = LocalModes::ICANON.union(LocalModes::ECHO).union(LocalModes::ISIG);

/// Written by the test after the program's end: what comes before it is all that the program wrote.
const END: &[u8] = b"<nothing more>";

#[expect(clippy::disallowed_methods, reason = "a test's own clock")]
fn now() -> Instant {
    Instant::now()
}

/// A home of its own, so that nothing of the user's is read or written.
pub struct Home {
    dir: TempDir,
    server: String,
}

impl Home {
    /// A home from which the server at this address is looked for.
    pub fn new(server: &str) -> Home {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("here")).unwrap();
        Home { dir, server: server.to_owned() }
    }

    /// The program's working directory.
    pub fn here(&self) -> PathBuf {
        self.dir.path().join("here")
    }

    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Where the user's own config lies.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config/resident/config.yaml")
    }

    pub fn write(&self, path: &Path, text: &str) {
        assert!(path.starts_with(self.dir.path()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Starts resident on a terminal of 80×24.
    pub fn resident(&self, args: &[&str]) -> Pty {
        self.start(PROGRAM, args)
    }

    /// Starts any program there.
    pub fn start(&self, program: &str, args: &[&str]) -> Pty {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        for (name, value) in self.env() {
            command.env(name, value);
        }
        command.cwd(self.here());
        Pty::start(command)
    }

    /// The whole environment of the program.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let own = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        vec![
            ("HOME", own("home")),
            ("XDG_CONFIG_HOME", own("config")),
            ("XDG_CACHE_HOME", own("cache")),
            ("XDG_DATA_HOME", own("data")),
            ("XDG_STATE_HOME", own("state")),
            ("OLLAMA_HOST", self.server.clone()),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("TERM", "xterm-256color".to_owned()),
            ("TZ", "UTC".to_owned()),
        ]
    }
}

/// A terminal and the program on it; dropping it ends the program.
pub struct Pty {
    child: Box<dyn Child + Send + Sync>,
    status: Option<ExitStatus>,
    screen: vt100::Parser,
    /// All that was ever written to it.
    raw: Vec<u8>,
    output: Option<Receiver<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    writer: Option<Box<dyn Write + Send>>,
    master: Option<Box<dyn MasterPty + Send>>,
    /// The program's side, held open so that its modes can be read after the end.
    tty: OwnedFd,
}

impl Pty {
    fn start(command: CommandBuilder) -> Pty {
        let pair = native_pty_system().openpty(PtySize::default()).unwrap();
        let path = pair.master.tty_name().unwrap();
        let tty = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        let mut reading = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let (send, output) = channel();
        let child = pair.slave.spawn_command(command).unwrap();
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = reading.read(&mut chunk) {
                if send.send(chunk[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Pty {
            child,
            status: None,
            screen: vt100::Parser::new(24, 80, 0),
            raw: Vec::new(),
            output: Some(output),
            reader: Some(reader),
            writer: Some(writer),
            master: Some(pair.master),
            tty: tty.unwrap(),
        }
    }

    /// What is on the screen now.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.screen.screen_mut().set_size(rows, cols);
        self.master.as_ref().unwrap().resize(PtySize { rows, cols, ..PtySize::default() }).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.process_id().unwrap().cast_signed()).unwrap()
    }

    /// Takes what the program writes within a moment.
    fn take_output(&mut self) {
        // Where nobody reads any more, the wait alone remains.
        let (_open, never) = channel();
        if let Ok(chunk) = self.output.as_ref().unwrap_or(&never).recv_timeout(LOOK) {
            self.screen.process(&chunk);
            self.raw.extend(chunk);
        }
    }

    /// Waits until `is` holds; the program may not end before.
    fn until(&mut self, what: &str, mut is: impl FnMut(&Pty) -> bool) {
        let deadline = now() + PATIENCE;
        while !is(self) {
            assert!(self.status.is_none(), "it ended before {what}: {:?}\n{}", self.status, self.text());
            assert!(now() < deadline, "in vain waited for {what}:\n{}", self.text());
            self.take_output();
            self.status = self.child.try_wait().unwrap();
        }
    }

    /// Waits until the screen shows this.
    pub fn shows(&mut self, text: &str) {
        self.until(text, |pty| pty.text().contains(text));
    }

    /// Waits until the screen no longer shows this.
    pub fn shows_no(&mut self, text: &str) {
        self.until(&format!("the end of {text}"), |pty| !pty.text().contains(text));
    }

    /// Waits until the program is stopped, as by Ctrl-Z in a shell.
    pub fn stops(&mut self) {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.until("its stop", |pty| {
            rustix::process::waitid(WaitId::Pid(pty.pid()), options).unwrap().is_some()
        });
        // All that it wrote before is in the terminal; it comes with the next looks.
        self.until("the normal screen", |pty| !pty.screen.screen().alternate_screen());
    }

    /// Whether the terminal's lines are edited and echoed, as a shell wants them.
    fn is_cooked(&self) -> bool {
        rustix::termios::tcgetattr(&self.tty).unwrap().local_modes.contains(COOKED)
    }

    /// The program has the terminal: raw, on the other screen, without a cursor.
    pub fn assert_taken(&self) {
        let screen = self.screen.screen();
        let found = (self.is_cooked(), screen.alternate_screen(), screen.hide_cursor());
        assert_eq!(found, (false, true, true), "(cooked, alternate screen, cursor hidden)");
    }

    /// Whether clicks are told to the program.
    pub fn has_mouse(&self) -> bool {
        self.screen.screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
    }

    /// The shell has it back: cooked, on the normal screen, with a cursor, and nothing reported that nobody asked for.
    pub fn assert_given_back(&self) {
        let screen = self.screen.screen();
        let found = (
            self.is_cooked(),
            screen.alternate_screen(),
            screen.hide_cursor(),
            screen.bracketed_paste(),
            screen.mouse_protocol_mode(),
        );
        let shell = (true, false, false, false, vt100::MouseProtocolMode::None);
        assert_eq!(found, shell, "(cooked, alternate screen, cursor hidden, paste, mouse)\n{}", self.text());
    }

    /// Waits for the end, which must have this exit code.
    pub fn ends(&mut self, code: u32) {
        let status = self.end();
        assert_eq!((status.signal(), status.exit_code()), (None, code), "{}", self.text());
    }

    /// Waits for the end, whatever it is like, and for all that was written before.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = now() + PATIENCE;
        let status = loop {
            self.take_output();
            if let Some(status) = self.status.clone().or(self.child.try_wait().unwrap()) {
                break status;
            }
            assert!(now() < deadline, "it does not end:\n{}", self.text());
        };
        self.status = Some(status.clone());
        if let Some(output) = self.output.take() {
            rustix::io::write(&self.tty, END).unwrap();
            while !self.raw.ends_with(END) {
                match output.recv_timeout(deadline.saturating_duration_since(now())) {
                    Ok(chunk) => self.raw.extend(&chunk),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                        panic!("the terminal lost its output:\n{}", self.text())
                    }
                }
            }
            self.raw.truncate(self.raw.len() - END.len());
            let (rows, columns) = self.screen.screen().size();
            self.screen = vt100::Parser::new(rows, columns, 0);
            self.screen.process(&self.raw);
        }
        status
    }

    /// Closes the terminal's window: nobody holds it any more. The key makes the program write once more, so that the
    /// thread that waits for its output sees that nobody wants it and lets go of the terminal.
    pub fn close(mut self, key: &str) -> ExitStatus {
        drop(self.output.take());
        self.press(key);
        self.reader.take().unwrap().join().unwrap();
        drop((self.writer.take(), self.master.take()));
        self.end()
    }

    /// All bytes that were ever written to the terminal.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if self.status.is_none() {
            // A test failed; the program may be stopped, or deaf to all but this.
            let _ = rustix::process::kill_process(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
