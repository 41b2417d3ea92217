use proptest::prelude::*;
use skald_model::{BucketCounts, Histogram, ResetHint, Series, TimeRange, stale_nan};

use super::*;
use crate::chunk::{
    decode_into, encode_floats, encode_started_floats, encode_started_histograms, peek,
};

/// Completes no chunk.
fn nothing() -> impl FnMut(Base, Range<usize>, &mut [f64]) -> Result<(), ChunkError> {
    |_, _, _| Err(ChunkError::Malformed("nothing to predict from"))
}

fn jittered(n: i64) -> Vec<i64> {
    (0..n).map(|i| 1_700_000_000_000 + i * 15_000 + i * i % 4).collect()
}

fn floats(ts: &[i64], values: &[f64], starts: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_started_floats(ts, values, starts, &mut out);
    out
}

fn histograms(ts: &[i64], starts: &[i64]) -> Vec<u8> {
    let one = |i: usize| Histogram {
        schema: 0,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 0.0,
        sum: i as f64,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: BucketCounts::Integer {
            count: i as u64,
            zero_count: i as u64,
            positive: Vec::new(),
            negative: Vec::new(),
        },
    };
    let all: Vec<Histogram> = (0..ts.len()).map(one).collect();
    let mut out = Vec::new();
    encode_started_histograms(ts, &all, starts, &mut out);
    out
}

type Bits = (Vec<i64>, Vec<u64>, Vec<i64>, Vec<(i64, Histogram)>, Vec<i64>);

/// Values as bits, so that NaN equals NaN.
fn bits(s: &Series) -> Bits {
    let values = s.values.iter().map(|v| v.to_bits()).collect();
    let Series { timestamps, starts, histograms, histogram_starts, .. } = s.clone();
    (timestamps, values, starts, histograms, histogram_starts)
}

/// Takes `chunk` apart, and checks that what comes back is the same, whole and in parts.
fn check(chunk: &[u8], ranges: &[TimeRange]) {
    let (grid, off) = split(chunk).unwrap().unwrap();
    let (mut kept, mut detached) = (Vec::new(), Vec::new());
    grid.put(77, &mut kept);
    off.put(300, &mut detached);
    assert!(peek(&detached).is_err(), "it must not pass for a whole chunk");
    let mut rest = &kept[..];
    let taken = Grid::take(77, &mut rest).unwrap();
    assert_eq!((taken, rest.len()), (grid, 0));
    let (number, again) = OffGrid::take(&detached).unwrap().unwrap();
    assert_eq!((number, again), (300, off));
    assert_eq!(OffGrid::take(chunk).unwrap(), None);
    let mut joined = Vec::new();
    again.join(&taken, &mut nothing(), &mut joined).unwrap();
    assert_eq!(joined, chunk);
    for range in ranges {
        let mut expected = Series::default();
        decode_into(chunk, *range, &mut expected).unwrap();
        let (all, some) = (taken.times(TimeRange::ALL).unwrap(), taken.times(*range).unwrap());
        for times in [None, Some(&all), Some(&some)] {
            let mut got = Series::default();
            again.decode_into(&taken, times, *range, &mut nothing(), &mut got).unwrap();
            assert_eq!(bits(&got), bits(&expected), "{range:?}");
        }
    }
}

fn ranges(ts: &[i64]) -> Vec<TimeRange> {
    let at = |i: usize| ts.get(i).or(ts.last()).copied().unwrap_or(0);
    vec![
        TimeRange::ALL,
        TimeRange::new(at(0), at(3)),
        TimeRange::new(at(70).saturating_sub(1), at(75)),
        TimeRange::new(at(5).saturating_add(1), i64::MAX),
        TimeRange::new(at(500).saturating_add(1), i64::MAX),
        TimeRange::new(at(2), at(2)),
    ]
}

#[test]
fn roundtrip_of_chunks_taken_apart() {
    let deltas = |ts: &[i64]| ts.iter().map(|t| t - 9).collect::<Vec<i64>>();
    let irregular: Vec<i64> = (0..90).map(|i| i * i * i - 40).collect();
    let regular: Vec<i64> = (0..240).map(|i| i * 15_000).collect();
    for ts in [jittered(240), jittered(1), jittered(2), jittered(3), irregular, regular] {
        let walk: Vec<f64> = (0..ts.len()).map(|i| (i * i % 17) as f64 / 4.0).collect();
        let mut odd = walk.clone();
        odd[0] = stale_nan();
        for values in [walk, odd, vec![-0.0; ts.len()]] {
            for starts in [Vec::new(), deltas(&ts), vec![5; ts.len()]] {
                check(&floats(&ts, &values, &starts), &ranges(&ts));
            }
        }
        check(&histograms(&ts, &[]), &ranges(&ts));
        check(&histograms(&ts, &deltas(&ts)), &ranges(&ts));
    }
    check(&floats(&[i64::MIN, i64::MAX], &[1.0, 2.0], &[]), &[TimeRange::ALL]);
    assert_eq!(split(&floats(&[], &[], &[])).unwrap(), None);
}

