//! `flow`: lists the workflows of the config, or runs one and says what each step took.

mod document;
mod printer;
mod relay;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::printer::Printer;
use super::act::refusal::{lacks_forecast, refusal};
use super::out::Out;
use super::ready::{self, Ready};
use super::{Exit, Flags};
use crate::config::{Config, Workflow};
use crate::engine::Handle;
use crate::engine::flow::{Running, Start, start};
use crate::residency::act::ActKind;
use crate::residency::flow::{Flow, FlowState, Manner};
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;
use crate::residency::timing::Clock;

/// How long readings and forecasts are waited for: what is in RAM, and what would be displaced.
const FORESIGHT: Duration = Duration::from_secs(3);

/// What one call asks for.
pub struct Request {
    /// Which workflow; `None` lists them.
    pub name: Option<String>,
    /// How its models come near.
    pub manner: Manner,
    /// How many times.
    pub runs: Option<u32>,
    /// `--yes`: also displace pinned and busy models.
    pub yes: bool,
    /// Only look.
    pub read_only: bool,
    /// One JSON object a line.
    pub json: bool,
    /// All settings.
    pub config: Arc<Config>,
    /// The one clock.
    pub clock: Clock,
    /// The embedded server's scale.
    pub demo_scale: Option<u64>,
}

impl Request {
    /// Joins what the command line and the config say.
    pub fn new(
        asked: &super::args::Flow,
        flags: &Flags,
        config: &Arc<Config>,
        clock: &Clock,
        demo_scale: Option<u64>,
    ) -> Request {
        Request {
            name: asked.name.clone(),
            manner: asked.manner,
            runs: asked.runs,
            yes: flags.yes,
            read_only: flags.read_only || config.ui.read_only,
            json: flags.json,
            config: Arc::clone(config),
            clock: Arc::clone(clock),
            demo_scale,
        }
    }
}

/// Carries the request out; when `interrupt` ends, the run is cancelled and its command ended.
pub async fn run(
    handle: Handle,
    request: &Request,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    let interrupt = std::pin::pin!(interrupt);
    let ended = match &request.name {
        None => list(request, out),
        Some(name) => match workflow(request, name) {
            Ok(workflow) => runs(handle, request, workflow, interrupt, out).await,
            Err(why) => return out.refuse(request.json, Exit::Usage, &why),
        },
    };
    ended.unwrap_or_else(|error| {
        out.remark(&format!("cannot write the result: {error}"));
        Exit::Failed
    })
}

