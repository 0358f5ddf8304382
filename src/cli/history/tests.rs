//! The history in words: the table with its folded lines, JSON, CSV and the sum of a day.

use jiff::civil::date;

use super::*;
use crate::residency::bytes::Bytes;
use crate::residency::host::LoadMode;
use crate::residency::record::{Day, Happened, Left, PhaseRecord, Record, SwapRecord};
use crate::residency::swap::{Before, Ended, Stage, Stages, Way};

const SERVER: &str = "http://127.0.0.1:11434";

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn model(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

fn swap(text: &str, millis: u64) -> SwapRecord {
    SwapRecord {
        model: model(text),
        ours: true,
        displaced: Some(Vec::new()),
        before: Before { whole: Bytes(1000), in_vram: false, ram: Some(Bytes(990)), estimate: false },
        way: Way::Off,
        mode: LoadMode::Mmap,
        num_ctx: Some(4096),
        stages: Stages { total: Some(Duration::from_millis(millis)), ..Stages::default() },
        ended: Ended::Ready,
    }
}

fn record(seconds_ago: i64, what: Happened) -> Record {
    let at = now() - jiff::SignedDuration::from_secs(seconds_ago);
    Record { at, server: SERVER.to_owned(), what }
}

fn table_of(records: &[Record], columns: Option<usize>) -> String {
    table(records, now(), &TimeZone::UTC, columns)
}

fn some() -> Vec<Record> {
    let exact = SwapRecord {
        displaced: Some(vec![model("deepseek-r1:14b")]),
        before: Before { ram: Some(Bytes(0)), ..swap("qwen", 0).before },
        way: Way::Beside,
        stages: Stages {
            unload: Some(Duration::from_millis(90)),
            load: Some(Duration::from_secs(4)),
            total: Some(Duration::from_millis(4120)),
            ..Stages::default()
        },
        ..swap("qwen2.5-coder:7b", 0)
    };
    let seen = SwapRecord {
        ours: false,
        before: Before { ram: Some(Bytes(400)), estimate: true, ..swap("a", 0).before },
        ..swap("openthinker3-7b", 12_300)
    };
    let unknown = SwapRecord {
        ours: false,
        displaced: None,
        before: Before::default(),
        stages: Stages::default(),
        ..swap("a", 0)
    };
    let failed = SwapRecord {
        ended: Ended::Failed { stage: Stage::Load, why: "no room, \"sorry\"".to_owned() },
        stages: Stages::default(),
        ..swap("deepseek-r1:14b", 0)
    };
    vec![
        record(0, Happened::Swap(exact)),
        record(60, Happened::Swap(seen)),
        record(3600 * 24, Happened::Swap(failed)),
        record(3600 * 24 * 400, Happened::Swap(unknown)),
    ]
}

#[test]
fn each_swap_is_a_line_and_what_was_only_watched_is_marked() {
    insta::assert_snapshot!(table_of(&some(), None), @r#"
    WHEN                 TOOK    RAM  MODEL             WHAT
    12:00:00           4.12 s    0 %  qwen2.5-coder:7b  in place of deepseek-r1:14b, read beside, unload 0.09 s, load 4.00 s
    11:59:00          ~12.3 s  ~40 %  openthinker3-7b
    11-23 12:00                 99 %  deepseek-r1:14b   load failed: no room, "sorry"
    2025-10-20 12:00        ?      ?  a                 in place of ?
    "#);
}

#[test]
fn a_narrow_terminal_cuts_the_end_of_each_line_with_a_mark() {
    let text = table_of(&some(), Some(40));
    assert!(text.lines().all(|line| crate::tui::format::columns(line) <= 40), "{text}");
    assert!(text.contains('…'));
}

#[test]
fn swaps_to_and_fro_are_one_line_with_their_median() {
    let mut records: Vec<Record> = (0..14)
        .map(|n| {
            let name = if n % 2 == 0 { "openthinker3-7b" } else { "qwen2.5-coder:7b" };
            let swap = swap(name, 800 + u64::try_from(n).unwrap() * 10);
            record(n * 60, Happened::Swap(SwapRecord { ours: n != 3, ..swap }))
        })
        .collect();
    records.push(record(3000, Happened::Swap(swap("deepseek-r1:14b", 1000))));
    insta::assert_snapshot!(table_of(&records, None), @"
    WHEN         TOOK   RAM  MODEL                                   WHAT
    12:00:00  ~0.86 s        qwen2.5-coder:7b ⇄ openthinker3-7b ×14  since 11:47:00, the median
    11:10:00   1.00 s  99 %  deepseek-r1:14b
    ");
}

#[test]
fn departures_uses_and_phases_have_their_words() {
    let phase = |phase: &str, next| PhaseRecord {
        run: "run 7".to_owned(),
        phase: phase.to_owned(),
        model: Some(model("qwen2.5-coder:7b")),
        next,
        swap: Duration::from_millis(620),
    };
    let left = |how| Happened::Left { model: model("a"), how };
    let happened = [
        Happened::Phase(phase("coding", Some(model("openthinker3-7b")))),
        Happened::Phase(phase("", None)),
        left(Left::Unloaded),
        left(Left::Evicted { by: Some(model("b")) }),
        left(Left::Evicted { by: None }),
        left(Left::Expired),
        left(Left::Died),
        left(Left::Unknown),
        Happened::Used { model: model("a"), idle: Some(Duration::from_secs(300)) },
        Happened::Used { model: model("a"), idle: None },
    ];
    let records: Vec<Record> = (0..).step_by(60).zip(happened).map(|(ago, what)| record(ago, what)).collect();
    insta::assert_snapshot!(table_of(&records, None), @r"
    WHEN        TOOK  RAM  MODEL             WHAT
    12:00:00  0.62 s       qwen2.5-coder:7b  phase coding of run 7, then openthinker3-7b
    11:59:00  0.62 s       qwen2.5-coder:7b  end of run 7
    11:58:00               a                 unloaded
    11:57:00               a                 evicted for b
    11:56:00               a                 evicted
    11:55:00               a                 expired
    11:54:00               a                 its runner died
    11:53:00               a                 left, nobody knows why
    11:52:00               a                 used after 5:00
    11:51:00               a                 used
    ");
}

#[test]
fn where_there_is_nothing_it_is_said_of_what() {
    let all =
        Asked { models: Vec::new(), since: None, limit: None, kind: Kind::Swaps, today: false, csv: false };
    let said = |asked: Asked| asked.nothing(SERVER);
    assert_eq!(said(all.clone()), "no swaps recorded of http://127.0.0.1:11434 yet");
    let of_one = Asked { models: vec![model("a")], kind: Kind::Phases, ..all.clone() };
    assert_eq!(said(of_one), "no phases of a recorded of http://127.0.0.1:11434 yet");
    let lately = Asked { since: Some(Since::Ago(Duration::ZERO)), ..all };
    assert_eq!(said(lately), "no swaps recorded of http://127.0.0.1:11434 since then");
}

#[test]
fn a_day_is_one_line() {
    let day = Day {
        swaps: 143,
        not_timed: 0,
        waited: Duration::from_secs(130),
        cold: Some(Duration::from_secs(830)),
        median: Some(Duration::from_millis(900)),
    };
    assert_eq!(day_line(&day), "today 143 swaps   waited 2:10   (cold would be ~13:50)   median 0.90 s");
    assert_eq!(day_line(&Day { cold: None, swaps: 1, ..day }), "today 1 swap   waited 2:10   median 0.90 s");
    assert_eq!(day_line(&Day::default()), "today 0 swaps");
    let some = Day { not_timed: 3, cold: None, ..day };
    assert_eq!(day_line(&some), "today 143 swaps (3 not timed)   waited 2:10   median 0.90 s");
    assert_eq!(
        day_json(SERVER, &Day { cold: None, ..day }),
        serde_json::json!({
            "schema_version": 1, "server": SERVER, "swaps": 143, "not_timed": 0, "waited_seconds": 130.0, "cold_seconds": null,
            "median_seconds": 0.9,
        })
    );
    let lines = "swaps,not_timed,waited_seconds,cold_seconds,median_seconds\n143,0,130.0,830.0,0.9\n";
    assert_eq!(day_csv(&day), lines);
}

#[test]
fn json_and_csv_name_all_alike() {
    let records = some();
    let document = json(SERVER, &records);
    assert_eq!(document["schema_version"], 1);
    let first = &document["records"][0];
    assert_eq!(first["kind"], "swap");
    assert_eq!(first["total_seconds"], 4.12);
    assert_eq!(first["displaced"], serde_json::json!(["deepseek-r1:14b"]));
    let displaced: Vec<_> = records.iter().zip(document["records"].as_array().unwrap()).collect();
    let unknown = |record: &Record| matches!(&record.what, Happened::Swap(swap) if swap.displaced.is_none());
    let told = displaced.iter().find(|(record, _)| unknown(record)).unwrap().1;
    assert_eq!(told.get("displaced"), Some(&serde_json::Value::Null));
    assert_eq!((&first["cold"], &first["ours"]), (&true.into(), &true.into()));
    let text = csv(&records);
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
    let cells: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(heads.len(), cells.len());
    for (head, cell) in heads.iter().zip(&cells) {
        let value = &first[*head];
        let said = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        assert!(
            value.is_null() && cell.is_empty() || value.is_array() || said == *cell,
            "{head}: {said} {cell}"
        );
    }
    // What would break the line is quoted.
    assert!(text.contains(",\"no room, \"\"sorry\"\"\","), "{text}");
}

#[test]
fn a_hostile_name_reaches_no_terminal() {
    let evil = SwapRecord { model: ModelName::from_server("a\u{1b}[2J\n,b"), ..swap("a", 1) };
    let records = [record(0, Happened::Swap(evil))];
    for text in [table_of(&records, None), csv(&records)] {
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(text.trim_end().lines().count(), 2, "{text:?}");
    }
}

#[test]
fn since_is_a_time_ago_or_a_time_of_the_clock() {
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let at = |text: &str| since(text).unwrap().timestamp(now(), &zone).to_string();
    assert_eq!(at("2h"), "2026-11-24T10:00:00Z");
    assert_eq!(at("7d"), "2026-11-17T12:00:00Z");
    assert_eq!(at("2026-11-24"), "2026-11-23T23:00:00Z");
    assert_eq!(at("2026-11-24T15:30"), "2026-11-24T14:30:00Z");
    assert_eq!(since("2026-11-24"), Ok(Since::At(date(2026, 11, 24).at(0, 0, 0, 0))));
    assert!(since("yesterday").is_err() && since("").is_err());
}

#[tokio::test]
async fn without_a_journal_there_is_nothing_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resident").join("journal.sqlite");
    let zone = TimeZone::UTC;
    let place = Place { path: &path, server: SERVER, now: now(), zone: &zone, columns: None };
    for (today, json) in [(false, false), (true, false), (false, true), (true, true)] {
        let asked =
            Asked { models: Vec::new(), since: None, limit: None, kind: Kind::All, today, csv: false };
        let flags = Flags { json, ..Flags::default() };
        let (mut results, mut remarks) = (Vec::new(), Vec::new());
        let exit = run(&asked, &flags, place, &mut Out::new(&mut results, &mut remarks)).await;
        assert_eq!((exit, remarks.as_slice()), (Exit::Done, b"".as_slice()));
        assert!(!results.is_empty());
        assert!(!path.parent().unwrap().exists());
    }
}
