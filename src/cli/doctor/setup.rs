//! What the check-up is told from beside the snapshot: the settings, the terminal, and what the probes find here.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::cli::access;
use crate::cli::config::Settings as Found;
use crate::config::Config;
use crate::probe::hold::{lock_limit, lock_lines};
use crate::residency::act::Act;
use crate::residency::budget::Limits;
use crate::residency::bytes::Bytes;
use crate::residency::checkup::{
    Access, Check, Disk, Facts, Group, Lock, Settings, Source, Terminal, checkup, largest,
};
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Server, Snapshot, State};
use crate::residency::text::printable;
use crate::residency::timing::Clock;

/// How long the models' directory and the disk may take: a network's disk may hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known before the server is asked.
#[derive(Debug, Clone)]
pub struct Setup {
    settings: Settings,
    limits: Limits,
    terminal: Terminal,
    /// The port of the server, if it may be on this machine.
    port: Option<u16>,
    /// Nothing is read from the disk.
    quick: bool,
}

impl Setup {
    /// From the settings as they were found, as they hold for the server (`config`), and the environment of this process.
    pub fn new(found: &Found, config: &Config, port: Option<u16>, quick: bool) -> Setup {
        let shown = |path: &Path| printable(&path.to_string_lossy()).into_owned();
        let source = match &config.file {
            _ if found.sources.demo => Source::Demo,
            None => Source::Defaults,
            Some(file) if config.may_act => Source::Named(shown(file)),
            Some(file) => Source::Found(shown(file)),
        };
        let preload = &config.preload;
        let acts = [
            ("start-up", preload.enabled && preload.on_startup),
            ("refresh", preload.enabled && preload.auto_refresh),
            ("pins", !config.pins.models.is_empty()),
            ("return", config.return_to_primary.is_some() && config.primary.is_some()),
        ];
        let servers = found.fleet.iter().filter(|_| !config.servers.is_empty());
        let settings = Settings {
            source,
            notes: found.loaded.notes.clone(),
            hands_off: config.hands_off,
            read_only: config.ui.read_only,
            acts: acts.into_iter().filter_map(|(word, acts)| acts.then_some(word)).collect(),
            servers: servers.map(|(name, config)| (name.clone(), access::fetch(config).err())).collect(),
        };
        Setup { settings, limits: config.memory, terminal: terminal(config.ui.ascii), port, quick }
    }

    /// Asks the probes, and judges.
    pub async fn checks(&self, snapshot: &Snapshot, clock: &Clock) -> Vec<Check> {
        let Some(server) = snapshot.servers.first() else { return Vec::new() };
        let (access, disk) = self.files(snapshot, server, clock).await;
        let needed = largest(&server.models).map_or(Bytes::ZERO, |model| model.size);
        let lock = match lock_limit() {
            Some(limit) => Lock::Limited { limit, advice: lock_lines(needed) },
            None if cfg!(target_os = "linux") => Lock::Unlimited,
            None => Lock::Unknown,
        };
        let (group, contained) = match self.port {
            Some(port) if server.local => process(port, snapshot, server),
            _ => (Group::Unknown("it is on another machine".to_owned()), None),
        };
        checkup(&Facts {
            settings: &self.settings,
            limits: self.limits,
            host: &snapshot.host,
            server,
            past: &snapshot.past,
            access: access.as_ref(),
            lock: &lock,
            disk: &disk,
            group: &group,
            contained,
            terminal: &self.terminal,
        })
    }

    /// Who may read the models' files, and how fast the disk is; on a thread of its own, for a disk may hang.
    async fn files(&self, snapshot: &Snapshot, server: &Server, clock: &Clock) -> (Option<Access>, Disk) {
        let unread = |why: &str| (None, Disk::Unread(why.to_owned()));
        if !server.local {
            return unread("the server is on another machine");
        }
        let Some(directory) = server.models_dir.clone() else {
            return unread("where the models lie is not known");
        };
        let blobs = server.models.iter().flat_map(|model| &model.blobs);
        let files: Vec<PathBuf> = blobs.filter_map(|blob| blob.path.clone()).collect();
        let file = match why_not_read(snapshot, self.quick) {
            Some(why) => Err(why.to_owned()),
            None => largest_file(&server.models).ok_or_else(|| "no file of a model is known".to_owned()),
        };
        let (tell, told) = oneshot::channel();
        let clock = Arc::clone(clock);
        let look = move || {
            // Nobody waits any more: it took too long.
            let _ = tell.send((
                access_of(&directory, &files),
                file.map_or_else(Disk::Unread, |file| disk(file, &clock)),
            ));
        };
        if std::thread::Builder::new().name("probe-disk".to_owned()).spawn(look).is_err() {
            return unread("no thread could be started");
        }
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => unread("the disk did not answer in time"),
        }
    }
}

