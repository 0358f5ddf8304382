//! The wiring: what the engine is handed, for a real server and for the embedded one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{access, demo, state};
use crate::config::{Config, Memory};
use crate::engine::{self, Handle, Journals, Parts, RamTier};
use crate::journal;
use crate::ollama::{Client, Options};
use crate::probe::gpu::{self, CardSource};
use crate::probe::hold::Holder;
use crate::probe::page_cache::PageCache;
use crate::probe::warm::Warmer;
use crate::probe::{pressure, ram, runner};
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
    /// All servers with their names, and the settings as they hold for each.
    fleet: Vec<(String, Arc<Config>)>,
    /// Which of them `config` is for.
    pub at: usize,
    /// How the journals are that engines have opened, one each.
    journals: watch::Sender<Vec<watch::Receiver<journal::State>>>,
}

impl World {
    /// A real server, as the config says.
    pub fn real(config: Config, clock: Clock) -> World {
        World::new(config, clock, None)
    }

    /// Several real servers, of which the one at `at` is looked at first.
    pub fn fleet(fleet: &[(String, Config)], at: usize, clock: Clock) -> World {
        let config = fleet.get(at).map(|(_, config)| config.clone()).unwrap_or_default();
        let fleet = fleet.iter().map(|(name, config)| (name.clone(), Arc::new(config.clone()))).collect();
        World { fleet, at, ..World::new(config, clock, None) }
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
        let journals = watch::Sender::new(Vec::new());
        let (config, stop) = (Arc::new(config), CancellationToken::new());
        let fleet = vec![(config.url.clone(), Arc::clone(&config))];
        World { config, clock, sim, stop, fleet, at: 0, journals }
    }

    /// An engine for each server with its name, none of them started.
    pub fn engines(&self) -> anyhow::Result<Vec<(String, Engine)>> {
        let of =
            |(name, config): &(String, Arc<Config>)| Ok((name.clone(), self.engine_for(Arc::clone(config))?));
        self.fleet.iter().map(of).collect()
    }

    /// What the engine is started with; nothing runs or is read before it starts.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        self.engine_for(Arc::clone(&self.config))
    }

    fn engine_for(&self, config: Arc<Config>) -> anyhow::Result<Engine> {
        let access = access::fetch(&config).map_err(anyhow::Error::msg)?;
        let client = Client::with(&config.url, Options::default(), &access)
            .with_context(|| format!("the address {}", config.url))?;
        let local = client.is_local();
        let card = self.sim.as_ref().map(Sim::card);
        let clock = Arc::clone(&self.clock);
        let demo_scale = self.sim.as_ref().map(Sim::scale);
        let journal = Journals::new(state::journal(&clock, demo_scale.is_some(), self.journals.clone()));
        Ok(Engine { config, client, clock, local, card, demo_scale, journal, stop: self.stop.clone() })
    }

    /// Ends the engine, and the embedded server with its children; what is to be in the journal is written first.
    pub async fn end(self) {
        self.stop.cancel();
        if let Some(sim) = self.sim {
            sim.shutdown().await;
        }
        let opened = self.journals.borrow().clone();
        let closed = async {
            for mut state in opened {
                // The thread ends when it has closed the file.
                while state.changed().await.is_ok() {}
            }
        };
        let _ = tokio::time::timeout(LAST_WRITE, closed).await;
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
    /// The settings as they hold for its server.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

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
