//! The wiring: what the engine is handed, for a real server and for the embedded one; and which subcommand gets it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::act::Request;
use super::out::Out;
use super::{
    Cli, Exit, Sub, act, bench, demo, doctor, flow, history, hold, phase, screen, state, status, swap, tune,
};
use crate::config::{Config, Memory, Strategy};
use crate::engine::{self, Command, Handle, Journals, Parts, RamTier, clock};
use crate::journal;
use crate::ollama::{Client, Options};
use crate::probe::gpu::{self, CardSource};
use crate::probe::hold::Holder;
use crate::probe::page_cache::PageCache;
use crate::probe::warm::Warmer;
use crate::probe::{pressure, ram, runner};
use crate::residency::act::ActKind;
use crate::residency::budget::{self, Limits, Machine};
use crate::residency::bytes::Bytes;
use crate::residency::hold::why_not;
use crate::residency::host::{Cards, Ram};
use crate::residency::timing::{Clock, Reading};
use crate::sim::{CardReader, Sim};

/// Between two readings of the runner processes, where a load of another client shows first; while one loads the engine
/// asks for more.
const RUNNER_PERIOD: Duration = Duration::from_secs(2);
/// Reading files into RAM with pauses shorter than this is one spell.
const SPELL: Duration = Duration::from_secs(5);
/// How long the end waits for what is still to be written into the journal.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// Between two readings of the cards.
const CARD_PERIOD: Duration = Duration::from_secs(2);

/// The settings and, for the demo, the server that they lead to.
pub struct World {
    /// All settings.
    pub config: Arc<Config>,
    /// The one clock.
    pub clock: Clock,
    /// The embedded server, if that is the one.
    pub sim: Option<Sim>,
    /// The one way to stop everything.
    pub stop: CancellationToken,
    /// How the journal is, once the engine has opened it.
    journal: watch::Sender<Option<watch::Receiver<journal::State>>>,
}

impl World {
    /// A real server, as the config says.
    pub fn real(config: Config, clock: Clock) -> World {
        World::new(config, clock, None)
    }

    /// The embedded server: the config's settings, with its address and its scale.
    pub async fn demo(mut config: Config, place: &demo::Place, clock: Clock) -> anyhow::Result<World> {
        let sim = demo::start(place, 0, 0, Arc::clone(&clock)).await?;
        config.url = sim.url();
        config.models_dir = Some(place.dir.clone());
        scale(&mut config.memory, place.scale);
        Ok(World::new(config, clock, Some(sim)))
    }

    fn new(config: Config, clock: Clock, sim: Option<Sim>) -> World {
        let journal = watch::Sender::new(None);
        World { config: Arc::new(config), clock, sim, stop: CancellationToken::new(), journal }
    }

    /// What the engine is started with; nothing runs or is read before it starts.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        let config = Arc::clone(&self.config);
        let client = Client::new(&config.url, Options::default())
            .with_context(|| format!("the address {}", config.url))?;
        let local = client.is_local();
        let card = self.sim.as_ref().map(Sim::card);
        let clock = Arc::clone(&self.clock);
        let demo_scale = self.sim.as_ref().map(Sim::scale);
        let journal = Journals::new(state::journal(&clock, demo_scale.is_some(), self.journal.clone()));
        Ok(Engine { config, client, clock, local, card, demo_scale, journal, stop: self.stop.clone() })
    }

    /// Ends the engine, and the embedded server with its children; what is to be in the journal is written first.
    pub async fn end(self) {
        self.stop.cancel();
        if let Some(sim) = self.sim {
            sim.shutdown().await;
        }
        let opened = self.journal.borrow().clone();
        if let Some(mut state) = opened {
            // The thread ends when it has closed the file.
            let closed = async { while state.changed().await.is_ok() {} };
            let _ = tokio::time::timeout(LAST_WRITE, closed).await;
        }
    }
}

/// An engine that is about to start.
pub struct Engine {
    config: Arc<Config>,
    client: Client,
    clock: Clock,
    local: bool,
    card: Option<CardReader>,
    demo_scale: Option<u64>,
    journal: Journals,
    stop: CancellationToken,
}

impl Engine {
    /// The way to the server, for who needs no engine.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// It goes on until the user ends it, and may be the keeper: it writes down what other clients do.
    #[must_use]
    pub fn keeping(mut self) -> Engine {
        self.journal = self.journal.keeping();
        self
    }

