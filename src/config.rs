//! The user's settings: found, merged, validated; each with where it came from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::residency::bytes::Bytes;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;

/// All settings, merged: defaults, file, environment, flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the server listens, with scheme and port: `http://127.0.0.1:11434`.
    pub url: String,
    /// `ollama.model`: the primary model.
    pub primary: Option<ModelName>,
    /// `ollama.keep_alive` or `OLLAMA_KEEP_ALIVE`: what a load carries; `None` if the user set none.
    pub keep_alive: Option<KeepAlive>,
    /// `ollama.models_dir` or `OLLAMA_MODELS`: where to look for models first.
    pub models_dir: Option<PathBuf>,
    /// `ollama.preload`.
    pub preload: Preload,
    /// `memory`.
    pub memory: Memory,
    /// `phases`, in the user's order.
    pub phases: Vec<Phase>,
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
}

/// `ollama.preload`: the models to keep near.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preload {
    /// Whether the list is used at all.
    pub enabled: bool,
    /// Preload when the program starts.
    pub on_startup: bool,
    /// The list, in order.
    pub models: Vec<ModelName>,
    /// How models get into RAM.
    pub strategy: Strategy,
    /// Renew keep_alive by itself.
    pub auto_refresh: bool,
    /// How often.
    pub refresh_interval: Duration,
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

/// `memory`: the budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Memory {
    /// Computed from the machine.
    #[default]
    Auto,
    /// As written.
    Set {
        /// For the system.
        system: Bytes,
        /// For preloaded models.
        models_preload: Bytes,
        /// For the runners' contexts.
        context_cache: Bytes,
        /// All of it.
        total: Bytes,
    },
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

/// One of `models`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelSettings {
    /// The context a load of it carries.
    pub num_ctx: Option<u64>,
}

/// `ui`: the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Ui {
    /// Between polls; at least 1 s.
    pub refresh: Duration,
    /// Draw with ASCII only.
    pub ascii: bool,
    /// `dark`, `light` or `mono`.
    pub theme: String,
    /// When acts ask first.
    pub confirm: Confirm,
    /// No act changes anything.
    pub read_only: bool,
    /// Ask the card's driver; false leaves the card alone.
    pub gpu: bool,
}

/// When acts ask first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Confirm {
    /// Where it cannot be undone cheaply.
    #[default]
    Risky,
    /// Before every act that changes something.
    Always,
    /// Never.
    Never,
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

impl Default for Config {
    fn default() -> Config {
        Config {
            url: "http://127.0.0.1:11434".to_owned(),
            primary: None,
            keep_alive: None,
            models_dir: None,
            preload: Preload::default(),
            memory: Memory::default(),
            phases: Vec::new(),
            models: BTreeMap::new(),
            ui: Ui {
                refresh: Duration::from_secs(1),
                ascii: false,
                theme: "dark".to_owned(),
                confirm: Confirm::default(),
                read_only: false,
                gpu: true,
            },
            keys: Vec::new(),
            file: None,
            may_act: false,
        }
    }
}
