#![expect(clippy::float_cmp, reason = "exact results are what is tested")]

use skald_model::Labels;

use super::*;
use crate::{CancelFlag, Column, Context, Grid, Matrix, VectorError};

fn instant(columns: &[(&[(&str, &str)], f64)]) -> Matrix {
    let mut out = Matrix::new(Grid::instant(0));
    for (pairs, v) in columns {
        out.push(Column::full(Labels::from_pairs(pairs.iter().copied()), vec![*v]));
    }
    out
}

fn labels(m: &Matrix) -> Vec<String> {
    m.columns.iter().map(|c| c.labels.to_string()).collect()
}

#[test]
fn formats_floats_as_the_apis_do() {
    assert_eq!(format_float(1e21), "1000000000000000000000");
    assert_eq!(format_float(f64::INFINITY), "+Inf");
    assert_eq!(format_g(123_456.5), "123456.5");
    assert_eq!(format_g(1_700_007_450.0), "1.70000745e+09");
    assert_eq!(format_g(0.000_01), "1e-05");
    assert_eq!(format_g(-1.1), "-1.1");
    assert_eq!(format_g(f64::NAN), "NaN");
    let rounded =
        [(0.0, "0"), (9.96, "10"), (99.6, "1e+02"), (-0.012_34, "-0.012"), (7e-9, "7e-09")];
    for (v, text) in rounded {
        assert_eq!(format_g2(v), text);
    }
    assert_eq!(rfc3339(1_709_210_096), "2024-02-29T12:34:56Z");
    assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
}

fn free(_: usize) -> Result<(), VectorError> {
    Ok(())
}

#[test]
fn label_values_are_charged_before_they_are_made() {
    let ctx = &Context::default();
    let long = "x".repeat(1000);
    let input = || instant(&[(&[("a", &long)], 1.0), (&[("a", "y")], 2.0)]);
    let refuse = |bytes| if bytes > 1500 { Err(VectorError::TooManySamples) } else { Ok(()) };
    assert!(label_replace(input(), "b", "$1", "a", "(.*)", ctx, refuse).is_ok());
    let err = label_replace(input(), "b", "$1$1", "a", "(.*)", ctx, refuse);
    assert_eq!(err, Err(VectorError::TooManySamples));
    assert!(label_replace(input(), "b", "$1$1", "a", "(y)", ctx, refuse).is_ok());
    assert!(label_join(input(), "b", "", &["a"], ctx, refuse).is_ok());
    assert_eq!(
        label_join(input(), "b", "", &["a", "a"], ctx, refuse),
        Err(VectorError::TooManySamples)
    );
}