    /// Starts the probes' threads and the engine on the current runtime.
    pub fn start(self) -> Handle {
        let Engine { config, client, clock, local, card, demo_scale, journal, stop } = self;
        // A thread that cannot be had leaves the runners unseen, which the details say.
        let proc = Path::new("/proc");
        let runners = || runner::spawn(proc, client.port(), Arc::clone(&clock), RUNNER_PERIOD).ok();
        let runners = local.then(runners).flatten();
        let source: Box<dyn CardSource> = match card.clone() {
            Some(card) => Box::new(Played(card)),
            // The driver of this machine says nothing of another machine's card.
            None if !local => Box::new(Elsewhere),
            None if config.ui.gpu => gpu::real(),
            None => Box::new(LeftAlone),
        };
        let cards = gpu::spawn(source, Arc::clone(&clock), CARD_PERIOD, stop.clone());
        engine::start(Parts {
            host_name: sysinfo::System::host_name().unwrap_or_default(),
            home: etcetera::home_dir().ok(),
            ram: ram_reader(card.clone()),
            cards: Some(cards),
            pages: local.then(|| PageCache::spawn(Arc::clone(&clock), stop.clone())),
            runners,
            tier: local.then(|| ram_tier(&clock, &stop, card)),
            journal,
            config,
            client,
            clock,
            local,
            demo_scale,
            stop,
        })
    }
}

/// What moves and keeps files in RAM. Its threads do nothing before they are asked.
fn ram_tier(clock: &Clock, stop: &CancellationToken, card: Option<CardReader>) -> RamTier {
    // Each thread reads memory for itself: an old reading would let it take what is gone.
    let (mut of_reader, mut of_holder) = (ram_reader(card.clone()), ram_reader(card));
    let mut before: Option<Reading<Ram>> = None;
    let now = Arc::clone(clock);
    let guard = move || {
        let at = now();
        let value = of_reader()?;
        // Of each spell of reading the first look counts: swapping of an hour ago says nothing.
        let first = before.filter(|first| first.age(at) < SPELL).unwrap_or(Reading { value, at });
        before = Some(Reading { value: first.value, at });
        // Who holds what is not known on this thread: here only what must always stay counts.
        let all = Limits::Set {
            system: Bytes::ZERO,
            models_preload: value.total,
            context_cache: Bytes::ZERO,
            total: value.total,
        };
        budget::why_stop(all, &first.value, &Machine { ram: value, ..Machine::default() }, Bytes::ZERO)
    };
    let gate = move || {
        let ram = of_holder()?;
        let pressure = pressure::memory(Path::new("/")).map(|pressure| pressure.some_avg10);
        why_not(ram.available, budget::least(&ram), pressure)
    };
    RamTier {
        warmer: Warmer::spawn(Arc::clone(clock), stop.clone(), Box::new(guard)),
        holder: Holder::spawn(Arc::clone(clock), stop.clone(), Box::new(gate)),
    }
}

/// The demo's budget is as much smaller as its models are.
fn scale(memory: &mut Memory, by: u64) {
    if let Memory::Set { system, models_preload, context_cache, total } = memory {
        for size in [system, models_preload, context_cache, total] {
            *size = Bytes(size.0 / by.max(1));
        }
    }
}

/// Main memory; in the demo without what plays VRAM.
fn ram_reader(card: Option<CardReader>) -> Box<dyn FnMut() -> Option<Ram> + Send> {
    let mut state = ram::State::default();
    Box::new(move || {
        let ram = ram::read(&mut state)?;
        let Some(played) = card.as_ref().map(CardReader::played_by_ram) else { return Some(ram) };
        Some(Ram { used: ram.used.minus(played), available: ram.available + played, ..ram })
    })
}

/// Reads command line and config, and does what they say.
pub fn run(cli: &Cli) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build();
    let ended = runtime.context("starting the runtime").and_then(|runtime| {
        let ended = runtime.block_on(dispatch(cli));
        // A thread that hangs in a driver must not hold up the end.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "resident: {error:#}");
        Exit::Failed
    })
}

async fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    let clock = clock::system();
    let place = demo::Place::new(cli.flags.demo_scale.unwrap_or(demo::SCALE));
    let too_much = place.as_ref().ok().filter(|_| cli.wants_demo() && !cli.flags.yes);
    let cleans = matches!(cli.command, Some(Sub::Demo { clean: true, .. }));
    if let Some(why) = too_much.filter(|_| !cleans).and_then(demo::Place::is_too_much) {
        let _ = writeln!(std::io::stderr(), "resident: {why}");
        return Ok(Exit::Refused);
    }
    if let Some(Sub::Demo { serve, port, models, clean }) = &cli.command {
        if *clean {
            return demo::clean(cli.flags.demo_scale).map(|()| Exit::Done);
        }
        if *serve {
            return demo::serve(&place?, port.unwrap_or(0), usize::from(models.unwrap_or(0)), clock)
                .await
                .map(|()| Exit::Done);
        }
    }
    let Some(settings) = super::config::load(cli) else { return Ok(Exit::Usage) };
    if let Some(Sub::Config { check, init }) = &cli.command {
        return super::config::run(settings, *check, *init, clock).await;
    }
    let config = settings.loaded.config.clone();
    if let Some(Sub::History(asked)) = &cli.command {
        return history::print(asked, cli, &config.url, clock().wall, columns()).await;
    }
    if let Some(Sub::Tune(asked)) = &cli.command {
        return tune::print(asked, cli, &config, clock().wall).await;
    }
    if matches!(cli.command, None | Some(Sub::Demo { .. })) {
        return screen::run(cli, settings, clock).await;
    }
    let world = if cli.wants_demo() {
        World::demo(config, &place?, clock).await?
    } else {
        World::real(config, clock)
    };
    let exit = one_shot(cli, &world).await;
    world.end().await;
    exit
}

