#![expect(clippy::float_cmp, reason = "exact results are what is tested")]

use skald_model::{BucketCounts, Histogram, ResetHint, Span};

use super::*;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs().max(1.0)
}

fn exponential(
    schema: i32,
    zero: f64,
    positive: &[(i32, f64)],
    negative: &[(i32, f64)],
) -> FloatHistogram {
    let total: f64 = positive.iter().chain(negative).map(|b| b.1).sum();
    FloatHistogram {
        schema,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 0.001,
        zero_count: zero,
        count: total + zero,
        sum: 10.0,
        positive: positive.to_vec(),
        negative: negative.to_vec(),
        custom_values: Arc::from([]),
    }
}

fn custom(bounds: &[f64], buckets: &[(i32, f64)]) -> FloatHistogram {
    let mut h = exponential(Histogram::CUSTOM_BUCKETS, 0.0, buckets, &[]);
    h.zero_threshold = 0.0;
    h.custom_values = bounds.into();
    h
}

#[test]
fn integer_deltas_become_absolute_counts() {
    let model = Histogram {
        schema: 0,
        reset_hint: ResetHint::No,
        zero_threshold: 0.5,
        sum: 3.0,
        positive_spans: vec![Span { offset: 1, length: 2 }, Span { offset: 2, length: 1 }],
        negative_spans: vec![],
        custom_values: vec![],
        counts: BucketCounts::Integer {
            count: 9,
            zero_count: 1,
            positive: vec![2, 1, -1],
            negative: vec![],
        },
    };
    let h = FloatHistogram::from(&model);
    assert_eq!(h.positive, [(1, 2.0), (2, 3.0), (5, 2.0)]);
    assert_eq!(FloatHistogram::from(&h.to_model()), h);
    assert_eq!(h.to_model().positive_spans, model.positive_spans);
}

#[test]
fn spans_beyond_the_counts_are_bounded() {
    let model = Histogram {
        schema: 0,
        reset_hint: ResetHint::No,
        zero_threshold: 0.0,
        sum: 0.0,
        positive_spans: vec![Span { offset: i32::MAX, length: u32::MAX }; 3],
        negative_spans: vec![],
        custom_values: vec![],
        counts: BucketCounts::Float {
            count: 2.0,
            zero_count: 0.0,
            positive: vec![1.0, 1.0],
            negative: vec![],
        },
    };
    assert!(FloatHistogram::from(&model).positive.len() <= 2);
}

#[test]
fn buckets_carry_the_boundaries_of_the_json_format() {
    let h = exponential(0, 2.0, &[(-9, 1.0), (1, 3.0)], &[(0, 4.0)]);
    let got: Vec<_> = h.buckets().map(|b| (b.boundary as u8, b.lower, b.upper, b.count)).collect();
    assert_eq!(
        got,
        [
            (1, -1.0, -0.5, 4.0),
            (3, -0.001, 0.001, 2.0),
            (0, 0.001, 0.001_953_125, 1.0),
            (0, 1.0, 2.0, 3.0)
        ]
    );
    let h = custom(&[1.0, 5.0], &[(0, 1.0), (2, 3.0)]);
    let got: Vec<_> = h.buckets().map(|b| (b.boundary as u8, b.lower, b.upper)).collect();
    assert_eq!(got, [(3, f64::NEG_INFINITY, 1.0), (0, 5.0, f64::INFINITY)]);
}

#[test]
fn sums_at_the_lower_resolution() {
    let mut a = exponential(1, 1.0, &[(1, 1.0), (2, 2.0), (3, 4.0)], &[]);
    let b = exponential(0, 0.0, &[(1, 10.0), (4, 1.0)], &[(2, 5.0)]);
    a.add(&b).unwrap();
    assert_eq!(a.schema, 0);
    assert_eq!(a.positive, [(1, 13.0), (2, 4.0), (4, 1.0)]);
    assert_eq!(a.negative, [(2, 5.0)]);
    assert_eq!(a.count, 24.0);
    let copy = a.clone();
    a.sub(&copy).unwrap();
    assert!(a.positive.is_empty() && a.negative.is_empty());
}

#[test]
fn sums_widen_the_narrower_zero_bucket() {
    let mut a = exponential(0, 1.0, &[(1, 2.0), (3, 4.0)], &[]);
    let mut b = exponential(0, 5.0, &[(3, 1.0)], &[]);
    b.zero_threshold = 1.5;
    a.add(&b).unwrap();
    assert_eq!((a.zero_threshold, a.zero_count), (2.0, 8.0));
    assert_eq!(a.positive, [(3, 5.0)]);
}

#[test]
fn custom_bounds_that_differ_are_reduced_to_the_common_ones() {
    let mut a = custom(&[1.0, 2.0, 5.0], &[(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)]);
    let b = custom(&[2.0, 4.0, 5.0], &[(0, 10.0), (1, 20.0), (3, 30.0)]);
    let notes = a.add(&b).unwrap();
    assert!(notes.bounds_reconciled);
    assert_eq!(*a.custom_values, [2.0, 5.0]);
    assert_eq!(a.positive, [(0, 13.0), (1, 24.0), (2, 38.0)]);
    assert_eq!(a.add(&exponential(0, 1.0, &[], &[])), Err(HistogramError::MixedSchemas));
}

