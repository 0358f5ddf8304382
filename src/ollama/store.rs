//! The server's models on disk, read only: where they lie, and which files each is made of.
//!
//! All of it blocks and may hang on a network file system: the engine calls it on a thread of its own. Nothing here
//! writes, and no path outside the models directory can be named by a manifest.

mod manifest;
mod modelfile;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use modelfile::blob_paths;

use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Blob;
use crate::residency::text::printable;
use crate::residency::tier::Cached;
use manifest::{Layer, Manifest, is_blob_file};

/// Where the models directory may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Paths of blobs as the server names them (`/api/show`, a runner's argv). If there are any, only a directory
    /// that holds one of these blobs counts: the same path here may be another one than in the server's container.
    pub hints: Vec<String>,
    /// What the user named: the config, `OLLAMA_MODELS`.
    pub named: Vec<PathBuf>,
    /// The usual places, asked only without hints: what lies there may be another server's.
    pub usual: Vec<PathBuf>,
}

/// The places where Ollama keeps its models by default.
pub fn usual_dirs(home: Option<&Path>) -> Vec<PathBuf> {
    let service =
        ["/usr/share/ollama/.ollama/models", "/var/lib/ollama/.ollama/models", "/var/lib/ollama/models"];
    home.map(|home| home.join(".ollama/models")).into_iter().chain(service.map(PathBuf::from)).collect()
}

/// The models directory of a server on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    dir: PathBuf,
}

/// Why something of the store is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The server's models lie where this machine has nothing: in a container, or on another machine.
    #[error("not on this machine: the server keeps them in {0}")]
    NotHere(String),
    /// No permission, or the disk fails.
    #[error("{} cannot be read: {why}", printable(&path.to_string_lossy()))]
    NotReadable {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// None of the places holds models.
    #[error("no models directory found; name it with ollama.models_dir or OLLAMA_MODELS")]
    NotFound,
    /// The name breaks the rules, so that no path can be made of it.
    #[error("{0} is no model name")]
    BadName(ModelName),
    /// The store does not hold the model.
    #[error("{0} is not in the models directory")]
    NoManifest(ModelName),
    /// The manifest is none.
    #[error("the manifest {} is broken: {}", printable(&path.to_string_lossy()), printable(why))]
    BadManifest {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Reason {
    fn unreadable(path: &Path, error: &io::Error) -> Reason {
        let why = if error.kind() == io::ErrorKind::PermissionDenied {
            "no permission (on Linux, join the group ollama and log in again)".to_owned()
        } else {
            error.to_string()
        };
        Reason::NotReadable { path: path.to_owned(), why }
    }
}

impl Store {
    /// The first of the candidates that is this server's.
    pub fn find(candidates: &Candidates) -> Result<Store, Reason> {
        let hints: Vec<Hint> = candidates.hints.iter().filter_map(|path| Hint::read(path)).collect();
        let mut dirs: Vec<&Path> = hints.iter().filter_map(|hint| hint.dir.as_deref()).collect();
        dirs.extend(candidates.named.iter().map(PathBuf::as_path));
        if hints.is_empty() {
            dirs.extend(candidates.usual.iter().map(PathBuf::as_path));
        }
        let mut unreadable = None;
        for dir in dirs {
            match is_store(dir, &hints) {
                Ok(true) => return Ok(Store { dir: dir.to_owned() }),
                Ok(false) => {}
                Err(error) => {
                    unreadable.get_or_insert_with(|| Reason::unreadable(dir, &error));
                }
            }
        }
        Err(unreadable.unwrap_or_else(|| match hints.first() {
            Some(hint) => Reason::NotHere(printable(&hint.shown).into_owned()),
            None => Reason::NotFound,
        }))
    }

    /// The directory that holds `manifests` and `blobs`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whose the files are, where they are not ours: the user's name, or `#` and its number as `sudo -u` takes it.
    pub fn owner(&self) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let uid = fs::metadata(self.dir.join("blobs")).ok()?.uid();
        let is_ours = uid == rustix::process::geteuid().as_raw();
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        (!is_ours).then(|| user_of(uid, &users).unwrap_or_else(|| format!("#{uid}")))
    }

    /// The large files a model is made of, each digest once, its weights first. Small layers (template, licence, …)
    /// are left out; a cloud model has none.
    pub fn blobs(&self, model: &ModelName) -> Result<Vec<Blob>, Reason> {
        let (path, manifest) = self.manifest(model)?;
        let layers = manifest.large_layers().map_err(|why| Reason::BadManifest { path, why })?;
        let mut seen = HashSet::new();
        Ok(layers
            .into_iter()
            .filter(|layer| seen.insert(layer.digest.clone()))
            .map(|layer| self.blob(layer))
            .collect())
    }

    /// The digest of a model's weights (`sha256:…`): models with the same one share a file, a runner and residency.
    /// `None` for a model without a single weights file (MLX, cloud).
    pub fn weights_digest(&self, model: &ModelName) -> Result<Option<String>, Reason> {
        let (path, manifest) = self.manifest(model)?;
        let layers = manifest.large_layers().map_err(|why| Reason::BadManifest { path, why })?;
        Ok(layers.into_iter().find(|layer| layer.role == manifest::WEIGHTS).map(|layer| layer.digest))
    }

    fn blob(&self, layer: Layer) -> Blob {
        let path = self.dir.join("blobs").join(layer.digest.replace(':', "-"));
        let length = fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
        Blob {
            digest: layer.digest,
            role: layer.role,
            // As the manifest says: a file that was cut is not all of it.
            size: Bytes(if layer.size == 0 { length.unwrap_or(0) } else { layer.size }),
            path: length.map(|_| path),
            cached: Cached::Unread,
            map: None,
        }
    }

    fn manifest(&self, model: &ModelName) -> Result<(PathBuf, Manifest), Reason> {
        let parts = model.parts().ok_or_else(|| Reason::BadName(model.clone()))?;
        let mut path = self.dir.join("manifests");
        for part in [parts.host, parts.namespace, parts.model, parts.tag] {
            path = descend(&path, part)?.ok_or_else(|| Reason::NoManifest(model.clone()))?;
        }
        let manifest = Manifest::read(&path)?;
        Ok((path, manifest))
    }
}

/// The name of a user in `/etc/passwd`; users that only a directory service knows are not found.
fn user_of(uid: u32, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| printable(name).into_owned())
    })
}

