//! The demo's models on disk, in Ollama's own layout: real random bytes under their real digests, made once.

mod make;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::catalogue::{Spec, demo};
use crate::residency::bytes::Bytes;

/// Held exclusively while files are made, so that two demos do not make them twice.
const MAKING: &str = ".making";
/// Held shared by whoever uses the files, so that `clean` does not pull them away.
const USING: &str = ".using";
/// Left free on the disk beside what is written.
const MARGIN: u64 = 64 << 20;
/// The prompt template that every model has.
pub(crate) const TEMPLATE: &str = "{{ .System }} {{ .Prompt }}";

/// What went wrong with the demo's files.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The disk has no room.
    #[error(
        "the demo's models need {need} of disk space in {dir}, and {have} are free; a larger --demo-scale needs less"
    )]
    NoRoom {
        /// Where.
        dir: PathBuf,
        /// What is needed.
        need: Bytes,
        /// What is free.
        have: Bytes,
    },
    /// Somebody uses the files that are to be removed.
    #[error("{0} is in use by another demo; end that one first")]
    InUse(PathBuf),
    /// A model is not on disk as the catalogue has it.
    #[error("{model} is not in {dir}")]
    Missing {
        /// Which.
        model: String,
        /// Where.
        dir: PathBuf,
    },
    /// The system refused.
    #[error("cannot {doing} {path}: {why}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
}

/// What making the files will take, said before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Bytes that are to be written; zero if all is there.
    pub write: Bytes,
    /// Bytes of all blobs together.
    pub total: Bytes,
    /// Free on that disk.
    pub have: Bytes,
    /// The directory lies in memory: cold cannot be shown there.
    pub tmpfs: bool,
}

/// The files as they are, held against `clean` as long as this lives.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The models directory.
    pub dir: PathBuf,
    /// What lies there.
    pub models: Vec<Spec>,
    /// 1:this.
    pub scale: u64,
    /// Bytes that were written now.
    pub written: Bytes,
    pub(crate) lease: Arc<File>,
}

/// One model as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    /// SHA-256 of the manifest, hex.
    pub(crate) digest: String,
    /// All its layers and its config.
    pub(crate) size: u64,
    /// The weights.
    pub(crate) blob: PathBuf,
    /// When the manifest was written.
    pub(crate) modified: std::time::SystemTime,
}

/// Where the demo of a scale has its models: `resident/demo-16` in the user's cache directory.
pub fn demo_dir(cache: &Path, scale: u64) -> PathBuf {
    cache.join("resident").join(format!("demo-{scale}"))
}

/// All demo directories in the user's cache directory, of any scale.
pub fn demo_dirs(cache: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cache.join("resident")) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("demo-")))
        .map(|entry| entry.path())
        .collect();
    dirs.sort();
    dirs
}

/// What making the demo's files in `dir` would write. Writes nothing.
pub fn plan(dir: &Path, scale: u64) -> Result<Plan, Problem> {
    plan_of(dir, &demo(scale))
}

fn plan_of(dir: &Path, models: &[Spec]) -> Result<Plan, Problem> {
    let mut blobs: Vec<(u64, Bytes, bool)> = Vec::new();
    for spec in models {
        let there = installed(dir, spec).is_some();
        match blobs.iter_mut().find(|(seed, size, _)| (*seed, *size) == (spec.seed, spec.weights)) {
            Some((.., found)) => *found |= there,
            None => blobs.push((spec.seed, spec.weights, there)),
        }
    }
    Ok(Plan {
        write: blobs.iter().filter(|(.., there)| !there).map(|(_, size, _)| *size).sum(),
        total: blobs.iter().map(|(_, size, _)| *size).sum(),
        have: free(dir)?,
        tmpfs: is_tmpfs(dir),
    })
}

/// Makes the demo's files in `dir` at `scale`, or finds them there. Blocks, also on another demo that is making them;
/// call it from a thread that may. `progress` is told bytes done and bytes to write.
pub fn prepare(dir: &Path, scale: u64, progress: impl FnMut(u64, u64)) -> Result<Prepared, Problem> {
    prepare_models(dir, demo(scale), scale, progress)
}

