//! A long run of the real program: two screens on pseudo-terminals with random keys, one on the server embedded in it,
//! one on a server in a process of its own that clients use and faults strike; what they take of memory, handles,
//! threads and CPU, and whether any of it grows. By hand: `cargo bench --bench soak -- --minutes 60` (and `--scale 64`,
//! `--seed 1`).
//!
//! | process | what it is | what strikes it |
//! |---|---|---|
//! | `screen` | looks at the server | random keys, new sizes, a terminal that nobody reads |
//! | `demo` | `resident --demo` | random keys, new sizes |
//! | server | `resident demo --serve` | hangs (SIGSTOP), dies, ends and comes back; its runners are killed |
//!
//! Each minute is a line for each screen. The verdict is over the last three quarters: the slope by Theil and Sen (the
//! median of the slopes of all pairs), times the time, is a growth; more than a twentieth of the median and more than
//! 2 MiB, 2 handles, 2 threads or 2 % of a processor is too much. Memory is what is anonymous: files that are held in
//! RAM are mapped, and count as the model's. A screen that ends by itself, writes nothing for a minute, or does not
//! leave on SIGTERM at the end fails as well. Nothing of the user's is read or written but the demo's models, which
//! are made once.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_resident");
/// Between two looks at the processes.
const LOOK: Duration = Duration::from_secs(5);
const MODELS: [&str; 5] =
    ["openthinker3-7b", "qwen2.5-coder:7b", "deepseek-r1:14b", "gemma3:270m", "nomic-embed-text"];
const KEEP_ALIVES: [&str; 6] = ["0", "-1", "5", "30", "\"10m\"", "\"1h30m\""];
/// All but those that leave (q, Ctrl-C), stop (Ctrl-Z), or start another demo (d).
const KEYS: [&str; 48] = [
    "j",
    "k",
    "j",
    "k",
    "g",
    "G",
    "\r",
    "l",
    "u",
    "p",
    "t",
    "K",
    "w",
    "W",
    "x",
    "h",
    "a",
    "c",
    "C",
    "1",
    "2",
    "3",
    "f",
    "b",
    "o",
    "/",
    "\t",
    "z",
    " ",
    "v",
    "T",
    "m",
    "H",
    "I",
    "\u{c}",
    "?",
    "\u{1b}",
    "\u{1b}",
    "y",
    "n",
    "!",
    "i",
    "5m\r",
    "mma\r",
    "\u{1b}[6~",
    "\u{1b}[5~",
    "\u{1b}[<0;9;6M",
    "F",
];
/// What the screen is to do by itself: all of it.
const CONFIG: &str = "ollama:\n  keep_alive: 2m\n  preload:\n    on_startup: true\n    auto_refresh: true\n    \
                      models: [gemma3:270m, qwen2.5-coder:7b]\nphases: {a: gemma3:270m, b: qwen2.5-coder:7b}\n\
                      workflows:\n  loop:\n    repeat: true\n    steps: [{phase: a, work: 2s}, {phase: b, work: 2s}]\n";

#[expect(clippy::disallowed_methods, reason = "a benchmark stands outside; it is its own clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "what it measures is a run in real time")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

fn say(line: impl AsRef<str>) {
    let _ = writeln!(io::stdout(), "{}", line.as_ref());
}

/// Numbers that a seed repeats (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap_or_default()
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.next(words.len())]
    }
}

/// What the command line asks for.
struct Wanted {
    minutes: u64,
    scale: u64,
    seed: u64,
}

fn wanted() -> Result<Wanted, String> {
    let mut wanted = Wanted { minutes: 60, scale: 64, seed: 1 };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let field = match word.as_str() {
            "--minutes" => &mut wanted.minutes,
            "--scale" => &mut wanted.scale,
            "--seed" => &mut wanted.seed,
            _ => return Err(format!("{word}: only --minutes, --scale and --seed are known")),
        };
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        *field = value.parse().map_err(|error| format!("{word} {value}: {error}"))?;
    }
    Ok(wanted)
}

/// The places of the user that the program would write to, in a directory of our own.
fn places(home: &Path) -> Vec<(&'static str, PathBuf)> {
    ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"].map(|name| (name, home.join(name))).into()
}

/// The server that is struck, always on the same port.
struct Served {
    process: Process,
    port: String,
    home: PathBuf,
    scale: String,
}

