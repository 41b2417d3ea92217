//! Numbers in texts and packed numbers: the innermost loops.

use super::PADDING;

/// Writes `value` with `n` digits, zeros in front.
pub(super) fn put_fixed(mut value: u64, n: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let n = n.min(digits.len());
    for digit in digits[..n].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[..n]);
}

/// Writes `value` as it is usual.
pub(super) fn put_number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The number that up to 18 digits are.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum * 10 + u64::from(digit))
    })
}

/// Value `i` of those packed at `width` (0 to 64) bits from the front of `packed` on; 0 behind its end.
#[inline]
pub(super) fn packed_at(packed: &[u8], width: u32, i: usize) -> u64 {
    if width == 0 {
        return 0;
    }
    let bit = i * width as usize;
    let (byte, shift) = (bit / 8, (bit % 8) as u32);
    let Some(bytes) = packed.get(byte..byte + PADDING) else { return 0 };
    let low = bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)) >> shift;
    let mask = u64::MAX >> (64 - width);
    if width + shift <= 64 {
        return low & mask;
    }
    let high = packed.get(byte + 8).copied().unwrap_or(0);
    (low | u64::from(high) << (64 - shift)) & mask
}

/// The values of the lower-case hexadecimal digits; of other bytes 255.
pub(super) const NIBBLES: [u8; 256] = {
    let mut nibbles = [255; 256];
    let mut i = 0;
    while i < 16 {
        nibbles[HEX[i] as usize] = i as u8;
        i += 1;
    }
    nibbles
};

pub(super) const HEX: &[u8; 16] = b"0123456789abcdef";
