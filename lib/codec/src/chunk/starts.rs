//! Start timestamps of a chunk's samples: few values that repeat, or each near its sample.
//!
//! ```text
//! starts := 0 { uvarint(run) zigzag(start − the one before, at first min_ts) }*    until all samples have one
//!         | 1 blocks(n)                                                              tᵢ − startᵢ
//! ```
//!
//! A start of 0 is unknown. Cumulative counters make long runs; deltas begin where the sample before ended.

#[cfg(test)]
mod tests;

use std::ops::Range;

use skald_model::labels::put_uvarint;

use super::blocks::{self, Packings, Scratch};
use super::{ChunkError, ChunkHeader, finished, take_u8, take_varint};
use crate::bits::{unzigzag, zigzag};

const RUNS: u8 = 0;
const AGES: u8 = 1;

/// Appends length and start timestamps of the samples at `ts` (not empty); missing ones are unknown.
pub(super) fn put(ts: &[i64], starts: &[i64], out: &mut Vec<u8>) {
    let starts = || starts.iter().copied().chain(std::iter::repeat(0)).take(ts.len());
    let mut bytes = vec![RUNS];
    let mut last = ts.first().copied().unwrap_or(0);
    let mut all = starts().peekable();
    while let Some(start) = all.next() {
        let mut run = 1;
        while all.next_if_eq(&start).is_some() {
            run += 1;
        }
        put_uvarint(&mut bytes, run);
        put_uvarint(&mut bytes, zigzag(start.wrapping_sub(last)));
        last = start;
    }
    let ages: Vec<i64> = ts.iter().zip(starts()).map(|(t, start)| t.wrapping_sub(start)).collect();
    if 1 + blocks::cost(&ages, Packings::Plain) < bytes.len() {
        bytes = vec![AGES];
        blocks::encode(&ages, Packings::Plain, &mut bytes);
    }
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(&bytes);
}

/// Appends the start timestamps of the samples in `window`, whose times are `ts`.
pub(super) fn decode(
    bytes: &[u8],
    header: &ChunkHeader,
    window: Range<usize>,
    ts: &[i64],
    out: &mut Vec<i64>,
) -> Result<(), ChunkError> {
    let mut rest = bytes;
    match take_u8(&mut rest)? {
        RUNS => runs(&mut rest, header, &window, out)?,
        AGES => {
            let mut ages = Vec::with_capacity(ts.len());
            blocks::decode(&mut rest, header.count, &mut Scratch::new(), |block| {
                ages.extend_from_slice(block);
            })?;
            let ages = ages.get(window).unwrap_or_default();
            out.extend(ts.iter().zip(ages).map(|(t, age)| t.wrapping_sub(*age)));
        }
        _ => return Err(ChunkError::Malformed("mode of start timestamps")),
    }
    finished(rest)
}

fn runs(
    rest: &mut &[u8],
    header: &ChunkHeader,
    window: &Range<usize>,
    out: &mut Vec<i64>,
) -> Result<(), ChunkError> {
    let (mut at, mut start) = (0, header.min_ts);
    while at < header.count {
        let run = usize::try_from(take_varint(rest)?).unwrap_or(usize::MAX);
        start = start.wrapping_add(unzigzag(take_varint(rest)?));
        if run == 0 || run > header.count - at {
            return Err(ChunkError::Malformed("run of start timestamps"));
        }
        let wanted = at.max(window.start)..(at + run).min(window.end);
        out.extend(wanted.map(|_| start));
        at += run;
    }
    Ok(())
}