/// Why the disk is left alone now: what reads it at the same time would be disturbed, and disturb.
fn why_not_read(snapshot: &Snapshot, quick: bool) -> Option<&'static str> {
    let reads = |model: &Model| matches!(model.state, State::Loading { .. }) || model.progress.is_some();
    if quick {
        return Some("--quick");
    }
    if snapshot.acts.iter().any(Act::is_live) {
        return Some("an act is under way, which it would disturb");
    }
    let mut models = snapshot.servers.iter().flat_map(|server| &server.models);
    models.any(reads).then_some("a load is under way, which it would disturb")
}

/// The largest file, and whose it is.
fn largest_file(models: &[Model]) -> Option<(ModelName, PathBuf)> {
    let files = models.iter().flat_map(|model| model.blobs.iter().map(move |blob| (model, blob)));
    let files = files.filter_map(|(model, blob)| Some((blob.size, model, blob.path.clone()?)));
    let (_, model, path) = files.max_by_key(|(size, ..)| *size)?;
    Some((model.name.clone(), path))
}

#[cfg(target_os = "linux")]
fn access_of(directory: &Path, files: &[PathBuf]) -> Option<Access> {
    crate::probe::access::look(directory, files)
}

#[cfg(target_os = "linux")]
fn disk((model, path): (ModelName, PathBuf), clock: &Clock) -> Disk {
    match crate::probe::disk::read(&path, clock) {
        Ok(read) => Disk::Read { model, bytes: read.bytes, took: read.took },
        Err(why) => Disk::Unread(why.to_owned()),
    }
}

/// The memory limit on the server's process, and whether it runs in a container.
#[cfg(target_os = "linux")]
fn process(port: u16, snapshot: &Snapshot, server: &Server) -> (Group, Option<bool>) {
    use crate::probe::{ram, runner};
    /// They listen for what runs in a container.
    const PROXIES: [&str; 2] = ["docker-proxy", "rootlessport"];
    let proc = Path::new("/proc");
    let mut runners = server.models.iter().filter_map(|model| model.loaded.as_ref()?.runner.as_ref());
    // A runner's parent is the server, also where something else listens for it.
    let pid = match (runners.find_map(|runner| runner.parent), runner::listener(proc, port)) {
        (Some(parent), _) => parent,
        (None, Some((pid, program)))
            if pid == std::process::id() || ["ollama", "resident"].contains(&&*program) =>
        {
            pid
        }
        (None, Some((pid, program))) => {
            let why = format!("{} (pid {pid}) listens for it", printable(&program));
            return (Group::Unknown(why), PROXIES.contains(&&*program).then_some(true));
        }
        (None, None) => return (Group::Unknown("its process was not found".to_owned()), None),
    };
    // Every limit counts that is below what the machine has; a limit of ours makes that look smaller than it is.
    let whole = snapshot.host.ram.map_or(Bytes(u64::MAX >> 1), |ram| ram.value.total);
    let group = match ram::limit_on(Path::new("/"), pid, whole) {
        Ok(limit) => limit.map_or(Group::Free, Group::Limited),
        Err(_) => Group::Unknown(format!("that of pid {pid} cannot be read")),
    };
    (group, runner::is_contained(proc, pid))
}

#[cfg(not(target_os = "linux"))]
fn access_of(_: &Path, _: &[PathBuf]) -> Option<Access> {
    None
}

#[cfg(not(target_os = "linux"))]
fn disk(_: (ModelName, PathBuf), _: &Clock) -> Disk {
    Disk::Unread("only Linux is known well enough".to_owned())
}

#[cfg(not(target_os = "linux"))]
fn process(_: u16, _: &Snapshot, _: &Server) -> (Group, Option<bool>) {
    (Group::Unknown("this system has none".to_owned()), None)
}

/// What the screen would be drawn on: the terminal may be there though this output goes into a pipe.
fn terminal(ascii: bool) -> Terminal {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let safe = |name: &str| text(name).map(|value| printable(&value).into_owned());
    let is_there =
        std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal();
    Terminal {
        size: is_there.then(|| crossterm::terminal::size().unwrap_or_default()),
        term: safe("TERM"),
        colorterm: safe("COLORTERM"),
        no_color: text("NO_COLOR").is_some(),
        locale: safe("LC_ALL").or_else(|| safe("LC_CTYPE")).or_else(|| safe("LANG")),
        ascii,
    }
}
