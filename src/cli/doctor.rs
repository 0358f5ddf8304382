//! `doctor`: what is wrong with the server or with how it is used, each with what says so and what to do.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json as object};
use tokio::time::Instant;

use super::Exit;
use super::out::Out;
use super::ready::{self, Ready};
use super::status::{pretty, script_name, seconds};
use crate::engine::Handle;
use crate::residency::finding::Finding;
use crate::residency::snapshot::{Server, Snapshot};
use crate::residency::text::printable;
use crate::residency::timing::{Clock, Moment};

/// The version of the JSON; it rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// How long it may take until enough was seen to judge: the server has to answer twice.
const JUDGEMENT: Duration = Duration::from_secs(20);
/// How long the journal's past may take.
const PAST: Duration = Duration::from_millis(500);

/// What one call of `doctor` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// JSON instead of words.
    pub json: bool,
    /// The journal is asked for the past: reloads and evictions are counted from it.
    pub recalls: bool,
}

/// Looks at the server until it can judge, and prints what it found: done if that is nothing, failed otherwise.
pub async fn run(
    mut handle: Handle,
    request: Request,
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

async fn look(handle: &mut Handle, request: Request, clock: &Clock, out: &mut Out<'_>) -> Exit {
    let (exit, why) = match ready::server(handle, Instant::now() + ready::PATIENCE).await {
        Ready::Up(_) => (Exit::Done, String::new()),
        Ready::Down(why) => (Exit::NoServer, why),
        Ready::Late(why) => (Exit::TimedOut, why),
        Ready::Ended => (Exit::Failed, "the engine has stopped".to_owned()),
    };
    if exit != Exit::Done {
        return out.refuse(request.json, exit, &why);
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
        return out.refuse(request.json, Exit::TimedOut, why);
    };
    let findings = server.findings.as_deref().unwrap_or_default();
    let loads = snapshot.past.swaps.len();
    let now = clock();
    let text = if request.json {
        pretty(&json(server, findings, loads, now))
    } else {
        words(server, findings, loads, now)
    };
    if let Err(error) = out.result(&text) {
        out.remark(&format!("cannot write the findings: {error}"));
        return Exit::Failed;
    }
    if findings.is_empty() { Exit::Done } else { Exit::Failed }
}

/// For scripts. What was looked at says what an empty list is worth.
fn json(server: &Server, findings: &[Finding], loads: usize, now: Moment) -> Value {
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
