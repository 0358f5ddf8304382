//! Cold to resident: our reader beside cat, dd, vmtouch and a plain read, interleaved in one run; and what it costs to
//! ask what is resident. By hand, when the machine has nothing else to do:
//! `cargo bench --bench warm -- --size 4GB --rounds 7` (and `--dir` for another disk, `--block` for other blocks).
//!
//! Before each run the file is dropped and counted; a run that did not begin cold, or did not end resident, is thrown
//! away and said so. Each run follows one of the same method that is not counted: memory that the kernel gives out for
//! the first time, or that a virtual machine's host took back, costs more than the reading. A run beside which others
//! kept the machine busy is repeated, and if that does not help, told.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use resident::probe::page_cache::PageCache;
use resident::probe::warm::{Job, Source, Tuning, Warmer};
use resident::residency::bytes::{Bytes, GIB, MIB};
use resident::residency::tier::Cached;
use resident::residency::timing::{Clock, Moment};
use resident::residency::warm::Warming;
use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// What is to be undone, also on an error and on Ctrl-C.
static UNDO: Mutex<Undo> = Mutex::new(Undo { files: Vec::new(), setting: None });

struct Undo {
    files: Vec<PathBuf>,
    setting: Option<(PathBuf, String)>,
}

#[expect(clippy::disallowed_methods, reason = "a benchmark stands outside; it is its own clock")]
fn now() -> Moment {
    Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() }
}

fn clock() -> Clock {
    Arc::new(now)
}

/// Writes a line to stdout.
fn say(line: impl AsRef<str>) {
    let _ = writeln!(io::stdout(), "{}", line.as_ref());
}

/// What the command line asks for.
struct Wanted {
    size: Bytes,
    rounds: usize,
    /// Where the files are made.
    directory: PathBuf,
    /// Block sizes of ours to be compared.
    blocks: Vec<u64>,
}

fn wanted() -> Result<Wanted, String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/target").into();
    let mut wanted = Wanted { size: Bytes(4_000_000_000), rounds: 7, directory, blocks: Vec::new() };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let size = || Bytes::parse(&value).map_err(|error| format!("{word} {value}: {error}"));
        match word.as_str() {
            "--size" => wanted.size = size()?,
            "--dir" => wanted.directory = value.into(),
            "--block" => wanted.blocks.push(size()?.0),
            "--rounds" => {
                wanted.rounds = value.parse().map_err(|error| format!("{word} {value}: {error}"))?;
            }
            _ => return Err(format!("{word}: only --size, --rounds, --dir and --block are known")),
        }
    }
    if wanted.blocks.is_empty() {
        wanted.blocks.push(Tuning::default().block);
    }
    Ok(wanted)
}

/// Removes and puts back what there is to be.
fn undo() {
    let mut undo = UNDO.lock().unwrap_or_else(PoisonError::into_inner);
    for path in undo.files.drain(..) {
        // A file that was never made.
        let _ = fs::remove_file(path);
    }
    if let Some((path, value)) = undo.setting.take()
        && let Err(error) = fs::write(&path, &value)
    {
        say(format!("{} could not be put back to {value}: {error}", path.display()));
    }
}

fn main() {
    let wanted = match wanted() {
        Ok(wanted) => wanted,
        Err(why) => {
            say(why);
            std::process::exit(2);
        }
    };
    let runtime = Runtime::new().expect("threads to wait with");
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let outcome = std::panic::catch_unwind(|| measure(&wanted));
        let _ = end.send(outcome.unwrap_or_else(|_| Err("it panicked".into())));
    });
    let code = runtime.block_on(async {
        let stop = async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut term = signal(SignalKind::terminate()).expect("signals can be heard");
            tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = term.recv() => {} }
        };
        tokio::select! {
            outcome = ended => match outcome {
                Ok(Ok(())) => 0,
                Ok(Err(error)) => { say(format!("{error}")); 1 }
                Err(_) => 1,
            },
            () = stop => 130,
        }
    });
    undo();
    std::process::exit(code);
}

