//! Settings from files, environment and flags: what loads, what wins, and what is told of a bad file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::strategy::Strategy as _;
use proptest::{prop_assert, prop_oneof, proptest};
use resident::config::{
    Base, Config, DEMO, Hold, Hue, KeySetting, Loaded, Memory, Notify, Phase, Place, Preload, Role, Sources,
    Step, Strategy, Theme, Work, Workflow, load, render, show, survey,
};
use resident::residency::bytes::{Bytes, GB};
use resident::residency::keep_alive::KeepAlive;
use resident::residency::name::ModelName;
use resident::residency::tune::policy::{Bounds, Rule};
use resident::tui::action::ACTIONS;
use resident::tui::keymap::Keymap;
use tempfile::TempDir;

const EARLIER: &str = include_str!("../data/idea-earlier.yaml");
const UPDATED: &str = include_str!("../data/idea-updated.yaml");

fn model(name: &str) -> ModelName {
    ModelName::parse(name).expect("a good name")
}

fn three() -> Vec<ModelName> {
    ["openthinker3-7b", "qwen2.5-coder:7b", "deepseek-r1:14b"].map(model).to_vec()
}

/// A folder to work in, and the sources that see only it.
fn place() -> (TempDir, Sources) {
    let folder = tempfile::tempdir().expect("a folder");
    let cwd = folder.path().join("work");
    fs::create_dir_all(&cwd).expect("a folder");
    let config_dir = Some(folder.path().join("xdg"));
    let sources = Sources { cwd, config_dir, home: Some(folder.path().to_owned()), ..Sources::default() };
    (folder, sources)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("written");
}

/// The text loaded as a named file `c.yaml`.
fn try_text(text: &str) -> Result<Loaded, Vec<String>> {
    let (_folder, mut sources) = place();
    write(&sources.cwd.join("c.yaml"), text);
    sources.flags.config = Some("c.yaml".into());
    let folder = format!("{}/", sources.cwd.display());
    load(&sources).map_err(|problems| problems.iter().map(|p| p.to_string().replace(&folder, "")).collect())
}

fn text(text: &str) -> Loaded {
    try_text(text).expect("settings without a problem")
}

fn problems(text: &str) -> Vec<String> {
    try_text(text).map(|loaded| loaded.config).expect_err("problems")
}

#[test]
fn the_ideas_updated_config_loads_as_its_author_wrote_it() {
    let Loaded { mut config, ignored, notes, .. } = text(UPDATED);
    config.file = None;
    let expected = Config {
        url: "http://localhost:11434".into(),
        primary: Some(model("openthinker3-7b")),
        keep_alive: Some(KeepAlive::For(Duration::from_secs(3600))),
        preload: Preload {
            enabled: true,
            on_startup: true,
            models: three(),
            strategy: Strategy::Warm,
            auto_refresh: true,
            refresh_interval: Duration::from_secs(1800),
            ..Preload::default()
        },
        memory: Memory::Set {
            system: Bytes(4 * GB),
            models_preload: Bytes(19 * GB),
            context_cache: Bytes(9 * GB),
            total: Bytes(32 * GB),
        },
        may_act: true,
        ..Config::default()
    };
    assert_eq!((config, ignored, notes), (expected, Vec::new(), Vec::new()));
}

#[test]
fn the_ideas_earlier_config_loads_as_its_author_wrote_it() {
    let Loaded { mut config, .. } = text(EARLIER);
    config.file = None;
    let expected = Config {
        keep_alive: Some(KeepAlive::For(Duration::from_secs(3600))),
        preload: Preload { enabled: true, on_startup: true, models: three(), ..Preload::default() },
        may_act: true,
        ..Config::default()
    };
    assert_eq!(config, expected);
}

#[test]
fn the_demos_config_holds_the_ideas_settings() {
    let (_folder, mut sources) = place();
    sources.demo = true;
    sources.env.insert("OLLAMA_HOST".into(), "example.com".into());
    let Config { phases, workflows, keys, url, preload, memory, file, .. } = load(&sources).unwrap().config;
    let phase = |name: &str, index: usize| Phase {
        name: name.into(),
        model: three().swap_remove(index),
        num_ctx: None,
    };
    assert_eq!(
        phases,
        [("context", 0), ("planning", 0), ("execution", 1), ("verification", 0), ("debugging", 2)]
            .map(|(name, index)| phase(name, index))
    );
    let step = |name: &str, work| Step {
        phase: name.into(),
        model: None,
        num_ctx: None,
        work: Some(Work::For(Duration::from_secs(work))),
        on_failure: Vec::new(),
    };
    let dashboard =
        [("context", 3), ("execution", 5), ("verification", 2)].map(|(name, work)| step(name, work));
    assert_eq!(
        workflows[0],
        Workflow { name: "react-dashboard".into(), repeat: false, steps: dashboard.into() }
    );
    let mut steps: Vec<Step> = [("context", 3), ("planning", 2), ("execution", 5), ("verification", 2)]
        .map(|(name, work)| step(name, work))
        .into();
    steps[3].on_failure = vec![step("debugging", 5)];
    assert_eq!(workflows[1], Workflow { name: "agent-loop".into(), repeat: true, steps });
    let updated = text(UPDATED).config;
    assert_eq!((url, preload, memory), (updated.url, updated.preload, updated.memory));
    assert_eq!((file, keys), (None, Vec::new()));
}

