//! Adapter: what the machine says, and what is kept in its RAM. RAM, cards, page cache and runner processes; one thread
//! for each thing that can hang. The engine calls this; it names `residency` only.

#[cfg(target_os = "linux")]
pub mod access;
pub mod amd;
#[cfg(target_os = "linux")]
pub mod disk;
pub mod evict;
pub mod gpu;
pub mod hold;
pub mod nvml;
pub mod page_cache;
pub mod pressure;
#[cfg(target_os = "linux")]
mod privilege;
pub mod ram;
#[cfg(target_os = "linux")]
mod regular;
pub mod runner;
#[cfg(target_os = "linux")]
mod sys;
pub mod warm;
pub mod watched;
