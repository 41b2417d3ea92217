//! Element-wise functions of floats. Histograms have no place in them and are left out.

use crate::{Column, Context, Matrix, VectorError};

/// Replaces every float by `f(step, value)` and drops the metric name.
pub fn map_floats(
    mut input: Matrix,
    ctx: &Context,
    f: impl Fn(usize, f64) -> f64,
) -> Result<Matrix, VectorError> {
    let columns = std::mem::take(&mut input.columns);
    for mut column in columns {
        ctx.check()?;
        drop_histograms(&mut column);
        for (i, v) in column.values.iter_mut().enumerate() {
            *v = f(i, *v);
        }
        ctx.drop_name(&mut column);
        input.push(column);
    }
    input.merge_same_labels(ctx)
}

/// Makes the histogram slots absent.
pub(crate) fn drop_histograms(column: &mut Column) {
    if let Some(histograms) = column.histograms.take() {
        for (i, h) in histograms.iter().enumerate() {
            if h.is_some() {
                column.present.clear(i);
            }
        }
    }
}

/// Limits values to `min..=max`, given per step; steps with `min > max` give nothing.
pub fn clamp(
    mut input: Matrix,
    min: &[f64],
    max: &[f64],
    ctx: &Context,
) -> Result<Matrix, VectorError> {
    let crossed: Vec<usize> = (0..input.grid.n).filter(|i| max[*i] < min[*i]).collect();
    for column in &mut input.columns {
        ctx.check()?;
        crossed.iter().for_each(|i| column.unset(*i));
    }
    map_floats(input, ctx, |i, v| go_max(min[i], go_min(max[i], v)))
}

/// As Go's `math.Max`: infinity wins, then NaN; 0 is more than −0.
pub fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b || (a >= b && b.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// As Go's `math.Min`: negative infinity wins, then NaN; −0 is less than 0.
pub fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

/// Rounds half up to multiples of `nearest`, given per step.
pub fn round(input: Matrix, nearest: &[f64], ctx: &Context) -> Result<Matrix, VectorError> {
    map_floats(input, ctx, |i, v| {
        // Multiplying by the inverse keeps 0.1 and the like exact.
        let inverse = 1.0 / nearest[i];
        (v * inverse + 0.5).floor() / inverse
    })
}
