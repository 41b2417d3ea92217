use skald_model::{BucketCounts, stale_nan};

use super::*;

fn histogram(count: u64) -> Histogram {
    let (positive, negative) = (Vec::new(), Vec::new());
    let counts = BucketCounts::Integer { count, zero_count: count, positive, negative };
    Histogram {
        schema: 0,
        reset_hint: skald_model::ResetHint::Unknown,
        zero_threshold: 0.5,
        sum: 1.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts,
    }
}

fn names(i: u32) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("i", i.to_string())])
}

/// A sealed chunk, a tail, a late sample and a repetition of the tail's first sample.
fn mixed() -> EncodedSeries {
    let mut encoder = Encoder::default();
    let mut chunk = Vec::new();
    chunk::encode_floats(&[10, 20, 30], &[1.0, 2.0, stale_nan()], &mut chunk);
    encoder.chunk(&chunk);
    encoder.floats(&[(40, 4.0), (50, 5.0)]);
    encoder.floats(&[(25, 2.5), (40, 9.0)]);
    encoder.histograms(&[(60, histogram(1)), (70, histogram(2))]);
    encoder.finish_series(None, |out| out.extend_from_slice(names(1).as_bytes()));
    encoder.floats(&[(1, 1.0)]);
    encoder.finish_series(None, |out| out.extend_from_slice(names(2).as_bytes()));
    encoder.finish()
}

fn decoded(set: &EncodedSeries, i: usize, range: TimeRange) -> Series {
    let mut out = Series::default();
    set.decode(i, range, &mut out).unwrap();
    out
}

#[test]
fn sections_of_a_series_become_sorted_samples_each_time_once() {
    let set = mixed();
    assert_eq!((set.len(), set.n_samples(0), set.n_samples(1)), (2, 9, 1));
    let got = decoded(&set, 0, TimeRange::ALL);
    assert_eq!(got.timestamps, [10, 20, 25, 30, 40, 50]);
    assert_eq!((got.values[4], got.values[3].to_bits()), (4.0, stale_nan().to_bits()));
    assert_eq!(got.histograms, [(60, histogram(1)), (70, histogram(2))]);
    assert_eq!(decoded(&set, 1, TimeRange::ALL).timestamps, [1]);
    assert_eq!(set.labels(1), names(2));
    assert_eq!(set.id(0), names(1).id());
}

#[test]
fn start_timestamps_stay_with_their_samples() {
    let mut series = Series::new(names(1));
    for i in 0..1000 {
        series.push(i * 10, 1.0, if i < 700 { 5 } else { 0 });
    }
    series.push_histogram(3, histogram(1), 2);
    let sets = EncodedSeries::of(std::slice::from_ref(&series));
    let got = decoded(&sets[0], 0, TimeRange::ALL);
    assert_eq!((&got.starts, &got.histogram_starts), (&series.starts, &series.histogram_starts));
    assert_eq!(decoded(&sets[0], 0, TimeRange::new(6980, 7010)).starts, [5, 5, 0]);
}

#[test]
fn samples_outside_the_range_are_left_out() {
    let got = decoded(&mixed(), 0, TimeRange::new(20, 70));
    assert_eq!(got.timestamps, [20, 25, 30, 40, 50]);
    assert_eq!(got.histograms, [(60, histogram(1))]);
    assert!(decoded(&mixed(), 0, TimeRange::new(71, 100)).is_empty());
}

#[test]
fn roundtrip_decoded_series_over_several_sets() {
    let series: Vec<Series> = (0..40)
        .map(|i| Series {
            labels: names(i),
            timestamps: (0..3000).collect(),
            values: (0..3000).map(f64::from).collect(),
            histograms: vec![(1, histogram(3))],
            ..Series::default()
        })
        .collect();
    let sets = EncodedSeries::of(&series);
    assert!(sets.len() > 1);
    let all = sets.iter().flat_map(|set| {
        (0..set.len()).map(|i| Series { labels: set.labels(i), ..decoded(set, i, TimeRange::ALL) })
    });
    assert_eq!(all.collect::<Vec<_>>(), series);
    assert!(sets.iter().all(|set| set.check().is_ok()));
}

#[test]
fn damaged_bytes_are_refused_or_decoded_but_never_panic() {
    let set = mixed();
    for at in 0..set.data.len() {
        for to in [0, 1, 2, 0x7f, 0xff] {
            let mut data = set.data.to_vec();
            data[at] = to;
            let broken = EncodedSeries { data: data.into(), ..set.clone() };
            let _ = broken.decode(0, TimeRange::ALL, &mut Series::default());
            let _ = broken.n_samples(0);
        }
        let short = EncodedSeries { data: set.data.slice(..at), ..set.clone() };
        let _ = short.decode(0, TimeRange::ALL, &mut Series::default());
        assert!(short.check().is_err());
    }
    let broken = EncodedSeries { labels: Bytes::from_static(b"\x01"), ..set.clone() };
    assert!(broken.check().is_err() && broken.labels(0).is_empty());
    let broken = EncodedSeries { label_ends: vec![3, 1], ..set };
    assert!(broken.check().is_err() && broken.labels(1).is_empty());
}
