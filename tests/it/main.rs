//! All integration tests, in one binary: modules by subject.

mod arrows;
mod cli_act;
mod cli_fake;
mod cli_process;
mod cli_status;
mod ollama_client;
mod ollama_recorded;
mod ollama_store;
mod outer_files;
mod rust_text;
mod sim_children;
mod sim_contract;
mod sim_files;
mod sim_http;
