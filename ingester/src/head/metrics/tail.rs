//! The newest samples of a series, not sealed yet: bytes that are cheap to append to.
//!
//! ```text
//! sample := control, varint( zigzag( step - last step ) )?, bytes
//! control := same step << 7 | n bytes << 3 | zero bytes below them
//! ```
//!
//! The bytes are those of the value's bits XOR those of the value before, without the zero bytes at
//! both ends. The first sample follows one at time 0 of value 0, and the step after it counts as 0. A
//! steady counter takes three or four bytes a sample, a constant one, where a raw sample takes sixteen.

/// What the next sample is encoded against: the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    pub(super) ts: i64,
    /// Of the value.
    pub(super) bits: u64,
    /// Milliseconds from the sample before the last, or 0.
    pub(super) step: u32,
}

/// Goes through the samples of a tail.
#[derive(Clone, Debug)]
pub(crate) struct Tail<'a> {
    bytes: &'a [u8],
    last: Last,
    any: bool,
}

/// Bytes of a sample at most.
const MAX: usize = 1 + 10 + 8;

/// Appends a sample behind `last`, which is `None` for the first; answers what the next one follows.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "single bytes, and numbers up to 8")]
pub(super) fn push(out: &mut Vec<u8>, last: Option<Last>, ts: i64, bits: u64) -> Last {
    let before = last.unwrap_or_default();
    let mut buf = [0; MAX];
    let mut len = 1;
    let step = ts.wrapping_sub(before.ts);
    let change = step.wrapping_sub(i64::from(before.step));
    let mut zigzag = (change.wrapping_shl(1) ^ (change >> 63)).cast_unsigned();
    let mut control = 0x80;
    if zigzag != 0 {
        control = 0;
        while zigzag >= 0x80 {
            buf[len] = zigzag as u8 | 0x80;
            zigzag >>= 7;
            len += 1;
        }
        buf[len] = zigzag as u8;
        len += 1;
    }
    let xor = bits ^ before.bits;
    if xor != 0 {
        let below = xor.trailing_zeros() / 8;
        let n = 8 - below - xor.leading_zeros() / 8;
        control |= (n as u8) << 3 | below as u8;
        buf[len..len + 8].copy_from_slice(&(xor >> (8 * below)).to_le_bytes());
        len += n as usize;
    }
    buf[0] = control;
    make_room(out, len);
    out.extend_from_slice(&buf[..len]);
    Last { ts, bits, step: last.map_or(0, |_| counted(step)) }
}

/// The step as it counts for the next sample.
fn counted(step: i64) -> u32 {
    u32::try_from(step).unwrap_or(0)
}

/// Makes room for `n` more bytes: a quarter more at a time and not twice, in sizes that allocators have.
fn make_room(out: &mut Vec<u8>, n: usize) {
    let wanted = out.len() + n;
    if wanted > out.capacity() {
        let grain = (1 << (wanted.ilog2().max(6) - 2)).max(16);
        out.reserve_exact(wanted.next_multiple_of(grain) - out.len());
    }
}

// === impl Tail ===

impl<'a> Tail<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, last: Last::default(), any: false }
    }

    /// Goes to the end; `None` when there is no sample.
    pub(super) fn last(mut self) -> Option<Last> {
        self.by_ref().for_each(drop);
        self.any.then_some(self.last)
    }
}

impl Iterator for Tail<'_> {
    type Item = (i64, f64);

    #[inline]
    fn next(&mut self) -> Option<(i64, f64)> {
        let (&control, mut rest) = self.bytes.split_first()?;
        let mut change = 0;
        if control & 0x80 == 0 {
            let mut zigzag = 0u64;
            let mut shift = 0;
            loop {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                zigzag |= u64::from(byte & 0x7f).checked_shl(shift)?;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            change = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        }
        let n = usize::from(control >> 3 & 0xf);
        let (bytes, rest) = rest.split_at_checked(n)?;
        let mut word = [0; 8];
        word.get_mut(..n)?.copy_from_slice(bytes);
        let xor = u64::from_le_bytes(word) << (8 * (control & 7));
        self.bytes = rest;
        let step = i64::from(self.last.step).wrapping_add(change);
        self.last = Last {
            ts: self.last.ts.wrapping_add(step),
            bits: self.last.bits ^ xor,
            step: if self.any { counted(step) } else { 0 },
        };
        self.any = true;
        Some((self.last.ts, f64::from_bits(self.last.bits)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(samples: &[(i64, u64)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut last = None;
        for (ts, bits) in samples {
            last = Some(push(&mut out, last, *ts, *bits));
        }
        out
    }

    #[test]
    fn steady_samples_take_a_few_bytes() {
        let of = |value: fn(u32) -> f64| -> Vec<(i64, u64)> {
            let at = |i: u32| 1_790_000_000_000 + 15_000 * i64::from(i);
            (0..32).map(|i| (at(i), value(i).to_bits())).collect()
        };
        // 6 bytes of the first time, 3 of the first step.
        assert_eq!(encode(&of(|_| 1.0)).len(), 32 + 6 + 3 + 2);
        assert!(encode(&of(|i| f64::from(100_000 + 7 * i))).len() < 32 * 4);
    }

    proptest! {
        #[test]
        fn samples_come_back(
            first in prop_oneof![Just(i64::MIN), Just(0), -9_999i64..9_999_999_999_999],
            rest in prop::collection::vec(
                (prop_oneof![Just(15_000u64), 14_990u64..15_010, 1u64..1 << 40, Just(u64::MAX >> 2)], any::<bool>(), any::<u64>()),
                0..31,
            ),
        ) {
            let (mut ts, mut bits) = (first, 0x3ff0_0000_0000_0000);
            let mut samples = vec![(ts, bits)];
            for (step, same, value) in rest {
                let Some(next) = ts.checked_add_unsigned(step) else { break };
                ts = next;
                bits = if same { bits } else { value };
                samples.push((ts, bits));
            }
            let bytes = encode(&samples);
            let back: Vec<(i64, u64)> = Tail::new(&bytes).map(|(t, v)| (t, v.to_bits())).collect();
            prop_assert_eq!(&back, &samples);
            // Going on from the last is the same as from the start.
            let last = Tail::new(&bytes).last().unwrap();
            let (mut a, mut b) = (bytes.clone(), bytes);
            let Some(next) = ts.checked_add(15_000) else { return Ok(()) };
            push(&mut a, Some(last), next, 7);
            samples.push((next, 7));
            b.clear();
            b.extend(encode(&samples));
            prop_assert_eq!(a, b);
        }

        #[test]
        fn damage_ends_the_samples(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Tail::new(&bytes).count() <= bytes.len());
        }
    }
}