impl Served {
    fn start(home: &Path, scale: &str) -> Outcome<Served> {
        let (process, port) = Served::run(home, scale, "0")?;
        Ok(Served { process, port, home: home.to_owned(), scale: scale.to_owned() })
    }

    fn run(home: &Path, scale: &str, port: &str) -> Outcome<(Process, String)> {
        let mut process = Command::new(PROGRAM)
            .args(["demo", "--demo-scale", scale, "--serve", "--port", port])
            .envs(places(home))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut url = String::new();
        let out = process.stdout.take().ok_or("it has no stdout")?;
        BufReader::new(out).read_line(&mut url)?;
        let port = url.trim().rsplit(':').next().unwrap_or_default().to_owned();
        if port.parse::<u16>().is_err() {
            let _ = process.kill();
            return Err(format!("the server does not start: {:?}", process.wait()?).into());
        }
        Ok((process, port))
    }

    fn signal(&self, signal: Signal) {
        // It may be dead already.
        let _ = kill_process(Pid::from_child(&self.process), signal);
    }

    /// Strikes it in one of the ways, and lets it come back; says which.
    fn fault(&mut self, random: &mut Random) -> Outcome<usize> {
        let pause = Duration::from_millis(500 + random.next(7500) as u64);
        let fault = random.next(FAULTS.len());
        match fault {
            0 => {
                self.signal(Signal::STOP);
                sleep(pause);
                self.signal(Signal::CONT);
            }
            1 | 2 => {
                self.signal(if fault == 1 { Signal::KILL } else { Signal::TERM });
                self.process.wait()?;
                sleep(pause);
                (self.process, _) = Served::run(&self.home, &self.scale, &self.port)?;
            }
            _ => {
                for child in children(self.process.id()) {
                    let _ = kill_process(child, Signal::KILL);
                }
            }
        }
        Ok(fault)
    }
}

/// What strikes the server, as the last table calls it.
const FAULTS: [&str; 4] = ["hung", "killed", "ended", "runners killed"];

impl Drop for Served {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn children(parent: u32) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>()
        })
        .collect()
}

/// A screen on its terminal.
struct Screen {
    name: &'static str,
    child: Box<dyn Child + Send + Sync>,
    pid: u32,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    written: Arc<AtomicU64>,
    /// Nobody reads the terminal.
    stalled: Arc<AtomicBool>,
    samples: Vec<Sample>,
}

