//! Making a log block: collect streams and sort them; what the columns of a block are.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use skald_model::{Labels, LogEntry, StreamEntries};

use super::ordered::OrderedLogWriter;
use super::whole::{PackedEntries, Run};
use crate::columns::{LABEL_PREFIX, Plan};
use crate::meta::{Encoded, put_key};
use crate::{Error, LineForm, WriterOptions};

pub(super) const STREAM_ID: &str = "stream_id";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const LINE: &str = "line";

/// Footer keys: where the stream directory lies.
pub(super) const KEY_OFFSET: &str = "skald.streams.offset";
pub(super) const KEY_LENGTH: &str = "skald.streams.length";
/// Footer key: ids of requests to delete, with commas between.
pub(super) const KEY_DELETES: &str = "skald.deletes";
/// Footer keys: where the gram filters lie.
pub(super) const KEY_GRAMS_OFFSET: &str = "skald.grams.offset";
pub(super) const KEY_GRAMS_LENGTH: &str = "skald.grams.length";

/// Footer keys: where the packs of lines lie, and their index.
pub(super) const KEY_LINES_OFFSET: &str = "skald.lines.offset";
pub(super) const KEY_LINES_LENGTH: &str = "skald.lines.length";
pub(super) const KEY_INDEX_OFFSET: &str = "skald.lines.index.offset";
pub(super) const KEY_INDEX_LENGTH: &str = "skald.lines.index.length";

/// Version of blocks whose lines are a column.
pub(super) const VERSION_PLAIN: u32 = 1;
/// Version of blocks whose lines are in packs.
pub(super) const VERSION_PACKED: u32 = 2;

pub(super) const MAX_HOT: usize = 48;
pub(super) const MAX_METADATA: usize = 32;
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: usize = 16 << 10;
const DICTIONARY_BYTES: usize = 8 << 20;

/// Collects streams and writes them as one block.
///
/// Streams and entries may come in any order and are kept in memory until
/// [`finish`](Self::finish), which sorts by label set and time, keeps the order of the pushes among
/// equal times, and drops entries that are equal to another. The block may become as large as what
/// is pushed: splitting is the caller's.
#[derive(Debug)]
pub struct LogBlockWriter {
    opts: WriterOptions,
    streams: HashMap<Labels, Vec<Run>>,
    n_entries: usize,
    bytes: usize,
}

// === impl LogBlockWriter ===

impl LogBlockWriter {
    pub fn new(opts: WriterOptions) -> Self {
        Self { opts, streams: HashMap::new(), n_entries: 0, bytes: 0 }
    }

    /// Adds entries of one stream. Fails when a line is not UTF-8; nothing is added then.
    pub fn push(&mut self, labels: Labels, entries: Vec<LogEntry>) -> Result<(), Error> {
        check_text(&entries)?;
        if entries.is_empty() {
            return Ok(());
        }
        self.n_entries += entries.len();
        self.bytes +=
            entries.iter().map(|e| e.line.len() + e.metadata.as_bytes().len() + 8).sum::<usize>();
        let runs = self.streams.entry(labels).or_default();
        match runs.last_mut() {
            Some(Run { entries: last, pack: None }) => last.extend(entries),
            _ => runs.push(Run { entries, pack: None }),
        }
        Ok(())
    }

    /// Adds entries whose lines are in a pack. It is copied as it is if packs are what is written and
    /// all that was pushed of the stream before and after lies before and after it in time; else it
    /// is unpacked. Entries at its first or last time must differ from those in it.
    pub fn push_packed(&mut self, packed: PackedEntries) -> Result<(), Error> {
        if self.opts.lines == LineForm::Plain {
            let StreamEntries { labels, entries } = unpacked(packed)?;
            return self.push(labels, entries);
        }
        self.n_entries += packed.entries.len();
        self.bytes += packed.pack.text_len
            + packed.entries.iter().map(|e| e.metadata.as_bytes().len() + 8).sum::<usize>();
        let PackedEntries { labels, entries, pack } = packed;
        self.streams.entry(labels).or_default().push(Run { entries, pack: Some(pack) });
        Ok(())
    }

    pub fn n_entries(&self) -> usize {
        self.n_entries
    }

    pub fn is_empty(&self) -> bool {
        self.n_entries == 0
    }

