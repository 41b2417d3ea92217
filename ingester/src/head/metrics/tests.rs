use std::collections::BTreeMap;

use proptest::prelude::*;
use skald_model::{BucketCounts, Histogram, ResetHint, Series, Span, TimeRange, stale_nan};
use skald_rpc::ingester::SelectSeries;

use super::*;

fn series(head: &mut MetricsHead, name: &str) -> Ref {
    let labels = Labels::from_pairs([("__name__", name)]);
    head.create(labels.id(), &labels).unwrap()
}

fn pick(head: &MetricsHead, range: TimeRange) -> EncodedSelection {
    encode(head, range, None)
}

fn encode(head: &MetricsHead, range: TimeRange, only: Option<Vec<String>>) -> EncodedSelection {
    let request = SelectSeries { matchers: Vec::new(), range, only, ids: true };
    let (refs, mut selection) = head.begin_encoding(&request);
    head.encode(&refs, range, &mut selection);
    selection
}

fn read(head: &MetricsHead, range: TimeRange) -> Vec<Series> {
    pick(head, range).decode(range).unwrap()
}

fn histogram(n: u64) -> Histogram {
    Histogram {
        schema: 1,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 0.0,
        sum: stale_nan(),
        positive_spans: vec![Span { offset: 0, length: 1 }],
        negative_spans: vec![],
        custom_values: vec![],
        counts: BucketCounts::Integer {
            count: n,
            zero_count: 0,
            positive: vec![1],
            negative: vec![],
        },
    }
}

#[test]
fn start_timestamps_stay_with_their_samples() {
    let mut head = MetricsHead::default();
    let (r, plain) = (series(&mut head, "started"), series(&mut head, "plain"));
    let window = Window::Ms(i64::MAX);
    // Sealed and raw samples, from the third on with another start; then late ones.
    let start = |i: i64| if i < 2 { 0 } else { 1 + i / 20 };
    for i in 0..50 {
        let stamp = Stamp { ts: 100 + 10 * i, start: start(i) };
        head.append(r, stamp, 1.0, window).unwrap();
        let stamp = Stamp { ts: stamp.ts + 1, ..stamp };
        head.append_histogram(r, stamp, &histogram(7), window).unwrap();
        head.append(plain, stamp.ts, 1.0, window).unwrap();
    }
    head.append(r, Stamp { ts: 505, start: 77 }, 1.0, window).unwrap();
    head.append(r, 515, 1.0, window).unwrap();
    head.append_histogram(r, Stamp { ts: 506, start: 78 }, &histogram(7), window).unwrap();
    let check = |all: &[Series], what: &str| {
        let found = all.iter().find(|s| s.labels.get("__name__") == Some("started")).unwrap();
        let mut want: BTreeMap<i64, i64> = (0..50).map(|i| (100 + 10 * i, start(i))).collect();
        let histograms: BTreeMap<i64, i64> = want.iter().map(|(t, s)| (t + 1, *s)).collect();
        want.extend([(505, 77), (515, 0)]);
        let got = found.timestamps.iter().copied().zip(found.starts.iter().copied());
        assert_eq!(got.collect::<BTreeMap<_, _>>(), want, "{what}");
        let times = found.histograms.iter().map(|(t, _)| *t);
        let got: BTreeMap<i64, i64> = times.zip(found.histogram_starts.iter().copied()).collect();
        assert_eq!(got, histograms.into_iter().chain([(506, 78)]).collect(), "{what}");
        let plain = all.iter().find(|s| s.labels.get("__name__") == Some("plain")).unwrap();
        assert!(plain.starts.is_empty(), "{what}");
    };
    check(&read(&head, TimeRange::ALL), "read");
    let (floats, histograms) = chunks_of(head.buffers(r)).unwrap();
    let mut flushed = Series::new(head.index.labels(r));
    for chunk in floats.iter().chain(&histograms) {
        skald_codec::chunk::decode_into(chunk, TimeRange::ALL, &mut flushed).unwrap();
    }
    let plain = Series::new(head.index.labels(plain));
    check(&[flushed, plain], "flushed");
}

