#![expect(clippy::float_cmp, reason = "exact results are what is tested")]

use std::sync::Arc;

use super::*;
use crate::Grid;
use crate::histogram::FloatHistogram;

fn col(pairs: &[(&str, &str)], values: &[Option<f64>]) -> Column {
    let mut c = Column::absent(Labels::from_pairs(pairs.iter().copied()), values.len());
    for (i, v) in values.iter().enumerate() {
        if let Some(v) = v {
            c.set(i, *v);
        }
    }
    c
}

fn input() -> Matrix {
    Matrix {
        grid: Grid::range(0, 2, 1),
        columns: vec![
            col(&[("__name__", "m"), ("g", "a"), ("i", "0")], &[Some(1.0), Some(2.0), None]),
            col(&[("__name__", "m"), ("g", "a"), ("i", "1")], &[Some(3.0), None, None]),
            col(&[("__name__", "m"), ("g", "b"), ("i", "0")], &[Some(5.0), Some(7.0), Some(9.0)]),
        ],
    }
}

fn run(op: AggregateOp, grouping: &Grouping, param: Param<'_>) -> Vec<(String, Vec<Option<f64>>)> {
    let out = aggregate(op, grouping, &input(), param, &mut Context::default()).unwrap();
    out.columns
        .iter()
        .map(|c| (c.labels.to_string(), (0..c.len()).map(|i| c.float(i)).collect()))
        .collect()
}

fn by(names: &[&str]) -> Grouping {
    Grouping::By(names.iter().map(|n| (*n).to_owned()).collect())
}

