//! What is known of the server's runner processes: which holds which model, how far its load is, how it reads.

use std::path::Path;

use super::Known;
use crate::engine::facts::Running;
use crate::residency::bytes::Bytes;
use crate::residency::host::{LoadMode, Runner, used_on};
use crate::residency::name::ModelName;
use crate::residency::progress::LoadProgress;

impl Known {
    /// The runner that holds a model's weights, if it can be seen and is the only one with that file: two servers may
    /// share a models directory, and then nobody can say whose each is.
    pub fn runner(&self, name: &ModelName) -> Option<&Runner> {
        let mut runners = self.runners_of(name);
        runners.next().filter(|_| runners.next().is_none())
    }

    /// What a model's runner has on all cards.
    pub fn on_cards(&self, name: &ModelName) -> Bytes {
        self.runner(name).map_or(Bytes::ZERO, |runner| used_on(self.card_list(), runner.pid))
    }

    /// Takes down how far the loads under way are by now.
    pub fn follow_loads(&mut self) {
        let mut before = std::mem::take(&mut self.progress);
        for name in self.loading.keys() {
            let weights = self.weights(name).map_or(Bytes::ZERO, |blob| blob.size);
            let now =
                self.runner(name).and_then(|runner| LoadProgress::of(runner, self.on_cards(name), weights));
            if let Some(now) = now {
                self.progress.insert(name.clone(), now.furthest(before.remove(name)));
            }
        }
    }

    /// All runners that hold the file which this server names as the model's weights. The same digest in another
    /// directory is another server's; one that was left behind is nobody's.
    pub fn runners_of(&self, name: &ModelName) -> impl Iterator<Item = &Runner> {
        let runners = self.all_runners();
        // A server in a container names a path of its own; its runner's command line has that one too.
        let (here, named) = if runners.is_empty() {
            (None, None)
        } else {
            let shown = self.installed.get(name).and_then(|model| self.shown.get(&model.digest));
            let here = self.weights(name).and_then(|blob| blob.path.as_deref()).and_then(Path::to_str);
            (here, shown.and_then(|shown| shown.weights.as_deref()))
        };
        let has_it = move |runner: &&Runner| [here, named].contains(&Some(runner.blob.as_str()));
        runners.iter().filter(|runner| !runner.left_behind).filter(has_it)
    }

    /// Whether a runner of that model would be found. Where none of this server can be seen, that one is missing says
    /// nothing; nor of a model without blobs.
    pub fn is_findable(&self, name: &ModelName) -> bool {
        self.sees_runners() && self.weights(name).is_some() && self.details(name).format == "gguf"
    }

    /// Whether runners of this server can be seen at all.
    pub fn sees_runners(&self) -> bool {
        let sees_server = self.runners.as_ref().is_some_and(|reading| reading.value.server.is_some());
        let sees_any = || self.running.values().any(|running| running.pid.is_some());
        sees_server || self.demo_scale.is_some() || sees_any()
    }

    /// Whether a model is listed without a runner that would be found: a touch of it would load it. What the very first
    /// answer lists was there before the first look; of what came later a look says it that came after.
    pub fn is_missed(&self, name: &ModelName) -> bool {
        let listed = self.running.get(name);
        let is_looked_for = |running: &Running| running.unseen > 0 || self.suspects.answers <= 1;
        listed.is_some_and(is_looked_for) && self.lacks_runner(name)
    }

    /// Whether the latest look would have found a runner of that model, and did not.
    pub fn lacks_runner(&self, name: &ModelName) -> bool {
        self.runners.is_some() && self.is_findable(name) && self.runners_of(name).next().is_none()
    }

    /// All runners that were found, whosever they are.
    pub fn all_runners(&self) -> &[Runner] {
        self.runners.as_ref().map_or(&[][..], |reading| &reading.value.list)
    }

    /// How a model's runner reads its file, or will: as it was seen now, as at its last load, as any other runner of this
    /// server did. The server decides that model by model: what has no room on the card is never mapped.
    pub fn load_mode(&self, name: &ModelName) -> LoadMode {
        let told = |mode: &LoadMode| *mode != LoadMode::Unknown;
        let now = self.runner(name).map(|runner| runner.load_mode).filter(told);
        let swaps = || self.past.swaps.iter().map(|(_, swap)| swap).filter(|swap| told(&swap.mode));
        let own = || swaps().find(|swap| swap.model == *name).map(|swap| swap.mode);
        let any = || swaps().next().map(|swap| swap.mode);
        now.or_else(own).or(self.mode).or_else(any).unwrap_or(LoadMode::Unknown)
    }

    /// Keeps how the runners of this server read.
    pub fn learn_mode(&mut self) {
        let mut modes =
            self.running.keys().filter_map(|name| self.runner(name)).map(|runner| runner.load_mode);
        self.mode = modes.find(|mode| *mode != LoadMode::Unknown).or(self.mode);
    }
}
