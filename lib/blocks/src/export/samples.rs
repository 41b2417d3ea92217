//! Samples as a Parquet file for others to read, in bounded memory as lines are.
//!
//! ```text
//! timestamp  TIMESTAMP(MILLIS, UTC)
//! value      DOUBLE, null where there is a histogram
//! histogram  STRUCT<schema INT32, count, sum, zero_threshold, zero_count DOUBLE,
//!                   buckets LIST<STRUCT<lower, upper, count DOUBLE>>>, null where there is a value
//! labels     MAP<STRING, STRING>
//! start_timestamp  TIMESTAMP(MILLIS, UTC), null where it is not known
//! ```

use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, ListArray, RecordBatch, StructArray,
    TimestampMillisecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use skald_model::Labels;

use super::{BATCH_BYTES, BATCH_ROWS, GROUP_BYTES, GROUP_ROWS, map, map_type, properties};
use crate::Error;

/// One sample and the labels of its series.
#[derive(Clone, Copy, Debug)]
pub struct ExportSample<'a> {
    pub timestamp_ms: i64,
    /// When its counter began to count; 0 = unknown.
    pub start_ms: i64,
    pub value: ExportValue<'a>,
    pub labels: &'a Labels,
}

/// What a sample is.
#[derive(Clone, Copy, Debug)]
pub enum ExportValue<'a> {
    Float(f64),
    Histogram(&'a ExportHistogram),
}

/// A native histogram, its buckets from the lowest to the highest, the zero bucket among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportHistogram {
    pub schema: i32,
    pub count: f64,
    pub sum: f64,
    pub zero_threshold: f64,
    pub zero_count: f64,
    /// Lower and upper bound, and count.
    pub buckets: Vec<(f64, f64, f64)>,
}

/// A file of samples under way.
#[derive(Debug)]
pub struct SampleExportWriter {
    writer: ArrowWriter<Vec<u8>>,
    schema: Arc<Schema>,
    batch: Batch,
}

/// Samples that are not encoded yet. Columns of histograms have a row for each sample, those of buckets for each bucket.
#[derive(Debug)]
struct Batch {
    times: Vec<i64>,
    starts: Vec<Option<i64>>,
    values: Vec<Option<f64>>,
    is_histogram: Vec<bool>,
    schemas: Vec<i32>,
    /// Count, sum, threshold and count of the zero bucket.
    parts: [Vec<f64>; 4],
    /// Where the buckets of each end.
    ends: Vec<i32>,
    /// Lower and upper bound, and count.
    buckets: [Vec<f64>; 3],
    labels: MapBuilder<StringBuilder, StringBuilder>,
    n_bytes: usize,
}

// === impl SampleExportWriter ===

impl SampleExportWriter {
    pub fn new() -> Result<Self, Error> {
        let schema = Arc::new(schema());
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties()))?;
        Ok(Self { writer, schema, batch: Batch::new() })
    }

    /// Adds a sample. Encodes now and then.
    pub fn push(&mut self, sample: &ExportSample<'_>) -> Result<(), Error> {
        self.batch.push(sample)?;
        if self.batch.times.len() < BATCH_ROWS && self.batch.n_bytes < BATCH_BYTES {
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
        if !self.batch.times.is_empty() {
            self.encode()?;
        }
        Ok(self.writer.into_inner()?)
    }

    fn encode(&mut self) -> Result<(), Error> {
        let batch = std::mem::replace(&mut self.batch, Batch::new());
        Ok(self.writer.write(&batch.finish(&self.schema)?)?)
    }
}

// === impl Batch ===

impl Batch {
    fn new() -> Self {
        Self {
            times: Vec::new(),
            starts: Vec::new(),
            values: Vec::new(),
            is_histogram: Vec::new(),
            schemas: Vec::new(),
            parts: Default::default(),
            ends: vec![0],
            buckets: Default::default(),
            labels: map(),
            n_bytes: 0,
        }
    }

    fn push(&mut self, sample: &ExportSample<'_>) -> Result<(), Error> {
        let nothing = ExportHistogram::default();
        let (value, histogram) = match sample.value {
            ExportValue::Float(value) => (Some(value), &nothing),
            ExportValue::Histogram(histogram) => (None, histogram),
        };
        self.times.push(sample.timestamp_ms);
        self.starts.push(Some(sample.start_ms).filter(|ms| *ms != 0));
        self.values.push(value);
        self.is_histogram.push(value.is_none());
        self.schemas.push(histogram.schema);
        let ExportHistogram { count, sum, zero_threshold, zero_count, buckets, .. } = histogram;
        for (column, v) in self.parts.iter_mut().zip([*count, *sum, *zero_threshold, *zero_count]) {
            column.push(v);
        }
        for (lower, upper, count) in buckets {
            for (column, v) in self.buckets.iter_mut().zip([*lower, *upper, *count]) {
                column.push(v);
            }
        }
        // A batch ends long before.
        self.ends.push(i32::try_from(self.buckets[0].len()).unwrap_or(i32::MAX));
        self.n_bytes += 24 * buckets.len() + 16;
        for (name, value) in sample.labels {
            self.n_bytes += name.len() + value.len();
            self.labels.keys().append_value(name);
            self.labels.values().append_value(value);
        }
        Ok(self.labels.append(true)?)
    }