/// A run is repeated if others used more than this share of the machine.
const QUIET: f64 = 0.15;
/// And at most so often.
const TRIES: usize = 4;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn measure(wanted: &Wanted) -> Outcome<()> {
    let path = made(&wanted.directory, "bench-warm.blob", |file| {
        // No holes, and nothing that a file system could make small.
        let mut state = 1_u64;
        let mut block = vec![0; usize::try_from(MIB)?];
        let mut left = wanted.size.0;
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let length = left.min(MIB);
            file.write_all(&block[..usize::try_from(length)?])?;
            left -= length;
        }
        Ok(())
    })?;
    let asking = Asking::new()?;
    say(format!("{}, {} rounds", wanted.size, wanted.rounds));
    match read_ahead(&path) {
        Ok((setting, value)) => {
            say(format!("\n{} = {value} (the device's own)", setting.display()));
            rounds(&path, wanted, &asking)?;
            UNDO.lock().unwrap_or_else(PoisonError::into_inner).setting = Some((setting.clone(), value));
            match fs::write(&setting, "128") {
                Ok(()) => {
                    say(format!("\n{} = 128", setting.display()));
                    rounds(&path, wanted, &asking)?;
                }
                Err(error) => say(format!("\n{} may not be set to 128: {error}", setting.display())),
            }
        }
        Err(error) => {
            say(format!("\nreadahead unknown: {error}"));
            rounds(&path, wanted, &asking)?;
        }
    }
    undo();
    residency(&wanted.directory, &asking)
}

/// Makes a file that is removed in the end.
fn made(directory: &Path, name: &str, write: impl Fn(&mut File) -> Outcome<()>) -> Outcome<PathBuf> {
    let path = directory.join(name);
    UNDO.lock().unwrap_or_else(PoisonError::into_inner).files.push(path.clone());
    let mut made = File::create(&path)?;
    write(&mut made)?;
    made.sync_all()?;
    Ok(path)
}

/// The readahead setting of the device that a file lies on, and its value.
fn read_ahead(path: &Path) -> io::Result<(PathBuf, String)> {
    use std::os::unix::fs::MetadataExt as _;

    let device = fs::metadata(path)?.dev();
    let device = format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    // A partition's queue is that of the disk above it.
    let mut queue = Path::new(&device).join("queue");
    if !queue.exists() {
        queue = fs::canonicalize(&device)?.join("../queue");
    }
    let setting = fs::canonicalize(queue)?.join("read_ahead_kb");
    let value = fs::read_to_string(&setting)?.trim().to_owned();
    Ok((setting, value))
}

/// The probe, asked and waited for.
struct Asking {
    cache: PageCache,
    runtime: Runtime,
}

impl Asking {
    fn new() -> Outcome<Asking> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Asking { cache: PageCache::spawn(clock(), CancellationToken::new()), runtime })
    }

    /// Counts what is cached of these files, and how long the answer took.
    fn ask(&self, files: &[(String, PathBuf, Bytes)]) -> Outcome<(Bytes, Duration)> {
        let began = now();
        self.cache.ask(files.to_vec());
        let mut readings = self.cache.readings.clone();
        let all = self.runtime.block_on(readings.wait_for(|all| {
            files.iter().all(|(digest, _, _)| all.get(digest).is_some_and(|r| r.at.mono >= began.mono))
        }))?;
        let took = now().since(began.mono);
        let mut sum = Bytes::ZERO;
        for (digest, _, _) in files {
            match &all[digest].value.cached {
                Cached::Exact(bytes) => sum += *bytes,
                other => return Err(format!("what is cached cannot be counted here: {other:?}").into()),
            }
        }
        Ok((sum, took))
    }

    fn percent(&self, path: &Path) -> Outcome<f64> {
        let size = Bytes(fs::metadata(path)?.len());
        let (cached, _) = self.ask(&[("blob".to_owned(), path.to_owned(), size)])?;
        Ok(cached.share_of(size) * 100.0)
    }
}

/// One run's time and CPU, and what there is to be said about it.
struct Cost {
    took: Duration,
    cpu: Option<Duration>,
    /// The share of the machine that all others used meanwhile.
    others: f64,
    note: String,
}

/// Brings a file from the disk into the page cache.
type Run = Box<dyn Fn(&Path) -> Outcome<Cost>>;

/// A way to do that, and how it went.
struct Method {
    name: String,
    run: Run,
    costs: Vec<Cost>,
}