#[test]
fn every_commented_setting_of_the_top_level_config_loads_too() {
    let setting = |line: &str| {
        let Some(rest) = line.trim_start().strip_prefix("# ") else { return line.to_owned() };
        let indent = &line[..line.len() - line.trim_start().len()];
        let (key, _) = rest.split_once(':').unwrap_or(("", ""));
        let is_setting = !indent.is_empty()
            && key.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
            && !key.is_empty();
        let is_section = matches!(rest, "models:" | "pins:")
            || rest.starts_with("  models: [")
            || rest.starts_with("  on_exit: ")
            || rest.starts_with("  qwen")
            || rest.starts_with("  - qwen");
        if is_setting || is_section { format!("{indent}{rest}") } else { line.to_owned() }
    };
    let all: Vec<_> = DEMO.lines().map(setting).collect();
    let config = text(&all.join("\n")).config;
    assert_eq!((config.models.len(), config.pins.models.len()), (1, 1));
    assert!(config.models_dir.is_some());
    let written: Vec<_> = config.keys.iter().map(|key| (key.action.as_str(), key.keys.clone())).collect();
    let table: Vec<_> = ACTIONS
        .iter()
        .map(|entry| (entry.name, entry.keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(written, table, "the keys of config.yaml are the keymap's, in its order");
    assert!(Keymap::new(&config.keys).is_ok());
}

#[test]
fn without_any_file_nothing_is_set_and_nothing_may_act() {
    let (_folder, sources) = place();
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!((loaded.config.url.as_str(), loaded.config.may_act), ("http://127.0.0.1:11434", false));
    assert!(loaded.origins.is_empty());
}

#[test]
fn the_first_place_of_the_search_order_wins_and_only_a_named_one_may_act() {
    let (folder, mut sources) = place();
    let told = |sources: &Sources| {
        let config = load(sources).unwrap().config;
        (config.primary.map(|model| model.to_string()).unwrap_or_default(), config.may_act)
    };
    write(&folder.path().join("xdg/resident/config.yaml"), "ollama: {model: xdg}");
    assert_eq!(told(&sources), ("xdg".into(), true));
    write(&sources.cwd.join("config.yaml"), "ollama: {model: here}");
    assert_eq!(told(&sources), ("here".into(), false));
    write(&folder.path().join("env.yaml"), "ollama: {model: env}");
    sources.env.insert("RESIDENT_CONFIG".into(), folder.path().join("env.yaml").into());
    assert_eq!(told(&sources), ("env".into(), true));
    write(&sources.cwd.join("flag.yaml"), "ollama: {model: flag}");
    sources.flags.config = Some("flag.yaml".into());
    assert_eq!(told(&sources), ("flag".into(), true));
}

#[test]
fn a_config_yaml_of_another_program_is_passed_over_and_said_so() {
    for foreign in ["services: {web: 1}\n", "{{ template }}\n: [", "", "just text", "- a\n- b\n"] {
        let (folder, sources) = place();
        write(&sources.cwd.join("config.yaml"), foreign);
        write(&folder.path().join("xdg/resident/config.yaml"), "ollama: {model: xdg}");
        let loaded = load(&sources).unwrap();
        assert_eq!(loaded.config.primary, Some(model("xdg")), "{foreign:?}");
        assert!(loaded.config.may_act);
        assert!(loaded.notes[0].starts_with("./config.yaml is not used: "), "{:?}", loaded.notes);
    }
    let (_folder, sources) = place();
    write(&sources.cwd.join("config.yaml"), "ollama:\n  host: [\n");
    assert!(load(&sources).is_err());
}

#[test]
fn a_named_file_that_cannot_be_read_is_an_error() {
    let (folder, mut sources) = place();
    let told = |sources: &Sources| load(sources).map(|_| ()).unwrap_err()[0].to_string();
    sources.env.insert("RESIDENT_CONFIG".into(), "gone.yaml".into());
    assert!(told(&sources).ends_with("gone.yaml: RESIDENT_CONFIG: no such file"));
    sources.flags.config = Some(folder.path().to_owned());
    assert!(told(&sources).contains("--config: cannot be read"), "{}", told(&sources));
    let path = folder.path().join("c.yaml");
    sources.flags.config = Some(path.clone());
    fs::write(&path, b"ollama:\n  model: \xff\xfe\n").unwrap();
    assert!(told(&sources).ends_with("c.yaml:2:10: --config: not UTF-8 text; save the file as UTF-8"));
    fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(told(&sources).ends_with("larger than 1 MiB; that is no settings file"));
}

#[test]
fn the_environment_wins_over_the_file_and_flags_win_over_both() {
    let (folder, mut sources) = place();
    write(
        &folder.path().join("xdg/resident/config.yaml"),
        "ollama: {host: file, keep_alive: 1m, models_dir: ~/m}\nui: {refresh: 5}\n",
    );
    let told = |sources: &Sources| {
        let Config { url, keep_alive, models_dir, ui, .. } = load(sources).unwrap().config;
        let dir = models_dir.unwrap().strip_prefix(folder.path()).unwrap().display().to_string();
        (url, keep_alive.unwrap().to_string(), dir, ui.refresh.as_secs(), ui.read_only, ui.ascii)
    };
    assert_eq!(told(&sources), ("http://file:11434".into(), "1m".into(), "m".into(), 5, false, false));
    sources.env.insert("OLLAMA_HOST".into(), " '0.0.0.0:8080' ".into());
    sources.env.insert("OLLAMA_KEEP_ALIVE".into(), "-1".into());
    sources.env.insert("OLLAMA_MODELS".into(), folder.path().join("e").into());
    assert_eq!(
        told(&sources),
        ("http://127.0.0.1:8080".into(), "forever".into(), "e".into(), 5, false, false)
    );
    sources.flags.host = Some("https://flag".into());
    sources.flags.refresh = Some(Duration::from_secs(2));
    (sources.flags.read_only, sources.flags.ascii) = (true, true);
    assert_eq!(told(&sources), ("https://flag:443".into(), "forever".into(), "e".into(), 2, true, true));
}

#[test]
fn bad_variables_and_flags_are_named_together_with_what_is_wrong_in_the_file() {
    let (folder, mut sources) = place();
    write(&folder.path().join("xdg/resident/config.yaml"), "ollama: {port: 0}");
    sources.env.insert("OLLAMA_HOST".into(), "ftp://x".into());
    sources.env.insert("OLLAMA_KEEP_ALIVE".into(), "soon".into());
    sources.flags.host = Some("host:99999".into());
    sources.flags.refresh = Some(Duration::from_millis(100));
    let problems = load(&sources).map(|_| ()).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["ollama.port", "OLLAMA_HOST", "OLLAMA_KEEP_ALIVE", "--host", "--refresh"]);
    assert_eq!(render(&problems).lines().count(), 5);
}

#[test]
fn a_port_that_ollama_would_not_take_either_is_the_default_and_said_so() {
    let (_folder, mut sources) = place();
    for (host, note) in [
        ("127.0.0.1:99999", Some("http://127.0.0.1:11434")),
        ("https://x:-1", Some("https://x:443")),
        ("127.0.0.1:5", None),
    ] {
        sources.env.insert("OLLAMA_HOST".into(), host.into());
        let loaded = load(&sources).unwrap();
        let words = "OLLAMA_HOST: the port is not a number from 1 to 65535; the default is used";
        let expected: Vec<_> = note.map(|url| format!("{words}: {url}")).into_iter().collect();
        assert_eq!(loaded.notes, expected, "{host}");
    }
}

/// A file with one thing wrong, and what is told of it.
const BAD: &[(&str, &str)] = &[
    ("ollama:\n  hst: x", "c.yaml:2:3: ollama.hst: unknown key; did you mean host?"),
    ("ollama: {keepalive: 5m}", "c.yaml:1:10: ollama.keepalive: unknown key; did you mean keep_alive?"),
    (
        "olama:\n  host: x",
        "c.yaml:1:1: olama: unknown section; did you mean ollama? (other programs' sections are ignored)",
    ),
    ("ollama:\n  port: yes", "c.yaml:2:9: ollama.port: expected a whole number, found the text \"yes\""),
    ("ollama:\n  port: 70000", "c.yaml:2:9: ollama.port: must be a whole number from 1 to 65535"),
    ("ollama:\n  port: -1", "c.yaml:2:9: ollama.port: must be a whole number from 1 to 65535"),
    (
        "ollama: {host: 'ftp://x'}",
        "c.yaml:1:16: ollama.host: ftp:// is not served; write http:// or https://",
    ),
    (
        "ollama: {return_to_primary: 10m}",
        "c.yaml:1:29: ollama.return_to_primary: there is no primary model to return to: set ollama.model",
    ),
    (
        "ollama: {model: a, return_to_primary: off}",
        "c.yaml:1:39: ollama.return_to_primary: not a duration; write a duration such as 30m, 1h30m or 1800 (seconds)",
    ),
    ("ollama: {host: 'x:1', port: 2}", "c.yaml:1:29: ollama.port: host already names port 1"),
    ("ollama: {host: 5}", "c.yaml:1:16: ollama.host: expected a text, found the number 5"),
    ("ollama: {host: [x]}", "c.yaml:1:10: ollama.host: expected a text, found a list"),
    ("ollama: [x]", "c.yaml:1:1: ollama: expected a map of keys and values, found a list"),
    ("ollama: 5", "c.yaml:1:9: ollama: expected a map of keys and values, found the number 5"),
    (
        "ollama: !secret x",
        "c.yaml:1:1: ollama: expected a map of keys and values, found a value with the tag !secret",
    ),
    (
        "ollama: {model: 'a b'}",
        "c.yaml:1:17: ollama.model: invalid model name \"a b\"; write model, model:tag, namespace/model:tag or host/namespace/model:tag",
    ),
    (
        "ollama: {keep_alive: soon}",
        "c.yaml:1:22: ollama.keep_alive: not a duration; write 60m, 1h30m, 90 (seconds), or -1 for ever, or auto",
    ),
    (
        "ollama: {keep_alive: true}",
        "c.yaml:1:22: ollama.keep_alive: expected a duration such as 60m, -1, or auto, found true",
    ),
    (
        "ollama: {tuning: {percent: 0}}",
        "c.yaml:1:28: ollama.tuning.percent: must be a whole number from 1 to 100",
    ),
    ("ollama: {tuning: {min: 30s}}", "c.yaml:1:24: ollama.tuning.min: too short; the least is 1m"),
    ("ollama: {tuning: {max: 5h}}", "c.yaml:1:24: ollama.tuning.max: too long; the most is 4h"),
    (
        "ollama: {tuning: {min: 90m}}",
        "c.yaml:1:24: ollama.tuning.min: the least, 1h30m, is more than the most, 1h",
    ),
    (
        "ollama: {tuning: {min: 20m, max: 10m}}",
        "c.yaml:1:34: ollama.tuning.max: the least, 20m, is more than the most, 10m",
    ),
    (
        "ollama: {tuning: {bounds: 1}}",
        "c.yaml:1:19: ollama.tuning.bounds: unknown key; valid here: percent, min, max",
    ),
    (
        "ollama:\n  preload:\n    enabled: \"true\"",
        "c.yaml:3:14: ollama.preload.enabled: expected true or false, found the text \"true\"",
    ),
    (
        "ollama: {preload: {models: qwen}}",
        "c.yaml:1:28: ollama.preload.models: expected a list of models, found the text \"qwen\"",
    ),
    (
        "ollama:\n  preload:\n    models:\n      - a\n      - {b: c}",
        "c.yaml:5:10: ollama.preload.models[1]: expected a text, found a map",
    ),
    (
        "ollama: {preload: {models: [a, A:latest]}}",
        "c.yaml:1:32: ollama.preload.models[1]: A is in the list already",
    ),
    (
        "ollama: {preload: {strategy: wram}}",
        "c.yaml:1:30: ollama.preload.strategy: unknown value; did you mean warm?",
    ),
    (
        "ollama: {preload: {refresh_interval: -5}}",
        "c.yaml:1:38: ollama.preload.refresh_interval: a duration cannot be negative here",
    ),
    (
        "ollama: {preload: {refresh_interval: 10ms}}",
        "c.yaml:1:38: ollama.preload.refresh_interval: too short; the least is 1s",
    ),
    (
        "ollama: {preload: {hold: lock}}",
        "c.yaml:1:26: ollama.preload.hold: unknown value; did you mean mlock?",
    ),
    (
        "ollama: {preload: {make_room: 1}}",
        "c.yaml:1:31: ollama.preload.make_room: expected true or false, found the number 1",
    ),
    (
        "ollama: {preload: {mend_below: 101}}",
        "c.yaml:1:32: ollama.preload.mend_below: must be a whole number from 0 to 100",
    ),
    (
        "ollama: {preload: {mend_below: 95%}}",
        "c.yaml:1:32: ollama.preload.mend_below: expected a whole number, found the text \"95%\"",
    ),
    (
        "ollama: {preload: {}, preload_models: {}}",
        "c.yaml:1:23: ollama.preload_models: the older name of preload; write only one of the two",
    ),
    (
        "ollama: {preload_models: {modles: []}}",
        "c.yaml:1:27: ollama.preload_models.modles: unknown key; did you mean models?",
    ),
    (
        "memory: car",
        "c.yaml:1:9: memory: expected auto, or a map with system, models_preload, context_cache and total",
    ),
    (
        "memory: {system: -4GB, models_preload: 1, context_cache: 1}",
        "c.yaml:1:18: memory.system: a size cannot be negative",
    ),
    (
        "memory: {system: -4, models_preload: 1, context_cache: 1}",
        "c.yaml:1:18: memory.system: a size cannot be negative",
    ),
    (
        "memory: {system: 4 parsec, models_preload: 1, context_cache: 1}",
        "c.yaml:1:18: memory.system: not a size; write a number and a unit, such as 4GB, 9 GiB or 512MiB",
    ),
    (
        "memory: {system: 4GB, models_preload: 1GB}",
        "c.yaml:1:1: memory.context_cache: missing; a budget needs it (or write memory: auto)",
    ),
    (
        "memory:\n  system: 4GB\n  models_preload: 20GB\n  context_cache: 9GB\n  total: 32GB",
        "c.yaml:5:10: memory.total: does not add up: 4.0 GB system + 20.0 GB models + 9.0 GB context = 33.0 GB, more than 32.0 GB",
    ),
    ("phases: [a]", "c.yaml:1:1: phases: expected a map of keys and values, found a list"),
    ("phases: {a: {num_ctx: 5}}", "c.yaml:1:10: phases.a.model: missing; a phase needs a model"),
    (
        "phases: {a: {model: b, num_ctx: 0}}",
        "c.yaml:1:33: phases.a.num_ctx: must be a whole number from 1 to 2147483647",
    ),
    ("phases: {a: b, a: c}", "c.yaml:1:16: phases.a: written twice; the first is in line 1"),
    (
        "phases: {a: m}\nworkflows: {w: [b]}",
        "c.yaml:2:17: workflows.w[0]: no such phase, and the step names no model; did you mean a?",
    ),
    (
        "phases: {plan: m}\nworkflows: {w: [{phase: plann}]}",
        "c.yaml:2:25: workflows.w[0].phase: no such phase, and the step names no model; did you mean plan?",
    ),
    ("workflows: {w: []}", "c.yaml:1:13: workflows.w: a workflow needs at least one step"),
    ("workflows: {w: {repeat: true}}", "c.yaml:1:13: workflows.w.steps: missing; a workflow needs steps"),
    (
        "workflows: {w: [{model: m}]}",
        "c.yaml:1:18: workflows.w[0].phase: missing; a step needs the name of its phase",
    ),
    (
        "workflows: {w: [{phase: x, model: m, work: 1s, command: [a]}]}",
        "c.yaml:1:48: workflows.w[0].command: a step has one kind of work, and there is work",
    ),
    (
        "workflows: {w: [{phase: x, model: m, max_tokens: 5}]}",
        "c.yaml:1:50: workflows.w[0].max_tokens: only a prompt has tokens; the step has none",
    ),
    (
        "workflows: {w: [{phase: x, model: m, prompt: \" \"}]}",
        "c.yaml:1:46: workflows.w[0].prompt: empty; write what the model is asked",
    ),
    (
        "workflows: {w: [{phase: x, model: m, prompt: hi, max_tokens: 0}]}",
        "c.yaml:1:62: workflows.w[0].max_tokens: must be a whole number from 1 to 1000000",
    ),
    (
        "workflows: {w: [{phase: x, model: m, command: cargo test}]}",
        "c.yaml:1:47: workflows.w[0].command: expected a list: the program and its arguments, such as \
         [cargo, test]; no shell reads it unless it is named: [sh, -c, \"…\"]",
    ),
    (
        "workflows: {w: [{phase: x, model: m, command: []}]}",
        "c.yaml:1:38: workflows.w[0].command: empty; name a program",
    ),
    (
        "workflows: {w: [{phase: x, model: m, on_failure: [fix]}]}",
        "c.yaml:1:51: workflows.w[0].on_failure[0]: no such phase, and the step names no model; nothing is valid here",
    ),
    (
        "phases: {a: m}\nworkflows: {w: [{phase: a, on_failure: {phase: a, on_failure: [a]}}]}",
        "c.yaml:2:28: workflows.w[0].on_failure[0].on_failure: a step that runs on failure has none itself; write \
         more steps behind it",
    ),
    (
        "workflows: {w: [{phase: x, model: m, wrok: 1}]}",
        "c.yaml:1:38: workflows.w[0].wrok: unknown key; did you mean work?",
    ),
    (
        "models: {'a b': {}}",
        "c.yaml:1:10: models.a b: invalid model name \"a b\"; write model, model:tag, namespace/model:tag or host/namespace/model:tag",
    ),
    ("models: {a: {ctx: 1}}", "c.yaml:1:14: models.a.ctx: unknown key; valid here: num_ctx"),
    (
        "models: {a: {num_ctx: 1}, A: {num_ctx: 2}}",
        "c.yaml:1:27: models.A: a is set already under another spelling",
    ),
    ("ui: {refresh: 0.5}", "c.yaml:1:15: ui.refresh: too short; the least is 1s"),
    ("ui: {theme: drak}", "c.yaml:1:13: ui.theme: unknown value; did you mean dark?"),
    (
        "ui:\n  theme: {base: dark, vram: greenish}",
        "c.yaml:2:29: ui.theme.vram: no colour; write \"#rrggbb\", default, or one such as red or bright-cyan",
    ),
    (
        "ui:\n  theme:\n    vram: #00ff00\n",
        "c.yaml:3:5: ui.theme.vram: empty; a colour such as \"#56b4e9\" stands in quotes, else YAML takes it for a \
         comment",
    ),
    ("ui: {theme: {base: drak}}", "c.yaml:1:20: ui.theme.base: unknown value; did you mean dark?"),
    ("ui: {theme: {vran: red}}", "c.yaml:1:14: ui.theme.vran: unknown key; did you mean vram?"),
    ("ui: {notify: loud}", "c.yaml:1:14: ui.notify: unknown value; valid here: none, bell, osc9"),
    ("ui: {confirm: sometimes}", "c.yaml:1:15: ui.confirm: unknown value; valid here: risky, always, never"),
    ("ui: {gpu: 1}", "c.yaml:1:11: ui.gpu: expected true or false, found the number 1"),
    ("keys: {load: {a: b}}", "c.yaml:1:8: keys.load: expected a text, found a map"),
    ("keys:\n  load: x\n  load: y", "c.yaml:3:3: keys.load: written twice; the first is in line 2"),
    ("keys: {load: [x, true]}", "c.yaml:1:18: keys.load[1]: expected a text, found true"),
    ("pins: {a: b}", "c.yaml:1:8: pins.a: unknown key; valid here: models, on_exit"),
    ("pins: a", "c.yaml:1:7: pins: expected a list of models, or a map with models and on_exit"),
    ("pins: {models: [a, a]}", "c.yaml:1:20: pins.models[1]: a is in the list already"),
    ("servers: {a: b}", "c.yaml:1:1: servers: expected a list of servers, each with name and url"),
    ("servers: [{name: a}]", "c.yaml:1:12: servers[0].url: missing; a server needs it"),
    (
        "servers: [{name: a b, url: c}]",
        "c.yaml:1:18: servers[0].name: must be 1 to 32 letters, digits, -, _ or .",
    ),
    (
        "servers: [{name: a, url: ftp://b}]",
        "c.yaml:1:26: servers[0].url: ftp:// is not served; write http:// or https://",
    ),
    (
        "servers: [{name: a, url: b, token: s3cret}]",
        "c.yaml:1:36: servers[0].token: a token does not stand in a config; write {env: NAME} or {file: PATH}",
    ),
    (
        "servers: [{name: a, url: b, token: {env: X, file: y}}]",
        "c.yaml:1:29: servers[0].token: either env or file, not both",
    ),
    (
        "servers: [{name: a, url: b, headers: {\"a b\": c}}]",
        "c.yaml:1:39: servers[0].headers.a b: a header's name may hold letters, digits, - and _ only",
    ),
    (
        "servers:\n  - {name: a, url: b}\n  - {name: a, url: c}",
        "c.yaml:3:6: servers[1].name: a is in the list already",
    ),
    ("pins: {on_exit: drop}", "c.yaml:1:17: pins.on_exit: unknown value; valid here: keep, release"),
    ("ui: {}\nui: {}", "c.yaml:2:1: ui: written twice; the first is in line 1"),
    ("just text", "c.yaml:1:1: expected a map of keys and values, found the text \"just text\""),
    (
        "\"esc\\e[31m\": 1\nollama: {\"\\e[2J\": 1}",
        "c.yaml:2:10: ollama.\u{fffd}[2J: unknown key; valid here: host, port, model, keep_alive, tuning, return_to_primary, models_dir, preload, preload_models",
    ),
];

#[test]
fn each_bad_input_is_told_with_line_column_key_and_what_would_be_right() {
    for (yaml, expected) in BAD {
        assert_eq!(problems(yaml), [*expected], "{yaml}");
    }
}

#[test]
fn a_text_that_is_no_yaml_is_told_with_its_place() {
    for (yaml, place) in [
        ("ollama:\n  host: [a, b\nui: {}\n", "c.yaml:3:3: not YAML: "),
        ("ollama:\n\thost: x\n", "c.yaml:2:1: not YAML: "),
        ("ollama: *nobody\n", "c.yaml:1:9: not YAML: unknown anchor"),
        ("ollama: &a {model: *a}\n", "c.yaml:"),
        ("a: 1\n---\nb: 2\n", "c.yaml: not YAML: "),
        ("ollama: {? [a] : b}\n", "c.yaml:1:"),
    ] {
        let problems = problems(yaml);
        assert!(problems.len() == 1 && problems[0].starts_with(place), "{yaml}: {problems:?}");
    }
}

#[test]
fn all_problems_of_a_file_come_together_in_its_order() {
    let yaml =
        "ollama:\n  hots: x\n  port: many\nmemory: {system: -1}\nphasse: {}\nui:\n  refresh: 0\n  theme: 5\n";
    let lines: Vec<_> =
        problems(yaml).iter().map(|p| p.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "c.yaml:2:3 ollama.hots",
            "c.yaml:3:9 ollama.port",
            "c.yaml:4:1 memory.models_preload",
            "c.yaml:4:1 memory.context_cache",
            "c.yaml:4:18 memory.system",
            "c.yaml:5:1 phasse",
            "c.yaml:7:12 ui.refresh",
            "c.yaml:8:10 ui.theme",
        ]
    );
}

