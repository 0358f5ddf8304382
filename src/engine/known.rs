//! What the engine knows of its server and its machine: facts as they came, before they are joined.

mod runners;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::agents::Agents;
use super::departure::Open;
use super::facts::{Installed, Loading, Running, Shown};
use super::findings::Suspects;
use super::foresee::parts;
use super::foresight::Foresight;
use super::hold::Keeping;
use crate::config::Config;
use crate::residency::bytes::Bytes;
use crate::residency::fit::Sizes;
use crate::residency::history::History;
use crate::residency::hold::Held;
use crate::residency::host::{Card, Cards, LoadMode, Ram, Runners};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::map::Pages;
use crate::residency::name::ModelName;
use crate::residency::pin::Pin;
use crate::residency::predict::{Learned, Prediction, Where};
use crate::residency::progress::LoadProgress;
use crate::residency::record::Past;
use crate::residency::snapshot::{Blob, Details, Reach};
use crate::residency::swap::Before;
use crate::residency::tier::{Cached, Tiers};
use crate::residency::timing::{Moment, Reading};
use crate::residency::tune::Tuning;
use crate::residency::way;

/// Page-cache readings by blob digest.
pub(crate) type PageReadings = Arc<HashMap<String, Reading<Pages>>>;

/// The holder's readings by blob digest.
pub(crate) type Holds = Arc<HashMap<String, Reading<Held>>>;

/// All facts.
pub(crate) struct Known {
    /// The settings.
    pub config: Arc<Config>,
    /// The machine's name.
    pub host_name: String,
    /// The user's home directory, for the models' usual place.
    pub home: Option<PathBuf>,
    /// Whether the server runs on this machine.
    pub local: bool,
    /// The embedded server's scale.
    pub demo_scale: Option<u64>,
    /// Whether it answers.
    pub reach: Reach,
    /// What it calls itself.
    pub version: Option<String>,
    /// `/api/tags`.
    pub installed: BTreeMap<ModelName, Installed>,
    /// `/api/ps`.
    pub running: BTreeMap<ModelName, Running>,
    /// When `/api/ps` last answered.
    pub ps_at: Option<Moment>,
    /// When that was asked: what happened since it may not show.
    pub ps_asked: Option<Moment>,
    /// When `/api/tags` last answered.
    pub tags_at: Option<Moment>,
    /// Why it does not, though the server is there.
    pub tags_trouble: Option<String>,
    /// `/api/show`, by digest of the manifest: it changes only with it.
    pub shown: HashMap<String, Shown>,
    /// Where the models lie.
    pub models_dir: Option<PathBuf>,
    /// Why that is unknown.
    pub models_dir_unknown: Option<String>,
    /// Whose they are, if not ours.
    pub files_owner: Option<String>,
    /// Files of each model, or why they are unknown.
    pub files: HashMap<ModelName, Result<Vec<Blob>, String>>,
    /// Loads under way that were seen, and whether they are ours.
    pub loading: HashMap<ModelName, Loading>,
    /// What the server reported of each model's size, by context.
    pub sizes: HashMap<ModelName, Sizes>,
    /// How forecasts turn out.
    pub foresight: Foresight,
    /// How far each of them is.
    pub progress: HashMap<ModelName, LoadProgress>,
    /// What may turn out to be wrong.
    pub suspects: Suspects,
    /// The context each model last ran with here.
    pub last_context: HashMap<ModelName, u64>,
    /// Models that left, and nobody knows yet why.
    pub departures: BTreeMap<ModelName, Open>,
    /// Models that the server lists though their runner is dead: already told.
    pub ghosts: Vec<ModelName>,
    /// keep_alive before our pin, to restore.
    pub before_pin: HashMap<ModelName, KeepAlive>,
    /// Pins that a swap of ours displaced: given back when it loads the model again.
    pub suspended_pins: BTreeSet<ModelName>,
    /// Pins as the journal has them, once it was read.
    pub pins: Option<Arc<Vec<Pin>>>,
    /// Pins that the user let go here, which the journal does not say yet.
    pub let_go: BTreeSet<ModelName>,
    /// How runners of this server read their files, once one was seen.
    pub mode: Option<LoadMode>,
    /// The model that is asked about: what the server tells of it is asked first.
    pub looked_at: Option<ModelName>,
    /// When each model was last used by anybody, as far as it was seen.
    pub last_use: HashMap<ModelName, Moment>,
    /// When each model was listed as loaded last.
    pub listed: HashMap<ModelName, Moment>,
    /// When the server answered our latest load of each model.
    pub answered: HashMap<ModelName, Moment>,
    /// What this process keeps in RAM.
    pub kept: BTreeMap<ModelName, Keeping>,
    /// What the holder says of it, by blob digest.
    pub held: Holds,
    /// Percent in RAM that was last told of each watched model.
    pub told_percent: HashMap<ModelName, u8>,
    /// The user has been told that the server counts page cache as used memory.
    pub warned: bool,
    /// Models that were warmed here and neither dropped nor let go since.
    pub warmed: BTreeSet<ModelName>,
    /// When each model was let go because another instance drops it.
    pub let_go_at: HashMap<ModelName, Moment>,
    /// What was told of the journal.
    pub journal_trouble: Option<String>,
    /// What the journal knows.
    pub past: Arc<Past>,
    /// What it knows of the models' uses, once they were read.
    pub tunings: Option<Arc<[Tuning]>>,
    /// It was asked for, and is worth waiting for until then.
    pub past_by: Option<Moment>,
    /// How far agents' runs were followed.
    pub agents: Agents,
    /// What was learned from it.
    pub learned: Lessons,
    /// When each model was last mended.
    pub mended: HashMap<ModelName, Moment>,
    /// Main memory.
    pub ram: Option<Reading<Ram>>,
    /// The cards.
    pub cards: Option<Reading<Cards>>,
    /// Page-cache readings.
    pub pages: PageReadings,
    /// How much of each installed model was in RAM.
    pub histories: HashMap<ModelName, History>,
    /// The runners, where they can be seen.
    pub runners: Option<Reading<Runners>>,
}

