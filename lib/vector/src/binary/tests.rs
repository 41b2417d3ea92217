#![expect(clippy::float_cmp, reason = "exact results are what is tested")]

use super::*;
use crate::CancelFlag;
use crate::Grid;

/// Labels and values of a column.
type Given<'a> = (&'a [(&'a str, &'a str)], &'a [Option<f64>]);

fn matrix(columns: &[Given<'_>]) -> Matrix {
    let n = columns[0].1.len();
    let mut out = Matrix::new(Grid { start_ms: 0, step_ms: 1, n });
    for (pairs, values) in columns {
        let mut c = Column::absent(Labels::from_pairs(pairs.iter().copied()), n);
        for (i, v) in values.iter().enumerate() {
            if let Some(v) = v {
                c.set(i, *v);
            }
        }
        out.columns.push(c);
    }
    out
}

fn show(m: &Matrix) -> Vec<String> {
    m.columns
        .iter()
        .map(|c| {
            let values: Vec<String> =
                (0..c.len()).map(|i| c.float(i).map_or("_".into(), |v| v.to_string())).collect();
            format!("{} {}", c.labels, values.join(" "))
        })
        .collect()
}

fn on(labels: &[&str], card: Cardinality, include: &[&str]) -> Matching {
    let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
    Matching { on: true, labels: own(labels), card, include: own(include), ..Matching::default() }
}

fn run(op: BinaryOp, l: &Matrix, r: &Matrix, m: &Matching) -> Result<Vec<String>, VectorError> {
    vector_vector(op, l, r, m, BinaryOptions::default(), &mut Context::default()).map(|m| show(&m))
}

fn left() -> Matrix {
    matrix(&[
        (&[("__name__", "l"), ("i", "0")], &[Some(10.0), Some(20.0), None]),
        (&[("__name__", "l"), ("i", "1")], &[Some(5.0), None, None]),
    ])
}

#[test]
fn joins_the_steps_that_both_have() {
    let right = matrix(&[(&[("__name__", "r"), ("i", "0")], &[Some(2.0), None, Some(1.0)])]);
    let all = Matching::default();
    assert_eq!(run(BinaryOp::Div, &left(), &right, &all).unwrap(), [r#"{i="0"} 5 _ _"#]);
    assert_eq!(
        run(BinaryOp::Gt, &left(), &right, &all).unwrap(),
        [r#"{__name__="l", i="0"} 10 _ _"#]
    );
    assert!(run(BinaryOp::Lt, &left(), &right, &all).unwrap().is_empty());
    let bool = BinaryOptions { return_bool: true, ..BinaryOptions::default() };
    let out =
        vector_vector(BinaryOp::Lt, &left(), &right, &all, bool, &mut Context::default()).unwrap();
    assert_eq!(show(&out), [r#"{i="0"} 0 _ _"#]);
}

#[test]
fn duplicates_are_an_error_only_where_they_meet() {
    let right = matrix(&[
        (&[("g", "x"), ("k", "1")], &[Some(1.0), None, Some(7.0)]),
        (&[("g", "x"), ("k", "2")], &[None, Some(2.0), Some(8.0)]),
    ]);
    let l = matrix(&[(&[("g", "x")], &[Some(1.0), Some(1.0), None])]);
    let m = on(&["g"], Cardinality::OneToOne, &[]);
    assert_eq!(run(BinaryOp::Add, &l, &right, &m).unwrap(), [r#"{g="x"} 2 3 _"#]);
    let l = matrix(&[(&[("g", "x")], &[Some(1.0), Some(1.0), Some(1.0)])]);
    let err = run(BinaryOp::Add, &l, &right, &m).unwrap_err();
    assert!(err.to_string().starts_with(
        r#"found duplicate series for the match group {g="x"} on the right hand-side"#
    ));
    assert_eq!(run(BinaryOp::Add, &right, &l, &m), Err(VectorError::ManyToOne));
}

#[test]
fn group_left_takes_labels_from_the_one_side() {
    let many = matrix(&[
        (&[("g", "x"), ("i", "0")], &[Some(1.0)]),
        (&[("g", "x"), ("i", "1"), ("v", "old")], &[Some(2.0)]),
    ]);
    let one = matrix(&[(&[("g", "x"), ("v", "new")], &[Some(10.0)])]);
    let want = [r#"{g="x", i="0", v="new"} 10"#, r#"{g="x", i="1", v="new"} 20"#];
    let m = on(&["g"], Cardinality::ManyToOne, &["v"]);
    assert_eq!(run(BinaryOp::Mul, &many, &one, &m).unwrap(), want);
    let m = on(&["g"], Cardinality::OneToMany, &["v"]);
    assert_eq!(run(BinaryOp::Mul, &one, &many, &m).unwrap(), want);
    let m = on(&["g"], Cardinality::ManyToOne, &["i"]);
    assert_eq!(
        run(BinaryOp::Sub, &many, &one, &m).unwrap(),
        [r#"{g="x"} -9"#, r#"{g="x", v="old"} -8"#]
    );
    let same = on(&["g"], Cardinality::ManyToOne, &["i", "v"]);
    assert_eq!(run(BinaryOp::Mul, &many, &one, &same), Err(VectorError::AmbiguousGrouping));
}

#[test]
fn set_operators_decide_per_step() {
    let right = matrix(&[(&[("i", "0")], &[Some(1.0), None, Some(1.0)])]);
    let all = Matching::default();
    assert_eq!(
        run(BinaryOp::And, &left(), &right, &all).unwrap(),
        [r#"{__name__="l", i="0"} 10 _ _"#]
    );
    assert_eq!(
        run(BinaryOp::Unless, &left(), &right, &all).unwrap(),
        [r#"{__name__="l", i="0"} _ 20 _"#, r#"{__name__="l", i="1"} 5 _ _"#]
    );
    assert_eq!(
        run(BinaryOp::Or, &left(), &right, &all).unwrap(),
        [r#"{__name__="l", i="0"} 10 20 _"#, r#"{__name__="l", i="1"} 5 _ _"#, r#"{i="0"} _ _ 1"#]
    );
}

#[test]
fn fill_values_stand_for_the_missing_side() {
    let right = matrix(&[
        (&[("i", "0")], &[Some(1.0), None, Some(4.0)]),
        (&[("i", "9")], &[None, Some(3.0), None]),
    ]);
    let m = Matching { fill_left: Some(0.0), fill_right: Some(100.0), ..Matching::default() };
    assert_eq!(
        run(BinaryOp::Add, &left(), &right, &m).unwrap(),
        [r#"{i="0"} 11 120 4"#, r#"{i="1"} 105 _ _"#, r#"{i="9"} _ 3 _"#]
    );
}

#[test]
fn scalars_filter_from_either_side() {
    let mut ctx = Context::default();
    let options = BinaryOptions::default();
    let s = [6.0, 1.0, 1.0];
    let out = vector_scalar(BinaryOp::Lt, left(), &s, ScalarSide::Left, options, &mut ctx).unwrap();
    assert_eq!(show(&out), [r#"{__name__="l", i="0"} 10 20 _"#]);
    let out =
        vector_scalar(BinaryOp::Sub, left(), &s, ScalarSide::Left, options, &mut ctx).unwrap();
    assert_eq!(show(&out), [r#"{i="0"} -4 -19 _"#, r#"{i="1"} 1 _ _"#]);
}

#[test]
fn division_by_zero_follows_the_rule() {
    assert_eq!(float_op(BinaryOp::Div, 1.0, 0.0, DivisionRule::Ieee), f64::INFINITY);
    assert!(float_op(BinaryOp::Div, 1.0, 0.0, DivisionRule::NanOnZero).is_nan());
    assert!(float_op(BinaryOp::Mod, 1.0, 0.0, DivisionRule::NanOnZero).is_nan());
    assert_eq!(
        scalar_scalar(BinaryOp::Ge, &[1.0, 2.0], &[2.0, 2.0], DivisionRule::Ieee),
        [0.0, 1.0]
    );
}

#[test]
fn one_sides_that_follow_each_other_continue_one_result() {
    let many = matrix(&[(&[("g", "x"), ("i", "0")], &[Some(1.0), Some(2.0), Some(3.0)])]);
    let one = matrix(&[
        (&[("g", "x"), ("pod", "a"), ("v", "1")], &[Some(10.0), None, None]),
        (&[("g", "x"), ("pod", "b"), ("v", "1")], &[None, Some(10.0), None]),
        (&[("g", "x"), ("pod", "c"), ("v", "2")], &[None, None, Some(10.0)]),
    ]);
    let m = on(&["g"], Cardinality::ManyToOne, &["v"]);
    assert_eq!(
        run(BinaryOp::Mul, &many, &one, &m).unwrap(),
        [r#"{g="x", i="0", v="1"} 10 20 _"#, r#"{g="x", i="0", v="2"} _ _ 30"#]
    );
    let mut ctx = Context { max_slots: Some(5), ..Context::default() };
    let options = BinaryOptions::default();
    let err = vector_vector(BinaryOp::Mul, &many, &one, &m, options, &mut ctx);
    assert_eq!(err, Err(VectorError::TooManySamples));
}

#[test]
fn duplicates_are_refused_before_anything_is_joined() {
    let side = matrix(&[(&[("i", "0")], &[Some(1.0)]), (&[("i", "1")], &[Some(1.0)])]);
    for card in [Cardinality::OneToOne, Cardinality::ManyToOne] {
        // Pairing asks for each of four columns, and the search for duplicates for two; joining would again.
        let mut ctx = Context { cancel: CancelFlag::after(6), ..Context::default() };
        let options = BinaryOptions::default();
        let m = on(&[], card, &[]);
        let err = vector_vector(BinaryOp::Mul, &side, &side, &m, options, &mut ctx).unwrap_err();
        assert!(matches!(err, VectorError::DuplicateMatch { .. }), "{err}");
    }
}
