//! `cargo fuzz run -s none elasticsearch`
#![no_main]

#[path = "../targets/pushes.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::decoders().elasticsearch_bulk(data);
});
