//! The embedded server against what two real servers were recorded to answer: status, shape, types, error texts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::time::Duration;

use resident::residency::name::ModelName;
use resident::sim::{Options, Sim, start};
use serde_json::Value;

use crate::sim_http::{clock, exchange};

const SERVERS: [(&str, &str); 2] = [
    ("0.24.0", include_str!("../data/recorded/ollama-0.24.0.jsonl")),
    ("0.32.15", include_str!("../data/recorded/ollama-0.32.15.jsonl")),
];

/// The recorded server's five models, on a server without files.
async fn server(version: &str) -> Sim {
    let mut options = Options::for_tests(1024, Duration::ZERO, clock());
    version.clone_into(&mut options.version);
    options.tokens_per_second = 10_000.0;
    // The recordings come from a machine without a card, where no model has to go for another's size.
    options.card.0 *= 8;
    options.catalogue[3] = options.catalogue[2].alias(ModelName::parse("openthinker3-32b").unwrap());
    options.catalogue[3].seed = 99;
    start(options).await.unwrap()
}

/// What is compared of a JSON value: its keys and the types of its values. Lists are compared by their first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(all) => Value::Array(all.first().map(shape).into_iter().collect()),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => "null".into(),
    }
}

/// What a recorded case must have in common with ours.
fn essence(path: &str, value: &Value) -> Value {
    let mut shaped = shape(value);
    for exact in ["error", "done_reason", "done", "model", "version", "cloud", "object"] {
        if let Some(said) = value.get(exact) {
            shaped[exact] = said.clone();
        }
    }
    match path {
        // How many are loaded depends on the machine's memory; each line's shape does not.
        "/api/ps" if value["models"] == serde_json::json!([]) => shaped["models"] = "none".into(),
        "/api/show" => {
            if let Some(info) = value["model_info"].as_object() {
                let general: BTreeMap<&str, &str> = info
                    .iter()
                    .filter(|(key, _)| {
                        matches!(key.as_str(), "general.architecture" | "general.parameter_count")
                    })
                    .map(|(key, value)| (key.as_str(), if value.is_string() { "text" } else { "number" }))
                    .collect();
                shaped["model_info"] = serde_json::json!(general);
            }
        }
        _ => {}
    }
    shaped
}

/// Cases that change files, need a network, or were recorded with another configuration.
fn is_elsewhere(case: &str) -> bool {
    let number: String = case.chars().take_while(char::is_ascii_digit).collect();
    matches!(number.parse(), Ok(110..=113 | 120..=149))
        // Ours has no engine whose words differ by version: it speaks 0.32.15's.
        || case == "115-embed"
}

async fn replay(version: &str, recorded: &str) -> Vec<String> {
    let sim = server(version).await;
    let mut differences = Vec::new();
    let mut compared = 0;
    for line in recorded.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["case"].as_str().unwrap();
        let (request, response) = (&case["request"], &case["response"]);
        let (Some(method), Some(path)) = (request["method"].as_str(), request["path"].as_str()) else {
            continue;
        };
        if is_elsewhere(name) || response["status"].is_null() {
            continue;
        }
        let headers: Vec<(&str, &str)> = request["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let answer = exchange(&sim, method, path, &headers, request["body_raw"].as_str()).await;
        compared += 1;
        let mut check = |what: &str, theirs: &Value, ours: &Value| {
            if theirs != ours {
                differences.push(format!("{name} {what}\n  theirs {theirs}\n  ours   {ours}"));
            }
        };
        check("status", &response["status"], &answer.status.into());
        check(
            "content type",
            &response["headers"]["Content-Type"],
            &answer.content_type.clone().map_or(Value::Null, Value::from),
        );
        if let Some(theirs) = response.get("json") {
            // An old server has fewer fields in its lists; a client must bear with both.
            if path == "/api/ps" || (version == "0.24.0" && matches!(path, "/api/tags" | "/api/show")) {
                let ours = answer.json();
                let (theirs, ours) = (&theirs["models"][0], &ours["models"][0]);
                if let (Some(theirs), Some(ours)) = (theirs.as_object(), ours.as_object()) {
                    for (key, value) in theirs.iter().filter(|(key, _)| *key != "details") {
                        check(key, &shape(value), &ours.get(key).map_or(Value::Null, shape));
                    }
                }
            } else {
                let mut ours = answer.json();
                if let Some(ours) = ours.as_object_mut() {
                    // Go leaves out a duration of zero, which 0.24 has after a single token.
                    ours.retain(|key, _| theirs.get(key).is_some() || key != "eval_duration");
                }
                check("body", &essence(path, theirs), &essence(path, &ours));
            }
        } else if answer.content_type.as_deref() == Some("application/x-ndjson") {
            let theirs = response["text"].as_str().unwrap();
            let ends = |text: &str| {
                let lines: Vec<Value> =
                    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                Value::Array(vec![shape(&lines[0]), shape(lines.last().unwrap()), lines.len().into()])
            };
            check("lines", &ends(theirs), &ends(&answer.body));
        } else {
            let theirs = response["text"].as_str().unwrap_or_default();
            check("text", &theirs.into(), &answer.body.as_str().into());
        }
    }
    assert!(compared > 90, "only {compared} cases were compared");
    sim.shutdown().await;
    differences
}

#[tokio::test]
async fn the_embedded_server_answers_as_ollama_0_32_15_did() {
    let (version, recorded) = SERVERS[1];
    let differences = replay(version, recorded).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn the_embedded_server_answers_as_ollama_0_24_0_did_where_both_agree() {
    let (version, recorded) = SERVERS[0];
    let differences = replay(version, recorded).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn an_embedding_only_model_loads_through_embed_alone() {
    let sim = start(Options::for_tests(1024, Duration::ZERO, clock())).await.unwrap();
    let model = r#"{"model":"nomic-embed-text"}"#;
    for (path, words) in [
        ("/api/generate", r#""nomic-embed-text" does not support generate"#),
        ("/api/chat", r#""nomic-embed-text" does not support chat"#),
    ] {
        let answer = exchange(&sim, "POST", path, &[], Some(model)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(words)));
    }
    let answer = exchange(&sim, "POST", "/api/embed", &[], Some(model)).await;
    assert_eq!(answer.json(), serde_json::json!({"model": "nomic-embed-text", "embeddings": []}));
    let loaded = exchange(&sim, "GET", "/api/ps", &[], None).await.json();
    assert_eq!(loaded["models"][0]["name"], "nomic-embed-text:latest");
    let body = r#"{"model":"nomic-embed-text","keep_alive":0}"#;
    let answer = exchange(&sim, "POST", "/api/generate", &[], Some(body)).await;
    assert_eq!(answer.json()["done_reason"], "unload");
    let body = r#"{"model":"gemma3:270m","input":"hi"}"#;
    let answer = exchange(&sim, "POST", "/api/embed", &[], Some(body)).await;
    assert_eq!(answer.status, 501);
    sim.shutdown().await;
}
