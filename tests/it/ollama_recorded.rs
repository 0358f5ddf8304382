//! Every answer that two real servers gave, read by the wire's types and compared whole.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use jiff::Timestamp;
use resident::ollama::wire::{Answer, ErrorBody, Ps, Shown, Tags, Version};
use resident::residency::expiry::Expiry;
use resident::residency::keep_alive::KeepAlive;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const RECORDINGS: [(&str, &str); 2] = [
    ("0.24.0", include_str!("../data/recorded/ollama-0.24.0.jsonl")),
    ("0.32.15", include_str!("../data/recorded/ollama-0.32.15.jsonl")),
];

/// What the types leave out on purpose.
const LEFT_OUT: [&str; 2] = ["tensors", "context"];

fn cases(recording: &str) -> Vec<Value> {
    recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn case<'a>(cases: &'a [Value], name: &str) -> &'a Value {
    cases.iter().find(|case| case["case"] == name).unwrap_or_else(|| panic!("no case {name}"))
}

/// Reads `recorded` as a `T` and asserts that nothing of it got lost or changed but what is left out.
fn compare<T: DeserializeOwned + Serialize>(at: &str, recorded: &Value) {
    let read: T = serde_json::from_str(&recorded.to_string()).unwrap_or_else(|error| panic!("{at}: {error}"));
    let mut expected = recorded.clone();
    for key in LEFT_OUT {
        expected.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(serde_json::to_value(&read).unwrap(), expected, "{at}");
}

#[test]
fn every_recorded_answer_is_read_whole() {
    for (version, recording) in RECORDINGS {
        let mut read = 0;
        for case in cases(recording) {
            let (at, response) = (format!("{version} {}", case["case"]), &case["response"]);
            let Some(body) = response.get("json").filter(|body| !body.is_null()) else {
                for line in response["lines"].as_array().into_iter().flatten() {
                    let line: Value = serde_json::from_str(line[1].as_str().unwrap()).unwrap();
                    compare::<Answer>(&at, &line);
                    read += 1;
                }
                continue;
            };
            read += 1;
            match (case["request"]["path"].as_str().unwrap(), response["status"].as_u64().unwrap()) {
                (_, 400..) => compare::<ErrorBody>(&at, body),
                ("/api/version", _) => compare::<Version>(&at, body),
                ("/api/tags", _) => compare::<Tags>(&at, body),
                ("/api/ps", _) => compare::<Ps>(&at, body),
                ("/api/show", _) => compare::<Shown>(&at, body),
                ("/api/generate" | "/api/chat" | "/api/embed", _) => compare::<Answer>(&at, body),
                // Not asked by us.
                ("/api/status" | "/v1/models", _) => read -= 1,
                (path, status) => panic!("{at}: {path} {status} is not compared"),
            }
        }
        assert!(read > 100, "{version}: only {read} answers were compared");
    }
}

#[test]
fn an_error_after_the_answer_began_is_seen() {
    let line = r#"{"error":"an error was encountered while running the model"}"#;
    let answer: Answer = serde_json::from_str(line).unwrap();
    assert_eq!(answer.error.as_deref(), Some("an error was encountered while running the model"));
    assert_eq!(answer.done, None);
}

/// When the case's `/api/ps` was answered, and what it says of `model`.
fn expiry(case: &Value, model: &str) -> Option<(Timestamp, Expiry)> {
    let asked: Timestamp = case["response"]["t_utc"].as_str().unwrap().parse().unwrap();
    let ps: Ps = serde_json::from_value(case["response"]["json"].clone()).unwrap();
    let running = ps.models.into_iter().find(|running| running.name == model)?;
    Some((asked, Expiry::read(running.expires_at.as_deref(), asked)))
}

#[test]
fn every_recorded_keep_alive_makes_the_countdown_that_it_says() {
    let seconds = Duration::from_secs_f64;
    // What was sent, as JSON, and the countdown that follows: the server keeps the running one where it refused.
    let table = [
        ("02a-keepalive-minus1-int", json!(-1), None),
        ("02b-keepalive-minus1-str", json!("-1"), None),
        ("02c-keepalive-minus1m-str", json!("-1m"), None),
        ("02d-keepalive-5m", json!("5m"), Some(seconds(300.0))),
        ("02e-keepalive-300-int", json!(300), Some(seconds(300.0))),
        ("02f-keepalive-300-str", json!("300"), Some(seconds(300.0))),
        ("02g-keepalive-300s", json!("300s"), Some(seconds(300.0))),
        ("02h-keepalive-1h30m", json!("1h30m"), Some(seconds(5400.0))),
        ("02i-keepalive-float-90.5", json!(90.5), Some(seconds(90.5))),
        ("02j-keepalive-null", Value::Null, Some(seconds(90.5))),
        ("02k-keepalive-empty-str", json!(""), Some(seconds(90.5))),
        ("02l-keepalive-bad-abc", json!("abc"), Some(seconds(90.5))),
        ("02m-keepalive-bad-5min", json!("5min"), Some(seconds(90.5))),
        ("02n-keepalive-bad-bool", json!(true), Some(seconds(90.5))),
        ("02p-keepalive-2s-then-5m", json!("5m"), Some(seconds(300.0))),
    ];
    for (version, recording) in RECORDINGS {
        let cases = cases(recording);
        for (name, sent, countdown) in &table {
            let asked = case(&cases, name);
            let body: Value = serde_json::from_str(asked["request"]["body_raw"].as_str().unwrap()).unwrap();
            assert_eq!(body["keep_alive"], *sent, "{version} {name}");
            let (at, expiry) = expiry(case(&cases, &format!("{name}-ps")), "qwen2.5-coder:7b").unwrap();
            match (countdown, expiry) {
                (None, expiry) => assert_eq!(expiry, Expiry::Never, "{version} {name}"),
                (Some(countdown), Expiry::At(gone)) => {
                    let left = Duration::try_from(gone.duration_since(at)).unwrap();
                    // The poll came some milliseconds after the answer, or, where it was refused, after the last good one.
                    assert!(left <= *countdown + Duration::from_millis(5), "{version} {name}: {left:?}");
                    assert!(left + Duration::from_millis(50) > *countdown, "{version} {name}: {left:?}");
                }
                (Some(_), expiry) => panic!("{version} {name}: {expiry:?}"),
            }
            // What the server accepts and a person may write as well means the same to us.
            let accepted = asked["response"]["status"] == 200;
            if let Some(text) = sent.as_str().filter(|_| accepted) {
                let ours = KeepAlive::parse(text).unwrap();
                assert_eq!(ours, countdown.map_or(KeepAlive::Forever, KeepAlive::For), "{version} {name}");
            }
        }
    }
}

#[test]
fn a_keep_alive_that_overflows_the_server_unloads_at_once() {
    for (version, recording) in RECORDINGS {
        let overflow = expiry(case(&cases(recording), "02o-keepalive-huge-ps"), "qwen2.5-coder:7b");
        // 0.32 has let it go already; 0.24 still lists it with the old countdown while it goes.
        assert_eq!(overflow.is_some(), version == "0.24.0", "{version}");
    }
}

/// All texts of `expires_at` in a recording: answers, and the polls that were noted in short.
fn all_expiries(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("expires_at").and_then(Value::as_str).map(str::to_owned));
            fields.iter().filter(|(key, _)| *key != "t_utc").for_each(|(_, value)| all_expiries(value, into));
        }
        Value::Array(list) => match list.as_slice() {
            [Value::String(name), Value::String(at)] if name.contains(':') && !name.contains('T') => {
                into.push(at.clone());
            }
            list => list.iter().for_each(|value| all_expiries(value, into)),
        },
        _ => {}
    }
}

#[test]
fn every_recorded_expires_at_is_read() {
    let now: Timestamp = "2026-11-23T07:00:00Z".parse().unwrap();
    for (version, recording) in RECORDINGS {
        let mut texts = Vec::new();
        for case in &cases(recording) {
            all_expiries(case, &mut texts);
        }
        let (pinned, counting): (Vec<_>, Vec<_>) = texts.iter().partition(|text| text.starts_with("2319-"));
        assert!(
            pinned.len() >= 3 && counting.len() > 100,
            "{version}: {} and {}",
            pinned.len(),
            counting.len()
        );
        for text in pinned {
            assert_eq!(Expiry::read(Some(text), now), Expiry::Never, "{version} {text}");
        }
        for text in counting {
            let Expiry::At(at) = Expiry::read(Some(text), now) else { panic!("{version} {text}") };
            // Nothing of it is lost: printed with nine digits it is the server's own text again.
            let digits = text.trim_end_matches('Z').split_once('.').map_or(0, |(_, digits)| digits.len());
            assert_eq!(format!("{at:.digits$}"), *text, "{version}");
        }
    }
}
