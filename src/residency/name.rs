//! Names of models, normalised as the server does: `qwen` is `registry.ollama.ai/library/qwen:latest`.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::text::printable;

const HOST: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";
const TAG: &str = "latest";

/// A model's name in its shortest full form (`model:tag`, `namespace/model:tag`, `host/namespace/model:tag`).
///
/// Two names are equal when they differ only by case, as the server's own lookup has it. A name from a server that
/// breaks the rules is kept as it came, so that it can be shown and sent back.
#[derive(Debug, Clone)]
pub struct ModelName {
    text: String,
    folded: String,
}

/// Why a text is no model name (the server's own answer is `invalid model name`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid model name {:?}; write model, model:tag, namespace/model:tag or host/namespace/model:tag",
    printable(.0)
)]
pub struct NameError(pub String);

/// The four parts of a name, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Registry, `registry.ollama.ai` by default.
    pub host: &'a str,
    /// Owner, `library` by default.
    pub namespace: &'a str,
    /// The model itself.
    pub model: &'a str,
    /// `latest` by default.
    pub tag: &'a str,
}

impl ModelName {
    /// Reads and normalises a name; what the server would refuse is refused.
    pub fn parse(text: &str) -> Result<ModelName, NameError> {
        let parts = split(text).filter(is_valid).ok_or_else(|| NameError(text.to_owned()))?;
        Ok(Self::of_text(shortest(&parts)))
    }

    /// A name that came from a server: normalised where it parses, else kept as it came.
    pub fn from_server(text: &str) -> ModelName {
        Self::parse(text).unwrap_or_else(|_| Self::of_text(text.to_owned()))
    }

    fn of_text(text: String) -> ModelName {
        let folded = text.to_lowercase();
        ModelName { text, folded }
    }

    /// The name as it is sent to the server. Untrusted: print it through `Display`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its parts, or `None` for a name that breaks the rules.
    pub fn parts(&self) -> Option<Parts<'_>> {
        split(&self.text).filter(is_valid)
    }
}

/// Splits as `ParseName` of the server does (types/model/name.go): tag after the last `:` behind the last `/`, then
/// model, namespace and host from the right.
fn split(text: &str) -> Option<Parts<'_>> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let slash = text.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match text[slash..].rfind(':') {
        Some(at) => (&text[..slash + at], &text[slash + at + 1..]),
        None => (text, TAG),
    };
    let mut from_right = path.rsplitn(3, '/');
    let model = from_right.next()?;
    let namespace = from_right.next().unwrap_or(NAMESPACE);
    let host = from_right.next().unwrap_or(HOST);
    Some(Parts { host, namespace, model, tag })
}

fn is_valid(parts: &Parts<'_>) -> bool {
    let part = |text: &str, longest: usize, extra: &[u8]| {
        let bytes = text.as_bytes();
        (1..=longest).contains(&bytes.len())
            && (bytes[0].is_ascii_alphanumeric() || bytes[0] == b'_')
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-') || extra.contains(b))
    };
    part(parts.host, 350, b".:")
        && part(parts.namespace, 80, b"")
        && part(parts.model, 80, b".")
        && part(parts.tag, 80, b".")
}

fn shortest(parts: &Parts<'_>) -> String {
    let Parts { host, namespace, model, tag } = parts;
    if !host.eq_ignore_ascii_case(HOST) {
        format!("{host}/{namespace}/{model}:{tag}")
    } else if !namespace.eq_ignore_ascii_case(NAMESPACE) {
        format!("{namespace}/{model}:{tag}")
    } else {
        format!("{model}:{tag}")
    }
}

impl fmt::Display for ModelName {
    /// As people write it: without `:latest`, and safe for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.strip_suffix(":latest").unwrap_or(&self.text);
        f.pad(&printable(text))
    }
}

impl PartialEq for ModelName {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for ModelName {}

impl Hash for ModelName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl PartialOrd for ModelName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ModelName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_filled_in_and_dropped_again() {
        for (written, full, shown) in [
            ("openthinker3-7b", "openthinker3-7b:latest", "openthinker3-7b"),
            ("qwen2.5-coder:7b", "qwen2.5-coder:7b", "qwen2.5-coder:7b"),
            ("library/qwen:7b", "qwen:7b", "qwen:7b"),
            ("registry.ollama.ai/library/qwen:7b", "qwen:7b", "qwen:7b"),
            ("me/qwen", "me/qwen:latest", "me/qwen"),
            (
                "hf.co/bartowski/X-GGUF:Q4_K_M",
                "hf.co/bartowski/X-GGUF:Q4_K_M",
                "hf.co/bartowski/X-GGUF:Q4_K_M",
            ),
            ("http://localhost:5000/a/b", "localhost:5000/a/b:latest", "localhost:5000/a/b"),
        ] {
            let name = ModelName::parse(written).unwrap();
            assert_eq!((name.as_str(), name.to_string().as_str()), (full, shown));
        }
    }

    #[test]
    fn names_differing_by_case_are_one() {
        assert_eq!(ModelName::parse("Qwen:7B"), ModelName::parse("qwen:7b"));
    }

    #[test]
    fn what_the_server_refuses_is_refused() {
        for bad in [
            "",
            ":",
            "a/b/c/d/e",
            "a b",
            "-a",
            "a:",
            "../x",
            "a/../b",
            "x\u{1b}[31m",
            &"a".repeat(81),
            "日本",
        ] {
            assert!(ModelName::parse(bad).is_err(), "{bad}");
        }
        let told = ModelName::parse("a\u{ffa0}").unwrap_err().to_string();
        assert!(told.starts_with("invalid model name \"a\u{fffd}\"; "), "{told}");
    }

    #[test]
    fn a_name_that_breaks_the_rules_is_kept_and_shown_safely() {
        let name = ModelName::from_server("evil\u{1b}[2J");
        assert_eq!((name.as_str(), name.to_string().as_str()), ("evil\u{1b}[2J", "evil\u{fffd}[2J"));
        assert_eq!(name.parts(), None);
    }
}
