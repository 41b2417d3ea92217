//! Lines as a Parquet file for others to read, made row group by row group: what is finished can be
//! sent away while the rest is still to come, so that a file of any size takes bounded memory.
//!
//! ```text
//! timestamp            TIMESTAMP(NANOS, UTC)
//! line                 STRING
//! labels               MAP<STRING, STRING>
//! structured_metadata  MAP<STRING, STRING>
//! parsed               MAP<STRING, STRING>
//! ```

pub(crate) mod samples;

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder, TimestampNanosecondBuilder};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use skald_model::Labels;

use crate::Error;

const TIMESTAMP: &str = "timestamp";
const LINE: &str = "line";
const MAPS: [&str; 3] = ["labels", "structured_metadata", "parsed"];

/// Lines that are encoded at once, at most.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;
/// A row group ends behind so many rows or encoded bytes.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 16 << 20;

/// One line and its labels.
#[derive(Clone, Copy, Debug)]
pub struct ExportLine<'a> {
    pub timestamp_ns: i64,
    /// What of it is not UTF-8 is replaced.
    pub line: &'a [u8],
    pub labels: &'a Labels,
    pub structured_metadata: &'a Labels,
    pub parsed: &'a Labels,
}

/// A file under way.
#[derive(Debug)]
pub struct ExportWriter {
    writer: ArrowWriter<Vec<u8>>,
    schema: Arc<Schema>,
    batch: Batch,
}

/// Lines that are not encoded yet.
#[derive(Debug)]
struct Batch {
    times: TimestampNanosecondBuilder,
    lines: StringBuilder,
    maps: [MapBuilder<StringBuilder, StringBuilder>; 3],
    n_rows: usize,
    n_bytes: usize,
}

// === impl ExportWriter ===

impl ExportWriter {
    pub fn new() -> Result<Self, Error> {
        let schema = Arc::new(schema());
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties()))?;
        Ok(Self { writer, schema, batch: Batch::new() })
    }

    /// Adds a line. Encodes now and then: call it on the CPU pool.
    pub fn push(&mut self, line: &ExportLine<'_>) -> Result<(), Error> {
        self.batch.push(line)?;
        if self.batch.n_rows < BATCH_ROWS && self.batch.n_bytes < BATCH_BYTES {
            return Ok(());
        }
        self.encode()?;
        if self.writer.in_progress_rows() >= GROUP_ROWS
            || self.writer.in_progress_size() >= GROUP_BYTES
        {
            self.writer.flush()?;
        }
        Ok(())
    }

    /// The bytes of the file that are finished and were not taken before.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// The rest of the file.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        if self.batch.n_rows > 0 {
            self.encode()?;
        }
        Ok(self.writer.into_inner()?)
    }

    fn encode(&mut self) -> Result<(), Error> {
        let batch = self.batch.finish(&self.schema)?;
        Ok(self.writer.write(&batch)?)
    }
}

// === impl Batch ===

impl Batch {
    fn new() -> Self {
        Self {
            times: TimestampNanosecondBuilder::new().with_timezone("UTC"),
            lines: StringBuilder::new(),
            maps: [map(), map(), map()],
            n_rows: 0,
            n_bytes: 0,
        }
    }

    fn push(&mut self, line: &ExportLine<'_>) -> Result<(), Error> {
        self.times.append_value(line.timestamp_ns);
        let text: Cow<'_, str> = String::from_utf8_lossy(line.line);
        self.n_bytes += text.len();
        self.lines.append_value(text);
        let sets = [line.labels, line.structured_metadata, line.parsed];
        for (map, labels) in self.maps.iter_mut().zip(sets) {
            for (name, value) in labels {
                self.n_bytes += name.len() + value.len();
                map.keys().append_value(name);
                map.values().append_value(value);
            }
            map.append(true)?;
        }
        self.n_rows += 1;
        Ok(())
    }

    fn finish(&mut self, schema: &Arc<Schema>) -> Result<RecordBatch, Error> {
        let [labels, metadata, parsed] = &mut self.maps;
        let batch = RecordBatch::try_new(
            Arc::clone(schema),
            vec![
                Arc::new(self.times.finish()),
                Arc::new(self.lines.finish()),
                Arc::new(labels.finish()),
                Arc::new(metadata.finish()),
                Arc::new(parsed.finish()),
            ],
        )?;
        (self.n_rows, self.n_bytes) = (0, 0);
        Ok(batch)
    }
}

/// An empty column of labels.
fn map() -> MapBuilder<StringBuilder, StringBuilder> {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(text("value"))
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn map_type() -> DataType {
    let pair = DataType::Struct(vec![text("key"), text("value")].into());
    DataType::Map(Arc::new(Field::new("key_value", pair, false)), false)
}

fn schema() -> Schema {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let mut fields = vec![Field::new(TIMESTAMP, time, false), text(LINE)];
    for name in MAPS {
        fields.push(Field::new(name, map_type(), false));
    }
    Schema::new(fields)
}

fn properties() -> WriterProperties {
    let (line, time) = (ColumnPath::from(LINE), ColumnPath::from(TIMESTAMP));
    WriterProperties::builder()
        .set_created_by(format!("skald {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(time.clone(), false)
        .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(line.clone(), false)
        .set_column_statistics_enabled(line, EnabledStatistics::None)
        .build()
}

#[cfg(test)]
mod tests;
