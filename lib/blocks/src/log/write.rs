//! Making a log block: collect streams, sort, choose columns, encode.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use skald_model::{Labels, LogEntry, Signal, StreamEntries};

use super::directory::{DirectoryWriter, Stream};
use super::grams::GramsWriter;
use super::packs::{Packs, PacksWriter};
use super::whole::{PackedEntries, Run};
use crate::columns::{LABEL_PREFIX, METADATA_PREFIX, NameCounts, Plan};
use crate::meta::{Encoded, Header, put_key};
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
const VERSION_PLAIN: u32 = 1;
/// Version of blocks whose lines are in packs.
const VERSION_PACKED: u32 = 2;

const MAX_HOT: usize = 48;
const MAX_METADATA: usize = 32;
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;
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
        if let Some(bad) = entries.iter().find(|e| std::str::from_utf8(&e.line).is_err()) {
            let reason = format!("line at {} is not UTF-8", bad.timestamp_ns);
            return Err(Error::Invalid(reason));
        }
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

    /// Sorts and encodes everything. Computes for long: call it on the CPU pool.
    pub fn finish(self) -> Result<Encoded, Error> {
        let Sorted { streams, directory, plans, header } = sort(self.streams)?;
        let form = self.opts.lines;
        let schema = schema(&plans, form);
        let mean = self.bytes.checked_div(self.n_entries).unwrap_or(0);
        let mut writer = crate::meta::writer(&schema, properties(&plans.labels, mean))?;
        for batch in batches(&streams) {
            writer.write(&record_batch(&schema, &plans, &batch, form)?)?;
            if writer.in_progress_size() >= self.opts.row_group_bytes
                || writer.in_progress_rows() >= self.opts.row_group_rows
            {
                writer.flush()?;
            }
        }
        writer.flush()?;
        let grams = match form {
            LineForm::Plain => grams(&streams),
            LineForm::Packed => {
                let mut packs = PacksWriter::default();
                let mut runs = streams.iter().flat_map(|(_, runs)| runs);
                runs.try_for_each(|run| packs.push(run))?;
                let Packs { packs, index, grams } = packs.finish()?;
                append(&mut writer, &packs, KEY_LINES_OFFSET, KEY_LINES_LENGTH)?;
                append(&mut writer, &index, KEY_INDEX_OFFSET, KEY_INDEX_LENGTH)?;
                grams
            }
        };
        append(&mut writer, &directory, KEY_OFFSET, KEY_LENGTH)?;
        append(&mut writer, &grams, KEY_GRAMS_OFFSET, KEY_GRAMS_LENGTH)?;
        if !self.opts.deletes.is_empty() {
            put_key(&mut writer, KEY_DELETES, self.opts.deletes.join(","));
        }
        let version = match form {
            LineForm::Plain => VERSION_PLAIN,
            LineForm::Packed => VERSION_PACKED,
        };
        let header = Header { version, ..header };
        header.seal(writer, &plans.labels, "labels,timestamp", &self.opts)
    }
}

/// Writes `bytes` behind what is there, and where they lie into the footer.
fn append(
    writer: &mut ArrowWriter<Vec<u8>>,
    bytes: &[u8],
    offset_key: &str,
    length_key: &str,
) -> Result<(), Error> {
    let offset = writer.bytes_written();
    writer.write_all(bytes).map_err(|e| Error::Internal(e.to_string()))?;
    put_key(writer, offset_key, offset.to_string());
    put_key(writer, length_key, bytes.len().to_string());
    Ok(())
}

#[derive(Debug)]
struct Plans {
    labels: Plan,
    metadata: Plan,
}

struct Sorted {
    streams: Vec<(Labels, Vec<Run>)>,
    directory: Vec<u8>,
    plans: Plans,
    header: Header,
}

fn sort(streams: HashMap<Labels, Vec<Run>>) -> Result<Sorted, Error> {
    let mut streams: Vec<(Labels, Vec<Run>)> = streams.into_iter().collect();
    streams.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut directory = DirectoryWriter::default();
    let (mut labels, mut metadata) = (NameCounts::default(), NameCounts::default());
    let (mut row, mut min_time, mut max_time) = (0, i64::MAX, i64::MIN);
    for (stream, runs) in &mut streams {
        *runs = in_order(stream, std::mem::take(runs))?;
        let n: usize = runs.iter().map(|run| run.entries.len()).sum();
        labels.add(stream, n as u64);
        let entries = runs.iter().flat_map(|run| &run.entries);
        entries.for_each(|e| metadata.add(&e.metadata, 1));
        let entry = Stream {
            labels: stream.clone(),
            rows: row..row + n,
            min_ns: runs.first().map_or(0, Run::first_ns),
            max_ns: runs.last().map_or(0, Run::last_ns),
            bytes: runs.iter().map(Run::text_len).sum(),
        };
        directory.push(&entry)?;
        row = entry.rows.end;
        min_time = min_time.min(entry.min_ns);
        max_time = max_time.max(entry.max_ns);
    }
    let empty = row == 0;
    let header = Header {
        signal: Signal::Logs,
        version: VERSION_PLAIN,
        min_time: if empty { 0 } else { min_time },
        max_time: if empty { 0 } else { max_time },
        n_series: streams.len() as u64,
        n_rows: row as u64,
    };
    let plans = Plans {
        labels: labels.plan(LABEL_PREFIX, MAX_HOT, None),
        metadata: metadata.plan(METADATA_PREFIX, MAX_METADATA, None),
    };
    Ok(Sorted { streams, directory: directory.finish()?, plans, header })
}