/// What loads before taught, and from which past.
#[derive(Default)]
pub(crate) struct Lessons {
    from: Arc<Past>,
    learned: Learned,
}

impl Known {
    /// Learns from the past, if that is another one than at the last call: it takes some milliseconds.
    pub fn learn(&mut self) {
        if !Arc::ptr_eq(&self.learned.from, &self.past) {
            self.learned = Lessons { from: Arc::clone(&self.past), learned: Learned::of(&self.past) };
            for (_, load) in &self.past.forecasts {
                if let Some(context) = load.num_ctx {
                    self.sizes.entry(load.model.clone()).or_default().remember(context, load.size);
                }
            }
            self.foresight.count(&self.past);
        }
    }

    /// How long a model takes to be in VRAM from where its bytes are now, read ahead as a swap would choose it. A load
    /// that needs room waits for an unload.
    pub fn predict(&self, model: &ModelName, tiers: &Tiers, displaces: bool) -> Option<Prediction> {
        let whole = tiers.whole();
        let ram = (tiers.unknown == Bytes::ZERO).then_some(tiers.ram);
        let before = Before { whole, in_vram: false, ram, estimate: false };
        let way = way::choose(&self.past.swaps, self.load_mode(model), &before);
        self.learned.learned.predict(&Where { model, whole, ram, displaces, way: Some(way) })
    }

