//! `assets/resident_agent.py`: each of its methods is called by Python, and the embedded server shows what came of it.

use std::process::{Command, Output};

use serde_json::Value;

use crate::cli_ram::Home;

const PROGRAM: &str = env!("CARGO_BIN_EXE_resident");

/// Runs a script that has a manager `models` of the server in `home`, with these settings; gives what it printed.
fn python(home: &Home, settings: &str, script: &str) -> Vec<Value> {
    let text = format!(
        "import json, logging, os, sys\n\
         from resident_agent import ResidentError, SmartModelManager\n\
         def say(value): print(json.dumps(value))\n\
         models = SmartModelManager({:?}, {settings})\n{script}",
        home.url
    );
    let Output { status, stdout, stderr } = Command::new("python3")
        .args(["-c", &text])
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/assets"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RESIDENT_BIN", PROGRAM)
        .env("HOME", home.dir.path())
        .env("TMPDIR", home.dir.path())
        .env("XDG_CONFIG_HOME", home.dir.path().join("config"))
        .env("XDG_STATE_HOME", home.dir.path().join("state"))
        .env_remove("RESIDENT_CONFIG")
        .env_remove("OLLAMA_HOST")
        .current_dir(home.dir.path())
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{said}{wrong}");
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const SETTINGS: &str = r#"{
    "keep_alive": "60m",
    "model": "openthinker3-7b",
    "preload_models": ["openthinker3-7b", "qwen2.5-coder:7b", "no-such-model"],
    "phases": {"context": "openthinker3-7b", "execution": {"model": "qwen2.5-coder:7b", "num_ctx": 2048}},
    "verbose": True,
}"#;

#[test]
fn every_method_of_the_idea_does_what_it_says() {
    let home = Home::new();
    let said = python(
        &home,
        SETTINGS,
        r#"
say(models.startup_preload())
say(models.ensure_in_vram("openthinker3-7b"))
say(models.get_model_status()["vram_model"])
say(models.smart_load_for_phase("execution", next_phase="context"))
models.refresh_keep_alive("qwen2.5-coder:7b")
status = models.get_model_status()
say([status["vram_model"], status["keep_alive"], models.current_vram_model])
say([model["context"] for model in status["status"]["models"] if model["name"] == "qwen2.5-coder:7b"])
say(models.smart_load_for_phase("some other phase"))
say(models.current_vram_model)
"#,
    );
    let expected = serde_json::json!([
        ["openthinker3-7b", "qwen2.5-coder:7b"],
        true,
        "openthinker3-7b",
        true,
        ["qwen2.5-coder:7b", "1h", "qwen2.5-coder:7b"],
        [2048],
        true,
        "openthinker3-7b",
    ]);
    assert_eq!(Value::from(said), expected);
    let left = std::fs::read_dir(home.dir.path()).unwrap().flatten();
    let written = left.filter(|file| file.file_name().to_string_lossy().starts_with("resident-")).count();
    assert_eq!(written, 0, "what was written for resident is removed");
}

#[test]
fn a_run_is_over_at_the_end_of_its_block_and_an_error_says_what_happened() {
    let home = Home::new();
    let said = python(
        &home,
        SETTINGS,
        r#"
try:
    with models:
        first = models.run
        models.ensure_in_vram("no-such-model", "review")
except ResidentError as error:
    say([error.code, str(error), error.result["phase"]])
with models:
    say(models.run != first)
models.close()
nobody = SmartModelManager("http://127.0.0.1:1", {"model": "a"})
try:
    nobody.smart_load_for_phase("context")
except ResidentError as error:
    say(error.code == ResidentError.NO_SERVER)
try:
    SmartModelManager(resident="/no/such/program").get_model_status()
except ResidentError as error:
    say(error.code)
"#,
    );
    let expected =
        serde_json::json!([[1, "no-such-model: not installed on this server", "review"], true, true, null]);
    assert_eq!(Value::from(said), expected);
}

#[test]
fn no_name_is_taken_for_an_option() {
    let home = Home::new();
    let said = python(
        &home,
        r#"{"model": "openthinker3-7b"}"#,
        r#"
models.run = "--over"
for task in ("--over", "--help", "-x"):
    say(models.ensure_in_vram("openthinker3-7b", task))
say(models.smart_load_for_phase("--json", next_phase="qwen2.5-coder:7b"))
models.over()
for call in (models.ensure_in_vram, models.refresh_keep_alive):
    for wrong in ("--help", "-x"):
        try:
            call(wrong)
        except ResidentError as error:
            say("invalid value '{}'".format(wrong) in str(error))
"#,
    );
    assert_eq!(said, vec![Value::Bool(true); 8]);
}
