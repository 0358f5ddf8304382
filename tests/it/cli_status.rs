//! `status`: the whole JSON, the table at several widths, and when each is printed.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use resident::cli::Exit;
use resident::cli::out::Out;
use resident::cli::status::{self, Request, keeping, run, table};
use resident::config::Config;
use resident::journal::Seen;
use resident::residency::bytes::{Bytes, GIB};
use resident::residency::expiry::Expiry;
use resident::residency::forecast::Forecast;
use resident::residency::guard::claim::{Idle, Onlooker};
use resident::residency::guard::{Keeping, PinState, Pinned};
use resident::residency::host::Cards;
use resident::residency::keep_alive::KeepAlive;
use resident::residency::map::Map;
use resident::residency::predict::Prediction;
use resident::residency::snapshot::{Blob, Model, Reach, Snapshot, State};
use resident::residency::tier::{Cached, Tiers};
use resident::residency::timing::Moment;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::cli_fake::{after, engine, in_vram, name, noon, on_disk, snapshot, stopped};

/// The JSON of a snapshot; its schema knows all of it.
fn json(snapshot: &Snapshot, keep_alive: Option<KeepAlive>, now: Moment) -> Value {
    let told = status::json(snapshot, keep_alive, now);
    crate::schema::follows("status", &told);
    told
}

const ONCE: Request = Request { json: true, watch: false, recalls: false, keep_alive: None, columns: None };

fn in_four_minutes() -> Expiry {
    Expiry::At("2026-11-23T12:04:07.5Z".parse().unwrap())
}

/// One model of each kind.
fn all_kinds(at: Moment) -> Snapshot {
    let mut qwen = in_vram("qwen2.5-coder:7b", 4_700_000_000, in_four_minutes());
    qwen.listed = Some(0);
    let mut split = in_vram("deepseek-r1:14b", 9_000_000_000, Expiry::Never);
    split.tiers = Tiers { vram: Bytes(6_000_000_000), ram: Bytes(3_000_000_000), ..Tiers::default() };
    split.loaded.as_mut().unwrap().size_vram = Bytes(6_600_000_000);
    let mut near = on_disk("openthinker3-7b", 4_700_000_000, 4_600_000_000);
    near.forecast = Some(Forecast { evicts: vec![name("qwen2.5-coder:7b")], why: "needs 4.9 GiB".into() });
    near.to_vram = Some(Prediction { took: Duration::from_millis(1200), error: Some(0.0834) });
    let half = Model {
        cached: Cached::Sampled(Bytes(500_000_000)),
        state: State::InRam { percent: 50, estimate: true },
        ..on_disk("half:1b", 1_000_000_000, 500_000_000)
    };
    let hidden = Model {
        cached: Cached::Unknown("the kernel hides it".into()),
        state: State::NotLoaded,
        tiers: Tiers { unknown: Bytes(274_000_000), ..Tiers::default() },
        ..on_disk("evil\u{1b}[2J日本", 274_000_000, 0)
    };
    snapshot(at, vec![qwen, split, near, half, hidden])
}

#[test]
fn a_loaded_model_is_told_whole() {
    let at = noon();
    let all = json(&all_kinds(at), None, after(at, 2));
    assert_eq!(
        all["models"][0],
        json!({
            "server": "http://127.0.0.1:11434",
            "name": "qwen2.5-coder:7b",
            "full_name": "qwen2.5-coder:7b",
            "digest": "ab".repeat(32),
            "size_bytes": 4_700_000_000_u64,
            "format": "gguf", "family": "", "parameters": "", "quantisation": "Q4_K_M",
            "capabilities": [], "train_context": null, "remote_host": null,
            "preload_position": 0,
            "state": "idle",
            "pinned": false,
            "tiers": { "vram_bytes": 4_700_000_000_u64, "ram_bytes": 0, "disk_bytes": 0, "estimate": false },
            "cached_age_seconds": null,
            "blobs": [],
            "shared_with": [],
            "forecast": null,
            "fit": null,
            "forecasts_right": 0,
            "forecasts_seen": 0,
            "forecast_size_error": null,
            "to_vram_seconds": null,
            "to_vram_error": null,
            "loaded": true,
            "loaded_bytes": 5_170_000_000_u64,
            "loaded_vram_bytes": 5_170_000_000_u64,
            "processor": "100% GPU",
            "context": 4096,
            "expires_at": "2026-11-23T12:04:07.5Z",
            "remaining_seconds": 245.5,
            "keep_alive_seconds": 300.0,
            "kept": null,
            "runner": null,
            "runner_unknown": "its process is not visible",
        })
    );
}

