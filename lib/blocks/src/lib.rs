//! The Parquet layout of metric and log blocks: writing, pruning, reading. The only crate that sees arrow and parquet.
//!
//! Requirements: a block is one immutable object that any Parquet reader can open; its bytes are
//! self-describing and stay readable for ever (`docs/formats/metric-block.md`, `log-block.md`);
//! a query reads the footer once (then from the [`FooterCache`]) and after that only the pages it
//! needs, in a few coalesced ranged GETs; damaged bytes are an [`Error`], never a panic; encoding
//! and decoding run on the blocking pool.
//!
//! ```text
//! write:  MetricBlockWriter | LogBlockWriter ─push*→ finish → Encoded ─put_block→ t/<tenant>/b/<ulid>/data.parquet
//! read:   MetricReader | LogReader ::open(meta) ─select | labels | streams | stats | rows→ columns in memory
//! ```

mod cache;
mod chunks;
mod columns;
mod error;
mod export;
mod inspect;
mod integrity;
pub mod log;
mod lru;
mod meta;
pub mod metric;
mod object;
mod put;
mod selection;
mod stats;

pub use crate::cache::{CacheSizes, FooterCache};
pub use crate::error::Error;
pub use crate::export::samples::{ExportHistogram, ExportSample, ExportValue, SampleExportWriter};
pub use crate::export::{ExportLine, ExportWriter};
pub use crate::inspect::{BlockCounts, BlockReport, ColumnReport, inspect_block, read_block};
pub use crate::log::{
    DamagedPack, Early, EntryTest, FieldTest, LogBlockWriter, LogPiece, LogReader, LogRows,
    LogSearch, LogSelect, LogSpan, LogStats, Metadata, OrderedLogWriter, PackedEntries, Streams,
    Test,
};
pub use crate::meta::{BlockId, BlockMeta, Encoded, InvalidBlockId, newest_version, path};
pub use crate::metric::{
    LabelWant, MetricBlockWriter, MetricReader, MetricRows, MetricSet, SeriesRow,
};
pub use crate::put::{put_block, verify_block};
pub use crate::stats::{ReadStats, StatsSnapshot};
use serde::{Deserialize, Serialize};
pub use skald_codec::lines::{Fields, Syntax};

/// What a writer must know about the block it makes.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    pub id: BlockId,
    /// 0 for a flushed block, one more for each compaction.
    pub level: u32,
    /// Who or what the rows come from: ingester replicas, or the ids of compacted blocks.
    pub sources: Vec<String>,
    /// Ids of requests to delete lines that the rows were written without. Of log blocks.
    pub deletes: Vec<String>,
    /// How lines are kept. Of log blocks.
    pub lines: LineForm,
    /// How values of samples are kept. Of metric blocks.
    pub values: ValueForm,
    /// Most rows of one Parquet row group.
    pub row_group_rows: usize,
    /// Encoded bytes after which a row group is closed.
    pub row_group_bytes: usize,
}

/// How a log block keeps its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineForm {
    /// In columns of their variable parts: a half or less of the size, and searched faster.
    #[default]
    Packed,
    /// As a string column that every reader of Parquet reads.
    Plain,
}

/// How a metric block keeps the values of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueForm {
    /// As the chunks have them: for blocks that are soon merged.
    #[default]
    AsTheyAre,
    /// Also as differences to those of other rows, which takes longer to write. Not read by builds from before this.
    Dense,
}

// === impl WriterOptions ===

impl WriterOptions {
    /// A level-0 block with row groups of up to a million rows or 128 MiB.
    pub fn new(id: BlockId) -> Self {
        Self {
            id,
            level: 0,
            sources: Vec::new(),
            deletes: Vec::new(),
            lines: LineForm::default(),
            values: ValueForm::default(),
            row_group_rows: 1 << 20,
            row_group_bytes: 128 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
