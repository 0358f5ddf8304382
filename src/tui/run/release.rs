//! Releasing: as the dashboard that enforces pins ends, it lets them go where the config says so, and tells what came of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::Session;
use super::signals::Signals;
use crate::engine::{Busy, Command, Handle};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::name::ModelName;
use crate::residency::text::printable;
use crate::tui::Outcome;
use crate::tui::action::{Action, Context};

/// How long it is waited for: a server that is busy with a load answers no sooner.
const MOST: Duration = Duration::from_secs(3);

/// The acts that let go of pins, as they were asked for.
type Asked = Vec<(ModelName, Result<ActId, Busy>)>;

impl Session {
    /// The same at each server in turn, the one that is looked at first.
    pub(super) async fn release_all(
        &mut self,
        ended: io::Result<Outcome>,
        signals: &mut Signals,
        keys: &mut EventStream,
    ) -> io::Result<Outcome> {
        let mut outcome = self.release(ended, self.seats.handle(), signals, keys).await?;
        let first = self.seats.at();
        for at in (0..self.servers()).filter(|at| *at != first) {
            self.change_server(at);
            let here = match &outcome {
                Outcome::Quit { .. } => Outcome::Quit { message: self.app.what_stays() },
                Outcome::Signal { number, .. } => Outcome::Signal { number: *number, message: None },
                Outcome::Demo | Outcome::WriteConfig { .. } => return Ok(outcome),
            };
            let here = self.release(Ok(here), self.seats.handle(), signals, keys).await?;
            let (Outcome::Quit { message: Some(more) } | Outcome::Signal { message: Some(more), .. }) = here
            else {
                continue;
            };
            let more = format!("{}: {more}", printable(self.server_name()));
            if let Outcome::Quit { message } | Outcome::Signal { message, .. } = &mut outcome {
                *message = Some(message.take().map_or(more.clone(), |message| format!("{message}\n{more}")));
            }
        }
        Ok(outcome)
    }

    /// Lets go of the pins that this dashboard enforces, if it leaves for good and they are not to stay; gives how the
    /// screen ended, with what came of it. Who asks twice does not wait.
    pub(super) async fn release(
        &mut self,
        ended: io::Result<Outcome>,
        handle: Handle,
        signals: &mut Signals,
        keys: &mut EventStream,
    ) -> io::Result<Outcome> {
        let is_there = match &ended {
            Ok(Outcome::Quit { .. }) => true,
            Ok(Outcome::Signal { number, .. }) => *number != Signal::HUP.as_raw(),
            Ok(Outcome::Demo | Outcome::WriteConfig { .. }) => return ended,
            Err(_) => false,
        };
        let mut snapshots = handle.snapshots.clone();
        self.app.see(Arc::clone(&snapshots.borrow_and_update()));
        let models = self.app.pins_to_release();
        if models.is_empty() {
            return ended;
        }
        if self.app.is_at_work() {
            // It ends with us in any case, and an unpin would wait for a load.
            let _ = handle.send(Command::CancelAll);
        }
        let asks = |model: &ModelName| (model.clone(), handle.act(ActKind::Unpin, model.clone()));
        let asked: Asked = models.iter().map(asks).collect();
        if is_there {
            self.app.say_releasing(asked.len());
            let now = (self.clock)();
            // A terminal that is gone by now is no reason to stop.
            let _ = self.draw(now);
        }
        let deadline = Instant::from_std((self.clock)().mono + MOST);
        while !is_over(&asked, &snapshots.borrow_and_update().acts) {
            tokio::select! { biased;
                () = signals.end_us() => break,
                () = self.asks_again(keys), if is_there => break,
                () = sleep_until(deadline) => break,
                changed = snapshots.changed() => if changed.is_err() { break },
            }
        }
        let latest = Arc::clone(&snapshots.borrow());
        let released = told(&asked, &latest.acts);
        self.app.see(latest);
        let stays = self.app.what_stays_but(&models);
        let message = Some([Some(released), stays].into_iter().flatten().collect::<Vec<_>>().join("\n"));
        ended.map(|outcome| match outcome {
            Outcome::Quit { .. } => Outcome::Quit { message },
            Outcome::Signal { number, .. } => Outcome::Signal { number, message },
            outcome => outcome,
        })
    }

    /// Waits until the key that leaves is pressed once more.
    async fn asks_again(&self, keys: &mut EventStream) {
        loop {
            match keys.next().await {
                Some(Ok(Event::Key(key)))
                    if self.app.keymap.action(key, Context::Main) == Some(Action::Quit) =>
                {
                    return;
                }
                Some(Ok(_)) => {}
                // No key can come any more.
                Some(Err(_)) | None => std::future::pending().await,
            }
        }
    }
}

fn act(acts: &[Act], id: ActId) -> Option<&Act> {
    acts.iter().find(|act| act.id == id)
}

fn is_over(asked: &Asked, acts: &[Act]) -> bool {
    let mut ids = asked.iter().filter_map(|(_, id)| id.as_ref().ok());
    ids.all(|id| act(acts, *id).is_some_and(|act| !act.is_live()))
}

/// What was released, and what could not be.
fn told(asked: &Asked, acts: &[Act]) -> String {
    let mut released = Vec::new();
    let mut lines = Vec::new();
    for (model, id) in asked {
        let state = id.as_ref().ok().and_then(|id| act(acts, *id)).map(|act| &act.state);
        match state {
            Some(ActState::Done { .. }) => released.push(model.to_string()),
            Some(ActState::Failed { why, .. }) => lines.push(not_released(model, why)),
            _ => lines.push(not_released(model, "the server did not answer in time")),
        }
    }
    if !released.is_empty() {
        lines.insert(0, format!("released: {}", released.join(", ")));
    }
    lines.join("\n")
}

fn not_released(model: &ModelName, why: &str) -> String {
    format!("{model} is not released: {}; resident unpin {model} lets it go", printable(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{name, now, running};

    #[test]
    fn what_was_released_is_told_and_what_could_not_be_with_its_reason() {
        let state = |id, state| Act { id: ActId(id), state, ..running(ActKind::Unpin, "a", 0) };
        let done = ActState::Done { took: Duration::ZERO, at: now() };
        let failed = ActState::Failed { why: "the server is gone".into(), cancelled: false, at: now() };
        let waits = ActState::Queued { why: "waits for the load of z".into(), since: now() };
        let asked: Asked = vec![
            (name("a"), Ok(ActId(1))),
            (name("b"), Ok(ActId(2))),
            (name("c"), Ok(ActId(3))),
            (name("d"), Ok(ActId(4))),
            (name("e"), Err(Busy)),
        ];
        let mut acts =
            vec![state(1, done.clone()), state(2, done.clone()), state(3, failed), state(4, waits)];
        assert!(!is_over(&asked, &acts));
        assert_eq!(
            told(&asked, &acts),
            "released: a, b\n\
             c is not released: the server is gone; resident unpin c lets it go\n\
             d is not released: the server did not answer in time; resident unpin d lets it go\n\
             e is not released: the server did not answer in time; resident unpin e lets it go"
        );
        acts[3] = state(4, done);
        assert!(is_over(&asked, &acts));
        assert!(!is_over(&asked, &acts[..2]), "one that no snapshot shows yet is not over");
    }
}