#[test]
fn each_file_has_its_bytes_and_its_map_or_the_reason_why_not() {
    let blob = |of: char, role, cached, map| Blob {
        digest: format!("sha256:{of}"),
        role,
        size: Bytes(1000),
        path: Some(format!("/models/blobs/sha256-{of}").into()),
        cached,
        map,
    };
    let mut model = on_disk("half:1b", 3000, 500);
    model.blobs = vec![
        blob('a', "weights", Cached::Sampled(Bytes(500)), Some(Map::of([(4, 4), (1, 4), (0, 4), (0, 0)]))),
        blob('b', "projector", Cached::Unknown("the kernel hides it".into()), None),
        Blob { path: None, ..blob('c', "adapter", Cached::Unread, None) },
    ];
    let not_here = "the file is not on this machine";
    assert_eq!(
        json(&snapshot(noon(), vec![model]), None, noon())["models"][0]["blobs"],
        json!([
            {
                "digest": "sha256:a", "role": "weights", "size_bytes": 1000, "path": "/models/blobs/sha256-a",
                "ram_bytes": 500, "estimate": true, "map": [100, 25, 0, null],
            },
            {
                "digest": "sha256:b", "role": "projector", "size_bytes": 1000, "path": "/models/blobs/sha256-b",
                "ram_bytes": null, "ram_bytes_unknown": "the kernel hides it", "estimate": false,
                "map": null, "map_unknown": "the kernel hides it",
            },
            {
                "digest": "sha256:c", "role": "adapter", "size_bytes": 1000, "path": null, "path_unknown": not_here,
                "ram_bytes": null, "ram_bytes_unknown": not_here, "estimate": false,
                "map": null, "map_unknown": not_here,
            },
        ])
    );
}

#[test]
fn a_name_is_there_as_people_and_as_the_server_write_it() {
    let model = &json(&all_kinds(noon()), None, noon())["models"][2];
    assert_eq!([&model["name"], &model["full_name"]], ["openthinker3-7b", "openthinker3-7b:latest"]);
}

#[test]
fn the_machine_and_the_server_are_told_whole() {
    let at = noon();
    let all = json(&all_kinds(at), None, after(at, 2));
    assert_eq!(
        (&all["schema_version"], &all["at"], &all["age_seconds"]),
        (&json!(1), &json!("2026-11-23T12:00:02Z"), &json!(2.0))
    );
    let silent = "the driver does not say";
    assert_eq!(
        all["host"],
        json!({
            "name": "box",
            "ram": {
                "total_bytes": 32 * GIB, "used_bytes": 10 * GIB, "available_bytes": 22 * GIB, "free_bytes": 2 * GIB,
                "page_cache_bytes": 20 * GIB, "swap_total_bytes": 0, "swap_used_bytes": 0,
                "cgroup_limit_bytes": null, "age_seconds": 2.0,
            },
            "cards": [{
                "name": "RTX 2070",
                "total_bytes": 8 * GIB, "used_bytes": 5 * GIB, "free_bytes": 3 * GIB,
                "utilisation_percent": null, "utilisation_percent_unknown": silent,
                "temperature_celsius": null, "temperature_celsius_unknown": silent,
                "power_watts": null, "power_watts_unknown": silent,
                "pcie": null, "pcie_unknown": silent,
                "receive_bytes_per_second": null, "receive_bytes_per_second_unknown": silent,
                "processes": [], "asleep": false, "unified": false,
            }],
            "cards_age_seconds": 2.0,
            "holds_bytes": 0,
        })
    );
    assert_eq!(
        all["servers"],
        json!([{
            "url": "http://127.0.0.1:11434", "reach": "up", "latency_seconds": 0.003, "for_seconds": null, "why": null,
            "version": "0.32.15", "local": true, "demo_scale": null, "models_dir": "/models",
            "loaded_age_seconds": 2.0, "installed_age_seconds": 2.0,
        }])
    );
}

