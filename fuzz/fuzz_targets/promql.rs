//! `cargo fuzz run -s none promql`
#![no_main]

#[path = "../targets/promql.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::parse(data));
