//! `phase`: what an agent calls between its steps; it makes the phase's model ready, says so in a line, and tells
//! running dashboards.

mod at_once;
mod report;
mod swap_in;
mod tell;
mod wanted;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::report::{Ready, listing};
use self::tell::Teller;
use self::wanted::Wanted;
use super::act::ending::Ending;
use super::act::{Limits, Request};
use super::args::{model, timeout};
use super::dispatch::recalls;
use super::out::Out;
use super::swap::restore;
use super::wire::World;
use super::{Exit, Flags};
use crate::config::Confirm;
use crate::probe::runner;
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;

/// What an agent says of its next step.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Phase {
    /// One of the config's phases; without a name they are listed
    #[arg(value_name = "NAME", value_parser = word)]
    pub name: Option<String>,
    /// Whose work it is: what the agent calls this run of its own
    #[arg(long, value_name = "ID", default_value = "agent", value_parser = word)]
    pub run: String,
    /// What comes next, a phase or a model: a running dashboard reads it into RAM meanwhile
    #[arg(long, value_name = "NAME", requires = "name", value_parser = word)]
    pub next: Option<String>,
    /// The run is over
    #[arg(long, conflicts_with = "name")]
    pub over: bool,
    /// This model instead of the phase's
    #[arg(long, value_name = "MODEL", requires = "name", value_parser = model)]
    pub model: Option<ModelName>,
    /// The context it needs, in tokens, instead of the phase's
    #[arg(long, value_name = "N", requires = "name", value_parser = clap::value_parser!(u64).range(1..))]
    pub num_ctx: Option<u64>,
    /// If it fails, load what had to go for it again
    #[arg(long, requires = "name")]
    pub restore: bool,
    /// Give up after this long, such as 90s or 5m
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Duration>,
}

/// A name that an agent gives. Nothing is the name of nothing: in the journal it stands for the end of a run.
fn word(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() { Err("a name is wanted") } else { Ok(text.to_owned()) }
}

/// Carries it out.
pub async fn run(
    asked: &Phase,
    flags: &Flags,
    world: &World,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let config = &world.config;
    let Some(name) = &asked.name else {
        if asked.over {
            return over(asked, flags, world, out).await;
        }
        if config.phases.is_empty() {
            out.remark(
                "no phases: write them into the config, each with its model; see config.yaml of the project",
            );
        }
        out.result(&listing(config, flags.json))?;
        return Ok(Exit::Done);
    };
    let mut wanted = match Wanted::of(config, asked, name) {
        Ok(wanted) => wanted,
        Err(why) => return Ok(out.refuse(flags.json, Exit::Usage, &why)),
    };
    if config.ui.read_only || flags.read_only {
        let why = "read-only: nothing is changed, so no model is made ready";
        return Ok(out.refuse(flags.json, Exit::Usage, why));
    }
    let mut request = Request {
        kind: ActKind::Swap,
        models: vec![wanted.model.clone()],
        yes: flags.yes,
        confirm: config.ui.confirm,
        read_only: false,
        json: flags.json,
        timeout: asked.timeout,
        recalls: false,
    };
    let deadline = request.timeout.map(|timeout| Instant::now() + timeout);
    let mut limits = Limits { interrupt: std::pin::pin!(interrupt), deadline };
    let engine = world.engine()?;
    wanted.look_for_next(asked, engine.client()).await;
    for instead in wanted.instead.iter().chain(&wanted.next_instead) {
        out.remark(instead);
    }
    let teller = Teller::open(world);
    let clock = Arc::clone(&world.clock);
    let look = move |port| runner::look(Path::new("/proc"), port, Arc::clone(&clock));
    // What asks before every act is asked by the longer way, which says so.
    let may = request.yes || request.confirm != Confirm::Always;
    let there = if may {
        at_once::touch(engine.client(), &wanted, (world.clock)(), look, &mut limits).await
    } else {
        None
    };
    let ready = if let Some(ready) = there {
        out_of(&ready, &wanted, flags.json, out)?;
        ready
    } else {
        let mut handle = engine.start();
        request.recalls = recalls(world, &handle);
        let ready = swap_in::make_ready(&mut handle, &wanted, &request, &mut limits, out).await;
        out_of(&ready, &wanted, flags.json, out)?;
        if asked.restore {
            restore(&mut handle, (&ready.ending, &ready.after), flags.json, &mut limits, out).await;
        }
        ready
    };
    if ready.ending.exit() == Exit::Done {
        match teller.tell(wanted.record(&ready)).await {
            Ok(anew) => anew.iter().for_each(|anew| out.remark(anew)),
            Err(why) => out.remark(&format!("dashboards are not told of it: {why}")),
        }
    }
    Ok(ready.ending.exit())
}

/// The run has ended: nothing is asked of the server.
async fn over(asked: &Phase, flags: &Flags, world: &World, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    if let Some(why) = tell::why_not_over(world, &asked.run).await {
        return Ok(out.refuse(flags.json, Exit::Failed, &why));
    }
    match Teller::open(world).tell(wanted::over(&asked.run)).await {
        Ok(anew) => anew.iter().for_each(|anew| out.remark(anew)),
        Err(why) => {
            out.remark(&format!("dashboards are not told that the run is over: {why}"));
            return Ok(Exit::Failed);
        }
    }
    out.result(&report::over(&asked.run, flags.json))?;
    Ok(Exit::Done)
}

/// The line or the object: what was done goes to stdout, what was not to stderr.
fn out_of(ready: &Ready, wanted: &Wanted, json: bool, out: &mut Out<'_>) -> std::io::Result<()> {
    if json {
        return out.result(&ready.json(wanted));
    }
    let line = ready.line(wanted);
    if matches!(ready.ending, Ending::Done { .. }) {
        return out.result(&line);
    }
    ready.after.left.iter().for_each(|left| out.remark(left));
    out.remark(&line);
    Ok(())
}
