use proptest::prelude::*;
use skald_model::{BucketCounts, Histogram, ResetHint, Span, stale_nan};

use super::*;

fn roundtrip(ts: &[i64], vals: &[f64]) -> usize {
    let mut bytes = Vec::new();
    encode_floats(ts, vals, &mut bytes);
    let header = peek(&bytes).unwrap();
    assert_eq!(header.count, ts.len());
    if let (Some(first), Some(last)) = (ts.first(), ts.last()) {
        assert_eq!((header.min_ts, header.max_ts), (*first, *last));
    }
    let (mut got_ts, mut got) = (vec![7], vec![7.0]);
    decode_floats(&bytes, &mut got_ts, &mut got).unwrap();
    assert_eq!(&got_ts[1..], ts);
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&got[1..]), bits(vals));
    for (start, end) in some_ranges(ts) {
        let range = TimeRange::new(start, end);
        let (mut part_ts, mut part) = (vec![7], vec![7.0]);
        decode_floats_range(&bytes, range, &mut part_ts, &mut part).unwrap();
        let inside = |i: &usize| range.contains(ts[*i]);
        let wanted: Vec<usize> = (0..ts.len()).filter(inside).collect();
        assert_eq!(part_ts[1..], wanted.iter().map(|i| ts[*i]).collect::<Vec<_>>(), "{range:?}");
        let wanted: Vec<f64> = wanted.iter().map(|i| vals[*i]).collect();
        assert_eq!(bits(&part[1..]), bits(&wanted), "{range:?}");
    }
    bytes.len()
}

/// Ranges that begin and end at and beside samples, and outside of all.
fn some_ranges(ts: &[i64]) -> Vec<(i64, i64)> {
    let n = ts.len();
    let mut at = vec![i64::MIN, i64::MAX, 0];
    for i in [0, 1, 2, n / 3, n / 2, n.saturating_sub(70), n.saturating_sub(2), n.saturating_sub(1)]
    {
        if let Some(t) = ts.get(i) {
            at.extend([t.saturating_sub(1), *t, t.saturating_add(1)]);
        }
    }
    let ends = |skip: usize| at.iter().copied().cycle().skip(skip);
    [0, 1, 2, 5, 8, 14].iter().flat_map(|skip| at.iter().copied().zip(ends(*skip))).collect()
}

fn regular(n: usize) -> Vec<i64> {
    (0..n as i64).map(|i| 1_700_000_000_000 + i * 15_000).collect()
}

fn noise(i: u64) -> u64 {
    let mut x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 29
}

#[test]
fn roundtrip_empty_and_tiny_chunks() {
    roundtrip(&[], &[]);
    for v in [
        0.0,
        -0.0,
        1.5,
        f64::NAN,
        stale_nan(),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        1e300,
        5e-324,
    ] {
        roundtrip(&[i64::MIN], &[v]);
        roundtrip(&[i64::MIN, i64::MAX], &[v, 1.0]);
        roundtrip(&[-5, 0, 9], &[0.0, v, v]);
    }
}

#[test]
fn a_constant_series_costs_next_to_nothing() {
    assert!(roundtrip(&regular(120), &[42.0; 120]) < 20);
    assert!(roundtrip(&regular(120), &[0.1; 120]) < 30);
    assert!(roundtrip(&regular(1024), &[stale_nan(); 1024]) < 30);
}

#[test]
fn counters_and_decimals_are_small() {
    let counter: Vec<f64> = (0..120).map(|i| (i * 100 + noise(i) % 7) as f64).collect();
    assert!(roundtrip(&regular(120), &counter) < 90);
    let decimal: Vec<f64> = (0..120).map(|i| (noise(i) % 1000) as f64 / 100.0).collect();
    assert!(roundtrip(&regular(120), &decimal) < 190);
    let pages: Vec<f64> = (0..120).map(|i| (1_000_000 + noise(i) % 64) as f64 * 4096.0).collect();
    assert!(roundtrip(&regular(120), &pages) < 120);
    let ticks: Vec<f64> = (0..120).map(|i| (5000 + i * 3) as f64 * 0.01).collect();
    assert!(roundtrip(&regular(120), &ticks) < 200);
}

