//! The API's own words, as JSON. Everything is optional: servers differ, and one broken entry must not hide the rest.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// `GET /api/version`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Such as `0.32.15`.
    #[serde(deserialize_with = "text")]
    pub version: String,
}

/// `GET /api/tags`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    /// Installed models.
    #[serde(deserialize_with = "entries")]
    pub models: Vec<Installed>,
}

/// `GET /api/ps`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ps {
    /// Loaded models.
    #[serde(deserialize_with = "entries")]
    pub models: Vec<Running>,
}

/// One installed model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Installed {
    /// Its full name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Bytes on disk, all layers.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Digest of the manifest.
    #[serde(deserialize_with = "text")]
    pub digest: String,
    /// RFC 3339, with the server's offset.
    #[serde(deserialize_with = "maybe_text", skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// What it is.
    #[serde(deserialize_with = "lenient")]
    pub details: Details,
    /// What it can do; since 0.30.
    #[serde(deserialize_with = "texts", skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Set for a model in the cloud.
    #[serde(deserialize_with = "maybe_text", skip_serializing_if = "Option::is_none")]
    pub remote_host: Option<String>,
}

/// One loaded model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Running {
    /// Its full name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Bytes of all its buffers.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Bytes on the card.
    #[serde(deserialize_with = "size")]
    pub size_vram: u64,
    /// Digest of the manifest.
    #[serde(deserialize_with = "text")]
    pub digest: String,
    /// What it is.
    #[serde(deserialize_with = "lenient")]
    pub details: Details,
    /// RFC 3339, with the server's offset.
    #[serde(deserialize_with = "maybe_text")]
    pub expires_at: Option<String>,
    /// The context it runs with; since 0.10.
    #[serde(deserialize_with = "maybe_size")]
    pub context_length: Option<u64>,
}

/// `details` of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// `gguf` or `safetensors`.
    #[serde(deserialize_with = "text")]
    pub format: String,
    /// Architecture.
    #[serde(deserialize_with = "text")]
    pub family: String,
    /// May be `null`.
    #[serde(deserialize_with = "texts")]
    pub families: Vec<String>,
    /// Such as `7.6B`.
    #[serde(deserialize_with = "text")]
    pub parameter_size: String,
    /// Such as `Q4_K_M`.
    #[serde(deserialize_with = "text")]
    pub quantization_level: String,
    /// Trained context; in `/api/tags` since 0.30.
    #[serde(deserialize_with = "maybe_size", skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
}

/// `POST /api/show`, what we use of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// With `FROM` lines that name the blobs.
    #[serde(deserialize_with = "text")]
    pub modelfile: String,
    /// What it is.
    #[serde(deserialize_with = "lenient")]
    pub details: Details,
    /// GGUF's key-value pairs.
    #[serde(deserialize_with = "lenient")]
    pub model_info: Map<String, Value>,
    /// What it can do; since 0.6.4.
    #[serde(deserialize_with = "texts")]
    pub capabilities: Vec<String>,
}

/// Any answer that says no.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// The server's words.
    #[serde(deserialize_with = "maybe_text")]
    pub error: Option<String>,
}

/// Whatever can be read of a field, or its default.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Entries that can be read at all; the others are left out.
fn entries<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Vec<T>, D::Error> {
    let Value::Array(all) = Value::deserialize(from)? else { return Ok(Vec::new()) };
    Ok(all.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    lenient(from)
}

fn maybe_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    lenient(from)
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    entries(from)
}

/// A size from a server that may lie: negative and broken ones are nothing, too large ones the largest.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    maybe_size(from).map(Option::unwrap_or_default)
}

fn maybe_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(from)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as is wanted")]
    Ok(value.as_u64().or_else(|| value.as_f64().filter(|size| *size >= 0.0).map(|size| size as u64)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_broken_entry_does_not_hide_the_rest() {
        let text = r#"{"models":[7,{"name":"a","size":-5,"size_vram":1e300,"details":"?","context_length":"x"},{"name":null}]}"#;
        let ps: Ps = serde_json::from_str(text).unwrap();
        let a = Running { name: "a".into(), size_vram: u64::MAX, ..Running::default() };
        assert_eq!(ps.models, [a, Running::default()]);
        let none: Ps = serde_json::from_str(r#"{"models":null}"#).unwrap();
        assert_eq!(none, Ps::default());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in "\\PC{0,200}") {
            let _ = serde_json::from_str::<Tags>(&text);
            let _ = serde_json::from_str::<Ps>(&format!("{{\"models\":[{{\"size\":{text}}}]}}"));
        }
    }
}