#[test]
fn a_bad_file_still_tells_its_keys_so_that_the_keymap_can_add_its_problems() {
    let (_folder, mut sources) = place();
    write(&sources.cwd.join("c.yaml"), "ui: {refresh: 0}\nkeys: {load: u}\n");
    sources.flags.config = Some("c.yaml".into());
    let (loaded, problems) = survey(&sources);
    assert_eq!((problems.len(), loaded.config.keys.len()), (1, 1));
    let more = Keymap::new(&loaded.config.keys).map(|_| ()).unwrap_err();
    assert_eq!((more[0].key.as_str(), more[0].place.as_ref().unwrap().line), ("keys.load", 2));
}

#[test]
fn several_servers_are_listed_behind_the_one_that_is_named_by_itself() {
    let list = "servers:\n  - {name: box, url: \"https://box.example/ollama\", token: {env: BOX}, ca: ca.pem}\n  \
                - {name: old, url: old, headers: {X-Team: s3cret, X-Key: {file: key}}}\n";
    let urls = |text: &str| -> Vec<(String, String)> {
        let fleet = self::text(text).fleet();
        fleet.into_iter().map(|(name, config)| (name, config.url)).collect()
    };
    let pair = |name: &str, url: &str| (name.to_owned(), url.to_owned());
    let (one, two) = (pair("box", "https://box.example:443/ollama"), pair("old", "http://old:11434"));
    assert_eq!(urls(list), [one.clone(), two.clone()]);
    let named = format!("ollama: {{host: gpu}}\n{list}");
    assert_eq!(urls(&named), [pair("gpu:11434", "http://gpu:11434"), one.clone(), two.clone()]);
    assert_eq!(urls(&format!("ollama: {{host: old}}\n{list}")), [one, two], "it is in the list");
    assert_eq!(urls(""), [pair("127.0.0.1:11434", "http://127.0.0.1:11434")]);
    // Nothing of what is secret is printed, and what is printed can be loaded again.
    let loaded = text(list);
    let shown = resident::config::show(&loaded);
    assert!(!shown.contains("s3cret") && !format!("{loaded:?}").contains("s3cret"), "{shown}");
    assert_eq!(text(&shown).config.servers.len(), 2, "{shown}");
    assert!(loaded.config.servers[0].access.ca.as_ref().unwrap().ends_with("ca.pem"));
}

