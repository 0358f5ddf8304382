//! All integration tests, in one binary: modules by subject.

mod sim_children;
mod sim_contract;
mod sim_files;
mod sim_http;
