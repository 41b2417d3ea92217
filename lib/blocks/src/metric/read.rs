//! Queries on a metric block: matcher columns first, then everything else of the surviving rows.
//!
//! ```text
//! matchers ─page statistics→ row ranges ─scan matched label columns→ rows ─scan labels + chunks→ series
//! ```
//!
//! With a cached footer that is two scans, each one or two GETs: label columns lie together at the
//! front of a row group, chunk columns behind them.

use std::sync::Arc;

use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, BinaryArray, PrimitiveArray, RecordBatch};
use object_store::ObjectStore;
use parquet::errors::ParquetError;
use skald_codec::chunk::ChunkKind;
use skald_model::{Exemplar, Labels, Matcher, Series, TenantId, TimeRange};

use super::rows::MetricRows;
use super::write::{
    EXEMPLARS, FLOATS, HISTOGRAMS, KEY_EXEMPLARS, KEY_HISTOGRAMS, MAX_TIME, MIN_TIME,
};
use crate::chunks::{append, bad, exemplars};
use crate::columns::{LABEL_PREFIX, LabelBatch, StringColumn};
use crate::object::{Object, Scan};
use crate::selection::{Rows, pages_with};
use crate::{BlockMeta, Error, FooterCache, ReadStats};

const MATCH_BATCH: usize = 16 << 10;
const CHUNK_BATCH: usize = 1 << 10;
const REST: &str = "l_rest";

/// Reads one metric block. Cheap to clone; all methods may run concurrently.
///
/// Dropping a future stops it at the next GET; nothing is left behind.
#[derive(Clone, Debug)]
pub struct MetricReader {
    object: Object,
}

// === impl MetricReader ===

