//! Which subcommand gets what: the command line and the config are read, the server is chosen, the engine started.

use std::io::Write;

use anyhow::Context;
use jiff::tz::TimeZone;

use super::act::Request;
use super::config::Settings;
use super::out::Out;
use super::wire::World;
use super::{
    Cli, Exit, Sub, act, bench, completions, demo, doctor, export, flow, history, hold, man, phase, pins,
    preload, screen, state, status, swap, tune,
};
use crate::config::Strategy;
use crate::engine::{Command, Handle, clock};
use crate::residency::act::ActKind;
use crate::residency::guard::Keeping;
use crate::sim::Sim;

/// Reads command line and config, and does what they say.
pub fn run(cli: &Cli) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build();
    let ended = runtime.context("starting the runtime").and_then(|runtime| {
        let ended = runtime.block_on(dispatch(cli));
        // A thread that hangs in a driver must not hold up the end.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "resident: {error:#}");
        Exit::Failed
    })
}

async fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    // What packagers ask for needs neither a config nor a home directory.
    match &cli.command {
        Some(Sub::Completions { shell }) => return completions::print(*shell),
        Some(Sub::Man { dir }) => return man::run(dir.as_deref()),
        _ => {}
    }
    let clock = clock::system();
    let place = demo::Place::new(cli.flags.demo_scale.unwrap_or(demo::SCALE));
    let too_much = place.as_ref().ok().filter(|_| cli.wants_demo() && !cli.flags.yes);
    let cleans = matches!(cli.command, Some(Sub::Demo { clean: true, .. }));
    if let Some(why) = too_much.filter(|_| !cleans).and_then(demo::Place::is_too_much) {
        let _ = writeln!(std::io::stderr(), "resident: {why}");
        return Ok(Exit::Refused);
    }
    if let Some(Sub::Demo { serve, port, models, clean }) = &cli.command {
        if *clean {
            return demo::clean(cli.flags.demo_scale).map(|()| Exit::Done);
        }
        if *serve {
            return demo::serve(&place?, port.unwrap_or(0), usize::from(models.unwrap_or(0)), clock)
                .await
                .map(|()| Exit::Done);
        }
    }
    let Some(settings) = super::config::load(cli) else { return Ok(Exit::Usage) };
    if let Some(Sub::Config { check, init }) = &cli.command {
        return super::config::run(settings, (*check, *init, cli.flags.json), clock).await;
    }
    let config = settings.loaded.config.clone();
    if let Some(Sub::History(asked)) = &cli.command {
        let url = &config.url;
        return history::print(asked, cli, url, clock().wall, columns()).await;
    }
    if let Some(Sub::Tune(asked)) = &cli.command {
        return tune::print(asked, cli, &config, clock().wall).await;
    }
    if matches!(cli.command, None | Some(Sub::Demo { .. })) {
        return screen::run(cli, settings, clock).await;
    }
    let world = if cli.wants_demo() {
        World::demo(config, &place?, clock).await?
    } else {
        World::real(config, clock)
    };
    let exit = one_shot(cli, &settings, &world).await;
    world.end().await;
    exit
}

