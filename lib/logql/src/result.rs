//! What a query answers.

use std::collections::HashMap;

use bytes::Bytes;
use skald_model::Labels;

use crate::pipeline::labels::sorted_labels;

/// A line of a log query, its labels by category. Labels may have empty values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultEntry {
    pub timestamp_ns: i64,
    pub line: Bytes,
    pub structured_metadata: Labels,
    /// Includes the error labels.
    pub parsed: Labels,
}

/// Lines that share their stream labels, in query direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultStream {
    /// As the pipeline left them.
    pub stream_labels: Labels,
    pub entries: Vec<ResultEntry>,
}

/// A stream as clients without `categorize-labels` see it: all labels are its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedStream {
    pub labels: Labels,
    /// Time in nanoseconds, and line.
    pub entries: Vec<(i64, Bytes)>,
}

/// A series with one value per step that has one.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    pub labels: Labels,
    /// Milliseconds and value, in time order.
    pub points: Vec<(i64, f64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    pub labels: Labels,
    pub value: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Grouped by stream labels and sorted by them; see [`merged_streams`].
    Streams(Vec<ResultStream>),
    Matrix(Vec<MatrixSeries>),
    Vector {
        timestamp_ms: i64,
        samples: Vec<VectorSample>,
    },
    Scalar {
        timestamp_ms: i64,
        value: f64,
    },
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub lines_processed: u64,
    pub bytes_processed: u64,
    pub structured_metadata_bytes_processed: u64,
    /// Lines that passed the pipeline.
    pub post_filter_lines: u64,
    pub entries_returned: u64,
    /// Requests to the source.
    pub selects: u64,
}

#[derive(Clone, Debug)]
pub struct QueryResult {
    pub value: Value,
    pub stats: Stats,
    pub warnings: Vec<String>,
}

impl Stats {
    pub(crate) fn add(&mut self, other: &Self) {
        self.lines_processed += other.lines_processed;
        self.bytes_processed += other.bytes_processed;
        self.structured_metadata_bytes_processed += other.structured_metadata_bytes_processed;
        self.post_filter_lines += other.post_filter_lines;
        self.entries_returned += other.entries_returned;
        self.selects += other.selects;
    }
}

impl ResultEntry {
    /// A number that grows with memory use, for accounting.
    pub fn size_bytes(&self) -> usize {
        let labels = |labels: &Labels| labels.as_bytes().len();
        let labels = labels(&self.structured_metadata) + labels(&self.parsed);
        size_of::<Self>() + self.line.len() + labels
    }

    /// All labels of the entry in one set; parsed wins over metadata over stream.
    pub fn merged_labels(&self, stream: &Labels) -> Labels {
        if self.structured_metadata.is_empty() && self.parsed.is_empty() {
            return stream.clone();
        }
        let mut pairs: Vec<(&str, &str)> = self.parsed.iter().collect();
        for (name, value) in self.structured_metadata.iter().chain(stream) {
            if !pairs.iter().any(|(n, _)| *n == name) {
                pairs.push((name, value));
            }
        }
        sorted_labels(pairs)
    }
}

/// Regroups by all labels, sorted by them; lines keep their order.
pub fn merged_streams(streams: &[ResultStream]) -> Vec<MergedStream> {
    let mut out: Vec<MergedStream> = Vec::new();
    let mut index: HashMap<Labels, usize> = HashMap::new();
    for stream in streams {
        for entry in &stream.entries {
            let labels = entry.merged_labels(&stream.stream_labels);
            let at = *index.entry(labels).or_insert_with_key(|labels| {
                out.push(MergedStream { labels: labels.clone(), entries: Vec::new() });
                out.len() - 1
            });
            out[at].entries.push((entry.timestamp_ns, entry.line.clone()));
        }
    }
    // Streams that only differ in dropped labels interleave; times must still follow direction.
    let backward = is_backward(streams);
    for stream in &mut out {
        if backward {
            stream.entries.sort_by_key(|(t, _)| std::cmp::Reverse(*t));
        } else {
            stream.entries.sort_by_key(|(t, _)| *t);
        }
    }
    // By their text: a set sorts behind those that have one label more.
    out.sort_by_cached_key(|stream| stream.labels.to_string());
    out
}

fn is_backward(streams: &[ResultStream]) -> bool {
    let falls = |s: &ResultStream| {
        s.entries
            .windows(2)
            .find(|w| w[0].timestamp_ns != w[1].timestamp_ns)
            .map(|w| w[0].timestamp_ns > w[1].timestamp_ns)
    };
    streams.iter().find_map(falls).unwrap_or(false)
}
