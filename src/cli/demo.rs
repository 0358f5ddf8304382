//! The demo: its files made once, its embedded server started, and the subcommand that serves or removes it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::residency::bytes::{Bytes, GB};
use crate::residency::name::ModelName;
use crate::residency::timing::Clock;
use crate::sim::catalogue::{self, Spec};
use crate::sim::{self, Options, Sim, files};

/// The idea's models are this many times smaller unless said otherwise.
pub const SCALE: u64 = 16;

/// Where the demo keeps its files, and what making them would write.
pub struct Place {
    /// The models directory.
    pub dir: PathBuf,
    /// 1:this.
    pub scale: u64,
}

/// More than this is not written without `--yes`.
const UNASKED: Bytes = Bytes(8 * GB);

impl Place {
    /// In the user's cache directory.
    pub fn new(scale: u64) -> anyhow::Result<Place> {
        Ok(Place { dir: files::demo_dir(&cache()?, scale), scale })
    }

    /// Why the files are not made unasked: they are much more than a demo is expected to write.
    pub fn is_too_much(&self) -> Option<String> {
        let write = self.to_write().ok().filter(|write| *write > UNASKED)?;
        let place = self.dir.display();
        Some(format!(
            "the demo would write {write} of model files to {place}: --yes does it, a larger --demo-scale needs less"
        ))
    }

    /// What making the files would write; nothing if they are there.
    pub fn to_write(&self) -> anyhow::Result<Bytes> {
        Ok(files::plan(&self.dir, self.scale)?.write)
    }
}

/// `$XDG_CACHE_HOME`, or `~/.cache`.
fn cache() -> anyhow::Result<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().context("no home directory: set XDG_CACHE_HOME")?;
    Ok(base.cache_dir())
}

/// What each model beyond the demo's five takes on disk.
const SAMPLE: Bytes = Bytes(1 << 20);

/// The demo's five models, and as many tiny ones as make `models` in all.
fn catalogue(scale: u64, models: usize) -> Vec<Spec> {
    let five = catalogue::demo(scale);
    let tiny: Vec<Spec> = (five.len()..models)
        .filter_map(|number| {
            let name = ModelName::parse(&format!("sample-{:03}:latest", number + 1)).ok()?;
            Some(Spec { name, weights: SAMPLE, seed: number as u64 + 1000, ..five.last()?.clone() })
        })
        .collect();
    five.into_iter().chain(tiny).collect()
}

/// Makes the files where they are missing, with progress on stderr, and starts the server. Call it in a runtime.
pub async fn start(place: &Place, port: u16, models: usize, clock: Clock) -> anyhow::Result<Sim> {
    let plan = files::plan(&place.dir, place.scale)?;
    if plan.write > Bytes::ZERO {
        say(&format!(
            "making the demo's models once: {} in {} (remove them with: resident demo --clean)",
            plan.write,
            place.dir.display()
        ));
    }
    if plan.tmpfs {
        say(&format!("{} lies in memory: a cold load cannot be shown there", place.dir.display()));
    }
    let (dir, scale) = (place.dir.clone(), place.scale);
    // Blocks also on another demo that is making the same files.
    let prepared = tokio::task::spawn_blocking(move || {
        let bar = std::io::stderr().is_terminal();
        let mut last = 101;
        files::prepare_models(&dir, catalogue(scale, models), scale, |done, all| {
            let percent = done * 100 / all.max(1);
            if bar && percent != last {
                last = percent;
                let _ = write!(std::io::stderr(), "\r{percent:3} %");
                let _ = std::io::stderr().flush();
            }
        })
    })
    .await
    .context("making the demo's models")??;
    if prepared.written > Bytes::ZERO {
        say("\rready");
    }
    let program = std::env::current_exe().context("finding this program, which plays the runners")?;
    let mut options = Options::demo(prepared, program, clock);
    options.port = port;
    Ok(sim::start(options).await?)
}

/// `resident demo --serve`: the embedded server alone, until it is interrupted. Its URL goes to stdout.
pub async fn serve(place: &Place, port: u16, models: usize, clock: Clock) -> anyhow::Result<()> {
    let sim = start(place, port, models, clock).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", sim.url())?;
    out.flush()?;
    say(&format!("embedded server 1:{}, models in {}; end it with Ctrl-C", sim.scale(), place.dir.display()));
    interrupted().await?;
    tokio::time::timeout(Duration::from_secs(5), sim.shutdown()).await.context("ending the embedded server")
}

/// Waits for SIGINT or SIGTERM.
pub async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// `resident demo --clean`: removes the demo's files of that scale, or of every one, and nothing else.
pub fn clean(scale: Option<u64>) -> anyhow::Result<()> {
    let mut freed = Bytes::ZERO;
    let mut problems = Vec::new();
    let chosen = scale.map(|scale| cache().map(|cache| files::demo_dir(&cache, scale))).transpose()?;
    let dirs = chosen.map_or_else(|| cache().map(|cache| files::demo_dirs(&cache)), |dir| Ok(vec![dir]))?;
    for dir in dirs {
        match files::clean(&dir) {
            Ok(bytes) => freed += bytes,
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    writeln!(std::io::stdout(), "removed {freed} of demo models")?;
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

fn say(text: &str) {
    // Nobody may be listening; the demo works without.
    let _ = writeln!(std::io::stderr(), "{text}");
}
