//! `cargo fuzz run -s none loki_push`
#![no_main]

#[path = "../targets/pushes.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::decoders().loki_protobuf(data);
    target::decoders().loki_json(data);
});
