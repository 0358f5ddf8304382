//! The longer way: an engine makes the model ready, and asks first where that would disturb another one.

use tokio::time::{Instant, sleep};

use super::report::Ready;
use super::wanted::Wanted;
use crate::cli::Exit;
use crate::cli::act::bar::Bar;
use crate::cli::act::ending::Ending;
use crate::cli::act::{self, AGAIN, Limits, OFFERS, Request, pins};
use crate::cli::out::Out;
use crate::cli::swap::{After, known};
use crate::engine::{Busy, Handle};
use crate::residency::act::{ActId, ActKind};
use crate::residency::snapshot::{Model, Snapshot};
use crate::residency::swap::Wish;

/// Makes the model ready and waits until a snapshot shows it.
pub(super) async fn make_ready<F: Future<Output = ()>>(
    handle: &mut Handle,
    wanted: &Wanted,
    request: &Request,
    limits: &mut Limits<'_, F>,
    out: &mut Out<'_>,
) -> Ready {
    let snapshot = match known(handle, request, &wanted.model, limits).await {
        Ok(snapshot) => snapshot,
        Err(ending) => return Ready::not(ending),
    };
    let how = Found::of(&snapshot, wanted);
    let kind = match how {
        Found::Away => ActKind::Swap,
        Found::AsWanted => ActKind::Touch,
        // Loading it again for another context ends it first.
        Found::OtherContext(has) => {
            out.remark(&format!(
                "{} runs with {has} tokens of context and {} are wanted: it is loaded again",
                wanted.model,
                wanted.num_ctx.unwrap_or_default()
            ));
            ActKind::Unload
        }
    };
    let judged = Request { kind, ..request.clone() };
    if let Err(ending) = act::look_up(&snapshot, &judged, &wanted.model) {
        return Ready::not(ending);
    }
    let began = Instant::now();
    let Some(id) = offer(|| ask(handle, wanted)).await else {
        let why = "too many commands are waiting; try again".to_owned();
        return Ready::not(Ending::Failed { why, cancelled: false });
    };
    let bar = Bar::new(&wanted.model, request.json);
    let ending = act::seen_through(handle, id, &wanted.model, bar, began, limits).await;
    if kind == ActKind::Swap && matches!(ending, Ending::Done { .. }) {
        for pinned in pins::rest(handle, &wanted.model, &pins::others(&snapshot, &wanted.model)).await {
            out.remark(&format!("{pinned} stays pinned: it rests until the swap back"));
        }
    }
    let after = After::of(handle, id, &snapshot).await;
    let now = handle.snapshot();
    // A swap of what is there is a touch, without a plan; one that the server lists without a runner is loaded.
    let already = after.swap.is_none() && ending.exit() == Exit::Done;
    // A swap is done before a snapshot lists the model: what its load carried is what it runs with.
    let sent = if already { None } else { limit(&snapshot, wanted) };
    let sent = sent.or_else(|| after.swap.as_ref().and_then(|swap| swap.plan.num_ctx));
    let num_ctx = sent.or_else(|| loaded(&now, wanted).and_then(|model| model.loaded.as_ref()?.context));
    Ready { ending, already, num_ctx, after }
}

/// How the wanted model was found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found {
    /// Not in VRAM.
    Away,
    /// In VRAM, with the wanted context.
    AsWanted,
    /// In VRAM, with this context instead.
    OtherContext(u64),
}

impl Found {
    fn of(snapshot: &Snapshot, wanted: &Wanted) -> Found {
        let Some(model) = loaded(snapshot, wanted) else { return Found::Away };
        let has = model.loaded.as_ref().and_then(|loaded| loaded.context);
        match (limit(snapshot, wanted), has) {
            (Some(wants), Some(has)) if wants != has => Found::OtherContext(has),
            _ => Found::AsWanted,
        }
    }
}

/// The context that is wanted; more than it was trained for the server does not give.
fn limit(snapshot: &Snapshot, wanted: &Wanted) -> Option<u64> {
    let model = snapshot.servers.first().and_then(|server| server.model(&wanted.model));
    let most = model.and_then(|model| model.details.train_context).unwrap_or(u64::MAX);
    wanted.num_ctx.map(|wants| wants.min(most))
}

fn loaded<'a>(snapshot: &'a Snapshot, wanted: &Wanted) -> Option<&'a Model> {
    snapshot.servers.first()?.model(&wanted.model).filter(|model| model.has_runner())
}

fn ask(handle: &Handle, wanted: &Wanted) -> Result<ActId, Busy> {
    handle.swap(wanted.model.clone(), Wish { num_ctx: wanted.num_ctx, ..Wish::default() })
}

/// Offers a command to a full queue again, for a while.
async fn offer(mut send: impl FnMut() -> Result<ActId, Busy>) -> Option<ActId> {
    for _ in 0..OFFERS {
        if let Ok(id) = send() {
            return Some(id);
        }
        sleep(AGAIN).await;
    }
    None
}
