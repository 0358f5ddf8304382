//! Findings provoked on the embedded server, and how `doctor` prints them.

use std::future::pending;

use resident::cli::Exit;
use resident::cli::doctor::{Request, run};
use resident::cli::out::Out;
use resident::residency::finding::{Finding, Kind, Severity};
use resident::residency::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::chronicle::Place;
use crate::cli_fake::{after, engine, name, noon, on_disk, snapshot, stopped};

const QWEN: &str = "qwen2.5-coder:7b";

fn of(snapshot: &Snapshot, kind: Kind) -> Option<Finding> {
    let findings = snapshot.servers[0].findings.as_deref()?;
    findings.iter().find(|finding| finding.kind == kind).cloned()
}

#[tokio::test]
async fn two_clients_that_ask_for_other_contexts_are_found_and_what_they_cost() {
    let place = Place::new().await;
    let mut world = place.recorder().await;
    for context in [2048, 4096, 2048, 4096] {
        let asked = json!({ "model": QWEN, "options": { "num_ctx": context } });
        world.other("/api/generate", asked).await;
        let runs_so = |context| {
            move |model: &resident::residency::snapshot::Model| {
                model.loaded.as_ref().is_some_and(|loaded| loaded.context == Some(context))
            }
        };
        world.until_model(QWEN, runs_so(context)).await;
    }
    let finding = world.until("the churn", |snapshot| of(snapshot, Kind::ReloadChurn)).await;
    assert_eq!(finding.model, Some(name(QWEN)));
    assert!(finding.evidence.starts_with("loaded anew 3 times in the last hour"), "{finding:?}");
    assert!(finding.evidence.ends_with("num_ctx 2048 and 4096"), "{finding:?}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_killed_runner_is_found_as_a_ghost_and_gone_when_it_is_loaded_again() {
    let mut on = crate::probe_runner::OnChildren::new().await;
    on.world.other("/api/generate", json!({ "model": QWEN })).await;
    let has_runner = |model: &resident::residency::snapshot::Model| {
        model.loaded.as_ref().is_some_and(|loaded| loaded.runner.is_some())
    };
    on.world.until_model(QWEN, has_runner).await;
    let none = |snapshot: &Snapshot| snapshot.servers[0].findings.as_deref().map(<[Finding]>::len);
    assert_eq!(on.world.until("a judgement", none).await, 0);
    assert!(on.server.kill_runner(QWEN).await);
    let finding = on.world.until("the ghost", |snapshot| of(snapshot, Kind::Ghost)).await;
    assert_eq!((finding.model, finding.severity), (Some(name(QWEN)), Severity::Broken));
    on.world.other("/api/generate", json!({ "model": QWEN })).await;
    on.world.until("no ghost", |snapshot| of(snapshot, Kind::Ghost).is_none().then_some(())).await;
    on.server.shutdown().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_load_in_the_middle_is_no_finding() {
    let mut on = crate::probe_runner::OnChildren::new().await;
    for model in [QWEN, "openthinker3-7b", "deepseek-r1:14b"] {
        on.world.other("/api/generate", json!({ "model": model })).await;
        on.world.until_model(model, |model| model.loaded.is_some()).await;
    }
    let found = |snapshot: &Snapshot| snapshot.servers[0].findings.as_deref().map(<[Finding]>::to_vec);
    assert_eq!(on.world.until("a judgement", found).await, []);
    on.server.shutdown().await;
}

/// What `doctor` prints of a server with these findings, and how it ends.
async fn doctor(findings: Vec<Finding>, json: bool) -> (String, Exit) {
    let at = noon();
    let mut shown = snapshot(at, vec![on_disk("a", 100, 0)]);
    shown.servers[0].findings = Some(findings.into());
    let (handle, _engine) = engine(shown);
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let mut out = Out::new(&mut results, &mut remarks);
    let request = Request { json, recalls: false, setup: None };
    let exit = run(handle, request, &stopped(after(at, 40)), pending(), &mut out).await;
    assert_eq!(remarks, b"");
    let text = String::from_utf8(results).unwrap();
    if json {
        crate::schema::follows("doctor", &serde_json::from_str(&text).unwrap());
    }
    (text, exit)
}

fn stuck() -> Finding {
    Finding {
        kind: Kind::StuckScheduler,
        model: Some(name("a")),
        severity: Severity::Broken,
        since: Some(noon()),
        evidence: "it waits for \u{1b}[2J".to_owned(),
        advice: "restart the server".to_owned(),
    }
}

#[tokio::test]
async fn doctor_prints_each_finding_and_ends_with_one_if_there_is_any() {
    let (text, exit) = doctor(Vec::new(), false).await;
    assert_eq!(exit, Exit::Done);
    assert_eq!(
        text,
        "nothing is wrong, as far as can be seen from here   (http://127.0.0.1:11434, no loads in the journal)\n"
    );
    let (text, exit) = doctor(vec![stuck()], false).await;
    assert_eq!(exit, Exit::Failed);
    assert!(text.starts_with("1 finding   (") && !text.contains('\u{1b}'), "{text}");
    let rest = text.split_once("\n\n").unwrap().1;
    assert!(rest.starts_with("! stuck scheduler   a   for "), "{text}");
    assert!(rest.ends_with("\n  do: restart the server\n"), "{text}");
}

#[tokio::test]
async fn doctor_says_the_same_to_scripts() {
    let (text, exit) = doctor(Vec::new(), true).await;
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((exit, &said["schema_version"], &said["findings"]), (Exit::Done, &json!(1), &json!([])));
    let since = Finding { since: None, ..stuck() };
    let (text, exit) = doctor(vec![since], true).await;
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exit, Exit::Failed);
    assert_eq!(
        said["findings"],
        json!([{
            "kind": "stuck_scheduler",
            "model": "a",
            "severity": "broken",
            "for_seconds": null,
            "evidence": "it waits for \u{1b}[2J",
            "advice": "restart the server",
        }])
    );
}
