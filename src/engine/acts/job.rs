//! Jobs: the requests that an act comes down to, chosen from what is known when it starts.

use std::time::Duration;

use crate::engine::known::Known;
use crate::residency::act::{Act, ActKind};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Model;

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
}

/// The first thing to send for an act; `None` if there is nothing to do.
pub(super) fn first_job(
    act: &Act,
    victims: &mut Vec<ModelName>,
    known: &Known,
    models: &[Model],
) -> Result<Option<Job>, String> {
    let Act { kind, model, .. } = act;
    let (kind, model) = (*kind, model.clone());
    let details = known.details(&model);
    if details.remote_host.is_some() {
        return Err("it runs in the cloud: there is nothing to load or unload here".to_owned());
    }
    let installed = known.installed.contains_key(&model);
    let running = known.running_as(&model);
    if !installed && running.is_none() && known.tags_at.is_some() {
        return Err(format!("not installed; get it with: ollama pull {model}"));
    }
    let touch = |keep_alive| Job::Touch {
        keep_alive,
        num_ctx: running.and_then(|running| running.context),
        embed: details.is_embedding_only(),
        model: model.clone(),
    };
    let ghost = known.ghosts.contains(&model);
    let job = match (kind, running) {
        // A ghost's weights are not in VRAM: a load brings them back, a touch would too, so say load.
        (ActKind::Load | ActKind::Swap, Some(_)) if !ghost => touch(None),
        (ActKind::Load, _) | (ActKind::Pin, None) => load_job(act, known),
        (ActKind::Swap, _) => {
            let evicts =
                models.iter().find(|known| known.name == model).and_then(|model| model.forecast.as_ref());
            *victims = evicts.map(|forecast| forecast.evicts.clone()).unwrap_or_default();
            victims.reverse();
            match victims.pop() {
                Some(victim) => Job::Unload { model: victim },
                None => load_job(act, known),
            }
        }
        (ActKind::Unload | ActKind::KeepAlive(KeepAlive::For(Duration::ZERO)), Some(_)) => {
            Job::Unload { model }
        }
        (ActKind::Pin, Some(_)) => touch(Some(KeepAlive::Forever)),
        (ActKind::Unpin, Some(_)) => {
            let restored = known.before_pin.get(&model).copied();
            let configured = known.config.keep_alive.filter(|keep_alive| !keep_alive.is_forever());
            touch(Some(restored.or(configured).unwrap_or(SERVER_DEFAULT)))
        }
        (ActKind::KeepAlive(keep_alive), Some(_)) => touch(Some(keep_alive)),
        (ActKind::Touch, Some(_)) => touch(None),
        // Acts of the RAM tier ask nothing of the server.
        (ActKind::Unload, None) | (ActKind::Warm | ActKind::Hold | ActKind::Release | ActKind::Drop, _) => {
            return Ok(None);
        }
        (ActKind::Unpin | ActKind::KeepAlive(_) | ActKind::Touch, None) => {
            return Err("it is not loaded".to_owned());
        }
    };
    Ok(Some(job))
}

pub(super) fn load_job(act: &Act, known: &Known) -> Job {
    let keep_alive = match act.kind {
        ActKind::Pin => Some(KeepAlive::Forever),
        _ => known.config.keep_alive,
    };
    Job::Load {
        keep_alive,
        num_ctx: known.context_for(&act.model),
        embed: known.details(&act.model).is_embedding_only(),
        model: act.model.clone(),
    }
}
