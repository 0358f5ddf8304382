//! The short way: the model is in VRAM already, so all there is to do is to restart its countdown.
//!
//! An agent pays for this way at every step, so nothing else is started: no engine, no probe, one question to the
//! server and one touch. Whatever is not plain is left to the longer way, which also has the words for it.

use std::path::Path;
use std::sync::Arc;

use tokio::time::sleep_until;

use super::report::Ready;
use super::wanted::Wanted;
use crate::cli::act::Limits;
use crate::cli::act::ending::Ending;
use crate::ollama::wire::Running;
use crate::ollama::{Client, Error, Load};
use crate::probe::runner;
use crate::residency::expiry::Expiry;
use crate::residency::host::Runner;
use crate::residency::name::ModelName;
use crate::residency::timing::{Clock, Moment};

/// Restarts the countdown of a model that is loaded as it is wanted; `None` if it is not, or if that cannot be told.
pub(super) async fn touch<F: Future<Output = ()>>(
    client: &Client,
    wanted: &Wanted,
    clock: &Clock,
    limits: &mut Limits<'_, F>,
) -> Option<Ready> {
    let deadline = limits.deadline;
    let too_late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        there = touch_loaded(client, wanted, clock) => there,
        () = limits.interrupt.as_mut() => Some(Ready::not(Ending::Interrupted)),
        () = too_late => Some(Ready::not(Ending::TimedOut { why: "the server did not answer in time".to_owned() })),
    }
}

async fn touch_loaded(client: &Client, wanted: &Wanted, clock: &Clock) -> Option<Ready> {
    let runners = client.is_local().then(|| {
        let clock = Arc::clone(clock);
        tokio::task::spawn_blocking(move || runner::look(Path::new("/proc"), clock))
    });
    let loaded = client.ps().await.ok()?;
    let context = as_wanted(&loaded, wanted, clock())?;
    let runners = match runners {
        Some(look) => look.await.ok()?,
        None => Vec::new(),
    };
    // While a load is pending nothing but a load may be sent.
    if runners.iter().any(is_loading) {
        return None;
    }
    let mut touch = Load { model: &wanted.model, keep_alive: None, num_ctx: context, embed: false };
    let mut answer = client.touch(&touch).await;
    if answer.as_ref().is_err_and(only_embeds) {
        touch.embed = true;
        answer = client.touch(&touch).await;
    }
    answer.ok().map(|_| Ready::already(context))
}

/// The context of the model if it is loaded as it is wanted and stays: what a touch has to carry, so that the server
/// does not load it anew. One whose time is past is busy or already going.
fn as_wanted(loaded: &[Running], wanted: &Wanted, now: Moment) -> Option<Option<u64>> {
    let running = loaded.iter().find(|running| ModelName::from_server(&running.name) == wanted.model)?;
    let stays = !Expiry::read(running.expires_at.as_deref(), now.wall).is_past(now.wall);
    let fits = wanted.num_ctx.is_none() || wanted.num_ctx == running.context_length;
    (stays && fits).then_some(running.context_length)
}

fn is_loading(runner: &Runner) -> bool {
    runner.ready == Some(false)
}

fn only_embeds(error: &Error) -> bool {
    error.words().is_some_and(|words| words.contains("does not support generate"))
}
