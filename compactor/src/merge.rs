//! Carries out one merge: verify the inputs, read them row by row in step, put the outputs.
//!
//! The rows of all inputs come in one order (series or stream, then time), so only the rows at the
//! front of each are held, plus the output that is being filled: of logs it is packed as it grows. Reading is awaited here;
//! merging itself is computed on the pool by a [`Merger`].
//!
//! Before anything is merged each input's checksum is verified: a merge must not put a new, correct
//! checksum on damaged rows.
//!
//! No output is larger than a block may be, unless it has a single series, or packs of a stream that share a moment: an output is
//! closed when it is expected to be that large, and what turns out to be larger is read again and merged into several
//! (docs/adr/0010-split-by-range.md).

mod logs;
mod metrics;
mod samples;
pub(crate) mod stored;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use skald_blocks::{
    BlockId, BlockMeta, Encoded, FooterCache, LineForm, LogPiece, LogReader, LogRows, MetricReader,
    MetricRows, WriterOptions, put_block, verify_block,
};
use skald_model::{ErrorKind, Signal, TenantId};
use skald_runtime::cpu;
use skald_runtime::{CpuPool, Rng, SharedClock, crash_point};

use self::logs::LogMerger;
use self::metrics::MetricMerger;
use crate::plan::FULL_LEVEL;
use crate::rules::{LogRules, SampleRules};

const FOOTER_BYTES: usize = 64 << 20;
/// Sources that a block names; more than there are replicas.
const MAX_SOURCES: usize = 64;

/// Why a merge failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// An input cannot be read, now or ever.
    #[error("block {block} is damaged")]
    Damaged {
        block: BlockId,
        #[source]
        source: skald_blocks::Error,
    },
    #[error("block {block} holds {reason}")]
    BadRows { block: BlockId, reason: String },
    #[error("read block {block}")]
    Read {
        block: BlockId,
        #[source]
        source: skald_blocks::Error,
    },
    #[error("write a merged block")]
    Write(#[source] skald_blocks::Error),
    #[error("merge rows")]
    Compute(#[from] cpu::Failed),
}

/// What a merge needs beside its inputs.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) tenant: TenantId,
    pub(crate) cpu: CpuPool,
    pub(crate) clock: SharedClock,
    pub(crate) rng: Rng,
    /// Rows before this are dropped.
    pub(crate) cutoff: Option<i64>,
    /// Which lines go beside that.
    pub(crate) rules: Arc<LogRules>,
    /// Which samples go beside that.
    pub(crate) samples: Arc<SampleRules>,
    /// Bytes that are held: an output that takes more is closed. Of logs a quarter is for what is read.
    pub(crate) memory: usize,
    /// Bytes of an output.
    pub(crate) max_block: u64,
    pub(crate) lines: LineForm,
}

/// How what comes out of a merge is divided into blocks.
#[derive(Clone, Copy, Debug)]
struct Division {
    /// Of the last output; the others are full.
    last_level: u32,
    /// What an output may take in memory at first; `None`: what is expected of a block that is as large as it may be.
    held: Option<usize>,
    /// Series and rows of a block that is divided. An output that has all of them is one that cannot be.
    whole: Option<(u64, u64)>,
}

/// Rows that cannot be merged, and whose they are.
#[derive(Debug)]
pub(crate) struct BadInput {
    pub(crate) input: usize,
    pub(crate) reason: String,
}

/// What a merger wants next.
#[derive(Debug, PartialEq)]
enum Step {
    /// More rows of this input, or word that there are none.
    Feed(usize),
    /// The output is full.
    Full,
    Done,
}

/// Merges rows in memory; moved to the pool and back.
trait Merger: Send + Sized + 'static {
    type Batch: Send + 'static;

    /// Takes the next rows of an input; `None` when it has ended.
    fn feed(&mut self, input: usize, batch: Option<Self::Batch>) -> Result<(), BadInput>;

    /// Merges until something is wanted.
    fn advance(&mut self) -> Result<Step, BadInput>;

    /// Bytes of memory that the output takes.
    fn held(&self) -> usize;

    /// Closes outputs that take this much from now on.
    fn close_at(&mut self, bytes: usize);

    /// Takes out what the output holds so far, as a closure that encodes it; `None` when that is nothing.
    fn take(&mut self) -> Option<Encode>;
}

type Encode = Box<dyn FnOnce(WriterOptions) -> Result<Encoded, skald_blocks::Error> + Send>;

/// The rows of one input.
trait Rows: Send {
    type Batch;

    fn next_batch(
        &mut self,
    ) -> impl Future<Output = Result<Option<Self::Batch>, skald_blocks::Error>> + Send;
}

impl Rows for MetricRows {
    type Batch = Vec<skald_blocks::SeriesRow>;

