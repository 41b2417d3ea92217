//! Samples as they are gathered.
//!
//! Counts and lengths are summed at once in cells that no window's edge cuts, so that what is kept
//! grows with the steps, not with the lines. A series is found by the canonical bytes of the labels
//! that the grouping leaves; only a new one costs an allocation. Where labels depend on stream and
//! metadata alone, the series is looked up by the metadata and the labels are not even assembled.

use std::collections::HashMap;

use bytes::Bytes;
use skald_model::{Labels, LogEntry, StreamEntries};
use skald_vector::CancelFlag;

use super::{Extraction, Extractor, Group, Windows};
use crate::engine::log::CHECK_EVERY;
use crate::error::{PipelineError, QueryError};
use crate::pipeline::Work;
use crate::pipeline::labels::{ERROR, ERROR_DETAILS, LineError, PRESERVE_ERROR, sorted_labels};
use crate::result::Stats;

/// So many samples more than before are added up.
const MIN_COMPACT: usize = 64 << 10;

/// The samples of one series, sorted by time once [`SampleSet::finish`] has run.
#[derive(Debug, Default)]
pub(in crate::engine) struct Samples {
    pub(in crate::engine) labels: Labels,
    pub(in crate::engine) times: Vec<i64>,
    pub(in crate::engine) values: Vec<f64>,
}

/// All samples of a range.
#[derive(Debug, Default)]
pub(in crate::engine) struct SampleSet {
    pub(in crate::engine) series: Vec<Samples>,
    index: HashMap<Bytes, usize>,
    pub(in crate::engine) n_samples: usize,
    /// How many samples there were after they were last added up.
    n_compacted: usize,
    pub(in crate::engine) stats: Stats,
    key: Vec<u8>,
    work: Work,
}

// === impl SampleSet ===

impl SampleSet {
    /// Takes the samples of a slice.
    pub(in crate::engine) fn add(
        &mut self,
        extraction: &Extraction,
        streams: &[StreamEntries],
        windows: Windows,
        cancel: &CancelFlag,
        max_samples: usize,
    ) -> Result<(), QueryError> {
        let by_metadata = extraction.pipeline.labels_follow_metadata()
            && matches!(extraction.extractor, Extractor::One | Extractor::LineBytes);
        // Series that were seen need no labels any more.
        let plain = by_metadata && extraction.pipeline.has_only_prefilters();
        let additive = extraction.is_additive();
        let mut known: HashMap<Labels, usize> = HashMap::new();
        let mut cells = windows.cells();
        let mut work = std::mem::take(&mut self.work);
        for stream in streams {
            work.start_stream(&stream.labels);
            known.clear();
            // Most entries of a stream have the metadata of the one before: none.
            let mut last: Option<(&Labels, usize)> = None;
            for (i, entry) in stream.entries.iter().enumerate() {
                if i % CHECK_EVERY == 0 && cancel.is_cancelled() {
                    return Err(QueryError::Cancelled);
                }
                if !windows.contains(entry.timestamp_ns) {
                    continue;
                }
                self.stats.lines_processed += 1;
                self.stats.bytes_processed += entry.line.len() as u64;
                self.stats.structured_metadata_bytes_processed +=
                    entry.metadata.as_bytes().len() as u64;
                if plain && !extraction.pipeline.prefilters_match(&entry.line) {
                    continue;
                }
                let seen = match last {
                    _ if !plain => None,
                    Some((metadata, at)) if *metadata == entry.metadata => Some(at),
                    _ => known.get(&entry.metadata).copied(),
                };
                if let Some(at) = seen {
                    last = Some((&entry.metadata, at));
                    self.stats.post_filter_lines += 1;
                    let value = extraction.plain_value(entry);
                    let t = cells.end(entry.timestamp_ns);
                    self.push(at, t, value, additive, max_samples)?;
                    continue;
                }
                if !extraction.pipeline.process(&mut work, entry) {
                    continue;
                }
                let Some(value) = extraction.value(&mut work, entry) else { continue };
                self.stats.post_filter_lines += 1;
                let found = if by_metadata { known.get(&entry.metadata).copied() } else { None };
                let at = match found {
                    Some(at) => at,
                    None => {
                        let at = self.series_of(extraction, &work)?;
                        if by_metadata && work.labels.error().is_none() {
                            known.insert(entry.metadata.clone(), at);
                        }
                        at
                    }
                };
                let t = entry.timestamp_ns;
                let t = if additive { cells.end(t) } else { t };
                self.push(at, t, value, additive, max_samples)?;
            }
        }
        self.work = work;
        if additive {
            self.compact_if_grown();
        }
        Ok(())
    }