#[test]
fn what_is_unknown_is_null_with_a_reason_and_what_is_estimated_says_so() {
    let at = noon();
    let mut unknown = all_kinds(at);
    unknown.host.ram = None;
    unknown.host.cards.as_mut().unwrap().value = Cards::Unknown("no NVIDIA driver".into());
    unknown.servers[0].version = None;
    let all = json(&unknown, None, at);
    let models = all["models"].as_array().unwrap();
    assert_eq!((&all["host"]["ram"], &all["host"]["ram_unknown"]), (&Value::Null, &json!("not read yet")));
    assert_eq!(
        (&all["host"]["cards"], &all["host"]["cards_unknown"]),
        (&Value::Null, &json!("no NVIDIA driver"))
    );
    assert_eq!(all["servers"][0]["version_unknown"], json!("the server did not say"));
    assert_eq!(
        models[4]["tiers"],
        json!({
            "vram_bytes": 0, "estimate": false,
            "ram_bytes": null, "ram_bytes_unknown": "the kernel hides it",
            "disk_bytes": null, "disk_bytes_unknown": "the kernel hides it",
        })
    );
    assert_eq!(models[3]["tiers"]["estimate"], json!(true));
    assert_eq!(
        models[2]["forecast"],
        json!({ "estimate": true, "evicts": ["qwen2.5-coder:7b"], "why": "needs 4.9 GiB" })
    );
    assert_eq!((&models[2]["to_vram_seconds"], &models[2]["to_vram_error"]), (&json!(1.2), &json!(0.083)));
}

#[test]
fn a_pinned_model_has_no_end_and_that_is_not_unknown() {
    let at = noon();
    let pinned = &json(&all_kinds(at), None, at)["models"][1];
    assert_eq!((&pinned["expires_at"], pinned.get("expires_at_unknown")), (&Value::Null, None));
    assert_eq!((&pinned["remaining_seconds"], &pinned["pinned"]), (&Value::Null, &json!(true)));
    assert_eq!(pinned["processor"], json!("33%/67% CPU/GPU"));

    let odd = snapshot(at, vec![in_vram("odd:1b", 1000, Expiry::Unknown)]);
    assert!(json(&odd, None, at)["models"][0]["expires_at_unknown"].is_string());
}

#[test]
fn the_ideas_three_answers_are_there() {
    let at = noon();
    let ideas = |snapshot: &Snapshot, keep_alive| {
        let all = json(snapshot, keep_alive, at);
        json!([all["vram_model"], all["ram_preloaded"], all["keep_alive"]])
    };
    let hour = Some(KeepAlive::For(Duration::from_secs(3600)));
    assert_eq!(
        ideas(&all_kinds(at), hour),
        json!(["deepseek-r1:14b", ["qwen2.5-coder:7b", "deepseek-r1:14b", "openthinker3-7b"], "1h"])
    );
    let ghost = Model { state: State::Ghost, ..in_vram("ghost:1b", 1000, Expiry::Never) };
    let alone = snapshot(at, vec![ghost, on_disk("almost:1b", 1000, 949), on_disk("near:1b", 1000, 950)]);
    assert_eq!(ideas(&alone, Some(KeepAlive::Forever)), json!([null, ["near:1b"], "-1s"]));
    assert_eq!(ideas(&snapshot(at, vec![]), None), json!([null, [], null]));
}

