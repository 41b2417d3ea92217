//! Label sets as columns: which names get one, how rows become columns and columns rows again.
//!
//! A name that enough rows carry is a string column `<prefix><name>`; all other pairs of a row go
//! into one map column `<prefix>rest`. A label called `rest` is always in the map.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, MapArray, RecordBatch, StringArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_model::Labels;
use skald_model::labels::put_str;

use crate::chunks::bad;

pub(crate) const LABEL_PREFIX: &str = "l_";
pub(crate) const METADATA_PREFIX: &str = "m_";
pub(crate) const REST: &str = "rest";

/// A name needs its own column when one row in this many carries it.
const ONE_IN: u64 = 50;

/// Counts how many rows carry each name.
#[derive(Debug, Default)]
pub(crate) struct NameCounts {
    counts: HashMap<Box<str>, u64>,
    n_rows: u64,
}

/// Which names get columns.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    prefix: &'static str,
    /// Sorted.
    hot: Vec<Box<str>>,
    has_rest: bool,
}

// === impl NameCounts ===

impl NameCounts {
    /// Counts `n` rows with these labels.
    pub(crate) fn add(&mut self, labels: &Labels, n: u64) {
        self.n_rows += n;
        for (name, _) in labels {
            match self.counts.get_mut(name) {
                Some(count) => *count += n,
                None => {
                    self.counts.insert(name.into(), n);
                }
            }
        }
    }

    /// The most frequent names, at most `max`; `always` first of all when any row has it.
    pub(crate) fn plan(self, prefix: &'static str, max: usize, always: Option<&str>) -> Plan {
        let n_names = self.counts.len();
        let mut names: Vec<(Box<str>, u64)> = self
            .counts
            .into_iter()
            .filter(|(name, n)| {
                let frequent = n.saturating_mul(ONE_IN) >= self.n_rows;
                &**name != REST && (frequent || Some(&**name) == always)
            })
            .collect();
        names.sort_unstable_by(|(a, n), (b, m)| {
            let first = |name: &str| Some(name) != always;
            (first(a), m, a).cmp(&(first(b), n, b))
        });
        names.truncate(max);
        let mut hot: Vec<Box<str>> = names.into_iter().map(|(name, _)| name).collect();
        hot.sort_unstable();
        Plan { prefix, has_rest: n_names > hot.len(), hot }
    }
}

// === impl Plan ===

impl Plan {
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.hot
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        let string = match self.prefix {
            LABEL_PREFIX => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            _ => DataType::Utf8,
        };
        let mut fields: Vec<Field> = self
            .hot
            .iter()
            .map(|name| Field::new(format!("{}{name}", self.prefix), string.clone(), true))
            .collect();
        if self.has_rest {
            fields.push(Field::new_map(
                format!("{}{REST}", self.prefix),
                "key_value",
                Field::new("key", DataType::Utf8, false),
                Field::new("value", DataType::Utf8, true),
                false,
                true,
            ));
        }
        fields
    }

    pub(crate) fn builder(&self) -> ColumnsBuilder<'_> {
        let column = || match self.prefix {
            LABEL_PREFIX => Strings::Dictionary(DictionaryBuilder::default()),
            _ => Strings::Plain(StringBuilder::new()),
        };
        let names = MapFieldNames {
            entry: "key_value".to_owned(),
            key: "key".to_owned(),
            value: "value".to_owned(),
        };
        let map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
        ColumnsBuilder {
            plan: self,
            hot: self.hot.iter().map(|_| column()).collect(),
            rest: self.has_rest.then_some(map),
        }
    }
}

/// Collects rows of label sets into the columns of a [`Plan`].
#[derive(Debug)]
pub(crate) struct ColumnsBuilder<'a> {
    plan: &'a Plan,
    hot: Vec<Strings>,
    rest: Option<MapBuilder<StringBuilder, StringBuilder>>,
}

#[derive(Debug)]
enum Strings {
    Dictionary(DictionaryBuilder),
    Plain(StringBuilder),
}

