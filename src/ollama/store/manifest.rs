//! A model's manifest: the list of its layers, bounded and checked before any path is made of it.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::Reason;

/// The role of the file that a runner is started with.
pub(super) const WEIGHTS: &str = "weights";

/// A manifest of some thousand tensors is shorter.
const LIMIT: u64 = 4 << 20;

/// A manifest, as far as it names large files.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    #[serde(default)]
    layers: Option<Vec<RawLayer>>,
}

#[derive(Debug, Deserialize)]
struct RawLayer {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    size: i64,
}

/// A large file that a model is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// `sha256:<64 hex>`, checked.
    pub(super) digest: String,
    pub(super) role: &'static str,
    /// As the manifest has it.
    pub(super) size: u64,
}

impl Manifest {
    pub(super) fn read(path: &Path) -> Result<Manifest, Reason> {
        let unreadable = |error: &std::io::Error| Reason::unreadable(path, error);
        let broken = |why: String| Reason::BadManifest { path: path.to_owned(), why };
        // A pipe of that name would block for ever.
        if !fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
            return Err(broken("no file".to_owned()));
        }
        let mut text = Vec::new();
        let file = fs::File::open(path).map_err(|error| unreadable(&error))?;
        file.take(LIMIT + 1).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        if text.len() as u64 > LIMIT {
            return Err(broken(format!("longer than {LIMIT} bytes")));
        }
        serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))
    }

    /// Its large layers, the weights first; of several weights the last counts, as in the server.
    pub(super) fn large_layers(&self) -> Result<Vec<Layer>, String> {
        let mut layers = Vec::new();
        let mut weights = None;
        for raw in self.layers.iter().flatten() {
            let Some(role) = role(&raw.media_type) else { continue };
            let layer = Layer {
                digest: checked(&raw.digest)
                    .ok_or_else(|| format!("{:?} is no digest", shortened(&raw.digest)))?,
                role,
                size: u64::try_from(raw.size).unwrap_or(0),
            };
            if role == WEIGHTS {
                weights = Some(layer);
            } else {
                layers.push(layer);
            }
        }
        layers.splice(0..0, weights);
        Ok(layers)
    }
}

/// What a layer of that type is for; `None` for the small ones.
fn role(media_type: &str) -> Option<&'static str> {
    Some(match media_type.strip_prefix("application/vnd.ollama.image.")? {
        "model" => WEIGHTS,
        "projector" => "projector",
        "adapter" => "adapter",
        "draft" => "draft",
        "tensor" => "tensor",
        _ => return None,
    })
}

/// `sha256:<64 hex>` of a digest that is one (the server accepts `-` for `:` as well).
fn checked(digest: &str) -> Option<String> {
    let hex = digest.strip_prefix("sha256").and_then(|rest| rest.strip_prefix([':', '-']))?;
    is_hex(hex).then(|| format!("sha256:{hex}"))
}

/// Whether a file's name is that of a whole blob.
pub(super) fn is_blob_file(name: &str) -> bool {
    name.strip_prefix("sha256-").is_some_and(is_hex)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digest_that_would_leave_the_directory_is_none() {
        let hex = "0a".repeat(32);
        assert_eq!(checked(&format!("sha256-{hex}")), Some(format!("sha256:{hex}")));
        for bad in ["", "sha256:", "sha256:../../etc/passwd", "md5:00", &format!("sha256:{hex}0"), &hex] {
            assert_eq!(checked(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_digest_makes_a_path_with_a_separator(digest in "(sha256[:-])?[0-9a-fA-F./\\\\]{0,70}") {
            if let Some(digest) = checked(&digest) {
                prop_assert!(!digest.contains(['/', '\\', '.']));
                prop_assert!(is_blob_file(&digest.replace(':', "-")));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(manifest) = serde_json::from_str::<Manifest>(&text) {
                let _ = manifest.large_layers();
            }
        }
    }
}
