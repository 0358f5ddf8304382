//! The one integration test binary; modules by subject.

mod probe_nvml;
mod probe_page_cache;
#[cfg(target_os = "linux")]
mod probe_runner;
