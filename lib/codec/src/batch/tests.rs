use proptest::prelude::*;
use skald_model::{BucketCounts, Exemplar, Histogram, Labels, ResetHint, Span, stale_nan};

use super::*;

fn histogram(float: bool) -> Histogram {
    Histogram {
        schema: -53,
        reset_hint: ResetHint::Gauge,
        zero_threshold: 1e-128,
        sum: -2.5,
        positive_spans: vec![Span { offset: -3, length: 2 }],
        negative_spans: vec![],
        custom_values: vec![0.5, 1.0],
        counts: if float {
            BucketCounts::Float {
                count: 1.5,
                zero_count: 0.25,
                positive: vec![1.0, -0.0],
                negative: vec![],
            }
        } else {
            BucketCounts::Integer {
                count: u64::MAX,
                zero_count: 3,
                positive: vec![5, -4],
                negative: vec![],
            }
        },
    }
}

fn golden() -> Bytes {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "x")]);
    let mut b = MetricsBuilder::new(1000);
    b.series(labels.id(), Some(&labels), &[(1000, 1.0), (2000, stale_nan())], &[], &[]);
    let e = Exemplar { labels: Labels::from_pairs([("t", "1")]), timestamp_ms: 999, value: 2.0 };
    b.series(SeriesId(7), None, &[], &[(1, histogram(true)), (2, histogram(false))], &[e]);
    b.metadata(&MetricMetadata { name: "up".into(), kind: "gauge".into(), ..Default::default() });
    b.finish()
}

use bytes::Bytes;

#[test]
fn roundtrip_metrics_with_everything() {
    let bytes = golden();
    let mut batch = Batch::parse(&bytes).unwrap();
    let mut samples = Samples::default();
    let first = batch.next_series().unwrap().unwrap();
    first.decode(&mut samples).unwrap();
    assert!(Labels::from_bytes(Bytes::copy_from_slice(first.labels.unwrap())).is_ok());
    assert_eq!(samples.floats[1].1.to_bits(), stale_nan().to_bits());
    let second = batch.next_series().unwrap().unwrap();
    second.decode(&mut samples).unwrap();
    assert_eq!((second.id, second.labels), (SeriesId(7), None));
    assert_eq!(samples.histograms, vec![(1, histogram(true)), (2, histogram(false))]);
    assert_eq!(samples.exemplars[0].timestamp_ms, 999);
    assert!(batch.next_series().unwrap().is_none());
    assert_eq!(batch.metadata().unwrap()[0].kind, "gauge");
}

/// Version 1 must stay readable for ever.
#[test]
fn golden_bytes_of_version_1() {
    let hex: String = golden().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, include_str!("../../testdata/batch-v1.hex").trim());
}

fn started() -> Bytes {
    let mut b = MetricsBuilder::new(1000);
    let starts = Starts { floats: &[500, 500], histograms: &[0, 7] };
    let floats = [(1000, 1.0), (2000, 2.0)].into_iter();
    let histograms = [(1, histogram(true)), (2, histogram(false))];
    b.series_iter(SeriesId(7), None, floats, &histograms, &[], starts);
    b.series(SeriesId(8), None, &[(3000, 1.0)], &[], &[]);
    b.finish()
}

#[test]
fn roundtrip_start_timestamps() {
    let bytes = started();
    let mut batch = Batch::parse(&bytes).unwrap();
    let mut samples = Samples::default();
    batch.next_series().unwrap().unwrap().decode(&mut samples).unwrap();
    assert_eq!(samples.starts, [500, 500]);
    assert_eq!(samples.histogram_starts, [0, 7]);
    batch.next_series().unwrap().unwrap().decode(&mut samples).unwrap();
    assert!(samples.starts.is_empty() && samples.histogram_starts.is_empty());
}

