//! Stored bytes damaged at random: whatever comes is read or refused.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a broken assumption ends a test"
)]

#[path = "../../../fuzz/targets/damage.rs"]
#[expect(dead_code, reason = "others repeat pieces, too")]
mod damage;
#[path = "../../../fuzz/targets/stored.rs"]
mod target;

use skald_codec::batch::{LogsBuilder, MetricsBuilder};
use skald_codec::chunk;
use skald_codec::lines::LinesEncoder;
use skald_model::Labels;

use self::damage::Mutator;

/// Counts and lengths that lie, and the ends of numbers.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\0",
];

fn damaged(seed: u64, corpus: Vec<Vec<u8>>, run: impl Fn(&[u8])) {
    corpus.iter().for_each(|whole| run(whole));
    let mut mutator = Mutator::new(seed, corpus, PIECES);
    for _ in 0..20_000 {
        run(&mutator.next());
    }
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn chunks_are_read_or_refused() {
    let shapes: [fn(i64) -> f64; 6] = [
        |_| 1.0,
        |i| i as f64,
        |i| (i * i % 97) as f64 / 100.0,
        |i| (i as f64).sin(),
        |i| f64::from_bits(0x7ff0_0000_0000_0002 + u64::from(i % 7 == 0)),
        |i| if i % 9 == 0 { -0.0 } else { 1e300 * i as f64 },
    ];
    let mut corpus = Vec::new();
    for (k, shape) in shapes.iter().enumerate() {
        let ts: Vec<i64> = (0..200).map(|i| i * 15_000 + i * i % (k as i64 + 1)).collect();
        let vals: Vec<f64> = (0..200).map(shape).collect();
        let starts: Vec<i64> = ts.iter().map(|t| t / 100_000 * 100_000).collect();
        let (mut plain, mut started) = (Vec::new(), Vec::new());
        chunk::encode_floats(&ts, &vals, &mut plain);
        chunk::encode_started_floats(&ts, &vals, &starts, &mut started);
        corpus.extend([plain, started]);
    }
    damaged(1, corpus, target::chunk);
}

#[test]
fn packs_are_read_or_refused() {
    let kinds: [fn(u64) -> String; 4] = [
        |i| {
            format!(
                r#"{{"level":"error","took":{},"user":"u{}","at":"2026-11-28T10:00:{:02}Z"}}"#,
                i * 7,
                i % 5,
                i % 60
            )
        },
        |i| format!("level=info msg=\"served {} bytes\" id={:08x}", i * 1_000_003, i * 0x9e37_79b9),
        |i| format!("plain {}", "x".repeat((i % 50) as usize)),
        |_| String::new(),
    ];
    let mut corpus = Vec::new();
    for mix in 1..=kinds.len() {
        let (mut text, mut ends, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..120u64 {
            text.extend(kinds[i as usize % mix](i).as_bytes());
            ends.push(u32::try_from(text.len()).unwrap());
            times.push(1_795_000_000_000_000_000 + i.cast_signed() * 777_777_777);
        }
        let mut out = Vec::new();
        LinesEncoder::new(1).encode(&text, &ends, &times, &mut out).unwrap();
        corpus.push(out);
    }
    damaged(2, corpus, target::lines);
}

#[test]
fn batches_are_read_or_refused() {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
    let mut logs = LogsBuilder::new(1_000);
    logs.stream(labels.id(), Some(&labels));
    logs.entry(1_001, b"a line", &labels);
    logs.entry(1_002, b"another", &Labels::default());
    let hex = include_str!("../testdata/batch-v1-starts.hex");
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let golden = digits.chunks(2).map(byte).collect();
    let empty = MetricsBuilder::new(0).finish().to_vec();
    damaged(3, vec![logs.finish().to_vec(), golden, empty], target::batch);
}