#[test]
fn sections_of_the_agent_are_ignored_and_listed() {
    let loaded = text(
        "agent: {name: x, name: y}\nserver: {port: 1}\nollama: {model: m}\nlogging: !custom z\nservers: []\n",
    );
    assert_eq!(loaded.ignored, ["agent", "server", "logging"]);
    assert!(loaded.notes.is_empty() && loaded.config.servers.is_empty());
    assert_eq!(loaded.config.primary, Some(model("m")));
}

#[test]
fn keep_alive_may_be_left_to_the_uses_within_bounds_unless_the_environment_says_otherwise() {
    let auto = "ollama: {keep_alive: auto, tuning: {percent: 90, min: 2m, max: 2h}}";
    let loaded = text(auto);
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let rule = Rule { percent: 90, bounds: Bounds { min: minutes(2), max: minutes(120) } };
    let Config { keep_alive, keep_alive_auto, tuning, .. } = &loaded.config;
    assert_eq!((*keep_alive, *keep_alive_auto, *tuning), (None, true, rule));
    assert_eq!(loaded.config.ram_keep_alive(), KeepAlive::For(minutes(60)));
    let shown = show(&loaded);
    let lines = ["  keep_alive: auto  # ", "    percent: 90  # ", "    min: 2m  # ", "    max: 2h  # "];
    assert!(lines.iter().all(|line| shown.contains(line)), "{shown}");
    let (folder, mut sources) = place();
    write(&folder.path().join("xdg/resident/config.yaml"), auto);
    sources.env.insert("OLLAMA_KEEP_ALIVE".into(), "7m".into());
    let Config { keep_alive, keep_alive_auto, .. } = load(&sources).unwrap().config;
    assert_eq!((keep_alive, keep_alive_auto), (Some(KeepAlive::For(minutes(7))), false));
}