#[test]
fn start_timestamps_that_do_not_fit_the_samples_are_refused() {
    let bytes = started();
    // The first run covers two floats.
    let at = bytes.windows(3).rposition(|w| w[0] == 2 && w[1..] == [0xe7, 0x07]).unwrap();
    for run in [0, 9] {
        let mut bad = bytes.to_vec();
        bad[at] = run;
        let mut batch = Batch::parse(&bad).unwrap();
        let series = batch.next_series().unwrap().unwrap();
        assert!(series.decode(&mut Samples::default()).is_err(), "{run}");
    }
}

#[test]
fn golden_bytes_of_start_timestamps() {
    let hex: String = started().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, include_str!("../../testdata/batch-v1-starts.hex").trim());
}

#[test]
fn roundtrip_logs() {
    let labels = Labels::from_pairs([("app", "x")]);
    let meta = Labels::from_pairs([("trace", "abc")]);
    let mut b = LogsBuilder::new(5);
    b.stream(labels.id(), Some(&labels));
    b.entry(10, b"one", &Labels::empty());
    b.entry(7, b"", &meta);
    b.stream(SeriesId(9), None);
    let bytes = b.finish();
    let mut batch = Batch::parse(&bytes).unwrap();
    assert_eq!(batch.n_items(), 2);
    let mut s = batch.next_stream().unwrap().unwrap();
    let one = s.next_entry().unwrap().unwrap();
    assert_eq!((one.timestamp_ns, one.line, one.metadata), (10, &b"one"[..], &b""[..]));
    let two = s.next_entry().unwrap().unwrap();
    assert_eq!((two.timestamp_ns, two.metadata), (7, &meta.as_bytes()[..]));
    assert!(s.next_entry().unwrap().is_none());
    assert_eq!(batch.next_stream().unwrap().unwrap().n_entries(), 0);
    assert!(batch.next_stream().unwrap().is_none());
}

#[test]
fn resending_adds_labels_to_the_chosen_items() {
    let labels = Labels::from_pairs([("a", "b")]);
    let mut b = MetricsBuilder::new(0);
    for i in 0..4u8 {
        b.series(SeriesId(i.into()), None, &[(1, f64::from(i))], &[], &[]);
    }
    let again = with_labels(&b.finish(), &[1, 3], |_| Some(labels.clone())).unwrap();
    let mut batch = Batch::parse(&again).unwrap();
    let mut samples = Samples::default();
    for want in [1u8, 3] {
        let s = batch.next_series().unwrap().unwrap();
        s.decode(&mut samples).unwrap();
        assert_eq!((s.id, s.labels), (SeriesId(want.into()), Some(&labels.as_bytes()[..])));
        assert_eq!(samples.floats, vec![(1, f64::from(want))]);
    }
    assert!(batch.next_series().unwrap().is_none());
    assert!(batch.metadata().unwrap().is_empty());
}

fn read_all(bytes: &[u8]) -> Result<(), WireError> {
    let mut batch = Batch::parse(bytes)?;
    let mut samples = Samples::default();
    while let Some(s) = batch.next_series()? {
        s.decode(&mut samples)?;
    }
    while let Some(mut s) = batch.next_stream()? {
        while s.next_entry()?.is_some() {}
    }
    batch.metadata().map(drop)
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = golden();
    for n in 0..bytes.len() {
        assert!(read_all(&bytes[..n]).is_err(), "{n}");
    }
    read_all(&bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flipped_bytes_never_panic(at in 0usize..300, with in any::<u8>()) {
        let mut bytes = golden().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= with;
        let _ = read_all(&bytes);
    }

    #[test]
    fn roundtrip_floats(base in any::<i64>(), points in prop::collection::vec((any::<i64>(), any::<u64>()), 0..20)) {
        let points: Vec<(i64, f64)> = points.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect();
        let mut b = MetricsBuilder::new(base);
        b.series(SeriesId(1), None, &points, &[], &[]);
        let bytes = b.finish();
        let mut samples = Samples::default();
        Batch::parse(&bytes).unwrap().next_series().unwrap().unwrap().decode(&mut samples).unwrap();
        let bits = |v: &[(i64, f64)]| v.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>();
        prop_assert_eq!(bits(&samples.floats), bits(&points));
    }
}
