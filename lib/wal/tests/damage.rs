//! Segments damaged at random: the log opens, and again, with the same records.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken assumption ends a test"
)]

#[path = "../../../fuzz/targets/damage.rs"]
#[expect(dead_code, reason = "others repeat pieces, too")]
mod damage;
#[path = "../../../fuzz/targets/wal.rs"]
mod target;

use self::damage::Mutator;

const SEGMENT: &str = include_str!("../testdata/segment-v1.hex");

#[test]
fn whatever_is_in_segments_a_log_opens() {
    let digits: Vec<u8> = SEGMENT.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let segment: Vec<u8> = digits.chunks(2).map(byte).collect();
    // All in the older segment, all in the newer, and half in each.
    let corpus: Vec<Vec<u8>> = [255u8, 0, 128].map(|cut| [&[cut], &segment[..]].concat()).into();
    corpus.iter().for_each(|whole| target::run(whole));
    let mut mutator =
        Mutator::new(1, corpus, &[b"\0\0\0\0", b"\xff\xff\xff\xff", b"SKWL", b"\x01"]);
    for _ in 0..1_500 {
        target::run(&mutator.next());
    }
}