#[test]
fn what_is_left_empty_is_not_set() {
    let loaded = text("ollama:\n  host:\n  preload:\nmemory:\nphases:\nui:\n  refresh:\nkeys:\n");
    assert_eq!(Config { file: None, ..loaded.config }, Config { may_act: true, ..Config::default() });
}

#[test]
fn sizes_and_durations_are_read_in_every_form() {
    let config = text(
        "ollama: {keep_alive: -1, preload: {refresh_interval: 1h30m}}\n\
         memory: {system: 4GB, models_preload: 9 GiB, context_cache: 1000}\nui: {refresh: 1.5}\n",
    )
    .config;
    assert_eq!(config.keep_alive, Some(KeepAlive::Forever));
    assert_eq!(config.preload.refresh_interval, Duration::from_secs(5400));
    assert_eq!(config.ui.refresh, Duration::from_millis(1500));
    let total = Bytes(4 * GB + (9 << 30) + 1000);
    let (models_preload, context_cache) = (Bytes(9 << 30), Bytes(1000));
    assert_eq!(config.memory, Memory::Set { system: Bytes(4 * GB), models_preload, context_cache, total });
    assert_eq!(text("memory: auto").config.memory, Memory::Auto);
}

#[test]
fn how_models_are_kept_in_ram_is_read_under_either_name_of_the_section_and_shown_again() {
    for section in ["preload", "preload_models"] {
        for (word, hold) in [("map", Hold::Map), ("mlock", Hold::Mlock), ("none", Hold::None)] {
            let loaded = text(&format!(
                "ollama:\n  {section}:\n    hold: {word}\n    make_room: true\n    mend_below: 0\n"
            ));
            let expected =
                Preload { enabled: true, hold, make_room: true, mend_below: 0, ..Preload::default() };
            assert_eq!(loaded.config.preload, expected);
            let shown = show(&loaded);
            assert_eq!(text(&shown).config.preload, expected);
            assert!(shown.lines().any(|line| line.starts_with(&format!("    hold: {word}  # /"))), "{shown}");
        }
    }
}

