//! The JSON Schemas in `assets/schema`: sound, strict, each field described with its unit; and what every subcommand
//! really prints is what they say, in the judgement of a validator that is not ours.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Map, Value};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/schema");

/// The schemas by file name.
fn schemas() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(DIR).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (stem(&path), serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())).collect()
}

fn stem(path: &Path) -> String {
    assert_eq!(path.extension().unwrap(), "json", "{}", path.display());
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap()
}

/// Asserts that an answer is what its schema says; also for the tests that make answers in their own way.
pub fn follows(schema: &str, answer: &Value) {
    assert_eq!(wrongs(schema, answer), Vec::<String>::new(), "{answer:#}");
}

/// What a schema has against an answer.
fn wrongs(schema: &str, answer: &Value) -> Vec<String> {
    let validator = validator(&schemas()[schema]);
    validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Calls `look` with every object in a document, and where it is.
fn each_object(value: &Value, at: &str, look: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            look(at, map);
            map.iter().for_each(|(key, value)| each_object(value, &format!("{at}/{key}"), look));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(key, value)| each_object(value, &format!("{at}/{key}"), look));
        }
        _ => {}
    }
}

/// The unit that a key's name stands for.
fn unit(key: &str) -> Option<&'static str> {
    let ends = [
        ("_seconds", "in seconds"),
        ("_bytes", "in bytes"),
        ("_bytes_before", "in bytes"),
        ("_percent", "in percent"),
        ("_per_second", "a second"),
        ("_watts", "in watts"),
        ("_celsius", "Celsius"),
        ("_kib", "in KiB"),
        ("_share", "share"),
        ("_hours", "hours"),
    ];
    let exact = [("bytes", "in bytes"), ("seconds", "in seconds"), ("percent", "in percent")];
    let tokens = ["num_ctx", "context", "train_context", "tokens", "max_tokens"];
    let by_name = exact.iter().find(|(name, _)| *name == key);
    let by_end = ends.iter().rev().find(|(end, _)| key.ends_with(end));
    by_name.or(by_end).map(|(_, unit)| *unit).or(tokens.contains(&key).then_some("in tokens"))
}

#[test]
fn every_schema_is_sound_and_describes_each_field_with_its_unit() {
    for (file, schema) in schemas() {
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{file}");
        assert_eq!(schema["$id"], format!("urn:resident:schema:{file}:1"));
        assert!(schema["title"].as_str().unwrap().starts_with("resident "), "{file}");
        assert!(!schema["description"].as_str().unwrap().is_empty(), "{file}");
        each_object(&schema, "", &mut |at, map| {
            let Some(fields) = map.get("properties").and_then(Value::as_object) else { return };
            if !map.contains_key("type") {
                return; // A condition, not an object.
            }
            assert_eq!(map["additionalProperties"], false, "{file}{at}");
            for (key, field) in fields {
                let words = field["description"].as_str().unwrap_or_default();
                assert!(words.len() > 2 && !words.ends_with('.'), "{file}{at}/{key}: {words}");
                let unit = unit(key).unwrap_or_default();
                assert!(words.contains(unit), "{file}{at}/{key} must say {unit:?}: {words}");
                let version = field.get("const") == Some(&resident::cli::status::SCHEMA_VERSION.into());
                assert!(key != "schema_version" || version, "{file}{at}/{key}");
            }
        });
    }
}

/// Which schemas a subcommand's JSON follows; none for what prints no JSON.
const OF: [(&str, &[&str]); 24] = [
    ("status", &["status"]),
    ("load", &["act"]),
    ("unload", &["act"]),
    ("pin", &["act"]),
    ("unpin", &["act"]),
    ("touch", &["act"]),
    ("keep-alive", &["act"]),
    ("warm", &["act"]),
    ("hold", &["act"]),
    ("drop", &["act"]),
    ("swap", &["swap"]),
    ("phase", &["phase"]),
    ("pins", &["pins"]),
    ("history", &["history"]),
    ("tune", &["tune"]),
    ("doctor", &["doctor"]),
    ("export", &[]),
    ("preload", &["preload"]),
    ("flow", &["flow", "compare"]),
    ("bench", &["bench"]),
    ("config", &[]),
    ("demo", &[]),
    ("completions", &[]),
    ("man", &[]),
];

#[test]
fn every_subcommand_has_its_schemas_and_every_schema_a_subcommand() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_resident")).arg("-h").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.split("\nOptions:").next().unwrap().lines().filter_map(|line| line.strip_prefix("  "));
    let mut listed: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    let mut known: Vec<&str> = OF.iter().map(|(sub, _)| *sub).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
    let named = OF.iter().flat_map(|(_, schemas)| *schemas).map(|schema| (*schema).to_owned());
    assert_eq!(
        named.collect::<std::collections::BTreeSet<_>>(),
        schemas().into_keys().collect::<std::collections::BTreeSet<_>>()
    );
}

