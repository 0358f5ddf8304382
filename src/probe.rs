//! Adapter: what the machine says. RAM, cards, page cache and runner processes; one thread for each thing that can
//! hang. The engine calls this; it names `residency` only.

pub mod amd;
pub mod gpu;
pub mod nvml;
pub mod page_cache;
pub mod ram;
pub mod runner;
#[cfg(target_os = "linux")]
mod sys;
pub mod warm;
pub mod watched;
