//! The subcommand `config`, and the settings for all the others.

use super::{Cli, Exit};
use crate::config::Config;
use crate::residency::timing::Clock;

/// Temporary.
pub struct Loaded {
    /// All settings.
    pub config: Config,
}

/// Temporary.
pub fn load(cli: &Cli) -> anyhow::Result<Option<Loaded>> {
    let mut config = Config::default();
    if let Some(host) = &cli.flags.host {
        config.url.clone_from(host);
    }
    Ok(Some(Loaded { config }))
}

/// Temporary.
pub async fn run(_loaded: Loaded, _check: bool, _init: bool, _clock: Clock) -> anyhow::Result<Exit> {
    Ok(Exit::Usage)
}
