//! The adapter to the machine: RAM, cards, page cache and runner processes, each on a thread of its own where it can
//! hang.

pub mod page_cache;
pub mod ram;
mod residency_of;
pub mod runner;
mod sys;
