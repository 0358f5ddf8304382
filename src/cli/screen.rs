//! The screen from the command line: what it is started with, and what follows when it ends.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::config::{Settings, proposal, write_new};
use super::wire::{Engine, World};
use super::{Cli, Exit, config, demo, looks};
use crate::residency::timing::Clock;
use crate::tui::{self, Member, Outcome, Start};

/// Shows the screen until the user leaves it, changing over to the demo or to a new config where asked.
pub async fn run(cli: &Cli, mut settings: Settings, clock: Clock) -> anyhow::Result<Exit> {
    if let Err(why) = tui::can_run() {
        let _ = writeln!(std::io::stderr(), "resident: {why}");
        return Ok(Exit::Usage);
    }
    let place = demo::Place::new(cli.flags.demo_scale.unwrap_or(demo::SCALE));
    let place = || place.as_ref().map_err(|error| anyhow!("{error:#}"));
    let mut world = if cli.wants_demo() {
        World::demo(settings.loaded.config.clone(), place()?, Arc::clone(&clock)).await?
    } else {
        World::fleet(&settings.fleet, settings.at, Arc::clone(&clock))
    };
    let mut keys = tui::Keys::default();
    let mut notice = settings.loaded.notes.first().cloned();
    loop {
        // What can fail is made before the screen is taken; nothing is asked or read before the first frame.
        let member = |(name, engine): (String, Engine)| Member {
            name,
            config: engine.config(),
            engine: Box::new(|| engine.keeping().start()),
        };
        let fleet = world.engines()?.into_iter().map(member).collect();
        let offered = place().ok().filter(|_| world.sim.is_none());
        let sources = settings.sources.clone();
        // The demo keeps the settings it came with.
        let list_place = Some(&settings).filter(|_| world.sim.is_none()).and_then(config::list_place);
        let written = list_place.clone();
        let remembered = looks::place();
        let outcome = tui::run(Start {
            fleet,
            at: world.at,
            keymap: settings.keymap.clone(),
            keys: &mut keys,
            clock: Arc::clone(&clock),
            read_only: cli.flags.read_only,
            demo_place: offered.and_then(|place| Some((place.dir.clone(), place.to_write().ok()?))),
            notice: notice.take(),
            propose: Box::new(move |snapshot| proposal(&sources, snapshot)),
            list_place,
            write_list: Box::new(move |model, is_on| match &written {
                Some(path) => config::write_listed(path, model, is_on),
                None => Err("there is no config to write the list into".to_owned()),
            }),
            looks: remembered.as_deref().map(looks::read).unwrap_or_default(),
            save_looks: Box::new(move |chosen| match &remembered {
                Some(path) => looks::write(path, chosen),
                // Without a home nothing is remembered.
                None => Ok(()),
            }),
        })
        .await
        .context("the screen");
        match outcome {
            Err(error) => {
                world.end().await;
                return Err(error);
            }
            Ok(Outcome::Quit { message }) => {
                world.end().await;
                if let Some(message) = message {
                    let _ = writeln!(std::io::stderr(), "{message}");
                }
                return Ok(Exit::Done);
            }
            Ok(Outcome::Signal { number, message }) => {
                world.end().await;
                if let Some(message) = message {
                    let _ = writeln!(std::io::stderr(), "{message}");
                }
                std::process::exit(128 + number);
            }
            Ok(Outcome::Demo) => {
                world.end().await;
                let demo = Cli { command: None, flags: super::Flags { demo: true, ..cli.flags.clone() } };
                let Some(found) = config::load(&demo) else { return Ok(Exit::Usage) };
                settings = found;
                world = World::demo(settings.loaded.config.clone(), place()?, Arc::clone(&clock)).await?;
            }
            Ok(Outcome::WriteConfig { path, text }) => {
                notice = Some(match write_new(&path, &text) {
                    Ok(()) => format!("wrote {}", path.display()),
                    Err(why) => why,
                });
                // The demo keeps its own settings; the new file is for the next start.
                if world.sim.is_none() {
                    world.end().await;
                    let Some(found) = config::load(cli) else { return Ok(Exit::Usage) };
                    settings = found;
                    world = World::fleet(&settings.fleet, settings.at, Arc::clone(&clock));
                }
            }
        }
    }
}
