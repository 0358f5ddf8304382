//! One join of what is known into a snapshot, 200 models of which four are loaded: `cargo bench --bench join`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use resident::config::Config;
use resident::engine::answers::Answers;
use resident::ollama::wire;
use resident::residency::bytes::{Bytes, GIB};
use resident::residency::host::{Card, Cards};
use resident::residency::map::Map;
use resident::residency::name::ModelName;
use resident::residency::snapshot::{Blob, Snapshot};
use resident::residency::tier::Cached;
use resident::residency::timing::Moment;
use serde_json::json;

const MODELS: u64 = 200;

#[expect(clippy::disallowed_methods, reason = "a benchmark stands outside; it is its own clock")]
fn now() -> Moment {
    Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() }
}

fn name(i: u64) -> String {
    format!("model-{i:03}:7b")
}

fn size(i: u64) -> u64 {
    4 * GIB + i
}

/// A server's answers about them; every fiftieth is loaded, every tenth shares its weights with the one before.
fn answers(now: Moment) -> Answers {
    let digest = |i: u64| format!("{i:064x}");
    let details = json!({ "format": "gguf", "family": "qwen2", "parameter_size": "7.6B", "quantization_level": "Q4_K_M" });
    let tags: Vec<_> = (0..MODELS)
        .map(|i| json!({ "name": name(i), "model": name(i), "size": size(i), "digest": digest(i), "details": details }))
        .collect();
    let ps: Vec<_> = (0..MODELS)
        .step_by(50)
        .map(|i| {
            json!({
                "name": name(i), "model": name(i), "size": size(i), "size_vram": size(i) / 2, "digest": digest(i),
                "details": details, "context_length": 4096,
                "expires_at": (now.wall + std::time::Duration::from_secs(1000)).to_string(),
            })
        })
        .collect();
    let shown = json!({
        "model_info": {
            "general.architecture": "qwen2", "qwen2.block_count": 28, "qwen2.context_length": 32768,
            "qwen2.embedding_length": 3584, "qwen2.attention.head_count": 28, "qwen2.attention.head_count_kv": 4,
        },
        "capabilities": ["completion"],
    });
    let tags: wire::Tags = serde_json::from_value(json!({ "models": tags })).expect("what a server says");
    let ps: wire::Ps = serde_json::from_value(json!({ "models": ps })).expect("what a server says");
    let shown: wire::Shown = serde_json::from_value(shown).expect("what a server says");
    let mut answers = Answers::new(Arc::new(Config::default()), &tags.models, &ps.models, now);
    for i in 0..MODELS {
        answers.show(&digest(i), &shown);
        let weights = digest(if i % 10 == 9 { i - 1 } else { i });
        let blob = Blob {
            path: Some(format!("/models/blobs/sha256-{weights}").into()),
            digest: format!("sha256:{weights}"),
            role: "weights",
            size: Bytes(size(i)),
            cached: Cached::Exact(Bytes(size(i) / 2)),
            map: Some(Map::of((0..64).map(|cell| (u64::from(cell < 32), 1)))),
        };
        answers.files(ModelName::from_server(&name(i)), vec![blob], now);
    }
    let card =
        Card { name: "RTX 2070".into(), total: Bytes(8 * GIB), free: Bytes(2 * GIB), ..Card::default() };
    answers.cards(Cards::Known(vec![card]), now);
    answers
}

/// The figures mean something only if all of it was joined.
fn check(snapshot: &Snapshot) {
    let models = &snapshot.servers[0].models;
    let count = |is: fn(&&resident::residency::snapshot::Model) -> bool| models.iter().filter(is).count();
    let found = (
        models.len(),
        count(|model| model.loaded.is_some()),
        count(|model| model.forecast.as_ref().is_some_and(|forecast| !forecast.evicts.is_empty())),
        count(|model| !model.shared_with.is_empty()),
    );
    assert_eq!(found, (200, 4, 196, 40), "(models, loaded, with a forecast that evicts, shared)");
}

fn main() {
    let now = now();
    let answers = answers(now);
    check(&answers.join(now));
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("join, 200 models", |bencher| {
        bencher.iter(|| black_box(&answers).join(black_box(now)));
    });
    criterion.final_summary();
}
