//! Functions of vectors that PromQL has and Loki has not.

use skald_model::Labels;
use skald_vector::function::{clamp, label_join, map_floats, round, single_values};
use skald_vector::{Column, Context, Grid, Matrix};

use super::algebra::{Evaluated, LabelBytes, refused};
use super::histogram::of_histograms;
use super::leaf::{absent_labels, invert};
use crate::ast::{Arg, Call, Function, MetricExpr};
use crate::error::QueryError;

/// Applies the function to the values of those arguments that are expressions.
pub(super) fn call(
    call: &Call,
    mut args: Vec<Evaluated>,
    grid: Grid,
    label_bytes: &mut LabelBytes,
    ctx: &Context,
) -> Result<Evaluated, QueryError> {
    if call.function.is_scalar() {
        return Ok(Evaluated::Scalar(scalar(call.function, args, grid)));
    }
    if let Function::HistogramQuantile | Function::HistogramFraction = call.function {
        return of_histograms(args, grid, ctx);
    }
    let numbers = |i: usize, args: &mut Vec<Evaluated>, or: f64| {
        let arg = (i < args.len()).then(|| args.remove(i));
        arg.map_or_else(|| vec![or; grid.n], |arg| arg.into_numbers(grid))
    };
    let max = numbers(2, &mut args, f64::INFINITY);
    let bound = numbers(1, &mut args, 1.0);
    let input = args.pop();
    let vector = input.map_or_else(|| now(grid), |arg| arg.into_matrix(grid));
    let out = match call.function {
        Function::Math(f) => map_floats(vector, ctx, |_, v| f(v)),
        Function::Date(part) => map_floats(vector, ctx, |_, v| part.of(v)),
        Function::Clamp => clamp(vector, &bound, &max, ctx),
        Function::ClampMin => clamp(vector, &bound, &vec![f64::INFINITY; grid.n], ctx),
        Function::ClampMax => clamp(vector, &vec![f64::NEG_INFINITY; grid.n], &bound, ctx),
        Function::Round => round(vector, &bound, ctx),
        Function::Absent => Ok(invert(absent_of(call), &vector)),
        Function::Timestamp => map_floats(vector, ctx, |i, _| seconds(grid, i)),
        Function::LabelJoin => {
            let sources: Vec<&str> = (3..call.args.len()).map(|i| call.text(i)).collect();
            let charge = |bytes| label_bytes.charge(&call.name, bytes, ctx);
            let out = label_join(vector, call.text(1), call.text(2), &sources, ctx, charge)?;
            return Ok(Evaluated::Vector(out));
        }
        // The order is that of the result; a number became a vector above.
        _ => Ok(vector),
    };
    out.map(Evaluated::Vector).map_err(refused)
}

fn scalar(function: Function, mut args: Vec<Evaluated>, grid: Grid) -> Vec<f64> {
    match (function, args.pop()) {
        (Function::Pi, _) => vec![std::f64::consts::PI; grid.n],
        (Function::ToScalar, Some(arg)) => single_values(&arg.into_matrix(grid)),
        _ => (0..grid.n).map(|i| seconds(grid, i)).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "times in seconds are floats in the language")]
fn seconds(grid: Grid, i: usize) -> f64 {
    grid.time(i) as f64 / 1000.0
}

fn now(grid: Grid) -> Matrix {
    let times = (0..grid.n).map(|i| seconds(grid, i)).collect();
    Matrix { grid, columns: vec![Column::full(Labels::empty(), times)] }
}

/// The labels of what is absent, as far as the argument fixes them.
fn absent_of(call: &Call) -> Labels {
    match call.args.first() {
        Some(Arg::Metric(MetricExpr::Range(agg))) => absent_labels(&agg.range.log.matchers),
        _ => Labels::empty(),
    }
}
