//! What can go wrong with a request: which operation, of what kind, and the server's own words.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::residency::text::printable;

/// What was asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading the address and building the client; nothing was sent.
    Connect,
    /// `GET /`
    Alive,
    /// `GET /api/version`
    Version,
    /// `GET /api/tags`
    Tags,
    /// `GET /api/ps`
    Ps,
    /// `POST /api/show`
    Show,
    /// An empty request that loads a model.
    Load,
    /// An empty request that restarts a loaded model's `keep_alive`.
    Touch,
    /// An empty request with a `keep_alive` of 0.
    Unload,
    /// One token of a loaded model.
    FirstToken,
    /// A prompt.
    Prompt,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Connect => "connecting",
            Operation::Alive => "asking whether the server lives",
            Operation::Version => "asking for the version",
            Operation::Tags => "listing the installed models",
            Operation::Ps => "listing the loaded models",
            Operation::Show => "asking about the model",
            Operation::Load => "loading",
            Operation::Touch => "touching",
            Operation::Unload => "unloading",
            Operation::FirstToken => "asking for the first token",
            Operation::Prompt => "answering the prompt",
        })
    }
}

/// A request that failed: what was asked, and why it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {kind}")]
pub struct Error {
    /// What was asked.
    pub operation: Operation,
    /// Why it failed; callers decide by it.
    pub kind: Kind,
}

/// Why a request failed. All text in it is bounded and safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// The address is none.
    #[error("{0}")]
    BadAddress(String),
    /// No connection came about.
    #[error("no connection: {0}")]
    Unreachable(Unreachable),
    /// No whole answer in this time; the server is busy or hangs.
    #[error("no answer in {} s", after.as_secs_f32())]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the answer did.
    #[error("the connection broke off: {0}")]
    BrokenOff(String),
    /// The server does not know the model (404).
    #[error("{words}")]
    NotFound {
        /// The server's own words.
        words: String,
    },
    /// There is not enough memory for the model.
    #[error("{words}")]
    OutOfMemory {
        /// The status it came with.
        status: u16,
        /// The server's own words.
        words: String,
    },
    /// The server's queue is full (503).
    #[error("{words}")]
    ServerBusy {
        /// The server's own words.
        words: String,
    },
    /// Something answers there, but it is not Ollama.
    #[error("that is not Ollama: {0}")]
    NotOllama(String),
    /// The server sends us elsewhere; we do not go.
    #[error("the server redirects to {to:?}; give that address if you trust it")]
    Redirected {
        /// Where to.
        to: String,
    },
    /// The answer is longer than any real one.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// How much would have been read.
        limit: usize,
    },
    /// The answer is JSON in name but cannot be read.
    #[error("the answer cannot be read: {0}")]
    BadAnswer(String),
    /// The server refused or failed, in a way not named above.
    #[error("{words} (status {status})")]
    Status {
        /// The HTTP status; 200 for an error that came after the answer had begun.
        status: u16,
        /// The server's own words.
        words: String,
    },
}

/// Why no connection came about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Nobody listens there.
    #[error("nobody listens there (connection refused)")]
    Refused,
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    Timeout,
    /// The host's name is unknown.
    #[error("the host's name is unknown")]
    UnknownHost,
    /// Anything else, such as no route or a certificate.
    #[error("{0}")]
    Other(String),
}

impl Kind {
    pub(super) fn during(self, operation: Operation) -> Error {
        Error { operation, kind: self }
    }

    /// What an error of the HTTP library means; `limit` is the total timeout that was set.
    pub(super) fn of_transport(error: &reqwest::Error, limit: Option<Duration>) -> Kind {
        if error.is_connect() {
            return Kind::Unreachable(if error.is_timeout() {
                Unreachable::Timeout
            } else if error.is_dns() {
                Unreachable::UnknownHost
            } else if io_kind(error) == Some(io::ErrorKind::ConnectionRefused) {
                Unreachable::Refused
            } else {
                Unreachable::Other(of_handshake(root_words(error)))
            });
        }
        match limit {
            Some(after) if error.is_timeout() => Kind::Timeout { after },
            _ => Kind::BrokenOff(root_words(error)),
        }
    }

