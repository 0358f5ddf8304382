//! The models on disk, read-only: model → manifest → blobs, as the server lays them out (docs: `manifests/HOST/NS/MODEL/TAG`).

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Blob;
use crate::residency::tier::Cached;

/// A manifest is a few kB; more is none.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// An MLX model has some thousand tensors.
const MOST_LAYERS: usize = 20_000;

/// Where Linux packages put the models when nobody said otherwise (install.sh, Docker, distributions).
const USUAL: [&str; 4] = [
    "/usr/share/ollama/.ollama/models",
    "/var/lib/ollama/.ollama/models",
    "/var/lib/ollama/models",
    "/root/.ollama/models",
];

/// Where the models directory may be, surest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Named by the user: `ollama.models_dir` or `OLLAMA_MODELS`.
    pub named: Option<PathBuf>,
    /// Blob paths that the server itself betrays: a runner's argv, `/api/show`.
    pub blobs: Vec<PathBuf>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
}

/// Why a model's files are unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No directory is one.
    #[error("its files are not on this machine (looked in {0})")]
    NoDirectory(String),
    /// The server names a path that does not exist here: a container's, or another machine's.
    #[error("not on this machine: the server reads {0}, which does not exist here (a container?)")]
    Elsewhere(String),
    /// It is there, but not for us.
    #[error("no permission to read {0}; join the group that owns it, or run as that user")]
    Forbidden(String),
    /// No manifest of that name.
    #[error("no manifest of it in {0}")]
    NoManifest(String),
    /// The manifest breaks the rules.
    #[error("its manifest {0} cannot be used: {1}")]
    BadManifest(String, String),
}

/// One models directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    dir: PathBuf,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    size: i64,
}

impl Store {
    /// The first candidate that holds manifests.
    pub fn find(candidates: &Candidates) -> Result<Store, Unknown> {
        let betrayed =
            candidates.blobs.iter().filter_map(|blob| Some(blob.parent()?.parent()?.to_path_buf()));
        let home = candidates.home.iter().map(|home| home.join(".ollama/models"));
        let mut looked = Vec::new();
        let mut forbidden = None;
        for dir in
            candidates.named.iter().cloned().chain(betrayed).chain(home).chain(USUAL.map(PathBuf::from))
        {
            if looked.contains(&dir) {
                continue;
            }
            match fs::read_dir(dir.join("manifests")) {
                Ok(_) => return Ok(Store { dir }),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    forbidden.get_or_insert_with(|| Unknown::Forbidden(dir.display().to_string()));
                }
                Err(_) => {}
            }
            looked.push(dir);
        }
        // What the server itself names, and is not here, explains more than a list of guesses.
        if let Some(blob) = candidates.blobs.first()
            && forbidden.is_none()
        {
            return Err(Unknown::Elsewhere(blob.display().to_string()));
        }
        let list: Vec<String> = looked.iter().map(|dir| dir.display().to_string()).collect();
        Err(forbidden.unwrap_or_else(|| Unknown::NoDirectory(list.join(", "))))
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files of a model that count for residency, each digest once.
    pub fn blobs(&self, name: &ModelName) -> Result<Vec<Blob>, Unknown> {
        let missing = || Unknown::NoManifest(self.dir.display().to_string());
        let parts = name.parts().ok_or_else(missing)?;
        let mut path = self.dir.join("manifests");
        for part in [parts.host, parts.namespace, parts.model, parts.tag] {
            path = in_any_case(&path, part).ok_or_else(missing)?;
        }
        let bad = |why: String| Unknown::BadManifest(path.display().to_string(), why);
        let manifest: Manifest = serde_json::from_slice(&read_bounded(&path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                Unknown::Forbidden(path.display().to_string())
            } else {
                bad(error.to_string())
            }
        })?)
        .map_err(|error| bad(error.to_string()))?;
        if manifest.layers.len() > MOST_LAYERS {
            return Err(bad(format!("it has {} layers", manifest.layers.len())));
        }
        let mut seen = HashSet::new();
        let mut blobs: Vec<Blob> = Vec::new();
        for layer in manifest.layers {
            let Some(role) = role(&layer.media_type) else { continue };
            if !is_digest(&layer.digest) {
                return Err(bad("a layer's digest is no sha256".to_owned()));
            }
            if seen.insert(layer.digest.clone()) {
                blobs.push(self.blob(layer, role));
            }
        }
        // Of several weights the server takes the last (images.go:716-787).
        if let Some(last) = blobs.iter().rposition(|blob| blob.role == "weights") {
            let mut at = 0;
            blobs.retain(|blob| {
                at += 1;
                blob.role != "weights" || at - 1 == last
            });
        }
        Ok(blobs)
    }

    fn blob(&self, layer: Layer, role: &'static str) -> Blob {
        let path = self.dir.join("blobs").join(layer.digest.replace(':', "-"));
        let file = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
        Blob {
            role,
            size: Bytes(
                file.as_ref().map_or_else(|| u64::try_from(layer.size).unwrap_or(0), fs::Metadata::len),
            ),
            path: file.map(|_| path),
            cached: Cached::Unread,
            digest: layer.digest,
        }
    }
}