    async fn next_batch(&mut self) -> Result<Option<Self::Batch>, skald_blocks::Error> {
        self.next().await
    }
}

impl Rows for LogRows {
    type Batch = Vec<LogPiece>;

    async fn next_batch(&mut self) -> Result<Option<Self::Batch>, skald_blocks::Error> {
        self.next_pieces().await
    }
}

// === impl MergeError ===

impl MergeError {
    /// The block that is to be left alone from now on.
    pub(crate) fn damaged_block(&self) -> Option<BlockId> {
        match self {
            Self::Damaged { block, .. } | Self::BadRows { block, .. } => Some(*block),
            _ => None,
        }
    }

    /// What a caller may do about it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } | Self::BadRows { .. } => ErrorKind::Corrupt,
            Self::Read { source, .. } | Self::Write(source) => source.kind(),
            Self::Compute(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn reading(block: BlockId, source: skald_blocks::Error) -> Self {
        match source.kind() {
            ErrorKind::Corrupt | ErrorKind::NotFound => Self::Damaged { block, source },
            _ => Self::Read { block, source },
        }
    }
}

// === impl Job ===

impl Job {
    /// Merges `inputs`, all of one signal, and puts the outputs, noting each in `written` before it is put.
    ///
    /// On an error `written` names what may have been stored. Nothing else changes.
    pub(crate) async fn run(
        &self,
        inputs: &[BlockMeta],
        written: &mut Vec<BlockMeta>,
    ) -> Result<(), MergeError> {
        for input in inputs {
            let verified = verify_block(&self.store, &self.tenant, input).await;
            verified.map_err(|e| MergeError::reading(input.id, e))?;
        }
        crash_point!("merge.verified");
        let division = Division { last_level: next_level(inputs), held: None, whole: None };
        self.merge(&self.store, inputs, division, written).await
    }

    /// Merges what `from` has.
    async fn merge(
        &self,
        from: &Arc<dyn ObjectStore>,
        inputs: &[BlockMeta],
        division: Division,
        written: &mut Vec<BlockMeta>,
    ) -> Result<(), MergeError> {
        let cache = Arc::new(FooterCache::new(FOOTER_BYTES));
        let store = || Arc::clone(from);
        match inputs.first().map(|input| input.signal) {
            Some(Signal::Metrics) => {
                let mut rows = Vec::with_capacity(inputs.len());
                for meta in inputs {
                    let cache = Arc::clone(&cache);
                    let opened = MetricReader::open(store(), &self.tenant, meta, cache).await;
                    rows.push(opened.map_err(|e| MergeError::reading(meta.id, e))?.rows());
                }
                let merger = MetricMerger::new(inputs.len(), self.cutoff, self.memory)
                    .with_rules(Arc::clone(&self.samples));
                self.drive(merger, rows, inputs, (division, self.memory), written).await
            }
            Some(Signal::Logs) => {
                let for_reading = self.memory / 4;
                let mut rows = Vec::with_capacity(inputs.len());
                for meta in inputs {
                    let cache = Arc::clone(&cache);
                    let reading = |e| MergeError::reading(meta.id, e);
                    let opened = LogReader::open(store(), &self.tenant, meta, cache).await;
                    let opened = opened.map_err(reading)?;
                    let read = opened.rows_within(for_reading / inputs.len()).await;
                    rows.push(read.map_err(reading)?);
                }
                let memory = self.memory - for_reading;
                let merger = LogMerger::new(inputs.len(), self.cutoff, memory)
                    .with_rules(Arc::clone(&self.rules))
                    .writing(self.lines);
                self.drive(merger, rows, inputs, (division, memory), written).await
            }
            None => Ok(()),
        }
    }

    /// Closes outputs at `memory` bytes, or before when they are expected to be larger than a block may be.
    async fn drive<M, R>(
        &self,
        mut merger: M,
        mut rows: Vec<R>,
        inputs: &[BlockMeta],
        (division, memory): (Division, usize),
        written: &mut Vec<BlockMeta>,
    ) -> Result<(), MergeError>
    where
        M: Merger,
        R: Rows<Batch = M::Batch>,
    {
        let bad =
            |bad: BadInput| MergeError::BadRows { block: inputs[bad.input].id, reason: bad.reason };
        merger.close_at(memory.min(division.held.unwrap_or_else(|| self.expected(inputs))));
        loop {
            let step;
            (merger, step) = self
                .cpu
                .run(move || {
                    let step = merger.advance();
                    (merger, step)
                })
                .await?;
            let step = step.map_err(bad)?;
            if let Step::Feed(input) = step {
                let batch = rows[input].next_batch().await;
                let batch = batch.map_err(|e| MergeError::reading(inputs[input].id, e))?;
                merger.feed(input, batch).map_err(bad)?;
                continue;
            }
            let level = if step == Step::Full { FULL_LEVEL } else { division.last_level };
            let held = merger.held();
            if let Some(encode) = merger.take() {
                let encoded = self.encode(encode, level, inputs).await?;
                let size = encoded.meta.size_bytes;
                if division.held.is_none() || size > self.max_block {
                    // The next is likely to be as dense.
                    merger.close_at(memory.min(scaled(held, self.max_block, size) / 16 * 15));
                }
                if size <= self.max_block || division.has_no_less(&encoded.meta) {
                    self.put(&encoded, written).await?;
                } else {
                    self.divide(encoded, held, written).await?;
                }
            }
            if step == Step::Done {
                return Ok(());
            }
        }
    }

