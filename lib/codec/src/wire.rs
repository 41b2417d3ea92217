//! The primitive fields of our own formats: varints, zigzag, fixed-width numbers, length-prefixed bytes.

pub use skald_model::labels::{put_uvarint, take_uvarint};

/// The bytes are not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("data ends too early")]
    Truncated,
    #[error("{0} is out of range")]
    Range(&'static str),
    #[error("unknown version {0}")]
    Version(u8),
    #[error("labels are not canonical")]
    Labels,
}

/// Bytes that an unsigned varint takes.
pub fn uvarint_len(v: u64) -> usize {
    let bits = u64::BITS - (v | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends a zigzag varint.
#[expect(clippy::cast_sign_loss, reason = "zigzag maps signed to unsigned on purpose")]
pub fn put_ivarint(out: &mut Vec<u8>, v: i64) {
    put_uvarint(out, ((v << 1) ^ (v >> 63)) as u64);
}

/// Takes a zigzag varint.
#[expect(clippy::cast_possible_wrap, reason = "zigzag maps unsigned to signed on purpose")]
pub fn take_ivarint(rest: &mut &[u8]) -> Result<i64, WireError> {
    let v = uvarint(rest)?;
    Ok((v >> 1) as i64 ^ -((v & 1) as i64))
}

/// Takes an unsigned varint.
pub fn uvarint(rest: &mut &[u8]) -> Result<u64, WireError> {
    take_uvarint(rest).ok_or(WireError::Truncated)
}

/// Takes a count of items that take at least `min_size` bytes each: never more than the bytes left could hold.
pub fn count(rest: &mut &[u8], min_size: usize) -> Result<usize, WireError> {
    let n = usize::try_from(uvarint(rest)?).map_err(|_| WireError::Range("count"))?;
    if n.checked_mul(min_size.max(1)).is_none_or(|bytes| bytes > rest.len()) {
        return Err(WireError::Range("count"));
    }
    Ok(n)
}

/// Takes `n` bytes.
pub fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], WireError> {
    let (head, tail) = rest.split_at_checked(n).ok_or(WireError::Truncated)?;
    *rest = tail;
    Ok(head)
}

/// Takes a fixed-size array.
pub fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

/// Takes `uvarint(len) bytes`.
pub fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let n = count(rest, 1)?;
    take(rest, n)
}

/// Appends `uvarint(len) bytes`.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn put_f64(out: &mut Vec<u8>, v: f64) {
    out.extend_from_slice(&v.to_bits().to_le_bytes());
}

pub fn take_f64(rest: &mut &[u8]) -> Result<f64, WireError> {
    Ok(f64::from_bits(u64::from_le_bytes(take_array(rest)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_varints_are_those_written() {
        for shift in 0..64 {
            for v in [(1u64 << shift) - 1, 1 << shift, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_uvarint(&mut out, v);
                assert_eq!(out.len(), uvarint_len(v), "{v}");
            }
        }
    }
}