async fn one_shot(cli: &Cli, world: &World) -> anyhow::Result<Exit> {
    // The idea's own way, and the only one where the server's RAM is on another machine.
    let by_request = world.config.preload.strategy == Strategy::Request;
    let (mut results, mut remarks) = (std::io::stdout(), std::io::stderr());
    let mut out = Out::new(&mut results, &mut remarks);
    let interrupt = async {
        // Without signals to be had, Ctrl-C ends the process, and the load with it.
        if demo::interrupted().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    if let Some(Sub::Phase(asked)) = &cli.command {
        return phase::run(asked, &cli.flags, world, interrupt, &mut out).await;
    }
    let handle = world.engine()?.start();
    Ok(match &cli.command {
        Some(Sub::Doctor) => {
            let request = doctor::Request { json: cli.flags.json, recalls: recalls(world, &handle) };
            doctor::run(handle, request, &world.clock, interrupt, &mut out).await
        }
        Some(Sub::Status { watch }) => {
            let recalls = recalls(world, &handle);
            let request = status::Request {
                json: cli.flags.json,
                watch: *watch,
                recalls,
                keep_alive: world.config.keep_alive,
                columns: columns(),
            };
            status::run(handle, &request, &world.clock, interrupt, &mut out).await
        }
        Some(Sub::Bench(ask)) => {
            let mut consent = bench::at_the_terminal;
            bench::run(handle, ask, &cli.flags, &world.config, &mut consent, interrupt, &mut out).await
        }
        Some(Sub::Swap(asked)) => {
            let ui = &world.config.ui;
            let request = swap::Request::new(asked, &cli.flags, ui.confirm, ui.read_only);
            swap::run(handle, &request, interrupt, &mut out).await
        }
        Some(Sub::Flow(asked)) if asked.compare => {
            let scale = world.sim.as_ref().map_or(1, Sim::scale);
            let request = bench::flow::Request { asked, flags: &cli.flags, config: &world.config, scale };
            let mut consent = bench::at_the_terminal;
            bench::flow::run(handle, &request, &world.clock, &mut consent, interrupt, &mut out).await
        }
        Some(Sub::Flow(asked)) => {
            let scale = world.sim.as_ref().map(Sim::scale);
            let request = flow::Request::new(asked, &cli.flags, &world.config, &world.clock, scale);
            let interrupt = async {
                tokio::select! {
                    () = interrupt => {}
                    () = flow::hung_up() => {}
                }
            };
            flow::run(handle, &request, interrupt, &mut out).await
        }
        Some(sub) => match sub.act(&world.config.preload.models) {
            Some((_, models)) if models.models.is_empty() => {
                out.remark(
                    "the preload list is empty: name models, or write ollama.preload.models in the config",
                );
                Exit::Usage
            }
            Some((kind, models)) => {
                let kind = if by_request && kind == ActKind::Warm { ActKind::Load } else { kind };
                let ui = &world.config.ui;
                let request = Request::new(kind, &models, &cli.flags, ui.confirm, ui.read_only);
                match sub {
                    Sub::Hold { foreground, .. } => {
                        hold::run(handle, &request, &world.config, *foreground, interrupt, &mut out).await
                    }
                    _ => act::run(handle, &request, interrupt, &mut out).await,
                }
            }
            None => Exit::Usage,
        },
        None => Exit::Usage,
    })
}

/// Asks for the past where there is one: who only looks makes no journal. A full queue leaves what is told from it
/// unknown, as without one.
fn recalls(world: &World, handle: &Handle) -> bool {
    state::journal_path(world.sim.is_some()).is_some_and(|path| path.exists())
        && handle.send(Command::Recall).is_ok()
}

/// How wide the terminal on stdout is; a pipe has no width.
fn columns() -> Option<usize> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return None;
    }
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns))
}

/// The embedded server's card as a source for the probe.
struct Played(CardReader);

impl CardSource for Played {
    fn read(&mut self) -> Cards {
        self.0.read()
    }
}

/// The card of a server on another machine.
struct Elsewhere;

impl CardSource for Elsewhere {
    fn read(&mut self) -> Cards {
        Cards::Unknown("the server is on another machine".to_owned())
    }
}

/// A card that the user wants left alone.
struct LeftAlone;

impl CardSource for LeftAlone {
    fn read(&mut self) -> Cards {
        Cards::Unknown("not asked: ui.gpu is false".to_owned())
    }
}
