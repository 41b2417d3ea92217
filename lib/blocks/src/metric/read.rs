//! Queries on a metric block: rows by the series index, chunks by the pages that hold them.
//!
//! ```text
//! matchers ─index→ rows ─pages of chunks→ MetricSet ─decode, one at a time→ series
//! ```
//!
//! Index and pages come from the cache; what is missing is read by one or two GETs each: label
//! columns lie together at the front of a row group, chunk columns behind them.

use std::sync::Arc;

use arrow_array::{Array, BinaryArray, RecordBatch};
use object_store::ObjectStore;
use parquet::errors::ParquetError;
use skald_codec::chunk::ChunkKind;
use skald_model::{Exemplar, Labels, Matcher, Series, TenantId, TimeRange};

use super::bases::Bases;
use super::grids::{Grids, lies_at};
use super::index::{Index, Need, Of};
use super::page::{Layout, Page};
use super::rows::MetricRows;
use super::set::{Found, MetricSet, Names, Place};
use super::times::{QueryTimes, Uses};
use super::write::{EXEMPLARS, FLOATS, HISTOGRAMS, KEY_EXEMPLARS, KEY_HISTOGRAMS};
use crate::chunks::{bad, exemplars};
use crate::object::{Object, Scan};
use crate::selection::Rows;
use crate::{BlockMeta, Error, FooterCache, ReadStats};

const CHUNK_BATCH: usize = 1 << 10;
/// Blocks with more series are matched on the blocking pool.
const INLINE: usize = 64 << 10;
/// More label sets are put together there.
const INLINE_SETS: usize = 512;

/// Reads one metric block. Cheap to clone; all methods may run concurrently.
///
/// Dropping a future stops it at the next GET; nothing is left behind.
#[derive(Clone, Debug)]
pub struct MetricReader {
    pub(crate) object: Object,
}