#[test]
fn series_of_one_target_have_equal_grids() {
    let (ts, mut other) = (jittered(240), jittered(240));
    other[100] += 1;
    let values = |k: i64| (0..240).map(|i| (i * k) as f64).collect::<Vec<f64>>();
    let (a, b) = (floats(&ts, &values(1), &[]), floats(&ts, &values(7), &[3; 240]));
    let c = floats(&other, &values(1), &[]);
    let grid = |bytes| split(bytes).unwrap().unwrap().0;
    assert_eq!(grid(&a), grid(&b));
    assert_ne!(grid(&a), grid(&c));
    let mut detached = Vec::new();
    split(&a).unwrap().unwrap().1.put(5, &mut detached);
    assert!(detached.len() < 20 && a.len() > 50, "{} of {}", detached.len(), a.len());
}

/// The bytes of a grid and of a chunk on it, kept for ever.
#[test]
fn bytes_on_grids_stay_as_they_are() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let chunk = floats(&[1000, 2001, 3000, 4003], &[1.0, 2.0, 2.0, 5.0], &[900; 4]);
    let (grid, off) = split(&chunk).unwrap().unwrap();
    let (mut kept, mut detached) = (Vec::new(), Vec::new());
    grid.put(0, &mut kept);
    off.put(200, &mut detached);
    assert_eq!((hex(&kept).as_str(), hex(&detached).as_str()), GOLDEN);
}

/// The bytes of a predicted chunk and of one of long fractions, kept for ever.
#[test]
fn bytes_of_dense_chunks_stay_as_they_are() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let base = Base { rows_up: 3, slope: 200 };
    let (mut predicted, mut fractions) = (Vec::new(), Vec::new());
    put_predicted(300, base, &[1.0, 2.0, 2.0, 5.0], &mut predicted);
    let values: Vec<f64> =
        (0..8u64).map(|i| f64::from_bits(0x4059_1234_5678_9abc + i * i * 1234)).collect();
    let chunk = floats(&jittered(8), &values, &[]);
    let (grid, off) = split(&chunk).unwrap().unwrap();
    off.put_dense(&grid, 7, &mut fractions).unwrap();
    assert_eq!((hex(&predicted).as_str(), hex(&fractions).as_str()), DENSE);
    let (number, again) = OffGrid::take(&predicted).unwrap().unwrap();
    assert_eq!((number, again.base()), (300, Some(base)));
    let mut got = Vec::new();
    let (_, again) = OffGrid::take(&fractions).unwrap().unwrap();
    again.values(&grid, 0..8, &mut nothing(), &mut got).unwrap();
    assert_eq!(got, values);
}

#[test]
fn values_that_seldom_move_are_sparse_and_come_back_in_any_window() {
    let mut v = 0.0;
    let move_on = |i: i32| {
        v += if i % 3 == 0 { f64::from(i * 7919 % 1000) } else { 0.0 };
        v
    };
    let values: Vec<f64> = (0..300).map(move_on).collect();
    let chunk = floats(&jittered(300), &values, &[]);
    let (grid, off) = split(&chunk).unwrap().unwrap();
    let (mut plain, mut dense) = (Vec::new(), Vec::new());
    off.put(7, &mut plain);
    off.put_dense(&grid, 7, &mut dense).unwrap();
    assert!(dense.len() < plain.len() && dense.contains(&193));
    let (_, again) = OffGrid::take(&dense).unwrap().unwrap();
    for from in 0..300 {
        let mut got = Vec::new();
        let window = from..300.min(from + 70);
        again.values(&grid, window.clone(), &mut nothing(), &mut got).unwrap();
        assert_eq!(got, values[window]);
    }
    for cut in 0..dense.len() {
        let Ok(Some((_, cut))) = OffGrid::take(&dense[..cut]) else { continue };
        assert!(cut.values(&grid, 0..300, &mut nothing(), &mut Vec::new()).is_err());
    }
}

const DENSE: (&str, &str) =
    ("05ac0203c80103040002038201", "0307031b00f8eac4e78a8d89d98001d209028004");
