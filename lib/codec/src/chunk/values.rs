//! Values of a float chunk: constant, decimals as integers, or XOR.
//!
//! ```text
//! values := 0 zigzag(v)                   all equal to one integer (not −0)
//!         | 1 f64                         all equal, bit for bit
//!         | 2 xor                         see `xor`
//!         | 3 decimal                     see `decimal`
//! ```

#![expect(
    clippy::cast_possible_truncation,
    reason = "conversions between floats and integers are verified bit for bit"
)]

use std::ops::Range;

use skald_model::labels::put_uvarint;

use super::blocks::{Packings, Scratch};
use super::decimal::Decimal;
use super::{ChunkError, take_f64, take_u8, take_varint, xor};
use crate::bits::{unzigzag, zigzag};

const CONSTANT_INTEGER: u8 = 0;
const CONSTANT: u8 = 1;
const XOR: u8 = 2;
const DECIMAL: u8 = 3;

/// Above this many bits per value decimals may be worse than XOR, so both are tried.
const DOUBTFUL_BITS: usize = 40;

/// Appends `vals` (not empty).
pub(super) fn encode(vals: &[f64], packings: Packings, out: &mut Vec<u8>) {
    let first = vals[0];
    if vals.iter().all(|v| v.to_bits() == first.to_bits()) {
        encode_constant(first, out);
        return;
    }
    let start = out.len();
    if let Some(decimal) = Decimal::of(vals) {
        out.push(DECIMAL);
        decimal.encode(packings, out);
        if (out.len() - start) * 8 < vals.len() * DOUBTFUL_BITS {
            return;
        }
    }
    let decimal_len = out.len() - start;
    let xor_start = out.len();
    out.push(XOR);
    xor::encode(vals, out);
    if decimal_len == 0 {
        return;
    }
    if out.len() - xor_start < decimal_len {
        out.drain(start..xor_start);
    } else {
        out.truncate(xor_start);
    }
}

/// What [`encode`] wrote, XOR as bits in blocks, when that is smaller: `body` and the values it stands for.
pub(super) fn encode_dense(body: &[u8], vals: &[f64], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let decimal =
        if body.first() == Some(&XOR) { Some(Decimal::bits_of(vals)) } else { Decimal::of(vals) };
    let Some(decimal) = decimal else { return false };
    out.push(DECIMAL);
    decimal.encode(Packings::Dense, out);
    let smaller = out.len() - start < body.len();
    if !smaller {
        out.truncate(start);
    }
    smaller
}

/// Whether a body is of a form that [`encode_dense`] may make smaller.
pub(super) fn may_be_denser(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(XOR | DECIMAL)))
}

fn encode_constant(v: f64, out: &mut Vec<u8>) {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let whole = v as i64;
    if v.abs() <= LARGEST && (whole as f64).to_bits() == v.to_bits() {
        out.push(CONSTANT_INTEGER);
        put_uvarint(out, zigzag(whole));
    } else {
        out.push(CONSTANT);
        out.extend_from_slice(&v.to_le_bytes());
    }
}

/// Appends those of `n` (not 0) values whose index is in `window`.
///
/// When it ends before them all, `rest` may be left anywhere.
pub(super) fn decode(
    n: usize,
    window: Range<usize>,
    rest: &mut &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let constant = match take_u8(rest)? {
        CONSTANT_INTEGER => unzigzag(take_varint(rest)?) as f64,
        CONSTANT => take_f64(rest)?,
        XOR => return xor::decode(rest, n, window, out),
        DECIMAL => return super::decimal::decode(n, window, rest, scratch, out),
        _ => return Err(ChunkError::Malformed("value mode")),
    };
    out.resize(out.len() + window.len(), constant);
    Ok(())
}
