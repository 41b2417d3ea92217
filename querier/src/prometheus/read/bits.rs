//! The bit stream of Prometheus chunks: most significant bit first, its variable-length integers,
//! and floats as the difference to the float before.

/// Bytes under construction.
#[derive(Debug, Default)]
pub(super) struct Bits {
    out: Vec<u8>,
    /// Unused low bits of the last byte.
    free: u32,
}

/// A float that is written again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Xor {
    last: u64,
    /// Zero bits before and after the digits written last, once there were any.
    window: Option<(u32, u32)>,
}

/// Prefix and width of each size of integer; the last takes all.
const SIZES: [(u64, u32, u32); 8] = [
    (0b10, 2, 3),
    (0b110, 3, 6),
    (0b1110, 4, 9),
    (0b11110, 5, 12),
    (0b11_1110, 6, 18),
    (0b111_1110, 7, 25),
    (0b1111_1110, 8, 56),
    (0b1111_1111, 8, 64),
];

// === impl Bits ===

impl Bits {
    pub(super) fn new(header: &[u8]) -> Self {
        Self { out: header.to_vec(), free: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// The chunk, with the number of its samples put in front.
    pub(super) fn finish(mut self, n_samples: u16) -> Vec<u8> {
        for (slot, byte) in self.out.iter_mut().zip(n_samples.to_be_bytes()) {
            *slot = byte;
        }
        self.out
    }

    /// Appends the low `width` (at most 64) bits of `v`.
    pub(super) fn put(&mut self, v: u64, width: u32) {
        let mut left = width;
        while left > 0 {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            let take = left.min(self.free);
            let part = v >> (left - take) & ((1 << take) - 1);
            if let Some(last) = self.out.last_mut() {
                // At most `free` bits, so it fits.
                *last |= (part << (self.free - take)).to_le_bytes()[0];
            }
            self.free -= take;
            left -= take;
        }
    }

    pub(super) fn float(&mut self, v: f64) {
        self.put(v.to_bits(), 64);
    }

    /// Seven bits to a byte, the lowest first.
    pub(super) fn uvarint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.put(v & 0x7f | 0x80, 8);
            v >>= 7;
        }
        self.put(v, 8);
    }

    pub(super) fn varint(&mut self, v: i64) {
        self.uvarint(skald_codec::bits::zigzag(v));
    }

    /// An integer in 1 to 72 bits.
    pub(super) fn int(&mut self, v: i64) {
        if v == 0 {
            return self.put(0, 1);
        }
        for (prefix, prefix_width, width) in SIZES {
            if fits(v, width) {
                self.put(prefix, prefix_width);
                return self.put(v.cast_unsigned(), width);
            }
        }
    }

    /// As [`Self::int`], of a number without a sign.
    pub(super) fn uint(&mut self, v: u64) {
        if v == 0 {
            return self.put(0, 1);
        }
        for (prefix, prefix_width, width) in SIZES {
            if width == 64 || v >> width == 0 {
                self.put(prefix, prefix_width);
                return self.put(v, width);
            }
        }
    }

    /// The change of an interval between timestamps of floats.
    pub(super) fn time(&mut self, change: i64) {
        match change {
            0 => return self.put(0, 1),
            c if fits(c, 14) => self.put(0b10, 2),
            c if fits(c, 17) => self.put(0b110, 3),
            c if fits(c, 20) => self.put(0b1110, 4),
            _ => self.put(0b1111, 4),
        }
        let width = [14, 17, 20].into_iter().find(|w| fits(change, *w)).unwrap_or(64);
        self.put(change.cast_unsigned(), width);
    }
}

/// Whether `v` is one of the `width` bit numbers, of which one more is positive than negative.
fn fits(v: i64, width: u32) -> bool {
    if width >= 64 {
        return true;
    }
    let half = 1i64 << (width - 1);
    (1 - half..=half).contains(&v)
}

// === impl Xor ===

impl Xor {
    /// Continues after `v`, which has been written whole.
    pub(super) fn after(v: f64) -> Self {
        Self { last: v.to_bits(), window: None }
    }

    pub(super) fn put(&mut self, v: f64, bits: &mut Bits) {
        let change = self.last ^ v.to_bits();
        self.last = v.to_bits();
        if change == 0 {
            return bits.put(0, 1);
        }
        // Five bits hold the zeros in front.
        let (leading, trailing) = (change.leading_zeros().min(31), change.trailing_zeros());
        if let Some((l, t)) = self.window.filter(|(l, t)| leading >= *l && trailing >= *t) {
            bits.put(0b10, 2);
            return bits.put(change >> t, 64 - l - t);
        }
        self.window = Some((leading, trailing));
        let width = 64 - leading - trailing;
        bits.put(0b11, 2);
        bits.put(leading.into(), 5);
        // 64 is written as 0.
        bits.put((width & 63).into(), 6);
        bits.put(change >> trailing, width);
    }
}
