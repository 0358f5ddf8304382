//! The demo's files: Ollama's layout, real digests, made once, refused without room, removed without a trace.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use resident::residency::bytes::Bytes;
use resident::residency::name::ModelName;
use resident::sim::catalogue::demo;
use resident::sim::files::{Problem, clean, demo_dir, demo_dirs, plan, prepare, prepare_models};
use serde_json::Value;
use sha2::{Digest, Sha256};

const SCALE: u64 = 1024;

fn sha256(path: &Path) -> String {
    format!("{:x}", Sha256::digest(std::fs::read(path).unwrap()))
}

fn blobs(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir.join("blobs")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn models_lie_as_ollama_lays_them_under_their_real_digests() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("models");
    let mut last = (0, 0);
    let made = prepare(&dir, SCALE, |done, total| {
        assert!(done > last.0 && done <= total, "progress only grows");
        last = (done, total);
    })
    .unwrap();
    assert_eq!((Bytes(last.0), last.0), (made.written, last.1));
    for path in blobs(&dir) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name, format!("sha256-{}", sha256(&path)));
        let metadata = path.metadata().unwrap();
        assert!(metadata.blocks() * 512 >= metadata.len(), "{name} is sparse");
    }
    let manifest = dir.join("manifests/registry.ollama.ai/library/qwen2.5-coder/7b");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.ollama.image.model");
    assert_eq!(manifest["layers"][0]["size"], 4_683_087_296_u64 / SCALE);
    for layer in [&manifest["config"], &manifest["layers"][0], &manifest["layers"][1]] {
        let blob = dir.join("blobs").join(layer["digest"].as_str().unwrap().replace(':', "-"));
        assert_eq!(layer["size"], blob.metadata().unwrap().len());
    }
}

#[test]
fn what_is_there_is_used_again_and_only_what_is_missing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let before = plan(dir, SCALE).unwrap();
    assert_eq!(before.write, before.total);
    let written = prepare(dir, SCALE, |_, _| {}).unwrap().written;
    assert_eq!(written, before.total);
    assert_eq!(prepare(dir, SCALE, |_, _| panic!("nothing is to be made")).unwrap().written, Bytes::ZERO);

    let largest = blobs(dir).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let (size, digest) = (largest.metadata().unwrap().len(), sha256(&largest));
    std::fs::write(&largest, b"cut short").unwrap();
    assert_eq!(plan(dir, SCALE).unwrap().write, Bytes(size));
    assert_eq!(prepare(dir, SCALE, |_, _| {}).unwrap().written, Bytes(size));
    assert_eq!(sha256(&largest), digest, "the same bytes under the same name");
}

#[test]
fn two_tags_of_the_same_weights_share_one_blob() {
    let home = tempfile::tempdir().unwrap();
    let mut models = demo(SCALE);
    models.truncate(1);
    models.push(models[0].alias(ModelName::parse("me/same:tag").unwrap()));
    let made = prepare_models(home.path(), models.clone(), SCALE, |_, _| {}).unwrap();
    assert_eq!(made.written, models[0].weights);
    let large = blobs(home.path()).iter().filter(|path| path.metadata().unwrap().len() > 10_000).count();
    assert_eq!(large, 1);
}

#[test]
fn two_demos_that_start_at_once_make_the_files_once() {
    let home = tempfile::tempdir().unwrap();
    let written = std::thread::scope(|scope| {
        let makers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| prepare(home.path(), SCALE, |_, _| {}).unwrap().written)).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect::<Vec<Bytes>>()
    });
    assert_eq!(written.iter().filter(|bytes| **bytes > Bytes::ZERO).count(), 1, "{written:?}");
}

#[test]
fn a_disk_without_room_is_said_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let mut models = demo(SCALE);
    models[0].weights = Bytes(1 << 60);
    let problem =
        prepare_models(home.path(), models, SCALE, |_, _| panic!("nothing may be written")).unwrap_err();
    let Problem::NoRoom { need, have, .. } = &problem else { panic!("{problem}") };
    assert!(need > have && *need > Bytes(1 << 60));
    assert!(!home.path().join("blobs").exists());
}

#[test]
fn clean_removes_what_the_demo_made_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let dir = demo_dir(home.path(), SCALE);
    assert!(demo_dirs(home.path()).is_empty());
    let made = prepare(&dir, SCALE, |_, _| {}).unwrap();
    assert_eq!(demo_dirs(home.path()), std::slice::from_ref(&dir));
    assert!(matches!(clean(&dir), Err(Problem::InUse(_))), "a demo that runs keeps its files");
    let written = made.written;
    drop(made);
    assert!(clean(&dir).unwrap() >= written);
    assert!(!dir.exists());

    let mine = home.path().join("blobs");
    std::fs::create_dir(&mine).unwrap();
    assert_eq!(clean(home.path()).unwrap(), Bytes::ZERO);
    assert!(mine.exists(), "a directory that no demo made is left alone");
}

#[test]
#[cfg(target_os = "linux")]
fn memory_is_known_to_be_no_disk() {
    let memory = Path::new("/dev/shm");
    if memory.exists() {
        assert!(resident::sim::files::is_tmpfs(&memory.join("not/yet/made")));
    }
    assert!(!resident::sim::files::is_tmpfs(Path::new("/proc")));
}
