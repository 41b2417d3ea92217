//! Values that are predicted from those of another series at the same times, and kept as what they differ.
//!
//! A bucket of a histogram and the one below, or the one of all observations, rise together. Which row of a page is
//! meant, and that it has a chunk on the same grid, is for the block to say (`docs/formats/metric-block.md`).
//!
//! ```text
//! base      := uvarint(rows up) uvarint(slope)
//! predicted  = w                       slope 64
//!            | round(w · (slope / 64))  any other, by adding 1.5 · 2⁵² and taking it away again
//! value      = predicted + difference if that is finite, else the difference
//! ```
//!
//! Sums and products are IEEE doubles, rounded to nearest even. The encoder verifies each value bit for bit.

use skald_model::labels::{put_uvarint, take_uvarint};

use crate::chunk::ChunkError;

/// The slope that stands for 1.
pub const ONE: u32 = 64;
/// Adding and subtracting it rounds to an integer; faster than a call for the rounding.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Steeper is not a prediction.
const MAX_SLOPE: u32 = 1 << 16;
/// Rows that a base may be away; pages of blocks are shorter.
const MAX_ROWS: u32 = 1 << 16;

/// What the values of a chunk are predicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// How many rows before its own; not 0.
    pub rows_up: u32,
    /// How much this series rises when that one rises by 64; not 0.
    pub slope: u32,
}

// === impl Base ===

impl Base {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_uvarint(out, u64::from(self.rows_up));
        put_uvarint(out, u64::from(self.slope));
    }

    pub(super) fn take(rest: &mut &[u8]) -> Result<Self, ChunkError> {
        let mut number = |max: u32| {
            let v = take_uvarint(rest).ok_or(ChunkError::Truncated)?;
            let v = u32::try_from(v).ok().filter(|v| (1..=max).contains(v));
            v.ok_or(ChunkError::Malformed("base of a chunk"))
        };
        Ok(Self { rows_up: number(MAX_ROWS)?, slope: number(MAX_SLOPE)? })
    }

    fn predict(self, w: f64) -> f64 {
        let slope = f64::from(self.slope) / f64::from(ONE);
        (w * slope + ROUND) - ROUND
    }

    /// Turns differences into values; `base` has those of the other chunk at the same times.
    pub fn add(self, base: &[f64], differences: &mut [f64]) -> Result<(), ChunkError> {
        if base.len() != differences.len() {
            return Err(ChunkError::Malformed("base of another length"));
        }
        let sum = |p: f64, d: f64| {
            let sum = p + d;
            if sum.is_finite() { sum } else { d }
        };
        if self.slope == ONE {
            base.iter().zip(differences).for_each(|(w, d)| *d = sum(*w, *d));
        } else {
            base.iter().zip(differences).for_each(|(w, d)| *d = sum(self.predict(*w), *d));
        }
        Ok(())
    }

    /// What [`add`](Self::add) makes `values` of, to `out`; false when nothing does.
    pub fn subtract(self, base: &[f64], values: &[f64], out: &mut Vec<f64>) -> bool {
        if base.len() != values.len() {
            return false;
        }
        let exact = |w: f64, v: f64| {
            let p = if self.slope == ONE { w } else { self.predict(w) };
            let d = if p.is_finite() && v.is_finite() { v - p } else { v };
            let sum = p + d;
            let back = if sum.is_finite() { sum } else { d };
            (back.to_bits() == v.to_bits()).then_some(d)
        };
        out.clear();
        out.reserve(values.len());
        for (w, v) in base.iter().zip(values) {
            let Some(d) = exact(*w, *v) else { return false };
            out.push(d);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skald_model::stale_nan;

    use super::*;

    fn strange() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-1000i32..1000).prop_map(f64::from),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(stale_nan()),
            1 => Just(-0.0),
            1 => Just(f64::NEG_INFINITY),
            1 => Just(f64::MAX),
        ]
    }

    proptest! {
        #[test]
        fn roundtrip_whatever_can_be_predicted(
            pairs in prop::collection::vec((strange(), strange()), 0..40),
            slope in 1u32..300,
        ) {
            let (base, values): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            for slope in [slope, ONE] {
                let this = Base { rows_up: 1, slope };
                let mut out = Vec::new();
                if this.subtract(&base, &values, &mut out) {
                    this.add(&base, &mut out).unwrap();
                    let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&out), bits(&values));
                }
            }
        }
    }

    #[test]
    fn integers_with_stale_markers_and_resets_can_be_predicted() {
        let base = [5.0, 9.0, f64::NAN, 0.0, stale_nan(), 3.0];
        let values = [7.0, 12.0, 13.0, 0.0, stale_nan(), stale_nan()];
        for slope in [ONE, 80, 3] {
            let this = Base { rows_up: 1, slope };
            let mut out = Vec::new();
            assert!(this.subtract(&base, &values, &mut out), "{slope}");
            this.add(&base, &mut out).unwrap();
            assert!(out.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        assert!(!Base { rows_up: 1, slope: ONE }.subtract(&[0.0], &[-0.0], &mut Vec::new()));
    }

    #[test]
    fn a_base_of_nothing_or_of_another_length_is_refused() {
        for bytes in [&[0, 1][..], &[1, 0], &[1], &[0xff, 0xff, 0xff, 1, 1], &[1, 0x81, 0x80, 4]] {
            assert!(Base::take(&mut &*bytes).is_err(), "{bytes:?}");
        }
        assert!(Base { rows_up: 1, slope: 1 }.add(&[1.0], &mut [1.0, 2.0]).is_err());
    }
}