#[test]
fn contradicting_reset_hints_are_noted() {
    let mut a = exponential(0, 1.0, &[], &[]);
    let mut b = a.clone();
    a.reset_hint = ResetHint::Yes;
    b.reset_hint = ResetHint::No;
    assert!(a.add(&b).unwrap().reset_collision);
    assert_eq!(a.reset_hint, ResetHint::Unknown);
    b.reset_hint = ResetHint::Gauge;
    assert!(!a.add(&b).unwrap().reset_collision);
    assert_eq!(a.reset_hint, ResetHint::Gauge);
}

#[test]
fn quantiles_interpolate_within_buckets() {
    let h = exponential(0, 0.0, &[(1, 4.0), (2, 4.0)], &[]);
    assert!(close(h.quantile(0.5).0, 2.0));
    assert!(close(h.quantile(0.25).0, 2f64.sqrt()));
    assert!(close(h.quantile(0.75).0, 2.0 * 2f64.sqrt()));
    assert_eq!(h.quantile(1.0).0, 4.0);
    let mirrored = exponential(0, 0.0, &[], &[(1, 4.0), (2, 4.0)]);
    assert!(close(mirrored.quantile(0.25).0, -2.0 * 2f64.sqrt()));
    let h = custom(&[1.0, 5.0], &[(0, 4.0), (1, 4.0), (2, 2.0)]);
    assert!(close(h.quantile(0.2).0, 0.5));
    assert_eq!(h.quantile(0.99).0, 5.0);
    assert_eq!(h.quantile(-0.1).0, f64::NEG_INFINITY);
}

#[test]
fn fractions_are_the_inverse_of_quantiles() {
    let h = exponential(0, 2.0, &[(1, 4.0), (2, 4.0)], &[(1, 2.0)]);
    for phi in [0.1, 0.3, 0.4, 0.6, 0.9] {
        let q = h.quantile(phi).0;
        let back = h.fraction(f64::NEG_INFINITY, q);
        assert!((back - phi).abs() < 1e-9, "{phi} {q} {back}");
    }
    assert_eq!(h.fraction(f64::NEG_INFINITY, f64::INFINITY), 1.0);
    assert_eq!(h.fraction(2.0, 1.0), 0.0);
}

#[test]
fn resets_are_seen_in_any_bucket() {
    let before = exponential(1, 1.0, &[(1, 1.0), (2, 2.0)], &[]);
    let mut after = before.clone();
    after.positive = vec![(1, 1.0), (2, 2.0), (7, 1.0)];
    after.count += 1.0;
    assert!(!after.is_reset_after(&before));
    let mut fell = after.clone();
    fell.positive[0].1 = 0.5;
    assert!(fell.is_reset_after(&before));
    let mut coarser = after.clone();
    coarser.reduce_schema(0);
    assert!(!coarser.is_reset_after(&before));
    assert!(before.is_reset_after(&coarser));
    let mut hinted = after;
    hinted.reset_hint = ResetHint::Yes;
    assert!(hinted.is_reset_after(&before));
}

#[test]
fn sums_of_many_keep_what_rounding_loses() {
    let with_sum = |sum: f64| {
        let mut h = exponential(0, 1.0, &[(1, sum.abs())], &[]);
        h.sum = sum;
        h
    };
    let mut total = HistogramSum::new(&with_sum(1.0));
    for v in [1e100, 1.0, -1e100] {
        total.add(&with_sum(v)).unwrap();
    }
    assert_eq!(total.clone().sum().sum, 2.0);
    assert_eq!(total.mean().sum, 0.5);
    let huge = |count| {
        let mut h = exponential(0, 0.0, &[], &[]);
        h.count = count;
        h
    };
    let mut mean = HistogramSum::new(&huge(1.5e308));
    for _ in 0..3 {
        mean.add_to_mean(&huge(1.5e308)).unwrap();
    }
    assert!(close(mean.mean().count / 1e308, 1.5));
}

#[test]
fn trimming_divides_the_bucket_that_is_cut() {
    let h = exponential(0, 2.0, &[(1, 4.0), (2, 4.0)], &[(1, 2.0)]);
    let below = h.trim(2f64.sqrt(), Keep::Below);
    assert_eq!(below.negative, h.negative);
    assert!(close(below.positive[0].1, 2.0) && below.positive.len() == 1);
    let above = h.trim(2f64.sqrt(), Keep::Above);
    assert!(close(above.positive[0].1, 2.0) && close(above.count, 6.0));
    assert_eq!(above.zero_count, 0.0);
    assert_eq!(h.trim(f64::INFINITY, Keep::Below), h);
    assert_eq!(h.trim(f64::NEG_INFINITY, Keep::Below).count, 0.0);
    for keep in [Keep::Below, Keep::Above] {
        let nowhere = h.trim(f64::NAN, keep);
        assert!(nowhere.count.is_nan() && nowhere.sum.is_nan() && nowhere.zero_count.is_nan());
        assert!(nowhere.positive.is_empty() && nowhere.negative.is_empty());
        let no_zeros = exponential(0, 0.0, &[(1, 4.0)], &[]).trim(f64::NAN, keep);
        assert_eq!((no_zeros.count, no_zeros.sum), (0.0, 0.0));
    }
}

#[test]
fn equality_does_not_look_at_reset_hints() {
    let a = exponential(0, 2.0, &[(1, 4.0)], &[]);
    let mut b = a.clone();
    b.reset_hint = ResetHint::Gauge;
    assert!(a.equals(&b));
    b.positive[0].1 = 5.0;
    assert!(!a.equals(&b));
}
