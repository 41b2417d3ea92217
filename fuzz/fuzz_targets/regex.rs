//! `cargo fuzz run -s none regex`
#![no_main]

#[path = "../targets/regex.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::compare(data));
