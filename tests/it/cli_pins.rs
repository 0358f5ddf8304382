//! `pins`: what is listed of them, in words and for scripts; and pins as processes make, rest and end them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use resident::cli::Exit;
use resident::cli::out::Out;
use resident::cli::pins::{Request, run};
use resident::config::{Config, Pins};
use resident::journal::Seen;
use resident::residency::guard::claim::{Idle, Onlooker};
use resident::residency::guard::hindrance::Hindrance;
use resident::residency::guard::{PinState, Pinned};
use resident::residency::keep_alive::KeepAlive;
use resident::residency::snapshot::{Reach, Snapshot};
use serde_json::{Value, json};

use crate::cli_fake::{engine, name, noon, snapshot};

const HOUR: KeepAlive = KeepAlive::For(Duration::from_secs(3600));

fn pin(model: &str, state: PinState) -> Pinned {
    let since = Some("2026-11-23T09:30:00Z".parse().unwrap());
    Pinned { model: name(model), since, configured: false, before: Some(HOUR), state, tries: 0 }
}

/// One pin of each kind.
fn all_kinds() -> Snapshot {
    let gave_up = Pinned { tries: 4, ..pin("e:1b", PinState::GaveUp(Some(name("d:7b")))) };
    let configured =
        Pinned { since: None, configured: true, before: None, ..pin("b:1b", PinState::Overridden) };
    let pins = vec![
        pin("a:1b", PinState::Held),
        configured,
        pin("c:1b", PinState::Suspended(name("d:7b"))),
        Pinned { tries: 2, ..pin("d:1b", PinState::Away(None)) },
        gave_up,
        pin("f:1b", PinState::Away(Some(Hindrance::NotInstalled))),
        pin("g:1b", PinState::Away(Some(Hindrance::Waits("2026-11-23T12:05:00Z".parse().unwrap())))),
        pin("h:1b", PinState::Away(Some(Hindrance::Beside(name("a:1b"))))),
    ];
    let mut snapshot = snapshot(noon(), vec![]);
    snapshot.keeping.pins = Some(Arc::new(pins));
    snapshot
}

fn request(json: bool, keeper: Option<u32>) -> Request {
    Request::new(json, true, Seen { keeper, idle: None }, &Config { may_act: true, ..Config::default() })
}

async fn ran(snapshot: Snapshot, request: &Request) -> (Exit, String, String) {
    let (handle, _fake) = engine(snapshot);
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let now = (noon().wall, &TimeZone::UTC);
    let exit = run(handle, request, now, pending(), &mut Out::new(&mut results, &mut remarks)).await;
    let out = String::from_utf8(results).unwrap();
    if request.json {
        crate::schema::follows("pins", &serde_json::from_str(&out).unwrap());
    }
    (exit, out, String::from_utf8(remarks).unwrap())
}

#[tokio::test]
async fn each_pin_says_how_it_is_with_it() {
    let (exit, out, said) = ran(all_kinds(), &request(false, Some(4242))).await;
    assert_eq!((exit, said.as_str()), (Exit::Done, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "a:1b   held in VRAM   pinned 09:30:00   an unpin gives it keep_alive 1h",
            "b:1b   in VRAM, but another client gave it another keep_alive   pinned by the config   an unpin gives it \
             keep_alive 5m",
            "c:1b   rests: displaced by our swap to d:7b, comes back with the swap back   pinned 09:30:00   an unpin gives \
             it keep_alive 1h",
            "d:1b   away: not in VRAM   pinned 09:30:00   an unpin gives it keep_alive 1h   brought back 2 times lately",
            "e:1b   given up: d:7b insists, it was loaded 4 times in its place; pin it again to try again   pinned 09:30:00   \
             an unpin gives it keep_alive 1h",
            "f:1b   away: not installed: ollama pull f:1b   pinned 09:30:00   an unpin gives it keep_alive 1h",
            "g:1b   away: waits: back-off, again in 5 min   pinned 09:30:00   an unpin gives it keep_alive 1h",
            "h:1b   away: does not fit beside a:1b, which is pinned   pinned 09:30:00   an unpin gives it keep_alive 1h",
            "kept by the dashboard with pid 4242",
        ]
    );
}

