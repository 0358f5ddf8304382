//! The subcommands, as the command line names them.

use std::path::PathBuf;

use clap::Subcommand;
use clap_complete::Shell;

use super::args::{Flow, Listed, Models, Stay, Swap};
use super::{bench, export, history, phase, preload, tune};
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;

/// The subcommands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Sub {
    /// Print where every model is
    Status {
        /// Go on: one JSON object a line, at every change and at least every ten seconds
        #[arg(long)]
        watch: bool,
    },
    /// Load models into VRAM and wait until they are there
    Load(Models),
    /// Make a model ready in VRAM, and time each stage of it
    ///
    /// What must go for it goes, in the order that is forecast; what fits stays.
    Swap(Swap),
    /// Unload models from VRAM and wait until they are gone
    Unload(Models),
    /// Keep models in VRAM until they are unpinned
    Pin(Models),
    /// Let pinned models expire again
    Unpin(Models),
    /// List the pins, how it is with each, and who enforces them
    Pins,
    /// Restart the countdown of loaded models
    Touch(Models),
    /// Give loaded models another keep_alive; ends their pins
    KeepAlive(Stay),
    /// Read models' files into RAM, so that loads need no disk
    Warm(Listed),
    /// Read models' files into RAM and keep them until it ends
    Hold {
        /// Which models.
        #[command(flatten)]
        listed: Listed,
        /// For a service: say on stderr what changes, and go on until SIGTERM
        #[arg(long)]
        foreground: bool,
    },
    /// Take models' files out of RAM; needs --yes
    Drop(Models),
    /// Load the primary model, then read the list into RAM
    ///
    /// The same as a dashboard may do at its start.
    Preload(preload::Asked),
    /// Make the model of an agent's phase ready in VRAM
    ///
    /// Running dashboards are told of the phase.
    Phase(phase::Phase),
    /// Print loads and swaps with their times, and what else was
    ///
    /// Comes from the journal and needs no server.
    History(history::Asked),
    /// Print how long models are idle, and which keep_alive fits
    ///
    /// Idle is the time between two uses in the journal. Needs no server.
    Tune(tune::Asked),
    /// Say how all is set up and what is wrong; 1 if anything
    ///
    /// Each line comes with what to do. The command ends with 1 if anything is broken or wrong.
    Doctor {
        /// Do not measure the disk: at most 256 MiB of one model's file are read past RAM, for a second at most
        #[arg(long)]
        quick: bool,
    },
    /// Print, serve or write metrics for Prometheus
    ///
    /// It only looks. One exporter runs on each machine with an Ollama server.
    Export(export::Asked),
    /// Measure cold and warm loads beside each other; asks first
    ///
    /// It says what warm files in RAM are worth on this machine.
    Bench(bench::Ask),
    /// Run a workflow of the config, or list them
    Flow(Flow),
    /// Print the merged settings and where each comes from
    Config {
        /// Only check: print what is wrong, or that nothing is
        #[arg(long, conflicts_with = "init")]
        check: bool,
        /// Propose a config from the models and the memory that are there; never overwrites one
        #[arg(long)]
        init: bool,
    },
    /// The screen on an embedded server with real files
    ///
    /// The same as --demo.
    Demo {
        /// Run only the server, print its URL and wait
        #[arg(long, conflicts_with = "clean")]
        serve: bool,
        /// The port it listens on; any free one by default
        #[arg(long, requires = "serve", value_name = "PORT")]
        port: Option<u16>,
        /// Install this many models: the five, and tiny ones beside them
        #[arg(long, requires = "serve", value_name = "N", value_parser = clap::value_parser!(u16).range(5..=1000))]
        models: Option<u16>,
        /// Remove the demo's files
        #[arg(long)]
        clean: bool,
    },
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the man page, or write all pages into a directory
    Man {
        /// Write resident.1 and a page for each subcommand there; the directory is made if it is not there
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

impl Sub {
    /// The act that this subcommand asks for, and its models, with `preload` as the config's list; `None` for the
    /// others.
    pub fn act(&self, preload: &[ModelName]) -> Option<(ActKind, Models)> {
        match self {
            Sub::Load(models) => Some((ActKind::Load, models.clone())),
            Sub::Unload(models) => Some((ActKind::Unload, models.clone())),
            Sub::Pin(models) => Some((ActKind::Pin, models.clone())),
            Sub::Unpin(models) => Some((ActKind::Unpin, models.clone())),
            Sub::Touch(models) => Some((ActKind::Touch, models.clone())),
            Sub::KeepAlive(stay) => Some((ActKind::KeepAlive(stay.time), stay.models.clone())),
            Sub::Warm(listed) => Some((ActKind::Warm, listed.resolved(preload))),
            Sub::Hold { listed, .. } => Some((ActKind::Hold, listed.resolved(preload))),
            Sub::Drop(models) => Some((ActKind::Drop, models.clone())),
            Sub::Swap(_)
            | Sub::Preload(_)
            | Sub::Pins
            | Sub::Bench(_)
            | Sub::Flow(_)
            | Sub::Phase(_)
            | Sub::History(_)
            | Sub::Tune(_)
            | Sub::Doctor { .. }
            | Sub::Export(_)
            | Sub::Status { .. }
            | Sub::Config { .. }
            | Sub::Demo { .. }
            | Sub::Completions { .. }
            | Sub::Man { .. } => None,
        }
    }
}
