//! A sequence of integers in blocks of 64: each block picks its own cheapest packing.
//!
//! ```text
//! block := h:u8
//!   h = 0..=64     zigzag, h bits each
//!   h = 65..=127   zigzag, w = h − 65 bits each, then  n:u8 hw:u8 n×(6+hw bits: position, high bits)
//!   h = 128..=192  zigzag(reference), then value − reference at h − 128 bits each
//!   h = 193        a bit for each value that is not 0, then a block (h not 193) of those; in dense chunks only
//! ```

#![expect(clippy::cast_possible_truncation, reason = "counts below 65 fit a byte")]

use skald_model::labels::put_uvarint;

use super::{ChunkError, take_bytes, take_u8, take_varint};
use crate::bits::{BLOCK, pack, packed_len, unpack, unzigzag, width, zigzag};

const PATCHED: u8 = 65;
const REFERENCE: u8 = 128;
const SPARSE: u8 = 193;
const MAX_HIGH: u32 = 58;
/// The widest low part that a head can say.
const MAX_LOW: u32 = 62;

/// Which packings an encoder may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packings {
    /// Those that all builds read.
    Plain,
    /// All that there are: takes longer.
    Dense,
}

enum Packing {
    Plain { width: u32 },
    Patched { width: u32, high: u32, n: usize },
    Reference { min: i64, width: u32 },
}

fn varint_len(v: u64) -> usize {
    (width(v | 1) as usize).div_ceil(7)
}

/// The cheapest packing of up to 64 values and its size in bytes.
fn choose(values: &[i64]) -> (Packing, usize) {
    let n = values.len();
    let mut counts = [0u8; 65];
    let (mut min, mut max, mut all) = (i64::MAX, i64::MIN, 0);
    for &v in values {
        let z = zigzag(v);
        counts[width(z) as usize] += 1;
        all |= z;
        min = min.min(v);
        max = max.max(v);
    }
    let top = width(all);
    let mut best = (Packing::Plain { width: top }, packed_len(n, top));
    let mut above = 0usize;
    let mut w = top;
    while w > 0 {
        above += counts[w as usize] as usize;
        w -= 1;
        let high = top - w;
        if high > MAX_HIGH || above * 4 > n.max(4) * 3 {
            break;
        }
        let size = packed_len(n, w) + 2 + packed_len(above, 6 + high);
        if size < best.1 && w <= MAX_LOW {
            best = (Packing::Patched { width: w, high, n: above }, size);
        }
    }
    let range = width(max.wrapping_sub(min).cast_unsigned());
    let size = packed_len(n, range) + varint_len(zigzag(min));
    if size < best.1 {
        best = (Packing::Reference { min, width: range }, size);
    }
    best
}

/// Those that are not 0, when a block of them and a bit for each value take less than `size` bytes, and how many.
fn sparse(values: &[i64], size: usize) -> Option<(Vec<i64>, usize)> {
    let n = values.iter().filter(|v| **v != 0).count();
    if n == 0 || n == values.len() {
        return None;
    }
    let some: Vec<i64> = values.iter().copied().filter(|v| *v != 0).collect();
    let sparse = values.len().div_ceil(8) + 1 + choose(&some).1;
    (sparse < size).then_some((some, sparse))
}

/// Bytes that [`encode`] will append.
pub(super) fn cost(values: &[i64], packings: Packings) -> usize {
    let block = |block: &[i64]| {
        let plain = choose(block).1;
        let dense = if packings == Packings::Dense { sparse(block, plain) } else { None };
        1 + dense.map_or(plain, |(_, size)| size)
    };
    values.chunks(BLOCK).map(block).sum()
}

/// Appends `values`; the count is not stored.
pub(super) fn encode(values: &[i64], packings: Packings, out: &mut Vec<u8>) {
    for block in values.chunks(BLOCK) {
        if packings == Packings::Dense
            && let Some((some, _)) = sparse(block, choose(block).1)
        {
            out.push(SPARSE);
            pack(block.iter().map(|v| u64::from(*v != 0)), 1, out);
            encode(&some, Packings::Plain, out);
            continue;
        }
        let zigzags = block.iter().map(|&v| zigzag(v));
        match choose(block).0 {
            Packing::Plain { width } => {
                out.push(width as u8);
                pack(zigzags, width, out);
            }
            Packing::Patched { width: w, high, n } => {
                out.push(PATCHED + w as u8);
                pack(zigzags.clone(), w, out);
                out.extend_from_slice(&[n as u8, high as u8]);
                let patches = zigzags.enumerate().filter(|(_, z)| width(*z) > w);
                pack(patches.map(|(i, z)| i as u64 | z >> w << 6), 6 + high, out);
            }
            Packing::Reference { min, width } => {
                out.push(REFERENCE + width as u8);
                put_uvarint(out, zigzag(min));
                pack(block.iter().map(|v| v.wrapping_sub(min).cast_unsigned()), width, out);
            }
        }
    }
}

/// Values of one block on their way, so that the memory is cleared once per chunk.
#[derive(Debug)]
pub(super) struct Scratch {
    raw: [u64; BLOCK],
    values: [i64; BLOCK],
}

// === impl Scratch ===

impl Scratch {
    pub(super) fn new() -> Self {
        Self { raw: [0; BLOCK], values: [0; BLOCK] }
    }

    /// Takes one block of up to 64 of `n` values, to be changed in place.
    #[inline]
    pub(super) fn take(&mut self, rest: &mut &[u8], n: usize) -> Result<&mut [i64], ChunkError> {
        let n = n.min(BLOCK);
        if rest.first() == Some(&SPARSE) {
            return self.take_sparse(rest, n);
        }
        self.take_plain(rest, n)
    }

