//! `load`, `unload`, `pin`, `unpin`, `touch`, `keep-alive`, `warm`, `drop`: asks the engine for one act after the other and waits for each one's end.

pub(super) mod bar;
pub(super) mod ending;
pub(super) mod moved;
pub(super) mod pins;
pub(super) mod refusal;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::bar::Bar;
use self::ending::Ending;
use self::refusal::{lacks_forecast, refusal};
use super::args::Models;
use super::out::Out;
use super::ready::{self, Ready};
use super::{Exit, Flags};
use crate::config::Confirm;
use crate::engine::{Command, Handle};
use crate::residency::act::{ActId, ActKind, ActState};
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Server, Snapshot, State};

/// How long a cancelled act may take to end before the program leaves it.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How long a forecast is waited for, where a model is loaded that must not be evicted unasked.
pub(super) const FORESIGHT: Duration = Duration::from_secs(3);
/// How often, and how many times, a command is offered to a full queue.
pub(super) const AGAIN: Duration = Duration::from_millis(50);
pub(super) const OFFERS: u32 = 40;

/// What one call of a subcommand asks for.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch each")]
pub struct Request {
    /// What to do.
    pub kind: ActKind,
    /// With which models, in this order.
    pub models: Vec<ModelName>,
    /// `--yes`: also disturb pinned and busy models.
    pub yes: bool,
    /// The config's `ui.confirm`.
    pub confirm: Confirm,
    /// The config's `ui.read_only`, or `--read-only`.
    pub read_only: bool,
    /// Print one JSON object a model instead of a line.
    pub json: bool,
    /// For all of it together; `None` waits as long as a load takes.
    pub timeout: Option<Duration>,
    /// The journal is asked which models are meant to stay.
    pub recalls: bool,
}

impl Request {
    /// Joins what the command line and the config say.
    pub fn new(kind: ActKind, models: &Models, flags: &Flags, confirm: Confirm, read_only: bool) -> Request {
        Request {
            kind,
            models: models.models.clone(),
            yes: flags.yes,
            confirm,
            read_only: read_only || flags.read_only,
            json: flags.json,
            timeout: models.timeout,
            recalls: false,
        }
    }
}

/// Carries the request out. `interrupt` ends when the user presses Ctrl-C (or a signal asks to stop): then all that
/// runs is cancelled.
///
/// Nothing is begun unless every model is known and none needs `--yes`. What fails later does not keep the models
/// after it from being tried; the exit code is the first that is not 0.
pub async fn run(
    mut handle: Handle,
    request: &Request,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    if request.read_only {
        out.remark(&format!("read-only: nothing is changed, so {} is not done", request.kind.verb()));
        return Exit::Usage;
    }
    let mut limits = Limits {
        interrupt: std::pin::pin!(interrupt),
        deadline: request.timeout.map(|timeout| Instant::now() + timeout),
    };
    match carry_out(&mut handle, request, &mut limits, out).await {
        Ok(exit) => exit,
        Err(error) => {
            out.remark(&format!("cannot write the result: {error}"));
            Exit::Failed
        }
    }
}

/// What ends the waiting before the act does.
pub(super) struct Limits<'a, F> {
    pub interrupt: Pin<&'a mut F>,
    pub deadline: Option<Instant>,
}

pub(super) async fn carry_out<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &Request,
    limits: &mut Limits<'_, F>,
    out: &mut Out<'_>,
) -> io::Result<Exit> {
    let snapshot = match known(handle, request, limits).await {
        Ok(snapshot) => snapshot,
        Err(Ending::Interrupted) => return Ok(Exit::Failed),
        Err(ending) => return without_server(request, &ending, out),
    };
    let mut exit = Exit::Done;
    for model in &request.models {
        if let Err(ending) = look_up(&snapshot, request, model) {
            report(request, model, &ending, out)?;
            exit = first(exit, ending.exit());
        }
    }
    // What is held is held one by one: a model that cannot be does not keep the others from it.
    let holds = request.kind == ActKind::Hold;
    if exit != Exit::Done && !holds {
        return Ok(exit);
    }
    for model in &request.models {
        if holds && look_up(&snapshot, request, model).is_err() {
            continue;
        }
        let before = handle.snapshot();
        let seen = before.events.back().map_or(0, |event| event.number);
        if let Some(doubt) = pins::doubt(&before, request, model) {
            out.remark(&doubt);
        }
        let mut ending = one(handle, request, model, limits).await;
        if let Ending::Done { took, note, facts } = &mut ending {
            let now = handle.snapshot();
            *note = match request.kind {
                ActKind::Unload => Some(unloaded(&before, model, *took)),
                ActKind::Unpin => stays(&now, model),
                ActKind::KeepAlive(time) => Some(pins::another(&before, model, time)),
                kind if kind.is_of_ram() => moved::words(&now, kind, model, seen),
                _ => None,
            };
            *facts = match request.kind {
                ActKind::Unload | ActKind::KeepAlive(_) => {
                    pins::ends(&before, model).then(|| json!({"unpinned": true}))
                }
                kind => moved::facts(&now, kind, model, seen),
            };
        }
        report(request, model, &ending, out)?;
        if request.kind == ActKind::Load && matches!(ending, Ending::Done { .. }) {
            for pinned in pins::rest(handle, model, &pins::others(&before, model)).await {
                out.remark(&format!("{pinned} stays pinned: it rests until it is loaded again"));
            }
        }
        exit = first(exit, ending.exit());
        if ending.is_final() {
            break;
        }
    }
    for event in &handle.snapshot().events {
        if let What::Warned { why } = &event.what {
            out.remark(why);
        }
    }
    if request.kind == ActKind::Warm && exit == Exit::Done {
        let names: Vec<String> = request.models.iter().map(ToString::to_string).collect();
        out.remark(&format!(
            "not held: the kernel may take it back; resident hold {} keeps it",
            names.join(" ")
        ));
    }
    Ok(exit)
}

