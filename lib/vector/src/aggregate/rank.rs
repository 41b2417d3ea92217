//! Aggregations that need all values of a step: `topk`, `bottomk`, `quantile`, `limitk`, `limit_ratio`.

use std::cmp::Ordering;

use super::heap::Heap;
use super::{AggregateOp, Group, fold};
use crate::function::{format_float, format_g, go_max, go_min, sort};
use crate::{Bitmap, Column, Context, Matrix, VectorError, stat};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Largest,
    Smallest,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Largest => "topk",
            Self::Smallest => "bottomk",
        }
    }

    /// Best first; NaN is the worst for both.
    fn cmp(self, a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan(), self) {
            (true, true, _) => Ordering::Equal,
            (true, false, _) => Ordering::Greater,
            (false, true, _) => Ordering::Less,
            (_, _, Self::Largest) => b.total_cmp(&a),
            (_, _, Self::Smallest) => a.total_cmp(&b),
        }
    }
}

/// Keeps the `k` largest or smallest floats of each group and step.
pub(super) fn top(
    groups: &[Group],
    input: &Matrix,
    k: &[f64],
    order: Order,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    let n = input.grid.n;
    let mut out = Matrix::new(input.grid);
    let Some(k) = whole_numbers(k)? else { return Ok(out) };
    for group in groups {
        let mut kept = vec![Bitmap::new(n); group.members.len()];
        remark_on_histograms(group, input, &k, order, ctx);
        for (i, k) in k.iter().copied().enumerate().take(n).filter(|(_, k)| *k > 0) {
            // Each step goes through all members.
            ctx.check()?;
            let mut best = Heap::new(k, order);
            let floats =
                group.columns(input).enumerate().filter_map(|(m, c)| Some((c.float(i)?, m)));
            floats.for_each(|one| best.offer(one));
            let mut best = best.items;
            if n == 1 {
                sort(&mut best, ctx, |a, b| order.cmp(a.0, b.0).then(a.1.cmp(&b.1)))?;
                let best = best.iter().map(|(_, m)| &input.columns[group.members[*m]]);
                out.columns.extend(best.cloned());
            }
            best.iter().for_each(|(_, m)| kept[*m].set(i));
        }
        if n != 1 {
            push_kept(&mut out, input, group, kept);
        }
    }
    Ok(out)
}

/// Histograms are left out, which is worth a remark where anything is chosen at all.
fn remark_on_histograms(
    group: &Group,
    input: &Matrix,
    k: &[usize],
    order: Order,
    ctx: &mut Context,
) {
    let has = |c: &Column| {
        c.has_histograms() && (0..k.len()).any(|i| k[i] > 0 && c.histogram(i).is_some())
    };
    if group.columns(input).any(has) {
        ctx.annotations.info(&format!("ignored histogram in {} aggregation", order.name()));
    }
}

fn push_kept(out: &mut Matrix, input: &Matrix, group: &Group, kept: Vec<Bitmap>) {
    for (member, mask) in group.members.iter().zip(kept) {
        if !mask.none() {
            let mut column: Column = input.columns[*member].clone();
            column.retain(&mask);
            out.push(column);
        }
    }
}

/// Warns about parameters that are not what `op` wants: of all steps the one furthest off.
pub fn remark_on_parameters(op: AggregateOp, values: &[f64], ctx: &mut Context) {
    let (lowest, what) = match op {
        AggregateOp::Quantile => (0.0, "quantile value should be between 0 and 1"),
        AggregateOp::LimitRatio => (-1.0, "ratio value should be between -1 and 1"),
        _ => return,
    };
    let mut warn = |v: f64, bound: f64| {
        let capped = match op {
            AggregateOp::LimitRatio => format!(", capping to {}", format_g(bound)),
            _ => String::new(),
        };
        ctx.annotations.warn(&format!("{what}, got {}{capped}", format_g(v)));
    };
    if values.iter().any(|v| v.is_nan()) {
        warn(f64::NAN, f64::NAN);
    }
    let max = values.iter().copied().fold(f64::MIN, go_max);
    let min = values.iter().copied().fold(f64::MAX, go_min);
    if max > 1.0 {
        warn(max, 1.0);
    }
    if min < lowest {
        warn(min, lowest);
    }
}