    fn finish(mut self, schema: &Arc<Schema>) -> Result<RecordBatch, Error> {
        let floats = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let nulls = NullBuffer::from(self.is_histogram);
        let buckets = StructArray::try_new(bucket(), self.buckets.map(floats).to_vec(), None)?;
        let ends = OffsetBuffer::new(self.ends.into());
        let buckets = ListArray::try_new(bucket_item(), ends, Arc::new(buckets), None)?;
        let mut parts: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(self.schemas))];
        parts.extend(self.parts.map(floats));
        parts.push(Arc::new(buckets));
        let histograms = StructArray::try_new(histogram(), parts, Some(nulls))?;
        let times = TimestampMillisecondArray::from(self.times).with_timezone("UTC");
        let starts = TimestampMillisecondArray::from(self.starts).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(times),
            Arc::new(Float64Array::from(self.values)),
            Arc::new(histograms),
            Arc::new(self.labels.finish()),
            Arc::new(starts),
        ];
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

fn float(name: &str) -> Field {
    Field::new(name, DataType::Float64, false)
}

fn bucket() -> Fields {
    ["lower", "upper", "count"].map(float).to_vec().into()
}

fn bucket_item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(bucket()), false))
}

fn histogram() -> Fields {
    let mut fields = vec![Field::new("schema", DataType::Int32, false)];
    fields.extend(["count", "sum", "zero_threshold", "zero_count"].map(float));
    fields.push(Field::new("buckets", DataType::List(bucket_item()), false));
    fields.into()
}

fn schema() -> Schema {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Schema::new(vec![
        Field::new("timestamp", time.clone(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("histogram", DataType::Struct(histogram()), true),
        Field::new("labels", map_type(), false),
        Field::new("start_timestamp", time, true),
    ])
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int32Type, TimestampMillisecondType};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn samples_come_back_whatever_they_are() {
        let labels = Labels::from_pairs([("__name__", "m"), ("job", "j")]);
        let native = ExportHistogram {
            schema: 3,
            count: 7.0,
            sum: 2.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            buckets: vec![(-0.001, 0.001, 1.0), (1.0, 2.0, 6.0)],
        };
        let mut writer = SampleExportWriter::new().unwrap();
        let mut file = Vec::new();
        // More than a batch, so that offsets begin anew.
        let n = i64::try_from(BATCH_ROWS + 2).unwrap();
        for t in 0..n {
            let value = match t % 2 {
                0 => ExportValue::Float(f64::NAN),
                _ => ExportValue::Histogram(&native),
            };
            let start_ms = if t % 3 == 0 { 0 } else { t - 5 };
            let sample = ExportSample { timestamp_ms: t, start_ms, value, labels: &labels };
            writer.push(&sample).unwrap();
            file.extend(writer.take());
        }
        file.extend(writer.finish().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
        let mut next = 0;
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let times = batch.column(0).as_primitive::<TimestampMillisecondType>();
            let values = batch.column(1).as_primitive::<Float64Type>();
            let histograms = batch.column(2).as_struct();
            let starts = batch.column(4).as_primitive::<TimestampMillisecondType>();
            for row in 0..batch.num_rows() {
                assert_eq!(times.value(row), next);
                assert_eq!(values.is_null(row), next % 2 == 1);
                let known = next % 3 != 0 && next != 5;
                assert_eq!(
                    starts.is_valid(row).then(|| starts.value(row)),
                    known.then(|| next - 5)
                );
                assert_eq!(histograms.is_valid(row), next % 2 == 1);
                if next % 2 == 1 {
                    assert_eq!(histograms.column(0).as_primitive::<Int32Type>().value(row), 3);
                    let buckets = histograms.column(5).as_list::<i32>().value(row);
                    let counts = buckets.as_struct().column(2).as_primitive::<Float64Type>();
                    assert_eq!(counts.values(), &[1.0, 6.0]);
                } else {
                    assert!(values.value(row).is_nan());
                }
                let entries = batch.column(3).as_map().value(row);
                assert_eq!(entries.column(1).as_string::<i32>().value(1), "j");
                next += 1;
            }
        }
        assert_eq!(next, n);
    }
}