/// Which labels a caller looks at.
#[derive(Clone, Copy, Debug, Default)]
pub enum LabelWant<'a> {
    #[default]
    All,
    /// Only those of these names. Several series may then have equal labels; they stay apart.
    Only(&'a [String]),
    /// As `Only`, and ids that tell series apart and find them in other sources.
    OnlyWithIds(&'a [String]),
}

// === impl LabelWant ===

impl<'a> LabelWant<'a> {
    /// What must be loaded for it.
    fn need(self) -> Need<'a> {
        match self {
            Self::Only(names) => Need::Only(names),
            Self::All | Self::OnlyWithIds(_) => Need::All,
        }
    }
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

    #[cfg(test)]
    pub(crate) fn footer(&self) -> Arc<crate::object::Footer> {
        Arc::clone(&self.object.footer)
    }

    /// Counts of what was read so far.
    pub fn read_stats(&self) -> &Arc<ReadStats> {
        &self.object.stats
    }

    /// Series that all matchers accept with chunks that reach into `range`, still encoded.
    pub async fn encoded(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        want: LabelWant<'_>,
    ) -> Result<MetricSet, Error> {
        let Some(index) = Index::load(&self.object, matchers, want.need(), range).await? else {
            return Ok(MetricSet::empty(range));
        };
        let rows = self.matching(&index, matchers, range).await?;
        if rows.is_empty() {
            return Ok(MetricSet::empty(range));
        }
        let grids = grids(&self.object).await?;
        let (floats, float_places) = self.pages(FLOATS, ChunkKind::Floats, &grids, &rows).await?;
        let histograms = self.object.footer.number(KEY_HISTOGRAMS) != Some(0);
        let (histograms, histogram_places) = if histograms {
            self.pages(HISTOGRAMS, ChunkKind::Histograms, &grids, &rows).await?
        } else {
            Default::default()
        };
        let place = |pages: &[Arc<Page>], places: &[(u32, u32)], i: usize| {
            let Some(&(page, row)) = places.get(i) else { return Place::default() };
            let found = pages.get(page as usize).map(|p| p.chunks(row as usize, range));
            Place { page, row, chunks: found.unwrap_or_default() }
        };
        let found = |(i, row): (usize, &u32)| {
            let floats = place(&floats, &float_places, i);
            let histograms = place(&histograms, &histogram_places, i);
            let some = !floats.chunks.is_empty() || !histograms.chunks.is_empty();
            some.then_some(Found { row: *row, floats, histograms })
        };
        let series: Vec<Found> = rows.iter().enumerate().filter_map(found).collect();
        let names = self.names(&index, want, &series).await?;
        let n_series = series.len();
        self.object.stats.add_rows(n_series);
        let times = QueryTimes::empty(range);
        let bases = Bases::new(0, 0);
        let set = MetricSet { range, series, names, floats, histograms, times, bases };
        if grids.len() == 0 {
            return Ok(set);
        }
        let with_times = move || {
            let mut uses = Uses::new(grids);
            set.each_chunk(|chunk| uses.add(chunk));
            MetricSet { bases: uses.bases(), times: uses.finish(range), ..set }
        };
        if n_series <= INLINE_SETS {
            return Ok(with_times());
        }
        self.object.compute(move || Ok(with_times())).await
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
        let set = self.encoded(matchers, range, LabelWant::All).await?;
        self.object.compute(move || set.decode_all().map_err(bad)).await
    }

    /// Label sets that all matchers accept of series whose first and last sample enclose a time in
    /// `range`; no chunk is read.
    pub async fn labels(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Labels>, Error> {
        let Some(index) = Index::load(&self.object, matchers, Need::All, range).await? else {
            return Ok(Vec::new());
        };
        let rows = self.matching(&index, matchers, range).await?;
        let n_rows = rows.len();
        let work = move || {
            let all = index.project(Need::All);
            rows.iter().map(|row| all.labels(*row as usize)).collect()
        };
        if n_rows <= INLINE_SETS {
            return Ok(work());
        }
        self.object.compute(move || Ok(work())).await
    }

    /// Names of the labels of such series, sorted.
    pub async fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        self.list(Of::Names, matchers, Need::All, range).await
    }

    /// Values that such series have of one label, sorted.
    pub async fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let (of, need) = (Of::Values(name.to_owned()), [name.to_owned()]);
        self.list(of, matchers, Need::Only(&need), range).await
    }

    /// Exemplars in `range` of the series that all matchers accept, in time order per series.
    pub async fn exemplars(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, Error> {
        let column = self.object.footer.column(EXEMPLARS);
        let some = self.object.footer.number(KEY_EXEMPLARS) != Some(0);
        let Some(column) = column.filter(|_| some) else { return Ok(Vec::new()) };
        let index = Index::load(&self.object, matchers, Need::All, range).await?;
        let Some(index) = index else { return Ok(Vec::new()) };
        let numbers = self.matching(&index, matchers, range).await?;
        let rows: Rows = numbers.iter().map(|row| *row as usize..*row as usize + 1).collect();
        let (all, mut numbers) = (index.project(Need::All), numbers.into_iter());
        let scan = Scan { columns: &[column], rows: &rows, batch_rows: CHUNK_BATCH };
        self.object
            .scan(scan, Vec::new(), move |out, batch| {
                let Some(cells) = binary(batch, EXEMPLARS)? else { return Ok(()) };
                // In this order: the shorter side must be asked first, or a number is lost.
                for (i, row) in (0..cells.len()).zip(numbers.by_ref()) {
                    if cells.is_null(i) {
                        continue;
                    }
                    let mut found = exemplars(cells.value(i))?;
                    found.retain(|e| range.contains(e.timestamp_ms));
                    if !found.is_empty() {
                        out.push((all.labels(row as usize), found));
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

    async fn list(
        &self,
        of: Of,
        matchers: &[Matcher],
        need: Need<'_>,
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let Some(index) = Index::load(&self.object, matchers, need, range).await? else {
            return Ok(Vec::new());
        };
        if index.n_rows <= INLINE {
            return Ok(index.list(&of, matchers, range));
        }
        let matchers = matchers.to_vec();
        self.object.compute(move || Ok(index.list(&of, &matchers, range))).await
    }

    async fn matching(
        &self,
        index: &Index,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<u32>, Error> {
        if index.n_rows <= INLINE {
            return Ok(index.matching(matchers, range));
        }
        let (index, matchers) = (index.clone(), matchers.to_vec());
        self.object.compute(move || Ok(index.matching(&matchers, range))).await
    }

    /// The pages of a chunk column that hold `rows`, and in which of them each row is where.
    async fn pages(
        &self,
        column: &str,
        kind: ChunkKind,
        grids: &Arc<Grids>,
        rows: &[u32],
    ) -> Result<(Vec<Arc<Page>>, Vec<(u32, u32)>), Error> {
        let Some(leaf) = self.object.footer.leaf(column) else { return Ok(Default::default()) };
        let layout = Layout::of(&self.object, leaf);
        let (numbers, places) = layout.locate(rows);
        Ok((layout.load(&self.object, column, kind, grids, &numbers).await?, places))
    }

    async fn names(
        &self,
        index: &Index,
        want: LabelWant<'_>,
        series: &[Found],
    ) -> Result<Names, Error> {
        let (names, with_ids) = match want {
            LabelWant::All => return Ok(Names::Whole(index.project(Need::All))),
            LabelWant::Only(names) => (names, false),
            LabelWant::OnlyWithIds(names) => (names, true),
        };
        let ids = if with_ids { Some(index.ids(&self.object).await?) } else { None };
        let rows: Vec<u32> = series.iter().map(|s| s.row).collect();
        let some = index.project(Need::Only(names));
        let (of, labels) = if rows.len() <= INLINE {
            some.groups(&rows)
        } else {
            self.object.compute(move || Ok(some.groups(&rows))).await?
        };
        Ok(Names::Groups { of, labels, ids })
    }
}

/// The table of grids of a block; that of a block without one is empty.
pub(super) async fn grids(object: &Object) -> Result<Arc<Grids>, Error> {
    let Some(range) = lies_at(&object.footer) else { return Ok(Arc::default()) };
    if let Some(grids) = object.cache.grids(object.path()) {
        return Ok(grids);
    }
    let _guard = object.cache.loading(object.path()).await;
    if let Some(grids) = object.cache.grids(object.path()) {
        return Ok(grids);
    }
    let bytes = object.fetch(&[range]).await?.pop().unwrap_or_default();
    let grids = Arc::new(object.compute(move || Grids::parse(bytes)).await?);
    object.cache.put_grids(object.path(), Arc::clone(&grids));
    Ok(grids)
}

/// A binary column if it was read.
pub(super) fn binary<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<Option<&'a BinaryArray>, ParquetError> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    column.as_any().downcast_ref().map(Some).ok_or_else(|| bad("column is not binary"))
}
