//! Bits: zigzag, packing at a fixed width, single bit fields. Least significant bit first everywhere.

#![expect(clippy::cast_possible_truncation, reason = "bit fields are cut on purpose")]

/// The bytes end before the bits that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bits end too early")]
pub struct Truncated;

/// Values per block; also the most that [`unpack`] returns at once.
pub const BLOCK: usize = 64;

/// Folds the sign into the lowest bit: 0, −1, 1, −2 become 0, 1, 2, 3.
pub fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)).cast_unsigned()
}

/// Undoes [`zigzag`].
pub fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -(v & 1).cast_signed()
}

/// Bits needed for `v`; 0 for 0.
pub fn width(v: u64) -> u32 {
    64 - v.leading_zeros()
}

/// Bytes of `n` values at `width` bits.
pub fn packed_len(n: usize, width: u32) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Appends `values`, each cut to its low `width` bits.
pub fn pack(values: impl IntoIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let (mut acc, mut filled) = (0u128, 0u32);
    for v in values {
        acc |= u128::from(v & mask) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(acc as u64).to_le_bytes());
            acc >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&acc.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// Takes `n` (at most [`BLOCK`]) values of `width` (at most 64) bits from the front of `rest`.
pub fn unpack(
    rest: &mut &[u8],
    n: usize,
    width: u32,
    out: &mut [u64; BLOCK],
) -> Result<(), Truncated> {
    let n = n.min(BLOCK);
    if width == 0 {
        out[..n].fill(0);
        return Ok(());
    }
    let len = packed_len(n, width);
    // Whole words are read, so the last may reach past the packed bytes: into what follows when
    // there is enough of it, into zeros otherwise.
    let mut padded = [0u8; BLOCK * 8 + 16];
    let source = match rest.get(..len + 16) {
        Some(enough) => enough,
        None => {
            let bytes = rest.get(..len).ok_or(Truncated)?;
            padded[..len].copy_from_slice(bytes);
            &padded[..len + 16]
        }
    };
    let mask = u64::MAX >> (64 - width);
    let mut bit = 0usize;
    if width <= 56 {
        for slot in &mut out[..n] {
            *slot = word(source, bit >> 3) >> (bit & 7) & mask;
            bit += width as usize;
        }
    } else {
        for slot in &mut out[..n] {
            let wide =
                u128::from(word(source, bit >> 3)) | u128::from(word(source, (bit >> 3) + 8)) << 64;
            *slot = (wide >> (bit & 7)) as u64 & mask;
            bit += width as usize;
        }
    }
    *rest = rest.get(len..).ok_or(Truncated)?;
    Ok(())
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Writes single bit fields, least significant bit first.
#[derive(Debug, Default)]
pub struct BitWriter {
    acc: u128,
    filled: u32,
}

// === impl BitWriter ===

impl BitWriter {
    /// Appends the low `width` (at most 64) bits of `v`; the bits above must be zero.
    pub fn put(&mut self, v: u64, width: u32, out: &mut Vec<u8>) {
        self.acc |= u128::from(v) << self.filled;
        self.filled += width;
        if self.filled >= 64 {
            out.extend_from_slice(&(self.acc as u64).to_le_bytes());
            self.acc >>= 64;
            self.filled -= 64;
        }
    }

    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.acc.to_le_bytes()[..self.filled.div_ceil(8) as usize]);
    }
}

/// Reads single bit fields, least significant bit first.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    next: usize,
    acc: u64,
    filled: u32,
}

// === impl BitReader ===

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, acc: 0, filled: 0 }
    }

    /// Takes `width` (1 to 64) bits.
    #[inline]
    pub fn take(&mut self, width: u32) -> Result<u64, Truncated> {
        if width > 32 {
            let low = self.take_short(32)?;
            return Ok(low | self.take_short(width - 32)? << 32);
        }
        self.take_short(width)
    }

    #[inline]
    fn take_short(&mut self, width: u32) -> Result<u64, Truncated> {
        if self.filled < width {
            self.refill();
            if self.filled < width {
                return Err(Truncated);
            }
        }
        let v = self.acc & ((1 << width) - 1);
        self.acc >>= width;
        self.filled -= width;
        Ok(v)
    }

    fn refill(&mut self) {
        if let Some(four) = self.bytes.get(self.next..self.next + 4)
            && let Ok(four) = four.try_into()
            && self.filled <= 32
        {
            self.acc |= u64::from(u32::from_le_bytes(four)) << self.filled;
            self.filled += 32;
            self.next += 4;
            return;
        }
        while self.filled <= 56 && self.next < self.bytes.len() {
            self.acc |= u64::from(self.bytes[self.next]) << self.filled;
            self.filled += 8;
            self.next += 1;
        }
    }

    /// Bytes begun so far; buffered whole bytes are given back.
    pub fn used(&self) -> usize {
        self.next - (self.filled / 8) as usize
    }
}
