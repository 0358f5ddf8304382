//! A step's work: a time that passes, a prompt that is answered, or a command.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::command;
use super::output::Output;
use crate::ollama::{Client, Prompt};
use crate::residency::timing::Clock;
use crate::residency::workflow::{Task, Work, scaled};

/// What work came to: its tokens and the time to the first one, if it was a prompt; or why it failed.
pub(super) type Worked = Result<Option<(u64, Duration)>, String>;

/// What work needs to know beside its step.
pub(super) struct Around {
    /// The way to the server, for prompts.
    pub client: Option<Client>,
    pub clock: Clock,
    /// Fixed times are divided by this.
    pub scale: u64,
    /// The context that the model is loaded with.
    pub context: Option<u64>,
    /// Whose phase this is.
    pub run: String,
    /// The step's number.
    pub step: usize,
    pub output: watch::Sender<Arc<Output>>,
}

/// Work under way.
pub(super) struct Working {
    ending: Pin<Box<dyn Future<Output = Worked> + Send>>,
    stop: CancellationToken,
}

impl Working {
    pub(super) fn begin(task: &Task, around: Around) -> Working {
        let stop = CancellationToken::new();
        let ending = Box::pin(work(task.clone(), around, stop.clone()));
        Working { ending, stop }
    }

    /// Waits for its end; may be asked again after it was not waited for to the end.
    pub(super) async fn ended(&mut self) -> Worked {
        self.ending.as_mut().await
    }

    /// Stops it and waits until nothing of it is left.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        let _ = self.ending.as_mut().await;
    }
}

async fn work(task: Task, around: Around, stop: CancellationToken) -> Worked {
    match &task.work {
        None => Ok(None),
        Some(Work::For(time)) => {
            let time = scaled(*time, around.scale);
            stop.run_until_cancelled(tokio::time::sleep(time)).await;
            Ok(None)
        }
        Some(Work::Prompt { text, max_tokens }) => {
            let model = &task.model;
            let prompt = Prompt { model, text, max_tokens: *max_tokens, num_ctx: around.context };
            stop.run_until_cancelled(ask(&prompt, &around)).await.unwrap_or(Ok(None))
        }
        Some(Work::Command(argv)) => {
            let environment = [
                ("RESIDENT_PHASE", task.phase.clone()),
                ("RESIDENT_MODEL", task.model.to_string()),
                ("RESIDENT_RUN", around.run.clone()),
            ];
            around.output.send_modify(|output| *output = Arc::new(output.next(around.step)));
            command::run(argv, environment, &around.output, &stop).await.map(|()| None)
        }
    }
}

async fn ask(prompt: &Prompt<'_>, around: &Around) -> Worked {
    let client = around.client.as_ref().ok_or("there is no server to ask")?;
    let asked = (around.clock)();
    let mut first = None;
    let token = || {
        first.get_or_insert_with(|| (around.clock)().since(asked.mono));
    };
    let tokens = client.prompt(prompt, token).await.map_err(|error| error.to_string())?;
    Ok(Some((tokens, first.unwrap_or_else(|| (around.clock)().since(asked.mono)))))
}
