//! The screen from the command line: what it is started with, and what follows when it ends.

use std::io::Write;

use anyhow::Context;

use super::config::Loaded;
use super::wire::World;
use super::{Cli, Exit, demo};
use crate::residency::bytes::Bytes;
use crate::residency::timing::Clock;
use crate::tui::{self, Outcome, Start, keymap::Keymap};

/// Shows the screen until the user leaves it, changing over to the demo or to a new config where asked.
pub async fn run(cli: &Cli, loaded: Loaded, clock: Clock) -> anyhow::Result<Exit> {
    let keymap = match Keymap::new(&loaded.config.keys) {
        Ok(keymap) => keymap,
        Err(problems) => {
            for problem in problems {
                let _ = writeln!(std::io::stderr(), "{problem:?}");
            }
            return Ok(Exit::Usage);
        }
    };
    if let Err(why) = tui::can_run() {
        let _ = writeln!(std::io::stderr(), "resident: {why}");
        return Ok(Exit::Usage);
    }
    let place = demo::Place::new(cli.flags.demo_scale.unwrap_or(demo::SCALE));
    let mut world = if cli.wants_demo() {
        World::demo(
            loaded.config.clone(),
            place.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?,
            clock.clone(),
        )
        .await?
    } else {
        World::real(loaded.config.clone(), clock.clone())
    };
    loop {
        let offered = place.as_ref().ok().filter(|_| world.sim.is_none());
        // What can fail is made before the screen is taken; nothing is asked or read before the first frame.
        let parts = world.engine()?;
        let outcome = tui::run(Start {
            engine: Box::new(|| parts.start()),
            config: &world.config,
            keymap: keymap.clone(),
            clock: clock.clone(),
            read_only: cli.flags.read_only,
            demo_place: offered.map(|place| (place.dir.clone(), place.to_write().unwrap_or(Bytes::ZERO))),
            notice: None,
            propose: Box::new(|_| Err("not yet".to_owned())),
        })
        .await
        .context("the screen")?;
        world.end().await;
        match outcome {
            Outcome::Quit { message } => {
                if let Some(message) = message {
                    let _ = writeln!(std::io::stderr(), "{message}");
                }
                return Ok(Exit::Done);
            }
            Outcome::Signal { number } => std::process::exit(128 + number),
            Outcome::Demo => {
                let place = place.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
                world = World::demo(loaded.config.clone(), place, clock.clone()).await?;
            }
            Outcome::WriteConfig { .. } => return Ok(Exit::Done),
        }
    }
}
