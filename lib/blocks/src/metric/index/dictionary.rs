//! The values of a column, each once, in order; rows refer to them by code.
//!
//! Code 0 stands for a missing (or empty) value, code `i + 1` for the value at `i`. Values are kept
//! as label sets have them, so that a set is put together by copying.

use std::collections::HashMap;

use parquet::errors::ParquetError;
use skald_model::labels::{put_str, take_uvarint};

use crate::chunks::bad;

/// Sorted values.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    /// `{ uvarint(len) value }*`
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// Values in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Collector {
    codes: HashMap<Box<str>, u32>,
}

// === impl Dictionary ===

impl Dictionary {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The value of a code with its length before it; nothing for code 0.
    #[inline]
    pub(crate) fn encoded(&self, code: u32) -> &[u8] {
        let Some(at) = (code as usize).checked_sub(1) else { return &[] };
        let end = |i: usize| self.ends.get(i).map_or(0, |end| *end as usize);
        self.bytes.get(at.checked_sub(1).map_or(0, end)..end(at)).unwrap_or_default()
    }

    /// The value of a code; empty for code 0.
    pub(crate) fn value(&self, code: u32) -> &str {
        let mut rest = self.encoded(code);
        take_uvarint(&mut rest);
        std::str::from_utf8(rest).unwrap_or_default()
    }

    /// All codes of values.
    pub(crate) fn codes(&self) -> std::ops::RangeInclusive<u32> {
        1..=u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn code(&self, value: &str) -> Option<u32> {
        let (mut low, mut high) = (1, self.codes().end() + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.value(middle).cmp(value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.capacity() + 4 * self.ends.capacity()
    }
}

// === impl Collector ===

impl Collector {
    /// A preliminary code.
    pub(super) fn add(&mut self, value: &str) -> Result<u32, ParquetError> {
        if value.is_empty() {
            return Ok(0);
        }
        if let Some(code) = self.codes.get(value) {
            return Ok(*code);
        }
        let code = u32::try_from(self.codes.len() + 1).map_err(bad)?;
        self.codes.insert(value.into(), code);
        Ok(code)
    }

    /// The dictionary, and the final code of each preliminary one.
    pub(super) fn finish(self) -> Result<(Dictionary, Vec<u32>), ParquetError> {
        let mut values: Vec<(Box<str>, u32)> = self.codes.into_iter().collect();
        values.sort_unstable();
        let mut finals = vec![0; values.len() + 1];
        let mut dictionary = Dictionary::default();
        for ((value, preliminary), code) in values.iter().zip(1..) {
            put_str(&mut dictionary.bytes, value);
            dictionary.ends.push(u32::try_from(dictionary.bytes.len()).map_err(bad)?);
            finals[*preliminary as usize] = code;
        }
        dictionary.bytes.shrink_to_fit();
        dictionary.ends.shrink_to_fit();
        Ok((dictionary, finals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_ranks_and_values_come_back() {
        let mut collector = Collector::default();
        let preliminary: Vec<u32> =
            ["b", "", "ü", "a", "b"].iter().map(|v| collector.add(v).unwrap()).collect();
        let (dictionary, finals) = collector.finish().unwrap();
        let codes: Vec<u32> = preliminary.iter().map(|c| finals[*c as usize]).collect();
        assert_eq!(codes, [2, 0, 3, 1, 2]);
        assert_eq!(
            codes.iter().map(|c| dictionary.value(*c)).collect::<Vec<_>>(),
            ["b", "", "ü", "a", "b"]
        );
        assert_eq!(dictionary.code("ü"), Some(3));
        assert_eq!((dictionary.code("c"), dictionary.code("")), (None, None));
        assert_eq!(dictionary.encoded(3), [2, 0xc3, 0xbc]);
    }
}
