//! What a bench prints, in each form.

use super::*;
use crate::residency::bytes::{Bytes, GIB};
use crate::residency::name::ModelName;
use crate::residency::swap::Before;

fn run(kind: Kind, round: u32, ram: u64, took: Result<u64, &str>) -> BenchRun {
    BenchRun {
        model: ModelName::from_server("qwen2.5-coder:7b"),
        kind,
        round,
        before: Some(Before {
            whole: Bytes(4_700_000_000),
            in_vram: false,
            ram: Some(Bytes(ram)),
            estimate: false,
        }),
        mode: LoadMode::Buffered,
        took: took.map(Duration::from_millis).map_err(ToOwned::to_owned),
    }
}

fn setting() -> Setting {
    Setting {
        host: "box".to_owned(),
        cpu: Some("Ryzen 7 5800X".to_owned()),
        threads: 16,
        ram: Some(Bytes(32 * GIB)),
        disk: Some("nvme0n1 (Fast 970)".to_owned()),
        readahead: Some(128),
        cards: vec![("RTX 2070".to_owned(), Bytes(8 * GIB))],
        server: "http://127.0.0.1:11434".to_owned(),
        version: Some("0.32.15".to_owned()),
        demo_scale: None,
    }
}

fn bench(runs: Vec<BenchRun>) -> Bench {
    Bench {
        models: vec![ModelName::from_server("qwen2.5-coder:7b")],
        kinds: Kind::PLAIN.to_vec(),
        rounds: 2,
        state: BenchState::Done,
        doing: None,
        runs,
        left: Vec::new(),
    }
}

fn measured() -> Bench {
    let (cold, whole) = (Kind::Cold(Way::Off), 4_700_000_000);
    bench(vec![
        run(cold, 1, 0, Ok(6400)),
        run(Kind::Warm, 1, whole, Ok(1600)),
        run(Kind::Warm, 2, whole, Ok(1500)),
        run(cold, 2, 3_000_000_000, Err("64 % of it was in RAM, \"held\"")),
        run(cold, 2, 0, Ok(6000)),
    ])
}

#[test]
fn the_markdown_is_ready_to_paste() {
    insta::assert_snapshot!(markdown(&measured(), &setting(), Duration::from_secs(1)), @r"
    | model | size | cold | warm | × | cold GB/s | warm GB/s | load mode |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | qwen2.5-coder:7b | 4.7 GB | 6.20 s (6.00 to 6.40) | 1.55 s (1.50 to 1.60) | 4.0× | 0.76 | 3.03 | buffered |

    - machine: box, Ryzen 7 5800X, 16 threads, 32.0 GiB RAM
    - disk: nvme0n1 (Fast 970), readahead 128 KiB
    - card: RTX 2070, 8.0 GiB
    - server: Ollama 0.32.15
    - models: qwen2.5-coder:7b 4.7 GB
    - runs: 2 of each, interleaved, 1 s pause before each; median (least to most); thrown away: 1
    ");
}

#[test]
fn the_table_begins_with_what_it_was_measured_on() {
    insta::assert_snapshot!(table(&measured(), &setting(), Duration::from_millis(500)), @r"
    machine  box, Ryzen 7 5800X, 16 threads, 32.0 GiB RAM
    disk     nvme0n1 (Fast 970), readahead 128 KiB
    card     RTX 2070, 8.0 GiB
    server   Ollama 0.32.15
    models   qwen2.5-coder:7b 4.7 GB
    runs     2 of each, interleaved, 0.5 s pause before each; median (least to most); thrown away: 1

    model               size                   cold                   warm     ×  cold GB/s  warm GB/s  load mode
    qwen2.5-coder:7b  4.7 GB  6.20 s (6.00 to 6.40)  1.55 s (1.50 to 1.60)  4.0×       0.76       3.03   buffered
    ");
}

#[test]
fn each_run_is_one_csv_line_and_what_was_thrown_away_says_why() {
    insta::assert_snapshot!(csv(&measured(), &setting()), @r#"
    model,kind,round,valid,load_seconds,gb_per_second,size_bytes,ram_bytes_before,load_mode,reason,host,cpu,ram_bytes,disk,readahead_kib,card,version,demo_scale
    qwen2.5-coder:7b,cold,1,true,6.4000,0.734,4700000000,0,buffered,,box,Ryzen 7 5800X,34359738368,nvme0n1 (Fast 970),128,RTX 2070,0.32.15,
    qwen2.5-coder:7b,warm,1,true,1.6000,2.938,4700000000,4700000000,buffered,,box,Ryzen 7 5800X,34359738368,nvme0n1 (Fast 970),128,RTX 2070,0.32.15,
    qwen2.5-coder:7b,warm,2,true,1.5000,3.133,4700000000,4700000000,buffered,,box,Ryzen 7 5800X,34359738368,nvme0n1 (Fast 970),128,RTX 2070,0.32.15,
    qwen2.5-coder:7b,cold,2,false,,,4700000000,3000000000,buffered,"64 % of it was in RAM, ""held""",box,Ryzen 7 5800X,34359738368,nvme0n1 (Fast 970),128,RTX 2070,0.32.15,
    qwen2.5-coder:7b,cold,2,true,6.0000,0.783,4700000000,0,buffered,,box,Ryzen 7 5800X,34359738368,nvme0n1 (Fast 970),128,RTX 2070,0.32.15,
    "#);
}

#[test]
fn without_a_valid_pair_nothing_is_claimed() {
    let alone = bench(vec![
        run(Kind::Cold(Way::Off), 1, 0, Ok(6400)),
        run(Kind::Warm, 1, 0, Err("0 % of it was in RAM")),
    ]);
    for text in [
        table(&alone, &setting(), Duration::ZERO),
        markdown(&alone, &setting(), Duration::ZERO),
        table(&bench(Vec::new()), &setting(), Duration::ZERO),
    ] {
        assert!(text.contains(NO_TWO_LOADS), "{text}");
    }
    assert_eq!(json(&alone, &setting())["models"][0]["cold_over_warm"], Value::Null);
}

#[test]
fn a_script_gets_every_run_and_the_medians() {
    let said = json(&measured(), &setting());
    let model = &said["models"][0];
    assert_eq!(model["kinds"]["cold"]["median_seconds"], json!(6.2));
    assert_eq!(model["kinds"]["warm"]["runs"], json!(2));
    assert_eq!(model["cold_over_warm"], json!(4.0));
    assert_eq!(said["runs"][3]["load_seconds"], Value::Null);
    assert_eq!(said["runs"][3]["thrown_away"], json!("64 % of it was in RAM, \"held\""));
}
