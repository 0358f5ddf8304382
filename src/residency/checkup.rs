//! The check-up: how this program, the server and the machine are set up, told from facts; each line with what to do.
//!
//! | file | subject |
//! |---|---|
//! | `settings` | the config, what it lets act, the servers it names |
//! | `server` | the server, and what its version can and cannot do |
//! | `files` | the models' directory, and whether the kernel says what of it is in RAM |
//! | `memory` | what may be locked, the budget, limits of control groups |
//! | `card` | the cards and their way to the memory |
//! | `disk` | the disk, how the server reads it, and whether RAM helps at all |
//! | `terminal` | what the screen is drawn on |
//!
//! What cannot be known is unknown, with its reason, and never guessed.

mod card;
mod disk;
mod files;
mod memory;
mod server;
mod settings;
mod terminal;

use super::budget::Limits;
use super::record::Past;
use super::snapshot::{Host, Model, Server};

pub use disk::Disk;
pub use files::Access;
pub use memory::{Group, Lock};
pub use settings::{Settings, Source};
pub use terminal::Terminal;

/// One line: a fact, what is thought of it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub topic: Topic,
    /// What was found; names in it are untrusted text.
    pub fact: String,
    /// What is thought of it.
    pub verdict: Verdict,
    /// What to do, where there is something to do.
    pub advice: Option<String>,
}

impl Check {
    fn new(topic: Topic, verdict: Verdict, fact: impl Into<String>) -> Check {
        Check { topic, fact: fact.into(), verdict, advice: None }
    }

    fn ok(topic: Topic, fact: impl Into<String>) -> Check {
        Check::new(topic, Verdict::Ok, fact)
    }

    fn unknown(topic: Topic, why: impl Into<String>) -> Check {
        Check::new(topic, Verdict::Unknown, why)
    }

    fn advise(self, advice: impl Into<String>) -> Check {
        Check { advice: Some(advice.into()), ..self }
    }
}

/// What is thought of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and could work better.
    Better,
    /// Something does not work.
    Broken,
    /// Nobody can say from here.
    Unknown,
}

impl Verdict {
    /// Its name for scripts.
    pub fn key(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Better => "could_be_better",
            Verdict::Broken => "broken",
            Verdict::Unknown => "unknown",
        }
    }

    /// Its word for eyes, at most seven columns wide.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Better => "better",
            Verdict::Broken => "broken",
            Verdict::Unknown => "unknown",
        }
    }
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The file with the settings.
    Config,
    /// What may act by itself.
    Acts,
    /// The servers that the config names.
    Servers,
    /// The server that is asked.
    Server,
    /// What its version can do.
    Version,
    /// What reads the weights in it.
    Engine,
    /// Where its models lie, and who may read them.
    Models,
    /// Whether the kernel says what is in RAM.
    PageCache,
    /// How much may be locked.
    Memlock,
    /// The cards.
    Card,
    /// A card's way to the memory.
    Pcie,
    /// How fast the disk is.
    Disk,
    /// How the server reads weights.
    LoadMode,
    /// Whether a model in RAM loads faster here.
    RamHelps,
    /// The budget against the memory there is.
    Budget,
    /// Limits of control groups.
    Cgroup,
    /// Containers.
    Container,
    /// The size of the terminal.
    Terminal,
    /// Its colours.
    Colours,
    /// Its characters.
    Unicode,
}

impl Topic {
    /// Its name for scripts.
    pub fn key(self) -> &'static str {
        match self {
            Topic::PageCache => "page_cache",
            Topic::LoadMode => "load_mode",
            Topic::RamHelps => "ram_helps",
            other => other.word(),
        }
    }

    /// Its name for eyes, at most ten columns wide.
    pub fn word(self) -> &'static str {
        match self {
            Topic::Config => "config",
            Topic::Acts => "acts",
            Topic::Servers => "servers",
            Topic::Server => "server",
            Topic::Version => "version",
            Topic::Engine => "engine",
            Topic::Models => "models",
            Topic::PageCache => "page cache",
            Topic::Memlock => "memlock",
            Topic::Card => "card",
            Topic::Pcie => "pcie",
            Topic::Disk => "disk",
            Topic::LoadMode => "load mode",
            Topic::RamHelps => "ram helps",
            Topic::Budget => "budget",
            Topic::Cgroup => "cgroup",
            Topic::Container => "container",
            Topic::Terminal => "terminal",
            Topic::Colours => "colours",
            Topic::Unicode => "unicode",
        }
    }
}

/// All that is told from.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// How this program is set up.
    pub settings: &'a Settings,
    /// The budget as the config has it.
    pub limits: Limits,
    /// The machine.
    pub host: &'a Host,
    /// The server that is asked.
    pub server: &'a Server,
    /// What the journal knows of it.
    pub past: &'a Past,
    /// Who may read its models; `None` where that could not be looked at.
    pub access: Option<&'a Access>,
    /// How much this process may lock.
    pub lock: &'a Lock,
    /// How fast the disk is.
    pub disk: &'a Disk,
    /// The memory limit of the server's own control group.
    pub group: &'a Group,
    /// Whether the server runs in a container, where that could be seen.
    pub contained: Option<bool>,
    /// What the screen would be drawn on.
    pub terminal: &'a Terminal,
}

/// All checks, in the order in which they are read.
pub fn checkup(facts: &Facts<'_>) -> Vec<Check> {
    let Facts { settings, host, server, past, .. } = *facts;
    let ram = host.ram.map(|reading| reading.value);
    let largest = largest(&server.models);
    let mut checks = vec![settings::file(settings), settings::acts(settings)];
    checks.extend(settings::servers(settings));
    checks.push(server::server(server));
    checks.push(server::version(server.version.as_deref(), server.demo_scale));
    checks.extend(server::engine(server.version.as_deref(), server.demo_scale));
    checks.push(files::models(server, facts.access));
    checks.push(files::page_cache(server));
    checks.push(memory::lock(facts.lock, largest, server.local));
    checks.push(card::cards(host.cards.as_ref().map(|reading| &reading.value), server.demo_scale));
    // What plays a card in the demo has no link.
    let cards = host.card_list().iter().filter(|_| server.demo_scale.is_none());
    checks.extend(cards.filter_map(card::pcie));
    checks.push(disk::disk(facts.disk, largest));
    let mode = disk::mode(&server.models, past);
    checks.push(disk::load_mode(mode.as_ref()));
    checks.push(disk::ram_helps(mode.as_ref().map(|(mode, _)| *mode), facts.disk, past));
    checks.push(memory::budget(facts.limits, ram.as_ref(), &server.models, server.local));
    checks.push(memory::cgroup(ram.as_ref(), facts.group, largest));
    checks.push(memory::container(ram.as_ref(), facts.contained, &server.models, server.local));
    checks.extend(terminal::terminal(facts.terminal));
    checks
}

/// The model that needs most: of those on the preload list, or else of all.
pub fn largest(models: &[Model]) -> Option<&Model> {
    let is_there = |model: &&Model| model.details.remote_host.is_none() && model.size.0 > 0;
    let by_size = |model: &&Model| model.size;
    let listed = models.iter().filter(is_there).filter(|model| model.listed.is_some()).max_by_key(by_size);
    listed.or_else(|| models.iter().filter(is_there).max_by_key(by_size))
}

const ELSEWHERE: &str = "the server is on another machine";
