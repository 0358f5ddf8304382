//! All integration tests, in one binary: modules by subject.

#![expect(clippy::unwrap_used, reason = "clippy allows it in test functions only, not in what they share")]

#[cfg(target_os = "linux")]
mod agent_python;
mod arrows;
mod checkup;
mod chronicle;
mod cli_act;
#[cfg(target_os = "linux")]
mod cli_doctor;
mod cli_export;
mod cli_fake;
mod cli_flow;
mod cli_phase;
mod cli_pins;
mod cli_preload;
mod cli_process;
#[cfg(target_os = "linux")]
mod cli_ram;
mod cli_status;
mod cli_swap;
mod config_edit;
mod config_load;
mod dice;
mod engine_agents;
mod engine_behaviour;
#[cfg(target_os = "linux")]
mod engine_bench;
mod engine_swap;
mod engine_world;
mod export_names;
mod export_world;
mod findings;
mod flow;
mod forecast;
mod hostile;
mod journal;
mod keeper;
mod load_held;
mod ollama_client;
mod ollama_recorded;
mod ollama_store;
#[cfg(target_os = "linux")]
mod other_user;
mod outer_files;
mod package;
#[cfg(target_os = "linux")]
mod probe_hold;
mod probe_nvml;
mod probe_page_cache;
#[cfg(target_os = "linux")]
mod probe_runner;
mod probe_warm;
#[cfg(target_os = "linux")]
mod ram_tier;
mod rust_text;
mod schema;
mod sim_children;
mod sim_contract;
mod sim_files;
mod sim_http;
mod terminal;
mod terminal_flow;
mod terminal_pins;
mod terminal_pty;
mod tune;