#[test]
fn keep_alive_is_the_countdown_in_ram_too_and_an_hour_where_there_is_none() {
    let hour = KeepAlive::For(Duration::from_secs(3600));
    for (yaml, expected) in [
        ("", hour),
        ("ollama: {keep_alive: 5m}", KeepAlive::For(Duration::from_secs(300))),
        ("ollama: {keep_alive: -1}", KeepAlive::Forever),
    ] {
        assert_eq!(text(yaml).config.ram_keep_alive(), expected, "{yaml}");
    }
}

#[test]
fn a_theme_of_the_users_own_is_shown_and_loads_again() {
    let loaded =
        text("ui: {theme: {base: safe, vram: \"#56B4E9\", ram: bright-yellow, text: default}, notify: osc9}");
    let own =
        [(Role::Vram, Hue::Rgb(0x56, 0xb4, 0xe9)), (Role::Ram, Hue::Ansi(11)), (Role::Text, Hue::Plain)];
    assert_eq!(loaded.config.ui.theme, Theme { base: Base::Safe, own: own.into() });
    let shown = show(&loaded);
    assert!(shown.contains("    vram: \"#56b4e9\"  # ") && shown.contains("  notify: osc9  # "), "{shown}");
    assert_eq!(text(&shown).config.ui, loaded.config.ui);
    assert_eq!(loaded.config.ui.notify, Notify::Osc9);
    let plain = text("ui: {theme: high-contrast, mouse: false}");
    assert_eq!(text(&show(&plain)).config.ui, plain.config.ui);
    assert_eq!((plain.config.ui.theme.base, plain.config.ui.mouse), (Base::HighContrast, false));
}

