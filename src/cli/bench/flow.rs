//! `flow NAME --compare`: a workflow cold, warm and with lookahead beside each other.

pub mod sheet;

use std::io;
use std::sync::Arc;

use super::setting::Setting;
use super::{Consent, Form, allowed, known, verdict};
use crate::cli::out::Out;
use crate::cli::status::pretty;
use crate::cli::{Exit, Flags, Flow};
use crate::config::{Config, Confirm, Workflow};
use crate::engine::Handle;
use crate::engine::compare::{self, Running};
use crate::residency::bench::RUNS;
use crate::residency::compare::{Comparison, question};
use crate::residency::name::ModelName;
use crate::residency::text::printable;
use crate::residency::timing::Clock;

/// What one call asks for.
pub struct Request<'a> {
    /// The command line.
    pub asked: &'a Flow,
    /// What counts for every subcommand.
    pub flags: &'a Flags,
    /// All settings.
    pub config: &'a Arc<Config>,
    /// The demo's scale, else 1.
    pub scale: u64,
}

/// Compares and prints; as [`super::run`].
pub async fn run(
    mut handle: Handle,
    request: &Request<'_>,
    clock: &Clock,
    consent: Consent<'_>,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    let Request { asked, flags, config, scale } = request;
    let Some(form) = asked.print.form(flags) else {
        return out.refuse(flags.json, Exit::Usage, "choose one of --json, --csv and --markdown");
    };
    if config.ui.read_only || flags.read_only {
        let why = "read-only: nothing is changed, so nothing is measured";
        return out.refuse(flags.json, Exit::Usage, why);
    }
    let workflow = match workflow(config, asked.name.as_deref()) {
        Ok(workflow) => workflow,
        Err(why) => return out.refuse(flags.json, Exit::Usage, &why),
    };
    let snapshot = match known(&mut handle).await {
        Ok(snapshot) => snapshot,
        Err((exit, why)) => return out.refuse(flags.json, exit, &why),
    };
    let Some(server) = snapshot.servers.first() else { return Exit::Failed };
    let mut models: Vec<ModelName> = config.tasks(workflow).into_iter().map(|task| task.model).collect();
    if let Some(missing) = models.iter().find(|model| server.model(model).is_none()) {
        let why = format!("{missing} is not installed on this server; to install it: ollama pull {missing}");
        return out.refuse(flags.json, Exit::Failed, &why);
    }
    models.sort();
    models.dedup();
    let rounds = asked.runs.unwrap_or(RUNS);
    let asks_first = !flags.yes && config.ui.confirm != Confirm::Never;
    if asks_first
        && let Err(exit) =
            allowed(&question(server, &workflow.name, &models, rounds), consent, request.flags.json, out)
    {
        return exit;
    }
    let comparing = compare::start(
        handle.clone(),
        compare::Request {
            config: Arc::clone(config),
            clock: Arc::clone(clock),
            workflow: workflow.clone(),
            scale: *scale,
            rounds,
            cooldown: asked.print.cooldown(),
        },
    );
    let comparison = followed(comparing, interrupt, out).await;
    let setting = Setting::read(&handle.snapshot());
    let printed = match form {
        Form::Table => out.result(&sheet::table(&comparison, &setting)),
        Form::Markdown => out.result(&sheet::markdown(&comparison, &setting)),
        Form::Csv => out.result(&sheet::csv(&comparison, &setting)),
        Form::Json => out.result(&pretty(&sheet::json(&comparison, &setting))),
    };
    end(printed, &comparison, out)
}

fn end(printed: io::Result<()>, comparison: &Comparison, out: &mut Out<'_>) -> Exit {
    match printed {
        Ok(()) => verdict(&comparison.state, &comparison.left, out),
        Err(error) => {
            out.remark(&format!("cannot write the result: {error}"));
            Exit::Failed
        }
    }
}

fn workflow<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Workflow, String> {
    let names: Vec<_> = config.workflows.iter().map(|workflow| printable(&workflow.name)).collect();
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let Some(name) = name else { return Err(format!("name the workflow to compare; there: {there}")) };
    let found = config.workflows.iter().find(|workflow| workflow.name == name);
    let Some(found) = found else {
        return Err(format!("no workflow {} in the config; there: {there}", printable(name)));
    };
    config.why_not_run(found).map_or(Ok(found), |why| Err(printable(&why).into_owned()))
}

/// Says each run as it ends, until all is over and put back.
async fn followed(
    mut running: Running,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Comparison {
    let mut interrupt = std::pin::pin!(interrupt);
    let (mut said, mut is_cancelled) = (0, false);
    loop {
        let comparison = Arc::clone(&running.state.borrow_and_update());
        for run in &comparison.runs[said..] {
            let (valid, all) = comparison.progress();
            let flow = &run.flow;
            let ended = match &run.thrown {
                None => {
                    format!("work {:.2} s, swaps {:.2} s", flow.work.as_secs_f64(), flow.swaps.as_secs_f64())
                }
                Some(why) => format!("thrown away: {}", printable(why)),
            };
            let again = if run.again { ", second round" } else { "" };
            out.remark(&format!("[{valid}/{all}] {}{again}  {ended}", flow.manner.word()));
        }
        said = comparison.runs.len();
        if comparison.state.is_over() {
            return Comparison::clone(&comparison);
        }
        tokio::select! {
            biased;
            () = interrupt.as_mut(), if !is_cancelled => {
                out.remark("cancelled; putting back what was loaded and pinned");
                is_cancelled = true;
                running.cancel();
            }
            changed = running.state.changed() => if changed.is_err() {
                return Comparison::clone(&running.state.borrow());
            }
        }
    }
}
