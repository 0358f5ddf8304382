//! `swap`: makes one model ready in VRAM, says the plan before and what each stage took after.

mod words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

pub(super) use self::words::read_from;
use self::words::{json, line};
use super::act::bar::Bar;
use super::act::ending::Ending;
use super::act::{self, FORESIGHT, GRACE, Limits, look_up, pins};
use super::args::{Models, Swap};
use super::out::Out;
use super::ready::{self, Ready};
use super::{Exit, Flags, status};
use crate::config::Confirm;
use crate::engine::{Command, Handle};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Server, Snapshot, State};
use crate::residency::swap::{Swapping, Wish};
use crate::residency::text::printable;
use crate::residency::tier::Cached;

/// How long the residency of its files is waited for: a warm swap must not wait for it.
const RESIDENCY: Duration = Duration::from_millis(100);
/// How long the engine may take to keep the record.
const RECORD: Duration = Duration::from_millis(500);
/// How long the next look at the server is waited for: it shows that nobody is there.
const LOOK: Duration = Duration::from_millis(500);

/// What one call asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What else is asked of the swap.
    pub wish: Wish,
    /// If it fails, what it unloaded is loaded again.
    pub restore: bool,
    /// The model, and what every act is asked with.
    pub act: act::Request,
}

impl Request {
    /// Joins what the command line and the config say.
    pub fn new(swap: &Swap, flags: &Flags, confirm: Confirm, read_only: bool) -> Request {
        let (num_ctx, way, first_token) = (swap.num_ctx, swap.warm, swap.first_token);
        let models = Models { models: vec![swap.model.clone()], timeout: swap.timeout };
        Request {
            wish: Wish { num_ctx, way, first_token, spare: false },
            restore: swap.restore,
            act: act::Request::new(ActKind::Swap, &models, flags, confirm, read_only),
        }
    }

    fn model(&self) -> Option<&ModelName> {
        self.act.models.first()
    }
}

/// Carries the swap out. `interrupt` ends when the user presses Ctrl-C: then it is cancelled.
pub async fn run(
    mut handle: Handle,
    request: &Request,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    let Some(model) = request.model().cloned() else { return Exit::Usage };
    if request.act.read_only {
        out.remark("read-only: nothing is changed, so nothing is swapped");
        return Exit::Usage;
    }
    let mut limits = Limits {
        interrupt: std::pin::pin!(interrupt),
        deadline: request.act.timeout.map(|timeout| Instant::now() + timeout),
    };
    let mut pinned = Vec::new();
    let (ending, swap) = swap(&mut handle, request, &model, &mut limits, &mut pinned, out).await;
    let is_ready = matches!(ending, Ending::Done { .. });
    // Who reads JSON gets one object.
    let rests = if request.act.json && is_ready {
        pins::rest(&mut handle, &model, &pinned).await
    } else {
        Vec::new()
    };
    let exit = match report(request, &model, &ending, (swap.as_deref(), &rests), out) {
        Ok(()) => ending.exit(),
        Err(error) => {
            out.remark(&format!("cannot write the result: {error}"));
            Exit::Failed
        }
    };
    if is_ready && !request.act.json {
        for model in pins::rest(&mut handle, &model, &pinned).await {
            out.remark(&format!("{model} stays pinned: it rests until the swap back"));
        }
    }
    for event in &handle.snapshot().events {
        if let What::Warned { why } = &event.what {
            out.remark(&printable(why));
        }
    }
    let ended_badly = matches!(ending, Ending::Failed { .. } | Ending::Interrupted | Ending::TimedOut { .. });
    if request.restore && ended_badly {
        // A second interrupt ends the program.
        let listens = !matches!(ending, Ending::Interrupted);
        restore(&mut handle, request, swap.as_deref(), (&mut limits, listens), out).await;
    }
    // Nobody may be left to keep it; then it is not kept.
    let _ = timeout(RECORD, handle.end()).await;
    exit
}

