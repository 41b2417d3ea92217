//! Making a metric block: collect series, sort, choose columns, encode.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use skald_codec::chunk::{self, ChunkKind};
use skald_model::{Labels, Signal};

use super::SeriesRow;
use super::grids::{self, Table};
use super::predict::Page;
use crate::chunks::put_exemplars;
use crate::columns::{LABEL_PREFIX, NameCounts, Plan};
use crate::meta::{Encoded, Header, put_key};
use crate::{Error, ValueForm, WriterOptions};

pub(super) const MIN_TIME: &str = "min_time";
pub(super) const MAX_TIME: &str = "max_time";
pub(super) const N_SAMPLES: &str = "n_samples";
pub(super) const EXEMPLARS: &str = "exemplars";
pub(super) const HISTOGRAMS: &str = "histograms";
pub(super) const FLOATS: &str = "floats";

/// Footer keys: how many series have histograms, exemplars.
pub(super) const KEY_HISTOGRAMS: &str = "skald.n_histogram_series";
pub(super) const KEY_EXEMPLARS: &str = "skald.n_exemplar_series";

/// Labels that rows are sorted by before the whole label set decides.
const SORT_BY: [&str; 7] = [Labels::NAME, "cluster", "namespace", "job", "container", "pod", "le"];

/// Versions of the format: all chunks have their timestamps; some have the number of a grid instead.
const VERSION_PLAIN: u32 = 1;
const VERSION_GRIDS: u32 = 2;
/// Some are predicted from those of other rows, or have bodies that earlier readers do not know.
const VERSION_DENSE: u32 = 3;

const MAX_HOT: usize = 48;
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 16 << 20;
/// Series per page of a chunk column: what a query of one series reads at least.
const CHUNK_PAGE_ROWS: usize = 256;
const LABEL_PAGE_ROWS: usize = 16 << 10;
const DICTIONARY_BYTES: usize = 8 << 20;

/// Collects series and writes them as one block.
///
/// Rows may come in any order and are kept in memory until [`finish`](Self::finish); rows with
/// equal labels are joined, their chunks in the order of the pushes. The block may become as large
/// as what is pushed: splitting is the caller's.
#[derive(Debug)]
pub struct MetricBlockWriter {
    opts: WriterOptions,
    rows: Vec<Row>,
    bytes: usize,
}

#[derive(Debug)]
struct Row {
    key: Vec<u8>,
    series: SeriesRow,
    min_time: i64,
    max_time: i64,
    n_samples: u64,
}

// === impl MetricBlockWriter ===

impl MetricBlockWriter {
    pub fn new(opts: WriterOptions) -> Self {
        Self { opts, rows: Vec::new(), bytes: 0 }
    }

    /// Adds a series. A row without samples and exemplars is ignored.
    ///
    /// Fails when a chunk's head cannot be read or a chunk stands in the wrong list.
    pub fn push(&mut self, mut series: SeriesRow) -> Result<(), Error> {
        let mut row = Row {
            key: sort_key(&series.labels),
            series: SeriesRow::default(),
            min_time: i64::MAX,
            max_time: i64::MIN,
            n_samples: 0,
        };
        for (list, kind) in
            [(&series.floats, ChunkKind::Floats), (&series.histograms, ChunkKind::Histograms)]
        {
            for bytes in list {
                let head = chunk::peek(bytes).map_err(|e| Error::Invalid(e.to_string()))?;
                if head.kind != kind {
                    return Err(Error::Invalid("chunk of another kind".to_owned()));
                }
                if head.count > 0 {
                    row.min_time = row.min_time.min(head.min_ts);
                    row.max_time = row.max_time.max(head.max_ts);
                    row.n_samples += head.count as u64;
                }
                self.bytes += bytes.len() + 2;
            }
        }
        for e in &series.exemplars {
            row.min_time = row.min_time.min(e.timestamp_ms);
            row.max_time = row.max_time.max(e.timestamp_ms);
            self.bytes += e.labels.as_bytes().len() + 16;
        }
        if row.min_time > row.max_time {
            return Ok(());
        }
        series.exemplars.sort_by_key(|e| e.timestamp_ms);
        self.bytes += series.labels.as_bytes().len();
        row.series = series;
        self.rows.push(row);
        Ok(())
    }