fn methods(wanted: &Wanted) -> Vec<Method> {
    let mut methods = Vec::new();
    let mut add = |name: String, run: Run| {
        methods.push(Method { name, run, costs: Vec::new() });
    };
    for block in wanted.blocks.clone() {
        let tuning = Tuning { block, ..Tuning::default() };
        let warmer = Warmer::tuned(clock(), CancellationToken::new(), Box::new(|| None), tuning);
        add(format!("resident, {} KiB blocks", block / 1024), Box::new(move |path| ours(&warmer, path)));
    }
    add("cat > /dev/null".to_owned(), Box::new(|path| child(Command::new("cat").arg(path))));
    add(
        "dd bs=1M".to_owned(),
        Box::new(|path| {
            let input = format!("if={}", path.display());
            child(Command::new("dd").args([input.as_str(), "of=/dev/null", "bs=1M"]))
        }),
    );
    if Command::new("vmtouch").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        add("vmtouch -t".to_owned(), Box::new(|path| child(Command::new("vmtouch").arg("-t").arg(path))));
    } else {
        say("vmtouch is missing: not compared");
    }
    add("read, 128 KiB blocks".to_owned(), Box::new(plain));
    methods
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn ours(warmer: &Warmer, path: &Path) -> Outcome<Cost> {
    let size = Bytes(fs::metadata(path)?.len());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (cpu, began) = (process_cpu(), now());
    warmer.warm(Job {
        id: 1,
        priority: 0,
        files: vec![Source { digest: String::new(), path: path.to_owned(), size }],
    });
    let mut progress = warmer.progress.clone();
    let mut readers = 1;
    let end = runtime.block_on(progress.wait_for(|all| {
        let seen = all.get(&1).and_then(Warming::progress).map_or(0, |progress| progress.readers);
        readers = readers.max(seen);
        all.get(&1).is_some_and(Warming::is_over)
    }))?[&1]
        .clone();
    let (took, cpu) = (now().since(began.mono), process_cpu().saturating_sub(cpu));
    warmer.forget(1);
    runtime.block_on(progress.wait_for(|all| all.is_empty()))?;
    match end {
        Warming::Done { .. } => {
            Ok(Cost { took, cpu: Some(cpu), others: 0.0, note: format!("{readers} reading") })
        }
        other => Err(format!("{other:?}").into()),
    }
}