    /// Nothing but the settings is known yet.
    pub fn new(config: Arc<Config>, host_name: String, local: bool, demo_scale: Option<u64>) -> Known {
        Known {
            config,
            host_name,
            home: None,
            local,
            demo_scale,
            reach: Reach::Connecting,
            version: None,
            installed: BTreeMap::new(),
            running: BTreeMap::new(),
            ps_at: None,
            ps_asked: None,
            tags_at: None,
            tags_trouble: None,
            shown: HashMap::new(),
            models_dir: None,
            models_dir_unknown: None,
            files_owner: None,
            files: HashMap::new(),
            loading: HashMap::new(),
            sizes: HashMap::new(),
            foresight: Foresight::default(),
            progress: HashMap::new(),
            suspects: Suspects::default(),
            last_context: HashMap::new(),
            departures: BTreeMap::new(),
            ghosts: Vec::new(),
            before_pin: HashMap::new(),
            suspended_pins: BTreeSet::new(),
            pins: None,
            let_go: BTreeSet::new(),
            mode: None,
            looked_at: None,
            last_use: HashMap::new(),
            listed: HashMap::new(),
            answered: HashMap::new(),
            kept: BTreeMap::new(),
            held: Holds::default(),
            told_percent: HashMap::new(),
            warned: false,
            warmed: BTreeSet::new(),
            let_go_at: HashMap::new(),
            journal_trouble: None,
            past: Arc::default(),
            tunings: None,
            past_by: None,
            agents: Agents::default(),
            learned: Lessons::default(),
            mended: HashMap::new(),
            ram: None,
            cards: None,
            pages: PageReadings::default(),
            histories: HashMap::new(),
            runners: None,
        }
    }

    /// The keep_alive of a model that `keep_alive: auto` means, where its uses say one.
    pub fn tuned(&self, model: &ModelName) -> Option<KeepAlive> {
        let tunings = self.tunings.as_deref().filter(|_| self.config.keep_alive_auto)?;
        let one = tunings.iter().find(|tuning| tuning.model == *model)?;
        one.keep_alive().map(KeepAlive::For)
    }

    /// What the server says of a model, `/api/show` included.
    pub fn details(&self, name: &ModelName) -> Details {
        let Some((digest, details)) = self
            .installed
            .get(name)
            .map(|model| (&model.digest, &model.details))
            .or_else(|| self.running.get(name).map(|model| (&model.digest, &model.details)))
        else {
            return Details::default();
        };
        let mut details = details.clone();
        if let Some(shown) = self.shown.get(digest) {
            if details.capabilities.is_empty() {
                details.capabilities.clone_from(&shown.capabilities);
            }
            details.train_context = details.train_context.or(shown.train_context);
        }
        details
    }

    /// A model's files, as far as they are known.
    pub fn blobs(&self, name: &ModelName) -> &[Blob] {
        self.files.get(name).and_then(|files| files.as_deref().ok()).unwrap_or_default()
    }

    /// The digest of its weights: what one runner holds, shared by all names of it.
    pub fn weights(&self, name: &ModelName) -> Option<&Blob> {
        let blobs = self.blobs(name);
        blobs.iter().find(|blob| blob.role == "weights").or_else(|| blobs.first())
    }

    /// Whether two names stand for the same weights, so that one runner serves both.
    pub fn are_one(&self, one: &ModelName, other: &ModelName) -> bool {
        let weights = |name| self.weights(name).map(|blob| &blob.digest);
        one == other || (weights(one).is_some() && weights(one) == weights(other))
    }

    /// What is in VRAM, each runner once: a ghost's is gone.
    pub fn runs(&self) -> impl Iterator<Item = (&ModelName, &Running)> {
        self.running.iter().filter(|(name, _)| !self.ghosts.contains(name))
    }

    /// What runs under this name, or under another one of the same weights.
    pub fn running_as(&self, name: &ModelName) -> Option<&Running> {
        self.running.get(name).or_else(|| {
            self.running.iter().find(|(other, _)| self.are_one(name, other)).map(|(_, running)| running)
        })
    }

    /// The same, where its runner lives.
    pub fn runs_as(&self, name: &ModelName) -> Option<&Running> {
        self.running_as(name).filter(|_| !self.ghosts.iter().any(|ghost| self.are_one(ghost, name)))
    }

