//! What runs beside the keys, one at a time: a workflow, a bench or a comparison.

use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::flow::Control;
use crate::engine::{Busy, bench, compare, flow};
use crate::residency::bench::{Bench, BenchState};
use crate::residency::compare::Comparison;
use crate::tui::app::{App, Proof};

/// Which.
pub(super) enum Running {
    Flow(flow::Running),
    Bench(bench::Running),
    Comparison(compare::Running),
}

/// One that runs or ran last.
pub(super) struct Job {
    running: Running,
    /// Whether more is to be heard of it.
    more: bool,
}

impl Job {
    pub(super) fn new(running: Running) -> Job {
        Job { running, more: true }
    }

    /// Waits for news; for ever where none will come.
    pub(super) async fn moved(job: &mut Option<Job>) {
        let Some(job) = job.as_mut().filter(|job| job.more) else { return std::future::pending().await };
        job.more = match &mut job.running {
            Running::Flow(flow) => flow.state.changed().await,
            Running::Bench(bench) => bench.state.changed().await,
            Running::Comparison(comparison) => comparison.state.changed().await,
        }
        .is_ok();
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, app: &mut App) {
        match &mut self.running {
            Running::Flow(flow) => {
                // What its command says is taken along: it is told a few times a second that it runs, which is enough.
                app.output = Arc::clone(&flow.output.borrow());
                app.see_flow(Arc::clone(&flow.state.borrow_and_update()));
            }
            Running::Bench(bench) => {
                app.proof = Some(Proof::Bench(Arc::clone(&bench.state.borrow_and_update())));
            }
            Running::Comparison(comparison) => {
                app.proof = Some(Proof::Comparison(Arc::clone(&comparison.state.borrow_and_update())));
            }
        }
    }

    /// Whether the screen still shows it: one that was put away stays away.
    pub(super) fn is_shown(&self, app: &App) -> bool {
        match self.running {
            Running::Flow(_) => app.flow.is_some(),
            Running::Bench(_) | Running::Comparison(_) => app.proof.is_some(),
        }
    }

    /// Tells it what to do, without waiting; a measurement can only be cancelled.
    pub(super) fn control(&self, control: Control) -> Result<(), Busy> {
        match &self.running {
            Running::Flow(flow) => return flow.control(control),
            Running::Bench(bench) if control == Control::Cancel => bench.cancel(),
            Running::Comparison(comparison) if control == Control::Cancel => comparison.cancel(),
            Running::Bench(_) | Running::Comparison(_) => {}
        }
        Ok(())
    }

    /// Whether it is not over yet; a measurement is once what it found is back.
    pub(super) fn is_running(&self) -> bool {
        let is_over = match &self.running {
            Running::Flow(flow) => flow.state.borrow().state.is_over(),
            Running::Bench(bench) => bench.state.borrow().state.is_over(),
            Running::Comparison(comparison) => comparison.state.borrow().state.is_over(),
        };
        self.more && !is_over
    }

    /// Whether it is a workflow, which ends within seconds when it is told to.
    pub(super) fn is_flow(&self) -> bool {
        matches!(self.running, Running::Flow(_))
    }

    /// Cancels it and waits until it is over: no command of a workflow outlives us, and what a measurement found is back.
    pub(super) async fn end(self) {
        let _ = self.control(Control::Cancel);
        match self.running {
            Running::Flow(flow) => drop(flow.cancel().await),
            Running::Bench(mut bench) => over(&mut bench.state, |bench: &Bench| &bench.state).await,
            Running::Comparison(mut comparison) => {
                over(&mut comparison.state, |comparison: &Comparison| &comparison.state).await;
            }
        }
    }
}

async fn over<T>(told: &mut watch::Receiver<Arc<T>>, state: fn(&T) -> &BenchState) {
    // Without an end its task is gone: nothing more comes.
    let _ = told.wait_for(|told| state(told).is_over()).await;
}
