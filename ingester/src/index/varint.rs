//! Numbers of seven bits a byte, the lowest first: what an index holds most of is small numbers.

/// Appends `n`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
pub(super) fn put(out: &mut Vec<u8>, mut n: u32) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Takes a number off the front; `None` at the end.
///
/// Reads only what [`put`] wrote, in memory: a number that is cut off ends the list.
#[inline]
pub(super) fn take(bytes: &mut &[u8]) -> Option<u32> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    if first < 0x80 {
        return Some(u32::from(first));
    }
    let mut n = u32::from(first & 0x7f);
    for shift in [7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let all = [0, 1, 127, 128, 16_383, 16_384, 1 << 21, (1 << 28) - 1, 1 << 28, u32::MAX];
        let mut bytes = Vec::new();
        all.iter().for_each(|n| put(&mut bytes, *n));
        let mut rest = bytes.as_slice();
        let back: Vec<u32> = std::iter::from_fn(|| take(&mut rest)).collect();
        assert_eq!(back, all);
    }
}
