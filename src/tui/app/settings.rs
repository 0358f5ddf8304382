//! Settings: what the screen is told once.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::config::{Config, Confirm, Memory, Notify, OnExit, Phase, Preload, Workflow};
use crate::residency::bytes::Bytes;
use crate::tui::ProposeConfig;
use crate::tui::theme::{Depth, Theme, Wardrobe};

/// What the screen is told once, at the start.
#[expect(clippy::struct_excessive_bools, reason = "one switch of the user's each")]
pub struct Settings {
    /// Nothing is changed.
    pub read_only: bool,
    /// When acts ask first.
    pub confirm: Confirm,
    /// Draw with ASCII only.
    pub ascii: bool,
    /// The mouse is ours.
    pub mouse: bool,
    /// How the end of a long load is told.
    pub notify: Notify,
    /// Between polls; older readings are shown with their age.
    pub refresh: Duration,
    /// Where the server listens, until a snapshot says so.
    pub url: String,
    /// The budget whose marks the RAM gauge carries.
    pub memory: Memory,
    /// How models are to get into RAM.
    pub preload: Preload,
    /// The phases of the user's work; the first nine have a key each.
    pub phases: Vec<Phase>,
    /// The workflows to choose from.
    pub workflows: Vec<Workflow>,
    /// What the config says may act by itself.
    pub may_act: bool,
    /// Each model's keep_alive is the one that its uses say.
    pub keep_alive_auto: bool,
    /// What becomes of pins as this dashboard ends.
    pub on_exit: OnExit,
    /// Where the preload list can be written.
    pub list_place: Option<PathBuf>,
    /// Whether the user has a config of any kind.
    pub has_config: bool,
    /// The config that was merely found, so that nothing of it acts by itself.
    pub auto_off: Option<PathBuf>,
    /// What the demo would write, and where, if it can be offered.
    pub demo_place: Option<(PathBuf, Bytes)>,
    /// Where the clock on the wall hangs.
    pub zone: TimeZone,
    /// How things look.
    pub theme: Theme,
    /// The themes to choose from.
    pub wardrobe: Wardrobe,
    /// Makes the config that `I` proposes.
    pub propose: ProposeConfig,
}

impl Settings {
    /// Takes what the screen needs from the merged config.
    pub fn of(config: &Config, depth: Depth, zone: TimeZone, propose: ProposeConfig) -> Settings {
        let wardrobe = Wardrobe::new(config.ui.theme.clone(), depth);
        Settings {
            read_only: config.ui.read_only,
            confirm: config.ui.confirm,
            ascii: config.ui.ascii,
            mouse: config.ui.mouse,
            notify: config.ui.notify,
            refresh: config.ui.refresh,
            url: config.url.clone(),
            memory: config.memory,
            preload: config.preload.clone(),
            phases: config.phases.clone(),
            workflows: config.workflows.clone(),
            may_act: config.may_act,
            keep_alive_auto: config.keep_alive_auto,
            on_exit: config.pins.on_exit,
            list_place: None,
            // The demo brings its own, which is no file.
            has_config: config.file.is_some() || config.may_act,
            auto_off: config.file.clone().filter(|_| !config.may_act),
            demo_place: None,
            zone,
            theme: wardrobe.theme(),
            wardrobe,
            propose,
        }
    }
}
