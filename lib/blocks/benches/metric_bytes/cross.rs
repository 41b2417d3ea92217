//! What a predictor across rows would win: cumulative buckets less the bucket below.

use skald_codec::chunk::{decode_floats, encode_floats, grid};

use crate::generated::LES;
use crate::{Made, Outcome};

/// Prints bytes of values of the buckets as they are, and less those of the bucket below.
pub(crate) fn print(rows: &[Made]) -> Outcome<()> {
    let buckets: Vec<&Made> = rows.iter().filter(|made| made.shape == "buckets").collect();
    let (mut plain, mut less, mut n) = (0, 0, 0);
    for histogram in buckets.chunks(LES.len()) {
        let mut below: Vec<f64> = Vec::new();
        for made in histogram {
            let mut all = Vec::new();
            for chunk in &made.row.floats {
                let (mut times, mut values, mut out) = (Vec::new(), Vec::new(), Vec::new());
                decode_floats(chunk, &mut times, &mut values)?;
                let before = below.get(all.len()..).unwrap_or_default();
                let before = before.iter().copied().chain(std::iter::repeat(0.0));
                let rest: Vec<f64> = values.iter().zip(before).map(|(v, b)| v - b).collect();
                encode_floats(&times, &rest, &mut out);
                plain += body(chunk)?;
                less += body(&out)?;
                n += values.len();
                all.append(&mut values);
            }
            below = all;
        }
    }
    if n > 0 {
        let per = |bytes: usize| bytes as f64 / n as f64;
        println!("  buckets: {:.3} B/sample, less the one below {:.3}", per(plain), per(less));
    }
    Ok(())
}

/// Bytes of a chunk without its timestamps.
fn body(chunk: &[u8]) -> Outcome<usize> {
    let mut out = Vec::new();
    if let Some((_, off)) = grid::split(chunk)? {
        off.put(0, &mut out);
    }
    Ok(out.len())
}
