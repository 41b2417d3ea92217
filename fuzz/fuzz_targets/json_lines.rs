//! `cargo fuzz run -s none json_lines`
#![no_main]

#[path = "../targets/pushes.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::decoders().json_lines(data);
});
