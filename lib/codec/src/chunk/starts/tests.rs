use proptest::prelude::*;
use skald_model::{BucketCounts, Histogram, ResetHint, Series, TimeRange};

use crate::chunk::{decode_floats, decode_into, encode_floats, encode_started_floats};
use crate::chunk::{encode_started_histograms, peek};

fn times(n: i64) -> Vec<i64> {
    (0..n).map(|i| 1_700_000_000_000 + i * 15_000).collect()
}

fn encoded(ts: &[i64], starts: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_started_floats(ts, &vec![1.0; ts.len()], starts, &mut out);
    out
}

fn decoded(bytes: &[u8], range: TimeRange) -> Series {
    let mut series = Series::default();
    decode_into(bytes, range, &mut series).unwrap();
    series
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes of chunks with start timestamps, kept for ever.
#[test]
fn bytes_with_starts_stay_as_they_are() {
    assert_eq!(hex(&encoded(&[1000, 2000, 3000], &[500, 500, 2500])), GOLDEN[0]);
    let deltas: Vec<i64> = times(20).iter().map(|t| t - 15_000).collect();
    assert_eq!(hex(&encoded(&times(20), &deltas)), GOLDEN[1]);
}

const GOLDEN: [&str; 2] =
    ["0203d00fd00f070002e70701a01f000002", "021480a0abfef962c8b211050180b0ea01000002"];

#[test]
fn unknown_starts_cost_nothing() {
    let mut plain = Vec::new();
    encode_floats(&times(9), &[1.0; 9], &mut plain);
    assert_eq!(encoded(&times(9), &[]), plain);
    assert_eq!(encoded(&times(9), &[0; 9]), plain);
    assert!(decoded(&plain, TimeRange::ALL).starts.is_empty());
}

#[test]
fn a_start_that_repeats_and_one_near_each_sample_are_small() {
    let n = encoded(&times(240), &[]).len();
    assert!(encoded(&times(240), &[times(1)[0] - 5; 240]).len() - n < 8);
    let deltas: Vec<i64> = times(240).iter().map(|t| t - 15_000).collect();
    assert!(encoded(&times(240), &deltas).len() - n < 40);
}

#[test]
fn samples_in_a_range_keep_their_starts() {
    let ts: Vec<i64> = (0..200).map(|i| i * 10 + i % 3).collect();
    for starts in
        [(0..200).map(|i| i / 50 * 500).collect::<Vec<i64>>(), ts.iter().map(|t| t - 10).collect()]
    {
        let range = TimeRange::new(415, 1600);
        let got = decoded(&encoded(&ts, &starts), range);
        let want = ts.iter().zip(&starts).filter(|(t, _)| range.contains(**t));
        let (want_ts, want): (Vec<i64>, Vec<i64>) = want.unzip();
        assert_eq!((got.timestamps, got.starts), (want_ts, want));
    }
}

#[test]
fn samples_before_and_behind_without_starts_have_unknown_ones() {
    let mut series = Series::default();
    decode_into(&encoded(&[1, 2], &[]), TimeRange::ALL, &mut series).unwrap();
    decode_into(&encoded(&[3], &[2]), TimeRange::ALL, &mut series).unwrap();
    decode_into(&encoded(&[4], &[]), TimeRange::ALL, &mut series).unwrap();
    assert_eq!(series.starts, [0, 0, 2, 0]);
}

#[test]
fn roundtrip_histograms_with_starts() {
    let counts = BucketCounts::Float {
        count: 1.0,
        zero_count: 1.0,
        positive: Vec::new(),
        negative: Vec::new(),
    };
    let h = Histogram {
        schema: 0,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 0.0,
        sum: 1.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts,
    };
    let mut bytes = Vec::new();
    let all = vec![h.clone(); 3];
    encode_started_histograms(&[10, 20, 30], &all, &[5, 5, 25], &mut bytes);
    assert!(peek(&bytes).unwrap().has_starts);
    let got = decoded(&bytes, TimeRange::new(20, 31));
    assert_eq!(got.histograms, [(20, h.clone()), (30, h)]);
    assert_eq!(got.histogram_starts, [5, 25]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn roundtrip_any_starts(samples in prop::collection::btree_map(any::<i64>(), prop_oneof![Just(0), Just(7), any::<i64>()], 1..300)) {
        let (ts, starts): (Vec<i64>, Vec<i64>) = samples.into_iter().filter(|(t, _)| *t != i64::MAX).unzip();
        let bytes = encoded(&ts, &starts);
        let got = decoded(&bytes, TimeRange::ALL);
        if starts.iter().any(|s| *s != 0) {
            prop_assert_eq!(&got.starts, &starts);
        }
        prop_assert_eq!(&got.timestamps, &ts);
        let (mut t, mut v) = (Vec::new(), Vec::new());
        decode_floats(&bytes, &mut t, &mut v).unwrap();
        prop_assert_eq!(t, ts);
    }

    #[test]
    fn damaged_starts_never_panic(at in 0usize..60, with in any::<u8>(), cut in 0usize..60) {
        for starts in [vec![7; 40], times(40)] {
            let mut bytes = encoded(&times(40), &starts);
            bytes.truncate(bytes.len().max(cut) - cut.min(bytes.len() / 2));
            let at = at % bytes.len();
            bytes[at] ^= with;
            let _ = decode_into(&bytes, TimeRange::ALL, &mut Series::default());
        }
    }
}
