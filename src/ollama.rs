//! Adapter to Ollama: the server's HTTP API, and what its models are on disk. The engine calls it; it names only the domain.

mod access;
mod client;
mod error;
mod request;
pub mod store;
mod stream;
pub mod wire;

pub use access::Access;
pub use client::{Client, Options};
pub use error::{Error, Kind, Operation, Unreachable};
pub use request::Load;
pub use stream::{Prompt, Tokens};