async fn one_shot(cli: &Cli, settings: &Settings, world: &World) -> anyhow::Result<Exit> {
    // The idea's own way, and the only one where the server's RAM is on another machine.
    let by_request = world.config.preload.strategy == Strategy::Request;
    let (mut results, mut remarks) = (std::io::stdout(), std::io::stderr());
    let mut out = Out::new(&mut results, &mut remarks);
    let interrupt = async {
        // Without signals to be had, Ctrl-C ends the process, and the load with it.
        if demo::interrupted().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    if let Some(Sub::Phase(asked)) = &cli.command {
        return phase::run(asked, &cli.flags, world, interrupt, &mut out).await;
    }
    if let Some(Sub::Export(asked)) = &cli.command {
        return export::start(asked, world, interrupt, &mut out).await;
    }
    let engine = world.engine()?;
    let port = engine.client().port();
    let handle = engine.start();
    let roles = || state::roles(&world.config.url, world.sim.as_ref().map(Sim::scale));
    Ok(match &cli.command {
        Some(Sub::Doctor { quick }) => {
            let setup = doctor::Setup::new(settings, &world.config, port, *quick);
            let recalls = recalls(world, &handle);
            let request = doctor::Request { json: cli.flags.json, recalls, setup: Some(&setup) };
            doctor::run(handle, request, &world.clock, interrupt, &mut out).await
        }
        Some(Sub::Status { watch }) => {
            let recalls = recalls(world, &handle);
            let request = status::Request {
                json: cli.flags.json,
                watch: *watch,
                recalls,
                keep_alive: world.config.keep_alive,
                columns: columns(),
            };
            let keeping = |own: &Keeping| status::keeping(&world.config, &roles(), own);
            status::run(handle, &request, &world.clock, keeping, interrupt, &mut out).await
        }
        Some(Sub::Pins) => {
            let recalls = recalls(world, &handle);
            let request = pins::Request::new(cli.flags.json, recalls, roles(), &world.config);
            let now = ((world.clock)().wall, &TimeZone::system());
            pins::run(handle, &request, now, interrupt, &mut out).await
        }
        Some(Sub::Preload(asked)) => {
            let request = preload::Request::new(asked, &cli.flags, &world.config);
            preload::run(handle, &request, interrupt, &mut out).await
        }
        Some(Sub::Bench(ask)) => {
            let mut consent = bench::at_the_terminal;
            bench::run(handle, ask, &cli.flags, &world.config, &mut consent, interrupt, &mut out).await
        }
        Some(Sub::Swap(asked)) => {
            let ui = &world.config.ui;
            let mut request = swap::Request::new(asked, &cli.flags, ui.confirm, ui.read_only);
            request.act.recalls = recalls(world, &handle);
            swap::run(handle, &request, interrupt, &mut out).await
        }
        Some(Sub::Flow(asked)) if asked.compare => {
            let scale = world.sim.as_ref().map_or(1, Sim::scale);
            let request = bench::flow::Request { asked, flags: &cli.flags, config: &world.config, scale };
            let mut consent = bench::at_the_terminal;
            bench::flow::run(handle, &request, &world.clock, &mut consent, interrupt, &mut out).await
        }
        Some(Sub::Flow(asked)) => {
            let scale = world.sim.as_ref().map(Sim::scale);
            let request = flow::Request::new(asked, &cli.flags, &world.config, &world.clock, scale);
            let interrupt = async {
                tokio::select! {
                    () = interrupt => {}
                    () = flow::hung_up() => {}
                }
            };
            flow::run(handle, &request, interrupt, &mut out).await
        }
        Some(sub) => match sub.act(&world.config.preload.models) {
            Some((_, models)) if models.models.is_empty() => {
                out.remark(
                    "the preload list is empty: name models, or write ollama.preload.models in the config",
                );
                Exit::Usage
            }
            Some((kind, models)) => {
                let kind = if by_request && kind == ActKind::Warm { ActKind::Load } else { kind };
                let ui = &world.config.ui;
                let recalls = recalls(world, &handle);
                let request =
                    Request { recalls, ..Request::new(kind, &models, &cli.flags, ui.confirm, ui.read_only) };
                match sub {
                    Sub::Hold { foreground, .. } => {
                        hold::run(handle, &request, &world.config, *foreground, interrupt, &mut out).await
                    }
                    _ => act::run(handle, &request, interrupt, &mut out).await,
                }
            }
            None => Exit::Usage,
        },
        None => Exit::Usage,
    })
}

/// Asks for the past where there is one: who only looks makes no journal. A full queue leaves what is told from it
/// unknown, as without one.
pub(super) fn recalls(world: &World, handle: &Handle) -> bool {
    state::journal_path(world.sim.is_some()).is_some_and(|path| path.exists())
        && handle.send(Command::Recall).is_ok()
}

/// How wide the terminal on stdout is; a pipe has no width.
fn columns() -> Option<usize> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return None;
    }
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns))
}
