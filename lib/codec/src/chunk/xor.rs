//! The fallback for values that are no decimals: XOR with the value before, bit by bit.
//!
//! ```text
//! xor := first:64   then per value  0 (same) | 10 middle bits (window as before)
//!                                 | 11 leading:5 length−1:6 middle bits
//! ```

#![expect(clippy::cast_possible_truncation, reason = "fields of five and six bits")]

use std::ops::Range;

use super::ChunkError;
use crate::bits::{BitReader, BitWriter};

pub(super) fn encode(vals: &[f64], out: &mut Vec<u8>) {
    let mut bits = BitWriter::default();
    let mut last = 0u64;
    let (mut leading, mut length) = (0u32, 0u32);
    for (i, v) in vals.iter().enumerate() {
        let v = v.to_bits();
        if i == 0 {
            bits.put(v, 64, out);
            last = v;
            continue;
        }
        let x = v ^ last;
        last = v;
        if x == 0 {
            bits.put(0, 1, out);
            continue;
        }
        let lead = x.leading_zeros().min(31);
        let tail = x.trailing_zeros();
        let old_tail = 64 - leading - length;
        // A window that wastes much is worth the eleven bits of a new one.
        let fits = length > 0 && lead >= leading && tail >= old_tail;
        if fits && length < 64 - lead - tail + 11 {
            bits.put(0b01, 2, out);
            bits.put(x >> old_tail, length, out);
        } else {
            (leading, length) = (lead, 64 - lead - tail);
            let head = 0b11 | u64::from(lead) << 2 | u64::from(length - 1) << 7;
            bits.put(head, 13, out);
            bits.put(x >> tail, length, out);
        }
    }
    bits.finish(out);
}

/// Appends those of `n` values whose index is in `window`, and stops behind the last of them.
pub(super) fn decode(
    rest: &mut &[u8],
    n: usize,
    window: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    // A value takes a bit at least.
    if rest.len() < n / 8 {
        return Err(ChunkError::Truncated);
    }
    let start = out.len();
    out.reserve(window.end.min(n));
    let mut bits = BitReader::new(rest);
    let mut last = 0u64;
    let (mut length, mut shift) = (0u32, 0u32);
    for i in 0..window.end.min(n) {
        if i == 0 {
            last = bits.take(64)?;
        } else if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                let window = bits.take(11)?;
                let leading = (window & 31) as u32;
                length = (window >> 5) as u32 + 1;
                shift = 64u32
                    .checked_sub(leading + length)
                    .ok_or(ChunkError::Malformed("xor window"))?;
            }
            if length == 0 {
                return Err(ChunkError::Malformed("xor window"));
            }
            last ^= bits.take(length)? << shift;
        }
        out.push(f64::from_bits(last));
    }
    if window.start > 0 {
        out.drain(start..start + window.start);
    }
    let used = bits.used();
    *rest = rest.get(used..).ok_or(ChunkError::Truncated)?;
    Ok(())
}
