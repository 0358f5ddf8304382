//! `preload`: what a dashboard does at its start, without one: the primary model into VRAM, then the preload list into
//! RAM, each told as it is there.

mod document;
mod teller;

use std::io;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::{Instant, sleep_until, timeout};

use self::teller::Teller;
use super::act::{GRACE, Limits};
use super::args;
use super::out::Out;
use super::ready::{self, Ready};
use super::{Exit, Flags, status};
use crate::config::Config;
use crate::engine::{Command, Handle};
use crate::residency::act::Act;
use crate::residency::event::What;
use crate::residency::guard::startup::Startup;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Snapshot, State};
use crate::residency::text::printable;

/// How long it is waited for what is in RAM already: it says where a load's bytes come from.
const READINGS: Duration = Duration::from_millis(300);
/// How long the engine may take to keep the record of a load.
const RECORD: Duration = Duration::from_millis(500);

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Asked {
    /// End with success when this is ready: all, or as soon as the primary model is in VRAM (the list is not read then)
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub ready: Wanted,
    /// Give up after this long, such as 90s or 5m
    #[arg(long, value_name = "DURATION", value_parser = args::timeout)]
    pub timeout: Option<Duration>,
}

/// What has to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Wanted {
    /// The primary model, `ollama.model` of the config
    Primary,
    /// It, and the preload list
    #[default]
    All,
}

/// Joined from the command line and the config.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `ollama.model`.
    pub primary: Option<ModelName>,
    /// `ollama.preload.models`, if the list is used.
    pub list: Vec<ModelName>,
    /// What has to be ready.
    pub wanted: Wanted,
    /// What a load carries.
    pub keep_alive: Option<KeepAlive>,
    /// The config that was read, for advice.
    pub file: Option<String>,
    /// Nothing may be changed.
    pub read_only: bool,
    /// One JSON document at the end instead of lines.
    pub json: bool,
    /// For all of it together.
    pub timeout: Option<Duration>,
}

impl Request {
    /// Joins what the command line and the config say.
    pub fn new(asked: &Asked, flags: &Flags, config: &Config) -> Request {
        let list = if config.preload.enabled { config.preload.models.clone() } else { Vec::new() };
        Request {
            primary: config.primary.clone(),
            list,
            wanted: asked.ready,
            keep_alive: config.keep_alive,
            file: config.file.as_ref().map(|file| file.to_string_lossy().into_owned()),
            read_only: flags.read_only || config.ui.read_only,
            json: flags.json,
            timeout: asked.timeout,
        }
    }