#[tokio::test]
async fn without_a_dashboard_nobody_enforces_them_and_without_pins_it_says_how_to_make_one() {
    let (_, out, _) = ran(all_kinds(), &request(false, None)).await;
    assert!(out.ends_with("\nno dashboard runs: nobody enforces them\n"), "{out}");
    let idle = Some(Onlooker { pid: 4242, why: Idle::ReadOnly });
    let looks_on = Request { roles: Seen { keeper: None, idle }, ..request(false, None) };
    let (_, out, _) = ran(all_kinds(), &looks_on).await;
    assert!(
        out.ends_with("\nnobody enforces them: the dashboard with pid 4242 only looks on (read-only)\n"),
        "{out}"
    );
    let mut none = all_kinds();
    none.keeping.pins = Some(Arc::default());
    let (exit, out, _) = ran(none, &request(false, None)).await;
    assert_eq!(exit, Exit::Done);
    assert_eq!(out, "no pins of http://127.0.0.1:11434; resident pin MODEL makes one\n");
}

#[tokio::test]
async fn a_script_gets_each_pin_with_its_state() {
    let mut shown = all_kinds();
    Arc::make_mut(shown.keeping.pins.as_mut().unwrap())
        .retain(|pin| ["e:1b", "g:1b", "h:1b"].contains(&pin.model.as_str()));
    let (exit, out, said) = ran(shown, &request(true, Some(4242))).await;
    assert_eq!((exit, said.as_str()), (Exit::Done, ""));
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap(),
        json!({
            "schema_version": 1, "server": "http://127.0.0.1:11434", "server_answers": true, "keeper_pid": 4242,
            "looks_on": null,
            "pins": [{
                "model": "e:1b", "state": "given_up", "by": "d:7b", "why": null, "since": "2026-11-23T09:30:00Z",
                "configured": false, "unpin_keep_alive_seconds": 3600.0, "tries": 4,
            }, {
                "model": "g:1b", "state": "away", "by": null, "why": {
                    "kind": "waits", "words": "waits: back-off, again in 5 min", "until": "2026-11-23T12:05:00Z",
                },
                "since": "2026-11-23T09:30:00Z",
                "configured": false, "unpin_keep_alive_seconds": 3600.0, "tries": 0,
            }, {
                "model": "h:1b", "state": "away", "by": "a:1b", "why": {
                    "kind": "beside_pin", "words": "does not fit beside a:1b, which is pinned", "until": null,
                },
                "since": "2026-11-23T09:30:00Z",
                "configured": false, "unpin_keep_alive_seconds": 3600.0, "tries": 0,
            }],
        })
    );
}