#[test]
fn a_reader_gets_the_labels_it_wants_and_who_the_series_are() {
    let mut head = MetricsHead::default();
    let labels = Labels::from_pairs([("__name__", "m"), ("pod", "p"), ("zone", "z")]);
    let r = head.create(labels.id(), &labels).unwrap();
    series(&mut head, "empty");
    for i in 0..100 {
        head.append(r, i, 1.0, Window::Ms(0)).unwrap();
    }
    let only = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
    for (only, want) in [
        (None, labels.clone()),
        (only(&["absent", "pod"]), Labels::from_pairs([("pod", "p")])),
        (only(&[]), Labels::empty()),
    ] {
        let reduced = only.is_some();
        let sets = encode(&head, TimeRange::new(90, 99), only).finish().unwrap();
        assert_eq!((sets.len(), sets[0].len()), (1, 1));
        assert_eq!(sets[0].labels(0), want);
        assert_eq!((sets[0].id(0), sets[0].ids.len()), (labels.id(), usize::from(reduced)));
        // The last sealed chunk begins at 64.
        assert_eq!(sets[0].n_samples(0), 32 + 3);
    }
}

#[test]
fn repetitions_are_stored_once_and_conflicts_refused() {
    let mut head = MetricsHead::default();
    let r = series(&mut head, "a");
    for i in 0..100 {
        head.append(r, i * 10, 1.0, Window::Ms(0)).unwrap();
    }
    for i in 0..100 {
        head.append(r, i * 10, 1.0, Window::Ms(0)).unwrap();
        let conflict = head.append(r, i * 10, 2.0, Window::Ms(0)).unwrap_err();
        assert_eq!(conflict, Conflict::DuplicateTimestamp { stored: Some(1.0) });
    }
    assert_eq!(head.append(r, 5, 1.0, Window::Ms(0)), Err(Conflict::OutOfOrder { newest: 990 }));
    assert_eq!(head.append(r, 5, 1.0, Window::Ms(984)), Err(Conflict::TooOld { newest: 990 }));
    head.append(r, 5, 1.0, Window::Ms(985)).unwrap();
    head.append(r, 5, 1.0, Window::Ms(0)).unwrap();
    let got = read(&head, TimeRange::ALL).remove(0);
    assert_eq!(got.timestamps.len(), 101);
    assert_eq!(got.timestamps[..3], [0, 5, 10]);
    let old = -(1 << 62);
    head.append(r, old, 1.0, Window::Ms(i64::MAX)).unwrap();
    assert_eq!(read(&head, TimeRange::new(i64::MIN, 0))[0].timestamps, [old]);
}

#[test]
fn stale_markers_and_other_nans_are_compared_by_bits() {
    let mut head = MetricsHead::default();
    let r = series(&mut head, "a");
    head.append(r, 1, stale_nan(), Window::Ms(0)).unwrap();
    head.append(r, 1, stale_nan(), Window::Ms(0)).unwrap();
    head.append(r, 1, f64::NAN, Window::Ms(0)).unwrap_err();
    assert_eq!(read(&head, TimeRange::ALL)[0].values[0].to_bits(), stale_nan().to_bits());
}

#[test]
fn histograms_stand_beside_floats_at_other_times() {
    let mut head = MetricsHead::default();
    let r = series(&mut head, "a");
    let window = Window::Ms(1000);
    for i in 0..80 {
        head.append_histogram(r, 10 * i, &histogram(7), window).unwrap();
        head.append(r, 10 * i + 5, 1.0, window).unwrap();
    }
    let taken = Conflict::DuplicateTimestamp { stored: None };
    assert_eq!(head.append(r, 100, 1.0, window), Err(taken));
    let taken = Conflict::DuplicateTimestamp { stored: Some(1.0) };
    assert_eq!(head.append_histogram(r, 105, &histogram(7), window), Err(taken));
    head.append_histogram(r, 100, &histogram(7), window).unwrap();
    head.append_histogram(r, 790, &histogram(7), window).unwrap();
    head.append_histogram(r, 100, &histogram(8), window).unwrap_err();
    head.append_histogram(r, 7, &histogram(9), window).unwrap();
    let got = read(&head, TimeRange::new(0, 200)).remove(0);
    assert_eq!((got.histograms.len(), got.timestamps.len()), (21, 20));
    assert_eq!(got.histograms[1].0, 7);
    let (floats, histograms) = chunks_of(head.buffers(r)).unwrap();
    assert_eq!((floats.len(), histograms.len()), (1, 1));
}

