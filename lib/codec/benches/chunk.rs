//! Prints bytes and nanoseconds per sample of float chunks for a few shapes of series, and the
//! nanoseconds it takes to get the last 20 samples.
//!
//! `cargo bench -p skald-codec --bench chunk -- [part of a shape's name]`

#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::disallowed_types, reason = "measures real time outside any runtime")]

use std::hint::black_box;
use std::time::Instant;

use skald_codec::chunk::{ChunkError, decode_floats, decode_floats_range, encode_floats};
use skald_model::TimeRange;

const SERIES: usize = 256;

/// One shape: the value of a series at a step, given a random number and the value before.
struct Shape {
    name: &'static str,
    next: fn(u64, f64) -> f64,
}

const SHAPES: [Shape; 7] = [
    Shape { name: "constant", next: |_, last| last },
    Shape { name: "counter", next: |r, last| last + (r % 50) as f64 },
    Shape { name: "sparse counter", next: |r, last| last + u64::from(r.is_multiple_of(20)) as f64 },
    Shape { name: "gauge", next: |r, _| (r % 4096) as f64 },
    Shape { name: "memory bytes", next: |r, last| last + (r % 512) as f64 * 4096.0 },
    Shape { name: "decimal", next: |r, _| (r % 10_000) as f64 / 100.0 },
    Shape { name: "random", next: |r, _| (r >> 11) as f64 / (1u64 << 53) as f64 },
];

fn main() -> Result<(), ChunkError> {
    println!(
        "{:>16} {:>5} {:>6} {:>9} {:>8} {:>8} {:>8}",
        "series", "n", "jitter", "B/sample", "enc ns", "dec ns", "last 20"
    );
    let filter = std::env::args().skip(1).find(|arg| arg != "--bench").unwrap_or_default();
    for (n, jitter) in [(120, 0), (240, 4), (480, 0)] {
        for shape in SHAPES.iter().filter(|shape| shape.name.contains(&filter)) {
            run(shape, n, jitter)?;
        }
    }
    Ok(())
}

fn run(shape: &Shape, n: usize, jitter: u64) -> Result<(), ChunkError> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let late = |r: u64| r.checked_rem(jitter).unwrap_or(0).cast_signed();
    let ts: Vec<i64> =
        (0..n).map(|i| 1_700_000_000_000 + i as i64 * 15_000 + late(random())).collect();
    let series: Vec<Vec<f64>> = (0..SERIES)
        .map(|_| {
            let mut last = (random() % 1000) as f64;
            (0..n)
                .map(|_| {
                    last = (shape.next)(random(), last);
                    last
                })
                .collect()
        })
        .collect();
    let samples = (SERIES * n) as f64;
    let (mut chunks, mut encode_ns) = (Vec::new(), f64::MAX);
    for _ in 0..8 {
        let start = Instant::now();
        chunks = series
            .iter()
            .map(|vals| {
                let mut out = Vec::with_capacity(256);
                encode_floats(&ts, black_box(vals), &mut out);
                out
            })
            .collect::<Vec<_>>();
        encode_ns = encode_ns.min(start.elapsed().as_nanos() as f64 / samples);
    }
    let mut decode_ns = f64::MAX;
    let (mut t, mut v) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let start = Instant::now();
        for chunk in &chunks {
            t.clear();
            v.clear();
            decode_floats(black_box(chunk), &mut t, &mut v)?;
        }
        decode_ns = decode_ns.min(start.elapsed().as_nanos() as f64 / samples);
    }
    let last = TimeRange::new(ts[n - 20], i64::MAX);
    let mut last_ns = f64::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        for chunk in &chunks {
            t.clear();
            v.clear();
            decode_floats_range(black_box(chunk), last, &mut t, &mut v)?;
        }
        last_ns = last_ns.min(start.elapsed().as_nanos() as f64 / SERIES as f64);
    }
    let bytes = chunks.iter().map(Vec::len).sum::<usize>() as f64 / samples;
    println!(
        "{:>16} {n:>5} {jitter:>6} {bytes:>9.3} {encode_ns:>8.1} {decode_ns:>8.2} {last_ns:>8.0}",
        shape.name
    );
    Ok(())
}
