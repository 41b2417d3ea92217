//! Aggregations that look at one value at a time.

use super::Group;
use crate::stat::Variance;
use crate::{Column, Context, Matrix, VectorError};

/// Folds the floats of each step; histograms are ignored with a remark.
pub(super) fn floats(
    groups: &[Group],
    input: &Matrix,
    op: &str,
    ctx: &mut Context,
    fold: impl Fn(f64, f64) -> f64,
) -> Result<Matrix, VectorError> {
    let mut out = Matrix::new(input.grid);
    for group in groups {
        let mut acc = group.column(input.grid.n);
        for column in group.columns(input) {
            ctx.check()?;
            for (i, v) in each_float(column, op, ctx) {
                acc.values[i] = if acc.present.get(i) { fold(acc.values[i], v) } else { v };
                acc.present.set(i);
            }
        }
        out.push(acc);
    }
    Ok(out)
}

pub(super) fn count(
    groups: &[Group],
    input: &Matrix,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    each_present(groups, input, ctx, |acc, i| acc.values[i] += 1.0)
}

pub(super) fn group(
    groups: &[Group],
    input: &Matrix,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    each_present(groups, input, ctx, |acc, i| acc.values[i] = 1.0)
}

fn each_present(
    groups: &[Group],
    input: &Matrix,
    ctx: &mut Context,
    apply: impl Fn(&mut Column, usize),
) -> Result<Matrix, VectorError> {
    let mut out = Matrix::new(input.grid);
    for group in groups {
        let mut acc = group.column(input.grid.n);
        for column in group.columns(input) {
            ctx.check()?;
            for i in column.present.ones() {
                apply(&mut acc, i);
            }
            acc.present.union_with(&column.present);
        }
        out.push(acc);
    }
    Ok(out)
}

pub(super) fn variance(
    groups: &[Group],
    input: &Matrix,
    op: &str,
    ctx: &mut Context,
    finish: impl Fn(&Variance) -> f64,
) -> Result<Matrix, VectorError> {
    let mut out = Matrix::new(input.grid);
    for group in groups {
        let mut acc = vec![Variance::default(); input.grid.n];
        let mut column_out = group.column(input.grid.n);
        for column in group.columns(input) {
            ctx.check()?;
            for (i, v) in each_float(column, op, ctx) {
                acc[i].add(v);
                column_out.present.set(i);
            }
        }
        for (slot, acc) in column_out.values.iter_mut().zip(&acc) {
            *slot = finish(acc);
        }
        out.push(column_out);
    }
    Ok(out)
}

/// The floats of a column; histograms among them are remarked upon once.
pub(super) fn each_float<'a>(
    column: &'a Column,
    op: &str,
    ctx: &mut Context,
) -> impl Iterator<Item = (usize, f64)> + 'a {
    if column.has_histograms() && column.present.ones().any(|i| column.histogram(i).is_some()) {
        ctx.annotations.info(&format!("ignored histogram in {op} aggregation"));
    }
    column.present.ones().filter_map(|i| column.float(i).map(|v| (i, v)))
}
