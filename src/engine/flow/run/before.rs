//! What a manner needs before a model is made ready: all of them warm, or this one really cold.
//!
//! Part of the driver.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Driver;
use crate::engine::Command;
use crate::engine::flow::Control;
use crate::residency::act::{ActKind, ActState};
use crate::residency::flow::FlowState;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;

impl Driver {
    /// Reads all models into RAM before the run; `None` is done, else how the run ends instead.
    pub(super) async fn warm_all(&mut self, controls: &mut mpsc::Receiver<Control>) -> Option<FlowState> {
        let tasks = self.course.tasks().to_vec();
        let mut done: Vec<&ModelName> = Vec::new();
        for task in &tasks {
            if done.contains(&&task.model) {
                continue;
            }
            done.push(&task.model);
            match self.warm(&task.model, controls).await {
                Ok(()) => {}
                // The step may never come.
                Err(FlowState::Failed { .. }) if task.on_failure => {}
                Err(ended) => return Some(ended),
            }
        }
        self.course.warming(None);
        None
    }

    async fn warm(
        &mut self,
        model: &ModelName,
        controls: &mut mpsc::Receiver<Control>,
    ) -> Result<(), FlowState> {
        let failed = |why: &str| FlowState::Failed { why: format!("{model} cannot be read into RAM: {why}") };
        let id = self.handle.act(ActKind::Warm, model.clone()).map_err(|busy| failed(&busy.to_string()))?;
        loop {
            let snapshot = Arc::clone(&self.handle.snapshots.borrow_and_update());
            let act = snapshot.acts.iter().find(|act| act.id == id);
            match act.map(|act| &act.state) {
                Some(ActState::Done { .. }) => return Ok(()),
                Some(ActState::Failed { why, .. }) => return Err(failed(why)),
                Some(ActState::Queued { .. } | ActState::Running { .. }) | None => {}
            }
            let percent = act.and_then(|act| act.progress).map(|progress| progress.percent());
            self.course.warming(percent.map(|percent| (model, percent)));
            self.publish();
            tokio::select! {
                changed = self.handle.snapshots.changed() => {
                    changed.map_err(|_| failed("the engine has stopped"))?;
                }
                control = controls.recv() => if matches!(control, None | Some(Control::Cancel)) {
                    let _ = self.handle.send(Command::Cancel { model: model.clone() });
                    return Err(FlowState::Cancelled);
                },
            }
        }
    }
}

/// Why a model that was dropped does not count as cold; `None` if it does.
pub(super) fn warmth(snapshot: &Snapshot, name: &ModelName) -> Option<String> {
    let Some(model) = snapshot.servers.first().and_then(|server| server.model(name)) else {
        return Some("it is not installed any more".to_owned());
    };
    let Some(cached) = model.cached.bytes() else {
        return Some("what of it is in RAM cannot be read here, so it cannot be called cold".to_owned());
    };
    // The kernel may keep a page here and there.
    let percent = cached.percent_of(model.size);
    (percent > 0).then(|| format!("not cold: {percent} % of it are still in RAM"))
}