    /// Series pushed so far.
    pub fn n_series(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes pushed so far; the block is smaller by what label columns save.
    pub fn size_hint(&self) -> usize {
        self.bytes
    }

    /// Sorts and encodes everything. Computes for long: call it on the CPU pool.
    pub fn finish(self) -> Result<Encoded, Error> {
        let rows = sorted(self.rows);
        let mut names = NameCounts::default();
        rows.iter().for_each(|r| names.add(&r.series.labels, 1));
        let plan = names.plan(LABEL_PREFIX, MAX_HOT, Some(Labels::NAME));
        let n_histograms = rows.iter().filter(|r| !r.series.histograms.is_empty()).count();
        let n_exemplars = rows.iter().filter(|r| !r.series.exemplars.is_empty()).count();
        let optional = Optional { histograms: n_histograms > 0, exemplars: n_exemplars > 0 };
        let schema = schema(&plan, optional);
        let lists = rows.iter().map(|r| &r.series);
        let table = Table::of(lists.flat_map(|s| s.floats.iter().chain(&s.histograms)));
        let header = Header {
            signal: Signal::Metrics,
            version: match self.opts.values {
                // Also without grids: chunks of dense blocks that were merged may have bodies of theirs.
                ValueForm::Dense => VERSION_DENSE,
                ValueForm::AsTheyAre if table.is_empty() => VERSION_PLAIN,
                ValueForm::AsTheyAre => VERSION_GRIDS,
            },
            min_time: rows.iter().map(|r| r.min_time).min().unwrap_or(0),
            max_time: rows.iter().map(|r| r.max_time).max().unwrap_or(0),
            n_series: rows.len() as u64,
            n_rows: rows.iter().map(|r| r.n_samples).sum(),
        };
        let mut writer = crate::meta::writer(&schema, properties(self.opts.values).build())?;
        for batch in batches(&rows, self.opts.values) {
            let bytes = chunk_bytes(batch);
            if i32::try_from(bytes).is_err() {
                let n = batch.len();
                let reason =
                    format!("{bytes} bytes of chunks in {n} rows that must stand together");
                return Err(Error::Invalid(reason));
            }
            let form = (self.opts.values, &table);
            writer.write(&record_batch(&schema, &plan, optional, form, batch)?)?;
            if writer.in_progress_size() >= self.opts.row_group_bytes
                || writer.in_progress_rows() >= self.opts.row_group_rows
            {
                writer.flush()?;
            }
        }
        if !table.is_empty() {
            writer.flush()?;
            let (offset, bytes) = (writer.bytes_written(), table.encoded());
            writer.write_all(&bytes).map_err(|e| Error::Internal(e.to_string()))?;
            put_key(&mut writer, grids::KEY_OFFSET, offset.to_string());
            put_key(&mut writer, grids::KEY_LENGTH, bytes.len().to_string());
        }
        put_key(&mut writer, KEY_HISTOGRAMS, n_histograms.to_string());
        put_key(&mut writer, KEY_EXEMPLARS, n_exemplars.to_string());
        header.seal(writer, &plan, &SORT_BY.join(","), &self.opts)
    }
}

/// Sorts by key and label set, and joins rows of one label set.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| a.series.labels.cmp(&b.series.labels)));
    rows.dedup_by(|next, kept| {
        if next.series.labels != kept.series.labels {
            return false;
        }
        kept.min_time = kept.min_time.min(next.min_time);
        kept.max_time = kept.max_time.max(next.max_time);
        kept.n_samples += next.n_samples;
        kept.series.floats.append(&mut next.series.floats);
        kept.series.histograms.append(&mut next.series.histograms);
        kept.series.exemplars.append(&mut next.series.exemplars);
        kept.series.exemplars.sort_by_key(|e| e.timestamp_ms);
        kept.series.exemplars.dedup();
        true
    });
    rows
}

fn sort_key(labels: &Labels) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    for name in SORT_BY {
        key.extend_from_slice(labels.get(name).unwrap_or("").as_bytes());
        key.push(0);
    }
    key
}

/// Columns that only some blocks have.
#[derive(Clone, Copy, Debug)]
struct Optional {
    histograms: bool,
    exemplars: bool,
}

fn schema(plan: &Plan, optional: Optional) -> Arc<Schema> {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = plan.fields();
    fields.extend([
        Field::new(MIN_TIME, time(), false),
        Field::new(MAX_TIME, time(), false),
        Field::new(N_SAMPLES, DataType::UInt64, false),
    ]);
    let binary = |name: &str| Field::new(name, DataType::Binary, true);
    fields.extend(optional.exemplars.then(|| binary(EXEMPLARS)));
    fields.extend(optional.histograms.then(|| binary(HISTOGRAMS)));
    fields.push(binary(FLOATS));
    Arc::new(Schema::new(fields))
}