#[test]
fn label_replace_expands_groups() {
    let ctx = &Context::default();
    let input = || instant(&[(&[("__name__", "m"), ("src", "host-42")], 1.0)]);
    let out =
        label_replace(input(), "id", "${num}/$1", "src", "(?P<num>[a-z]+)-([0-9]+)", ctx, free)
            .unwrap();
    assert_eq!(labels(&out), [r#"{__name__="m", id="host/host", src="host-42"}"#]);
    let out = label_replace(input(), "id", "$2", "src", "(.*)-([0-9])", ctx, free).unwrap();
    assert_eq!(labels(&out), [r#"{__name__="m", src="host-42"}"#]);
    let out = label_replace(input(), "src", "", "src", ".*", ctx, free).unwrap();
    assert_eq!(labels(&out), [r#"{__name__="m"}"#]);
    assert!(label_replace(input(), "x", "", "src", "(", ctx, free).is_err());
    assert!(label_replace(input(), "", "", "src", ".*", ctx, free).is_err());
}

#[test]
fn labels_that_become_equal_are_an_error() {
    let ctx = &Context::default();
    let input = instant(&[(&[("a", "1")], 1.0), (&[("a", "2")], 2.0)]);
    assert_eq!(
        label_replace(input, "a", "x", "a", ".*", ctx, free),
        Err(VectorError::SameLabelset)
    );
}

#[test]
fn label_join_joins_in_the_given_order() {
    let ctx = &Context::default();
    let input = instant(&[(&[("a", "1"), ("b", "2")], 1.0)]);
    let out = label_join(input, "c", "-", &["b", "none", "a"], ctx, free).unwrap();
    assert_eq!(labels(&out), [r#"{a="1", b="2", c="2--1"}"#]);
}

#[test]
fn sorts_numbers_within_labels_by_size() {
    let input =
        instant(&[(&[("i", "a10")], 1.0), (&[("i", "a9")], f64::NAN), (&[("i", "a09b")], 3.0)]);
    let ctx = Context::default();
    let by_label = sort_by_labels(input.clone(), &["i"], Direction::Ascending, &ctx).unwrap();
    assert_eq!(labels(&by_label), [r#"{i="a9"}"#, r#"{i="a09b"}"#, r#"{i="a10"}"#]);
    let by_value = sort_by_value(input, Direction::Descending, &ctx).unwrap();
    assert_eq!(labels(&by_value), [r#"{i="a09b"}"#, r#"{i="a10"}"#, r#"{i="a9"}"#]);
}

#[test]
fn a_long_sort_equals_a_short_one_and_stops_when_asked() {
    let key = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
    let mut items: Vec<(u64, u64)> = (0..40_000).map(|i| (key(i), i)).collect();
    let mut expected = items.clone();
    expected.sort_by_key(|(key, _)| *key);
    sort(&mut items, &Context::default(), |a, b| a.0.cmp(&b.0)).unwrap();
    assert_eq!(items, expected);
    let ctx = Context { cancel: CancelFlag::after(3), ..Context::default() };
    items.reverse();
    assert_eq!(sort(&mut items, &ctx, |a, b| a.0.cmp(&b.0)), Err(VectorError::Cancelled));
}

#[test]
fn maps_drop_the_name_and_may_collide() {
    let input = instant(&[(&[("__name__", "m"), ("a", "1")], -1.5)]);
    let out = map_floats(input, &Context::default(), |_, v| v.abs()).unwrap();
    assert_eq!(labels(&out), [r#"{a="1"}"#]);
    assert_eq!(out.columns[0].float(0), Some(1.5));
    let twins = instant(&[(&[("__name__", "m")], 1.0), (&[("__name__", "n")], 1.0)]);
    let err = map_floats(twins, &Context::default(), |_, v| v);
    assert_eq!(err, Err(VectorError::SameLabelset));
}

#[test]
fn clamps_and_rounds_per_step() {
    let one = |v| instant(&[(&[], v)]);
    let ctx = Context::default();
    assert_eq!(clamp(one(5.0), &[0.0], &[2.0], &ctx).unwrap().columns[0].values, [2.0]);
    assert!(clamp(one(5.0), &[3.0], &[2.0], &ctx).unwrap().columns.is_empty());
    assert_eq!(round(one(-2.5), &[1.0], &ctx).unwrap().columns[0].values, [-2.0]);
    assert_eq!(round(one(2.57), &[0.1], &ctx).unwrap().columns[0].values, [2.6]);
}

#[test]
fn dates_are_gregorian_and_utc() {
    // 2016-02-29 23:59:59 UTC, a Monday.
    let t = 1_456_790_399.0;
    let parts = [
        (DatePart::Minute, 59.0),
        (DatePart::Hour, 23.0),
        (DatePart::DayOfWeek, 1.0),
        (DatePart::DayOfMonth, 29.0),
        (DatePart::DayOfYear, 60.0),
        (DatePart::DaysInMonth, 29.0),
        (DatePart::Month, 2.0),
        (DatePart::Year, 2016.0),
    ];
    for (part, want) in parts {
        assert_eq!(part.of(t), want, "{part:?}");
    }
    assert_eq!(DatePart::Year.of(-1.0), 1969.0);
    assert_eq!(DatePart::DayOfWeek.of(0.0), 4.0);
    // As Prometheus on amd64: what is no time is the last second of 64 bits.
    for no_time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e20] {
        assert_eq!(DatePart::Year.of(no_time), 292_277_026_596.0);
        assert_eq!(DatePart::DayOfYear.of(no_time), 339.0);
    }
    assert!(DatePart::Year.of(f64::MAX).is_finite());
}