/// As [`prepare`], with models of your own.
pub fn prepare_models(
    dir: &Path,
    models: Vec<Spec>,
    scale: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<Prepared, Problem> {
    fs::create_dir_all(dir).map_err(io_problem("make", dir))?;
    let lease = lock_file(dir, USING)?;
    lease.lock_shared().map_err(io_problem("lock", &dir.join(USING)))?;
    let making = lock_file(dir, MAKING)?;
    making.lock().map_err(io_problem("lock", &dir.join(MAKING)))?;
    let plan = plan_of(dir, &models)?;
    if plan.write > Bytes::ZERO && plan.have < plan.write + Bytes(MARGIN) {
        return Err(Problem::NoRoom {
            dir: dir.to_owned(),
            need: plan.write + Bytes(MARGIN),
            have: plan.have,
        });
    }
    let mut done = 0;
    for spec in &models {
        if installed(dir, spec).is_some() {
            continue;
        }
        make::make(dir, spec, &models, &mut |step| {
            done += step;
            progress(done, plan.write.0);
        })?;
    }
    Ok(Prepared { dir: dir.to_owned(), models, scale, written: Bytes(done), lease: Arc::new(lease) })
}

/// Removes what a demo made in `dir`, and nothing else; says how many bytes that were.
pub fn clean(dir: &Path) -> Result<Bytes, Problem> {
    if !dir.join(USING).exists() {
        // Not a directory that a demo made: touch nothing.
        return Ok(Bytes::ZERO);
    }
    let using = lock_file(dir, USING)?;
    using.try_lock().map_err(|_| Problem::InUse(dir.to_owned()))?;
    let mut freed = Bytes::ZERO;
    for blob in fs::read_dir(dir.join("blobs")).into_iter().flatten().flatten() {
        freed += Bytes(blob.metadata().map_or(0, |metadata| metadata.len()));
    }
    for part in ["blobs", "manifests"] {
        match fs::remove_dir_all(dir.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_problem("remove", &dir.join(part))(error));
            }
            _ => {}
        }
    }
    for file in [MAKING, USING] {
        let _ = fs::remove_file(dir.join(file));
    }
    // Stays if somebody put something else there.
    let _ = fs::remove_dir(dir);
    Ok(freed)
}

/// Whether `dir` (or where it will be made) lies in memory, so that nothing there is ever cold.
pub fn is_tmpfs(dir: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        const TMPFS: u64 = 0x0102_1994;
        const RAMFS: u64 = 0x8584_58f6;
        // The type's width differs by platform; magic numbers are 32 bits wide.
        rustix::fs::statfs(nearest(dir)).is_ok_and(|fs| {
            #[expect(clippy::cast_sign_loss, reason = "a magic number, not a quantity")]
            let magic = fs.f_type as u64 & 0xffff_ffff;
            matches!(magic, TMPFS | RAMFS)
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        false
    }
}

/// The nearest directory that exists: the one to be asked about a directory that is yet to be made.
fn nearest(dir: &Path) -> &Path {
    let there = dir.ancestors().find(|ancestor| ancestor.exists());
    there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn free(dir: &Path) -> Result<Bytes, Problem> {
    let stat = rustix::fs::statvfs(nearest(dir)).map_err(|error| io_problem("read", dir)(error.into()))?;
    Ok(Bytes(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

fn lock_file(dir: &Path, name: &str) -> Result<File, Problem> {
    let path = dir.join(name);
    File::options().create(true).truncate(false).write(true).open(&path).map_err(io_problem("open", &path))
}

fn io_problem<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Problem + 'a {
    move |why| Problem::Io { doing, path: path.to_owned(), why }
}

fn manifest_path(dir: &Path, spec: &Spec) -> Option<PathBuf> {
    let parts = spec.name.parts()?;
    Some(dir.join("manifests").join(parts.host).join(parts.namespace).join(parts.model).join(parts.tag))
}

fn blob_path(blobs: &Path, digest: &str) -> PathBuf {
    blobs.join(digest.replace(':', "-"))
}

/// How `spec` lies in `dir`; `None` unless its weights are there in full size.
pub(crate) fn installed(dir: &Path, spec: &Spec) -> Option<Installed> {
    let path = manifest_path(dir, spec)?;
    let text = fs::read(&path).ok()?;
    let manifest: Value = serde_json::from_slice(&text).ok()?;
    let layers = manifest["layers"].as_array()?;
    let weights = layers.iter().find(|layer| layer["mediaType"] == media("model"))?;
    let digest = weights["digest"].as_str()?;
    if !digest.strip_prefix("sha256:").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) {
        return None;
    }
    let blob = blob_path(&dir.join("blobs"), digest);
    if fs::metadata(&blob).ok()?.len() != spec.weights.0 {
        return None;
    }
    let sizes = layers.iter().chain([&manifest["config"]]).filter_map(|layer| layer["size"].as_u64());
    Some(Installed {
        digest: hex(&Sha256::digest(&text)),
        size: sizes.sum(),
        blob,
        modified: fs::metadata(&path).ok()?.modified().ok()?,
    })
}

fn media(kind: &str) -> String {
    format!("application/vnd.ollama.image.{kind}")
}

pub(crate) fn missing(dir: &Path, spec: &Spec) -> Problem {
    Problem::Missing { model: spec.name.to_string(), dir: dir.to_owned() }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