pub(super) fn quantile(
    groups: &[Group],
    input: &Matrix,
    phi: &[f64],
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    let mut out = Matrix::new(input.grid);
    let mut at_step: Vec<f64> = Vec::new();
    for group in groups {
        let mut acc = group.column(input.grid.n);
        for column in group.columns(input) {
            drop(fold::each_float(column, "quantile", ctx));
        }
        for (i, phi) in phi.iter().enumerate().take(input.grid.n) {
            // Each step goes through all members.
            ctx.check()?;
            at_step.clear();
            at_step.extend(group.columns(input).filter_map(|c| c.float(i)));
            if !at_step.is_empty() {
                acc.set(i, stat::quantile(*phi, &mut at_step));
            }
        }
        out.push(acc);
    }
    Ok(out)
}

/// Keeps the first `k` samples of each group and step, floats or histograms.
pub(super) fn limitk(
    groups: &[Group],
    input: &Matrix,
    k: &[f64],
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    let mut out = Matrix::new(input.grid);
    let Some(k) = whole_numbers(k)? else { return Ok(out) };
    for group in groups {
        let mut taken = vec![0usize; input.grid.n];
        for column in group.columns(input) {
            ctx.check()?;
            let mut mask = Bitmap::new(input.grid.n);
            for i in column.present.ones().filter(|i| taken[*i] < k[*i]).collect::<Vec<_>>() {
                taken[i] += 1;
                mask.set(i);
            }
            let mut column = column.clone();
            column.retain(&mask);
            out.push(column);
        }
    }
    Ok(out)
}

/// Keeps the share `ratio` of all series, chosen by a hash of their labels; a negative ratio keeps
/// the complement.
pub(super) fn limit_ratio(
    input: &Matrix,
    ratios: &[f64],
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    if ratios.iter().any(|r| r.is_nan()) {
        return Err(VectorError::Parameter("Ratio value is NaN".to_owned()));
    }
    let capped: Vec<f64> = ratios.iter().map(|r| r.clamp(-1.0, 1.0)).collect();
    let mut out = Matrix::new(input.grid);
    for column in &input.columns {
        ctx.check()?;
        let offset = hash_offset(column);
        let mut mask = Bitmap::new(input.grid.n);
        for (i, ratio) in capped.iter().enumerate() {
            let keep = if *ratio >= 0.0 { offset < *ratio } else { offset >= 1.0 + ratio };
            if keep {
                mask.set(i);
            }
        }
        let mut column = column.clone();
        column.retain(&mask);
        out.push(column);
    }
    Ok(out)
}

/// A number in 0..=1 that depends on the labels only: the same that Prometheus takes.
#[expect(clippy::cast_precision_loss, reason = "53 bits of a hash are plenty")]
fn hash_offset(column: &Column) -> f64 {
    super::xxh64::xxh64(column.labels.as_bytes()) as f64 / u64::MAX as f64
}

/// `k` per step as counts; negative ones are 0. `None` when nothing is to be chosen at any step.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "checked against the range of i64 before"
)]
fn whole_numbers(k: &[f64]) -> Result<Option<Vec<usize>>, VectorError> {
    if k.iter().copied().fold(f64::MIN, go_max) < 1.0 {
        return Ok(None);
    }
    let limit = i64::MAX as f64;
    k.iter()
        .map(|k| {
            if k.is_nan() {
                return Err(VectorError::Parameter("Parameter value is NaN".to_owned()));
            }
            if *k >= limit || *k <= -limit {
                let way = if *k > 0.0 { "overflows" } else { "underflows" };
                let text = format!("Scalar value {} {way} int64", format_float(*k));
                return Err(VectorError::Parameter(text));
            }
            Ok(k.max(0.0) as usize)
        })
        .collect::<Result<_, _>>()
        .map(Some)
}
