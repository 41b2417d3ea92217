//! `cargo fuzz run -s none batch`
#![no_main]

#[expect(dead_code, reason = "each target runs one of them")]
#[path = "../targets/stored.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::batch(data));
