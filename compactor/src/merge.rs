//! Carries out one merge: verify the inputs, read them row by row in step, put the outputs.
//!
//! The rows of all inputs come in one order (series or stream, then time), so only the rows at the
//! front of each are held, plus the output that is being filled: of logs it is packed as it grows. Reading is awaited here;
//! merging itself is computed on the pool by a [`Merger`].
//!
//! Before anything is merged each input's checksum is verified: a merge must not put a new, correct
//! checksum on damaged rows.

mod logs;
mod metrics;
mod samples;
pub(crate) mod stored;

use std::sync::Arc;

use object_store::ObjectStore;
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
    pub(crate) lines: LineForm,
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
        let cache = Arc::new(FooterCache::new(FOOTER_BYTES));
        let store = || Arc::clone(&self.store);
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
                self.drive(merger, rows, inputs, written).await
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
                self.drive(merger, rows, inputs, written).await
            }
            None => Ok(()),
        }
    }

    async fn drive<M, R>(
        &self,
        mut merger: M,
        mut rows: Vec<R>,
        inputs: &[BlockMeta],
        written: &mut Vec<BlockMeta>,
    ) -> Result<(), MergeError>
    where
        M: Merger,
        R: Rows<Batch = M::Batch>,
    {
        let bad =
            |bad: BadInput| MergeError::BadRows { block: inputs[bad.input].id, reason: bad.reason };
        loop {
            let step;
            (merger, step) = self
                .cpu
                .run(move || {
                    let step = merger.advance();
                    (merger, step)
                })
                .await?;
            match step.map_err(bad)? {
                Step::Feed(input) => {
                    let batch = rows[input].next_batch().await;
                    let batch = batch.map_err(|e| MergeError::reading(inputs[input].id, e))?;
                    merger.feed(input, batch).map_err(bad)?;
                }
                Step::Full => self.put(merger.take(), FULL_LEVEL, inputs, written).await?,
                Step::Done => {
                    return self.put(merger.take(), next_level(inputs), inputs, written).await;
                }
            }
        }
    }

    async fn put(
        &self,
        encode: Option<Encode>,
        level: u32,
        inputs: &[BlockMeta],
        written: &mut Vec<BlockMeta>,
    ) -> Result<(), MergeError> {
        let Some(encode) = encode else {
            return Ok(());
        };
        let id = BlockId::new(self.clock.now_ms(), self.rng.next_u128());
        let mut options = WriterOptions::new(id);
        options.level = level;
        options.lines = self.lines;
        options.sources = sources(inputs);
        let encoded = self.cpu.run(move || encode(options)).await?.map_err(MergeError::Write)?;
        crash_point!("merge.encoded");
        written.push(encoded.meta.clone());
        let put = put_block(&self.store, &self.tenant, &encoded).await;
        crash_point!("merge.stored");
        if matches!(put, Err(skald_blocks::Error::Conflict { .. })) {
            // What lies there is not ours to delete.
            written.pop();
        }
        put.map_err(MergeError::Write)
    }
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
