//! What blocks hold, read as one: the rows that a merge of them would write, without what is deleted on
//! request, handed out batch by batch in bounded memory. For exports; nothing is written.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use skald_blocks::{
    BlockId, BlockMeta, FooterCache, LogPiece, LogReader, LogRows, MetricReader, MetricRows,
    SeriesRow,
};
use skald_catalog::View;
use skald_codec::chunk;
use skald_logql::{Selection, Work};
use skald_model::{ErrorKind, Matcher, Series, StreamEntries, TenantId, TimeRange};
use skald_runtime::{CpuPool, cpu};

use super::logs::LogMerger;
use super::metrics::MetricMerger;
use super::{BadInput, FOOTER_BYTES, Merger, Rows, Step};
use crate::rules::{BadRequest, LogRules, SampleRules};

/// Bytes of encoded samples, and of lines, of a batch. A byte is a sample or two, which take sixteen.
const SAMPLE_BYTES: usize = 1 << 20;
const LINE_BYTES: usize = 8 << 20;
/// What is read of all log blocks at a time, but for the least that a block is read in.
const READ_BYTES: usize = 128 << 20;

/// Why blocks could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    #[error("read block {block}")]
    Read {
        block: BlockId,
        #[source]
        source: skald_blocks::Error,
    },
    #[error("block {block} holds {reason}")]
    BadRows { block: BlockId, reason: String },
    #[error("read what is deleted")]
    Request(#[from] BadRequest),
    #[error("merge rows")]
    Compute(#[from] cpu::Failed),
}

/// Where blocks of a tenant are read.
#[derive(Clone, Debug)]
pub struct Stored {
    pub store: Arc<dyn ObjectStore>,
    pub tenant: TenantId,
    pub cpu: CpuPool,
}

/// Samples of some blocks, series by series.
pub struct StoredSamples {
    reading: Reading<MetricMerger, MetricRows>,
    matchers: Vec<Matcher>,
    range: TimeRange,
}

/// Lines of some blocks, stream by stream.
pub struct StoredLines {
    reading: Reading<LogMerger, LogRows>,
    selection: Option<Selection>,
    range: TimeRange,
    work: Work,
}

/// A merge under way.
struct Reading<M, R> {
    /// Absent while it is on the pool.
    merger: Option<M>,
    rows: Vec<R>,
    blocks: Vec<BlockId>,
    cpu: CpuPool,
    is_done: bool,
}

// === impl StoredError ===

impl StoredError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } => source.kind(),
            Self::BadRows { .. } => ErrorKind::Corrupt,
            Self::Request(_) | Self::Compute(_) => ErrorKind::Internal,
        }
    }

    /// Whether a block of the view is not there any more.
    pub fn is_gone(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }
}

// === impl Stored ===

impl Stored {
    /// Samples in `range` (ms) of the series that all `matchers` accept, of `blocks` of `view`. Each block
    /// that has some is kept open: some 32 MiB of memory at most.
    pub async fn samples(
        &self,
        view: &View,
        blocks: &[BlockMeta],
        matchers: Vec<Matcher>,
        range: TimeRange,
    ) -> Result<StoredSamples, StoredError> {
        let cache = Arc::new(FooterCache::new(FOOTER_BYTES));
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for meta in blocks {
            let failed = |source| StoredError::Read { block: meta.id, source };
            let (store, cache) = (Arc::clone(&self.store), Arc::clone(&cache));
            let reader = MetricReader::open(store, &self.tenant, meta, cache).await;
            let reader = reader.map_err(failed)?;
            // Names of labels: of sets of labels there may be too many to hold.
            let names = reader.label_names(&matchers, range).await.map_err(failed)?;
            if !names.is_empty() {
                rows.push(reader.rows());
                ids.push(meta.id);
            }
        }
        let merger = MetricMerger::new(rows.len(), Some(range.start), SAMPLE_BYTES)
            .with_rules(Arc::new(SampleRules::hiding(view)?));
        Ok(StoredSamples { reading: self.reading(merger, rows, ids), matchers, range })
    }

    /// Lines in `range` (ns) that `selection` accepts, or all.
    pub async fn lines(
        &self,
        view: &View,
        blocks: &[BlockMeta],
        selection: Option<Selection>,
        range: TimeRange,
    ) -> Result<StoredLines, StoredError> {
        let cache = Arc::new(FooterCache::new(FOOTER_BYTES));
        let matchers = selection.as_ref().map_or(&[][..], Selection::matchers);
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for meta in blocks {
            let failed = |source| StoredError::Read { block: meta.id, source };
            let (store, cache) = (Arc::clone(&self.store), Arc::clone(&cache));
            let reader = LogReader::open(store, &self.tenant, meta, cache).await;
            let reader = reader.map_err(failed)?;
            if !reader.streams(matchers, range).await.map_err(failed)?.is_empty() {
                let read = reader.rows_within(READ_BYTES / blocks.len()).await;
                rows.push(read.map_err(failed)?);
                ids.push(meta.id);
            }
        }
        let merger = LogMerger::new(rows.len(), Some(range.start), LINE_BYTES)
            .with_rules(Arc::new(LogRules::hiding(view)?));
        let (reading, work) = (self.reading(merger, rows, ids), Work::default());
        Ok(StoredLines { reading, selection, range, work })
    }

