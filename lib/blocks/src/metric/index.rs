//! The label columns of a block decoded in memory: what answers matchers and builds label sets.
//!
//! Columns are loaded when a query first needs them, those that are missing by one scan (they lie
//! together in the block, so mostly one GET), and stay in the cache that all queries share.
//!
//! ```text
//! matchers ─once per dictionary value→ accepted codes ─scan of codes→ rows ─codes→ labels, ids
//! ```

mod column;
mod dictionary;
mod list;
mod matching;
mod project;

use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_model::{Labels, Matcher, SeriesId, TimeRange};

pub(crate) use self::column::Column;
use self::column::{Builder, LabelColumn, RestColumn};
pub(super) use self::list::Of;
pub(super) use self::project::Projection;
use super::write::{MAX_TIME, MIN_TIME};
use crate::Error;
use crate::chunks::bad;
use crate::columns::LABEL_PREFIX;
use crate::object::{Object, Scan};
use crate::selection::{Rows, pages_with};

const REST: &str = "l_rest";
const BATCH: usize = 64 << 10;
/// Where the cache keeps the ids: no position in a schema.
const IDS: u32 = u32::MAX;

/// Which labels of a block are needed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need<'a> {
    All,
    Only(&'a [String]),
}

type Times = Arc<Vec<i64>>;

/// Columns of one block.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) n_rows: usize,
    /// By name.
    labels: Vec<Arc<LabelColumn>>,
    rest: Option<Arc<RestColumn>>,
    /// First and last times.
    times: Option<(Times, Times)>,
}

// === impl Need ===

impl Need<'_> {
    fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|n| n == name),
        }
    }

    /// Whether a label may be needed that has no column of its own.
    fn has_other(self, object: &Object) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|n| !hot_names(object).any(|h| h == n)),
        }
    }
}

// === impl Index ===

impl Index {
    /// Loads what `matchers` and `need` look at, and the time ranges of series if `range` covers
    /// the block only in part. `None` when no series can match.
    pub(super) async fn load(
        object: &Object,
        matchers: &[Matcher],
        need: Need<'_>,
        range: TimeRange,
    ) -> Result<Option<Self>, Error> {
        let meta = &object.meta;
        if range.is_empty() || !range.overlaps(meta.min_time, meta.max_time) {
            return Ok(None);
        }
        let covered = range.contains(meta.min_time) && range.contains(meta.max_time);
        let names: Vec<String> = matchers.iter().map(|m| m.name.clone()).collect();
        let asked = Need::Only(&names);
        let other = need.has_other(object) || asked.has_other(object);
        let wanted = |field: &str| match field.strip_prefix(LABEL_PREFIX) {
            Some(_) if field == REST => other,
            Some(name) => need.has(name) || asked.has(name),
            None => !covered && (field == MIN_TIME || field == MAX_TIME),
        };
        let fields = object.footer.schema().fields();
        let wanted: Vec<usize> = (0..fields.len()).filter(|i| wanted(fields[*i].name())).collect();
        let mut missing = Vec::new();
        let mut index = Self { n_rows: object.footer.n_rows(), ..Self::default() };
        index.take(object, &wanted, &mut missing);
        if missing.is_empty() {
            object.stats.add_index_hit();
            return Ok(Some(index));
        }
        if matchers.iter().any(|m| is_absent(object, m, &missing)) {
            return Ok(None);
        }
        let _guard = object.cache.loading(object.path()).await;
        let still = std::mem::take(&mut missing);
        index.take(object, &still, &mut missing);
        if missing.is_empty() {
            object.stats.add_index_hit();
        } else {
            object.stats.add_index_miss();
            for (column, value) in read(object, &missing).await? {
                object.cache.put_column(object.path(), key(column), value.clone());
                index.add(object, column, value);
            }
        }
        Ok(Some(index))
    }

    /// Takes columns from the cache; the others are `missing`.
    fn take(&mut self, object: &Object, wanted: &[usize], missing: &mut Vec<usize>) {
        for &column in wanted {
            match object.cache.column(object.path(), key(column)) {
                Some(value) => self.add(object, column, value),
                None => missing.push(column),
            }
        }
    }

