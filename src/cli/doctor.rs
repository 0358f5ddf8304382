//! `doctor`: how all is set up, and what is wrong with the server or with how it is used; each with what to do.

mod setup;
mod sheet;

use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json as object};
use tokio::time::Instant;

pub use setup::Setup;

use super::Exit;
use super::out::Out;
use super::ready::{self, Ready};
use super::status::{pretty, script_name, seconds};
use crate::engine::Handle;
use crate::residency::checkup::{Check, Verdict};
use crate::residency::finding::Finding;
use crate::residency::snapshot::{Server, Snapshot};
use crate::residency::text::printable;
use crate::residency::timing::{Clock, Moment};

/// The version of the JSON; it rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// How long it may take until enough was seen to judge: the server has to answer twice.
const JUDGEMENT: Duration = Duration::from_secs(20);
/// How long the machine's own readings may take where there is no server to wait for.
const MACHINE: Duration = Duration::from_secs(3);
/// How long the journal's past may take.
const PAST: Duration = Duration::from_millis(500);

/// What one call of `doctor` asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// JSON instead of words.
    pub json: bool,
    /// The journal is asked for the past: reloads and evictions are counted from it.
    pub recalls: bool,
    /// What the check-up is told from; without it only findings are told.
    pub setup: Option<&'a Setup>,
}

/// Looks at the server until it can judge, and prints what it found: done if that is nothing, failed otherwise.
pub async fn run(
    mut handle: Handle,
    request: Request<'_>,
    clock: &Clock,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    tokio::select! {
        biased;
        () = interrupt => Exit::Failed,
        exit = look(&mut handle, request, clock, out) => exit,
    }
}

async fn look(handle: &mut Handle, request: Request<'_>, clock: &Clock, out: &mut Out<'_>) -> Exit {
    let (exit, why) = match ready::server(handle, Instant::now() + ready::PATIENCE).await {
        Ready::Up(_) => (Exit::Done, String::new()),
        Ready::Down(why) => (Exit::NoServer, why),
        Ready::Late(why) => (Exit::TimedOut, why),
        Ready::Ended => (Exit::Failed, "the engine has stopped".to_owned()),
    };
    if exit != Exit::Done {
        return without(handle, request, (exit, &why), clock, out).await;
    }
    let until = Instant::now() + JUDGEMENT;
    ready::readings(handle, until).await;
    if request.recalls {
        ready::all(handle, Instant::now() + PAST, |snapshot| snapshot.past.swaps.is_empty()).await;
    }
    let judged = |snapshot: &Snapshot| snapshot.servers.iter().all(|server| server.findings.is_some());
    let snapshot: Arc<Snapshot> = ready::all(handle, until, |snapshot| !judged(snapshot)).await;
    let (Some(server), true) = (snapshot.servers.first(), judged(&snapshot)) else {
        let why = "the server did not answer twice in time: nothing can be judged";
        return without(handle, request, (Exit::TimedOut, why), clock, out).await;
    };
    let findings = server.findings.as_deref().unwrap_or_default();
    let loads = snapshot.past.swaps.len();
    let checks = match request.setup {
        Some(setup) => setup.checks(&snapshot, clock).await,
        None => Vec::new(),
    };
    let now = clock();
    let text = if request.json {
        pretty(&json(server, findings, &checks, loads, now))
    } else {
        let words = words(server, findings, loads, now);
        if checks.is_empty() { words } else { format!("{}\n\n{words}", sheet::words(&checks)) }
    };
    if let Err(error) = out.result(&text) {
        out.remark(&format!("cannot write the findings: {error}"));
        return Exit::Failed;
    }
    let is_well = findings.is_empty() && !checks.iter().any(|check| check.verdict == Verdict::Broken);
    if is_well { Exit::Done } else { Exit::Failed }
}

/// Without a server there are no findings: how all else is set up can be told, where that is asked for.
async fn without(
    handle: &mut Handle,
    request: Request<'_>,
    (exit, why): (Exit, &str),
    clock: &Clock,
    out: &mut Out<'_>,
) -> Exit {
    let snapshot = ready::machine(handle, Instant::now() + MACHINE).await;
    if let (Some(setup), Some(server)) = (request.setup, snapshot.servers.first()) {
        let checks = setup.checks(&snapshot, clock).await;
        let text = if request.json {
            pretty(&object!({
                "schema_version": SCHEMA_VERSION,
                "at": clock().wall.to_string(),
                "server": server.url,
                "outcome": if exit == Exit::NoServer { "no_server" } else { "timed_out" },
                "exit_code": exit as u8,
                "error": printable(why),
                "loads_in_journal": snapshot.past.swaps.len(),
                "findings": null,
                "checks": sheet::json(&checks),
            }))
        } else {
            sheet::words(&checks)
        };
        // Who cannot be written to is told by the exit code alone.
        drop(out.result(&text));
        if !request.json {
            out.remark(why);
        }
        return exit;
    }
    out.refuse(request.json, exit, why)
}

/// For scripts. What was looked at says what an empty list is worth.
fn json(server: &Server, findings: &[Finding], checks: &[Check], loads: usize, now: Moment) -> Value {
    let one = |finding: &Finding| {
        object!({
            "kind": finding.kind.key(),
            "model": finding.model.as_ref().map(script_name),
            "severity": finding.severity.word(),
            "for_seconds": finding.since.map(|since| seconds(now.since(since.mono))),
            "evidence": finding.evidence,
            "advice": finding.advice,
        })
    };
    object!({
        "schema_version": SCHEMA_VERSION,
        "at": now.wall.to_string(),
        "server": server.url,
        "loads_in_journal": loads,
        "findings": findings.iter().map(one).collect::<Vec<_>>(),
        "checks": sheet::json(checks),
    })
}

/// For eyes.
fn words(server: &Server, findings: &[Finding], loads: usize, now: Moment) -> String {
    let loads = match loads {
        0 => "no loads in the journal".to_owned(),
        1 => "1 load in the journal".to_owned(),
        loads => format!("{loads} loads in the journal"),
    };
    let count = match findings.len() {
        0 => "nothing is wrong, as far as can be seen from here".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    let mut text = format!("{count}   ({}, {loads})", printable(&server.url));
    for finding in findings {
        let model = finding.model.as_ref().map_or_else(String::new, |model| format!("   {model}"));
        let since = finding.since.map(|since| now.since(since.mono).as_secs());
        let since = since.map_or_else(String::new, |seconds| format!("   for {seconds} s"));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n\n! {}{model}{since}\n  {}\n  do: {}",
            finding.kind.words(),
            printable(&finding.evidence),
            printable(&finding.advice)
        );
    }
    text
}