    fn reading<M, R>(&self, merger: M, rows: Vec<R>, blocks: Vec<BlockId>) -> Reading<M, R> {
        Reading { merger: Some(merger), rows, blocks, cpu: self.cpu.clone(), is_done: false }
    }
}

// === impl Reading ===

impl<M, R> Reading<M, R>
where
    M: Merger,
    R: Rows<Batch = M::Batch>,
{
    /// Merges until a batch is full or there is nothing more. Of what is read, `keep` leaves what is wanted.
    async fn fill(&mut self, keep: impl Fn(&mut M::Batch)) -> Result<(), StoredError> {
        while !self.is_done {
            let Some(mut merger) = self.merger.take() else { return Ok(()) };
            let advance = move || {
                let step = merger.advance();
                (merger, step)
            };
            let (merger, step) = self.cpu.run(advance).await?;
            let merger = self.merger.insert(merger);
            match step.map_err(|e| bad(&self.blocks, e))? {
                Step::Feed(input) => {
                    let batch = self.rows[input].next_batch().await;
                    let block = self.blocks[input];
                    let mut batch = batch.map_err(|source| StoredError::Read { block, source })?;
                    batch.iter_mut().for_each(&keep);
                    merger.feed(input, batch).map_err(|e| bad(&self.blocks, e))?;
                }
                Step::Full => return Ok(()),
                Step::Done => self.is_done = true,
            }
        }
        Ok(())
    }
}

fn bad(blocks: &[BlockId], BadInput { input, reason }: BadInput) -> StoredError {
    StoredError::BadRows { block: blocks[input], reason }
}

// === impl StoredSamples ===

impl fmt::Debug for StoredSamples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { matchers, range, .. } = self;
        f.debug_struct("StoredSamples")
            .field("matchers", matchers)
            .field("range", range)
            .finish_non_exhaustive()
    }
}

impl StoredSamples {
    /// The next series, each once and sorted by time; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Series>>, StoredError> {
        if self.reading.is_done {
            return Ok(None);
        }
        let matchers = &self.matchers;
        let keep =
            |rows: &mut Vec<SeriesRow>| rows.retain(|row| Matcher::all(matchers, &row.labels));
        self.reading.fill(keep).await?;
        let rows = self.reading.merger.as_mut().map(MetricMerger::take_rows).unwrap_or_default();
        let range = self.range;
        let decode = move || {
            let mut all = Vec::with_capacity(rows.len());
            for row in rows {
                let mut series = Series::new(row.labels);
                for bytes in row.floats.iter().chain(&row.histograms) {
                    chunk::decode_into(bytes, range, &mut series)?;
                }
                series.sort();
                if !series.is_empty() {
                    all.push(series);
                }
            }
            Ok::<_, chunk::ChunkError>(all)
        };
        // The merge has looked at all chunks that were not as they should be.
        let damaged = |e: chunk::ChunkError| StoredError::BadRows {
            block: self.reading.blocks.first().copied().unwrap_or(BlockId::new(0, 0)),
            reason: format!("a chunk that cannot be decoded: {e}"),
        };
        self.reading.cpu.run(decode).await?.map(Some).map_err(damaged)
    }
}

// === impl StoredLines ===

impl fmt::Debug for StoredLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { selection, range, .. } = self;
        f.debug_struct("StoredLines")
            .field("selection", selection)
            .field("range", range)
            .finish_non_exhaustive()
    }
}

impl StoredLines {
    /// The next lines, each once; those of a stream stand together and are sorted by time. `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<StreamEntries>>, StoredError> {
        if self.reading.is_done {
            return Ok(None);
        }
        let matchers = self.selection.as_ref().map_or(&[][..], Selection::matchers);
        let keep =
            |pieces: &mut Vec<LogPiece>| pieces.retain(|p| Matcher::all(matchers, p.labels()));
        self.reading.fill(keep).await?;
        let mut all = Vec::new();
        for piece in self.reading.merger.as_mut().map(LogMerger::take_pieces).unwrap_or_default() {
            // Packs are opened: the merger copies none.
            let LogPiece::Entries(mut stream) = piece else { continue };
            stream.entries.retain(|e| self.range.contains(e.timestamp_ns));
            if let Some(selection) = &self.selection {
                stream.entries.retain(|e| selection.selects(&mut self.work, &stream.labels, e));
            }
            if !stream.entries.is_empty() {
                all.push(stream);
            }
        }
        Ok(Some(all))
    }
}

#[cfg(test)]
mod tests;