#[cfg(target_os = "linux")]
mod real {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Stdio};

    use super::*;
    use crate::cli_ram::Home;

    const QWEN: &str = "qwen2.5-coder:7b";
    const OPEN: &str = "openthinker3-7b";
    const DEEPSEEK: &str = "deepseek-r1:14b";

    const CONFIG: &str = r#"
ollama:
  model: openthinker3-7b
  keep_alive: 5m
  preload: {models: [openthinker3-7b, "qwen2.5-coder:7b", no-such-model]}
phases: {context: openthinker3-7b, execution: {model: "qwen2.5-coder:7b", num_ctx: 2048}}
workflows:
  short: [{phase: context, work: 1ms}, {phase: execution, prompt: hello, max_tokens: 2}]
  check: [{phase: execution, command: [sh, -c, "exit 1"], on_failure: [context]}, {phase: context, command: ["true"]}]
  broken: [{phase: context, command: [sh, -c, "exit 7"]}]
"#;

    fn home() -> Home {
        let home = Home::new();
        home.config(CONFIG);
        home
    }

    /// Runs a subcommand with `--json`; every line or the one document follows the schema. Gives what it printed.
    fn checked(home: &Home, exit: i32, args: &[&str], schema: &str) -> Vec<Value> {
        let (code, out, said) = home.run(&[args, &["--json"]].concat());
        assert_eq!(code, Some(exit), "{args:?}: {out}{said}");
        let answers: Vec<Value> =
            serde_json::Deserializer::from_str(&out).into_iter().map(Result::unwrap).collect();
        assert!(!answers.is_empty(), "{args:?}: {said}");
        for answer in &answers {
            follows(schema, answer);
        }
        answers
    }

    /// Lines of a subcommand that goes on, until it is ended.
    fn lines(home: &Home, args: &[&str], count: usize) -> (Vec<Value>, Child) {
        let mut child = home
            .command(&[args, &["--json"]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(count);
        (lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect(), child)
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn acts_print_what_their_schema_says_however_they_end() {
        let mut home = home();
        checked(&home, 0, &["load", OPEN], "act");
        checked(&home, 0, &["touch", OPEN], "act");
        checked(&home, 0, &["pin", OPEN], "act");
        checked(&home, 3, &["unload", OPEN], "act");
        checked(&home, 0, &["unpin", OPEN], "act");
        let kept = checked(&home, 0, &["keep-alive", "30m", OPEN], "act");
        assert_eq!(kept[0].get("unpinned"), None);
        let left = home.model(OPEN)["remaining_seconds"].as_f64().unwrap();
        assert!((300.0..=1800.0).contains(&left), "{left}");
        checked(&home, 1, &["keep-alive", "30m", QWEN], "act");
        checked(&home, 0, &["pin", OPEN], "act");
        let kept = checked(&home, 0, &["keep-alive", "30m", OPEN], "act");
        assert_eq!(kept[0]["unpinned"], true);
        checked(&home, 0, &["pin", OPEN], "act");
        let unloaded = checked(&home, 0, &["unload", "--yes", OPEN], "act");
        assert_eq!(unloaded[0]["unpinned"], true);
        checked(&home, 3, &["drop", QWEN], "act");
        let dropped = checked(&home, 0, &["drop", "--yes", QWEN, OPEN], "act");
        assert_eq!(dropped.len(), 2);
        let warmed = checked(&home, 0, &["warm", QWEN], "act");
        assert!(warmed[0]["read_bytes"].as_u64().unwrap() > 0, "{warmed:?}");
        checked(&home, 0, &["warm", QWEN], "act");
        let unknown = checked(&home, 1, &["load", "qwen2.5-coder:70b"], "act");
        assert_eq!(unknown[0]["nearest"][0], QWEN);
        checked(&home, 4, &["load", DEEPSEEK, "--timeout", "1ms"], "act");
        let (held, child) = lines(&home, &["hold", QWEN], 1);
        follows("act", &held[0]);
        assert_eq!((&held[0]["act"], &held[0]["outcome"]), (&"hold".into(), &"done".into()));
        end(child);
        home.end_server();
        checked(&home, 5, &["touch", OPEN, QWEN], "act");
    }

    #[test]
    fn what_looks_prints_what_its_schema_says() {
        let mut home = home();
        checked(&home, 0, &["status"], "status");
        checked(&home, 0, &["load", OPEN], "act");
        checked(&home, 0, &["pin", OPEN], "act");
        let status = checked(&home, 0, &["status"], "status");
        assert_eq!(status[0]["vram_model"], OPEN);
        let (watched, child) = lines(&home, &["status", "--watch"], 2);
        for line in &watched {
            follows("status", line);
        }
        end(child);
        checked(&home, 0, &["pins"], "pins");
        checked(&home, 0, &["phase", "execution", "--yes", "--run", "7"], "phase");
        let all = checked(&home, 0, &["history", "--kind", "all"], "history");
        let kinds =
            all[0]["records"].as_array().unwrap().iter().map(|record| record["kind"].as_str().unwrap());
        let kinds: std::collections::BTreeSet<&str> = kinds.collect();
        assert!(kinds.contains("swap") && kinds.contains("phase"), "{kinds:?}");
        checked(&home, 0, &["history", "--today"], "history");
        checked(&home, 0, &["tune"], "tune");
        checked(&home, 0, &["doctor"], "doctor");
        home.end_server();
        checked(&home, 5, &["status"], "status");
        checked(&home, 5, &["pins"], "pins");
    }

    #[test]
    fn what_moves_prints_what_its_schema_says_however_it_ends() {
        let mut home = home();
        let swapped = checked(&home, 0, &["swap", QWEN, "--first-token"], "swap");
        assert!(swapped[0]["stages"]["first_token_seconds"].is_number(), "{swapped:?}");
        let again = checked(&home, 0, &["swap", QWEN, "--first-token"], "swap");
        assert!(again[0]["already"] == true && again[0]["first_token_seconds"].is_number(), "{again:?}");
        checked(&home, 0, &["swap", QWEN], "swap");
        checked(&home, 0, &["pin", QWEN], "act");
        checked(&home, 3, &["swap", DEEPSEEK], "swap");
        let swapped = checked(&home, 0, &["swap", DEEPSEEK, "--yes"], "swap");
        assert_eq!((&swapped[0]["already"], &swapped[0]["plan"]["in_vram"]), (&false.into(), &false.into()));
        checked(&home, 1, &["swap", "qwen2.5-coder:70b"], "swap");
        checked(&home, 1, &["preload"], "preload");
        checked(&home, 0, &["phase"], "phase");
        checked(&home, 0, &["phase", "execution", "--yes", "--next", "context"], "phase");
        checked(&home, 0, &["phase", "execution"], "phase");
        checked(&home, 0, &["phase", "nobody knows it", "--yes"], "phase");
        checked(&home, 1, &["phase", "context", "--model", "no-such-model"], "phase");
        checked(&home, 0, &["phase", "execution", "--next", "nobody knows it"], "phase");
        checked(&home, 0, &["phase", "--over"], "phase");
        checked(&home, 1, &["phase", "--over"], "phase");
        home.end_server();
        checked(&home, 5, &["swap", QWEN], "swap");
        checked(&home, 5, &["phase", "execution"], "phase");
        checked(&home, 5, &["preload"], "preload");
    }

    #[test]
    fn what_runs_and_measures_prints_what_its_schema_says() {
        let home = home();
        assert_eq!(checked(&home, 0, &["flow"], "flow").len(), 3);
        let run = checked(&home, 0, &["flow", "short"], "flow");
        assert_eq!((run.len(), &run[2]["event"]), (3, &"run".into()));
        checked(&home, 0, &["flow", "check"], "flow");
        let broken = checked(&home, 1, &["flow", "broken"], "flow");
        assert_eq!(broken.last().unwrap()["outcome"], "failed");
        let short = ["--yes", "--cooldown", "1ms"];
        let bench = checked(&home, 0, &[&["bench", QWEN, "--runs", "1"], &short[..]].concat(), "bench");
        assert_eq!(bench[0]["outcome"], "done");
        let compare = checked(
            &home,
            0,
            &[&["flow", "short", "--compare", "--runs", "1"], &short[..]].concat(),
            "compare",
        );
        assert_eq!(compare[0]["outcome"], "done");
    }

    /// With a card and its forecasts, which only the demo of the same process has here.
    #[test]
    fn the_demo_prints_what_its_schema_says() {
        let home = home();
        for (schema, args) in [("status", &["status"][..]), ("swap", &["swap", QWEN])] {
            let args = [args, &["--demo", "--demo-scale", "1024", "--json"]].concat();
            let ran = crate::cli_ram::command(home.dir.path(), &args).output().unwrap();
            assert!(ran.status.success(), "{ran:?}");
            let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
            follows(schema, &said);
            let has_card = schema != "status" || said["host"]["cards"][0]["total_bytes"].is_u64();
            assert!(has_card, "{said:#}");
        }
    }

    #[test]
    fn a_field_that_no_schema_knows_is_refused_wherever_it_stands() {
        let home = home();
        checked(&home, 0, &["load", OPEN], "act");
        let status = checked(&home, 0, &["status"], "status").remove(0);
        let mut places = Vec::new();
        each_object(&status, "", &mut |at, _| places.push(at.to_owned()));
        assert!(places.len() > 10, "{places:?}");
        for place in places {
            let mut changed = status.clone();
            changed.pointer_mut(&place).unwrap()["surprise"] = 1.into();
            assert_ne!(wrongs("status", &changed), Vec::<String>::new(), "{place}");
        }
        for key in status.as_object().unwrap().keys() {
            let mut less = status.clone();
            less.as_object_mut().unwrap().remove(key);
            assert_ne!(wrongs("status", &less), Vec::<String>::new(), "without {key}");
        }
    }
}