/// A blob's path in the server's own words.
struct Hint {
    /// The models directory, if the path can be one of this machine.
    dir: Option<PathBuf>,
    /// `sha256-<64 hex>`
    file: String,
    /// The directory as the server has it.
    shown: String,
}

impl Hint {
    /// Reads `<models>/blobs/sha256-…`; `None` for any other path.
    fn read(path: &str) -> Option<Hint> {
        let path = path.trim();
        // A server on Windows writes backslashes.
        let (before, file) = path.rsplit_once(['/', '\\'])?;
        let dir = before.strip_suffix("blobs")?.strip_suffix(['/', '\\'])?;
        if !is_blob_file(file) || dir.is_empty() {
            return None;
        }
        let here = Path::new(dir);
        Some(Hint {
            dir: here.is_absolute().then(|| here.to_owned()),
            file: file.to_owned(),
            shown: dir.to_owned(),
        })
    }
}

/// Whether `dir` is a models directory, and the one that the hints speak of.
fn is_store(dir: &Path, hints: &[Hint]) -> io::Result<bool> {
    if !is_dir(&dir.join("manifests"))? || !is_dir(&dir.join("blobs"))? {
        return Ok(false);
    }
    if hints.is_empty() {
        return Ok(true);
    }
    for hint in hints {
        if present(&dir.join("blobs").join(&hint.file))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_dir(path: &Path) -> io::Result<bool> {
    Ok(present(path)?.is_some_and(|found| found.is_dir()))
}

/// What lies at `path`; `None` for nothing, an error where that cannot be told.
fn present(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The entry of `dir` that is called `part`, by any case, as the server looks it up.
fn descend(dir: &Path, part: &str) -> Result<Option<PathBuf>, Reason> {
    let exact = dir.join(part);
    if present(&exact).map_err(|error| Reason::unreadable(&exact, &error))?.is_some() {
        return Ok(Some(exact));
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Reason::unreadable(dir, &error)),
    };
    // The least of several, so that the answer does not depend on the directory's order.
    let name = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.eq_ignore_ascii_case(part))
        .min();
    Ok(name.map(|name| dir.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_a_path_of_a_blob_and_nothing_else() {
        let hex = "a1".repeat(32);
        let read = |path: String| Hint::read(&path).map(|hint| (hint.dir, hint.shown));
        let dir = "/usr/share/my models";
        assert_eq!(read(format!("{dir}/blobs/sha256-{hex}")), Some((Some(dir.into()), dir.to_owned())));
        assert_eq!(
            read(format!(r"C:\Users\me\.ollama\models\blobs\sha256-{hex}")),
            Some((None, r"C:\Users\me\.ollama\models".to_owned()))
        );
        for bad in [
            String::new(),
            "/blobs/x".to_owned(),
            format!("/blobs/sha256-{hex}"),
            format!("/m/sha256-{hex}"),
            format!("/m/blobs/sha256-{hex}-partial"),
            format!("/m/blobs/sha256-{}", "g".repeat(64)),
            format!("/m/blobs/../sha256-{hex}"),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn a_user_is_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nollama:x:998:998::/usr/share/ollama:/bin/false\nbroken\n";
        assert_eq!(user_of(998, users).as_deref(), Some("ollama"));
        assert_eq!(user_of(5, users), None);
    }

    #[test]
    fn the_usual_places_begin_with_the_users_own() {
        let dirs = usual_dirs(Some(Path::new("/home/me")));
        assert_eq!(dirs[0], Path::new("/home/me/.ollama/models"));
        assert_eq!(usual_dirs(None), dirs[1..]);
    }
}