/// Waits until the server has answered, for as long as `patience` lasts.
pub(super) async fn reach<F: Future<Output = ()>>(
    handle: &mut Handle,
    patience: Instant,
    limits: &mut Limits<'_, F>,
) -> Result<(), Ending> {
    let ready = tokio::select! {
        ready = ready::server(handle, patience) => ready,
        () = limits.interrupt.as_mut() => return Err(Ending::Interrupted),
    };
    match ready {
        Ready::Up(_) => Ok(()),
        Ready::Down(why) => Err(Ending::NoServer { why }),
        Ready::Late(why) => Err(Ending::TimedOut { why }),
        Ready::Ended => Err(Ending::engine_ended()),
    }
}

/// Waits until the server is known, and what a load would evict where that has to be asked about first.
pub(super) async fn known<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &Request,
    limits: &mut Limits<'_, F>,
) -> Result<Arc<Snapshot>, Ending> {
    let patience = limits.deadline.unwrap_or_else(|| Instant::now() + ready::PATIENCE);
    reach(handle, patience, limits).await?;
    let read = patience.min(Instant::now() + pins::PATIENCE);
    let snapshot = tokio::select! {
        snapshot = ready::all(handle, read, |snapshot| pins::lacks(snapshot, request)) => snapshot,
        () = limits.interrupt.as_mut() => return Err(Ending::Interrupted),
    };
    if request.yes || request.confirm != Confirm::Risky {
        return Ok(snapshot);
    }
    let foreseen = patience.min(Instant::now() + FORESIGHT);
    let lacks = |snapshot: &Snapshot| {
        let server = snapshot.servers.first();
        server.is_some_and(|s| request.models.iter().any(|model| lacks_forecast(s, request.kind, model)))
    };
    tokio::select! {
        snapshot = ready::forecasts(handle, foreseen, lacks) => Ok(snapshot),
        () = limits.interrupt.as_mut() => Err(Ending::Interrupted),
    }
}

/// What there is to say of an unload beside the time it took.
fn unloaded(before: &Snapshot, model: &ModelName, took: Duration) -> String {
    let was = if is_away(before, model) {
        "is not loaded".to_owned()
    } else {
        format!("unloaded in {:.2} s", took.as_secs_f64())
    };
    if pins::ends(before, model) { format!("{was}; its pin is over") } else { was }
}

/// Whether there is nothing to unload: neither loaded nor about to be.
fn is_away(snapshot: &Snapshot, model: &ModelName) -> bool {
    let model = snapshot.servers.first().and_then(|server| server.model(model));
    model.is_some_and(|model| model.loaded.is_none() && !matches!(model.state, State::Loading { .. }))
}

/// How long an unpinned model stays now, where that is known.
fn stays(snapshot: &Snapshot, model: &ModelName) -> Option<String> {
    let loaded = snapshot.servers.first()?.model(model)?.loaded.as_ref()?;
    let keep_alive = loaded.keep_alive.filter(|keep_alive| !keep_alive.is_forever())?;
    Some(format!("unpinned: now {keep_alive} after its last use"))
}

fn first(so_far: Exit, next: Exit) -> Exit {
    if so_far == Exit::Done { next } else { so_far }
}

fn without_server(request: &Request, ending: &Ending, out: &mut Out<'_>) -> io::Result<Exit> {
    if request.json {
        for model in &request.models {
            report(request, model, ending, out)?;
        }
    } else {
        out.remark(&ending.reason());
    }
    Ok(ending.exit())
}