const GOLDEN: (&str, &str) = ("04d00fbb170503e9070203", "04c801040004c70103040002038201");

#[test]
fn damaged_bytes_are_errors() {
    let chunk = floats(&jittered(240), &[1.5; 240], &[]);
    for cut in 0..chunk.len() {
        if let Ok(Some((grid, off))) = split(&chunk[..cut]) {
            // The body is cut.
            let mut into = Series::default();
            let found = off.decode_into(&grid, None, TimeRange::ALL, &mut nothing(), &mut into);
            assert!(found.is_err() && into.timestamps.is_empty() && into.values.is_empty());
        }
    }
    let mut kept = Vec::new();
    split(&chunk).unwrap().unwrap().0.put(0, &mut kept);
    for cut in 0..kept.len() {
        assert!(Grid::take(0, &mut &kept[..cut]).is_err());
    }
    let too_many = [0x81, 0x80, 0x40, 0, 0, 1, 0];
    assert!(matches!(Grid::take(0, &mut &too_many[..]), Err(ChunkError::TooMany(_))));
    assert!(Grid::take(0, &mut &[0, 0, 0, 1, 0][..]).is_err(), "a grid without times");
    let mut far = Vec::new();
    encode_floats(&[i64::MAX - 1, i64::MAX], &[1.0; 2], &mut far);
    let mut kept = Vec::new();
    split(&far).unwrap().unwrap().0.put(0, &mut kept);
    assert!(Grid::take(1, &mut &kept[..]).is_err(), "its end leaves 64 bits");
    let large = [0x03, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 2];
    assert!(OffGrid::take(&large).is_err(), "a grid behind 2^32");
    assert!(OffGrid::take(&[]).is_err());
}

proptest! {
    #[test]
    fn any_chunk_taken_apart_comes_back(
        steps in prop::collection::vec((1i64..5_000, any::<u64>(), -3i64..3), 1..200),
        start in -1_000_000i64..1_000_000,
        some_starts in any::<bool>(),
        bounds in (-1_000_000i64..1_500_000, 0i64..500_000),
    ) {
        let mut t = start;
        let ts: Vec<i64> = steps.iter().map(|(step, ..)| { t += step; t }).collect();
        let values: Vec<f64> = steps.iter().map(|(_, v, _)| f64::from_bits(*v)).collect();
        let starts: Vec<i64> = if some_starts { steps.iter().map(|s| s.2).collect() } else { Vec::new() };
        check(&floats(&ts, &values, &starts), &[TimeRange::ALL, TimeRange::new(bounds.0, bounds.0 + bounds.1)]);
    }

    #[test]
    fn long_fractions_come_back(
        values in prop::collection::vec(any::<u64>(), 2..200),
        near in any::<u64>(),
        from in 0usize..200,
    ) {
        for mask in [u64::MAX, u64::MAX >> 12, u64::MAX >> 40] {
            let values: Vec<f64> =
                values.iter().map(|v| f64::from_bits(near.wrapping_add(v & mask))).collect();
            let chunk = floats(&jittered(values.len() as i64), &values, &[]);
            let (grid, off) = split(&chunk).unwrap().unwrap();
            let mut dense = Vec::new();
            off.put_dense(&grid, 7, &mut dense).unwrap();
            let (_, again) = OffGrid::take(&dense).unwrap().unwrap();
            for window in [0..values.len(), from.min(values.len())..values.len()] {
                let mut got = Vec::new();
                again.values(&grid, window.clone(), &mut nothing(), &mut got).unwrap();
                let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&got), bits(&values[window]));
            }
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        kind in prop::sample::select(vec![1u8, 2, 3, 4, 5, 0x41, 0x42, 0x43, 0x44]),
        grid in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let head = [3, 0, 30];
        let whole: Vec<u8> = head.iter().chain(&grid).copied().collect();
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let _ = split(&bytes);
        for grid in [&grid[..], &whole[..]] {
            let Ok(grid) = Grid::take(0, &mut &*grid) else { continue };
            let times = grid.times(TimeRange::ALL).ok();
            let Ok(Some((_, off))) = OffGrid::take(&bytes) else { continue };
            let mut into = Series::default();
            let mut as_they_are = |_, _, _: &mut [f64]| Ok(());
            let _ = off.decode_into(&grid, None, TimeRange::ALL, &mut as_they_are, &mut into);
            let _ = off.decode_into(&grid, times.as_ref(), TimeRange::ALL, &mut nothing(), &mut into);
        }
    }
}