impl MetricReader {
    /// Loads the footer, from `cache` if it is there.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        tenant: &TenantId,
        meta: &BlockMeta,
        cache: Arc<FooterCache>,
    ) -> Result<Self, Error> {
        Self::open_counted(store, tenant, meta, cache, Arc::default()).await
    }

    /// As [`open`](Self::open), adding what it reads to `stats`.
    pub async fn open_counted(
        store: Arc<dyn ObjectStore>,
        tenant: &TenantId,
        meta: &BlockMeta,
        cache: Arc<FooterCache>,
        stats: Arc<ReadStats>,
    ) -> Result<Self, Error> {
        Ok(Self { object: Object::open(store, tenant, meta, cache, stats).await? })
    }

    /// What the catalog says about the block.
    pub fn meta(&self) -> &BlockMeta {
        &self.object.meta
    }

    /// Counts of what was read so far.
    pub fn read_stats(&self) -> &Arc<ReadStats> {
        &self.object.stats
    }

    /// Series that all matchers accept with their samples in `range`, in block order; series
    /// without any are left out.
    ///
    /// Timestamps are unique within a series: of two samples at one time the first written stays.
    pub async fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Series>, Error> {
        let rows = self.matching(matchers, range).await?;
        let mut columns = self.label_columns();
        columns.extend(self.object.footer.column(FLOATS));
        if self.has(KEY_HISTOGRAMS) {
            columns.extend(self.object.footer.column(HISTOGRAMS));
        }
        let scan = Scan { columns: &columns, rows: &rows, batch_rows: CHUNK_BATCH };
        self.object
            .scan(scan, Vec::new(), move |out, batch| {
                let labels = LabelBatch::of(batch, LABEL_PREFIX)?;
                let cells = [
                    (ChunkKind::Floats, binary(batch, FLOATS)?),
                    (ChunkKind::Histograms, binary(batch, HISTOGRAMS)?),
                ];
                let mut found = Vec::with_capacity(batch.num_rows());
                for row in 0..batch.num_rows() {
                    let mut series = Series::default();
                    for (kind, column) in cells {
                        if let Some(cell) = column.filter(|c| c.is_valid(row)) {
                            append(kind, cell.value(row), range, &mut series)?;
                        }
                    }
                    found.push(series);
                }
                let sets = labels.sets(found.len(), |row| !found[row].is_empty())?;
                for (mut series, labels) in found.into_iter().zip(sets) {
                    if !series.is_empty() {
                        series.labels = labels;
                        out.push(series);
                    }
                }
                Ok(())
            })
            .await
    }

    /// Label sets that all matchers accept of series whose first and last sample enclose a time in
    /// `range`; no chunk is read.
    pub async fn labels(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Labels>, Error> {
        let rows = self.matching(matchers, range).await?;
        let columns = self.label_columns();
        let scan = Scan { columns: &columns, rows: &rows, batch_rows: MATCH_BATCH };
        self.object
            .scan(scan, Vec::new(), |out, batch| {
                let labels = LabelBatch::of(batch, LABEL_PREFIX)?;
                out.extend(labels.sets(batch.num_rows(), |_| true)?);
                Ok(())
            })
            .await
    }

    /// Exemplars in `range` of the series that all matchers accept, in time order per series.
    pub async fn exemplars(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, Error> {
        if !self.has(KEY_EXEMPLARS) {
            return Ok(Vec::new());
        }
        let rows = self.matching(matchers, range).await?;
        let mut columns = self.label_columns();
        columns.extend(self.object.footer.column(EXEMPLARS));
        let scan = Scan { columns: &columns, rows: &rows, batch_rows: CHUNK_BATCH };
        self.object
            .scan(scan, Vec::new(), move |out, batch| {
                let labels = LabelBatch::of(batch, LABEL_PREFIX)?;
                let Some(cells) = binary(batch, EXEMPLARS)? else { return Ok(()) };
                let sets = labels.sets(batch.num_rows(), |row| cells.is_valid(row))?;
                for (row, labels) in sets.into_iter().enumerate() {
                    if cells.is_null(row) {
                        continue;
                    }
                    let mut found = exemplars(cells.value(row))?;
                    found.retain(|e| range.contains(e.timestamp_ms));
                    if !found.is_empty() {
                        out.push((labels, found));
                    }
                }
                Ok(())
            })
            .await
    }

    /// All series with their chunks still encoded, for compaction.
    pub fn rows(&self) -> MetricRows {
        MetricRows::new(self.object.clone())
    }

    fn has(&self, key: &str) -> bool {
        self.object.footer.number(key) != Some(0)
    }

    fn label_columns(&self) -> Vec<usize> {
        let fields = self.object.footer.schema().fields();
        (0..fields.len()).filter(|i| fields[*i].name().starts_with(LABEL_PREFIX)).collect()
    }

    /// The rows that all matchers accept and whose time range meets `range`.
    async fn matching(&self, matchers: &[Matcher], range: TimeRange) -> Result<Rows, Error> {
        let meta = &self.object.meta;
        let footer = &self.object.footer;
        if range.is_empty() || !range.overlaps(meta.min_time, meta.max_time) {
            return Ok(Rows::default());
        }
        let mut rows = Rows::all(footer.n_rows());
        let (mut columns, mut tests) = (Vec::new(), Vec::new());
        for matcher in matchers {
            let name = format!("{LABEL_PREFIX}{}", matcher.name);
            let hot = footer.column(&name).filter(|_| name != REST);
            if let (Some(leaf), Some(values)) =
                (hot.and_then(|_| footer.leaf(&name)), matcher.literals())
            {
                rows = rows.intersect(&pages_with(footer.parquet(), leaf, &values));
            }
            match hot.or_else(|| footer.column(REST)) {
                Some(column) => {
                    columns.push(column);
                    tests.push(Test { column: hot.map(|_| name), matcher: matcher.clone() });
                }
                // No row has the label.
                None if matcher.matches_empty() => {}
                None => return Ok(Rows::default()),
            }
        }
        let covered = range.contains(meta.min_time) && range.contains(meta.max_time);
        if !covered {
            columns.extend(footer.column(MIN_TIME));
            columns.extend(footer.column(MAX_TIME));
        }
        if tests.is_empty() && covered {
            return Ok(rows);
        }
        let numbers = rows.clone().into_numbers();
        let filter = Filter { tests, range: (!covered).then_some(range) };
        let scan = Scan { columns: &columns, rows: &rows, batch_rows: MATCH_BATCH };
        let (found, _) = self
            .object
            .scan(scan, (Rows::default(), numbers), move |(found, numbers), batch| {
                let keep = filter.keep(batch)?;
                // In this order: the shorter side must be asked first, or a number is lost.
                for (keep, number) in keep.into_iter().zip(numbers.by_ref()) {
                    if keep {
                        found.push(number..number + 1);
                    }
                }
                Ok(())
            })
            .await?;
        Ok(found)
    }
}

/// A matcher and the column that answers it; without one it is the rest column.
#[derive(Debug)]
struct Test {
    column: Option<String>,
    matcher: Matcher,
}

#[derive(Debug)]
struct Filter {
    tests: Vec<Test>,
    range: Option<TimeRange>,
}

// === impl Filter ===

impl Filter {
    /// One answer per row of the batch.
    fn keep(&self, batch: &RecordBatch) -> Result<Vec<bool>, ParquetError> {
        let mut keep = vec![true; batch.num_rows()];
        for test in &self.tests {
            match &test.column {
                Some(name) => {
                    let column = batch.column_by_name(name).ok_or_else(|| bad("column missing"))?;
                    test_column(&test.matcher, StringColumn::of(column)?, &mut keep);
                }
                None => {
                    let labels = LabelBatch::of(batch, LABEL_PREFIX)?;
                    for (row, keep) in keep.iter_mut().enumerate().filter(|(_, keep)| **keep) {
                        let value = labels.rest_value(row, &test.matcher.name);
                        *keep = test.matcher.matches(value.unwrap_or(""));
                    }
                }
            }
        }
        if let Some(range) = self.range {
            let (min, max) = (times(batch, MIN_TIME)?, times(batch, MAX_TIME)?);
            for (row, keep) in keep.iter_mut().enumerate() {
                *keep &= range.overlaps(min.value(row), max.value(row));
            }
        }
        Ok(keep)
    }
}

/// Asks the matcher once per dictionary value that occurs.
fn test_column(matcher: &Matcher, column: StringColumn<'_>, keep: &mut [bool]) {
    let of_missing = matcher.matches_empty();
    match column {
        StringColumn::Plain(_) => {
            for (row, keep) in keep.iter_mut().enumerate().filter(|(_, keep)| **keep) {
                *keep = column.get(row).map_or(of_missing, |v| matcher.matches(v));
            }
        }
        StringColumn::Dictionary { keys, values } => {
            let mut known: Vec<Option<bool>> = vec![None; values.len()];
            for (row, keep) in keep.iter_mut().enumerate().filter(|(_, keep)| **keep) {
                let id = keys.is_valid(row).then(|| usize::try_from(keys.value(row)).ok());
                *keep = match id.flatten().and_then(|id| Some((id, known.get_mut(id)?))) {
                    Some((id, known)) => {
                        *known.get_or_insert_with(|| matcher.matches(values.value(id)))
                    }
                    None => of_missing,
                };
            }
        }
    }
}

fn times<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<TimestampMillisecondType>, ParquetError> {
    batch
        .column_by_name(name)
        .and_then(|c| c.as_any().downcast_ref())
        .ok_or_else(|| bad("time column missing"))
}

/// A binary column if it was read.
pub(super) fn binary<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<Option<&'a BinaryArray>, ParquetError> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    column.as_any().downcast_ref().map(Some).ok_or_else(|| bad("column is not binary"))
}
