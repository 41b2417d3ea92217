//! `cargo fuzz run -s none blocks`, with `lib/blocks/testdata` as seeds.
#![no_main]

#[path = "../targets/blocks.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
