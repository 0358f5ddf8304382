//! `swap`: makes one model ready in VRAM, says the plan before and what each stage took after.

mod after;
mod before;
mod words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

pub(super) use self::after::{After, restore};
pub(super) use self::before::known;
use self::words::{json, line};
pub(super) use self::words::{names, read_from};
use super::act::bar::Bar;
use super::act::ending::Ending;
use super::act::{self, GRACE, Limits, look_up, pins};
use super::args::{Models, Swap};
use super::out::Out;
use super::ready;
use super::{Exit, Flags, status};
use crate::config::Confirm;
use crate::engine::{Command, Handle};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;
use crate::residency::swap::Wish;
use crate::residency::text::printable;

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
    let mut before = None;
    let (ending, id) = swap(&mut handle, request, &model, &mut limits, &mut before, out).await;
    let after = match (id, &before) {
        (Some(id), Some(before)) => After::of(&mut handle, id, before).await,
        _ => After::nothing(),
    };
    let pinned = before.map(|before| pins::others(&before, &model)).unwrap_or_default();
    let is_ready = matches!(ending, Ending::Done { .. });
    // Who reads JSON gets one object.
    let rests = if request.act.json && is_ready {
        pins::rest(&mut handle, &model, &pinned).await
    } else {
        Vec::new()
    };
    let exit = match report(request, &model, &ending, (&after, &rests), out) {
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
    let mut said = 0;
    warn(&handle.snapshot(), &mut said, out);
    let token = after.first_token.or_else(|| after.swap.as_ref()?.stages.first_token);
    if is_ready && request.wish.first_token && token.is_none() {
        out.remark("no first token: this model only embeds");
    }
    if request.restore {
        restore(&mut handle, (&ending, &after), request.act.json, &mut limits, out).await;
    }
    // Nobody may be left to keep it; then it is not kept. Of that the journal may tell only now.
    let snapshots = handle.snapshots.clone();
    let _ = timeout(RECORD, handle.end()).await;
    warn(&snapshots.borrow(), &mut said, out);
    exit
}

/// Says what the user should know, from the events after `said` on.
fn warn(snapshot: &Snapshot, said: &mut u64, out: &mut Out<'_>) {
    for event in snapshot.events.iter().filter(|event| event.number > *said) {
        if let What::Warned { why } = &event.what {
            out.remark(&printable(why));
        }
    }
    *said = snapshot.events.back().map_or(*said, |event| event.number);
}

/// Swaps; gives how it ended, and which act that was if one was begun, with what was seen before it.
async fn swap<F: Future<Output = ()>>(
    handle: &mut Handle,
    request: &Request,
    model: &ModelName,
    limits: &mut Limits<'_, F>,
    before: &mut Option<Arc<Snapshot>>,
    out: &mut Out<'_>,
) -> (Ending, Option<ActId>) {
    let asked = Instant::now();
    let snapshot = match known(handle, &request.act, model, limits).await {
        Ok(snapshot) => snapshot,
        Err(ending) => return (ending, None),
    };
    if let Err(ending) = look_up(&snapshot, &request.act, model) {
        return (ending, None);
    }
    *before = Some(snapshot);
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
        ended = end_of(handle, id, request.act.json, &mut said, out) => {
            return (look_after(handle, ended).await, Some(id));
        }
        () = limits.interrupt.as_mut() => (Command::CancelAll, Ending::Interrupted),
        () = too_late => {
            let why = format!("not done after {:.1} s, cancelled", asked.elapsed().as_secs_f64());
            (Command::Cancel { model: model.clone() }, Ending::TimedOut { why })
        }
    };
    if handle.send(stop).is_err() {
        return (otherwise, Some(id));
    }
    // It may still have ended well while the cancel was on its way.
    match timeout(GRACE, end_of(handle, id, request.act.json, &mut said, out)).await {
        Ok(ending @ Ending::Done { .. }) => (ending, Some(id)),
        _ => (otherwise, Some(id)),
    }
}

fn found(snapshot: &Snapshot, id: ActId) -> Option<&Act> {
    snapshot.acts.iter().find(|act| act.id == id)
}

/// After a failure waits a little for what only the next look at the server shows: that it is gone. Whoever has its
/// model waits for nothing more.
async fn look_after(handle: &mut Handle, ending: Ending) -> Ending {
    match &ending {
        Ending::Failed { cancelled: false, .. } => {
            let is_down = |snapshot: &Arc<Snapshot>| ready::down(snapshot).is_some();
            let down = timeout(LOOK, handle.snapshots.wait_for(is_down)).await;
            match down.ok().and_then(Result::ok).and_then(|snapshot| ready::down(&snapshot)) {
                Some(why) => Ending::NoServer { why },
                None => ending,
            }
        }
        _ => ending,
    }
}

/// Waits for the snapshot that shows the end; says the plan as soon as there is one.
async fn end_of(handle: &mut Handle, id: ActId, as_json: bool, said: &mut bool, out: &mut Out<'_>) -> Ending {
    let mut bar = None;
    loop {
        let snapshot = Arc::clone(&handle.snapshots.borrow_and_update());
        if let Some(act) = found(&snapshot, id) {
            if let Some(swap) = act.swap.as_ref().filter(|_| !*said) {
                let chooses = if swap.plan.server_chooses { "the server chooses what goes, " } else { "" };
                out.remark(&format!("swap to {}: {chooses}{}", act.model, swap.plan.words()));
                *said = true;
            }
            bar.get_or_insert_with(|| Bar::new(&act.model, as_json)).show(Some(act));
            match &act.state {
                ActState::Done { took, .. } => {
                    return Ending::Done { took: *took, note: None, facts: None };
                }
                ActState::Failed { why, cancelled, .. } => {
                    return match ready::down(&snapshot) {
                        Some(why) if !cancelled => Ending::NoServer { why },
                        _ => Ending::Failed { why: why.clone(), cancelled: *cancelled },
                    };
                }
                ActState::Queued { .. } | ActState::Running { .. } => {}
            }
        }
        if handle.snapshots.changed().await.is_err() {
            return Ending::engine_ended();
        }
    }
}

fn report(
    request: &Request,
    model: &ModelName,
    ending: &Ending,
    (after, rests): (&After, &[ModelName]),
    out: &mut Out<'_>,
) -> io::Result<()> {
    if request.act.json {
        return out.result(&status::one_line(&json(ending, model, after, rests)));
    }
    if let Some(left) = after.left.as_ref().filter(|_| !matches!(ending, Ending::Done { .. })) {
        out.remark(left);
    }
    match ending {
        Ending::Done { took, .. } => out.result(&line(model, *took, after)),
        Ending::NoServer { why } if after.swap.is_none() => {
            out.remark(why);
            Ok(())
        }
        _ => {
            out.remark(&ending.line(ActKind::Swap, model));
            Ok(())
        }
    }
}
