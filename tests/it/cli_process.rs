//! The binary itself: help, wrong usage, and a reader that has gone.

use assert_cmd::Command;
use predicates::prelude::predicate::str::{contains, is_empty};

fn resident(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_resident")).args(args).assert()
}

#[test]
fn help_and_version_are_answers() {
    resident(&["--help"]).code(0).stdout(contains("Exit codes:")).stderr(is_empty());
    resident(&["load", "-h"]).code(0).stdout(contains("--timeout")).stderr(is_empty());
    resident(&["--version"]).code(0).stdout(contains(env!("CARGO_PKG_VERSION"))).stderr(is_empty());
}

#[test]
fn wrong_usage_is_two_and_says_why_on_stderr() {
    resident(&["load", "../etc/passwd"]).code(2).stdout(is_empty()).stderr(contains("invalid model name"));
    resident(&["--demo", "--host", "box", "status"])
        .code(2)
        .stdout(is_empty())
        .stderr(contains("one of them"));
}

#[test]
fn help_into_a_closed_pipe_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_resident"))
        .arg("--help")
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn who_asks_for_json_gets_an_object_also_where_nothing_came_of_it() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("c.yaml"), "phases: {a: x}\nworkflows: {w: [{phase: a}]}\n").unwrap();
    let nobody = ["--json", "--host", "127.0.0.1:1", "--config", "c.yaml"];
    for (args, code, outcome) in [
        (&["doctor"][..], 5, "no_server"),
        (&["bench"], 5, "no_server"),
        (&["flow", "nosuch"], 2, "usage"),
        (&["flow", "w"], 5, "no_server"),
        (&["flow", "w", "--compare"], 5, "no_server"),
        (&["phase", "nosuch"], 2, "usage"),
        (&["phase", "a", "--read-only"], 2, "usage"),
        (&["phase", "a"], 5, "no_server"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resident"));
        command.args(args).args(nobody).env_clear().env("HOME", home.path()).current_dir(home.path());
        let output = command.output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect(args[0]);
        assert_eq!((output.status.code(), &said["exit_code"]), (Some(code), &code.into()), "{args:?} {said}");
        assert_eq!((&said["outcome"], said["error"].is_string()), (&outcome.into(), true), "{args:?} {said}");
        assert!(output.stderr.is_empty(), "{args:?} {:?}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_config_and_what_is_wrong_with_it_can_be_had_as_json() {
    let home = tempfile::tempdir().unwrap();
    let said = |text: &str, args: &[&str]| {
        std::fs::write(home.path().join("c.yaml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_resident"));
        command.args(["config", "--json", "--config", "c.yaml"]).args(args);
        command.env_clear().env("HOME", home.path()).current_dir(home.path());
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said)
    };
    let (code, merged) = said("ollama: {model: 'a:1b', keep_alive: 10m}\nphases: {c: 'b:1b'}\n", &[]);
    assert_eq!((code, &merged["schema_version"]), (Some(0), &1.into()));
    let config = &merged["config"];
    assert_eq!(
        (&config["ollama"]["model"], &config["phases"]["c"]["model"]),
        (&"a:1b".into(), &"b:1b".into())
    );
    let origins = &merged["origins"];
    assert!(origins["ollama.model"].as_str().unwrap().contains("c.yaml:1"), "{origins}");
    assert_eq!(origins.get("ollama.preload.enabled"), None);
    let (code, checked) = said("ollama: {}\n", &["--check"]);
    assert_eq!((code, &checked["problems"]), (Some(0), &serde_json::json!([])));
    let (code, checked) = said("ollama: {}\nphases: {c: 7}\n", &["--check"]);
    let problem = &checked["problems"][0];
    assert_eq!((code, &problem["line"], &problem["key"]), (Some(2), &2.into(), &"phases.c".into()));
    assert!(problem["message"].as_str().unwrap().contains("expected a text"), "{problem}");
}
