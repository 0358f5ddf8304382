//! The user's settings: found, merged, validated; each with where it came from.

mod address;
mod edit;
mod find;
mod layer;
mod load;
mod proposal;
mod reader;
mod report;
mod schema;
mod server;
mod show;
mod theme;
mod tree;
mod ui;
mod workflow;
mod write_over;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use edit::with_preload;
pub use find::{Flags, Sources, user_path, write_new};
pub use load::{Loaded, Origin, load, survey};
pub use proposal::proposal;
pub use report::render;
pub use server::{Access, Server, Source};
pub use show::show;
pub use theme::{Base, Hue, Role, Theme};
pub use ui::{Confirm, Notify, Ui};
pub use write_over::write_over;

/// `memory`: the budget.
pub use crate::residency::budget::Limits as Memory;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::tune::policy::Rule;
use crate::residency::workflow::Task;
/// `work`, `prompt` or `command` of a step.
pub use crate::residency::workflow::Work;

/// The top-level `config.yaml` of the project: the idea's settings, commented; the demo uses it.
pub const DEMO: &str = include_str!("../config.yaml");

/// All settings, merged: defaults, file, environment, flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the server listens, with scheme and port: `http://127.0.0.1:11434`.
    pub url: String,
    /// `ollama.model`: the primary model.
    pub primary: Option<ModelName>,
    /// `ollama.keep_alive` or `OLLAMA_KEEP_ALIVE`: what a load carries; `None` if the user set none.
    pub keep_alive: Option<KeepAlive>,
    /// `ollama.keep_alive: auto`: each model's own, as its uses say; `keep_alive` is `None` then.
    pub keep_alive_auto: bool,
    /// `ollama.tuning`: how a model's keep_alive is made from its uses.
    pub tuning: Rule,
    /// `ollama.return_to_primary`: how long after an agent's run the primary model comes back; `None` is never.
    pub return_to_primary: Option<Duration>,
    /// `ollama.models_dir` or `OLLAMA_MODELS`: where to look for models first.
    pub models_dir: Option<PathBuf>,
    /// `ollama.preload`.
    pub preload: Preload,
    /// `memory`.
    pub memory: Memory,
    /// `phases`, in the user's order.
    pub phases: Vec<Phase>,
    /// `workflows`, in the user's order.
    pub workflows: Vec<Workflow>,
    /// `pins`.
    pub pins: Pins,
    /// `servers`, in the user's order.
    pub servers: Vec<Server>,
    /// What the server at `url` asks for before it answers.
    pub access: Access,
    /// `models`: per-model settings.
    pub models: BTreeMap<ModelName, ModelSettings>,
    /// `ui`.
    pub ui: Ui,
    /// `keys`: texts with their places; the keymap reads them and reports its own problems.
    pub keys: Vec<KeySetting>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The file was named by the user (`--config`, `$RESIDENT_CONFIG`, the XDG path), so what it says may act by
    /// itself; false for a `./config.yaml` that was merely found.
    pub may_act: bool,
    /// `--no-auto`: nothing acts by itself until the user lets it.
    pub hands_off: bool,
}

impl Default for Config {
    /// The settings of a user who set none: only looking, nothing acts.
    fn default() -> Config {
        Config {
            url: "http://127.0.0.1:11434".to_owned(),
            primary: None,
            keep_alive: None,
            keep_alive_auto: false,
            tuning: Rule::default(),
            return_to_primary: None,
            models_dir: None,
            preload: Preload::default(),
            memory: Memory::Auto,
            phases: Vec::new(),
            workflows: Vec::new(),
            pins: Pins::default(),
            servers: Vec::new(),
            access: Access::default(),
            models: BTreeMap::new(),
            ui: Ui::default(),
            keys: Vec::new(),
            file: None,
            may_act: false,
            hands_off: false,
        }
    }
}

/// How long a model stays in RAM after its last use where the user set no keep_alive.
const RAM_KEEP_ALIVE: KeepAlive = KeepAlive::For(Duration::from_secs(3600));

impl Config {
    /// How long a model stays in RAM after its last use: keep_alive is the countdown of both tiers, but where it is not
    /// set the server's own default, meant for VRAM, would be too short.
    pub fn ram_keep_alive(&self) -> KeepAlive {
        self.keep_alive.unwrap_or(RAM_KEEP_ALIVE)
    }

    /// The phase of that name.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// A workflow's steps as they are run, in their order: those on failure behind the one they belong to.
    pub fn tasks(&self, workflow: &Workflow) -> Vec<Task> {
        let mut tasks = Vec::new();
        for step in &workflow.steps {
            tasks.extend(self.task(step, false));
            tasks.extend(step.on_failure.iter().filter_map(|step| self.task(step, true)));
        }
        tasks
    }

