#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| resident_fuzz::config_edit::holds(data));