#[test]
fn the_table_shows_every_model_and_marks_what_it_cuts() {
    let at = noon();
    let all = all_kinds(at);
    insta::assert_snapshot!(table(&all, at, None), @r"
    SERVER  http://127.0.0.1:11434  Ollama 0.32.15  up, 3 ms
    RAM     32.0 GiB  used 10.0  available 22.0  page cache 20.0
    VRAM    8.0 GiB  used 5.0  free 3.0  RTX 2070

      MODEL               SIZE  VRAM   RAM  DISK     LEFT  TO VRAM  CONTEXT  PROCESSOR        FITS  STATE
    * qwen2.5-coder:7b  4.7 GB  100%     -     -     4:07        -     4096  100% GPU         -     idle
      deepseek-r1:14b   9.0 GB   67%   33%     -  forever        -     4096  33%/67% CPU/GPU  -     idle, pinned
      openthinker3-7b   4.7 GB     -   98%    2%        -   ~1.2 s        -  -                ?     in RAM 98 %
      half:1b           1.0 GB     -  ~50%  ~50%        -        ?        -  -                ?     in RAM ~50 %
      evil�[2J日本      274 MB     -     ?     ?        -        ?        -  -                ?     not loaded
    ");
    insta::assert_snapshot!(table(&all, at, Some(80)), @r"
    SERVER  http://127.0.0.1:11434  Ollama 0.32.15  up, 3 ms
    RAM     32.0 GiB  used 10.0  available 22.0  page cache 20.0
    VRAM    8.0 GiB  used 5.0  free 3.0  RTX 2070

      MODEL               SIZE  VRAM   RAM  DISK     LEFT  STATE
    * qwen2.5-coder:7b  4.7 GB  100%     -     -     4:07  idle
      deepseek-r1:14b   9.0 GB   67%   33%     -  forever  idle, pinned
      openthinker3-7b   4.7 GB     -   98%    2%        -  in RAM 98 %
      half:1b           1.0 GB     -  ~50%  ~50%        -  in RAM ~50 %
      evil�[2J日本      274 MB     -     ?     ?        -  not loaded
    ");
    insta::assert_snapshot!(table(&all, at, Some(50)), @r"
    SERVER  http://127.0.0.1:11434  Ollama 0.32.15  u…
    RAM     32.0 GiB  used 10.0  available 22.0  page…
    VRAM    8.0 GiB  used 5.0  free 3.0  RTX 2070

      MODEL    VRAM   RAM  DISK     LEFT  STATE
    * qwen2.…  100%     -     -     4:07  idle
      deepse…   67%   33%     -  forever  idle, pinned
      openth…     -   98%    2%        -  in RAM 98 %
      half:1b     -  ~50%  ~50%        -  in RAM ~50 %
      evil�[…     -     ?     ?        -  not loaded
    ");
}

#[test]
fn the_percents_of_a_row_add_up_and_are_100_only_where_all_is() {
    for (tiers, shown) in [
        ([333, 333, 334], "33% 33% 34%"),
        ([505, 495, 0], "51% 49% -"),
        ([998, 2, 0], "99% <1% -"),
        ([0, 0, 1000], "- - 100%"),
    ] {
        let [vram, ram, disk] = tiers.map(Bytes);
        let model = Model {
            tiers: Tiers { vram, ram, disk, ..Tiers::default() },
            ..in_vram("a:1b", 1000, Expiry::Unknown)
        };
        let text = table(&snapshot(noon(), vec![model]), noon(), None);
        let cells: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(cells[3..6].join(" "), shown, "{text}");
    }
}

#[test]
fn an_endless_name_or_version_is_cut_even_in_a_pipe() {
    let mut endless = snapshot(noon(), vec![on_disk(&"m".repeat(5000), 1000, 0)]);
    endless.servers[0].version = Some("9".repeat(5000));
    let text = table(&endless, noon(), None);
    assert!(text.lines().all(|line| line.width() < 150), "{text}");
    assert!(text.contains("m…") && text.contains("9…  up, 3 ms"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal_and_nothing_hostile_is_in_it() {
    let at = noon();
    for columns in 0..200 {
        let text = table(&all_kinds(at), at, Some(columns));
        assert!(text.lines().all(|line| line.width() <= columns), "{columns}:\n{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{columns}:\n{text}");
    }
}

#[test]
fn who_acts_by_itself_is_told_and_what_would_be_done() {
    let at = noon();
    let mut config = Config { may_act: true, ..Config::default() };
    (config.preload.enabled, config.preload.auto_refresh) = (true, true);
    let pin = Pinned {
        model: name("a:1b"),
        since: None,
        configured: true,
        before: None,
        state: PinState::Held,
        tries: 0,
    };
    let own = Keeping { pins: Some(Arc::new(vec![pin])), ..Keeping::default() };
    let told = |config: &Config, keeper: Option<u32>, own: &Keeping| {
        let mut all = snapshot(at, vec![]);
        all.keeping = keeping(config, &Seen { keeper, idle: None }, own);
        let text = table(&all, at, None);
        let all = json(&all, None, at);
        let line = text.lines().find(|line| line.starts_with("KEEPER")).unwrap_or_default();
        (line.to_owned(), json!([all["keeper_pid"], all["may_act"]]))
    };
    assert_eq!(
        told(&config, Some(4242), &own),
        ("KEEPER  pid 4242  may act by itself: refresh pins".to_owned(), json!([4242, ["refresh", "pins"]]))
    );
    assert_eq!(
        told(&config, None, &own),
        (
            "KEEPER  none: nothing acts by itself; a dashboard would: refresh pins".to_owned(),
            json!([null, ["refresh", "pins"]])
        )
    );
    let found = Config { may_act: false, ..config };
    let none = Keeping::default();
    assert_eq!(
        told(&found, Some(4242), &none),
        ("KEEPER  pid 4242  nothing acts by itself".to_owned(), json!([4242, []]))
    );
    assert_eq!(told(&found, None, &none), (String::new(), json!([null, []])));

    let mut all = snapshot(at, vec![]);
    let idle = Some(Onlooker { pid: 4242, why: Idle::HandsOff });
    all.keeping = keeping(&found, &Seen { keeper: None, idle }, &own);
    let text = table(&all, at, None);
    assert!(
        text.contains("KEEPER  none: nothing acts by itself; pid 4242 only looks on (hands off)\n"),
        "{text}"
    );
    let all = json(&all, None, at);
    assert_eq!((&all["keeper_pid"], &all["looks_on"]["why"]), (&json!(null), &json!("hands off")));
}

#[test]
fn the_table_without_a_server_says_so() {
    let at = noon();
    let mut without = snapshot(at, vec![]);
    let server = &mut without.servers[0];
    server.reach = Reach::Down { since: at, answers: false, why: "connection refused".into() };
    (server.tags_at, server.version) = (None, None);
    without.host.cards = None;
    insta::assert_snapshot!(table(&without, after(at, 65), None), @r"
    SERVER  http://127.0.0.1:11434  down for 1:05: connection refused
    RAM     32.0 GiB  used 10.0  available 22.0  page cache 20.0
    VRAM    ? not read yet

    the models are not known yet
    ");
}

async fn ran(first: Snapshot, request: &Request) -> (Exit, String, String) {
    let at = first.at;
    let (handle, _fake) = engine(first);
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let exit = run(
        handle,
        request,
        &stopped(at),
        Keeping::clone,
        pending(),
        &mut Out::new(&mut results, &mut remarks),
    )
    .await;
    (exit, String::from_utf8(results).unwrap(), String::from_utf8(remarks).unwrap())
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_models_and_then_for_the_page_cache() {
    let at = noon();
    let mut early = all_kinds(at);
    early.servers[0].ps_at = None;
    let (handle, fake) = engine(early);
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let mut out = Out::new(&mut results, &mut remarks);
    let clock = stopped(at);
    let ((), exit) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            fake.change(|snapshot| {
                snapshot.servers[0].ps_at = Some(at);
                snapshot.servers[0].models[2].cached = Cached::Unread;
            });
            tokio::task::yield_now().await;
            fake.change(|snapshot| snapshot.servers[0].models[2] = on_disk("openthinker3-7b", 1000, 7));
        },
        run(handle, &ONCE, &clock, Keeping::clone, pending(), &mut out),
    );
    assert_eq!(exit, Exit::Done);
    let all: Value = serde_json::from_slice(&results).unwrap();
    assert_eq!(all["models"][2]["tiers"]["ram_bytes"], json!(7));
}

#[tokio::test(start_paused = true)]
async fn without_a_server_the_machine_is_still_told() {
    let mut without = all_kinds(noon());
    without.servers[0].reach =
        Reach::Down { since: noon(), answers: false, why: "connection refused".into() };
    let (exit, results, remarks) = ran(without, &ONCE).await;
    let all: Value = serde_json::from_str(&results).unwrap();
    assert_eq!((exit, &all["servers"][0]["reach"]), (Exit::NoServer, &json!("down")));
    assert!(all["host"]["ram"].is_object() && remarks.starts_with("no server at "), "{remarks}");

    let mut silent = all_kinds(noon());
    silent.servers[0].tags_at = None;
    let (exit, _, remarks) = ran(silent, &ONCE).await;
    assert_eq!(
        (exit, remarks.as_str()),
        (Exit::TimedOut, "the server at http://127.0.0.1:11434 did not answer in time\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_never_comes_does_not_hold_it_up() {
    let mut partly = all_kinds(noon());
    partly.host.cards.as_mut().unwrap().value = Cards::Unread;
    let (exit, results, _) = ran(partly, &Request { json: false, ..ONCE }).await;
    assert_eq!(exit, Exit::Done);
    assert!(results.contains("VRAM    ? not read yet"), "{results}");
}

/// Takes so many lines, then has gone.
struct Head {
    lines: usize,
    taken: String,
}

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.taken.lines().count() == self.lines && self.taken.ends_with('\n') {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.taken.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn watch_prints_a_line_for_each_change_until_its_reader_goes() {
    let at = noon();
    let (handle, fake) = engine(all_kinds(at));
    let mut head = Head { lines: 3, taken: String::new() };
    let mut remarks = Vec::new();
    let mut out = Out::new(&mut head, &mut remarks);
    let clock = stopped(at);
    let request = Request { watch: true, ..ONCE };
    let ((), exit) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            fake.change(|snapshot| {
                snapshot.servers[0].reach =
                    Reach::Down { since: at, answers: false, why: "connection refused".into() };
            });
        },
        run(handle, &request, &clock, Keeping::clone, pending(), &mut out),
    );
    assert_eq!((exit, remarks.len()), (Exit::Done, 0));
    let lines: Vec<Value> = head.taken.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The third comes by itself: nothing changed, but its ages did.
    let reach: Vec<&Value> = lines.iter().map(|line| &line["servers"][0]["reach"]).collect();
    assert_eq!(reach, ["up", "down", "down"]);
}

#[tokio::test(start_paused = true)]
async fn watch_ends_well_when_it_is_interrupted() {
    let (handle, _fake) = engine(all_kinds(noon()));
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let mut out = Out::new(&mut results, &mut remarks);
    let request = Request { watch: true, ..ONCE };
    let interrupt = tokio::time::sleep(Duration::from_secs(25));
    let exit = run(handle, &request, &stopped(noon()), Keeping::clone, interrupt, &mut out).await;
    assert_eq!((exit, String::from_utf8(results).unwrap().lines().count()), (Exit::Done, 3));
}
