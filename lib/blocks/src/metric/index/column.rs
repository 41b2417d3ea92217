//! One column of a block in memory, and how it is made of what the Parquet reader returns.

use std::sync::Arc;

use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, MapArray, PrimitiveArray, StringArray};
use parquet::errors::ParquetError;
use skald_model::SeriesId;
use skald_model::labels::put_str;

use super::dictionary::{Collector, Dictionary};
use crate::chunks::bad;
use crate::columns::StringColumn;

/// A column with one entry per row. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    Label(Arc<LabelColumn>),
    Rest(Arc<RestColumn>),
    Times(Arc<Vec<i64>>),
    Ids(Arc<Vec<SeriesId>>),
}

/// The values of one label.
#[derive(Debug)]
pub(crate) struct LabelColumn {
    pub(crate) name: Box<str>,
    /// The name as label sets have it.
    pub(crate) encoded_name: Vec<u8>,
    pub(crate) values: Dictionary,
    pub(crate) codes: Codes,
    /// Whether the codes ascend, so that rows of a value are neighbours.
    pub(crate) sorted: bool,
}

/// Codes in as few bytes as they need.
#[derive(Debug)]
pub(crate) enum Codes {
    Byte(Vec<u8>),
    Short(Vec<u16>),
    Word(Vec<u32>),
}

/// All labels that have no column of their own.
#[derive(Debug, Default)]
pub(crate) struct RestColumn {
    pub(crate) names: Dictionary,
    pub(crate) values: Dictionary,
    /// Where the pairs of each row end.
    ends: Vec<u32>,
    /// Codes of name and value, by name within a row.
    pairs: Vec<(u32, u32)>,
}

/// A column under construction.
#[derive(Debug)]
pub(super) enum Builder {
    Label { name: Box<str>, values: Collector, codes: Vec<u32> },
    Rest { names: Collector, values: Collector, ends: Vec<u32>, pairs: Vec<(u32, u32)> },
    Times(Vec<i64>),
}

// === impl Column ===

impl Column {
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Label(c) => c.values.size_bytes() + c.codes.size_bytes(),
                Self::Rest(c) => {
                    let dictionaries = c.names.size_bytes() + c.values.size_bytes();
                    dictionaries + 4 * c.ends.capacity() + 8 * c.pairs.capacity()
                }
                Self::Times(times) => 8 * times.capacity(),
                Self::Ids(ids) => 16 * ids.capacity(),
            }
    }
}

// === impl Codes ===

impl Codes {
    fn new(codes: Vec<u32>, n_values: usize) -> Self {
        let byte = |c: &u32| u8::try_from(*c).unwrap_or(0);
        let short = |c: &u32| u16::try_from(*c).unwrap_or(0);
        match n_values {
            0..=0xff => Self::Byte(codes.iter().map(byte).collect()),
            0x100..=0xffff => Self::Short(codes.iter().map(short).collect()),
            _ => Self::Word(codes),
        }
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> u32 {
        match self {
            Self::Byte(codes) => codes.get(row).copied().map_or(0, u32::from),
            Self::Short(codes) => codes.get(row).copied().map_or(0, u32::from),
            Self::Word(codes) => codes.get(row).copied().unwrap_or(0),
        }
    }

    /// Rows with a code below `code`, when the codes ascend.
    pub(crate) fn below(&self, code: u32) -> usize {
        match self {
            Self::Byte(codes) => codes.partition_point(|c| u32::from(*c) < code),
            Self::Short(codes) => codes.partition_point(|c| u32::from(*c) < code),
            Self::Word(codes) => codes.partition_point(|c| *c < code),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Byte(codes) => codes.capacity(),
            Self::Short(codes) => 2 * codes.capacity(),
            Self::Word(codes) => 4 * codes.capacity(),
        }
    }
}

// === impl RestColumn ===

impl RestColumn {
    /// Codes of names and values of a row, by name.
    #[inline]
    pub(crate) fn pairs(&self, row: usize) -> &[(u32, u32)] {
        let end = |row: usize| self.ends.get(row).map_or(0, |end| *end as usize);
        self.pairs.get(row.checked_sub(1).map_or(0, end)..end(row)).unwrap_or_default()
    }

    /// Code of the value that a row has of the label with this code; 0 without one.
    #[inline]
    pub(crate) fn get(&self, row: usize, name: u32) -> u32 {
        self.pairs(row).iter().find(|(n, _)| *n == name).map_or(0, |(_, value)| *value)
    }
}

// === impl Builder ===

impl Builder {
    pub(super) fn label(name: &str) -> Self {
        Self::Label { name: name.into(), values: Collector::default(), codes: Vec::new() }
    }

    pub(super) fn rest() -> Self {
        let (names, values) = Default::default();
        Self::Rest { names, values, ends: Vec::new(), pairs: Vec::new() }
    }

    pub(super) fn times() -> Self {
        Self::Times(Vec::new())
    }

    fn len(&self) -> usize {
        match self {
            Self::Label { codes, .. } => codes.len(),
            Self::Rest { ends, .. } => ends.len(),
            Self::Times(times) => times.len(),
        }
    }

