//! `cargo fuzz run -s none forward`
#![no_main]

#[path = "../targets/pushes.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::decoders().forward(data);
});
