//! The adapter to Ollama: its HTTP API, and its models as they lie on disk.

pub mod client;
pub mod error;
pub mod store;
pub mod wire;