#[test]
fn a_stale_marker_does_not_spoil_a_decimal_chunk() {
    for at in [0, 1, 60, 119] {
        let mut vals: Vec<f64> = (0..120).map(|i| f64::from(i) * 0.5).collect();
        vals[at] = stale_nan();
        assert!(roundtrip(&regular(120), &vals) < 60, "{at}");
    }
    let mut edge = vec![-0.0, f64::NAN];
    edge.extend((0..118).map(f64::from));
    assert!(roundtrip(&regular(120), &edge) < 80);
}

#[test]
fn jitter_and_gaps_in_time_are_cheap() {
    let jitter: Vec<i64> =
        regular(120).iter().enumerate().map(|(i, t)| t + (noise(i as u64) % 8) as i64).collect();
    assert!(roundtrip(&jitter, &[1.0; 120]) < 80);
    let gap: Vec<i64> = regular(120)
        .iter()
        .enumerate()
        .map(|(i, t)| t + if i > 60 { 900_000 } else { 0 })
        .collect();
    assert!(roundtrip(&gap, &[1.0; 120]) < 40);
}

/// The bytes of version 1, kept for ever.
#[test]
fn version_1_bytes_stay_as_they_are() {
    let cases: [(&[i64], &[f64], &str); 6] = [
        (&[], &[], GOLDEN[0]),
        (&[1000, 2000, 3000], &[5.0, 5.0, 5.0], GOLDEN[1]),
        (&[1000, 2000, 3000], &[0.1, 0.2, 0.4], GOLDEN[2]),
        (&[-1, 5, 1000, 1001], &[1.0, 2.0, 4.0, f64::from_bits(0x7ff0_0000_0000_0002)], GOLDEN[3]),
        (&[1, 2, 3], &[std::f64::consts::PI, std::f64::consts::E, 1e300], GOLDEN[4]),
        (
            &[0, 10, 21, 30, 40, 5000],
            &[4096.0, 8192.0, 12288.0, 16384.0, 4096000.0, 0.0],
            GOLDEN[5],
        ),
    ];
    for (ts, vals, hex) in cases {
        let mut bytes = Vec::new();
        encode_floats(ts, vals, &mut bytes);
        let got: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(got, hex, "{ts:?}");
        roundtrip(ts, vals);
    }
}

const GOLDEN: [&str; 6] = [
    "0100",
    "0103d00fd00f00000a",
    "0103d00fd00f00030401020322",
    "010401ea0703060bba07032400020322000103020000000000f07f",
    "010302020002182d4454fb210940b3394e0fea3bde93177dbd08c580cd968c0f",
    "0106008827030a022e0310008040802044a21d0108433e",
];

fn histogram(i: u64) -> Histogram {
    let span = |offset, length| Span { offset, length };
    let ints = |n| (0..n).map(|j| (noise(i * 31 + j) % 9) as i64 - 4).collect::<Vec<_>>();
    let counts = if i.is_multiple_of(2) {
        BucketCounts::Integer { count: i, zero_count: 3, positive: ints(5), negative: ints(2) }
    } else {
        let floats = |n| ints(n).into_iter().map(|v| v as f64 * 0.3).collect();
        BucketCounts::Float {
            count: 0.5,
            zero_count: -0.0,
            positive: floats(5),
            negative: floats(2),
        }
    };
    Histogram {
        schema: if i.is_multiple_of(3) { Histogram::CUSTOM_BUCKETS } else { 3 },
        reset_hint: ResetHint::Gauge,
        zero_threshold: 1e-128,
        sum: if i.is_multiple_of(5) { 1.25 } else { i as f64 },
        positive_spans: vec![span(-3, 2), span(1, 3)],
        negative_spans: vec![span(0, 2)],
        custom_values: if i.is_multiple_of(3) { vec![0.1, 1.0, f64::INFINITY] } else { Vec::new() },
        counts,
    }
}

#[test]
fn roundtrip_histograms_of_every_kind() {
    let hs: Vec<Histogram> = (0..200).map(histogram).collect();
    let ts = regular(200);
    let mut bytes = Vec::new();
    encode_histograms(&ts, &hs, &mut bytes);
    assert_eq!(peek(&bytes).unwrap().kind, ChunkKind::Histograms);
    let mut got = Vec::new();
    decode_histograms(&bytes, &mut got).unwrap();
    assert_eq!(got, ts.iter().copied().zip(hs).collect::<Vec<_>>());
    let (mut t, mut v) = (Vec::new(), Vec::new());
    assert_eq!(decode_floats(&bytes, &mut t, &mut v), Err(ChunkError::Kind(0x41)));
}