async fn swap<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &Request,
    model: &ModelName,
    limits: &mut Limits<'_, F>,
    pinned: &mut Vec<ModelName>,
    out: &mut Out<'_>,
) -> (Ending, Option<Arc<Swapping>>) {
    let asked = Instant::now();
    let patience = limits.deadline.unwrap_or(asked + ready::PATIENCE);
    // What the server tells of this model is asked first. A queue that is full at once asks in its usual order.
    let _ = handle.send(Command::Look { model: model.clone() });
    let ready = tokio::select! {
        ready = ready::server(handle, patience) => ready,
        () = limits.interrupt.as_mut() => return (Ending::Interrupted, None),
    };
    match ready {
        Ready::Up(_) => {}
        Ready::Down(why) => return (Ending::NoServer { why }, None),
        Ready::Late(why) => return (Ending::TimedOut { why }, None),
        Ready::Ended => return (Ending::engine_ended(), None),
    }
    let planned = async {
        let foreseen = patience.min(asked + FORESIGHT);
        ready::forecasts(handle, foreseen, |snapshot| lacks_forecast_of(snapshot, model)).await;
        let read = patience.min(Instant::now() + RESIDENCY);
        let lacks_pins = |snapshot: &Snapshot| pins::lacks(snapshot, &request.act);
        ready::all(handle, read, |s| lacks_residency_of(s, model) || lacks_pins(s)).await
    };
    let snapshot = tokio::select! {
        snapshot = planned => snapshot,
        () = limits.interrupt.as_mut() => return (Ending::Interrupted, None),
    };
    if let Err(ending) = look_up(&snapshot, &request.act, model) {
        return (ending, None);
    }
    *pinned = pins::others(&snapshot, model);
    let Ok(id) = handle.swap(model.clone(), request.wish.clone()) else {
        let why = "too many commands are waiting; try again".to_owned();
        return (Ending::Failed { why, cancelled: false }, None);
    };
    let deadline = limits.deadline;
    let too_late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let mut said = request.act.json;
    let (stop, otherwise) = tokio::select! {
        biased;
        ended = end_of(handle, id, request, &mut said, out) => return look_after(handle, ended).await,
        () = limits.interrupt.as_mut() => (Command::CancelAll, Ending::Interrupted),
        () = too_late => {
            let why = format!("not done after {:.1} s, cancelled", asked.elapsed().as_secs_f64());
            (Command::Cancel { model: model.clone() }, Ending::TimedOut { why })
        }
    };
    if handle.send(stop).is_err() {
        return (otherwise, None);
    }
    // It may still have ended well while the cancel was on its way.
    match timeout(GRACE, end_of(handle, id, request, &mut said, out)).await {
        Ok((ending @ Ending::Done { .. }, swap)) => (ending, swap),
        Ok((_, swap)) => {
            let snapshot = handle.snapshot();
            if let Some(ActState::Failed { why, .. }) = found(&snapshot, id).map(|act| &act.state) {
                out.remark(&printable(why));
            }
            (otherwise, swap)
        }
        Err(_) => (otherwise, None),
    }
}

/// Whether what must go is still to be foreseen, where anything is loaded at all.
fn lacks_forecast_of(snapshot: &Snapshot, name: &ModelName) -> bool {
    let Some((server, model)) = unloaded(snapshot, name) else { return false };
    let is_full = server.models.iter().any(|other| other.loaded.is_some());
    let foresees = !server.local || model.forecast.is_some() || model.state == State::Cloud;
    is_full && !foresees
}

/// Whether it is still to be read how much of the model is in RAM.
fn lacks_residency_of(snapshot: &Snapshot, name: &ModelName) -> bool {
    unloaded(snapshot, name).is_some_and(|(server, model)| server.local && model.cached == Cached::Unread)
}

fn unloaded<'a>(snapshot: &'a Snapshot, name: &ModelName) -> Option<(&'a Server, &'a Model)> {
    let server = snapshot.servers.first()?;
    server.model(name).filter(|model| model.loaded.is_none()).map(|model| (server, model))
}

