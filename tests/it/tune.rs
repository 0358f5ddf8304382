//! What the uses in the journal say of keep_alive: to a person, to scripts, and to what loads a model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use resident::config::Config;
use resident::engine::{Journals, clock};
use resident::journal::Journal;
use resident::residency::act::ActKind;
use resident::residency::keep_alive::KeepAlive;
use resident::residency::name::ModelName;
use resident::residency::record::{Happened, Record, server_name};
use resident::sim;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::engine_world::World;

const SERVER: &str = "http://127.0.0.1:11434";

/// Where the binary keeps its journal.
fn journal(state: &Path) -> PathBuf {
    state.join("resident/journal.sqlite")
}

/// Writes down that a model was used so many times until now, so many minutes apart.
async fn used(path: &Path, server: &str, text: &str, minutes: u64, times: u64) {
    let clock = clock::system();
    let now = clock().wall;
    let journal = Journal::open(path, clock, &CancellationToken::new()).unwrap();
    let pause = Duration::from_secs(60 * minutes);
    let records = (0..times).rev().map(|back| Record {
        at: now - pause * u32::try_from(back).unwrap(),
        server: server.to_owned(),
        what: Happened::Used {
            model: ModelName::parse(text).unwrap(),
            idle: (back + 1 < times).then_some(pause),
        },
    });
    journal.record(records.collect()).unwrap();
    journal.close().await;
}

fn tune(state: &Path, words: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resident"));
    // No config, and no server, of whoever runs the tests.
    command.env("XDG_STATE_HOME", state).env("XDG_CONFIG_HOME", state).current_dir(state);
    for variable in ["OLLAMA_HOST", "OLLAMA_KEEP_ALIVE", "RESIDENT_CONFIG"] {
        command.env_remove(variable);
    }
    command.arg("tune").args(words).assert()
}

fn text(done: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

#[tokio::test]
async fn tune_reads_the_journal_and_says_for_each_model_what_follows() {
    let state = tempfile::tempdir().unwrap();
    let done = tune(state.path(), &[]).code(0);
    assert!(text(&done).starts_with("no uses recorded of http://127.0.0.1:11434 yet"), "{}", text(&done));
    used(&journal(state.path()), SERVER, "qwen2.5-coder:7b", 12, 41).await;
    used(&journal(state.path()), SERVER, "deepseek-r1:14b", 90, 3).await;
    let done = tune(state.path(), &[]).code(0);
    let said = text(&done);
    let (few, known) = said.split_once("\n\nqwen2.5-coder:7b   ").unwrap();
    assert!(few.starts_with("deepseek-r1:14b   ") && few.contains("2 of at least 20 idle times"), "{said}");
    assert!(!few.contains("would have kept"), "{said}");
    assert!(known.contains("keep_alive 15m would have kept 100 % of its returns within 1h"), "{said}");
}

#[tokio::test]
async fn tune_says_the_same_to_scripts_of_the_models_that_are_asked_for() {
    let state = tempfile::tempdir().unwrap();
    used(&journal(state.path()), SERVER, "qwen2.5-coder:7b", 12, 41).await;
    used(&journal(state.path()), SERVER, "deepseek-r1:14b", 90, 3).await;
    let done = tune(state.path(), &["Qwen2.5-coder:7b", "--json", "--percent", "90"]).code(0);
    let said: Value = serde_json::from_str(&text(&done)).unwrap();
    crate::schema::follows("tune", &said);
    assert_eq!(
        (&said["schema_version"], &said["server"], &said["percent"]),
        (&json!(1), &json!(SERVER), &json!(90))
    );
    let models = said["models"].as_array().unwrap();
    assert_eq!(models.len(), 1, "{said}");
    assert_eq!(models[0]["keep_alive_seconds"], json!(900.0));
    let cold = |policy: &Value| {
        (policy["policy"].as_str().unwrap().to_owned(), policy["cold_starts"].as_u64().unwrap())
    };
    let cold: Vec<_> = models[0]["policies"].as_array().unwrap().iter().map(cold).collect();
    let wanted = [
        ("fixed 5m", 41),
        ("fixed 1h", 1),
        ("fixed 15m", 1),
        ("auto", 21),
        ("auto, loads ahead", 21),
        ("best possible", 1),
    ];
    assert_eq!(cold, wanted.map(|(policy, loads)| (policy.to_owned(), loads)));
    tune(state.path(), &["--percent", "0"]).code(2);
}

#[tokio::test]
async fn under_auto_a_load_stays_as_long_as_its_uses_say_and_one_of_which_little_is_known_as_the_server_says()
{
    let folder = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
    let options = sim::Options::for_tests(1024, Duration::from_millis(30), clock::system());
    let sim = sim::start(options).await.unwrap();
    let path = folder.path().join("journal.sqlite");
    let (qwen, nomic) = ("qwen2.5-coder:7b", "nomic-embed-text");
    used(&path, &server_name(&sim.url(), None), qwen, 12, 41).await;
    let open = move || Journal::open(&path, clock::system(), &CancellationToken::new()).ok();
    let config = Config { keep_alive_auto: true, ..Config::default() };
    let mut world = World::with(&sim.url(), config, Journals::new(Box::new(open)).keeping());
    world.ready().await;
    let known = world.until("what the uses say", |s| s.tunings.clone()).await;
    assert_eq!(known.iter().map(|one| (one.model.as_str(), one.uses)).collect::<Vec<_>>(), [(qwen, 41)]);
    let minutes = |minutes: u64| KeepAlive::For(Duration::from_secs(60 * minutes));
    for (model, keep_alive) in [(qwen, minutes(15)), (nomic, minutes(5))] {
        world.done(ActKind::Load, model).await;
        let is_so = |loaded: &resident::residency::snapshot::Model| {
            loaded.loaded.as_ref().is_some_and(|loaded| loaded.keep_alive.is_some())
        };
        let loaded = world.until_model(model, is_so).await.loaded.unwrap();
        assert_eq!(loaded.keep_alive, Some(keep_alive), "{model}");
    }
}
