//! Jobs: the requests that an act comes down to, chosen from what is known when it starts.

use std::time::Duration;

use crate::engine::known::Known;
use crate::residency::act::{Act, ActKind};
use crate::residency::expiry::Expiry;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Details;
use crate::residency::swap::Wish;

/// The server's own default, restored by an unpin where nothing else is known (envconfig/config.go).
const SERVER_DEFAULT: KeepAlive = KeepAlive::For(Duration::from_secs(300));

/// One request that the manager sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Job {
    /// Load, without a timeout.
    Load {
        /// Which.
        model: ModelName,
        /// What it carries.
        keep_alive: Option<KeepAlive>,
        /// What it carries.
        num_ctx: Option<u64>,
        /// Through `/api/embed`.
        embed: bool,
    },
    /// Restart or change keep_alive of a loaded model; the context is the one it runs with.
    Touch {
        /// Which.
        model: ModelName,
        /// None restarts its own.
        keep_alive: Option<KeepAlive>,
        /// As `/api/ps` reports, or the server may reload it.
        num_ctx: Option<u64>,
        /// Through `/api/embed`.
        embed: bool,
    },
    /// Unload.
    Unload {
        /// Which.
        model: ModelName,
    },
    /// One token of a model that is loaded.
    FirstToken {
        /// Which.
        model: ModelName,
        /// As its load, or its touch.
        keep_alive: Option<KeepAlive>,
        /// As its load, or its touch.
        num_ctx: Option<u64>,
    },
    /// Read its files with our own reader.
    Read {
        /// Which.
        model: ModelName,
    },
    /// Read them no further.
    ReadNoMore,
}

/// What an act comes to when it starts.
#[derive(Debug, PartialEq)]
pub(super) enum First {
    /// This is sent.
    Send(Job),
    /// The model is to be loaded, after what its plan says.
    Load,
    /// There is nothing to do.
    Nothing,
}

/// What an act comes to; the error is the words for the user.
pub(super) fn first(act: &Act, wish: &Wish, known: &mut Known) -> Result<First, String> {
    let Act { kind, model, .. } = act;
    let (kind, model) = (*kind, model.clone());
    let details = known.details(&model);
    if details.remote_host.is_some() {
        return Err("it runs in the cloud: there is nothing to load or unload here".to_owned());
    }
    let running = known.running_as(&model);
    let is_gone = running.is_none() && !known.installed.contains_key(&model) && known.tags_at.is_some();
    // The pin of a model that was removed can be let go all the same.
    if is_gone && !(kind == ActKind::Unpin && known.is_wished(&model)) {
        return Err(format!("not installed; get it with: ollama pull {model}"));
    }
    let is_loaded = running.is_some();
    let context = running.and_then(|running| running.context);
    // Who is pinned stays so.
    let is_pinned = running.is_some_and(|running| running.expiry == Expiry::Never);
    let tuned = if is_pinned && kind != ActKind::Unpin { None } else { known.tuned(&model) };
    let touch = |keep_alive| {
        let (embed, model) = (details.is_embedding_only(), model.clone());
        First::Send(Job::Touch { keep_alive, num_ctx: context, embed, model })
    };
    let unload = || First::Send(Job::Unload { model: model.clone() });
    // One without a runner is a ghost, though nobody has said so yet.
    let is_whole = is_loaded && !known.ghosts.contains(&model) && !known.is_missed(&model);
    Ok(match kind {
        // A ghost's weights are not in VRAM: a load brings them back, a touch would too, so say load.
        ActKind::Load | ActKind::Swap if is_whole && !wants_another(wish, context, &details) => {
            match touch(tuned) {
                // The token restarts its time as a touch would.
                First::Send(Job::Touch { model, keep_alive, num_ctx, embed: false }) if wish.first_token => {
                    First::Send(Job::FirstToken { model, keep_alive, num_ctx })
                }
                touch => touch,
            }
        }
        ActKind::Load | ActKind::Swap => First::Load,
        ActKind::Pin if !is_loaded => First::Send(load_job(kind, &model, None, known)),
        ActKind::Unload | ActKind::KeepAlive(KeepAlive::For(Duration::ZERO)) if is_loaded => unload(),
        ActKind::Pin => touch(Some(KeepAlive::Forever)),
        ActKind::Unpin if is_loaded => {
            let restored = known.before_pin.get(&model).copied();
            let configured = known.config.keep_alive.filter(|keep_alive| !keep_alive.is_forever());
            touch(Some(tuned.or(restored).or(configured).unwrap_or(SERVER_DEFAULT)))
        }
        ActKind::Unpin if known.suspended_pins.remove(&model) || known.is_wished(&model) => First::Nothing,
        ActKind::KeepAlive(keep_alive) if is_loaded => touch(Some(keep_alive)),
        ActKind::Touch if is_loaded => touch(tuned),
        // Acts of the RAM tier ask nothing of the server.
        ActKind::Unload | ActKind::Warm | ActKind::Hold | ActKind::Release | ActKind::Drop => First::Nothing,
        ActKind::Unpin | ActKind::KeepAlive(_) | ActKind::Touch => return Err("it is not loaded".to_owned()),
    })
}

/// Whether a loaded model has to be loaded anew for the context that is asked for. The server gives no more than a model
/// was trained for.
fn wants_another(wish: &Wish, context: Option<u64>, details: &Details) -> bool {
    let given = |wanted: u64| details.train_context.map_or(wanted, |most| wanted.min(most));
    matches!((wish.num_ctx, context), (Some(wanted), Some(loaded)) if given(wanted) != loaded)
}

/// The load of a model, for an act of this kind; `num_ctx` is what was asked for or planned.
pub(super) fn load_job(kind: ActKind, model: &ModelName, num_ctx: Option<u64>, known: &Known) -> Job {
    let keep_alive = match kind {
        ActKind::Pin => Some(KeepAlive::Forever),
        // Our own swap had displaced its pin, or it is to be brought back.
        _ if known.suspended_pins.contains(model) || known.wished().any(|wished| wished == model) => {
            Some(KeepAlive::Forever)
        }
        _ => known.config.keep_alive.or_else(|| known.tuned(model)),
    };
    Job::Load {
        keep_alive,
        num_ctx: num_ctx.or_else(|| known.context_for(model)),
        embed: known.details(model).is_embedding_only(),
        model: model.clone(),
    }
}
