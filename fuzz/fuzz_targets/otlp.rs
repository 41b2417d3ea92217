//! `cargo fuzz run -s none otlp`
#![no_main]

#[path = "../targets/pushes.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::decoders().otlp_protobuf(data);
    target::decoders().otlp_json(data);
});