    /// Counts times of streams, sorted ones, whose entries differ in nothing else that matters.
    pub(in crate::engine) fn add_times(
        &mut self,
        extraction: &Extraction,
        streams: &[(Labels, Vec<i64>)],
        windows: Windows,
        cancel: &CancelFlag,
        max_samples: usize,
    ) -> Result<(), QueryError> {
        let mut cells = windows.cells();
        let mut work = std::mem::take(&mut self.work);
        let empty = LogEntry { timestamp_ns: 0, line: Bytes::new(), metadata: Labels::empty() };
        for (labels, times) in streams {
            if cancel.is_cancelled() {
                return Err(QueryError::Cancelled);
            }
            work.start_stream(labels);
            let passes = extraction.pipeline.process_found(&mut work, &empty);
            let mut at = None;
            let mut rest = times.as_slice();
            while let Some(first) = rest.first() {
                // All times of a cell are in the same windows.
                let end = cells.end(*first);
                let n = rest.iter().take_while(|t| **t <= end).count().max(1);
                let inside = windows.contains(*first);
                rest = rest.get(n..).unwrap_or_default();
                if !inside {
                    continue;
                }
                self.stats.lines_processed += n as u64;
                if !passes {
                    continue;
                }
                self.stats.post_filter_lines += n as u64;
                let at = match at {
                    Some(at) => at,
                    None => *at.insert(self.series_of(extraction, &work)?),
                };
                self.push(at, end, count(n), true, max_samples)?;
            }
        }
        self.work = work;
        self.compact_if_grown();
        Ok(())
    }

    fn compact_if_grown(&mut self) {
        if self.n_samples > 2 * self.n_compacted + MIN_COMPACT {
            self.compact();
            self.n_compacted = self.n_samples;
        }
    }

    /// Adds the samples of another set, of the same extraction.
    pub(in crate::engine) fn unite(
        &mut self,
        other: Self,
        max_samples: usize,
    ) -> Result<(), QueryError> {
        self.stats.add(&other.stats);
        self.n_samples += other.n_samples;
        if self.n_samples > max_samples {
            return Err(too_many(max_samples));
        }
        let mut series: Vec<Option<Samples>> = other.series.into_iter().map(Some).collect();
        for (key, at) in other.index {
            let Some(more) = series.get_mut(at).and_then(Option::take) else { continue };
            match self.index.get(&key) {
                Some(at) => {
                    self.series[*at].times.extend(more.times);
                    self.series[*at].values.extend(more.values);
                }
                None => {
                    self.index.insert(key, self.series.len());
                    self.series.push(more);
                }
            }
        }
        Ok(())
    }

    /// Adds up samples of equal times.
    fn compact(&mut self) {
        self.finish();
        for series in &mut self.series {
            let before = series.times.len();
            let mut kept = 0;
            for i in 1..before {
                if series.times[i] == series.times[kept] {
                    series.values[kept] += series.values[i];
                } else {
                    kept += 1;
                    series.times[kept] = series.times[i];
                    series.values[kept] = series.values[i];
                }
            }
            series.times.truncate(kept + 1);
            series.values.truncate(kept + 1);
            self.n_samples -= before - series.times.len();
        }
    }

