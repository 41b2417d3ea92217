//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc` of instant vectors.
//!
//! Results of range queries are always ordered by labels, so these do nothing there.

use std::cmp::Ordering;

use super::math::drop_histograms;
use crate::{Column, Context, Matrix, VectorError};

/// Which way to sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// What is sorted without a look at whether to stop.
const RUN: usize = 8 << 10;

/// Sorts by value, NaN last in either direction; histograms are left out.
pub fn sort_by_value(
    mut input: Matrix,
    direction: Direction,
    ctx: &Context,
) -> Result<Matrix, VectorError> {
    for column in &mut input.columns {
        ctx.check()?;
        drop_histograms(column);
    }
    input.columns.retain(|c| !c.is_empty());
    if input.grid.n != 1 {
        return Ok(input);
    }
    let value = |c: &Column| c.values.first().copied().unwrap_or(f64::NAN);
    sort(&mut input.columns, ctx, |a, b| {
        let (a, b) = (value(a), value(b));
        match (a.is_nan(), b.is_nan(), direction) {
            (true, true, _) => Ordering::Equal,
            (true, false, _) => Ordering::Greater,
            (false, true, _) => Ordering::Less,
            (_, _, Direction::Ascending) => a.total_cmp(&b),
            (_, _, Direction::Descending) => b.total_cmp(&a),
        }
    })?;
    Ok(input)
}

/// Sorts by the values of `names`, numbers within them by size, then by all labels.
pub fn sort_by_labels(
    mut input: Matrix,
    names: &[&str],
    direction: Direction,
    ctx: &Context,
) -> Result<Matrix, VectorError> {
    if input.grid.n != 1 {
        return Ok(input);
    }
    sort(&mut input.columns, ctx, |a, b| {
        let by_names = names
            .iter()
            .map(|n| natural(a.labels.get(n).unwrap_or(""), b.labels.get(n).unwrap_or("")))
            .find(|o| *o != Ordering::Equal);
        let order = by_names.unwrap_or_else(|| a.labels.cmp(&b.labels));
        if direction == Direction::Descending { order.reverse() } else { order }
    })?;
    Ok(input)
}

/// Sorts as `sort_by` does, in runs that are joined to ever longer ones: each step looks whether to stop.
pub fn sort<T>(
    items: &mut [T],
    ctx: &Context,
    mut order: impl FnMut(&T, &T) -> Ordering,
) -> Result<(), VectorError> {
    let mut run = RUN;
    loop {
        for part in items.chunks_mut(run) {
            ctx.check()?;
            // The stable sort sees that what was sorted before is two runs.
            part.sort_by(&mut order);
        }
        if run >= items.len() {
            return Ok(());
        }
        run = run.saturating_mul(2);
    }
}

/// Compares runs of digits as numbers and everything else byte by byte.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(x), Some(y)) = (a.first(), b.first()) else {
            return a.len().cmp(&b.len());
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (left, right) = (digits(&mut a), digits(&mut b));
            let order = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
            if order != Ordering::Equal {
                return order;
            }
        } else if x == y {
            (a, b) = (&a[1..], &b[1..]);
        } else {
            return x.cmp(y);
        }
    }
}

/// Takes the leading digits off `s`; the answer is without leading zeros.
fn digits<'a>(s: &mut &'a [u8]) -> &'a [u8] {
    let end = s.iter().position(|c| !c.is_ascii_digit()).unwrap_or(s.len());
    let (head, tail) = s.split_at(end);
    *s = tail;
    let zeros = head.iter().take_while(|c| **c == b'0').count();
    &head[zeros..]
}
