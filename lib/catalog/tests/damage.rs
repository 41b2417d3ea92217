//! Manifests damaged at random, with checksums that are right all the same: a view or an error.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken assumption ends a test")]

#[path = "../../../fuzz/targets/damage.rs"]
#[expect(dead_code, reason = "others repeat pieces, too")]
mod damage;
#[path = "../../../fuzz/targets/manifest.rs"]
mod target;

use self::damage::Mutator;

const GOLDEN: [&str; 4] = [
    include_str!("../testdata/commit-v1.hex"),
    include_str!("../testdata/commit-v3.hex"),
    include_str!("../testdata/checkpoint-v1.hex"),
    include_str!("../testdata/checkpoint-v3.hex"),
];
/// Of the frame, which the target makes anew.
const HEAD: usize = 12;
const TRAILER: usize = 4;

#[test]
fn whatever_a_manifest_says_is_read_or_refused() {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let message = |hex: &str| {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let frame: Vec<u8> = digits.chunks(2).map(byte).collect();
        frame[HEAD..frame.len() - TRAILER].to_vec()
    };
    let corpus: Vec<Vec<u8>> = GOLDEN.iter().map(|hex| message(hex)).collect();
    corpus.iter().for_each(|whole| target::run(whole));
    let mut mutator =
        Mutator::new(1, corpus, &[b"\0", b"\xff\xff\xff\xff\x0f", b"\x08\x01", b"\x12"]);
    for _ in 0..1_000 {
        target::run(&mutator.next());
    }
}