impl Screen {
    fn start(name: &'static str, home: &Path, args: &[&str]) -> Outcome<Screen> {
        let pair = native_pty_system().openpty(PtySize { rows: 40, cols: 120, ..PtySize::default() })?;
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(args);
        command.cwd(home);
        command.env("TERM", "xterm-256color");
        for (name, place) in places(home) {
            command.env(name, place);
        }
        let child = pair.slave.spawn_command(command)?;
        let pid = child.process_id().ok_or("it has no pid")?;
        let (written, stalled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, wait, mut reader) =
            (Arc::clone(&written), Arc::clone(&stalled), pair.master.try_clone_reader()?);
        std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(read @ 1..) = reader.read(&mut chunk) {
                count.fetch_add(read as u64, Ordering::Relaxed);
                while wait.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(50));
                }
            }
        });
        let keys = pair.master.take_writer()?;
        Ok(Screen { name, child, pid, master: pair.master, keys, written, stalled, samples: Vec::new() })
    }

    /// A few keys, now and then a whole burst, now and then another size.
    fn play(&mut self, random: &mut Random) -> io::Result<()> {
        let count = if random.next(20) == 0 { 60 } else { 1 + random.next(3) };
        for _ in 0..count {
            self.keys.write_all(random.of(&KEYS).as_bytes())?;
        }
        if random.next(30) == 0 {
            let (cols, rows) = (20 + random.next(180), 5 + random.next(60));
            let size = |n: usize| u16::try_from(n).unwrap_or(80);
            let _ = self.master.resize(PtySize { cols: size(cols), rows: size(rows), ..PtySize::default() });
        }
        self.keys.flush()
    }

    fn look(&mut self, began: Instant) -> Outcome<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("{} ended by itself: {status:?}", self.name).into());
        }
        self.samples.push(Sample::of(self.pid, began)?);
        Ok(())
    }

    /// Whether it leaves when it is told to.
    fn leaves(&mut self) -> Outcome<bool> {
        self.stalled.store(false, Ordering::Relaxed);
        kill_process(Pid::from_raw(self.pid.cast_signed()).ok_or("no pid")?, Signal::TERM)?;
        let deadline = now() + Duration::from_secs(30);
        while now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            sleep(Duration::from_millis(50));
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process takes at a moment.
struct Sample {
    seconds: f64,
    /// All that is resident, files that are mapped included.
    rss: f64,
    /// In MiB, as the one above.
    memory: f64,
    handles: f64,
    threads: f64,
    /// Used so far, in seconds.
    cpu: f64,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn of(pid: u32, began: Instant) -> Outcome<Sample> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Outcome<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            Ok(word.ok_or_else(|| format!("no {name} in its status"))?.parse()?)
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |at: usize| -> Outcome<f64> {
            Ok(after.split_whitespace().nth(at).ok_or("a short stat")?.parse()?)
        };
        Ok(Sample {
            seconds: now().saturating_duration_since(began).as_secs_f64(),
            rss: field("VmRSS")? / 1024.0,
            memory: field("RssAnon")? / 1024.0,
            handles: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64,
            threads: field("Threads")?,
            cpu: (ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64,
        })
    }
}

/// What the clients asked for.
#[derive(Default)]
struct Asked {
    answered: AtomicU64,
    failed: AtomicU64,
}

/// Loads, unloads, new times to stay and generations without end, some of which are hung up on.
fn client(port: &str, mut random: Random, asked: &Asked, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let (model, keep) = (random.of(&MODELS), random.of(&KEEP_ALIVES));
        let prompt =
            if random.next(3) == 0 { r#","prompt":"go on","options":{"num_predict":20}"# } else { "" };
        let body = format!(r#"{{"model":"{model}","keep_alive":{keep}{prompt}}}"#);
        let hang_up = random.next(8) == 0;
        match exchange(port, &body, hang_up) {
            Ok(()) => &asked.answered,
            Err(_) => &asked.failed,
        }
        .fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(500 + random.next(5000) as u64));
    }
}

fn exchange(port: &str, body: &str, hang_up: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    if hang_up {
        return Ok(());
    }
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 ") { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The median of the slopes of all pairs: a few wild samples do not move it.
fn slope(points: &[(f64, f64)]) -> f64 {
    let of = |(at, a): &(usize, &(f64, f64))| {
        points[at + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)).collect::<Vec<_>>()
    };
    median(points.iter().enumerate().flat_map(|point| of(&point)))
}

/// Figures of the last three quarters that grow too much, with all figures told.
fn grows(name: &str, samples: &[Sample]) -> bool {
    let last = &samples[samples.len() / 4..];
    let (Some(from), Some(to)) = (last.first(), last.last()) else { return true };
    let time = to.seconds - from.seconds;
    let of = |figure: fn(&Sample) -> f64| last.iter().map(|s| (s.seconds, figure(s))).collect::<Vec<_>>();
    // CPU by the minute: a tick of the kernel's is too coarse for less.
    let step = usize::try_from(60 / LOOK.as_secs()).unwrap_or(1);
    let cpu = last
        .iter()
        .zip(last.iter().skip(step))
        .map(|(a, b)| (b.seconds, (b.cpu - a.cpu) / (b.seconds - a.seconds) * 100.0))
        .collect();
    let figures = [
        ("memory, MiB", of(|s| s.memory), 2.0),
        ("handles", of(|s| s.handles), 2.0),
        ("threads", of(|s| s.threads), 2.0),
        ("CPU, %", cpu, 2.0),
    ];
    let mut any = false;
    for (figure, points, least) in figures {
        let middle = median(points.iter().map(|point| point.1));
        let growth = slope(&points) * time;
        let too_much = growth > f64::max(least, middle / 20.0);
        any |= too_much;
        let verdict = if too_much { "GROWS" } else { "steady" };
        say(format!(
            "{name:<7} {figure:<12} median {middle:>8.2}  growth {growth:>+8.3} in {:.0} min  {verdict}",
            time / 60.0
        ));
    }
    any
}

/// One line of a screen's last minute; false if it wrote nothing.
fn line(minute: u64, screen: &Screen, last: &[Sample], bytes: u64) {
    let (Some(from), Some(to)) = (last.first(), last.last()) else { return };
    let cpu = (to.cpu - from.cpu) / (to.seconds - from.seconds).max(1.0) * 100.0;
    say(format!(
        "{minute:>4} {:<7} {:>8.1} {:>8.1} {:>8} {:>8} {cpu:>7.2} {:>9}",
        screen.name,
        to.rss,
        to.memory,
        to.handles,
        to.threads,
        bytes / 1024
    ));
}

fn soak(wanted: &Wanted, home: &TempDir) -> Outcome<bool> {
    let scale = wanted.scale.to_string();
    let homes = ["screen", "demo", "server"].map(|name| home.path().join(name));
    for home in &homes {
        fs::create_dir(home)?;
    }
    let config = homes[0].join("soak.yaml");
    fs::write(&config, CONFIG)?;
    let mut served = Served::start(&homes[2], &scale)?;
    let url = format!("http://127.0.0.1:{}", served.port);
    let config = config.to_str().ok_or("a path that is no text")?;
    let mut screens = [
        Screen::start("screen", &homes[0], &["--config", config, "--host", &url])?,
        Screen::start("demo", &homes[1], &["--demo", "--demo-scale", &scale])?,
    ];
    let (asked, stop) = (Arc::new(Asked::default()), Arc::new(AtomicBool::new(false)));
    for number in 1..=2 {
        let (port, asked, stop) = (served.port.clone(), Arc::clone(&asked), Arc::clone(&stop));
        let random = Random(wanted.seed.wrapping_add(number));
        std::thread::spawn(move || client(&port, random, &asked, &stop));
    }
    let mut random = Random(wanted.seed);
    let mut faults = [0; FAULTS.len()];
    say(format!("{} minutes at 1:{scale}, seed {}; memory in MiB", wanted.minutes, wanted.seed));
    say(" min process      RSS anonymous handles threads   CPU %  KiB shown");
    let began = now();
    let mut silent = false;
    let mut stall_ends = began;
    for minute in 1..=wanted.minutes {
        let until = began + Duration::from_secs(60 * minute);
        let from = screens
            .each_ref()
            .map(|screen| (screen.samples.len().saturating_sub(1), screen.written.load(Ordering::Relaxed)));
        while now() < until {
            let next = now() + LOOK;
            while now() < next {
                for screen in &mut screens {
                    screen.play(&mut random)?;
                }
                sleep(Duration::from_millis(200 + random.next(800) as u64));
            }
            if random.next(6) == 0 {
                faults[served.fault(&mut random)?] += 1;
            }
            if random.next(40) == 0 {
                screens[0].stalled.store(true, Ordering::Relaxed);
                stall_ends = now() + Duration::from_secs(8);
            }
            if now() > stall_ends {
                screens[0].stalled.store(false, Ordering::Relaxed);
            }
            for screen in &mut screens {
                screen.look(began)?;
            }
        }
        for (screen, (first, written)) in screens.iter().zip(from) {
            let bytes = screen.written.load(Ordering::Relaxed) - written;
            silent |= bytes == 0;
            line(minute, screen, &screen.samples[first..], bytes);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let struck: Vec<String> =
        FAULTS.iter().zip(faults).map(|(name, times)| format!("{times} {name}")).collect();
    say(format!("server: {}", struck.join(", ")));
    say(format!(
        "clients: {} answered or hung up, {} failed (while it was struck)",
        asked.answered.load(Ordering::Relaxed),
        asked.failed.load(Ordering::Relaxed)
    ));
    let mut fine = !silent;
    for screen in &mut screens {
        fine &= !grows(screen.name, &screen.samples);
        let leaves = screen.leaves()?;
        say(format!("{:<7} {}", screen.name, if leaves { "left when told to" } else { "DOES NOT LEAVE" }));
        fine &= leaves;
    }
    if silent {
        say("a screen was SILENT for a minute");
    }
    Ok(fine)
}

fn main() -> ExitCode {
    let done = wanted().map_err(Into::into).and_then(|wanted| soak(&wanted, &tempfile::tempdir()?));
    match done {
        Ok(true) => say("verdict: no growth"),
        Ok(false) => say("verdict: FAILED"),
        Err(ref why) => say(format!("verdict: FAILED: {why}")),
    }
    if matches!(done, Ok(true)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