    /// Appends the rows of `array`.
    pub(super) fn push(&mut self, array: &ArrayRef) -> Result<(), ParquetError> {
        match self {
            Self::Label { values, codes, .. } => push_strings(array, values, codes),
            Self::Rest { names, values, ends, pairs } => {
                let map: Option<&MapArray> = array.as_any().downcast_ref();
                let map = map.ok_or_else(|| bad("rest column is no map"))?;
                push_map(map, [names, values], ends, pairs)
            }
            Self::Times(times) => {
                let array: Option<&PrimitiveArray<TimestampMillisecondType>> =
                    array.as_any().downcast_ref();
                let array = array.ok_or_else(|| bad("time column is of another type"))?;
                times.extend_from_slice(array.values());
                Ok(())
            }
        }
    }

    /// `hot` are names that no row may have in the rest column.
    pub(super) fn finish(self, hot: &[Box<str>], n_rows: usize) -> Result<Column, ParquetError> {
        if self.len() != n_rows {
            return Err(bad("a column has another number of rows"));
        }
        Ok(match self {
            Self::Label { name, values, mut codes } => {
                let (values, finals) = values.finish()?;
                codes.iter_mut().for_each(|c| *c = finals[*c as usize]);
                let sorted = codes.is_sorted();
                let codes = Codes::new(codes, values.len());
                let mut encoded_name = Vec::new();
                put_str(&mut encoded_name, &name);
                let column = LabelColumn { name, encoded_name, values, codes, sorted };
                Column::Label(Arc::new(column))
            }
            Self::Rest { names, values, ends, mut pairs } => {
                let (names, name_codes) = names.finish()?;
                let (values, value_codes) = values.finish()?;
                if hot.iter().any(|name| names.code(name).is_some()) {
                    return Err(bad("a label is in two columns"));
                }
                for (n, v) in &mut pairs {
                    (*n, *v) = (name_codes[*n as usize], value_codes[*v as usize]);
                }
                sort_rows(&ends, &mut pairs)?;
                pairs.shrink_to_fit();
                Column::Rest(Arc::new(RestColumn { names, values, ends, pairs }))
            }
            Self::Times(times) => Column::Times(Arc::new(times)),
        })
    }
}

fn push_strings(
    array: &ArrayRef,
    values: &mut Collector,
    codes: &mut Vec<u32>,
) -> Result<(), ParquetError> {
    let column = StringColumn::of(array)?;
    codes.reserve(array.len());
    let StringColumn::Dictionary { keys, values: strings } = column else {
        for row in 0..array.len() {
            codes.push(values.add(column.get(row).unwrap_or(""))?);
        }
        return Ok(());
    };
    // Values that no row of this batch has are not looked at.
    let mut known: Vec<Option<u32>> = vec![None; strings.len()];
    for row in 0..array.len() {
        let key = keys.is_valid(row).then(|| usize::try_from(keys.value(row)).ok()).flatten();
        let code = match key.and_then(|key| Some((key, known.get_mut(key)?))) {
            None => 0,
            Some((_, Some(code))) => *code,
            Some((key, slot)) => *slot.insert(values.add(strings.value(key))?),
        };
        codes.push(code);
    }
    Ok(())
}

fn push_map(
    map: &MapArray,
    [names, values]: [&mut Collector; 2],
    ends: &mut Vec<u32>,
    pairs: &mut Vec<(u32, u32)>,
) -> Result<(), ParquetError> {
    let strings = |array: &ArrayRef| array.as_any().downcast_ref::<StringArray>().cloned();
    let (Some(keys), Some(texts)) = (strings(map.keys()), strings(map.values())) else {
        return Err(bad("rest column is no map of strings"));
    };
    let offset = |i: usize| map.value_offsets().get(i).and_then(|o| usize::try_from(*o).ok());
    for row in 0..map.len() {
        let (Some(start), Some(end)) = (offset(row), offset(row + 1)) else {
            return Err(bad("rest column has no offsets"));
        };
        let wanted =
            if map.is_null(row) { 0..0 } else { start..end.min(keys.len()).min(texts.len()) };
        for i in wanted.filter(|i| texts.is_valid(*i) && !texts.value(*i).is_empty()) {
            let name = names.add(keys.value(i))?;
            if name == 0 {
                return Err(bad("a label has no name"));
            }
            pairs.push((name, values.add(texts.value(i))?));
        }
        ends.push(u32::try_from(pairs.len()).map_err(bad)?);
    }
    Ok(())
}

fn sort_rows(ends: &[u32], pairs: &mut [(u32, u32)]) -> Result<(), ParquetError> {
    let mut start = 0;
    for end in ends {
        let end = *end as usize;
        let row = pairs.get_mut(start..end).ok_or_else(|| bad("rest column has no offsets"))?;
        row.sort_unstable();
        if row.windows(2).any(|w| w[0].0 == w[1].0) {
            return Err(bad("a label stands twice in a row"));
        }
        start = end;
    }
    Ok(())
}
