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
///
/// What stands in `out` behind them is of no meaning afterwards.
#[inline]
pub fn unpack(
    rest: &mut &[u8],
    n: usize,
    width: u32,
    out: &mut [u64; BLOCK],
) -> Result<(), Truncated> {
    let n = n.min(BLOCK);
    let unpacker = UNPACKERS.get(width as usize).ok_or(Truncated)?;
    let len = packed_len(n, width);
    // Whole groups are read, so the last may reach past the packed bytes: into what follows when
    // there is enough of it, into zeros otherwise.
    if let Some(enough) = rest.get(..padded_len(n, width)) {
        unpacker(enough, out);
    } else {
        let mut padded = [0u8; BLOCK * 8 + OVERREAD];
        let bytes = rest.get(..len).ok_or(Truncated)?;
        padded[..len].copy_from_slice(bytes);
        unpacker(&padded[..padded_len(n, width)], out);
    }
    *rest = rest.get(len..).ok_or(Truncated)?;
    Ok(())
}

/// Values unpacked together: those of `w` bits take `w` bytes.
const GROUP: usize = 8;
/// Bytes behind a group that reading its last value may touch.
const OVERREAD: usize = 16;

fn padded_len(n: usize, width: u32) -> usize {
    n.div_ceil(GROUP) * width as usize + OVERREAD
}

type Unpacker = fn(&[u8], &mut [u64; BLOCK]);

/// One function per width: with shifts that are known it runs several times faster.
const UNPACKERS: [Unpacker; 65] = {
    macro_rules! table {
        ($($w:literal)*) => { [$(unpack_groups::<$w>),*] };
    }
    table!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64)
};

/// Unpacks all groups of `W` bytes of which [`OVERREAD`] bytes more are there.
fn unpack_groups<const W: usize>(source: &[u8], out: &mut [u64; BLOCK]) {
    if W == 0 {
        out.fill(0);
        return;
    }
    let mut rest = source;
    for group in out.as_chunks_mut::<GROUP>().0 {
        let Some(bytes) = rest.get(..W + OVERREAD) else { return };
        for (i, slot) in group.iter_mut().enumerate() {
            *slot = field::<W>(bytes, i * W);
        }
        rest = &rest[W..];
    }
}

/// The `W` bits from bit `at` on.
#[inline(always)]
fn field<const W: usize>(bytes: &[u8], at: usize) -> u64 {
    let (byte, shift) = (at >> 3, at & 7);
    let low = word(bytes, byte) >> shift;
    let mask = u64::MAX >> (64 - W);
    if W + shift <= 64 {
        return low & mask;
    }
    (low | u64::from(bytes.get(byte + 8).copied().unwrap_or(0)) << (64 - shift)) & mask
}

#[inline(always)]
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
