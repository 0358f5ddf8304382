//! Models on disk: a manifest or a Modelfile may say anything, and no path outside of the blobs comes of it.

use std::fs;
use std::path::Path;

use resident::ollama::store::{Candidates, Store, blob_paths};
use resident::residency::name::ModelName;

use super::safe;

pub fn holds(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().join("manifests/registry.ollama.ai/library/m");
    let blobs = dir.path().join("blobs");
    fs::create_dir_all(&folder).expect("a directory for manifests");
    fs::create_dir(&blobs).expect("a directory for blobs");
    let there = format!("sha256-{}", "ab".repeat(32));
    fs::write(blobs.join(&there), [7; 9]).expect("a blob");
    fs::write(folder.join("latest"), data).expect("a manifest");

    let named = vec![dir.path().to_owned()];
    let store = Store::find(&Candidates { named, ..Candidates::default() }).expect("a store");
    let model = ModelName::parse("m").expect("a name");
    match (store.blobs(&model), store.weights_digest(&model)) {
        (Ok(found), Ok(weights)) => {
            for (at, blob) in found.iter().enumerate() {
                assert!(is_digest(&blob.digest), "{:?}", blob.digest);
                assert!(
                    found[..at].iter().all(|other| other.digest != blob.digest),
                    "twice: {}",
                    blob.digest
                );
                assert!(blob.path.as_ref().is_none_or(|path| path.parent() == Some(&*blobs)));
                assert_eq!(blob.path.is_some(), blob.digest.replace(':', "-") == there);
            }
            let first = found.first().filter(|blob| blob.role == "weights").map(|blob| blob.digest.clone());
            assert_eq!(first, weights, "the weights come first");
        }
        (Err(why), Err(same)) => {
            assert_eq!(why, same);
            safe::assert_safe(&why.to_string());
        }
        (blobs, weights) => panic!("{blobs:?} but {weights:?}"),
    }
    modelfile(&safe::text(data), dir.path());
}

/// What the server says of its paths is a hint where to look, and leads to a store only with that very blob in it.
fn modelfile(text: &str, dir: &Path) {
    let paths = blob_paths(text);
    for (role, path) in &paths {
        assert!(["weights", "projector", "adapter", "draft"].contains(role) && text.contains(path));
    }
    let hints = paths.into_iter().map(|(_, path)| path.to_owned()).collect();
    let named = vec![dir.to_owned()];
    match Store::find(&Candidates { hints, named, ..Candidates::default() }) {
        Ok(store) => assert_eq!(store.dir(), dir),
        Err(why) => safe::assert_safe(&why.to_string()),
    }
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}
