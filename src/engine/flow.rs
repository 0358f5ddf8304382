//! Workflows: a task of their own that runs the steps over a [`Handle`], as a person would, and tells how far it is.
//!
//! What comes next is decided by [`Course`], which is pure; here acts are asked for and waited for, work is begun and
//! ended, and lookahead reads while work runs. A front end calls [`start`], looks at [`Running::state`], and before it
//! leaves calls [`Running::cancel`], so that no command of a step outlives it.

mod ahead;
mod command;
mod lasts;
mod output;
mod run;
mod work;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Busy, Handle};
use crate::config::{Config, Workflow};
use crate::residency::flow::{Flow, Manner};
use crate::residency::timing::Clock;
use crate::residency::workflow::Beginning;
use crate::residency::workflow::course::Course;

pub use crate::residency::workflow::Control;
pub use lasts::Lasts;
pub use output::Output;

/// What a run is started with.
pub struct Start {
    /// The settings: phases, budget, the server's address.
    pub config: Arc<Config>,
    /// The one clock.
    pub clock: Clock,
    /// Which workflow.
    pub workflow: Workflow,
    /// How its models come near.
    pub manner: Manner,
    /// Work's times are divided by this: the demo's scale, else 1.
    pub scale: u64,
    /// Which run this is, and of how many. One of several goes round once, also where the workflow repeats.
    pub run: (u32, u32),
}

/// A run under way. Dropping it cancels the run.
#[derive(Debug)]
pub struct Running {
    /// How far it is. What is under way is told again a few times a second, for its times grow.
    pub state: watch::Receiver<Arc<Flow>>,
    /// What the latest command says.
    pub output: watch::Receiver<Arc<Output>>,
    controls: mpsc::Sender<Control>,
}

impl Running {
    /// Tells the run what to do, without waiting.
    pub fn control(&self, control: Control) -> Result<(), Busy> {
        self.controls.try_send(control).map_err(|_| Busy)
    }

    /// Ends the run and waits until all that it began has ended.
    pub async fn cancel(self) -> Arc<Flow> {
        // One that is over takes no controls any more.
        let _ = self.controls.send(Control::Cancel).await;
        finish(self).await
    }
}

/// Controls that may wait; beyond them a key answers "busy".
const CONTROLS: usize = 8;

/// Starts a run on the current tokio runtime.
///
/// [`Manner::Lookahead`] takes the RAM as it is: who wants to see it begin cold drops the models first.
pub fn start(handle: Handle, start: Start) -> Running {
    let Start { config, clock, workflow, manner, scale, run } = start;
    let course = Course::new(
        Beginning {
            tasks: config.tasks(&workflow),
            repeat: workflow.repeat && run.1 <= 1,
            last: handle.lasts.of(&workflow.name),
            name: workflow.name.clone(),
            manner,
            run,
            scale,
        },
        clock(),
    );
    let (controls, received) = mpsc::channel(CONTROLS);
    let (output, said) = watch::channel(Arc::default());
    let refused = config.why_not_run(&workflow);
    let (driver, state) = run::Driver::new(handle, config, clock, course, output);
    tokio::spawn(driver.run(received, refused));
    Running { state, output: said, controls }
}

/// Waits until a run is over, and gives it back as it ended.
pub async fn finish(mut running: Running) -> Arc<Flow> {
    // Without an end its task is gone: what was known last is all there is.
    let _ = running.state.wait_for(|flow| flow.state.is_over()).await;
    let flow = running.state.borrow();
    Arc::clone(&flow)
}