    /// Why there is nothing to do, and what to write where.
    fn nothing(&self) -> Option<String> {
        let what = match self.wanted {
            Wanted::Primary if self.primary.is_none() => {
                "no primary model: write ollama.model (the model to be in VRAM first)"
            }
            Wanted::All if self.primary.is_none() && self.list.is_empty() => {
                "nothing to preload: write ollama.model (loaded into VRAM first) and ollama.preload.models (read into \
                 RAM)"
            }
            _ => return None,
        };
        let place = self.file.as_ref().map_or_else(
            || "a config; resident config --init proposes one".to_owned(),
            |file| printable(file).into_owned(),
        );
        Some(format!("{what} into {place}"))
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
enum End {
    /// Nothing is left to be done.
    Over,
    /// What is left waits for something that may never come.
    Stuck,
    /// Ctrl-C, or a signal.
    Interrupted,
    /// The time was up, after so long.
    TimedOut(String),
    /// The server does not answer.
    NoServer(String),
    /// It could not be carried out.
    Failed(String),
}

impl End {
    fn exit(&self, startup: Option<&Startup>) -> Exit {
        match self {
            End::Over if startup.is_some_and(is_all_ready) => Exit::Done,
            End::Over | End::Stuck | End::Interrupted | End::Failed(_) => Exit::Failed,
            End::TimedOut(_) => Exit::TimedOut,
            End::NoServer(_) => Exit::NoServer,
        }
    }
}

fn is_all_ready(startup: &Startup) -> bool {
    startup.items.iter().all(|item| item.state.is_ready())
}

/// Carries it out. `interrupt` ends when the user presses Ctrl-C, or a signal asks to stop: what runs is cancelled then.
pub async fn run(
    mut handle: Handle,
    request: &Request,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    if request.read_only {
        out.remark("read-only: nothing is changed, so nothing is preloaded");
        return Exit::Usage;
    }
    if let Some(why) = request.nothing() {
        out.remark(&why);
        return Exit::Usage;
    }
    let mut limits = Limits {
        interrupt: std::pin::pin!(interrupt),
        deadline: request.timeout.map(|timeout| Instant::now() + timeout),
    };
    let mut teller = Teller::new(request);
    let ended = preload(&mut handle, request, &mut limits, &mut teller, out).await;
    let told = ended.and_then(|end| report(&handle.snapshot(), request, &end, &teller, out));
    // Nobody may be left to keep the record; then it is not kept.
    let _ = timeout(RECORD, handle.end()).await;
    told.unwrap_or_else(|error| {
        out.remark(&format!("cannot write the result: {error}"));
        Exit::Failed
    })
}

async fn preload<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &Request,
    limits: &mut Limits<'_, F>,
    teller: &mut Teller<'_>,
    out: &mut Out<'_>,
) -> io::Result<End> {
    let began = Instant::now();
    let patience = limits.deadline.unwrap_or(began + ready::PATIENCE);
    let ready = tokio::select! {
        ready = ready::server(handle, patience) => ready,
        () = limits.interrupt.as_mut() => return Ok(End::Interrupted),
    };
    match ready {
        Ready::Up(_) => {}
        Ready::Down(why) => return Ok(End::NoServer(why)),
        Ready::Late(why) => return Ok(End::TimedOut(why)),
        Ready::Ended => return Ok(End::Failed("the engine has stopped".to_owned())),
    }
    tokio::select! {
        _ = ready::readings(handle, patience.min(Instant::now() + READINGS)) => {}
        () = limits.interrupt.as_mut() => return Ok(End::Interrupted),
    }
    // Only the primary model: there is no list then.
    let no_list = (request.wanted == Wanted::Primary).then(|| Command::List { models: Vec::new() });
    if no_list.into_iter().chain([Command::Preload]).any(|command| handle.send(command).is_err()) {
        return Ok(End::Failed("too many commands are waiting; try again".to_owned()));
    }
    let deadline = limits.deadline;
    let too_late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        end = until_over(handle, teller, out) => return end,
        () = limits.interrupt.as_mut() => End::Interrupted,
        () = too_late => {
            End::TimedOut(format!("not done after {:.1} s", began.elapsed().as_secs_f64()))
        }
    };
    if handle.send(Command::CancelAll).is_err() {
        return Ok(end);
    }
    teller.is_cancelled();
    // It may still have ended well while the cancel was on its way.
    match timeout(GRACE, until_over(handle, teller, out)).await {
        Ok(Ok(End::Over)) if started(&handle.snapshot()).is_some_and(is_all_ready) => Ok(End::Over),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(end),
    }
}

fn started(snapshot: &Snapshot) -> Option<&Startup> {
    snapshot.keeping.startup.as_deref()
}

/// Tells what happens until nothing more does.
async fn until_over(handle: &mut Handle, teller: &mut Teller<'_>, out: &mut Out<'_>) -> io::Result<End> {
    loop {
        let snapshot = handle.snapshots.borrow_and_update().clone();
        if let Some(startup) = started(&snapshot) {
            teller.show(&snapshot, startup, out)?;
            if !startup.is_live() {
                return Ok(End::Over);
            }
            if startup.is_stuck() && !is_loading(&snapshot) {
                return Ok(End::Stuck);
            }
        }
        // What is read goes on without the server; what is loaded fails then.
        let is_moving = snapshot.acts.iter().any(Act::is_live);
        if let Some(why) = ready::down(&snapshot).filter(|_| !is_moving) {
            return Ok(End::NoServer(why));
        }
        if handle.snapshots.changed().await.is_err() {
            return Ok(End::Failed("the engine has stopped".to_owned()));
        }
    }
}

/// A load under way ends by itself: who waits for it is not stuck.
fn is_loading(snapshot: &Snapshot) -> bool {
    let models = snapshot.servers.iter().flat_map(|server| &server.models);
    models.into_iter().any(|model| matches!(model.state, State::Loading { .. }))
}

fn report(
    snapshot: &Snapshot,
    request: &Request,
    end: &End,
    teller: &Teller<'_>,
    out: &mut Out<'_>,
) -> io::Result<Exit> {
    let startup = started(snapshot);
    let exit = end.exit(startup);
    if request.json {
        let document = document::json(snapshot, request, end, exit, teller);
        return out.result(&status::pretty(&document)).map(|()| exit);
    }
    teller.close(snapshot, startup, end, exit, out)?;
    for event in &snapshot.events {
        if let What::Warned { why } = &event.what {
            out.remark(&printable(why));
        }
    }
    Ok(exit)
}
