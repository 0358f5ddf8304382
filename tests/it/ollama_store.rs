//! The store against trees of files like a real server's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

use resident::ollama::store::{Candidates, Reason, Store, blob_paths, usual_dirs};
use resident::residency::bytes::Bytes;
use resident::residency::name::ModelName;
use resident::residency::snapshot::Blob;
use resident::residency::tier::Cached;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A models directory that is being written.
struct Tree {
    root: TempDir,
}

impl Tree {
    fn new() -> Tree {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("manifests")).unwrap();
        fs::create_dir_all(root.path().join("blobs")).unwrap();
        Tree { root }
    }

    fn dir(&self) -> &Path {
        self.root.path()
    }

    fn manifest(&self, path: &str, text: &[u8]) -> PathBuf {
        let path = self.dir().join("manifests").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn model(&self, path: &str, layers: &Value) -> PathBuf {
        let config = json!({"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest('c'), "size": 9});
        let manifest = json!({"schemaVersion": 2, "mediaType": "m", "config": config, "layers": layers});
        self.manifest(path, manifest.to_string().as_bytes())
    }

    fn blob(&self, of: char, length: usize) -> PathBuf {
        let path = self.dir().join("blobs").join(digest(of).replace(':', "-"));
        fs::write(&path, vec![7; length]).unwrap();
        path
    }

    fn store(&self) -> Store {
        Store::find(&Candidates { named: vec![self.dir().to_owned()], ..Candidates::default() }).unwrap()
    }
}

fn digest(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

fn layer(kind: &str, of: char, size: i64) -> Value {
    json!({"mediaType": format!("application/vnd.ollama.image.{kind}"), "digest": digest(of), "size": size})
}

fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

fn blob(of: char, role: &'static str, size: u64, path: Option<PathBuf>) -> Blob {
    Blob { digest: digest(of), role, size: Bytes(size), path, cached: Cached::Unread, map: None }
}

#[test]
fn a_models_large_files_are_found_once_each_with_the_length_that_the_model_says() {
    let tree = Tree::new();
    let layers = json!([
        layer("template", '1', 5),
        layer("projector", 'b', 3),
        layer("model", 'a', 11),
        layer("adapter", 'd', 2),
        layer("draft", 'e', 4),
        layer("projector", 'b', 3),
        layer("tensor", 'f', -8),
        layer("license", '2', 1),
    ]);
    tree.model("registry.ollama.ai/library/qwen2.5-coder/7b", &layers);
    let (weights, projector) = (tree.blob('a', 12), tree.blob('b', 3));
    assert_eq!(
        tree.store().blobs(&name("qwen2.5-coder:7b")),
        Ok(vec![
            // The file of 12 bytes is not what the manifest says: a reader of it will find out.
            blob('a', "weights", 11, Some(weights)),
            blob('b', "projector", 3, Some(projector)),
            blob('d', "adapter", 2, None),
            blob('e', "draft", 4, None),
            blob('f', "tensor", 0, None),
        ])
    );
}

#[test]
fn of_several_weights_the_last_counts() {
    let tree = Tree::new();
    tree.model(
        "registry.ollama.ai/library/m/latest",
        &json!([layer("model", 'a', 1), layer("model", 'b', 2)]),
    );
    assert_eq!(tree.store().blobs(&name("m")), Ok(vec![blob('b', "weights", 2, None)]));
    assert_eq!(tree.store().weights_digest(&name("m")), Ok(Some(digest('b'))));
}

#[test]
fn two_tags_of_one_file_have_one_digest() {
    let tree = Tree::new();
    for path in ["registry.ollama.ai/library/a/latest", "hf.co/me/X-GGUF/Q4_K_M"] {
        tree.model(path, &json!([layer("model", 'a', 1)]));
    }
    tree.model("registry.ollama.ai/library/cloud/latest", &json!([]));
    let store = tree.store();
    assert_eq!(store.weights_digest(&name("a")), store.weights_digest(&name("hf.co/me/X-GGUF:Q4_K_M")));
    assert_eq!(store.weights_digest(&name("cloud")), Ok(None));
    assert_eq!(store.blobs(&name("cloud")), Ok(vec![]));
}

#[test]
fn a_name_is_looked_up_by_any_case() {
    let tree = Tree::new();
    tree.model("registry.ollama.ai/Library/Qwen/7B", &json!([layer("model", 'a', 1)]));
    assert_eq!(tree.store().weights_digest(&name("qwen:7b")), Ok(Some(digest('a'))));
    assert_eq!(tree.store().weights_digest(&name("qwen:8b")), Err(Reason::NoManifest(name("qwen:8b"))));
    assert_eq!(tree.store().weights_digest(&name("me/qwen:7b")), Err(Reason::NoManifest(name("me/qwen:7b"))));
}

#[test]
fn a_name_that_breaks_the_rules_makes_no_path() {
    let tree = Tree::new();
    let bad = ModelName::from_server("../../../etc/passwd");
    assert_eq!(tree.store().blobs(&bad), Err(Reason::BadName(bad)));
}

#[test]
fn a_broken_manifest_is_a_reason_and_never_a_path_outside() {
    let tree = Tree::new();
    let bad = |text: &[u8]| {
        tree.manifest("registry.ollama.ai/library/m/latest", text);
        matches!(tree.store().blobs(&name("m")), Err(Reason::BadManifest { .. }))
    };
    assert!(bad(b""));
    assert!(bad(b"{"));
    assert!(bad(b"[]x"));
    assert!(bad(&vec![b' '; 5 << 20]));
    assert!(bad("[".repeat(100_000).as_bytes()));
    assert!(bad(br#"{"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:../../x","size":1}]}"#));
    assert!(bad(br#"{"layers":[{"mediaType":"application/vnd.ollama.image.model","size":1}]}"#));
    // What is no large file is none of our business.
    assert!(!bad(br#"{"layers":[{"mediaType":"application/vnd.ollama.image.license","digest":"../x"}]}"#));
    assert!(!bad(br#"{"layers":null}"#));
}

#[test]
fn a_directory_where_a_file_should_be_is_a_reason() {
    let tree = Tree::new();
    fs::create_dir_all(tree.dir().join("manifests/registry.ollama.ai/library/m/latest")).unwrap();
    assert!(matches!(tree.store().blobs(&name("m")), Err(Reason::BadManifest { .. })));
    tree.model("registry.ollama.ai/library/n/latest", &json!([layer("model", 'a', 6)]));
    fs::create_dir_all(tree.dir().join("blobs").join(digest('a').replace(':', "-"))).unwrap();
    assert_eq!(tree.store().blobs(&name("n")), Ok(vec![blob('a', "weights", 6, None)]));
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_manifest_does_not_hang() {
    let tree = Tree::new();
    let path = tree.manifest("registry.ollama.ai/library/m/latest", b"");
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(matches!(tree.store().blobs(&name("m")), Err(Reason::BadManifest { .. })));
}

#[cfg(unix)]
#[test]
fn links_are_followed() {
    let (tree, elsewhere) = (Tree::new(), Tree::new());
    let file = elsewhere.blob('a', 21);
    let link = tree.dir().join("blobs").join(digest('a').replace(':', "-"));
    std::os::unix::fs::symlink(file, &link).unwrap();
    tree.model("registry.ollama.ai/library/m/latest", &json!([layer("model", 'a', 21)]));
    assert_eq!(tree.store().blobs(&name("m")), Ok(vec![blob('a', "weights", 21, Some(link))]));
}

#[test]
fn the_directory_is_found_from_what_the_server_says() {
    let (tree, other) = (Tree::new(), Tree::new());
    let path = tree.blob('a', 1);
    let modelfile = format!("# FROM m:latest\n\nFROM {}\nTEMPLATE x\n", path.display());
    let hints = blob_paths(&modelfile).into_iter().map(|(_, path)| path.to_owned()).collect();
    let candidates = Candidates { hints, named: vec![other.dir().to_owned()], usual: vec![] };
    assert_eq!(Store::find(&candidates).unwrap().dir(), tree.dir());
}

#[test]
fn a_containers_path_is_not_on_this_machine() {
    let (tree, usual) = (Tree::new(), Tree::new());
    let hints = vec![format!("/no/such/models/blobs/{}", digest('a').replace(':', "-"))];
    let mut candidates =
        Candidates { hints, named: vec![tree.dir().to_owned()], usual: vec![usual.dir().to_owned()] };
    // Another server's models lie in a usual place, even the very same blob: they are not this server's.
    usual.blob('a', 1);
    assert_eq!(Store::find(&candidates), Err(Reason::NotHere("/no/such/models".into())));
    // The user named the directory that is mounted into the container: it holds the blob, so it is believed.
    tree.blob('a', 1);
    assert_eq!(Store::find(&candidates).unwrap().dir(), tree.dir());
    candidates.named.clear();
    assert_eq!(Store::find(&candidates), Err(Reason::NotHere("/no/such/models".into())));
}

#[test]
fn the_same_path_with_other_models_is_not_the_servers() {
    let tree = Tree::new();
    let hints = vec![tree.dir().join("blobs").join(digest('a').replace(':', "-")).display().to_string()];
    let candidates = Candidates { hints, ..Candidates::default() };
    assert_eq!(Store::find(&candidates), Err(Reason::NotHere(tree.dir().display().to_string())));
}

#[test]
fn without_a_hint_the_named_place_comes_before_the_usual_ones() {
    let (named, usual) = (Tree::new(), Tree::new());
    let gone = named.dir().join("gone");
    let find = |named: &[&Path], usual: &[&Path]| {
        let paths = |dirs: &[&Path]| dirs.iter().map(|dir| dir.to_path_buf()).collect();
        Store::find(&Candidates { hints: vec!["nonsense".into()], named: paths(named), usual: paths(usual) })
    };
    assert_eq!(find(&[named.dir()], &[usual.dir()]).unwrap().dir(), named.dir());
    assert_eq!(find(&[&gone], &[usual.dir()]).unwrap().dir(), usual.dir());
    assert_eq!(find(&[&gone], &[&gone]), Err(Reason::NotFound));
}

#[test]
fn the_users_own_directory_is_found_under_home() {
    let home = tempfile::tempdir().unwrap();
    for part in ["manifests", "blobs"] {
        fs::create_dir_all(home.path().join(".ollama/models").join(part)).unwrap();
    }
    let usual = usual_dirs(Some(home.path()));
    let store = Store::find(&Candidates { usual, ..Candidates::default() }).unwrap();
    assert_eq!(store.dir(), home.path().join(".ollama/models"));
}

#[cfg(target_os = "linux")]
#[test]
fn what_may_not_be_read_says_so() {
    use std::os::unix::fs::PermissionsExt;

    let tree = Tree::new();
    tree.model("registry.ollama.ai/library/m/latest", &json!([layer("model", 'a', 1)]));
    let store = tree.store();
    let manifests = tree.dir().join("manifests");
    fs::set_permissions(&manifests, fs::Permissions::from_mode(0o000)).unwrap();
    let forbidden = fs::read_dir(&manifests).is_err();
    let answer = store.blobs(&name("m"));
    fs::set_permissions(&manifests, fs::Permissions::from_mode(0o755)).unwrap();
    // Root may read everything; then there is nothing to be seen but the answer itself.
    if forbidden {
        assert!(matches!(answer, Err(Reason::NotReadable { .. })), "{answer:?}");
    } else {
        assert_eq!(answer, Ok(vec![blob('a', "weights", 1, None)]));
    }
}
