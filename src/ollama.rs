//! Adapter to Ollama: the server's HTTP API, and what its models are on disk. The engine calls it; it names only the domain.

pub mod wire;