    fn task(&self, step: &Step, on_failure: bool) -> Option<Task> {
        let phase = self.phase(&step.phase);
        // Only of a step that names no model need there be a phase; the file was checked for that.
        let model = step.model.clone().or_else(|| phase.map(|phase| phase.model.clone()))?;
        // The context of a phase is meant for the phase's own model.
        let of_phase = phase.filter(|phase| phase.model == model).and_then(|phase| phase.num_ctx);
        let of_model = || self.models.get(&model).and_then(|settings| settings.num_ctx);
        let num_ctx = step.num_ctx.or(of_phase).or_else(of_model);
        Some(Task { phase: step.phase.clone(), num_ctx, work: step.work.clone(), on_failure, model })
    }

    /// Why a workflow may not be run, in words for the user: one that runs commands needs a config that was named.
    pub fn why_not_run(&self, workflow: &Workflow) -> Option<String> {
        let commands = self.tasks(workflow).iter().any(|task| matches!(task.work, Some(Work::Command(_))));
        if self.may_act || !commands {
            return None;
        }
        let why = match &self.file {
            Some(file) => {
                let file = crate::residency::text::printable(&file.to_string_lossy()).into_owned();
                format!("nothing in {file} may run one unless it is named: --config {file}")
            }
            None => "only a config that is named may run one: --config PATH".to_owned(),
        };
        Some(format!("{} runs commands; {why}", workflow.name))
    }
}

/// `ollama.preload`: the models to keep near.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct Preload {
    /// Whether the list is used at all.
    pub enabled: bool,
    /// Preload when the program starts.
    pub on_startup: bool,
    /// The list, in order.
    pub models: Vec<ModelName>,
    /// How models get into RAM.
    pub strategy: Strategy,
    /// Renew `keep_alive` by itself.
    pub auto_refresh: bool,
    /// How often.
    pub refresh_interval: Duration,
    /// How a model that was warmed is kept there.
    pub hold: Hold,
    /// Drop the least recently needed models for a new one.
    pub make_room: bool,
    /// A model of which less than these percent are in RAM is mended, where that may be done by itself.
    pub mend_below: u8,
}

impl Default for Preload {
    fn default() -> Preload {
        Preload {
            enabled: false,
            on_startup: false,
            models: Vec::new(),
            strategy: Strategy::Warm,
            auto_refresh: false,
            refresh_interval: Duration::from_secs(1800),
            hold: Hold::Map,
            make_room: false,
            mend_below: 95,
        }
    }
}

/// How models get into RAM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Read the blobs into the page cache.
    #[default]
    Warm,
    /// The idea's way: a request to the server.
    Request,
}

/// How a model that was warmed is kept in RAM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hold {
    /// Its files stay mapped until its countdown in RAM ends.
    #[default]
    Map,
    /// They are locked as well.
    Mlock,
    /// Not at all: it is read, and may fade.
    None,
}

/// One of `phases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// The model it needs.
    pub model: ModelName,
    /// The context it needs.
    pub num_ctx: Option<u64>,
}

/// One of `workflows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// After its last step it begins again.
    pub repeat: bool,
    /// Its steps; at least one.
    pub steps: Vec<Step>,
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The name of its phase; one of `phases` unless the step names a model itself.
    pub phase: String,
    /// The model it needs instead of the phase's.
    pub model: Option<ModelName>,
    /// The context it needs instead of the phase's.
    pub num_ctx: Option<u64>,
    /// What it does once its model is ready; nothing is over at once.
    pub work: Option<Work>,
    /// Steps that run only if its work fails; they have none of these themselves.
    pub on_failure: Vec<Step>,
}

/// One of `models`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelSettings {
    /// The context a load of it carries.
    pub num_ctx: Option<u64>,
}

/// `pins`: the models to keep in VRAM.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pins {
    /// Which models.
    pub models: Vec<ModelName>,
    /// What becomes of pins as the dashboard ends that enforces them.
    pub on_exit: OnExit,
}

/// What becomes of pins as the dashboard ends that enforces them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnExit {
    /// They stay: the server keeps the models, and the next dashboard enforces them.
    #[default]
    Keep,
    /// Each model gets the keep_alive back that it had before.
    Release,
}

/// One line of `keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetting {
    /// The action's name.
    pub action: String,
    /// The keys bound to it, as written.
    pub keys: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

/// A place in a file, for messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// One thing wrong with a config; all are shown at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` for the environment or a flag.
    pub place: Option<Place>,
    /// The key, such as `ollama.preload.models[1]`, or `OLLAMA_HOST`.
    pub key: String,
    /// What is wrong and what to do, such as `unknown key; did you mean keep_alive?`
    pub message: String,
}