fn child(command: &mut Command) -> Outcome<Cost> {
    let began = now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pid = Pid::from_child(&child);
    // Looked at before it is gone.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let took = now().since(began.mono);
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", pid.as_raw_nonzero()));
    let cpu = stat.ok().and_then(|stat| stat.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
    if !child.wait()?.success() {
        return Err(format!("{command:?} failed").into());
    }
    Ok(Cost { took, cpu, others: 0.0, note: String::new() })
}

fn plain(path: &Path) -> Outcome<Cost> {
    let (cpu, began) = (process_cpu(), now());
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    while file.read(&mut buffer)? > 0 {}
    let took = now().since(began.mono);
    let cpu = Some(process_cpu().saturating_sub(cpu));
    Ok(Cost { took, cpu, others: 0.0, note: String::new() })
}

fn drop_pages(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.sync_data()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

/// CPU that all processes of the machine have used.
fn machine_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user, nice, system, idle, iowait, irq, softirq, steal: all but idle and iowait, in hundredths of a second.
    let busy = fields.take(8).enumerate().filter(|(field, _)| ![3, 4].contains(field));
    Duration::from_millis(busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// One run from cold to resident; `None` if it was not that.
fn run(method: &Method, path: &Path, asking: &Asking) -> Outcome<Option<Cost>> {
    drop_pages(path)?;
    let cold = asking.percent(path)?;
    if cold > 0.0 {
        say(format!("{}: began {cold:.1} % resident, thrown away", method.name));
        return Ok(None);
    }
    let before = machine_cpu();
    let mut cost = (method.run)(path)?;
    let others = machine_cpu().saturating_sub(before).saturating_sub(cost.cpu.unwrap_or_default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cost.others = others.as_secs_f64() / (cost.took.as_secs_f64() * f64::from(u32::try_from(cores)?));
    let warm = asking.percent(path)?;
    if warm < 99.0 {
        say(format!("{}: ended {warm:.1} % resident, thrown away", method.name));
        return Ok(None);
    }
    Ok(Some(cost))
}

/// All methods, in turn, each round beginning with another; prints their table.
fn rounds(path: &Path, wanted: &Wanted, asking: &Asking) -> Outcome<()> {
    let mut methods = methods(wanted);
    for round in 0..wanted.rounds {
        for place in 0..methods.len() {
            let place = (place + round) % methods.len();
            let mut least: Option<Cost> = None;
            for _ in 0..TRIES {
                run(&methods[place], path, asking)?;
                let Some(cost) = run(&methods[place], path, asking)? else { continue };
                if least.as_ref().is_none_or(|least| cost.others < least.others) {
                    least = Some(cost);
                }
                if least.as_ref().is_some_and(|least| least.others <= QUIET) {
                    break;
                }
            }
            methods[place].costs.extend(least);
        }
    }
    let size = Bytes(fs::metadata(path)?.len());
    say(format!(
        "{:<26} {:>6}  {:<12} {:>9}  {:<12} {:>4}",
        "", "GB/s", "least–most", "CPU s/GiB", "least–most", "runs"
    ));
    for method in &methods {
        let speeds = sorted(method.costs.iter().map(|cost| size.gb() / cost.took.as_secs_f64()));
        let cpus = sorted(method.costs.iter().filter_map(|cost| Some(cost.cpu?.as_secs_f64() / size.gib())));
        let (Some(least), Some(most)) = (speeds.first(), speeds.last()) else { continue };
        let cpu = |cpu: Option<f64>| cpu.map_or_else(|| "?".to_owned(), |cpu| format!("{cpu:.3}"));
        let note = method.costs.last().map_or("", |cost| cost.note.as_str());
        let disturbed = method.costs.iter().filter(|cost| cost.others > QUIET).count();
        let note = if disturbed > 0 { format!("{note} ({disturbed} disturbed)") } else { note.to_owned() };
        say(format!(
            "{:<26} {:>6.2}  {:<12} {:>9}  {:<12} {:>4}  {note}",
            method.name,
            median(&speeds).unwrap_or_default(),
            format!("{least:.2}–{most:.2}"),
            cpu(median(&cpus)),
            format!("{}–{}", cpu(cpus.first().copied()), cpu(cpus.last().copied())),
            speeds.len(),
        ));
    }
    Ok(())
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

/// What asking costs: a hundred cold blobs of a hundred GB in all, and one that is resident and large.
fn residency(directory: &Path, asking: &Asking) -> Outcome<()> {
    say("\nasking what is resident, median and most of 21:");
    let mut many = Vec::new();
    for number in 0..100 {
        let size = Bytes(1_000_000_000);
        let path = made(directory, &format!("bench-warm.{number}"), |file| Ok(file.set_len(size.0)?))?;
        many.push((number.to_string(), path, size));
    }
    asked(asking, "100 cold blobs, 100 GB in all", &many)?;
    let memory = resident::probe::ram::read(&mut resident::probe::ram::State::default());
    let size = Bytes(memory.map_or(GIB, |ram| ram.available.0 / 2).min(8 * GIB));
    let path = made(directory, "bench-warm.large", |file| Ok(file.set_len(size.0)?))?;
    plain(&path)?;
    asked(asking, &format!("one resident file of {:.1} GiB", size.gib()), &[("large".to_owned(), path, size)])
}

fn asked(asking: &Asking, name: &str, files: &[(String, PathBuf, Bytes)]) -> Outcome<()> {
    let whole: Bytes = files.iter().map(|file| file.2).sum();
    let mut millis = Vec::new();
    let mut cached = Bytes::ZERO;
    for _ in 0..21 {
        let (now, took) = asking.ask(files)?;
        cached = now;
        millis.push(took.as_secs_f64() * 1e3);
    }
    let millis = sorted(millis.into_iter());
    let (median, most) = (median(&millis).unwrap_or_default(), millis.last().copied().unwrap_or_default());
    let percent = cached.share_of(whole) * 100.0;
    let verdict = if median < 5.0 { "under 5 ms" } else { "OVER 5 ms" };
    say(format!("{name}: {median:.2} ms, {most:.2} ms ({percent:.0} % resident), {verdict}"));
    Ok(())
}
