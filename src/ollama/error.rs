//! What can go wrong with a request, by kind, naming the operation and carrying the server's own words.

use std::time::Duration;

/// What was asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
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
    /// An empty prompt for a model that is not loaded.
    Load,
    /// An empty prompt for a model that is loaded.
    Touch,
    /// An empty prompt with keep_alive 0.
    Unload,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Operation::Alive => "asking whether the server is there",
            Operation::Version => "asking for the version",
            Operation::Tags => "listing the models",
            Operation::Ps => "listing the loaded models",
            Operation::Show => "asking about the model",
            Operation::Load => "loading",
            Operation::Touch => "renewing keep_alive",
            Operation::Unload => "unloading",
        })
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none, or https was not built in.
    #[error("{0}: not a server address we can use: {1}")]
    Address(String, String),
    /// No connection.
    #[error("no server at {url}: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// Refused, reset, no such host.
        why: String,
    },
    /// Connected, but no whole answer in time.
    #[error("{operation}: no answer within {} s", after.as_secs())]
    Timeout {
        /// What was asked.
        operation: Operation,
        /// How long we waited.
        after: Duration,
    },
    /// The answer was larger than any true one.
    #[error("{operation}: the answer is larger than {limit} bytes; is it an Ollama server?")]
    TooLarge {
        /// What was asked.
        operation: Operation,
        /// The bound.
        limit: usize,
    },
    /// Not JSON, or a redirect: something else listens there.
    #[error("{operation}: this is not an Ollama server ({why})")]
    NotOllama {
        /// What was asked.
        operation: Operation,
        /// What gave it away.
        why: String,
    },
    /// The connection broke in the middle of the answer.
    #[error("{operation}: the connection broke off: {why}")]
    Broken {
        /// What was asked.
        operation: Operation,
        /// The source's words.
        why: String,
    },
    /// The server said no.
    #[error("{}", refusal(*operation, *status, words))]
    Refused {
        /// What was asked.
        operation: Operation,
        /// HTTP status.
        status: u16,
        /// The server's words, safe to print.
        words: String,
    },
}

fn refusal(operation: Operation, status: u16, words: &str) -> String {
    match (status, words) {
        (403, "") => {
            format!("{operation}: 403, the server does not accept this host name; use its IP or localhost")
        }
        (_, "") => format!("{operation}: the server answered {status}"),
        _ => words.to_owned(),
    }
}

/// Why the server said no, as far as its status and words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such model.
    NotFound,
    /// Its queue is full: try again later.
    QueueFull,
    /// The card or RAM is too small.
    OutOfMemory,
    /// An embedding-only model was asked to generate.
    OnlyEmbeds,
    /// Anything else.
    Other,
}

impl Error {
    /// Whether the server was there but slow.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::Timeout { .. })
    }

    /// Why the server said no; `None` if it did not answer at all.
    pub fn refusal(&self) -> Option<Refusal> {
        let Error::Refused { status, words, .. } = self else { return None };
        // The server's own list of substrings for out of memory (llm/status.go:85-96).
        const MEMORY: [&str; 5] = [
            "out of memory",
            "cudaMalloc failed",
            "failed to allocate",
            "insufficient memory",
            "more system memory",
        ];
        Some(match status {
            404 => Refusal::NotFound,
            503 => Refusal::QueueFull,
            _ if MEMORY.iter().any(|part| words.contains(part)) => Refusal::OutOfMemory,
            _ if words.contains("does not support generate") => Refusal::OnlyEmbeds,
            _ => Refusal::Other,
        })
    }
}