#[test]
fn a_cut_leaves_the_snapshot_readable_and_remembers_the_newest() {
    let mut head = MetricsHead::default();
    let r = series(&mut head, "a");
    head.append(r, 1, 1.0, Window::Ms(0)).unwrap();
    head.log.note(9, 0);
    let snapshot = head.cut(Ageing::Counts).unwrap();
    assert_eq!((head.data_bytes(), head.log.first_seq, head.log.generation), (0, None, 1));
    head.append(r, 1, 1.0, Window::Ms(0)).unwrap();
    head.append(r, 1, 2.0, Window::Ms(0)).unwrap_err();
    head.append(r, 2, 2.0, Window::Ms(0)).unwrap();
    head.append(r, 1, 1.0, Window::Ms(10)).unwrap();
    assert_eq!(read(&head, TimeRange::ALL)[0].timestamps, [1, 2]);
    assert_eq!(chunks_of(&snapshot.data[r as usize]).unwrap().0.len(), 1);
    head.flushing = None;
    assert_eq!(read(&head, TimeRange::ALL)[0].timestamps, [2]);
}

#[test]
fn series_without_news_for_two_cuts_are_forgotten() {
    let mut head = MetricsHead::default();
    let [a, b] = ["a", "b"].map(|n| series(&mut head, n));
    head.append(a, 1, 1.0, Window::Ms(0)).unwrap();
    for t in 0..3 {
        let b = head.index.find(Labels::from_pairs([("__name__", "b")]).id()).unwrap_or(b);
        head.append(b, t, 1.0, Window::Ms(0)).unwrap();
        assert!(head.cut(Ageing::Counts).is_some());
        head.flushing = None;
    }
    assert_eq!(head.index.len(), 1);
    let b = head.index.find(Labels::from_pairs([("__name__", "b")]).id()).unwrap();
    head.append(b, 2, 9.0, Window::Ms(0)).unwrap_err();
    head.append(b, 3, 9.0, Window::Ms(0)).unwrap();
    assert_eq!(read(&head, TimeRange::ALL)[0].labels.metric_name(), Some("b"));
}

#[test]
fn only_the_newest_exemplars_are_kept_each_once() {
    let mut head = MetricsHead::default();
    let r = series(&mut head, "a");
    for t in [5, 1, 9, 9, 7] {
        let e = skald_model::Exemplar { labels: Labels::empty(), timestamp_ms: t, value: 1.0 };
        head.append_exemplar(r, &e, 3);
    }
    let (refs, mut picked) = head.begin(&[]);
    head.pick_exemplars(&refs, TimeRange::ALL, &mut picked);
    let found = picked.exemplars();
    assert_eq!(found[0].1.iter().map(|e| e.timestamp_ms).collect::<Vec<_>>(), [5, 7, 9]);
}

#[test]
fn metadata_is_bounded_and_only_changes_are_noted() {
    let mut head = MetricsHead::default();
    let m = |name: &str, help: &str| MetricMetadata {
        name: name.into(),
        help: help.into(),
        ..MetricMetadata::default()
    };
    assert_eq!(head.keep_metadata(&[m("a", "1"), m("b", "1"), m("c", "1")], 2), 1);
    head.changed_metadata.clear();
    assert_eq!(head.keep_metadata(&[m("a", "1"), m("b", "2")], 2), 0);
    assert_eq!(head.changed_metadata.into_keys().collect::<Vec<_>>(), ["b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_a_map(
        samples in prop::collection::vec((0i64..300, 0u8..3), 0..400),
        cut_at in 0usize..400,
        window in 0i64..200,
        start in 0i64..300,
        len in 0i64..300,
    ) {
        let mut head = MetricsHead::default();
        let r = series(&mut head, "a");
        let mut model: BTreeMap<i64, f64> = BTreeMap::new();
        for (i, (t, v)) in samples.into_iter().enumerate() {
            if i == cut_at {
                head.cut(Ageing::Counts);
            }
            let v = f64::from(v);
            let newest = model.keys().next_back().copied();
            let want = match model.get(&t) {
                Some(stored) if stored.to_bits() == v.to_bits() => Ok(()),
                Some(stored) => Err(Conflict::DuplicateTimestamp { stored: Some(*stored) }),
                None => match newest {
                    Some(newest) if t < newest && window == 0 => Err(Conflict::OutOfOrder { newest }),
                    Some(newest) if t < newest - window => Err(Conflict::TooOld { newest }),
                    _ => Ok(()),
                },
            };
            prop_assert_eq!(head.append(r, t, v, Window::Ms(window)), want);
            if want.is_ok() {
                model.insert(t, v);
            }
        }
        let range = TimeRange::new(start, start + len);
        let got = pick(&head, range).decode(range).unwrap().pop().unwrap_or_default();
        let want: Vec<(i64, f64)> = model.range(start..start + len).map(|(t, v)| (*t, *v)).collect();
        prop_assert_eq!(got.timestamps.into_iter().zip(got.values).collect::<Vec<_>>(), want);
    }
}

/// What a series has at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    /// Bits of a float.
    Float(u64),
    /// A histogram of so many observations.
    Histogram(u64),
}