#[test]
fn every_cut_and_every_flipped_byte_is_an_error_or_a_value_never_a_panic() {
    let mut chunks = Vec::new();
    let ragged: Vec<i64> =
        (0..100i64).map(|i| i * 10 + (noise(i.cast_unsigned()) % 9) as i64).collect();
    let shapes: [fn(u64) -> f64; 4] = [
        |i| (noise(i) % 100) as f64,
        |i| f64::from_bits(noise(i)),
        |i| (noise(i) % 1000) as f64 * 0.001,
        |i| if i % 30 == 0 { f64::NAN } else { i as f64 },
    ];
    for shape in shapes {
        let mut bytes = Vec::new();
        encode_floats(&ragged, &(0..100).map(shape).collect::<Vec<_>>(), &mut bytes);
        chunks.push(bytes);
    }
    let mut bytes = Vec::new();
    encode_histograms(&ragged[..9], &(0..9).map(histogram).collect::<Vec<_>>(), &mut bytes);
    chunks.push(bytes);
    for chunk in chunks {
        for cut in 0..chunk.len() {
            assert!(decode_any(&chunk[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..chunk.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bad = chunk.clone();
                bad[at] ^= flip;
                let _ = decode_any(&bad);
            }
        }
    }
}

fn decode_any(bytes: &[u8]) -> Result<(), ChunkError> {
    let (mut ts, mut vals, mut hs) = (vec![1], vec![1.0], Vec::new());
    let floats = decode_floats(bytes, &mut ts, &mut vals);
    if floats.is_err() {
        assert_eq!((ts.len(), vals.len()), (1, 1));
    }
    for (start, end) in [(0, 500), (400, 600), (900, i64::MAX)] {
        let (mut t, mut v) = (vec![1], vec![1.0]);
        let part = decode_floats_range(bytes, TimeRange::new(start, end), &mut t, &mut v);
        assert!(t.len() == v.len() && (part.is_ok() || t.len() == 1));
    }
    let histograms = decode_histograms(bytes, &mut hs);
    assert!(histograms.is_ok() || hs.is_empty());
    floats.or(histograms)
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000i64..1000).prop_map(|v| v as f64),
        4 => (-100_000i64..100_000, 0i32..6).prop_map(|(m, e)| m as f64 / 10f64.powi(e)),
        2 => any::<i64>().prop_map(|v| v as f64),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
        1 => Just(-0.0),
        1 => Just(f64::NEG_INFINITY),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn roundtrip_any_samples(samples in prop::collection::btree_map(any::<i64>(), any_value(), 0..300)) {
        let (ts, vals): (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
        roundtrip(&ts, &vals);
    }

    #[test]
    fn roundtrip_one_kind_of_value(
        start in -10_000i64..10_000,
        steps in prop::collection::vec((1i64..40_000, -50i64..50), 1..300),
        exponent in 0i32..12,
        multiply in any::<bool>(),
    ) {
        let (mut t, mut m) = (start, start);
        let (mut ts, mut vals) = (Vec::new(), Vec::new());
        for (dt, dm) in steps {
            t += dt;
            m += dm;
            ts.push(t);
            let power = 10f64.powi(exponent);
            vals.push(if multiply { m as f64 * (1.0 / power) } else { m as f64 / power });
        }
        roundtrip(&ts, &vals);
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0usize..3) {
        if let (Some(first), Some(kind)) = (bytes.first_mut(), [0x01u8, 0x41].get(kind)) {
            *first = *kind;
        }
        let _ = peek(&bytes);
        let _ = decode_any(&bytes);
    }
}

#[test]
fn the_bytes_of_a_sparse_block() {
    let values = [0, 0, 5, 0, 0, 0, -3, 0];
    let mut out = Vec::new();
    blocks::encode(&values, Packings::Dense, &mut out);
    // Which are not 0 (bits 2 and 6), then a plain block of four bits each: zigzag 10 and 5.
    assert_eq!(out, [193, 0b0100_0100, 4, 0x5a]);
    assert_eq!(blocks::cost(&values, Packings::Dense), out.len());
    let mut back = Vec::new();
    let mut scratch = Scratch::new();
    blocks::decode(&mut &out[..], 8, &mut scratch, |v| back.extend_from_slice(v)).unwrap();
    assert_eq!(back, values);
}