    /// What an answer with this status and these words of the server means.
    pub(super) fn of_words(status: u16, words: &str) -> Kind {
        let shown = bounded(words);
        if tells_of_memory(words) {
            return Kind::OutOfMemory { status, words: shown };
        }
        match status {
            404 => Kind::NotFound { words: shown },
            503 => Kind::ServerBusy { words: shown },
            _ => Kind::Status { status, words: shown },
        }
    }
}

impl Error {
    /// The server's own words; where it said none, what its status means.
    pub fn words(&self) -> Option<&str> {
        match &self.kind {
            Kind::NotFound { words }
            | Kind::OutOfMemory { words, .. }
            | Kind::ServerBusy { words }
            | Kind::Status { words, .. } => Some(words),
            _ => None,
        }
    }

    /// Whether the server cannot be reached at all, as against answering badly or late.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.kind, Kind::Unreachable(_) | Kind::BrokenOff(_))
    }
}

/// The words by which the server, llama.cpp, CUDA, `ROCm`, Metal and MLX tell that memory ran out (llm/status.go, and
/// the scheduler's own refusals).
const OUT_OF_MEMORY: &[&str] = &[
    "out of memory",
    "out-of-memory",
    "cudamalloc failed",
    "failed to allocate",
    "unable to allocate",
    "cannot allocate memory",
    "insufficient memory",
    "not enough memory",
    "erroroutofdevicememory",
    "requires more system memory",
];

fn tells_of_memory(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    OUT_OF_MEMORY.iter().any(|sign| words.contains(sign))
        || (words.contains("model requires") && words.contains("available"))
}

/// No more than this many characters of the server's words are kept.
const MOST_WORDS: usize = 400;

/// Text of the server: one line, bounded, safe for a terminal.
pub(super) fn bounded(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(MOST_WORDS));
        if line.chars().count() > MOST_WORDS {
            line = line.chars().take(MOST_WORDS).collect();
            line.push('…');
            break;
        }
    }
    printable(&line).into_owned()
}

/// The line of a body that is plain text which says what went wrong: one about memory, else the first. Of a page or of
/// JSON there is none.
pub(super) fn telling_line(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().filter(|line| !line.starts_with(['<', '{']))?;
    Some(if tells_of_memory(first) {
        first
    } else {
        lines.find(|line| tells_of_memory(line)).unwrap_or(first)
    })
}

/// The kind of the I/O error at the bottom of `error`, if there is one.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

/// The words at the bottom of `error`: those above it only say that a request failed, and name the address again.
fn root_words(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    bounded(&deepest.to_string())
}

/// What a failed handshake means, where its words would leave a person at a loss.
fn of_handshake(words: String) -> String {
    // So rustls calls an answer that is no record of TLS, such as plain HTTP.
    if words.contains("InvalidContentType") {
        return "it does not speak TLS; try http://".to_owned();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_running_out_of_memory_is_recognised() {
        for words in [
            "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory",
            "llama-server reported out-of-memory during startup: x",
            "model requires more system memory (9.1 GiB) than is available (3.2 GiB)",
            "model requires 9 GiB but only 3 GiB are available (after 1 GiB overhead)",
            "ggml_backend: failed to allocate buffer of size 9",
            "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
            "vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
        ] {
            assert_eq!(
                Kind::of_words(500, words),
                Kind::OutOfMemory { status: 500, words: words.into() },
                "{words}"
            );
        }
    }

    #[test]
    fn other_failures_are_not_taken_for_a_lack_of_memory() {
        for words in [
            "timed out waiting for llama-server to start - ",
            "tensor \"blk.5.ffn_gate.weight\" offset+size (20676480) exceeds file size (20000000)",
            "\"m\" does not support generate",
        ] {
            assert!(matches!(Kind::of_words(500, words), Kind::Status { status: 500, .. }), "{words}");
        }
    }

    #[test]
    fn the_servers_words_are_one_bounded_line_without_escapes() {
        assert_eq!(bounded("a\u{1b}[2J\nb\t c"), "a\u{fffd}[2J b c");
        let long = bounded(&"wörter ".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MOST_WORDS + 1, true));
        assert_eq!(bounded(&"x".repeat(1 << 20)).chars().count(), MOST_WORDS);
    }

    #[test]
    fn an_error_names_the_operation_and_the_words() {
        let error = Kind::of_words(404, "model 'x' not found").during(Operation::Load);
        assert_eq!(error.to_string(), "loading: model 'x' not found");
        assert_eq!(error.words(), Some("model 'x' not found"));
    }
}
