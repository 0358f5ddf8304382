//! The tuning in words and as JSON, from generated uses and from a journal.

use std::time::Duration;

use clap::Parser as _;
use serde_json::json as object;

use super::*;
use crate::residency::bytes::Bytes;
use crate::residency::tune::trace::Use;

const SERVER: &str = "http://127.0.0.1:11434";

fn at(minutes: i64) -> Timestamp {
    "2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_mins(minutes)
}

/// Used so many times, each so many minutes after the one before; then nothing for an hour.
fn every(minutes: i64, times: i64) -> Tuning {
    let idle = |n| (n > 0).then(|| Duration::from_secs(60 * u64::try_from(minutes).unwrap()));
    let trace = Trace {
        model: ModelName::parse("qwen2.5-coder:7b").unwrap(),
        size: Some(Bytes(4 << 30)),
        uses: (0..times).map(|n| Use { at: at(n * minutes), idle: idle(n) }).collect(),
        until: at((times - 1) * minutes + 60),
    };
    Tuning::of(&trace, Rule::default())
}

#[test]
fn the_sheet_shows_how_long_it_is_idle_what_each_policy_costs_and_what_follows() {
    insta::assert_snapshot!(sheet(&[every(12, 41)], false), @r#"
    qwen2.5-coder:7b   4.3 GB   41 uses in 9 h
        under 1m      0
        1m to 2m      0
        2m to 5m      0
       5m to 10m      0
      10m to 20m     40  ████████████████████████████████████████
      20m to 40m      0
       40m to 1h      0
        1h to 2h      0
        2h to 4h      0
         over 4h      0

      POLICY             COLD STARTS  GIB·H  FOR NOTHING
      fixed 5m              41 of 41   13.7         13.7
      fixed 1h               1 of 41   36.0          4.0
      fixed 15m              1 of 41   33.0          1.0
      auto                  21 of 41   23.7          7.7
      auto, loads ahead     21 of 41    8.6          7.0
      best possible          1 of 41   32.0          0.0

      keep_alive 15m would have kept 100 % of its returns within 1h in VRAM, 100 % of all, at 33.0 GiB·h; it hardly ever comes back before 12m
    "#);
}

#[test]
fn too_few_uses_give_no_keep_alive() {
    insta::assert_snapshot!(sheet(&[every(12, 5), every(1, 1)], true), @r#"
    qwen2.5-coder:7b   4.3 GB   5 uses in 1 h
        under 1m      0
        1m to 2m      0
        2m to 5m      0
       5m to 10m      0
      10m to 20m      4  ########################################
      20m to 40m      0
       40m to 1h      0
        1h to 2h      0
        2h to 4h      0
         over 4h      0

      POLICY             COLD STARTS  GIB*H  FOR NOTHING
      fixed 5m                5 of 5    1.7          1.7
      fixed 1h                1 of 5    7.2          4.0
      auto                    5 of 5    1.7          1.7
      auto, loads ahead       5 of 5    1.7          1.7
      best possible           1 of 5    3.2          0.0

      too few to say: 4 of at least 20 idle times are known; the server's own keep_alive applies

    qwen2.5-coder:7b   4.3 GB   1 use in 1 h
      too few to say: 0 of at least 20 idle times are known; the server's own keep_alive applies
    "#);
}

#[test]
fn where_nothing_is_recorded_that_is_said() {
    let models = [ModelName::parse("a").unwrap(), ModelName::parse("b:1b").unwrap()];
    assert_eq!(
        nothing(SERVER, &models),
        "no uses of a, b:1b recorded of http://127.0.0.1:11434 yet: a running dashboard writes them down"
    );
}

#[test]
fn scripts_get_seconds_and_null_where_nothing_follows() {
    let said = json(SERVER, Rule::default(), &[every(12, 41), every(12, 5)]);
    assert_eq!((&said["schema_version"], &said["percent"]), (&object!(1), &object!(95)));
    let [known, few] = [&said["models"][0], &said["models"][1]];
    let facts = |one: &serde_json::Value| {
        ["model", "size_bytes", "uses", "returns", "verdict", "keep_alive_seconds"]
            .map(|key| one[key].clone())
    };
    let name = object!("qwen2.5-coder:7b");
    let size = object!(4_u64 << 30);
    let wanted = [name.clone(), size.clone(), object!(41), object!(40), object!("keep"), object!(900.0)];
    assert_eq!(facts(known), wanted);
    let wanted = [name, size, object!(5), object!(4), object!("too_few"), object!(null)];
    assert_eq!(facts(few), wanted);
    let counts = known["histogram"].as_array().unwrap().iter().map(|line| line["count"].as_u64().unwrap());
    assert_eq!(counts.collect::<Vec<_>>(), [0, 0, 0, 0, 40, 0, 0, 0, 0, 0]);
    // 40 times 12 minutes kept, and the last 15 minutes for nothing, in 4 GiB.
    assert_eq!(
        known["policies"][2],
        object!({
            "policy": "fixed 15m", "keep_alive_seconds": 900.0, "uses": 41, "cold_starts": 1,
            "held_seconds": 29_700.0, "wasted_seconds": 900.0, "held_gib_hours": 33.0,
        })
    );
}

#[tokio::test]
async fn generated_uses_need_no_journal_and_a_journal_that_is_none_is_said() {
    let of = |words: &[&str]| {
        let cli = Cli::parse_from(["resident", "tune"].iter().chain(words));
        let Some(crate::cli::Sub::Tune(asked)) = cli.command else { panic!("{words:?}") };
        (asked, cli.flags)
    };
    let folder = tempfile::tempdir().unwrap();
    let printed = async |words: &[&str], path: &Path| {
        let (asked, flags) = of(words);
        let place = Place { path, server: SERVER, rule: Rule::default(), now: at(0) };
        let (mut results, mut remarks) = (Vec::new(), Vec::new());
        let exit = run(&asked, &flags, place, &mut Out::new(&mut results, &mut remarks)).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exit, text(results), text(remarks))
    };
    let nowhere = folder.path().join("journal.sqlite");
    let (exit, text, remarks) = printed(&["--generate", "mix", "medium:7b"], &nowhere).await;
    assert_eq!((exit, remarks.as_str()), (Exit::Done, ""));
    assert!(text.starts_with("medium:7b   4.7 GB   ") && !text.contains("small:3b"), "{text}");
    let (exit, text, _) = printed(&[], &nowhere).await;
    assert_eq!((exit, text.lines().count()), (Exit::Done, 1));
    assert!(text.starts_with("no uses recorded"), "{text}");
    assert!(!nowhere.exists(), "asking makes no file");
    std::fs::write(&nowhere, "this is no journal, and is long enough for SQLite to look at its head")
        .unwrap();
    let (exit, text, remarks) = printed(&[], &nowhere).await;
    assert_eq!((exit, text.as_str()), (Exit::Failed, ""));
    assert!(remarks.contains("cannot be read"), "{remarks}");
}