const STEPS: &str = r#"phases: {plan: {model: m, num_ctx: 8192}, fix: n}
workflows:
  w:
    - {phase: plan, prompt: "a \"plan\", please", max_tokens: 50}
    - phase: fix
      command: [sh, -c, "exit 1", 7]
      on_failure: [plan, {phase: fix, model: o, work: 0.5s}]
"#;

#[test]
fn work_is_a_time_a_prompt_or_a_command_and_reads_back_as_it_is_shown() {
    let loaded = text(STEPS);
    let step = |phase: &str| Step {
        phase: phase.into(),
        model: None,
        num_ctx: None,
        work: None,
        on_failure: Vec::new(),
    };
    let prompt = Work::Prompt { text: "a \"plan\", please".into(), max_tokens: Some(50) };
    let command = Work::Command(["sh", "-c", "exit 1", "7"].map(String::from).into());
    let half = Some(Work::For(Duration::from_millis(500)));
    let last = Step { model: Some(model("o")), work: half.clone(), ..step("fix") };
    let steps = vec![
        Step { work: Some(prompt.clone()), ..step("plan") },
        Step { work: Some(command.clone()), on_failure: vec![step("plan"), last], ..step("fix") },
    ];
    let expected = [Workflow { name: "w".into(), repeat: false, steps }];
    assert_eq!(loaded.config.workflows, expected);
    assert_eq!(text(&show(&loaded)).config.workflows, expected);
    let tasks = loaded.config.tasks(&expected[0]);
    let seen: Vec<_> = tasks
        .into_iter()
        .map(|task| (task.phase, task.model.to_string(), task.num_ctx, task.work, task.on_failure))
        .collect();
    let plan = Some(8192);
    assert_eq!(
        seen,
        [
            ("plan".into(), "m".into(), plan, Some(prompt), false),
            ("fix".into(), "n".into(), None, Some(command), false),
            ("plan".into(), "m".into(), plan, None, true),
            ("fix".into(), "o".into(), None, half, true),
        ]
    );
}

