//! Checksums inside a block, so that no damaged byte reaches a decoder.
//!
//! Parquet's own page checksums are optional and rarely written, and decoders given garbage may
//! loop for ever. So the writer adds, behind everything it wrote, one crc32c per 16 KiB stripe, and
//! covers that list and the rest of the object (page index, footer) by one more, kept in the
//! footer. A ranged read is widened to whole stripes and checked before use.
//!
//! ```text
//! object  := data  stripe*  page index  footer        stripe := crc32c of 16 KiB of data, u32 little endian
//! footer key skald.tail = <length of data: 16 hex digits>-<crc32c of all behind data: 8 hex digits>
//! ```
//!
//! For that last checksum its own eight digits count as `00000000`.

use std::ops::Range;

use bytes::Bytes;

use crate::Error;

/// Bytes under one checksum.
pub(crate) const STRIPE: u64 = 16 << 10;
pub(crate) const KEY_TAIL: &str = "skald.tail";

const DIGITS: usize = 8;
const NO_CRC: &[u8; DIGITS] = b"00000000";
/// Value of [`KEY_TAIL`]: offset, dash, checksum.
const VALUE: usize = 16 + 1 + DIGITS;
/// Between key and value: field header and length, in Thrift's compact protocol.
const GAP: usize = 2;

/// What [`KEY_TAIL`] says, and where its checksum stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Length of the data, hence start of the stripe checksums.
    pub(crate) data_len: u64,
    crc: u32,
    digits: usize,
}

/// Checksums of the stripes of a block's data.
#[derive(Clone, Debug)]
pub(crate) struct Stripes {
    data_len: u64,
    sums: Bytes,
}

/// One checksum per stripe of `data`.
pub(crate) fn stripe_sums(data: &[u8]) -> Vec<u8> {
    let stripe = usize::try_from(STRIPE).unwrap_or(usize::MAX);
    data.chunks(stripe).flat_map(|stripe| crc32c::crc32c(stripe).to_le_bytes()).collect()
}

/// Value of [`KEY_TAIL`] before the checksum is known. The key must be the last one.
pub(crate) fn unsealed(data_len: usize) -> String {
    format!("{data_len:016x}-00000000")
}

/// Fills the checksum into a finished object.
pub(crate) fn seal(object: &mut [u8]) -> Result<(), Error> {
    let broken =
        || Error::Internal("footer key of the checksum is not where it belongs".to_owned());
    let mark = Mark::find(object).filter(|mark| mark.crc == 0).ok_or_else(broken)?;
    let start = usize::try_from(mark.data_len).map_err(|_| broken())?;
    let crc = crc32c::crc32c(object.get(start..).ok_or_else(broken)?);
    let digits = object.get_mut(mark.digits..mark.digits + DIGITS).ok_or_else(broken)?;
    digits.copy_from_slice(format!("{crc:08x}").as_bytes());
    Ok(())
}

// === impl Mark ===

impl Mark {
    /// Finds the last mark in the end of an object.
    pub(crate) fn find(tail: &[u8]) -> Option<Self> {
        let key = memchr::memmem::rfind(tail, KEY_TAIL.as_bytes())?;
        let value_at = key + KEY_TAIL.len() + GAP;
        let value = std::str::from_utf8(tail.get(value_at..value_at + VALUE)?).ok()?;
        let (data_len, crc) = value.split_once('-')?;
        Some(Self {
            data_len: u64::from_str_radix(data_len, 16).ok()?,
            crc: u32::from_str_radix(crc, 16).ok()?,
            digits: value_at + VALUE - DIGITS,
        })
    }

    /// Whether `tail`, all bytes behind the data, is as it was written.
    pub(crate) fn holds(&self, tail: &[u8]) -> bool {
        let Some((before, rest)) = tail.split_at_checked(self.digits) else { return false };
        let Some((_, after)) = rest.split_at_checked(DIGITS) else { return false };
        let crc = crc32c::crc32c_append(crc32c::crc32c(before), NO_CRC);
        crc32c::crc32c_append(crc, after) == self.crc
    }
}

// === impl Stripes ===

impl Stripes {
    /// Takes the checksums from the front of a tail that holds.
    pub(crate) fn of(data_len: u64, tail: &Bytes) -> Option<Self> {
        let len = usize::try_from(data_len.div_ceil(STRIPE).checked_mul(4)?).ok()?;
        // Copied, so that the cache does not keep the whole tail.
        Some(Self { data_len, sums: Bytes::copy_from_slice(tail.get(..len)?) })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.sums.len()
    }

    /// The whole stripes around `range`; `None` when it leaves the data.
    pub(crate) fn around(&self, range: &Range<u64>) -> Option<Range<u64>> {
        if range.start > range.end || range.end > self.data_len {
            return None;
        }
        let end = range.end.checked_next_multiple_of(STRIPE)?.min(self.data_len);
        Some(range.start / STRIPE * STRIPE..end)
    }

    /// Whether whole stripes that begin at `start` are as they were written.
    pub(crate) fn hold(&self, start: u64, bytes: &[u8]) -> bool {
        let Ok(first) = usize::try_from(start / STRIPE) else { return false };
        let sums = stripe_sums(bytes);
        self.sums.get(first * 4..first * 4 + sums.len()) == Some(sums.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(crc: &str) -> Vec<u8> {
        let mut out = b"sums index skald.tail".to_vec();
        out.extend_from_slice(&[0x18, 25]);
        out.extend_from_slice(format!("0000000000000000-{crc} end").as_bytes());
        out
    }

    #[test]
    fn a_sealed_tail_holds_and_a_changed_one_does_not() {
        let mut sealed = tail("00000000");
        seal(&mut sealed).unwrap();
        assert!(Mark::find(&sealed).unwrap().holds(&sealed));
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(!Mark::find(&bad).is_some_and(|m| m.data_len == 0 && m.holds(&bad)), "{at}");
        }
        assert!(seal(&mut sealed).is_err(), "sealed twice");
    }

    #[test]
    fn ranges_grow_to_whole_stripes_within_the_data() {
        let data: Vec<u8> = (0..40_000u32).map(|i| (i % 251) as u8).collect();
        let stripes = Stripes::of(40_000, &stripe_sums(&data).into()).unwrap();
        assert_eq!(stripes.around(&(16_385..16_390)), Some(16_384..32_768));
        assert_eq!(stripes.around(&(5..39_999)), Some(0..40_000));
        assert_eq!(stripes.around(&(5..40_001)), None);
        assert!(stripes.hold(16_384, &data[16_384..]));
        assert!(!stripes.hold(0, &data[16_384..]));
    }
}