    /// How much of its files is in the page cache, and when the oldest part of that was read.
    pub fn cached(&self, name: &ModelName) -> (Cached, Option<Moment>) {
        if !self.local {
            return (Cached::Unknown("the server is on another machine".to_owned()), None);
        }
        let blobs = match self.files.get(name) {
            None => return (Cached::Unread, None),
            Some(Err(why)) => return (Cached::Unknown(why.clone()), None),
            Some(Ok(blobs)) => blobs,
        };
        let mut sum = Bytes::ZERO;
        let mut estimate = false;
        let mut oldest: Option<Moment> = None;
        for blob in blobs {
            if blob.path.is_none() {
                return (Cached::Unknown("its files are not on this machine".to_owned()), None);
            }
            let Some(reading) = self.pages.get(&blob.digest) else { return (Cached::Unread, None) };
            let mut at = reading.at;
            match (&reading.value.cached, self.held.get(&blob.digest)) {
                (Cached::Exact(bytes), _) => sum += *bytes,
                // What our own mapping has in memory is exact, also of files that the kernel tells nothing of.
                // While it fades others may have pages of it that are no longer ours.
                (_, Some(held)) if held.value.fading.is_none() && held.value.resident > Bytes::ZERO => {
                    sum += held.value.resident;
                    at = held.at;
                }
                (Cached::Unread, _) => return (Cached::Unread, None),
                (Cached::Unknown(why), _) => return (Cached::Unknown(why.clone()), Some(reading.at)),
                (Cached::Sampled(bytes), _) => {
                    sum += *bytes;
                    estimate = true;
                }
            }
            oldest = Some(oldest.map_or(at, |old| if at.mono < old.mono { at } else { old }));
        }
        (if estimate { Cached::Sampled(sum) } else { Cached::Exact(sum) }, oldest)
    }

    /// Whole percent of its files in the page cache, where that is known.
    pub fn percent_cached(&self, name: &ModelName) -> Option<u8> {
        let whole: Bytes = self.blobs(name).iter().map(|blob| blob.size).sum();
        self.cached(name).0.bytes().map(|bytes| bytes.percent_of(whole))
    }

    /// Keeps what was read of the page cache, model by model; says whether a line of it is another one.
    pub fn keep_history(&mut self) -> bool {
        let mut histories = std::mem::take(&mut self.histories);
        histories.retain(|name, _| self.installed.contains_key(name));
        let mut news = false;
        for name in self.installed.keys() {
            if let (Some(percent), Some(at)) = (self.percent_cached(name), self.cached(name).1) {
                news |= histories.entry(name.clone()).or_default().note(percent, at);
            }
        }
        self.histories = histories;
        news
    }

    /// The cards; none where they are not known.
    pub fn card_list(&self) -> &[Card] {
        self.cards.as_ref().map_or(&[][..], |reading| reading.value.list())
    }

    /// Whether a load is known to be pending for anybody: then nothing but a load may be sent (#17408).
    pub fn load_pending(&self) -> Option<&ModelName> {
        // A model that is loaded anew with other options is listed, or just was: its runner says that it is not ready.
        let anew = || {
            let reading = self.runners.as_ref()?;
            reading.value.iter().find(|runner| runner.ready == Some(false))?;
            // What was looked at before our own load was answered shows a load that is over.
            let is_over = |name: &ModelName| {
                self.answered.get(name).is_some_and(|answered| reading.at.mono < answered.mono)
            };
            let comes = |name: &&ModelName| {
                self.runner(name).is_some_and(|runner| runner.ready == Some(false)) && !is_over(name)
            };
            self.installed.keys().find(comes)
        };
        self.loading.keys().next().or_else(anew)
    }

    /// The context a load of the model carries: the config's for it, its phase's, what it last ran with here, none.
    pub fn context_for(&self, name: &ModelName) -> Option<u64> {
        let of_model = self.config.models.get(name).and_then(|settings| settings.num_ctx);
        let of_phase = || {
            self.config.phases.iter().find(|phase| phase.model == *name && phase.num_ctx.is_some())?.num_ctx
        };
        of_model.or_else(of_phase).or_else(|| self.last_context.get(name).copied())
    }

    /// Whether the server's version has a lock-safe `/api/ps` (0.32.4 on), so that it may be asked more often.
    pub fn ps_is_safe(&self) -> bool {
        self.version.as_deref().is_some_and(|version| parts(version) >= [0, 32, 4])
    }
}