/// A dictionary column under construction; repeated values cost one comparison.
#[derive(Debug, Default)]
struct DictionaryBuilder {
    ids: HashMap<Arc<str>, i32>,
    values: Vec<Arc<str>>,
    /// −1 is null.
    keys: Vec<i32>,
    last: i32,
}

// === impl ColumnsBuilder ===

impl ColumnsBuilder<'_> {
    /// Appends `n` rows with these labels.
    pub(crate) fn push(&mut self, labels: &Labels, n: usize) -> Result<(), ParquetError> {
        let mut pairs = labels.iter().peekable();
        let mut tail: Vec<(&str, &str)> = Vec::new();
        for (name, column) in self.plan.hot.iter().zip(&mut self.hot) {
            while let Some(pair) = pairs.next_if(|(p, _)| *p < &**name) {
                tail.push(pair);
            }
            let value = pairs.next_if(|(p, _)| *p == &**name).map(|(_, v)| v);
            column.push(value, n)?;
        }
        tail.extend(pairs);
        if let Some(rest) = &mut self.rest {
            for _ in 0..n {
                for (name, value) in &tail {
                    rest.keys().append_value(name);
                    rest.values().append_value(value);
                }
                rest.append(!tail.is_empty())?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Vec<ArrayRef>, ParquetError> {
        let mut out = self.hot.into_iter().map(Strings::finish).collect::<Result<Vec<_>, _>>()?;
        if let Some(rest) = &mut self.rest {
            out.push(Arc::new(rest.finish()));
        }
        Ok(out)
    }
}

// === impl Strings ===

impl Strings {
    fn push(&mut self, value: Option<&str>, n: usize) -> Result<(), ParquetError> {
        match self {
            Self::Dictionary(column) => column.push(value, n),
            Self::Plain(column) => {
                (0..n).for_each(|_| column.append_option(value));
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<ArrayRef, ParquetError> {
        Ok(match self {
            Self::Dictionary(column) => Arc::new(column.finish()?),
            Self::Plain(mut column) => Arc::new(column.finish()),
        })
    }
}

// === impl DictionaryBuilder ===

impl DictionaryBuilder {
    fn push(&mut self, value: Option<&str>, n: usize) -> Result<(), ParquetError> {
        let key = match value {
            None => -1,
            Some(value) => self.key(value)?,
        };
        self.keys.resize(self.keys.len() + n, key);
        Ok(())
    }

    fn key(&mut self, value: &str) -> Result<i32, ParquetError> {
        let last = usize::try_from(self.last).ok().and_then(|i| self.values.get(i));
        if last.is_some_and(|last| &**last == value) {
            return Ok(self.last);
        }
        self.last = match self.ids.get(value) {
            Some(id) => *id,
            None => {
                let id = i32::try_from(self.values.len()).map_err(bad)?;
                let value: Arc<str> = value.into();
                self.values.push(Arc::clone(&value));
                self.ids.insert(value, id);
                id
            }
        };
        Ok(self.last)
    }

    fn finish(self) -> Result<DictionaryArray<Int32Type>, ParquetError> {
        let valid: NullBuffer = self.keys.iter().map(|k| *k >= 0).collect();
        let keys: Vec<i32> = self.keys.into_iter().map(|k| k.max(0)).collect();
        let keys = Int32Array::try_new(keys.into(), Some(valid))?;
        let values = StringArray::from_iter_values(self.values.iter());
        Ok(DictionaryArray::try_new(keys, Arc::new(values))?)
    }
}

/// The label columns of a batch, to make rows of.
#[derive(Debug)]
pub(crate) struct LabelBatch<'a> {
    /// Sorted by name.
    columns: Vec<(&'a str, StringColumn<'a>)>,
    rest: Option<&'a MapArray>,
    rest_pairs: Option<(&'a StringArray, &'a StringArray)>,
}

/// A string column as the reader returns it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StringColumn<'a> {
    Dictionary { keys: &'a Int32Array, values: &'a StringArray },
    Plain(&'a StringArray),
}

// === impl StringColumn ===

impl<'a> StringColumn<'a> {
    pub(crate) fn of(array: &'a ArrayRef) -> Result<Self, ParquetError> {
        let any = array.as_any();
        if let Some(dictionary) = any.downcast_ref::<DictionaryArray<Int32Type>>()
            && let Some(values) = dictionary.values().as_any().downcast_ref()
        {
            return Ok(Self::Dictionary { keys: dictionary.keys(), values });
        }
        any.downcast_ref().map(Self::Plain).ok_or_else(|| bad("label column is no string"))
    }

    pub(crate) fn get(self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(values) => values.is_valid(row).then(|| values.value(row)),
            Self::Dictionary { keys, values } => {
                let key = keys.is_valid(row).then(|| keys.value(row))?;
                let key = usize::try_from(key).ok()?;
                (key < values.len()).then(|| values.value(key))
            }
        }
    }
}

// === impl LabelBatch ===

impl<'a> LabelBatch<'a> {
    /// Finds the columns with `prefix` in `batch`.
    pub(crate) fn of(batch: &'a RecordBatch, prefix: &str) -> Result<Self, ParquetError> {
        let mut this = Self { columns: Vec::new(), rest: None, rest_pairs: None };
        let schema = batch.schema_ref();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let Some(name) = field.name().strip_prefix(prefix) else { continue };
            if name != REST {
                this.columns.push((name, StringColumn::of(array)?));
                continue;
            }
            let map: Option<&MapArray> = array.as_any().downcast_ref();
            let map = map.ok_or_else(|| bad("rest column is no map"))?;
            let strings = |a: &'a ArrayRef| a.as_any().downcast_ref::<StringArray>();
            let (Some(names), Some(values)) = (strings(map.keys()), strings(map.values())) else {
                return Err(bad("rest column is no map of strings"));
            };
            this.rest = Some(map);
            this.rest_pairs = Some((names, values));
        }
        this.columns.sort_unstable_by_key(|(name, _)| *name);
        Ok(this)
    }

    /// The label sets of the rows that `keep` accepts, empty ones for the others.
    ///
    /// All share one buffer, and neighbours that are equal share their bytes.
    pub(crate) fn sets(
        &self,
        n_rows: usize,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Vec<Labels>, ParquetError> {
        if self.columns.is_empty() && self.rest.is_none() {
            return Ok(vec![Labels::empty(); n_rows]);
        }
        let mut bytes = Vec::new();
        let mut ranges = Vec::with_capacity(n_rows);
        let (mut pairs, mut before): (Vec<(&str, &str)>, Vec<_>) = Default::default();
        let mut last = 0..0;
        for row in 0..n_rows {
            if !keep(row) {
                ranges.push(0..0);
                continue;
            }
            pairs.clear();
            pairs.extend(self.columns.iter().filter_map(|(name, c)| Some((*name, c.get(row)?))));
            let n_hot = pairs.len();
            self.rest_of(row, |name, value| pairs.push((name, value)));
            if pairs.len() > n_hot {
                pairs.sort_unstable();
            }
            if pairs != before {
                let start = bytes.len();
                for (name, value) in &pairs {
                    put_str(&mut bytes, name);
                    put_str(&mut bytes, value);
                }
                last = start..bytes.len();
                std::mem::swap(&mut pairs, &mut before);
            }
            ranges.push(last.clone());
        }
        let bytes = Bytes::from(bytes);
        let mut out: Vec<Labels> = Vec::with_capacity(n_rows);
        for (i, range) in ranges.iter().enumerate() {
            let repeated = i.checked_sub(1).filter(|before| ranges[*before] == *range);
            out.push(match repeated {
                Some(before) => out[before].clone(),
                None => Labels::from_bytes(bytes.slice(range.clone())).map_err(bad)?,
            });
        }
        Ok(out)
    }

    fn rest_of(&self, row: usize, mut each: impl FnMut(&'a str, &'a str)) {
        let (Some(map), Some((names, values))) = (self.rest, self.rest_pairs) else { return };
        if map.is_null(row) {
            return;
        }
        let offset = |i: usize| map.value_offsets().get(i).and_then(|o| usize::try_from(*o).ok());
        let (Some(start), Some(end)) = (offset(row), offset(row + 1)) else { return };
        for i in start..end.min(names.len()).min(values.len()) {
            each(names.value(i), values.value(i));
        }
    }
}
