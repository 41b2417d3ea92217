//! Generated code is current: each `.proto` has the hash that `proto/codegen` wrote beside its output.

use std::path::PathBuf;

#[test]
fn generated_protobuf_code_is_current() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let sources = std::fs::read_to_string(root.join("src/generated/SOURCES")).unwrap();
    assert!(sources.lines().count() > 3);
    for line in sources.lines() {
        let (hash, file) = line.split_once(' ').unwrap();
        let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        let bytes = std::fs::read(root.join(file)).unwrap();
        let now = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
        assert_eq!(hash, format!("{now:016x}"), "{file} changed: cargo run in proto/codegen");
    }
}
