//! `cargo fuzz run -s none kubernetes_audit`
#![no_main]

#[path = "../targets/pushes.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::decoders().kubernetes_audit(data);
});