fn unpacked(packed: PackedEntries) -> Result<StreamEntries, Error> {
    packed.unpack().map_err(|e| Error::Invalid(e.to_string()))
}

/// Puts what was pushed of a stream in time order, each entry once.
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
    for run in runs.iter_mut().filter(|run| run.pack.is_none()) {
        drop_repeated(&mut run.entries);
    }
    Ok(runs)
}

fn grams(streams: &[(Labels, Vec<Run>)]) -> Vec<u8> {
    let mut out = GramsWriter::default();
    let runs = streams.iter().flat_map(|(_, runs)| runs);
    for entry in runs.flat_map(|run| &run.entries) {
        out.push(&entry.line);
        if out.is_full() {
            out.seal();
        }
    }
    out.finish()
}

/// Drops entries equal to an earlier one; `entries` are sorted by time.
fn drop_repeated(entries: &mut Vec<LogEntry>) {
    if entries.windows(2).all(|w| w[0].timestamp_ns < w[1].timestamp_ns) {
        return;
    }
    // Lines of one instant, hashed: a burst of many must not be compared each with each.
    let mut seen: HashSet<(Bytes, Labels)> = HashSet::new();
    let mut kept: Vec<LogEntry> = Vec::with_capacity(entries.len());
    let mut rest = std::mem::take(entries).into_iter().peekable();
    while let Some(entry) = rest.next() {
        let begins = kept.last().is_none_or(|last| last.timestamp_ns != entry.timestamp_ns);
        let ends = rest.peek().is_none_or(|next| next.timestamp_ns != entry.timestamp_ns);
        if begins {
            seen.clear();
        }
        if (begins && ends) || seen.insert((entry.line.clone(), entry.metadata.clone())) {
            kept.push(entry);
        }
    }
    *entries = kept;
}

fn schema(plans: &Plans, form: LineForm) -> Arc<Schema> {
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

fn properties(labels: &Plan, mean_line: usize) -> WriterProperties {
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

/// Part of a stream.
type Slice<'a> = (&'a Labels, &'a [LogEntry]);

/// Consecutive entries of one or more streams, bounded in rows and bytes.
fn batches(streams: &[(Labels, Vec<Run>)]) -> impl Iterator<Item = Vec<Slice<'_>>> {
    let runs = streams.iter().flat_map(|(labels, runs)| runs.iter().map(move |run| (labels, run)));
    let mut rest = runs.map(|(labels, run)| (labels, run.entries.as_slice())).peekable();
    std::iter::from_fn(move || {
        let (mut rows, mut bytes) = (0, 0);
        let mut batch = Vec::new();
        while let Some((labels, entries)) = rest.peek_mut() {
            let n = entries
                .iter()
                .take_while(|e| {
                    let fits = rows < BATCH_ROWS && bytes < BATCH_BYTES;
                    if fits {
                        rows += 1;
                        bytes += e.line.len() + e.metadata.as_bytes().len();
                    }
                    fits
                })
                .count();
            let (head, tail) = entries.split_at(n);
            batch.push((*labels, head));
            *entries = tail;
            if !tail.is_empty() {
                break;
            }
            rest.next();
        }
        batch.retain(|(_, entries): &Slice<'_>| !entries.is_empty());
        (!batch.is_empty()).then_some(batch)
    })
}

fn record_batch(
    schema: &Arc<Schema>,
    plans: &Plans,
    batch: &[Slice<'_>],
    form: LineForm,
) -> Result<RecordBatch, Error> {
    let n: usize = batch.iter().map(|(_, entries)| entries.len()).sum();
    let mut labels = plans.labels.builder();
    let mut metadata = plans.metadata.builder();
    let mut ids = FixedSizeBinaryBuilder::with_capacity(n, 16);
    let mut lines = Vec::new();
    for (stream, entries) in batch {
        labels.push(stream, entries.len())?;
        let id = stream.id().0.to_be_bytes();
        for entry in *entries {
            ids.append_value(id)?;
            metadata.push(&entry.metadata, 1)?;
            if form == LineForm::Plain {
                lines.extend_from_slice(&entry.line);
            }
        }
    }
    let entries = || batch.iter().flat_map(|(_, entries)| *entries);
    let times = TimestampNanosecondArray::from_iter_values(entries().map(|e| e.timestamp_ns));
    let mut columns = labels.finish()?;
    columns.push(Arc::new(ids.finish()));
    columns.push(Arc::new(times.with_timezone("UTC")));
    columns.extend(metadata.finish()?);
    if form == LineForm::Plain {
        let offsets = OffsetBuffer::from_lengths(entries().map(|e| e.line.len()));
        columns.push(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(lines), None)?));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
