//! Vectors as numbers.

use crate::{Bitmap, Matrix};

/// The value where exactly one column has a float, else NaN.
pub fn single_values(input: &Matrix) -> Vec<f64> {
    let n = input.grid.n;
    let mut out = vec![f64::NAN; n];
    let (mut seen, mut twice) = (Bitmap::new(n), Bitmap::new(n));
    for column in &input.columns {
        for i in column.present.ones() {
            let Some(v) = column.float(i) else { continue };
            if seen.get(i) {
                twice.set(i);
            }
            seen.set(i);
            out[i] = v;
        }
    }
    twice.ones().for_each(|i| out[i] = f64::NAN);
    out
}