/// What a layer is for; `None` for the small ones (template, licence, parameters).
fn role(media_type: &str) -> Option<&'static str> {
    Some(match media_type.strip_prefix("application/vnd.ollama.image.")? {
        "model" => "weights",
        "projector" => "projector",
        "adapter" => "adapter",
        "draft" => "draft",
        "tensor" => "tensor",
        _ => return None,
    })
}

/// `sha256:` and 64 hex digits: no other text becomes a file name.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The entry of `dir` that is `part`, in whatever case it was written, as the server looks it up.
fn in_any_case(dir: &Path, part: &str) -> Option<PathBuf> {
    let exact = dir.join(part);
    if exact.exists() {
        return Some(exact);
    }
    fs::read_dir(dir)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_str().is_some_and(|name| name.eq_ignore_ascii_case(part)))
        .map(|entry| entry.path())
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MANIFEST_LIMIT {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// The weights' path in a modelfile: the first `FROM` that is not commented out and is a path. Paths are unquoted
/// and may hold spaces: the rest of the line.
pub fn modelfile_weights(modelfile: &str) -> Option<PathBuf> {
    modelfile
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("FROM "))
        .map(|rest| Path::new(rest.trim()))
        .find(|path| path.is_absolute())
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    /// A models directory with one model `Qwen:7b` and the given layers.
    fn tree(layers: &[(&str, String, i64)]) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = dir.path().join("manifests/registry.ollama.ai/library/Qwen/7b");
        fs::create_dir_all(manifest.parent().unwrap()).unwrap();
        fs::create_dir_all(dir.path().join("blobs")).unwrap();
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, digest, size)| {
                let kind = format!("application/vnd.ollama.image.{kind}");
                serde_json::json!({ "mediaType": kind, "digest": digest, "size": size })
            })
            .collect();
        fs::write(manifest, serde_json::json!({ "schemaVersion": 2, "layers": layers }).to_string()).unwrap();
        let store =
            Store::find(&Candidates { named: Some(dir.path().into()), ..Candidates::default() }).unwrap();
        (dir, store)
    }

    #[test]
    fn files_are_found_in_any_case_and_each_digest_once() {
        let (dir, store) = tree(&[
            ("model", digest('a'), 10),
            ("projector", digest('b'), 5),
            ("projector", digest('b'), 5),
            ("license", digest('c'), 5),
        ]);
        fs::write(dir.path().join("blobs").join(digest('a').replace(':', "-")), [0; 12]).unwrap();
        let blobs = store.blobs(&ModelName::parse("qwen:7B").unwrap()).unwrap();
        let got: Vec<_> = blobs.iter().map(|blob| (blob.role, blob.size, blob.path.is_some())).collect();
        assert_eq!(got, [("weights", Bytes(12), true), ("projector", Bytes(5), false)]);
    }

    #[test]
    fn no_digest_leads_out_of_the_directory() {
        for bad in ["sha256:../../../etc/passwd", "/etc/passwd", "", "sha256:zz"] {
            let (_dir, store) = tree(&[("model", bad.to_owned(), 1)]);
            let found = store.blobs(&ModelName::parse("qwen:7b").unwrap());
            assert!(matches!(found, Err(Unknown::BadManifest(..))), "{bad}");
        }
    }

    #[test]
    fn a_path_that_does_not_exist_here_is_said_to_be_elsewhere() {
        let blobs = vec![PathBuf::from("/nowhere/in/a/container/blobs/sha256-aa")];
        let found = Store::find(&Candidates { blobs, ..Candidates::default() });
        if let Err(why) = found {
            assert!(matches!(why, Unknown::Elsewhere(_)), "{why}");
        }
    }

    #[test]
    fn the_weights_are_the_first_path_that_is_not_commented_out() {
        let text = "# FROM qwen:7b\nFROM qwen\nFROM /a b/blobs/sha256-1\nFROM /c\nADAPTER /d\n";
        assert_eq!(modelfile_weights(text), Some(PathBuf::from("/a b/blobs/sha256-1")));
        assert_eq!(modelfile_weights("FROM qwen"), None);
    }
}
