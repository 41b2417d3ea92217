//! Timestamps of a chunk; the first and the last stand in the chunk's header.
//!
//! ```text
//! timestamps := 0                                  every step equal: nothing more is needed
//!             | 1 uvarint(step) blocks(n − 2)      tᵢ − (t₀ + i·step), for i in 1..n−1
//!             | 2 blocks(n − 2)                    tᵢ − tᵢ₋₁
//!             | 3 uvarint(first step) blocks(n − 3)   differences of the steps
//! ```

use skald_model::labels::put_uvarint;

use super::{ChunkError, ChunkHeader, blocks, take_u8, take_varint};

const REGULAR: u8 = 0;
const GRID: u8 = 1;
const DELTA: u8 = 2;
const DELTA2: u8 = 3;

/// Appends the timestamps between the first and the last of `ts` (not empty).
pub(super) fn encode(ts: &[i64], out: &mut Vec<u8>) {
    let n = ts.len();
    let span = ts[n - 1].wrapping_sub(ts[0]).cast_unsigned();
    // The nearest step, so that jitter of the last timestamp does not tilt the grid.
    let steps = (n - 1) as u64;
    let step = span.saturating_add(steps / 2).checked_div(steps).unwrap_or(0);
    let at = |i: usize| ts[0].wrapping_add((step.wrapping_mul(i as u64)).cast_signed());
    if ts.iter().enumerate().all(|(i, &t)| t == at(i)) {
        out.push(REGULAR);
        return;
    }
    // Not regular, so there are at least three.
    let inner = 1..n - 1;
    let grid: Vec<i64> = inner.clone().map(|i| ts[i].wrapping_sub(at(i))).collect();
    let delta: Vec<i64> = inner.clone().map(|i| ts[i].wrapping_sub(ts[i - 1])).collect();
    let delta2: Vec<i64> = delta.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    let costs = [blocks::cost(&grid), blocks::cost(&delta), blocks::cost(&delta2)];
    if costs[0] < costs[1].min(costs[2]) {
        out.push(GRID);
        put_uvarint(out, step);
        blocks::encode(&grid, out);
    } else if costs[1] <= costs[2] {
        out.push(DELTA);
        blocks::encode(&delta, out);
    } else {
        out.push(DELTA2);
        put_uvarint(out, delta[0].cast_unsigned());
        blocks::encode(&delta2, out);
    }
}

/// Appends `header.count` (not 0) timestamps and checks that they ascend to the last one.
pub(super) fn decode(
    header: &ChunkHeader,
    rest: &mut &[u8],
    out: &mut Vec<i64>,
) -> Result<(), ChunkError> {
    let start = out.len();
    let (n, first) = (header.count, header.min_ts);
    let mode = take_u8(rest)?;
    if mode == REGULAR {
        return decode_regular(header, out);
    }
    let inner = n.checked_sub(2).ok_or(ChunkError::Malformed("timestamp mode"))?;
    // Each block of 64 takes a byte at least, so the allocation is bounded by the input.
    if rest.len() < inner / 64 {
        return Err(ChunkError::Truncated);
    }
    out.reserve(n);
    out.push(first);
    let mut last = first;
    match mode {
        GRID => {
            let step = take_varint(rest)?.cast_signed();
            blocks::decode(rest, inner, |block| {
                out.extend(block.iter().map(|jitter| {
                    last = last.wrapping_add(step);
                    last.wrapping_add(*jitter)
                }));
            })?;
        }
        DELTA => blocks::decode(rest, inner, |block| {
            out.extend(block.iter().map(|delta| {
                last = last.wrapping_add(*delta);
                last
            }));
        })?,
        DELTA2 => {
            let left = inner.checked_sub(1).ok_or(ChunkError::Malformed("timestamp mode"))?;
            let mut step = take_varint(rest)?.cast_signed();
            last = last.wrapping_add(step);
            out.push(last);
            blocks::decode(rest, left, |block| {
                out.extend(block.iter().map(|change| {
                    step = step.wrapping_add(*change);
                    last = last.wrapping_add(step);
                    last
                }));
            })?;
        }
        _ => return Err(ChunkError::Malformed("timestamp mode")),
    }
    out.push(header.max_ts);
    if out[start..].is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(ChunkError::Malformed("timestamps do not ascend"))
    }
}

fn decode_regular(header: &ChunkHeader, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    let n = header.count;
    let span = header.max_ts.wrapping_sub(header.min_ts).cast_unsigned();
    let steps = (n - 1) as u64;
    let step = span.checked_div(steps).unwrap_or(0);
    let fits = if n == 1 { span == 0 } else { step > 0 && step * steps == span };
    if !fits {
        return Err(ChunkError::Malformed("time range is no multiple of the step"));
    }
    let mut t = header.min_ts;
    out.extend((0..n).map(|_| {
        let this = t;
        t = t.wrapping_add(step.cast_signed());
        this
    }));
    Ok(())
}