/// Waits until the terminal is closed, unless that is to be ignored (`nohup`). A command of a step has a group of its
/// own, which no terminal ends.
pub async fn hung_up() {
    use tokio::signal::unix::{SignalKind, signal};
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    // The lowest bit is the first signal, the hang-up.
    let hangup = if ignored & 1 == 0 { signal(SignalKind::hangup()).ok() } else { None };
    match hangup {
        Some(mut hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

fn list(request: &Request, out: &mut Out<'_>) -> io::Result<Exit> {
    let workflows = &request.config.workflows;
    if workflows.is_empty() {
        out.remark("the config has no workflows: write some under workflows:, or try --demo");
        if request.json {
            out.result(&document::none())?;
        }
    }
    for workflow in workflows {
        let tasks = request.config.tasks(workflow);
        out.result(&if request.json {
            document::workflow(workflow, &tasks)
        } else {
            printer::workflow(workflow, &tasks)
        })?;
    }
    Ok(Exit::Done)
}

/// The workflow of that name, if it may be run.
fn workflow<'a>(request: &'a Request, name: &str) -> Result<&'a Workflow, String> {
    if request.read_only {
        return Err("read-only: nothing is changed, so no workflow is run".to_owned());
    }
    let all = &request.config.workflows;
    let Some(found) = all.iter().find(|workflow| workflow.name == name) else {
        let names: Vec<_> = all.iter().map(|workflow| printable(&workflow.name)).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(format!("no workflow {} in the config; there: {there}", printable(name)));
    };
    request.config.why_not_run(found).map_or(Ok(found), |why| Err(printable(&why).into_owned()))
}

/// Waits for the server and looks whether the workflow may be run now; the error is how it ends instead.
async fn admit(handle: &mut Handle, request: &Request, models: &[ModelName]) -> Result<(), (Exit, String)> {
    let patience = Instant::now() + ready::PATIENCE;
    let snapshot = match ready::server(handle, patience).await {
        Ready::Up(snapshot) => snapshot,
        Ready::Down(why) => return Err((Exit::NoServer, why)),
        Ready::Late(why) => return Err((Exit::TimedOut, why)),
        Ready::Ended => return Err((Exit::Failed, "the engine has stopped".to_owned())),
    };
    let missing = |snapshot: &Snapshot| {
        let server = snapshot.servers.first()?;
        models.iter().find(|model| server.model(model).is_none()).cloned()
    };
    if let Some(model) = missing(&snapshot) {
        let why = format!("{model} is not installed on this server. To install it: ollama pull {model}");
        return Err((Exit::Failed, why));
    }
    let soon = patience.min(Instant::now() + FORESIGHT);
    let mut snapshot = snapshot;
    // Lookahead needs to know what is in RAM already; of another machine that never comes.
    if snapshot.servers.first().is_some_and(|server| server.local) {
        snapshot = ready::readings(handle, soon).await;
    }
    if !request.yes {
        let lacks = |snapshot: &Snapshot| {
            let server = snapshot.servers.first();
            server.is_some_and(|s| models.iter().any(|model| lacks_forecast(s, ActKind::Swap, model)))
        };
        snapshot = ready::forecasts(handle, soon, lacks).await;
    }
    let Some(server) = snapshot.servers.first().filter(|_| !request.yes) else { return Ok(()) };
    let confirm = request.config.ui.confirm;
    for model in models {
        if let Some(why) = refusal(server, ActKind::Swap, model, confirm) {
            return Err((
                Exit::Refused,
                format!("{model} would be swapped in: {why}; --yes does it all the same"),
            ));
        }
    }
    Ok(())
}

async fn runs<F: Future<Output = ()>>(
    mut handle: Handle,
    request: &Request,
    workflow: &Workflow,
    mut interrupt: Pin<&mut F>,
    out: &mut Out<'_>,
) -> io::Result<Exit> {
    let mut models: Vec<ModelName> = Vec::new();
    for task in request.config.tasks(workflow) {
        if !models.contains(&task.model) {
            models.push(task.model);
        }
    }
    let admitted = tokio::select! {
        admitted = admit(&mut handle, request, &models) => admitted,
        () = interrupt.as_mut() => return Ok(Exit::Failed),
    };
    if let Err((exit, why)) = admitted {
        return Ok(out.refuse(request.json, exit, &why));
    }
    // Each round is a run of its own here: its sum is printed before the next one begins.
    let forever = workflow.repeat && request.runs.is_none();
    let of = request.runs.unwrap_or(1);
    let once = Workflow { repeat: false, ..workflow.clone() };
    let mut number = 1;
    loop {
        let running = start(
            handle.clone(),
            Start {
                config: Arc::clone(&request.config),
                clock: Arc::clone(&request.clock),
                workflow: once.clone(),
                manner: request.manner,
                scale: request.demo_scale.unwrap_or(1),
                run: (number, of.max(number)),
            },
        );
        let mut printer = Printer::new(request, request.config.tasks(workflow));
        let flow = follow(running, &mut printer, interrupt.as_mut(), out).await?;
        let snapshot = if let FlowState::Failed { .. } = flow.state {
            // Whether it failed because the server is gone, the next answer tells.
            let ended = (request.clock)().mono;
            let old = |snapshot: &Snapshot| {
                let seen = snapshot.servers.first().and_then(|server| server.ps_at);
                seen.is_none_or(|seen| seen.mono < ended)
            };
            ready::all(&mut handle, Instant::now() + FORESIGHT, old).await
        } else {
            handle.snapshot()
        };
        let exit = printer.end(&flow, &snapshot, out)?;
        if exit != Exit::Done || (!forever && number >= of) || out.is_closed() {
            return Ok(exit);
        }
        number = number.saturating_add(1);
    }
}

/// Prints what happens until the run is over.
async fn follow<F: Future<Output = ()>>(
    mut running: Running,
    printer: &mut Printer<'_>,
    mut interrupt: Pin<&mut F>,
    out: &mut Out<'_>,
) -> io::Result<Arc<Flow>> {
    loop {
        let flow = Arc::clone(&running.state.borrow_and_update());
        printer.said(&running.output.borrow_and_update(), out);
        printer.show(&flow, out)?;
        if flow.state.is_over() {
            return Ok(flow);
        }
        tokio::select! {
            changed = running.state.changed() => if changed.is_err() {
                let why = "its task has ended".to_owned();
                return Ok(Arc::new(Flow { state: FlowState::Failed { why }, ..(*flow).clone() }));
            },
            Ok(()) = running.output.changed() => {}
            () = interrupt.as_mut() => {
                let output = running.output.clone();
                let flow = running.cancel().await;
                printer.said(&output.borrow(), out);
                printer.show(&flow, out)?;
                return Ok(flow);
            }
        }
    }
}
