//! The one integration test binary; modules by subject.

mod arrows;
mod cli_act;
mod cli_fake;
mod cli_process;
mod cli_status;
mod config_load;
mod engine_behaviour;
mod engine_world;
mod ollama_client;
mod ollama_recorded;
mod ollama_store;
mod outer_files;
mod probe_nvml;
mod probe_page_cache;
mod rust_text;
mod sim_children;
mod sim_contract;
mod sim_files;
mod sim_http;
