//! Timestamps of a chunk; the first and the last stand in the chunk's header.
//!
//! ```text
//! timestamps := 0                                  every step equal: nothing more is needed
//!             | 1 uvarint(step) blocks(n − 2)      tᵢ − (t₀ + i·step), for i in 1..n−1
//!             | 2 blocks(n − 2)                    tᵢ − tᵢ₋₁
//!             | 3 uvarint(first step) blocks(n − 3)   differences of the steps
//! ```

use std::ops::{Range, RangeInclusive};

use skald_model::labels::put_uvarint;

use super::blocks::{self, Packings, Scratch};
use super::{ChunkError, ChunkHeader, take_u8, take_varint};
use crate::bits::BLOCK;

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
    let costs = [
        blocks::cost(&grid, Packings::Plain),
        blocks::cost(&delta, Packings::Plain),
        blocks::cost(&delta2, Packings::Plain),
    ];
    if costs[0] < costs[1].min(costs[2]) {
        out.push(GRID);
        put_uvarint(out, step);
        blocks::encode(&grid, Packings::Plain, out);
    } else if costs[1] <= costs[2] {
        out.push(DELTA);
        blocks::encode(&delta, Packings::Plain, out);
    } else {
        out.push(DELTA2);
        put_uvarint(out, delta[0].cast_unsigned());
        blocks::encode(&delta2, Packings::Plain, out);
    }
}

/// Appends those of `header.count` (not 0) timestamps that lie in `wanted`, and answers which they are.
///
/// Checks that all that are decoded ascend to the last one.
pub(super) fn decode(
    header: &ChunkHeader,
    rest: &mut &[u8],
    wanted: &RangeInclusive<i64>,
    scratch: &mut Scratch,
    out: &mut Vec<i64>,
) -> Result<Range<usize>, ChunkError> {
    let mode = take_u8(rest)?;
    if mode == REGULAR {
        return decode_regular(header, wanted, out);
    }
    let inner = header.count.checked_sub(2).ok_or(ChunkError::Malformed("timestamp mode"))?;
    // Each block of 64 takes a byte at least, so the allocation is bounded by the input.
    if rest.len() < inner / 64 {
        return Err(ChunkError::Truncated);
    }
    let start = out.len();
    let first = match mode {
        GRID => decode_grid(header, rest, wanted, scratch, out)?,
        DELTA => decode_delta(header, rest, scratch, out)?,
        DELTA2 => decode_delta2(header, rest, scratch, out)?,
        _ => return Err(ChunkError::Malformed("timestamp mode")),
    };
    if !ascend(header, &out[start..]) {
        return Err(ChunkError::Malformed("timestamps do not ascend"));
    }
    let new = &out[start..];
    let to = new.partition_point(|t| t <= wanted.end());
    let from = new.partition_point(|t| t < wanted.start()).min(to);
    out.truncate(start + to);
    if from > 0 {
        out.drain(start..start + from);
    }
    Ok(first + from..first + to)
}

/// Passes over what [`encode`] wrote of `n` (not 0) timestamps.
pub(super) fn skip(n: usize, rest: &mut &[u8]) -> Result<(), ChunkError> {
    let inner = |ends| n.checked_sub(ends).ok_or(ChunkError::Malformed("timestamp mode"));
    match take_u8(rest)? {
        REGULAR => Ok(()),
        GRID => {
            take_varint(rest)?;
            skip_blocks(rest, inner(2)?)
        }
        DELTA => skip_blocks(rest, inner(2)?),
        DELTA2 => {
            take_varint(rest)?;
            skip_blocks(rest, inner(3)?)
        }
        _ => Err(ChunkError::Malformed("timestamp mode")),
    }
}

/// Whether `ts`, all of them decoded from one chunk, are strictly ascending and within its head.
fn ascend(header: &ChunkHeader, ts: &[i64]) -> bool {
    let last = ts.last().is_none_or(|t| *t <= header.max_ts);
    if header.max_ts.wrapping_sub(header.min_ts) >> 62 != 0 {
        return last && ts.is_sorted_by(|a, b| a < b);
    }
    // Without branches: bit 63 or 62 of a distance tells that it is negative or too long.
    let far = |from: i64, to: i64| to.wrapping_sub(from).cast_unsigned();
    let mut all = ts.first().map_or(0, |t| far(header.min_ts, *t));
    for (a, b) in ts.iter().zip(ts.iter().skip(1)) {
        all |= far(header.min_ts, *b) | far(a.wrapping_add(1), *b);
    }
    last && all >> 62 == 0
}

