//! `cargo fuzz run -s none wal`
#![no_main]

#[path = "../targets/wal.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