#[tokio::test]
async fn without_a_server_only_what_the_journal_knows_is_said() {
    let mut down = all_kinds();
    down.servers[0].reach = Reach::Down { since: noon(), answers: false, why: "connection refused".into() };
    let (exit, out, said) = ran(down.clone(), &request(false, None)).await;
    assert_eq!(exit, Exit::NoServer);
    assert!(said.starts_with("no server at http://127.0.0.1:11434: connection refused"), "{said}");
    let states: Vec<&str> = out.lines().map(|line| line.split("   ").nth(1).unwrap_or(line)).collect();
    let unknown = "? the server does not answer";
    assert_eq!((states[0], states[1], states[3]), (unknown, unknown, unknown), "{out}");
    assert!(states[2].starts_with("rests: ") && states[4].starts_with("given up: "), "{out}");
    let (_, out, _) = ran(down, &request(true, None)).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["server_answers"], &told["pins"][0]["state"]), (&false.into(), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_silent_is_said_and_a_config_that_was_only_found_does_not_act() {
    let mut silent = all_kinds();
    silent.keeping.pins = None;
    let config = Config { pins: Pins { models: vec![name("x:1b")], ..Pins::default() }, ..Config::default() };
    let (exit, _, said) = ran(silent, &Request::new(false, true, Seen::default(), &config)).await;
    assert_eq!(exit, Exit::Done);
    assert!(said.starts_with("the journal did not answer: what it knows of pins is missing\n"), "{said}");
    assert!(said.contains("x:1b is listed under pins in ./config.yaml, which was merely found"), "{said}");
}

#[cfg(target_os = "linux")]
mod on_a_server {
    use std::process::Stdio;

    use serde_json::Value;

    use crate::cli_ram::Home;

    const PIN: &str = "openthinker3-7b";
    const LARGE: &str = "deepseek-r1:14b";

    /// What is said of the one pin that there is; nothing if there is none.
    fn pin(home: &Home) -> Value {
        let (exit, out, said) = home.run(&["pins", "--json"]);
        assert_eq!(exit, Some(0), "{said}");
        let told: Value = serde_json::from_str(&out).unwrap();
        let pins = told["pins"].as_array().unwrap();
        assert!(pins.len() <= 1, "{out}");
        pins.first().cloned().unwrap_or_default()
    }

    #[test]
    fn two_swaps_in_a_row_do_not_lose_a_pin() {
        let home = Home::new();
        assert_eq!(pin(&home), Value::Null);
        assert_eq!(home.run(&["pin", PIN]).0, Some(0));
        assert_eq!((&pin(&home)["state"], &pin(&home)["model"]), (&"held".into(), &PIN.into()));
        let (exit, out, said) = home.run(&["swap", LARGE]);
        assert_eq!((exit, out.as_str()), (Some(3), ""), "{said}");
        let (exit, _, said) = home.run(&["swap", "--yes", LARGE]);
        assert_eq!(exit, Some(0), "{said}");
        assert!(said.contains("openthinker3-7b stays pinned: it rests until the swap back\n"), "{said}");
        let rests = pin(&home);
        assert_eq!((&rests["state"], &rests["by"]), (&"rests".into(), &LARGE.into()));
        let (exit, out, said) = home.run(&["swap", "--json", PIN]);
        assert_eq!(exit, Some(0), "{said}");
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["rests"], Value::Array(vec![]));
        assert_eq!((&pin(&home)["state"], &home.model(PIN)["pinned"]), (&"held".into(), &true.into()));
    }

    #[test]
    fn a_load_does_not_lose_a_pin_either() {
        let home = Home::new();
        assert_eq!(home.run(&["pin", PIN]).0, Some(0));
        let (exit, _, said) = home.run(&["load", "--yes", LARGE]);
        assert_eq!(exit, Some(0), "{said}");
        assert_eq!(said, "openthinker3-7b stays pinned: it rests until it is loaded again\n");
        assert_eq!(pin(&home)["state"], "rests");
        assert_eq!(home.run(&["load", PIN]).0, Some(0));
        assert_eq!((&pin(&home)["state"], &home.model(PIN)["pinned"]), (&"held".into(), &true.into()));
    }

    #[test]
    fn a_phase_of_an_agent_does_not_lose_a_pin_either() {
        let home = Home::new();
        home.config("phases:\n  think: openthinker3-7b\n  debug: deepseek-r1:14b\n");
        assert_eq!(home.run(&["pin", PIN]).0, Some(0));
        let (exit, _, said) = home.run(&["phase", "debug", "--yes"]);
        assert_eq!(exit, Some(0), "{said}");
        assert!(said.contains("openthinker3-7b stays pinned: it rests until the swap back\n"), "{said}");
        assert_eq!(pin(&home)["state"], "rests");
        assert_eq!(home.run(&["phase", "think"]).0, Some(0));
        assert_eq!((&pin(&home)["state"], &home.model(PIN)["pinned"]), (&"held".into(), &true.into()));
    }

    #[test]
    fn an_unload_and_an_unpin_end_a_pin_also_of_a_model_that_is_away() {
        let home = Home::new();
        assert_eq!(home.run(&["pin", PIN]).0, Some(0));
        let (exit, out, said) = home.run(&["unload", PIN]);
        assert_eq!((exit, out.as_str()), (Some(3), ""), "{said}");
        let (exit, out, said) = home.run(&["unload", "--yes", PIN]);
        assert_eq!(exit, Some(0), "{said}");
        assert!(
            out.starts_with("openthinker3-7b unloaded in ") && out.ends_with(" s; its pin is over\n"),
            "{out}"
        );
        assert_eq!(pin(&home), Value::Null);

        assert_eq!(home.run(&["pin", PIN]).0, Some(0));
        assert_eq!(home.run(&["swap", "--yes", LARGE]).0, Some(0));
        let (exit, out, said) = home.run(&["unpin", PIN]);
        assert_eq!(exit, Some(0), "{said}");
        assert!(out.starts_with("openthinker3-7b unpinned"), "{out}");
        assert_eq!(pin(&home), Value::Null);
        assert_eq!(home.run(&["unpin", PIN]).0, Some(1), "there is none any more");
    }

    #[test]
    fn what_the_config_pins_and_the_user_unpinned_is_not_listed() {
        let home = Home::new();
        home.config("pins:\n  models: [openthinker3-7b]\n");
        let listed = pin(&home);
        assert_eq!((&listed["state"], &listed["configured"]), (&"away".into(), &true.into()));
        assert_eq!(home.run(&["unpin", PIN]).0, Some(0));
        assert_eq!(pin(&home), Value::Null);
    }

    #[test]
    fn without_a_server_the_pins_of_the_journal_are_listed() {
        let mut home = Home::new();
        assert_eq!(home.run(&["pin", PIN]).0, Some(0));
        home.end_server();
        let run = home.command(&["pins"]).stdin(Stdio::null()).output().unwrap();
        let out = String::from_utf8(run.stdout).unwrap();
        assert_eq!(run.status.code(), Some(5));
        assert!(out.starts_with("openthinker3-7b   ? the server does not answer   pinned "), "{out}");
        assert!(out.ends_with("no dashboard runs: nobody enforces them\n"), "{out}");
    }
}
