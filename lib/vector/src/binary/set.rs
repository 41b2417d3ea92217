//! `and`, `or`, `unless`: per step, by signature.

use std::collections::HashMap;

use skald_model::Labels;

use super::Matching;
use crate::{Bitmap, Context, Matrix, VectorError};

/// Per signature the steps at which a column of `side` has it.
fn presence(
    side: &Matrix,
    matching: &Matching,
    ctx: &Context,
) -> Result<HashMap<Labels, Bitmap>, VectorError> {
    let mut out: HashMap<Labels, Bitmap> = HashMap::new();
    for column in &side.columns {
        ctx.check()?;
        out.entry(matching.signature(&column.labels))
            .or_insert_with(|| Bitmap::new(side.grid.n))
            .union_with(&column.present);
    }
    Ok(out)
}

pub(super) fn and(
    lhs: &Matrix,
    rhs: &Matrix,
    matching: &Matching,
    ctx: &Context,
) -> Result<Matrix, VectorError> {
    let there = presence(rhs, matching, ctx)?;
    let mut out = Matrix::new(lhs.grid);
    for column in &lhs.columns {
        ctx.check()?;
        if let Some(mask) = there.get(&matching.signature(&column.labels)) {
            let mut column = column.clone();
            column.retain(mask);
            out.push(column);
        }
    }
    Ok(out)
}

pub(super) fn unless(
    lhs: &Matrix,
    rhs: &Matrix,
    matching: &Matching,
    ctx: &Context,
) -> Result<Matrix, VectorError> {
    let there = presence(rhs, matching, ctx)?;
    minus(lhs, &there, matching, ctx)
}

pub(super) fn or(
    lhs: &Matrix,
    rhs: &Matrix,
    matching: &Matching,
    ctx: &Context,
) -> Result<Matrix, VectorError> {
    let here = presence(lhs, matching, ctx)?;
    let mut out = lhs.clone();
    out.columns.extend(minus(rhs, &here, matching, ctx)?.columns);
    out.merge_same_labels(ctx)
}

fn minus(
    side: &Matrix,
    taken: &HashMap<Labels, Bitmap>,
    matching: &Matching,
    ctx: &Context,
) -> Result<Matrix, VectorError> {
    let mut out = Matrix::new(side.grid);
    for column in &side.columns {
        ctx.check()?;
        let mut column = column.clone();
        if let Some(taken) = taken.get(&matching.signature(&column.labels)) {
            let mut rest = Bitmap::full(side.grid.n);
            rest.subtract(taken);
            column.retain(&rest);
        }
        out.push(column);
    }
    Ok(out)
}