fn properties(values: ValueForm) -> WriterPropertiesBuilder {
    let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default());
    let mut props = WriterProperties::builder()
        .set_compression(zstd(3))
        .set_max_row_group_row_count(None)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_row_count_limit(LABEL_PAGE_ROWS)
        .set_write_batch_size(CHUNK_PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page);
    for name in [MIN_TIME, MAX_TIME, N_SAMPLES] {
        let column = ColumnPath::from(name);
        props = props
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    // Chunks of like series have much in common: zstd-1 takes a tenth to a fifth off the floats.
    // Histogram chunks are zstd frames already.
    for (name, compression) in
        [(EXEMPLARS, zstd(3)), (HISTOGRAMS, Compression::UNCOMPRESSED), (FLOATS, zstd(1))]
    {
        let column = ColumnPath::from(name);
        props = props
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_compression(column.clone(), compression)
            .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
            .set_column_data_page_row_count_limit(column, CHUNK_PAGE_ROWS);
    }
    match values {
        ValueForm::AsTheyAre => props,
        // Rows of a page may be predicted from one another: nothing but their number may end it.
        ValueForm::Dense => props.set_column_data_page_size_limit(FLOATS.into(), usize::MAX >> 1),
    }
}

/// Slices of a bounded number of rows and, but for the last step, bytes. A step is a row, or a whole page of the chunk columns
/// where its rows may be predicted from one another.
fn batches(rows: &[Row], values: ValueForm) -> impl Iterator<Item = &[Row]> {
    let step = match values {
        ValueForm::AsTheyAre => 1,
        ValueForm::Dense => CHUNK_PAGE_ROWS,
    };
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let n = rest[..rest.len().min(BATCH_ROWS)]
            .chunks(step)
            .take_while(|rows| {
                let before = bytes;
                bytes += chunk_bytes(rows);
                before < BATCH_BYTES
            })
            .map(<[Row]>::len)
            .sum();
        let (head, tail) = rest.split_at(n);
        rest = tail;
        (n > 0).then_some(head)
    })
}

fn chunk_bytes(rows: &[Row]) -> usize {
    let lists = rows.iter().flat_map(|r| r.series.floats.iter().chain(&r.series.histograms));
    lists.map(Bytes::len).sum()
}

fn record_batch(
    schema: &Arc<Schema>,
    plan: &Plan,
    optional: Optional,
    (form, table): (ValueForm, &Table<'_>),
    rows: &[Row],
) -> Result<RecordBatch, Error> {
    let mut labels = plan.builder();
    let [mut exemplars, mut histograms, mut floats] =
        [(); 3].map(|()| BinaryBuilder::with_capacity(rows.len(), 0));
    let mut cell = Vec::new();
    let mut append =
        |column: &mut BinaryBuilder, present: bool, put: &mut dyn FnMut(&mut Vec<u8>)| {
            if present {
                cell.clear();
                put(&mut cell);
                column.append_value(&cell);
            } else {
                column.append_null();
            }
        };
    let mut page = Page::new(table);
    for (i, Row { series, .. }) in rows.iter().enumerate() {
        if i % CHUNK_PAGE_ROWS == 0 {
            page = Page::new(table);
        }
        labels.push(&series.labels, 1)?;
        let s = series;
        append(&mut exemplars, !s.exemplars.is_empty(), &mut |c| put_exemplars(&s.exemplars, c));
        append(&mut histograms, !s.histograms.is_empty(), &mut |c| {
            table.put_list(&s.histograms, form, c);
        });
        append(&mut floats, !s.floats.is_empty(), &mut |c| match form {
            ValueForm::AsTheyAre => table.put_list(&s.floats, form, c),
            ValueForm::Dense => page.put_list(i % CHUNK_PAGE_ROWS, s, c),
        });
    }
    let times = |time: fn(&Row) -> i64| -> ArrayRef {
        let values = rows.iter().map(time);
        Arc::new(TimestampMillisecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let mut columns = labels.finish()?;
    columns.push(times(|r| r.min_time));
    columns.push(times(|r| r.max_time));
    columns.push(Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.n_samples))));
    if optional.exemplars {
        columns.push(Arc::new(exemplars.finish()));
    }
    if optional.histograms {
        columns.push(Arc::new(histograms.finish()));
    }
    columns.push(Arc::new(floats.finish()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
