//! The subcommand `config`, and the settings for all the others: every problem is said before anything is started.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value, json as object};
use tokio::time::Instant;

use super::ready::{self, PATIENCE, Ready};
use super::status::{SCHEMA_VERSION, pretty};
use super::wire::World;
use super::{Cli, Exit, Sub};
use crate::config::{self, Config, Loaded, Problem, Sources};
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;
use crate::residency::timing::Clock;
use crate::tui::Proposal;
use crate::tui::keymap::Keymap;

/// Settings that hold, and the keys that they bind.
pub struct Settings {
    /// What was found.
    pub loaded: Loaded,
    /// All servers with their names, and the settings as they hold for each.
    pub fleet: Vec<(String, Config)>,
    /// Which of them is meant; `loaded` has its settings.
    pub at: usize,
    /// All keys.
    pub keymap: Keymap,
    /// Where they were looked for.
    pub sources: Sources,
}

/// Where the settings come from for this command line.
fn sources(cli: &Cli) -> Sources {
    let flags = &cli.flags;
    let flags = config::Flags {
        config: flags.config.clone(),
        host: flags.host.clone(),
        refresh: flags.refresh,
        read_only: flags.read_only,
        ascii: flags.ascii,
    };
    Sources::of_process(flags, cli.wants_demo())
}

/// Loads the settings and the keymap; all problems of both go to stderr at once, and then there is nothing.
pub fn load(cli: &Cli) -> Option<Settings> {
    let sources = sources(cli);
    let (mut loaded, mut problems) = config::survey(&sources);
    loaded.config.hands_off = cli.flags.no_auto;
    let fleet = loaded.fleet();
    let asked = cli.flags.server.as_ref();
    let at = asked.map_or(Some(0), |name| fleet.iter().position(|(known, _)| known == name));
    match (at.and_then(|at| fleet.get(at)), asked) {
        // What is printed are the settings as they are written.
        (Some(_), _) if matches!(cli.command, Some(Sub::Config { .. })) => {}
        (Some((_, config)), _) => loaded.config = config.clone(),
        (None, Some(name)) => problems.push(no_such_server(name, &fleet)),
        (None, None) => {}
    }
    let keymap = Keymap::new(&loaded.config.keys).map_err(|more| problems.extend(more)).ok();
    if !problems.is_empty() {
        if cli.flags.json && matches!(cli.command, Some(Sub::Config { .. })) {
            let _ = writeln!(std::io::stdout(), "{}", pretty(&verdict(&problems, &loaded)));
        } else {
            let _ = write!(std::io::stderr(), "{}", config::render(&problems));
        }
        return None;
    }
    Some(Settings { loaded, fleet, at: at.unwrap_or(0), keymap: keymap?, sources })
}

fn no_such_server(name: &str, fleet: &[(String, Config)]) -> config::Problem {
    let known: Vec<&str> = fleet.iter().map(|(name, _)| name.as_str()).collect();
    let message = format!("there is no server {}; known: {}", printable(name), known.join(", "));
    config::Problem { place: None, key: "--server".to_owned(), message }
}

/// `resident config`: prints the merged settings; `--check` only whether they hold; `--init` proposes a file.
pub async fn run(
    settings: Settings,
    (check, init, as_json): (bool, bool, bool),
    clock: Clock,
) -> anyhow::Result<Exit> {
    if init {
        return propose_file(settings, clock).await;
    }
    let Settings { loaded, .. } = settings;
    let mut out = std::io::stdout();
    let text = match (check, as_json) {
        (true, true) => pretty(&verdict(&[], &loaded)) + "\n",
        (true, false) => checked(&loaded),
        (false, true) => pretty(&merged(&loaded)?) + "\n",
        (false, false) => config::show(&loaded),
    };
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("printing the settings"),
        _ => Ok(Exit::Done),
    }
}

/// What `--check` says to a script.
fn verdict(problems: &[Problem], loaded: &Loaded) -> Value {
    let problem = |problem: &Problem| {
        let place = problem.place.as_ref();
        object!({
            "file": place.map(|place| place.file.to_string_lossy()),
            "line": place.map(|place| place.line).filter(|line| *line > 0),
            "column": place.map(|place| place.column).filter(|column| *column > 0),
            "key": problem.key,
            "message": problem.message,
        })
    };
    object!({
        "schema_version": SCHEMA_VERSION,
        "file": loaded.config.file.as_ref().map(|file| file.to_string_lossy()),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "notes": loaded.notes,
        "ignored": loaded.ignored,
    })
}

/// The merged settings for a script: what is printed for eyes, which can be loaded again, and where it comes from.
fn merged(loaded: &Loaded) -> anyhow::Result<Value> {
    let config: Value =
        serde_yaml::from_str(&config::show(loaded)).context("reading the merged settings again")?;
    let origins = loaded.origins.iter().map(|(key, origin)| (key.clone(), origin.to_string().into()));
    Ok(object!({
        "schema_version": SCHEMA_VERSION,
        "file": loaded.config.file.as_ref().map(|file| file.to_string_lossy()),
        "may_act": loaded.config.may_act,
        "config": config,
        // What is not here is a default.
        "origins": origins.collect::<Map<String, Value>>(),
        "notes": loaded.notes,
        "ignored": loaded.ignored,
    }))
}

