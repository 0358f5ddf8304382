//! Loading: defaults, then the file, then the environment, then the flags; all problems come back together.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::find::{Found, Sources, find};
use super::layer::Below;
use super::reader::Reader;
use super::schema::{Beside, SECTIONS, apply};
use super::tree::{self, Kind, Node};
use super::{Config, Place, Problem, Server};
use crate::residency::text::printable;

/// What loading found.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where each key was set; a key that is not here has its default.
    pub origins: BTreeMap<String, Origin>,
    /// Top-level sections that are not ours; untrusted text.
    pub ignored: Vec<String>,
    /// What a person should know, such as a `./config.yaml` that was passed over.
    pub notes: Vec<String>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(Place),
    /// A variable of the environment.
    Env(&'static str),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(place) => place.fmt(f),
            Origin::Env(name) => write!(f, "${name}"),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

impl Loaded {
    /// Whether a server was named by itself, beside `servers`: by `ollama.host`, `OLLAMA_HOST` or `--host`.
    pub(super) fn names_host(&self) -> bool {
        ["ollama.host", "ollama.port"].iter().any(|key| self.origins.contains_key(*key))
    }

    /// All servers with their names, each with the settings as they hold for it: the one that is named by itself first.
    /// Without a list there is one, and its name is its address.
    pub fn fleet(&self) -> Vec<(String, Config)> {
        let config = &self.config;
        let is_listed = config.servers.iter().any(|server| server.url == config.url);
        let alone = config.servers.is_empty() || (self.names_host() && !is_listed);
        let address = config.url.split_once("://").map_or(&*config.url, |(_, rest)| rest);
        let own = alone.then(|| (address.to_owned(), config.clone()));
        let of = |server: &Server| Config {
            url: server.url.clone(),
            access: server.access.clone(),
            ..config.clone()
        };
        let listed = config.servers.iter().map(|server| (server.name.clone(), of(server)));
        own.into_iter().chain(listed).collect()
    }
}

/// Finds, merges and validates the settings.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Problem>> {
    let (loaded, problems) = survey(sources);
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// As [`load`], but what could be read comes back beside the problems: so the keymap can add its own to the list. With
/// any problem the settings are for that only.
pub fn survey(sources: &Sources) -> (Loaded, Vec<Problem>) {
    let mut loaded = Loaded::default();
    let mut problems = Vec::new();
    let mut found = find(sources, false).unwrap_or_else(|problem| {
        problems.push(problem);
        Found::default()
    });
    if found.by_chance
        && let Some(note) = not_ours(&found.text)
    {
        found = find(sources, true).unwrap_or_else(|problem| {
            problems.push(problem);
            Found::default()
        });
        found.notes.insert(0, note);
    }
    loaded.notes = found.notes;
    read_file(&mut loaded, &mut problems, &found.text, found.file, sources);
    loaded.config.may_act = found.may_act;
    let mut below = Below {
        config: &mut loaded.config,
        origins: &mut loaded.origins,
        problems: &mut problems,
        notes: &mut loaded.notes,
    };
    if !sources.demo {
        below.environment(sources);
    }
    below.flags(&sources.flags);
    problems.sort_by_key(Problem::order);
    (loaded, problems)
}

/// The settings of a text alone: no environment, no flags.
pub(super) fn of_text(text: &str) -> Result<Loaded, Vec<Problem>> {
    let (mut loaded, mut problems) = (Loaded::default(), Vec::new());
    read_file(&mut loaded, &mut problems, text, None, &Sources::default());
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

fn read_file(
    loaded: &mut Loaded,
    problems: &mut Vec<Problem>,
    text: &str,
    file: Option<PathBuf>,
    sources: &Sources,
) {
    let name = file.clone().unwrap_or_else(|| PathBuf::from("config.yaml (built in)"));
    let folder = name.parent().filter(|_| file.is_some()).unwrap_or(Path::new("")).to_owned();
    let mut reader = Reader::new(&name);
    match tree::read(text, &|key| SECTIONS.contains(&key)) {
        Ok(root) => {
            let home = sources.home.as_deref();
            let Beside { ignored, notes } = apply(&mut loaded.config, &root, &mut reader, home, &folder);
            loaded.ignored = ignored;
            loaded.notes.extend(notes);
        }
        Err(broken) => reader.wrong(broken.at, "", format!("not YAML: {}", broken.message)),
    }
    loaded.config.file = file;
    loaded.origins = reader.origins;
    problems.extend(reader.problems);
}

/// Why a `./config.yaml` that was merely there is not ours; `None` if it is. One that cannot be parsed is ours if a
/// line of it begins like our section: then its problems are told.
fn not_ours(text: &str) -> Option<String> {
    let has_section = |root: &Node| match &root.kind {
        Kind::Map(entries) => entries.iter().any(|entry| entry.key == "ollama"),
        _ => false,
    };
    match tree::read(text, &|_| false) {
        Ok(root) if has_section(&root) => None,
        Ok(_) => Some("./config.yaml is not used: it has no ollama: section".to_owned()),
        Err(_) if text.lines().any(|line| line.starts_with("ollama:")) => None,
        Err(broken) => Some(format!("./config.yaml is not used: not YAML: {}", printable(&broken.message))),
    }
}