    fn take_sparse(&mut self, rest: &mut &[u8], n: usize) -> Result<&mut [i64], ChunkError> {
        let which = take_which(rest, n)?;
        let mut left = self.take_plain(rest, which.count_ones() as usize)?.len();
        for i in (0..n).rev() {
            let some = (which >> i & 1) as usize;
            // Where there is one it is not behind `i`, and `left` is not 0.
            let v = self.values[left.wrapping_sub(some) % BLOCK];
            self.values[i] = v * some as i64;
            left -= some;
        }
        Ok(&mut self.values[..n])
    }

    #[inline]
    fn take_plain(&mut self, rest: &mut &[u8], n: usize) -> Result<&mut [i64], ChunkError> {
        let Self { raw, values } = self;
        let head = take_u8(rest)?;
        match head {
            0..PATCHED => {
                unpack(rest, n, u32::from(head), raw)?;
                unzigzag_all(raw, values);
            }
            PATCHED..REFERENCE => {
                let w = u32::from(head - PATCHED);
                unpack(rest, n, w, raw)?;
                patch(rest, n, w, raw)?;
                unzigzag_all(raw, values);
            }
            _ => {
                let w = reference_width(head)?;
                let min = unzigzag(take_varint(rest)?);
                unpack(rest, n, w, raw)?;
                for (slot, v) in values.iter_mut().zip(raw) {
                    *slot = min.wrapping_add(v.cast_signed());
                }
            }
        }
        Ok(&mut values[..n])
    }
}

/// Takes the bits of a sparse block of `n` values, with its head.
fn take_which(rest: &mut &[u8], n: usize) -> Result<u64, ChunkError> {
    take_u8(rest)?;
    let mut which = [0; 8];
    let bytes = take_bytes(rest, n.div_ceil(8).min(8))?;
    which[..bytes.len()].copy_from_slice(bytes);
    let which = u64::from_le_bytes(which);
    if n < BLOCK && which >> n != 0 {
        return Err(ChunkError::Malformed("sparse block"));
    }
    Ok(which)
}

fn reference_width(head: u8) -> Result<u32, ChunkError> {
    let w = u32::from(head - REFERENCE);
    if w > 64 { Err(ChunkError::Malformed("block width")) } else { Ok(w) }
}

#[inline]
fn unzigzag_all(raw: &[u64; BLOCK], out: &mut [i64; BLOCK]) {
    for (slot, &v) in out.iter_mut().zip(raw) {
        *slot = unzigzag(v);
    }
}

fn patch(rest: &mut &[u8], n: usize, w: u32, raw: &mut [u64; BLOCK]) -> Result<(), ChunkError> {
    let (n_patches, high) = take_patches(rest, n, w)?;
    let mut patches = [0u64; BLOCK];
    unpack(rest, n_patches, 6 + high, &mut patches)?;
    for &p in &patches[..n_patches] {
        raw[(p & 63) as usize] |= (p >> 6) << w;
    }
    Ok(())
}

/// How many patches there are and how many bits each adds.
fn take_patches(rest: &mut &[u8], n: usize, w: u32) -> Result<(usize, u32), ChunkError> {
    let (n_patches, high) = (take_u8(rest)? as usize, u32::from(take_u8(rest)?));
    if n_patches > n || high > MAX_HIGH || high + w > 64 {
        return Err(ChunkError::Malformed("block patches"));
    }
    Ok((n_patches, high))
}

/// Passes over one block of `n` (at most 64) values and answers bounds of them.
pub(super) fn skip(rest: &mut &[u8], n: usize) -> Result<(i64, i64), ChunkError> {
    if rest.first() == Some(&SPARSE) {
        let which = take_which(rest, n)?;
        let (min, max) = skip_plain(rest, which.count_ones() as usize)?;
        return Ok((min.min(0), max.max(0)));
    }
    skip_plain(rest, n)
}

fn skip_plain(rest: &mut &[u8], n: usize) -> Result<(i64, i64), ChunkError> {
    let head = take_u8(rest)?;
    let zigzags = |bits: u32| match bits {
        0 => (0, 0),
        64.. => (i64::MIN, i64::MAX),
        _ => (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1),
    };
    match head {
        0..PATCHED => {
            take_bytes(rest, packed_len(n, u32::from(head)))?;
            Ok(zigzags(u32::from(head)))
        }
        PATCHED..REFERENCE => {
            let w = u32::from(head - PATCHED);
            take_bytes(rest, packed_len(n, w))?;
            let (n_patches, high) = take_patches(rest, n, w)?;
            take_bytes(rest, packed_len(n_patches, 6 + high))?;
            Ok(zigzags(w + high))
        }
        _ => {
            let w = reference_width(head)?;
            let min = unzigzag(take_varint(rest)?);
            take_bytes(rest, packed_len(n, w))?;
            let max = if w < 63 { min.checked_add((1i64 << w) - 1) } else { None };
            // Where the sum leaves 64 bits the values may wrap around.
            Ok(max.map_or((i64::MIN, i64::MAX), |max| (min, max)))
        }
    }
}

/// Takes `n` values and hands each block of up to 64 to `each`.
#[inline]
pub(super) fn decode(
    rest: &mut &[u8],
    n: usize,
    scratch: &mut Scratch,
    mut each: impl FnMut(&[i64]),
) -> Result<(), ChunkError> {
    let mut left = n;
    while left > 0 {
        let block = scratch.take(rest, left)?;
        left -= block.len();
        each(block);
    }
    Ok(())
}
