//! Front end 1, the screen: one task that owns the terminal, draws what the engine says and sends it commands.
//!
//! ```text
//!  panel/header   resident   127.0.0.1:11434   ollama 0.32.15   ● 2 ms                  DEMO 1:16   12:04
//!  panel/gauges   VRAM RTX 2070   ██████ qwen 4.4+0.5 ██████▓▓ ▚▚                      5.4/8.0 GiB
//!                 RAM             ▓▓▓ system 4.1 ▓▓▓▒▒▒ qwen 4.4 ▒▒▒│···              10.1/31.3 GiB
//!  panel/table    ▸* qwen2.5-coder:7b    4.7 GB  ██████████████  100%  ━━━── 42:10  idle     panel/details
//!  panel/startup  start-up   ready for qwen2.5-coder:7b (2.90 s)   1 of 3 ready
//!  panel/flow     execution   qwen2.5-coder:7b   ▚▚━━━━━━   0.52   5.00                      (from 140 columns)
//!  panel/log      12:04:31  qwen2.5-coder:7b    loaded in 0.61 s
//!  panel/message  load qwen2.5-coder:7b   loading   0.4 s
//!  panel/footer   enter swap   l load   …   ? help
//! ```
//!
//! A key becomes an [`action::Action`] ([`keymap`]), [`app::App::act`] changes the state and maybe returns an
//! [`app::Effect`], which the loop in [`run()`] carries out; [`view::view`] draws the state. `widget::strip` is the one
//! door for text: what is hostile or too long stops there. Called by `cli`; names `engine`, `residency`, `config`.

use std::path::PathBuf;
use std::sync::Arc;

use crossterm::event::EventStream;

use crate::config::Config;
use crate::engine::Handle;
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;
use crate::residency::timing::Clock;

pub mod action;
pub mod app;
mod columns;
pub(crate) mod course;
pub(crate) mod fits;
#[cfg(test)]
mod fixture;
pub(crate) mod fleet;
pub(crate) mod format;
pub mod key;
pub mod keymap;
mod layout;
pub mod looks;
mod panel;
pub(crate) mod pins;
mod run;
mod terminal;
#[cfg(test)]
mod tests;
pub mod theme;
pub mod view;
mod widget;

pub use run::run;
pub use terminal::can_run;

/// Makes the config that `I` proposes from what is known; or says why it cannot.
pub type ProposeConfig = Box<dyn Fn(&Snapshot) -> Result<Proposal, String>>;

/// Writes into the user's config that a model is on the preload list (true) or no longer; gives what to say of it.
pub type WriteList = Box<dyn Fn(&ModelName, bool) -> Result<String, String>>;

/// Writes down what was chosen about the screen; or says why it cannot.
pub type SaveLooks = Box<dyn Fn(&looks::Looks) -> Result<(), String>>;

/// The one reader of keys: screens come and go, it stays.
///
/// A dropped `EventStream` leaves a wake-up behind where its thread was not waiting; the next reader gets it together
/// with a key that came in between, takes only the wake-up for an event, and the key is not seen until another follows.
#[derive(Debug, Default)]
pub struct Keys(Option<EventStream>);

/// What the screen is started with.
pub struct Start<'a> {
    /// All servers; there is at least one.
    pub fleet: Vec<Member<'a>>,
    /// Which of them is looked at first.
    pub at: usize,
    /// All keys.
    pub keymap: keymap::Keymap,
    /// Where they come from; the same for every screen of this process.
    pub keys: &'a mut Keys,
    /// The one clock.
    pub clock: Clock,
    /// `--read-only`; the config may say so as well.
    pub read_only: bool,
    /// What `d` would write, and where; `None` if the demo cannot be offered.
    pub demo_place: Option<(PathBuf, Bytes)>,
    /// Said in the first frame, until a key is pressed.
    pub notice: Option<String>,
    /// Makes the config that `I` proposes.
    pub propose: ProposeConfig,
    /// The config into which the preload list can be written; `None` where there is none to write.
    pub list_place: Option<PathBuf>,
    /// Writes it there.
    pub write_list: WriteList,
    /// What was chosen about the screen earlier.
    pub looks: looks::Looks,
    /// Writes it down.
    pub save_looks: SaveLooks,
}

/// One server that can be looked at.
pub struct Member<'a> {
    /// What it is called.
    pub name: String,
    /// The settings as they hold for it.
    pub config: Arc<Config>,
    /// Starts its engine; called once, right after the first frame.
    pub engine: Box<dyn FnOnce() -> Handle + 'a>,
}

/// A config that could be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Where.
    pub path: PathBuf,
    /// The whole file.
    pub text: String,
    /// There is such a file already; it is never overwritten.
    pub exists: bool,
}

/// How the screen ended, and what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The user left.
    Quit {
        /// To print on the normal screen: what stays pinned, and what was released.
        message: Option<String>,
    },
    /// The user wants the demo.
    Demo,
    /// The user accepted a proposed config: write it (never over another file), and start again with it.
    WriteConfig {
        /// Where.
        path: PathBuf,
        /// The whole file.
        text: String,
    },
    /// A signal ended it: exit with 128 + number.
    Signal {
        /// Its number.
        number: i32,
        /// To print on the normal screen: what was released.
        message: Option<String>,
    },
}