#[test]
fn a_config_that_was_merely_found_runs_no_command() {
    let (_folder, mut sources) = place();
    let file = sources.cwd.join("config.yaml");
    write(&file, &format!("ollama: {{}}\n{STEPS}  idle: [plan]\n"));
    let config = load(&sources).unwrap().config;
    let why = config.why_not_run(&config.workflows[0]).unwrap();
    assert!(why.starts_with("w runs commands; nothing in ") && why.contains("--config"), "{why}");
    assert_eq!(config.why_not_run(&config.workflows[1]), None, "no command, and the user asked for it");
    sources.flags.config = Some(file);
    let config = load(&sources).unwrap().config;
    assert_eq!(config.why_not_run(&config.workflows[0]), None);
}

#[test]
fn keys_stay_text_with_their_places() {
    let loaded = text("keys:\n  load: L\n  down: [j, down]\n  no: [n, 1]\n  top: []\n");
    let file = loaded.config.file.clone().unwrap();
    let key = |line, action: &str, keys: &[&str]| KeySetting {
        action: action.into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        place: Place { file: file.clone(), line, column: 3 },
    };
    let expected = [
        key(2, "load", &["L"]),
        key(3, "down", &["j", "down"]),
        key(4, "no", &["n", "1"]),
        key(5, "top", &[]),
    ];
    assert_eq!(loaded.config.keys, expected);
}

#[test]
fn a_base_may_be_lent_by_an_anchor_of_a_foreign_section() {
    let config = text("agent: &all {model: a, port: 5}\nollama:\n  <<: *all\n  model: b\n").config;
    assert_eq!((config.url.as_str(), config.primary), ("http://127.0.0.1:5", Some(model("b"))));
}

#[test]
fn the_merged_result_names_every_origin_and_can_be_loaded_again() {
    let (folder, mut sources) = place();
    let user =
        format!("{DEMO}  load: [L, f5]\nmodels: {{a/b: {{num_ctx: 5}}, c: {{}}}}\npins: [a]\nagent: {{}}\n");
    write(&folder.path().join("xdg/resident/config.yaml"), &user);
    sources.env.insert("OLLAMA_HOST".into(), "[::]:5".into());
    sources.flags.ascii = true;
    let loaded = load(&sources).unwrap();
    let shown = show(&loaded);
    let line = |start: &str| {
        let line = shown.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
        line.replace(&folder.path().display().to_string(), "").trim_start().to_owned()
    };
    let row = |text: &str| 1 + user.lines().position(|line| line.trim_start().starts_with(text)).unwrap();
    let file = "/xdg/resident/config.yaml";
    assert_eq!(line("host:"), "host: \"http://[::1]:5\"  # $OLLAMA_HOST");
    assert_eq!(line("ascii:"), "ascii: true  # --ascii");
    assert_eq!(line("gpu:"), format!("gpu: true  # {file}:{}:8", row("gpu:")));
    assert_eq!(line("\"load\":"), format!("\"load\": [\"L\", \"f5\"]  # {file}:{}:3", row("load: [L")));
    assert_eq!(
        line("\"debugging\":"),
        format!("\"debugging\": {{model: \"deepseek-r1:14b\"}}  # {file}:{}:3", row("debugging:"))
    );
    assert_eq!(line("# ignored"), "# ignored, not ours: agent");
    let defaults = show(&Loaded::default());
    assert!(defaults.contains("  host: \"http://127.0.0.1:11434\"  # default\n"), "{defaults}");

    let (mut again, mut before) = (text(&shown).config, loaded.config);
    for config in [&mut again, &mut before] {
        config.file = None;
        config.keys.iter_mut().for_each(|key| key.place = Place::default());
    }
    assert_eq!(again, before);
    assert_eq!(
        Config { file: None, ..text(&defaults).config },
        Config { may_act: true, ..Config::default() }
    );
}

#[test]
fn the_time_until_the_primary_model_returns_is_shown_with_its_origin() {
    let loaded = text("ollama: {model: a, return_to_primary: 10m}");
    assert_eq!(loaded.config.return_to_primary, Some(Duration::from_secs(600)));
    let shown = show(&loaded);
    assert!(shown.lines().any(|line| line.starts_with("  return_to_primary: 10m  # ")), "{shown}");
    assert_eq!(text(&shown).config.return_to_primary, loaded.config.return_to_primary);
}

/// Words of settings in any order and nesting, so that random files reach the checks and not only the parser.
fn scraps() -> impl proptest::strategy::Strategy<Value = String> {
    let scrap = proptest::sample::select(vec![
        "ollama",
        "preload",
        "models",
        "memory",
        "phases",
        "workflows",
        "steps",
        "phase",
        "keys",
        "ui",
        "refresh",
        "total",
        "system",
        ": ",
        ":\n  ",
        "\n",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<",
        "!t ",
        "'",
        "\"",
        "|",
        "#",
        "-1",
        "9999999999999999999999999999999999999999",
        "1e999",
        "4GB",
        "60m",
        "true",
        "null",
        "~",
        "\u{1b}",
        "é",
        "\t",
        "---\n",
        "? ",
        "%YAML 1.2\n",
        "host",
        "http://[::1",
        "\u{feff}",
    ]);
    proptest::collection::vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_and_every_problem_is_one_safe_line(text in prop_oneof![".*", scraps()]) {
        if let Err(problems) = try_text(&text) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(!problem.chars().any(char::is_control), "{problem:?}");
            }
        }
    }

    #[test]
    fn arbitrary_addresses_never_panic(host in ".*") {
        let (_folder, mut sources) = place();
        sources.env.insert("OLLAMA_HOST".into(), host.clone().into());
        sources.flags.host = Some(host);
        if let Ok(loaded) = load(&sources) {
            prop_assert!(loaded.config.url.starts_with("http"));
            prop_assert!(loaded.config.url.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
