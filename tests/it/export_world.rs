//! What the tests of `export` look at: a snapshot in which everything is known, a journal in which everything
//! happened, and lookers at them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use resident::cli::export::exposition::{Exposition, Form};
use resident::cli::export::look::{Counted, Looker};
use resident::engine::{Command, Handle};
use resident::journal::Journal;
use resident::residency::budget::Limits;
use resident::residency::bytes::Bytes;
use resident::residency::expiry::Expiry;
use resident::residency::finding::{Finding, Kind, Severity};
use resident::residency::guard::{Keeper, Keeping};
use resident::residency::host::{Card, Cards, LoadMode};
use resident::residency::predict::Prediction;
use resident::residency::record::{Foreseen, Happened, Left, PhaseRecord, Record, SwapRecord};
use resident::residency::snapshot::{Details, Model, Snapshot, State};
use resident::residency::swap::{Before, Ended, Stage, Stages, Way};
use resident::residency::timing::{Clock, Moment};
use tokio_util::sync::CancellationToken;

use crate::cli_fake::{engine, in_vram, name, on_disk, snapshot, stopped};

pub const SERVER: &str = "http://127.0.0.1:11434";

/// A snapshot of which nothing is unknown.
pub fn all_known(at: Moment) -> Snapshot {
    let details = Details {
        family: "qwen2".into(),
        format: "gguf".into(),
        parameters: "7.6B".into(),
        quantisation: "Q4_K_M".into(),
        ..Details::default()
    };
    let mut coder =
        in_vram("qwen2.5-coder:7b", 4_700_000_000, Expiry::At(at.wall + Duration::from_secs(240)));
    (coder.details, coder.state, coder.listed) = (details, State::Busy, Some(0));
    let mut near = on_disk("deepseek-r1:14b", 9_000_000_000, 6_000_000_000);
    near.to_vram = Some(Prediction { took: Duration::from_millis(2500), error: Some(0.1) });
    let mut all = snapshot(at, vec![coder, near]);
    all.host.cards.as_mut().unwrap().value = Cards::Known(vec![Card {
        name: "RTX 2070".into(),
        total: Bytes(8_000),
        used: Bytes(5_000),
        free: Bytes(3_000),
        utilisation: Some(37),
        temperature: Some(61),
        power: Some(142.5),
        receive_rate: Some(Bytes(1_000_000)),
        ..Card::default()
    }]);
    all.servers[0].findings = Some(Arc::from([Finding {
        kind: Kind::Ghost,
        model: Some(name("deepseek-r1:14b")),
        severity: Severity::Broken,
        since: None,
        evidence: "its runner is dead".into(),
        advice: "restart the server".into(),
    }]));
    all
}

pub fn swap(text: &str, millis: u64) -> SwapRecord {
    SwapRecord {
        model: name(text),
        ours: true,
        displaced: Some(Vec::new()),
        before: Before { whole: Bytes(1000), in_vram: false, ram: Some(Bytes(0)), estimate: false },
        way: Way::Beside,
        mode: LoadMode::Mmap,
        num_ctx: None,
        stages: Stages {
            total: Some(Duration::from_millis(millis)),
            read: Some(Bytes(900)),
            ..Stages::default()
        },
        ended: Ended::Ready,
    }
}

/// One of everything that a journal counts.
pub fn one_of_each() -> Vec<Happened> {
    let failed = Ended::Failed { stage: Stage::Load, why: "no memory".into() };
    let (a, b) = (name("qwen2.5-coder:7b"), name("deepseek-r1:14b"));
    vec![
        Happened::Swap(swap("qwen2.5-coder:7b", 9_500)),
        Happened::Swap(SwapRecord { ours: false, ..swap("deepseek-r1:14b", 1_200) }),
        Happened::Swap(SwapRecord { ended: failed, ..swap("deepseek-r1:14b", 3_000) }),
        Happened::Left { model: a.clone(), how: Left::Evicted { by: Some(b) } },
        Happened::Used { model: a.clone(), idle: None },
        Happened::Phase(PhaseRecord {
            run: "7".into(),
            phase: "planning".into(),
            model: Some(a.clone()),
            next: None,
            swap: Duration::from_millis(1500),
        }),
        Happened::Foreseen(Foreseen {
            model: a,
            num_ctx: None,
            right: Some(true),
            said: None,
            took: Bytes(1),
            size: Bytes(1),
        }),
    ]
}

/// Writes into a journal what happened, one each hour, the last one an hour before `now`.
pub async fn write(path: &Path, happened: Vec<Happened>, now: Moment) {
    let journal = Journal::open(path, stopped(now), &CancellationToken::new()).unwrap();
    let count = u64::try_from(happened.len()).unwrap();
    let records = happened.into_iter().zip(0..).map(|(what, number)| Record {
        at: now.wall - Duration::from_secs(3600 * (count - number)),
        server: SERVER.to_owned(),
        what,
    });
    journal.record(records.collect()).unwrap();
    journal.close().await;
}

pub fn looker(handle: Handle, clock: Clock, journal: Option<PathBuf>) -> Looker {
    Looker {
        handle,
        clock,
        server: SERVER.to_owned(),
        limits: Limits::Auto,
        journal,
        keeping: Box::new(|own| Keeping { keeper: Some(Keeper::Other(4242)), ..own.clone() }),
        counted: tokio::sync::Mutex::new(Counted::default()),
    }
}

/// One look at a snapshot and a journal.
pub async fn look(first: Snapshot, journal: Option<PathBuf>) -> Exposition {
    let at = first.at;
    let (handle, mut fake) = engine(first);
    let all = looker(handle, stopped(at), journal).look().await;
    while let Some(command) = fake.commands.recv().await {
        assert_eq!(command, Command::Recall, "it only looks, at the past too");
    }
    all
}

/// Everything that is ever exported, in this form.
pub async fn everything(at: Moment, form: Form) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    write(&path, one_of_each(), at).await;
    look(all_known(at), Some(path)).await.text(form).unwrap()
}

pub fn with_models(at: Moment, models: Vec<Model>) -> Snapshot {
    Snapshot { servers: snapshot(at, models).servers, ..all_known(at) }
}