fn report(request: &Request, model: &ModelName, ending: &Ending, out: &mut Out<'_>) -> io::Result<()> {
    if request.json {
        return out.result(&super::status::one_line(&ending.json(request.kind, model)));
    }
    let line = ending.line(request.kind, model);
    if ending.exit() == Exit::Done {
        return out.result(&line);
    }
    out.remark(&line);
    Ok(())
}

/// Whether the model is there and may be moved without asking.
pub(super) fn look_up(snapshot: &Snapshot, request: &Request, model: &ModelName) -> Result<(), Ending> {
    let Some(server) = snapshot.servers.first() else { return Err(Ending::engine_ended()) };
    if server.model(model).is_none() && !pins::is_unpinned_unseen(snapshot, request.kind, model) {
        return Err(Ending::Unknown { nearest: nearest(server, model) });
    }
    if request.yes {
        return Ok(());
    }
    let too_much = || pins::too_much(snapshot, request, model);
    match too_much().or_else(|| refusal(server, request.kind, model, request.confirm)) {
        Some(why) => Err(Ending::Refused { why }),
        None => Ok(()),
    }
}

/// Up to three installed models whose names are like this one, the likest first.
fn nearest(server: &Server, model: &ModelName) -> Vec<String> {
    const LIKE: f64 = 0.8;
    let asked = model.to_string().to_lowercase();
    let mut likes: Vec<(f64, String)> = server
        .models
        .iter()
        .map(|installed| installed.name.to_string())
        .map(|name| (strsim::jaro_winkler(&asked, &name.to_lowercase()), name))
        .filter(|(like, _)| *like >= LIKE)
        .collect();
    likes.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    likes.into_iter().take(3).map(|(_, name)| name).collect()
}

/// One act from the asking to its end.
async fn one<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &Request,
    model: &ModelName,
    limits: &mut Limits<'_, F>,
) -> Ending {
    // The acts before this one have changed what it would do.
    if let Err(ending) = look_up(&handle.snapshot(), request, model) {
        return ending;
    }
    let asked = Instant::now();
    let Some(id) = ask(handle, request.kind, model).await else {
        return Ending::Failed {
            why: "too many commands are waiting; try again".to_owned(),
            cancelled: false,
        };
    };
    seen_through(handle, id, model, Bar::new(model, request.json), asked, limits).await
}

/// Waits for the end of an act; cancels it when the time is up or the user wants it.
pub(super) async fn seen_through<F: Future<Output = ()>>(
    handle: &mut Handle,
    id: ActId,
    model: &ModelName,
    mut bar: Bar,
    asked: Instant,
    limits: &mut Limits<'_, F>,
) -> Ending {
    let deadline = limits.deadline;
    let too_late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let (stop, otherwise) = tokio::select! {
        biased;
        ending = end_of(handle, id, &mut bar) => return ending,
        () = limits.interrupt.as_mut() => (Command::CancelAll, Ending::Interrupted),
        () = too_late => {
            let why = format!("not done after {:.1} s, cancelled", asked.elapsed().as_secs_f64());
            (Command::Cancel { model: model.clone() }, Ending::TimedOut { why })
        }
    };
    if handle.send(stop).is_err() {
        return otherwise;
    }
    // It may still have ended well while the cancel was on its way.
    match timeout(GRACE, end_of(handle, id, &mut bar)).await {
        Ok(ending @ Ending::Done { .. }) => ending,
        _ => otherwise,
    }
}

async fn ask(handle: &Handle, kind: ActKind, model: &ModelName) -> Option<ActId> {
    for _ in 0..OFFERS {
        if let Ok(id) = handle.act(kind, model.clone()) {
            return Some(id);
        }
        sleep(AGAIN).await;
    }
    None
}

/// Waits for the snapshot that shows the act's end.
async fn end_of(handle: &mut Handle, id: ActId, bar: &mut Bar) -> Ending {
    loop {
        let snapshot = Arc::clone(&handle.snapshots.borrow_and_update());
        bar.show(snapshot.acts.iter().find(|act| act.id == id));
        match snapshot.acts.iter().find(|act| act.id == id).map(|act| &act.state) {
            Some(ActState::Done { took, .. }) => {
                return Ending::Done { took: *took, note: None, facts: None };
            }
            Some(ActState::Failed { why, cancelled, .. }) => {
                return match ready::down(&snapshot) {
                    Some(why) if !cancelled => Ending::NoServer { why },
                    _ => Ending::Failed { why: why.clone(), cancelled: *cancelled },
                };
            }
            Some(ActState::Queued { .. } | ActState::Running { .. }) | None => {}
        }
        if handle.snapshots.changed().await.is_err() {
            return Ending::engine_ended();
        }
    }
}
