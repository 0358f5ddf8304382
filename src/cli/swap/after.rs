//! What is looked for and done after a swap's end: what went for it, whose pins rest, what one that did not end well has
//! left, and the way back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{end_of, found};
use crate::cli::act::Limits;
use crate::cli::act::ending::Ending;
use crate::cli::out::Out;
use crate::cli::ready;
use crate::engine::Handle;
use crate::residency::act::{ActId, ActKind, ActState};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Server, Snapshot};
use crate::residency::swap::Swapping;
use crate::residency::text::printable;

/// How long the look is waited for that shows what went: where the server must not be asked often it comes a second after
/// the one before.
const SEEN: Duration = Duration::from_secs(2);

/// What a swap came to, beside how it ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::cli) struct After {
    /// Its plan and its stages, if it came so far.
    pub swap: Option<Arc<Swapping>>,
    /// What its first token took, of a model that was there already and was asked for one.
    pub first_token: Option<Duration>,
    /// What went for it; `None` where that is not known.
    pub displaced: Option<Vec<ModelName>>,
    /// What a cancel has left, in words.
    pub left: Option<String>,
    /// What was left of the time of each model that was loaded before.
    pub had: Vec<(ModelName, KeepAlive)>,
}

impl After {
    /// Of a swap that was not begun: nothing went for it.
    pub(in crate::cli) fn nothing() -> After {
        After { displaced: Some(Vec::new()), ..After::default() }
    }

    /// Of this one, which was asked for at `before`. Where the server chose what goes, the look after its end shows that, and it comes soon; where no
    /// runner is to be seen, no look would show it.
    pub(in crate::cli) async fn of(handle: &mut Handle, id: ActId, before: &Snapshot) -> After {
        let sees = |server: &Server| server.local && server.runners != Some(0);
        let lacks = |snapshot: &Snapshot| {
            let swap = found(snapshot, id).and_then(|act| act.swap.as_ref());
            swap.is_some_and(|swap| swap.went.is_none()) && snapshot.servers.iter().any(sees)
        };
        let snapshot = ready::all(handle, Instant::now() + SEEN, lacks).await;
        let had = before.servers.iter().flat_map(|server| &server.models);
        let had = had.filter_map(|model| Some((model.name.clone(), model.loaded.as_ref()?.left(before.at)?)));
        let had = had.collect();
        let Some(act) = found(&snapshot, id) else { return After { had, ..After::default() } };
        let left = match &act.state {
            ActState::Failed { why, cancelled: true, .. } => Some(printable(why).into_owned()),
            _ => None,
        };
        let displaced = act.swap.as_ref().map_or_else(|| Some(Vec::new()), |swap| swap.went.clone());
        After { swap: act.swap.clone(), first_token: act.first_token, displaced, left, had }
    }
}

/// Loads again what went for nothing, after a swap that did not end well; each stays no longer than it would have.
pub(in crate::cli) async fn restore<F: Future<Output = ()>>(
    handle: &mut Handle,
    (ending, after): (&Ending, &After),
    as_json: bool,
    limits: &mut Limits<'_, F>,
    out: &mut Out<'_>,
) {
    if !matches!(ending, Ending::Failed { .. } | Ending::Interrupted | Ending::TimedOut { .. }) {
        return;
    }
    // A second interrupt ends the program.
    let listens = !matches!(ending, Ending::Interrupted);
    let planned = || after.swap.as_ref().map(|swap| swap.plan.goes.clone());
    for old in after.displaced.clone().or_else(planned).unwrap_or_default() {
        let had = after.had.iter().find(|(name, _)| *name == old).map(|(_, left)| *left);
        // The load of one whose pin rests carries that itself.
        let time = had.filter(|left| !left.is_forever()).map(ActKind::KeepAlive);
        let mut told = format!("{old} is loaded again");
        for kind in [ActKind::Load].into_iter().chain(time) {
            let Ok(id) = handle.act(kind, old.clone()) else { return };
            let mut said = true;
            let ending = tokio::select! {
                ended = end_of(handle, id, as_json, &mut said, out) => ended,
                () = limits.interrupt.as_mut(), if listens => return,
            };
            if !matches!(ending, Ending::Done { .. }) {
                told = ending.line(kind, &old);
                break;
            }
        }
        out.remark(&told);
    }
}