/// Answers the index of the first timestamp that was appended.
fn decode_grid(
    header: &ChunkHeader,
    rest: &mut &[u8],
    wanted: &RangeInclusive<i64>,
    scratch: &mut Scratch,
    out: &mut Vec<i64>,
) -> Result<usize, ChunkError> {
    let step = take_varint(rest)?;
    let n = header.count;
    let span = header.max_ts.wrapping_sub(header.min_ts).cast_unsigned();
    let all = wanted.contains(&header.min_ts) && wanted.contains(&header.max_ts);
    // Bounds of blocks tell nothing where sums leave 64 bits.
    let bounded = !all && span >> 62 == 0 && step <= span;
    let step = step.cast_signed();
    out.reserve(if all { n } else { n.min(4 * BLOCK) });
    let (mut at, mut begun) = (1, None);
    let mut grid = header.min_ts;
    while at < n - 1 {
        let m = (n - 1 - at).min(BLOCK);
        let far = step.wrapping_mul(i64::try_from(m).unwrap_or(0));
        if bounded {
            let mut behind = *rest;
            let (low, high) = blocks::skip(&mut behind, m)?;
            if begun.is_none() && add3(grid, far, high) < i128::from(*wanted.start()) {
                *rest = behind;
                (at, grid) = (at + m, grid.wrapping_add(far));
                continue;
            }
            if add3(grid, step, low) > i128::from(*wanted.end()) {
                // All that follow are later still.
                skip_blocks(rest, n - 1 - at)?;
                out.extend((at == 1).then_some(header.min_ts));
                return Ok(begun.unwrap_or(if at == 1 { 0 } else { at }));
            }
        }
        if begun.is_none() {
            begun = Some(if at == 1 { 0 } else { at });
            out.extend((at == 1).then_some(header.min_ts));
        }
        let block = scratch.take(rest, m)?;
        let mut t = grid;
        out.extend(block.iter().map(|jitter| {
            t = t.wrapping_add(step);
            t.wrapping_add(*jitter)
        }));
        (at, grid) = (at + m, grid.wrapping_add(far));
    }
    out.push(header.max_ts);
    Ok(begun.unwrap_or(n - 1))
}

fn add3(a: i64, b: i64, c: i64) -> i128 {
    i128::from(a) + i128::from(b) + i128::from(c)
}

fn skip_blocks(rest: &mut &[u8], n: usize) -> Result<(), ChunkError> {
    let mut left = n;
    while left > 0 {
        let m = left.min(BLOCK);
        blocks::skip(rest, m)?;
        left -= m;
    }
    Ok(())
}

fn decode_delta(
    header: &ChunkHeader,
    rest: &mut &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<i64>,
) -> Result<usize, ChunkError> {
    out.reserve(header.count);
    let mut last = header.min_ts;
    out.push(last);
    blocks::decode(rest, header.count - 2, scratch, |block| {
        out.extend(block.iter().map(|delta| {
            last = last.wrapping_add(*delta);
            last
        }));
    })?;
    out.push(header.max_ts);
    Ok(0)
}

fn decode_delta2(
    header: &ChunkHeader,
    rest: &mut &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<i64>,
) -> Result<usize, ChunkError> {
    let left = header.count.checked_sub(3).ok_or(ChunkError::Malformed("timestamp mode"))?;
    out.reserve(header.count);
    let mut step = take_varint(rest)?.cast_signed();
    let mut last = header.min_ts.wrapping_add(step);
    out.extend([header.min_ts, last]);
    blocks::decode(rest, left, scratch, |block| {
        out.extend(block.iter().map(|change| {
            step = step.wrapping_add(*change);
            last = last.wrapping_add(step);
            last
        }));
    })?;
    out.push(header.max_ts);
    Ok(0)
}

fn decode_regular(
    header: &ChunkHeader,
    wanted: &RangeInclusive<i64>,
    out: &mut Vec<i64>,
) -> Result<Range<usize>, ChunkError> {
    let n = header.count;
    let span = header.max_ts.wrapping_sub(header.min_ts).cast_unsigned();
    let steps = (n - 1) as u64;
    let step = span.checked_div(steps).unwrap_or(0);
    let fits = if n == 1 { span == 0 } else { step > 0 && step * steps == span };
    if !fits {
        return Err(ChunkError::Malformed("time range is no multiple of the step"));
    }
    let whole = |v: u64| usize::try_from(v).unwrap_or(usize::MAX).min(n);
    let (start, end) = (*wanted.start(), *wanted.end());
    let from = match start.wrapping_sub(header.min_ts).cast_unsigned() {
        _ if start <= header.min_ts => 0,
        distance => whole(distance.div_ceil(step.max(1))),
    };
    let to = match end.wrapping_sub(header.min_ts).cast_unsigned() {
        _ if end < header.min_ts => 0,
        distance => whole((distance / step.max(1)).saturating_add(1)),
    };
    let to = to.max(from);
    let step = step.cast_signed();
    let mut t = header.min_ts.wrapping_add(step.wrapping_mul(from as i64));
    out.extend((from..to).map(|_| {
        let this = t;
        t = t.wrapping_add(step);
        this
    }));
    Ok(from..to)
}
