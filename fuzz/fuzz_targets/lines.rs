//! `cargo fuzz run -s none lines`
#![no_main]

#[expect(dead_code, reason = "each target runs one of them")]
#[path = "../targets/stored.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::lines(data));
