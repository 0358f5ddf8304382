//! The one integration test binary; modules by subject.

mod probe_nvml;
mod probe_page_cache;