    /// Bytes of lines, metadata and times pushed so far; the block is several times smaller.
    pub fn size_hint(&self) -> usize {
        self.bytes
    }

    /// Sorts and encodes everything; entries are let go stream by stream. Computes for long: call it on the CPU pool.
    pub fn finish(self) -> Result<Encoded, Error> {
        let mut streams: Vec<(Labels, Vec<Run>)> = self.streams.into_iter().collect();
        streams.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut ordered = OrderedLogWriter::new(self.opts.lines);
        for (labels, runs) in streams {
            for run in in_order(&labels, runs)? {
                ordered.add(&labels, run)?;
            }
        }
        ordered.finish(&self.opts)
    }
}

/// Fails when a line is not UTF-8.
pub(super) fn check_text(entries: &[LogEntry]) -> Result<(), Error> {
    match entries.iter().find(|e| std::str::from_utf8(&e.line).is_err()) {
        Some(bad) => Err(Error::Invalid(format!("line at {} is not UTF-8", bad.timestamp_ns))),
        None => Ok(()),
    }
}

/// Writes `parts` behind what is there, letting go of each, and where they lie into the footer.
pub(super) fn append(
    writer: &mut ArrowWriter<Vec<u8>>,
    parts: impl IntoIterator<Item = Vec<u8>>,
    offset_key: &str,
    length_key: &str,
) -> Result<(), Error> {
    let offset = writer.bytes_written();
    let mut len = 0;
    for part in parts {
        writer.write_all(&part).map_err(|e| Error::Internal(e.to_string()))?;
        len += part.len();
    }
    put_key(writer, offset_key, offset.to_string());
    put_key(writer, length_key, len.to_string());
    Ok(())
}

#[derive(Debug)]
pub(super) struct Plans {
    pub(super) labels: Plan,
    pub(super) metadata: Plan,
}

pub(super) fn unpacked(packed: PackedEntries) -> Result<StreamEntries, Error> {
    packed.unpack().map_err(|e| Error::Invalid(e.to_string()))
}

/// Puts what was pushed of a stream in time order.
fn in_order(stream: &Labels, mut runs: Vec<Run>) -> Result<Vec<Run>, Error> {
    for run in runs.iter_mut().filter(|run| run.pack.is_none()) {
        run.entries.sort_by_key(|e| e.timestamp_ns);
    }
    if !runs.is_sorted_by(|a, b| a.last_ns() <= b.first_ns()) {
        let mut entries = Vec::new();
        for Run { entries: some, pack } in runs {
            entries.extend(match pack {
                Some(pack) => {
                    let packed = PackedEntries { labels: stream.clone(), entries: some, pack };
                    unpacked(packed)?.entries
                }
                None => some,
            });
        }
        entries.sort_by_key(|e| e.timestamp_ns);
        runs = vec![Run { entries, pack: None }];
    }
    Ok(runs)
}

pub(super) fn schema(plans: &Plans, form: LineForm) -> Arc<Schema> {
    let mut fields = plans.labels.fields();
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    fields.push(Field::new(STREAM_ID, DataType::FixedSizeBinary(16), false));
    fields.push(Field::new(TIMESTAMP, time, false));
    fields.extend(plans.metadata.fields());
    if form == LineForm::Plain {
        fields.push(Field::new(LINE, DataType::Utf8, false));
    }
    Arc::new(Schema::new(fields))
}

pub(super) fn properties(labels: &Plan, mean_line: usize) -> WriterProperties {
    let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default());
    let (line, time) = (ColumnPath::from(LINE), ColumnPath::from(TIMESTAMP));
    // Page bounds are looked at once per this many rows.
    let step = (PAGE_BYTES / 8 / mean_line.max(1)).clamp(8, 1024);
    let mut props = WriterProperties::builder()
        .set_compression(zstd(1))
        .set_max_row_group_row_count(None)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(step)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_dictionary_enabled(time.clone(), false)
        .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(line.clone(), false)
        .set_column_encoding(line.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_column_statistics_enabled(line.clone(), EnabledStatistics::None)
        .set_column_data_page_row_count_limit(line, usize::MAX);
    for name in labels.names() {
        let column = ColumnPath::new(vec![format!("{LABEL_PREFIX}{name}")]);
        props = props.set_column_compression(column, zstd(3));
    }
    props.build()
}
