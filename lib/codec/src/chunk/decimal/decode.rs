//! Decimals back to values, all of them or those of a window; see the layout in `decimal`.

use std::ops::Range;

use super::{EXCEPTIONS, Form, GCD, POW10, ordered};
use crate::bits::{BLOCK, unzigzag};
use crate::chunk::blocks::{self, Scratch};
use crate::chunk::{ChunkError, take_f64, take_u8, take_varint};

/// Appends those of `n` (not 0) values whose index is in `window`.
pub(in crate::chunk) fn decode(
    n: usize,
    window: Range<usize>,
    rest: &mut &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let (flags, exponent) = (take_u8(rest)?, take_u8(rest)?);
    let form = Form::from_flags(flags);
    let &power = POW10.get(exponent as usize).ok_or(ChunkError::Malformed("decimal exponent"))?;
    // Each block of 64 takes a byte at least, so the allocation is bounded by the input.
    if rest.len() < n / 65 {
        return Err(ChunkError::Truncated);
    }
    let start = out.len();
    out.reserve(window.len());
    let mut whole = Integers { n, flags, window: window.clone(), rest, scratch };
    match form {
        Form::Bits => whole.decode(|block| {
            let double = |m: i64| f64::from_bits(ordered(m).cast_unsigned());
            out.extend(block.map(double));
        })?,
        _ if exponent == 0 => whole.decode(|block| out.extend(block.map(|m| m as f64)))?,
        Form::Multiply => {
            let factor = 1.0 / power;
            whole.decode(|block| out.extend(block.map(|m| m as f64 * factor)))?;
        }
        Form::Divide | Form::Ulp => {
            whole.decode(|block| out.extend(block.map(|m| m as f64 / power)))?;
        }
    }
    let new = &mut out[start..];
    if form == Form::Ulp {
        let mut at = 0usize;
        blocks::decode(rest, n, scratch, |block| {
            let (skipped, slots) = clip(at..at + block.len(), &window);
            for (v, ulps) in new.iter_mut().skip(slots).zip(&block[skipped]) {
                *v = f64::from_bits(v.to_bits().wrapping_add(ulps.cast_unsigned()));
            }
            at += block.len();
        })?;
    }
    if flags & EXCEPTIONS != 0 {
        exceptions(n, &window, new, rest)?;
    }
    Ok(())
}

/// Which of the values of a block with these indexes are wanted, and the first of them counted
/// from the front of `window`.
#[inline]
fn clip(block: Range<usize>, window: &Range<usize>) -> (Range<usize>, usize) {
    let from = window.start.max(block.start);
    let to = window.end.min(block.end).max(from);
    if from >= block.end {
        return (0..0, 0);
    }
    (from - block.start..to - block.start, from - window.start)
}

/// The integers of a decimal sequence, to be decoded in order.
struct Integers<'a, 'b> {
    n: usize,
    flags: u8,
    window: Range<usize>,
    rest: &'b mut &'a [u8],
    scratch: &'b mut Scratch,
}

/// Some integers of the window.
type Block<'a> = std::iter::Copied<std::slice::Iter<'a, i64>>;

// === impl Integers ===

impl Integers<'_, '_> {
    /// Hands the integers of the window to `push`, block by block.
    #[inline]
    fn decode(&mut self, mut push: impl FnMut(Block<'_>)) -> Result<(), ChunkError> {
        let first = unzigzag(take_varint(self.rest)?);
        let gcd = if self.flags & GCD == 0 { 1 } else { take_varint(self.rest)?.cast_signed() };
        if self.window.contains(&0) {
            push([first].iter().copied());
        }
        let mut m = first;
        match (self.flags >> 2) & 3 {
            0 => self.blocks(1, |block, wanted| {
                let Some(wanted) = wanted else { return };
                scale(block, gcd);
                block.iter_mut().for_each(|q| *q = first.wrapping_add(*q));
                push(block[wanted].iter().copied());
            }),
            1 => self.blocks(1, |block, wanted| {
                let Some(wanted) = wanted else {
                    let sum = block.iter().fold(0i64, |sum, d| sum.wrapping_add(*d));
                    m = m.wrapping_add(sum.wrapping_mul(gcd));
                    return;
                };
                scale(block, gcd);
                for d in block.iter_mut() {
                    m = m.wrapping_add(*d);
                    *d = m;
                }
                push(block[wanted].iter().copied());
            }),
            2 if self.n >= 2 => {
                let mut step = unzigzag(take_varint(self.rest)?).wrapping_mul(gcd);
                m = m.wrapping_add(step);
                if self.window.contains(&1) {
                    push([m].iter().copied());
                }
                self.blocks(2, |block, wanted| {
                    scale(block, gcd);
                    for d in block.iter_mut() {
                        step = step.wrapping_add(*d);
                        m = m.wrapping_add(step);
                        *d = m;
                    }
                    push(block[wanted.unwrap_or(0..0)].iter().copied());
                })
            }
            _ => Err(ChunkError::Malformed("decimal predictor")),
        }
    }

    /// Takes the blocks of the values from index `at` on. `each` gets those up to the end of the
    /// window, with what lies in it; raw ones that do not are skipped, as all behind it.
    #[inline]
    fn blocks(
        &mut self,
        mut at: usize,
        mut each: impl FnMut(&mut [i64], Option<Range<usize>>),
    ) -> Result<(), ChunkError> {
        let sums = (self.flags >> 2) & 3 != 0;
        while at < self.n {
            let end = self.n.min(at + BLOCK);
            let before = end <= self.window.start;
            if at >= self.window.end || (before && !sums) {
                blocks::skip(self.rest, end - at)?;
            } else {
                let (wanted, _) = clip(at..end, &self.window);
                each(self.scratch.take(self.rest, end - at)?, (!before).then_some(wanted));
            }
            at = end;
        }
        Ok(())
    }
}

#[inline]
fn scale(block: &mut [i64], gcd: i64) {
    if gcd != 1 {
        block.iter_mut().for_each(|q| *q = q.wrapping_mul(gcd));
    }
}

fn exceptions(
    n: usize,
    window: &Range<usize>,
    out: &mut [f64],
    rest: &mut &[u8],
) -> Result<(), ChunkError> {
    let count = take_varint(rest)?;
    if count > n as u64 {
        return Err(ChunkError::Malformed("more exceptions than values"));
    }
    let mut at = 0usize;
    for _ in 0..count {
        let distance = usize::try_from(take_varint(rest)?).unwrap_or(usize::MAX);
        let v = take_f64(rest)?;
        at = at.saturating_add(distance);
        if at >= n {
            return Err(ChunkError::Malformed("exception position"));
        }
        if let Some(slot) = at.checked_sub(window.start).and_then(|at| out.get_mut(at)) {
            *slot = v;
        }
    }
    Ok(())
}