    fn add(&mut self, object: &Object, column: usize, value: Column) {
        match value {
            Column::Label(label) => {
                let at = self.labels.partition_point(|l| l.name < label.name);
                self.labels.insert(at, label);
            }
            Column::Rest(rest) => self.rest = Some(rest),
            Column::Times(times) => {
                let (first, last) = self.times.get_or_insert_default();
                let is_first = object.footer.schema().fields()[column].name() == MIN_TIME;
                *(if is_first { first } else { last }) = times;
            }
            Column::Ids(_) => {}
        }
    }

    fn label(&self, name: &str) -> Option<&Arc<LabelColumn>> {
        self.labels.iter().find(|l| *l.name == *name)
    }

    /// Ids of all series, computed once per block. All labels must have been loaded.
    pub(super) async fn ids(&self, object: &Object) -> Result<Arc<Vec<SeriesId>>, Error> {
        if let Some(Column::Ids(ids)) = object.cache.column(object.path(), IDS) {
            return Ok(ids);
        }
        let (all, n_rows) = (self.project(Need::All), self.n_rows);
        let ids = object
            .compute(move || {
                let mut bytes = Vec::new();
                let id = |row| {
                    bytes.clear();
                    all.put(row, &mut bytes);
                    Labels::from_canonical(Bytes::copy_from_slice(&bytes)).id()
                };
                Ok(Arc::new((0..n_rows).map(id).collect::<Vec<_>>()))
            })
            .await?;
        object.cache.put_column(object.path(), IDS, Column::Ids(Arc::clone(&ids)));
        Ok(ids)
    }
}

fn key(column: usize) -> u32 {
    u32::try_from(column).unwrap_or(IDS)
}

/// Names that have columns.
fn hot_names(object: &Object) -> impl Iterator<Item = &str> {
    let fields = object.footer.schema().fields().iter();
    fields.filter(|f| f.name() != REST).filter_map(|f| f.name().strip_prefix(LABEL_PREFIX))
}

/// Whether the bounds of pages say that no row has what the matcher wants.
fn is_absent(object: &Object, matcher: &Matcher, missing: &[usize]) -> bool {
    let name = format!("{LABEL_PREFIX}{}", matcher.name);
    let footer = &object.footer;
    let hot = footer.column(&name).filter(|i| name != REST && missing.contains(i));
    match (hot.and_then(|_| footer.leaf(&name)), matcher.literals()) {
        (Some(leaf), Some(values)) => pages_with(footer.parquet(), leaf, &values).is_empty(),
        _ => false,
    }
}

/// Decodes whole columns.
async fn read(object: &Object, columns: &[usize]) -> Result<Vec<(usize, Column)>, Error> {
    let fields = object.footer.schema().fields();
    let builder = |column: &usize| {
        let field = fields[*column].name();
        let builder = match field.strip_prefix(LABEL_PREFIX) {
            Some(_) if field == REST => Builder::rest(),
            Some(name) => Builder::label(name),
            None => Builder::times(),
        };
        (*column, field.clone(), builder)
    };
    let builders: Vec<(usize, String, Builder)> = columns.iter().map(builder).collect();
    let n_rows = object.footer.n_rows();
    let rows = Rows::all(n_rows);
    let scan = Scan { columns, rows: &rows, batch_rows: BATCH };
    let builders = object
        .scan(scan, builders, |builders, batch| {
            for (_, field, builder) in builders {
                builder.push(batch.column_by_name(field).ok_or_else(|| bad("column missing"))?)?;
            }
            Ok(())
        })
        .await?;
    let hot: Vec<Box<str>> = hot_names(object).map(Into::into).collect();
    object
        .compute(move || {
            let finish = |(column, _, builder): (usize, String, Builder)| {
                Ok::<_, ParquetError>((column, builder.finish(&hot, n_rows)?))
            };
            builders.into_iter().map(finish).collect()
        })
        .await
}