#[test]
fn sums_by_label_where_something_is_present() {
    let got = run(AggregateOp::Sum, &by(&["g"]), Param::None);
    assert_eq!(
        got,
        [
            (r#"{g="a"}"#.to_owned(), vec![Some(4.0), Some(2.0), None]),
            (r#"{g="b"}"#.to_owned(), vec![Some(5.0), Some(7.0), Some(9.0)]),
        ]
    );
    let got = run(AggregateOp::Avg, &Grouping::Without(vec!["g".to_owned()]), Param::None);
    assert_eq!(got[0], (r#"{i="0"}"#.to_owned(), vec![Some(3.0), Some(4.5), Some(9.0)]));
}

#[test]
fn folds_without_group_labels() {
    let all = Grouping::all();
    let one = |op, param| run(op, &all, param).remove(0).1;
    assert_eq!(one(AggregateOp::Min, Param::None), [Some(1.0), Some(2.0), Some(9.0)]);
    assert_eq!(one(AggregateOp::Max, Param::None), [Some(5.0), Some(7.0), Some(9.0)]);
    assert_eq!(one(AggregateOp::Count, Param::None), [Some(3.0), Some(2.0), Some(1.0)]);
    assert_eq!(one(AggregateOp::Group, Param::None), [Some(1.0); 3]);
    assert_eq!(
        one(AggregateOp::Quantile, Param::Scalar(&[0.5; 3])),
        [Some(3.0), Some(4.5), Some(9.0)]
    );
    assert_eq!(one(AggregateOp::Stdvar, Param::None), [Some(8.0 / 3.0), Some(6.25), Some(0.0)]);
}

#[test]
fn variances_round_as_those_of_prometheus() {
    let mut input = Matrix::new(Grid::instant(0));
    let values = [1_700_006_455.979, 1_700_006_440.979, 1_700_006_470.123, 1_700_006_433.5];
    for (name, v) in ["a", "b", "c", "d"].into_iter().zip(values) {
        input.push(Column::full(Labels::from_pairs([("x", name)]), vec![v]));
    }
    let mut ctx = Context::default();
    let all = Grouping::all();
    let out = aggregate(AggregateOp::Stdvar, &all, &input, Param::None, &mut ctx).unwrap();
    // The exact variance is 198.556904101….
    assert_eq!(out.columns[0].float(0), Some(198.556_904_432_100_57));
}

#[test]
fn topk_keeps_labels_and_only_the_best_steps() {
    let got = run(AggregateOp::Topk, &Grouping::all(), Param::Scalar(&[1.0, 2.0, 0.0]));
    assert_eq!(
        got,
        [
            (r#"{__name__="m", g="a", i="0"}"#.to_owned(), vec![None, Some(2.0), None]),
            (r#"{__name__="m", g="b", i="0"}"#.to_owned(), vec![Some(5.0), Some(7.0), None]),
        ]
    );
    let err = aggregate(
        AggregateOp::Topk,
        &Grouping::all(),
        &input(),
        Param::Scalar(&[f64::NAN; 3]),
        &mut Context::default(),
    );
    assert!(matches!(err, Err(VectorError::Parameter(_))));
}

#[test]
fn topk_over_steps_is_the_topk_of_each_step() {
    // Few distinct values, so that many are equal, and columns that come and go.
    let value = |c: usize, i: usize| match (c * 7919 + i * 104_729) % 23 {
        0..4 => None,
        4 => Some(f64::NAN),
        v => Some(f64::from(u32::try_from(v % 9).unwrap())),
    };
    let (n_columns, n) = (60, 40);
    let name = |c: usize| [("g", (c % 3).to_string()), ("i", format!("{c:02}"))];
    let column = |c: usize, steps: std::ops::Range<usize>| {
        let values: Vec<Option<f64>> = steps.map(|i| value(c, i)).collect();
        let pairs = name(c);
        col(&pairs.each_ref().map(|(n, v)| (*n, v.as_str())), &values)
    };
    let matrix = |steps: std::ops::Range<usize>| Matrix {
        grid: Grid::range(0, i64::try_from(steps.len()).unwrap() - 1, 1),
        columns: (0..n_columns).map(|c| column(c, steps.clone())).collect(),
    };
    for op in [AggregateOp::Topk, AggregateOp::Bottomk] {
        for k in [1.0, 3.0, 17.0] {
            let ctx = &mut Context::default();
            let k = vec![k; n];
            let by = by(&["g"]);
            let all = aggregate(op, &by, &matrix(0..n), Param::Scalar(&k), ctx).unwrap();
            let order: Vec<_> = all.columns.iter().map(|c| c.labels.clone()).collect();
            assert!(order.is_sorted(), "as they came, group by group");
            for i in 0..n {
                let one = matrix(i..i + 1);
                let one = aggregate(op, &by, &one, Param::Scalar(&k[..1]), ctx).unwrap();
                let bits = |c: &Column, i: usize| (c.labels.clone(), c.float(i).map(f64::to_bits));
                let mut want: Vec<_> = one.columns.iter().map(|c| bits(c, 0)).collect();
                want.sort();
                let of_step = all.columns.iter().filter(|c| c.present.get(i));
                assert_eq!(of_step.map(|c| bits(c, i)).collect::<Vec<_>>(), want, "{op:?} {i}");
            }
        }
    }
}

#[test]
fn only_what_may_be_in_the_answer_is_held() {
    let all = Grouping::all();
    let n_columns = 1000;
    let held = |op, param: Param<'_>| {
        let mut gather = Gather::new(op, &all, param, Grid::range(0, 1, 1)).unwrap();
        for c in 0..n_columns {
            let v = f64::from(c);
            let name = c.to_string();
            let column = col(&[("i", name.as_str())], &[Some(v), Some((v % 5.0).floor())]);
            gather.add(&column, &mut Context::default()).unwrap();
        }
        gather.held()
    };
    let bytes = |h: Held| (h.samples, h.columns, h.bytes);
    let (samples, columns, size) = bytes(held(AggregateOp::Topk, Param::Scalar(&[3.0; 2])));
    assert!(samples == 6 && columns <= 6 && size < 1000, "{samples} {columns} {size}");
    let (samples, columns, size) = bytes(held(AggregateOp::Quantile, Param::Scalar(&[0.5; 2])));
    assert!(samples == 2000 && columns == 1 && size < 2000 * 8 + 2000, "{samples} {size}");
    let (samples, columns, _) = bytes(held(AggregateOp::Limitk, Param::Scalar(&[3.0; 2])));
    assert_eq!((samples, columns), (6, 3));
    let (samples, columns, _) = bytes(held(AggregateOp::LimitRatio, Param::Scalar(&[0.0; 2])));
    assert_eq!((samples, columns), (0, 0));
    let (samples, columns, _) = bytes(held(AggregateOp::CountValues, Param::Label("v")));
    assert_eq!((samples, columns), (1005, 1000));
}

#[test]
fn topk_of_an_instant_vector_is_sorted_with_nan_last() {
    let columns = vec![
        col(&[("i", "0")], &[Some(1.0)]),
        col(&[("i", "1")], &[Some(f64::NAN)]),
        col(&[("i", "2")], &[Some(3.0)]),
    ];
    let input = Matrix { grid: Grid::instant(0), columns };
    let order = |op| {
        let all = Grouping::all();
        let out = aggregate(op, &all, &input, Param::Scalar(&[9.0]), &mut Context::default());
        out.unwrap()
            .columns
            .iter()
            .map(|c| c.labels.get("i").unwrap().to_owned())
            .collect::<String>()
    };
    assert_eq!(order(AggregateOp::Topk), "201");
    assert_eq!(order(AggregateOp::Bottomk), "021");
}

#[test]
fn count_values_makes_a_column_per_value() {
    let got = run(AggregateOp::CountValues, &by(&["g"]), Param::Label("v"));
    assert_eq!(got.len(), 6);
    assert_eq!(got[0], (r#"{g="a", v="1"}"#.to_owned(), vec![Some(1.0), None, None]));
}

#[test]
fn limit_ratio_and_its_complement_are_everything() {
    let half = run(AggregateOp::LimitRatio, &Grouping::all(), Param::Scalar(&[0.5; 3]));
    let rest = run(AggregateOp::LimitRatio, &Grouping::all(), Param::Scalar(&[-0.5; 3]));
    assert_eq!(half.len() + rest.len(), 3);
}

#[test]
fn floats_and_histograms_do_not_mix() {
    let mut input = input();
    let h = FloatHistogram::from(&skald_model::Histogram {
        schema: 0,
        reset_hint: skald_model::ResetHint::Unknown,
        zero_threshold: 0.0,
        sum: 1.0,
        positive_spans: vec![],
        negative_spans: vec![],
        custom_values: vec![],
        counts: skald_model::BucketCounts::Float {
            count: 2.0,
            zero_count: 2.0,
            positive: vec![],
            negative: vec![],
        },
    });
    input.columns[1].set_histogram(0, Arc::new(h.clone()));
    input.columns[1].set_histogram(2, Arc::new(h));
    let mut ctx = Context::default();
    let out = aggregate(AggregateOp::Sum, &by(&["g"]), &input, Param::None, &mut ctx).unwrap();
    assert_eq!(out.columns[0].get(0), None);
    assert_eq!(out.columns[0].float(1), Some(2.0));
    assert_eq!(out.columns[0].histogram(2).unwrap().count, 2.0);
    assert_eq!(
        ctx.annotations.warnings(""),
        ["PromQL warning: encountered a mix of histograms and floats for aggregation"]
    );
    let out = aggregate(AggregateOp::Max, &by(&["g"]), &input, Param::None, &mut ctx).unwrap();
    assert_eq!(out.columns[0].float(0), Some(1.0));
    assert_eq!(ctx.annotations.infos(""), ["PromQL info: ignored histogram in max aggregation"]);
}
