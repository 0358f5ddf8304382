//! What a measurement disturbs, remembered before it and put back after it.

use tokio_util::sync::CancellationToken;

use super::{Acts, Stop, find, loaded};
use crate::engine::Handle;
use crate::residency::act::{ActKind, ActState};
use crate::residency::expiry::Expiry;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Snapshot};

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Found {
    /// In VRAM.
    loaded: Vec<InVram>,
    /// (Nearly) all in RAM.
    warm: Vec<ModelName>,
    /// Kept there by this process: which, and whether by name.
    kept: Vec<(ModelName, bool)>,
}

/// A model in VRAM.
#[derive(Debug, Clone, PartialEq)]
struct InVram {
    name: ModelName,
    pinned: bool,
    /// When it would have gone.
    expiry: Expiry,
    /// What was left of its time.
    left: Option<KeepAlive>,
}

impl Found {
    /// Remembers what is loaded, pinned, warm and kept.
    pub fn look(snapshot: &Snapshot) -> Found {
        let models = snapshot.servers.first().map_or(&[][..], |server| &server.models);
        let in_vram = models.iter().filter_map(|model| {
            let loaded = model.loaded.as_ref()?;
            let (name, pinned) = (model.name.clone(), model.pinned);
            Some(InVram { name, pinned, expiry: loaded.expiry, left: loaded.left(snapshot.at) })
        });
        let warm = models.iter().filter(|model| model.loaded.is_none() && model.needs_no_disk());
        let kept = models.iter().filter_map(|model| Some((model.name.clone(), model.kept.as_ref()?.held)));
        Found {
            loaded: in_vram.collect(),
            warm: warm.map(|model| model.name.clone()).collect(),
            kept: kept.collect(),
        }
    }

    /// Puts it back; says what could not be. It is not cancelled by what cancelled the measurement.
    pub async fn put_back(&self, handle: &Handle) -> Vec<String> {
        let mut acts = Acts { handle: handle.clone(), cancel: CancellationToken::new() };
        let mut left = Vec::new();
        // An engine that has stopped says so at the first act.
        let _ = acts.settled().await;
        for name in loaded(&handle.snapshot()) {
            if !self.loaded.iter().any(|before| before.name == name) {
                tried(&mut acts, ActKind::Unload, &name, &mut left).await;
            }
        }
        // What is in RAM first: then what is loaded need not wait for the disk either.
        for name in &self.warm {
            let is_warm = find(&handle.snapshot(), name).is_none_or(Model::needs_no_disk);
            if !is_warm {
                tried(&mut acts, ActKind::Warm, name, &mut left).await;
            }
        }
        for before in &self.loaded {
            before.put_back(&mut acts, &mut left).await;
        }
        self.keep_as_before(&mut acts, &mut left).await;
        left
    }

    async fn keep_as_before(&self, acts: &mut Acts, left: &mut Vec<String>) {
        let now = Found::look(&acts.handle.snapshot()).kept;
        for (name, held) in &self.kept {
            if now.iter().any(|(kept, is_held)| kept == name && is_held == held) {
                continue;
            }
            let kind = if *held { ActKind::Hold } else { ActKind::Warm };
            tried(acts, kind, name, left).await;
        }
        for (name, _) in now {
            if !self.kept.iter().any(|(kept, _)| *kept == name) {
                tried(acts, ActKind::Release, &name, left).await;
            }
        }
    }
}

impl InVram {
    /// Loads it again, with what was left of its time; what is loaded as it was is left alone.
    async fn put_back(&self, acts: &mut Acts, left: &mut Vec<String>) {
        let snapshot = acts.handle.snapshot();
        let there = find(&snapshot, &self.name).and_then(|model| model.loaded.as_ref());
        if there.is_some_and(|loaded| loaded.expiry == self.expiry) {
            return;
        }
        if self.pinned {
            return tried(acts, ActKind::Pin, &self.name, left).await;
        }
        if there.is_none() {
            tried(acts, ActKind::Load, &self.name, left).await;
            let _ = acts.settled().await;
        }
        let is_loaded = find(&acts.handle.snapshot(), &self.name).is_some_and(|model| model.loaded.is_some());
        if let Some(had) = self.left.filter(|_| is_loaded) {
            tried(acts, ActKind::KeepAlive(had), &self.name, left).await;
        }
    }
}

/// Acts, and says what could not be done.
async fn tried(acts: &mut Acts, kind: ActKind, name: &ModelName, left: &mut Vec<String>) {
    let why = match acts.act(kind, name).await {
        Ok((act, _)) => match act.state {
            ActState::Failed { why, .. } => why,
            _ => return,
        },
        Err(Stop::Failed(why)) => why,
        Err(Stop::Cancelled) => "cancelled".to_owned(),
    };
    left.push(format!("{} {name}: {why}", kind.verb()));
}