    fn push(
        &mut self,
        at: usize,
        t: i64,
        value: f64,
        additive: bool,
        max: usize,
    ) -> Result<(), QueryError> {
        if additive && self.series[at].times.last() == Some(&t) {
            self.series[at].values.last_mut().into_iter().for_each(|sum| *sum += value);
            return Ok(());
        }
        self.n_samples += 1;
        if self.n_samples > max {
            return Err(too_many(max));
        }
        let series = &mut self.series[at];
        series.times.push(t);
        series.values.push(value);
        Ok(())
    }

    /// The series of the entry that `work` holds.
    fn series_of(&mut self, extraction: &Extraction, work: &Work) -> Result<usize, QueryError> {
        let labels = &work.labels;
        let group = &extraction.group;
        let is_read = labels.error() != Some(LineError::SampleExtraction);
        let counts =
            extraction.keeps_errors && is_read || labels.get(PRESERVE_ERROR) == Some("true");
        if labels.error().is_some() && !counts {
            return Err(broken(work).into());
        }
        let unwrapped = match &extraction.extractor {
            Extractor::Label(unwrapper) => Some(unwrapper.label()),
            _ => None,
        };
        // Where labels are made anew, details go with their error.
        let has_details =
            labels.error().is_some() || unwrapped.is_none() && matches!(group, Group::All);
        let keeps = |name: &str| match group {
            _ if name == ERROR_DETAILS && !has_details => false,
            Group::By(_) => group.keeps(name) || (name == ERROR_DETAILS && group.keeps(ERROR)),
            // What could not be read is shown.
            Group::All if labels.error().is_some() => true,
            _ => group.keeps(name) && unwrapped != Some(name),
        };
        self.key.clear();
        match group {
            Group::By(names) if labels.error().is_none() && labels.error_details().is_empty() => {
                labels.write_key_of(&mut self.key, names);
            }
            _ => labels.write_key(&mut self.key, keeps),
        }
        if let Some(at) = self.index.get(self.key.as_slice()) {
            return Ok(*at);
        }
        let bytes = Bytes::copy_from_slice(&self.key);
        let at = self.series.len();
        // A series costs memory as about so many samples do.
        self.n_samples += 8 + bytes.len() / 16;
        self.series.push(Samples { labels: labels_of(&bytes), ..Samples::default() });
        self.index.insert(bytes, at);
        Ok(at)
    }

    /// Sorts the samples of each series; streams come in any order.
    pub(in crate::engine) fn finish(&mut self) {
        for series in &mut self.series {
            if series.times.is_sorted() {
                continue;
            }
            let mut order: Vec<usize> = (0..series.times.len()).collect();
            order.sort_by_key(|i| series.times[*i]);
            series.values = order.iter().map(|i| series.values[*i]).collect();
            series.times = order.iter().map(|i| series.times[*i]).collect();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn count(n: usize) -> f64 {
    n as f64
}

pub(in crate::engine) fn too_many(max: usize) -> QueryError {
    QueryError::Limit(format!(
        "the query needs more than {max} samples at once (limit max_samples); consider adding more specific stream selectors or reduce the time range of the query"
    ))
}

/// The error a broken line makes of a metric query.
fn broken(work: &Work) -> PipelineError {
    let mut key = Vec::new();
    work.labels.write_key(&mut key, |_| true);
    PipelineError {
        kind: work.labels.error().map_or("", |e| e.as_str()).to_owned(),
        series: labels_of(&key).to_string(),
    }
}

/// Reads back what [`write_key`](crate::pipeline::labels::LabelSet::write_key) wrote.
fn labels_of(mut bytes: &[u8]) -> Labels {
    fn text<'a>(rest: &mut &'a [u8]) -> &'a str {
        let len = skald_model::labels::take_uvarint(rest).and_then(|n| usize::try_from(n).ok());
        let (head, tail) = rest.split_at(len.unwrap_or(0).min(rest.len()));
        *rest = tail;
        std::str::from_utf8(head).unwrap_or_default()
    }
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        let name = text(&mut bytes);
        pairs.push((name, text(&mut bytes)));
    }
    sorted_labels(pairs)
}
