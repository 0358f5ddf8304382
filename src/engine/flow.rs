//! Workflows: a task of their own that runs the steps over a [`Handle`], as a person would, and tells how far it is.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Busy, Handle};
use crate::config::{Config, Workflow};
use crate::residency::flow::{Flow, FlowState, Manner};
use crate::residency::timing::Clock;

/// What a run is started with.
pub struct Start {
    /// The settings: phases, budget, the demo's scale.
    pub config: Arc<Config>,
    /// The one clock.
    pub clock: Clock,
    /// Which workflow.
    pub workflow: Workflow,
    /// How its models come near.
    pub manner: Manner,
    /// Work's times are divided by this: the demo's scale, else 1.
    pub scale: u64,
    /// Which run this is, and of how many.
    pub run: (u32, u32),
}

/// What a person may do with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Begin nothing new until it is told again.
    Pause,
    /// Go on with the next step: this one is skipped.
    Skip,
    /// The work of this step has failed.
    Fail,
    /// End the run.
    Cancel,
}

/// A run under way. Dropping it cancels the run.
#[derive(Debug)]
pub struct Running {
    /// How far it is.
    pub state: watch::Receiver<Arc<Flow>>,
    controls: mpsc::Sender<Control>,
}

impl Running {
    /// Tells the run what to do, without waiting.
    pub fn control(&self, control: Control) -> Result<(), Busy> {
        self.controls.try_send(control).map_err(|_| Busy)
    }
}

/// Starts a run on the current tokio runtime.
pub fn start(handle: Handle, start: Start) -> Running {
    let (controls, _received) = mpsc::channel(8);
    let (_tell, state) = watch::channel(Arc::new(Flow {
        name: start.workflow.name,
        run: start.run.0,
        of: start.run.1,
        manner: start.manner,
        began: (start.clock)(),
        state: FlowState::Failed { why: "not built yet".to_owned() },
        steps: Vec::new(),
        work: std::time::Duration::ZERO,
        swaps: std::time::Duration::ZERO,
        hidden: (crate::residency::bytes::Bytes::ZERO, std::time::Duration::ZERO),
        ahead: Vec::new(),
        last: None,
        scale: start.scale,
    }));
    drop((handle, start.config));
    Running { state, controls }
}
