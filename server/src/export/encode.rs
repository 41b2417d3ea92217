//! Rows as they stand in files.

use serde_json::json;
use skald_blocks::{
    ExportHistogram, ExportLine, ExportSample, ExportValue, ExportWriter, SampleExportWriter,
};
use skald_model::{Histogram, Labels, LogEntry, Series, StreamEntries, is_stale};
use skald_vector::FloatHistogram;
use skald_vector::function::format_float;

use super::times::rfc3339;
use super::{Export, ExportError, Format, What};

const NS_PER_MS: i64 = 1_000_000;

/// One file under way.
pub(super) enum Encoder {
    Ndjson(Vec<u8>),
    Samples(Box<SampleExportWriter>),
    Lines(Box<ExportWriter>),
}

// === impl Encoder ===

impl Encoder {
    pub(super) fn new(export: &Export) -> Result<Self, ExportError> {
        Ok(match (export.format, export.what) {
            (Format::Ndjson, _) => Self::Ndjson(Vec::new()),
            (Format::Parquet, What::Metrics) => Self::Samples(Box::new(SampleExportWriter::new()?)),
            (Format::Parquet, What::Logs) => Self::Lines(Box::new(ExportWriter::new()?)),
        })
    }

    /// Adds the samples of a series by time, but no markers of staleness. Answers how many.
    pub(super) fn series(&mut self, series: &Series) -> Result<u64, ExportError> {
        let mut n = 0;
        let mut histograms = series.histograms.iter().enumerate().peekable();
        // None are there where none is known.
        let known = |starts: &[i64], i: usize| starts.get(i).copied().unwrap_or(0);
        for (i, (t, value)) in series.timestamps.iter().zip(&series.values).enumerate() {
            while let Some((i, (at, h))) = histograms.next_if(|(_, (at, _))| at < t) {
                let start = known(&series.histogram_starts, i);
                n += self.histogram(&series.labels, (*at, start), h)?;
            }
            if !is_stale(*value) {
                let times = (*t, known(&series.starts, i));
                self.sample(&series.labels, times, ExportValue::Float(*value))?;
                n += 1;
            }
        }
        for (i, (at, h)) in histograms {
            n += self.histogram(&series.labels, (*at, known(&series.histogram_starts, i)), h)?;
        }
        Ok(n)
    }

    /// `times` are those of the sample and of its start, 0 if that is unknown; as below.
    fn histogram(
        &mut self,
        labels: &Labels,
        times: (i64, i64),
        h: &Histogram,
    ) -> Result<u64, ExportError> {
        if h.is_stale() {
            return Ok(0);
        }
        let float = FloatHistogram::from(h);
        let histogram = ExportHistogram {
            schema: float.schema,
            count: float.count,
            sum: float.sum,
            zero_threshold: float.zero_threshold,
            zero_count: float.zero_count,
            buckets: float.buckets().map(|b| (b.lower, b.upper, b.count)).collect(),
        };
        self.sample(labels, times, ExportValue::Histogram(&histogram))?;
        Ok(1)
    }

    fn sample(
        &mut self,
        labels: &Labels,
        (timestamp_ms, start_ms): (i64, i64),
        value: ExportValue<'_>,
    ) -> Result<(), ExportError> {
        match self {
            Self::Samples(writer) => {
                writer.push(&ExportSample { timestamp_ms, start_ms, value, labels })?;
            }
            Self::Ndjson(out) => {
                let time = rfc3339(timestamp_ms.saturating_mul(NS_PER_MS), 3);
                let mut row = match value {
                    ExportValue::Float(v) => {
                        json!({"timestamp": time, "value": format_float(v), "labels": object(labels)})
                    }
                    ExportValue::Histogram(h) => {
                        let histogram = of_histogram(h);
                        json!({"timestamp": time, "histogram": histogram, "labels": object(labels)})
                    }
                };
                if start_ms != 0 {
                    row["start_timestamp"] = rfc3339(start_ms.saturating_mul(NS_PER_MS), 3).into();
                }
                line(out, &row);
            }
            Self::Lines(_) => {}
        }
        Ok(())
    }

    /// Adds the lines of a stream. Answers how many.
    pub(super) fn stream(&mut self, stream: &StreamEntries) -> Result<u64, ExportError> {
        for LogEntry { timestamp_ns, line: text, metadata } in &stream.entries {
            match self {
                Self::Lines(writer) => writer.push(&ExportLine {
                    timestamp_ns: *timestamp_ns,
                    line: text,
                    labels: &stream.labels,
                    structured_metadata: metadata,
                    parsed: &Labels::empty(),
                })?,
                Self::Ndjson(out) => {
                    let row = json!({
                        "timestamp": rfc3339(*timestamp_ns, 9),
                        "line": String::from_utf8_lossy(text),
                        "labels": object(&stream.labels),
                        "structured_metadata": object(metadata),
                    });
                    line(out, &row);
                }
                Self::Samples(_) => {}
            }
        }
        Ok(stream.entries.len() as u64)
    }

    /// The bytes that are finished.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Ndjson(out) => std::mem::take(out),
            Self::Samples(writer) => writer.take(),
            Self::Lines(writer) => writer.take(),
        }
    }

    /// The rest.
    pub(super) fn finish(self) -> Result<Vec<u8>, ExportError> {
        Ok(match self {
            Self::Ndjson(out) => out,
            Self::Samples(writer) => writer.finish()?,
            Self::Lines(writer) => writer.finish()?,
        })
    }
}

fn line(out: &mut Vec<u8>, row: &serde_json::Value) {
    out.extend_from_slice(row.to_string().as_bytes());
    out.push(b'\n');
}

fn object(labels: &Labels) -> serde_json::Map<String, serde_json::Value> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn of_histogram(h: &ExportHistogram) -> serde_json::Value {
    let buckets: Vec<[String; 3]> = h
        .buckets
        .iter()
        .map(|(lower, upper, n)| [format_float(*lower), format_float(*upper), format_float(*n)])
        .collect();
    json!({
        "schema": h.schema,
        "count": format_float(h.count),
        "sum": format_float(h.sum),
        "zero_threshold": format_float(h.zero_threshold),
        "zero_count": format_float(h.zero_count),
        "buckets": buckets,
    })
}