fn value() -> impl Strategy<Value = Value> {
    let stale = stale_nan().to_bits();
    let bits = prop_oneof![
        Just(1f64.to_bits()),
        (0u32..1000).prop_map(|n| f64::from(n).to_bits()),
        any::<f64>().prop_map(f64::to_bits),
        prop::sample::select(vec![stale, stale | 1 << 40, (-0f64).to_bits(), 0, u64::MAX]),
    ];
    prop_oneof![
        12 => bits.prop_map(Value::Float),
        1 => (0u64..3).prop_map(Value::Histogram),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Mostly forward, so that tails fill and are sealed, with histograms between, late samples and repetitions.
    #[test]
    fn scrapes_come_back_bit_by_bit(
        steps in prop::collection::vec((0u8..20, 1i64..60, value()), 0..300),
        cut_at in 0usize..300,
        from in 0i64..4000,
        len in 0i64..4000,
    ) {
        let mut head = MetricsHead::default();
        let r = series(&mut head, "a");
        let mut model: BTreeMap<i64, Value> = BTreeMap::new();
        let mut newest = 0;
        for (i, (way, by, value)) in steps.into_iter().enumerate() {
            if i == cut_at {
                head.cut(Ageing::Counts);
            }
            let t = match way {
                0 => newest,
                1 | 2 => newest - by,
                3 => newest + by,
                _ => newest + 15,
            };
            let got = match value {
                Value::Float(bits) => head.append(r, t, f64::from_bits(bits), Window::Any),
                Value::Histogram(n) => head.append_histogram(r, t, &histogram(n), Window::Any),
            };
            let stored = *model.entry(t).or_insert(value);
            prop_assert_eq!(got.is_ok(), stored == value, "{:?} at {}: {:?}", value, t, got);
            newest = newest.max(t);
        }
        for range in [TimeRange::ALL, TimeRange::new(from, from + len)] {
            let got = read(&head, range).pop().unwrap_or_default();
            let floats = got.timestamps.iter().zip(&got.values);
            let mut all: BTreeMap<i64, Value> =
                floats.map(|(t, v)| (*t, Value::Float(v.to_bits()))).collect();
            let count = |h: &Histogram| match h.counts {
                BucketCounts::Integer { count, .. } => count,
                BucketCounts::Float { .. } => u64::MAX,
            };
            all.extend(got.histograms.iter().map(|(t, h)| (*t, Value::Histogram(count(h)))));
            prop_assert_eq!(all.len(), got.timestamps.len() + got.histograms.len());
            let want: BTreeMap<i64, Value> = model
                .range(range.start..range.end)
                .map(|(t, value)| (*t, *value))
                .collect();
            prop_assert_eq!(all, want);
        }
    }
}

#[test]
fn a_push_repeated_behind_a_flush_succeeds() {
    let mut head = MetricsHead::default();
    let r = series(&mut head, "a");
    for ts in [1000, 2000, 3000] {
        head.append(r, ts, 1.0, Window::Ms(0)).unwrap();
    }
    drop(head.cut(Ageing::Counts));
    head.flushing = None;
    for ts in [1000, 2000, 3000] {
        head.append(r, ts, 1.0, Window::Ms(0)).unwrap();
    }
    head.append(r, 4000, 1.0, Window::Ms(0)).unwrap();
    // Between samples that are here nothing can be a repetition, and long ago nobody repeats.
    let conflict = head.append(r, 4000 - append::RETRY_MS - 1, 1.0, Window::Ms(0)).unwrap_err();
    assert_eq!(conflict, Conflict::OutOfOrder { newest: 4000 });
    head.append(r, 5000, 1.0, Window::Ms(0)).unwrap();
    let conflict = head.append(r, 4500, 1.0, Window::Ms(0)).unwrap_err();
    assert_eq!(conflict, Conflict::OutOfOrder { newest: 5000 });
}