fn found(snapshot: &Snapshot, id: ActId) -> Option<&Act> {
    snapshot.acts.iter().find(|act| act.id == id)
}

/// After a failure waits a little for what only the next look at the server shows: that it is gone. Whoever has its
/// model waits for nothing more.
async fn look_after(
    handle: &mut Handle,
    (ending, swap): (Ending, Option<Arc<Swapping>>),
) -> (Ending, Option<Arc<Swapping>>) {
    match &ending {
        Ending::Failed { cancelled: false, .. } => {
            let is_down = |snapshot: &Arc<Snapshot>| ready::down(snapshot).is_some();
            let down = timeout(LOOK, handle.snapshots.wait_for(is_down)).await;
            match down.ok().and_then(Result::ok).and_then(|snapshot| ready::down(&snapshot)) {
                Some(why) => (Ending::NoServer { why }, swap),
                None => (ending, swap),
            }
        }
        _ => (ending, swap),
    }
}

/// Waits for the snapshot that shows the end; says the plan as soon as there is one.
async fn end_of(
    handle: &mut Handle,
    id: ActId,
    request: &Request,
    said: &mut bool,
    out: &mut Out<'_>,
) -> (Ending, Option<Arc<Swapping>>) {
    let mut bar = None;
    loop {
        let snapshot = Arc::clone(&handle.snapshots.borrow_and_update());
        if let Some(act) = found(&snapshot, id) {
            if let Some(swap) = act.swap.as_ref().filter(|_| !*said) {
                let chooses = if swap.plan.server_chooses { "the server chooses what goes, " } else { "" };
                out.remark(&format!("swap to {}: {chooses}{}", act.model, swap.plan.words()));
                *said = true;
            }
            bar.get_or_insert_with(|| Bar::new(&act.model, request.act.json)).show(Some(act));
            let swap = act.swap.clone();
            match &act.state {
                ActState::Done { took, .. } => {
                    return (Ending::Done { took: *took, note: None, facts: None }, swap);
                }
                ActState::Failed { why, cancelled, .. } => {
                    let ending = match ready::down(&snapshot) {
                        Some(why) if !cancelled => Ending::NoServer { why },
                        _ => Ending::Failed { why: why.clone(), cancelled: *cancelled },
                    };
                    return (ending, swap);
                }
                ActState::Queued { .. } | ActState::Running { .. } => {}
            }
        }
        if handle.snapshots.changed().await.is_err() {
            return (Ending::engine_ended(), None);
        }
    }
}

fn report(
    request: &Request,
    model: &ModelName,
    ending: &Ending,
    (swap, rests): (Option<&Swapping>, &[ModelName]),
    out: &mut Out<'_>,
) -> io::Result<()> {
    if request.act.json {
        return out.result(&status::one_line(&json(ending, model, swap, rests)));
    }
    match ending {
        Ending::Done { took, .. } => out.result(&line(model, *took, swap)),
        Ending::NoServer { why } if swap.is_none() => {
            out.remark(why);
            Ok(())
        }
        _ => {
            out.remark(&ending.line(ActKind::Swap, model));
            Ok(())
        }
    }
}

/// Loads again what was unloaded for nothing.
async fn restore<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &Request,
    swap: Option<&Swapping>,
    (limits, listens): (&mut Limits<'_, F>, bool),
    out: &mut Out<'_>,
) {
    for old in swap.into_iter().flat_map(|swap| &swap.plan.goes) {
        let Ok(id) = handle.act(ActKind::Load, old.clone()) else { return };
        let mut said = request.act.json;
        let (ending, _) = tokio::select! {
            ended = end_of(handle, id, request, &mut said, out) => ended,
            () = limits.interrupt.as_mut(), if listens => return,
        };
        out.remark(&match ending {
            Ending::Done { .. } => format!("{old} is loaded again"),
            _ => ending.line(ActKind::Load, old),
        });
    }
}
