//! Writing one model: random bytes under their real digest, the small layers, and last the manifest.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Problem, TEMPLATE, blob_path, hex, installed, io_problem, manifest_path, media, missing};
use crate::sim::catalogue::Spec;

/// Where a blob grows before its digest is known.
const GROWING: &str = ".growing";
const STEP: usize = 1 << 20;

/// Makes one model: weights (unless another tag brought them), the small layers, and last the manifest.
pub(super) fn make(
    dir: &Path,
    spec: &Spec,
    models: &[Spec],
    step: &mut dyn FnMut(u64),
) -> Result<(), Problem> {
    let path = manifest_path(dir, spec).ok_or_else(|| missing(dir, spec))?;
    let blobs = dir.join("blobs");
    fs::create_dir_all(&blobs).map_err(io_problem("make", &blobs))?;
    let sharing = models
        .iter()
        .filter(|other| (other.seed, other.weights) == (spec.seed, spec.weights))
        .find_map(|other| installed(dir, other));
    let weights = match sharing.and_then(|model| Some(model.blob.file_name()?.to_str()?.replace('-', ":"))) {
        Some(digest) => digest,
        None => grow(&blobs, spec, step)?,
    };
    let template = small(&blobs, TEMPLATE.as_bytes())?;
    let config = json!({
        "model_format": "gguf",
        "model_family": spec.shape.architecture,
        "model_families": [spec.shape.architecture],
        "model_type": spec.details()["parameter_size"],
        "file_type": spec.quantisation,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [weights.as_str(), template.0.as_str()]},
    });
    let config = small(&blobs, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": config.0,
            "size": config.1,
        },
        "layers": [
            {"mediaType": media("model"), "digest": weights, "size": spec.weights.0},
            {"mediaType": media("template"), "digest": template.0, "size": template.1},
        ],
    });
    let parent = path.parent().unwrap_or(dir);
    fs::create_dir_all(parent).map_err(io_problem("make", parent))?;
    write_synced(&path, manifest.to_string().as_bytes())
}

/// Writes random bytes, synced, and gives them the name of their digest.
fn grow(blobs: &Path, spec: &Spec, step: &mut dyn FnMut(u64)) -> Result<String, Problem> {
    let path = blobs.join(GROWING);
    let mut file = File::create(&path).map_err(io_problem("make", &path))?;
    let mut random = Random::new(spec.seed);
    let mut hash = Sha256::new();
    let mut block = vec![0_u8; STEP];
    let mut left = spec.weights.0;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(STEP).min(STEP);
        random.fill(&mut block[..now]);
        hash.update(&block[..now]);
        file.write_all(&block[..now]).map_err(io_problem("write", &path))?;
        left -= now as u64;
        step(now as u64);
    }
    // Dirty pages cannot be dropped from the cache: unsynced, the first load after the making is never cold.
    file.sync_all().map_err(io_problem("write", &path))?;
    let digest = format!("sha256:{}", hex(&hash.finalize()));
    let named = blob_path(blobs, &digest);
    fs::rename(&path, &named).map_err(io_problem("name", &named))?;
    Ok(digest)
}

/// Writes a small blob; its digest and size.
fn small(blobs: &Path, content: &[u8]) -> Result<(String, usize), Problem> {
    let digest = format!("sha256:{}", hex(&Sha256::digest(content)));
    write_synced(&blob_path(blobs, &digest), content)?;
    Ok((digest, content.len()))
}

fn write_synced(path: &Path, content: &[u8]) -> Result<(), Problem> {
    let mut file = File::create(path).map_err(io_problem("make", path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(io_problem("write", path))
}

/// xorshift64*: fast bytes that no file system can compress.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn fill(&mut self, block: &mut [u8]) {
        let mut state = self.0;
        for eight in block.chunks_mut(8) {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bytes = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            eight.copy_from_slice(&bytes[..eight.len()]);
        }
        self.0 = state;
    }
}
