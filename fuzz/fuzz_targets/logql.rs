//! `cargo fuzz run -s none logql`
#![no_main]

#[path = "../targets/logql.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