/// What `--check` says when nothing is wrong.
fn checked(loaded: &Loaded) -> String {
    let mut text = match &loaded.config.file {
        Some(file) => format!("{}: no problems\n", printable(&file.to_string_lossy())),
        None => "no config file; the defaults hold\n".to_owned(),
    };
    // Writing into a String cannot fail.
    for note in &loaded.notes {
        let _ = writeln!(text, "{}", printable(note));
    }
    for section in &loaded.ignored {
        let _ = writeln!(text, "ignored: section {}, which is not ours", printable(section));
    }
    text
}

/// `--init`: asks the server what is installed, writes the proposal to the user's own path, and never over a file.
async fn propose_file(settings: Settings, clock: Clock) -> anyhow::Result<Exit> {
    let world = World::real(settings.loaded.config, clock);
    let mut handle = world.engine()?.start();
    let snapshot = match ready::server(&mut handle, Instant::now() + PATIENCE).await {
        Ready::Up(snapshot) => snapshot,
        Ready::Down(why) | Ready::Late(why) => {
            let _ = writeln!(std::io::stderr(), "resident: {why}");
            return Ok(Exit::NoServer);
        }
        Ready::Ended => return Ok(Exit::Failed),
    };
    world.end().await;
    let proposal = match proposal(&settings.sources, &snapshot) {
        Ok(proposal) => proposal,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "resident: {why}");
            return Ok(Exit::Failed);
        }
    };
    if let Err(why) = write_new(&proposal.path, &proposal.text) {
        // The proposal itself is the result that was asked for; what is there stays as it is.
        let _ = write!(std::io::stdout(), "{}", proposal.text);
        let _ = writeln!(std::io::stderr(), "resident: {why}");
        return Ok(Exit::Failed);
    }
    writeln!(std::io::stdout(), "wrote {}", proposal.path.display())?;
    Ok(Exit::Done)
}

/// The file that fits what is installed and the memory that is there.
pub fn proposal(sources: &Sources, snapshot: &Snapshot) -> Result<Proposal, String> {
    let path = config::user_path(sources).ok_or("no home directory: set XDG_CONFIG_HOME")?;
    let models = snapshot.servers.first().map(|server| server.models.as_slice()).unwrap_or_default();
    let mut installed: Vec<_> = models
        .iter()
        .filter(|model| model.details.remote_host.is_none() && !model.digest.is_empty())
        .filter(|model| !model.details.is_embedding_only())
        .map(|model| (model.name.clone(), model.size))
        .collect();
    // The first one is the primary model: the largest that fits on the card with room for its context.
    let cards = snapshot.host.card_list();
    let room = cards.iter().map(|card| Bytes(card.total.0 / 5 * 4)).max();
    let fits = |size: Bytes| room.is_none_or(|room| size <= room);
    let primary = (0..installed.len()).filter(|&i| fits(installed[i].1)).max_by_key(|&i| installed[i].1);
    if let Some(primary) = primary.filter(|_| room.is_some()) {
        installed[..=primary].rotate_right(1);
    }
    if installed.is_empty() {
        return Err("no models are known yet: start the server, or get one with: ollama pull NAME".to_owned());
    }
    let ram = snapshot.host.ram.map(|reading| reading.value.total);
    // The demo's server is gone with the demo.
    let server = snapshot.servers.first().filter(|server| server.demo_scale.is_none());
    let usual = config::Config::default().url;
    let url = server.map(|server| server.url.as_str()).filter(|url| *url != usual);
    Ok(Proposal { text: config::proposal(&installed, ram, url), exists: path.exists(), path })
}

/// The config into which the preload list can be written: the one that was read, else the user's own.
pub fn list_place(settings: &Settings) -> Option<PathBuf> {
    settings.loaded.config.file.clone().or_else(|| config::user_path(&settings.sources))
}

/// Writes into a config that a model is on the preload list, or no longer; all else in it stays as it is, the rest of
/// the list as it is there now included. Says what was done.
pub fn write_listed(path: &Path, model: &ModelName, is_on: bool) -> Result<String, String> {
    let old = match std::fs::read_to_string(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let mut list = match old {
        Some(_) => listed_in(path)?,
        None => Vec::new(),
    };
    list.retain(|listed| listed != model);
    if is_on {
        list.push(model.clone());
    }
    let new = config::with_preload(old.as_deref(), &list)?;
    match old {
        Some(old) => config::write_over(path, &old, &new)?,
        None => write_new(path, &new)?,
    }
    Ok(format!("wrote {} models to the preload list in {}", list.len(), path.display()))
}

/// The preload list that a file has now.
fn listed_in(path: &Path) -> Result<Vec<ModelName>, String> {
    let flags = config::Flags { config: Some(path.to_owned()), ..config::Flags::default() };
    let loaded = config::load(&Sources { flags, ..Sources::default() });
    loaded.map(|loaded| loaded.config.preload.models).map_err(|problems| {
        let first = config::render(&problems);
        format!("{} has problems: {}", path.display(), first.lines().next().unwrap_or_default())
    })
}

/// Writes a config where none is; the error says what to do.
pub fn write_new(path: &Path, text: &str) -> Result<(), String> {
    config::write_new(path, text).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already and stays as it is", path.display()),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}