    /// What the first output may take in memory so that it is likely not to be larger than a block may be.
    fn expected(&self, inputs: &[BlockMeta]) -> usize {
        let all = inputs.iter().fold(0u64, |sum, input| sum.saturating_add(input.size_bytes));
        if all <= self.max_block {
            return usize::MAX;
        }
        // Packed lines go out as they are held; chunks are compressed once more, and plain lines for the first time.
        let quarters = match (inputs.first().map(|input| input.signal), self.lines) {
            (Some(Signal::Logs), LineForm::Packed) => 5,
            (Some(Signal::Logs), LineForm::Plain) => 16,
            _ => 8,
        };
        usize::try_from(self.max_block.saturating_mul(quarters) / 4).unwrap_or(usize::MAX)
    }

    async fn encode(
        &self,
        encode: Encode,
        level: u32,
        inputs: &[BlockMeta],
    ) -> Result<Encoded, MergeError> {
        let id = BlockId::new(self.clock.now_ms(), self.rng.next_u128());
        let mut options = WriterOptions::new(id);
        options.level = level;
        options.lines = self.lines;
        options.sources = sources(inputs);
        let encoded = self.cpu.run(move || encode(options)).await?.map_err(MergeError::Write)?;
        crash_point!("merge.encoded");
        Ok(encoded)
    }

    async fn put(&self, encoded: &Encoded, written: &mut Vec<BlockMeta>) -> Result<(), MergeError> {
        written.push(encoded.meta.clone());
        let put = put_block(&self.store, &self.tenant, encoded).await;
        crash_point!("merge.stored");
        if matches!(put, Err(skald_blocks::Error::Conflict { .. })) {
            // What lies there is not ours to delete.
            written.pop();
        }
        put.map_err(MergeError::Write)
    }

    /// Puts an output that is larger than a block may be as several, of about the same size.
    fn divide<'a>(
        &'a self,
        encoded: Encoded,
        held: usize,
        written: &'a mut Vec<BlockMeta>,
    ) -> BoxFuture<'a, Result<(), MergeError>> {
        async move {
            let n = encoded.meta.size_bytes / (self.max_block / 16 * 15).max(1) + 1;
            let division = Division {
                last_level: encoded.meta.level,
                held: Some(scaled(held, 1, n)),
                whole: Some((encoded.meta.n_series, encoded.meta.n_rows)),
            };
            let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            put_block(&memory, &self.tenant, &encoded).await.map_err(MergeError::Write)?;
            let meta = encoded.meta.clone();
            drop(encoded);
            self.merge(&memory, &[meta], division, written).await.map_err(|err| match err {
                // Not a block that anybody else could find damaged.
                MergeError::Damaged { source, .. } => MergeError::Write(source),
                MergeError::BadRows { reason, .. } => {
                    MergeError::Write(skald_blocks::Error::Invalid(reason))
                }
                other => other,
            })
        }
        .boxed()
    }
}

// === impl Division ===

impl Division {
    /// Whether an output cannot be divided further.
    fn has_no_less(&self, output: &BlockMeta) -> bool {
        self.whole == Some((output.n_series, output.n_rows))
    }
}

/// `bytes` times `part` by `whole`.
fn scaled(bytes: usize, part: u64, whole: u64) -> usize {
    let scaled = bytes as u128 * u128::from(part) / u128::from(whole.max(1));
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

fn next_level(inputs: &[BlockMeta]) -> u32 {
    let known = inputs.iter().map(|input| input.level).filter(|level| *level < FULL_LEVEL).max();
    known.map_or(FULL_LEVEL, |level| level + 1)
}

fn sources(inputs: &[BlockMeta]) -> Vec<String> {
    let mut sources: Vec<String> =
        inputs.iter().flat_map(|input| input.sources.iter().cloned()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources.truncate(MAX_SOURCES);
    sources
}

#[cfg(test)]
mod tests;
