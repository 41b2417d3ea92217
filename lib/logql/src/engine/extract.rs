//! Lines to samples: one `(time, value)` per line that passes, gathered by series.
//!
//! Counts and lengths are summed at once in cells that no window's edge cuts, so that what is kept
//! grows with the steps, not with the lines. A series is found by the canonical bytes of the labels that the grouping leaves; only a new one
//! costs an allocation. Where labels depend on stream and metadata alone, the series is looked up
//! by the metadata and the labels are not even assembled.

use std::collections::HashMap;

use bytes::Bytes;
use skald_model::{Labels, StreamEntries, TimeRange};
use skald_vector::CancelFlag;

use super::Steps;
use super::log::CHECK_EVERY;
use crate::ast::{Grouping, LogRange, RangeOp};
use crate::error::{PipelineError, QueryError};
use crate::pipeline::hints::Hints;
use crate::pipeline::labels::{ERROR, ERROR_DETAILS, PRESERVE_ERROR, sorted_labels};
use crate::pipeline::unwrap::Unwrapper;
use crate::pipeline::{Pipeline, Work};
use crate::result::Stats;

/// So many samples more than before are added up.
const MIN_COMPACT: usize = 64 << 10;

/// What a sample is made of.
#[derive(Debug)]
enum Extractor {
    One,
    LineBytes,
    Label(Unwrapper),
}

/// How the labels of a sample become those of its series.
#[derive(Debug)]
pub(super) enum Group {
    All,
    By(Vec<String>),
    Without(Vec<String>),
}

/// A range of lines, compiled for taking samples.
#[derive(Debug)]
pub(super) struct Extraction {
    pub(super) pipeline: Pipeline,
    extractor: Extractor,
    group: Group,
}

/// The samples of one series, sorted by time once [`SampleSet::finish`] has run.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) labels: Labels,
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
}

/// All samples of a range.
#[derive(Debug, Default)]
pub(super) struct SampleSet {
    pub(super) series: Vec<Samples>,
    index: HashMap<Bytes, usize>,
    pub(super) n_samples: usize,
    /// How many samples there were after they were last added up.
    n_compacted: usize,
    pub(super) stats: Stats,
    key: Vec<u8>,
    work: Work,
}

/// Which times are within any window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub(super) steps: Steps,
    pub(super) interval_ns: i64,
    pub(super) offset_ns: i64,
}

// === impl Group ===

impl Group {
    fn keeps(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::By(names) => names.iter().any(|n| n == name),
            Self::Without(names) => !names.iter().any(|n| n == name),
        }
    }

    pub(super) fn new(grouping: Option<&Grouping>) -> Self {
        match grouping {
            None => Self::All,
            Some(g) if g.without => Self::Without(g.labels.clone()),
            Some(g) => Self::By(g.labels.clone()),
        }
    }
}

// === impl Extraction ===

impl Extraction {
    /// `group` is that of the range aggregation, or of a `sum` that was pushed down into it.
    pub(super) fn new(op: RangeOp, range: &LogRange, group: Group) -> Result<Self, QueryError> {
        let mut pipeline = Pipeline::compile(&range.log)?;
        let extractor = match (&range.unwrap, op) {
            (Some(unwrap), _) => Extractor::Label(Unwrapper::new(unwrap)?),
            (None, RangeOp::BytesOverTime | RangeOp::BytesRate) => Extractor::LineBytes,
            (None, _) => Extractor::One,
        };
        if !matches!(extractor, Extractor::LineBytes) {
            pipeline.drop_unused_line_formats();
        }
        if let Some(hints) = hints(&pipeline, &extractor, &group) {
            pipeline.set_hints(hints);
        }
        Ok(Self { pipeline, extractor, group })
    }

    pub(super) fn needs_line(&self) -> bool {
        self.pipeline.reads_line() || matches!(self.extractor, Extractor::LineBytes)
    }
}

/// The fields that matter when the series keeps only some labels.
fn hints(pipeline: &Pipeline, extractor: &Extractor, group: &Group) -> Option<Hints> {
    let Group::By(by) = group else { return None };
    let mut names = by.clone();
    let mut known = pipeline.needed_labels(&mut |name| names.push(name.to_owned()));
    if let Extractor::Label(unwrapper) = extractor {
        unwrapper.needed_labels(&mut |name| names.push(name.to_owned()));
    }
    names.sort_unstable();
    names.dedup();
    // Someone asks for all labels by name only when it is known which.
    known &= !names.iter().any(String::is_empty);
    known.then_some(Hints::Only(names))
}

// === impl Windows ===

impl Windows {
    /// The times that count for any step.
    pub(super) fn range(&self) -> TimeRange {
        let first =
            self.steps.start_ns.saturating_sub(self.offset_ns).saturating_sub(self.interval_ns);
        let last = self.steps.end_ns().saturating_sub(self.offset_ns);
        TimeRange::new(first.saturating_add(1), last.saturating_add(1))
    }

    fn cells(&self) -> Cells {
        let width = if self.steps.n <= 1 {
            self.interval_ns
        } else {
            gcd(self.steps.step_ns, self.interval_ns)
        };
        let edge = self.steps.start_ns.saturating_sub(self.offset_ns);
        Cells { edge, width: width.max(1), below: i64::MAX, end: i64::MIN }
    }

    /// Whether a time within the range is within a window; there are gaps when steps are longer.
    fn contains(&self, t: i64) -> bool {
        if self.steps.step_ns <= self.interval_ns || self.steps.n <= 1 {
            return true;
        }
        let since = t.saturating_add(self.offset_ns).saturating_sub(self.steps.start_ns);
        // Distance to the next step at or after this time.
        let to_step = (-since).rem_euclid(self.steps.step_ns);
        to_step < self.interval_ns
    }
}

/// Pieces of time, open at the left, of which all windows are made. The last one is remembered.
#[derive(Clone, Copy, Debug)]
struct Cells {
    edge: i64,
    width: i64,
    below: i64,
    end: i64,
}

// === impl Cells ===

impl Cells {
    /// The upper end of the cell `t` is in. Edges of windows are only ever edges of cells.
    fn end(&mut self, t: i64) -> i64 {
        if t <= self.below || t > self.end {
            let above = self.edge.saturating_sub(t).rem_euclid(self.width);
            self.end = t.saturating_add(above);
            self.below = self.end.saturating_sub(self.width);
        }
        self.end
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

// === impl SampleSet ===

impl SampleSet {
    /// Takes the samples of a slice.
    pub(super) fn add(
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
        if additive && self.n_samples > 2 * self.n_compacted + MIN_COMPACT {
            self.compact();
            self.n_compacted = self.n_samples;
        }
        Ok(())
    }

    /// Adds the samples of another set, of the same extraction.
    pub(super) fn unite(&mut self, other: Self, max_samples: usize) -> Result<(), QueryError> {
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
        if labels.error().is_some() && labels.get(PRESERVE_ERROR) != Some("true") {
            let kept = matches!(group, Group::By(names) if names.iter().any(|n| n == ERROR));
            if !kept {
                return Err(broken(work).into());
            }
        }
        let unwrapped = match &extraction.extractor {
            Extractor::Label(unwrapper) => Some(unwrapper.label()),
            _ => None,
        };
        let keeps = |name: &str| match group {
            Group::By(_) => group.keeps(name) || (name == ERROR_DETAILS && group.keeps(ERROR)),
            _ => group.keeps(name) && unwrapped != Some(name),
        };
        self.key.clear();
        labels.write_key(&mut self.key, keeps);
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
    pub(super) fn finish(&mut self) {
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

impl Extraction {
    /// The sample of a line that no stage changes.
    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    fn plain_value(&self, entry: &skald_model::LogEntry) -> f64 {
        if matches!(self.extractor, Extractor::LineBytes) { entry.line.len() as f64 } else { 1.0 }
    }

    /// Whether samples are only ever added up.
    fn is_additive(&self) -> bool {
        !matches!(self.extractor, Extractor::Label(_))
    }

    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    fn value(&self, work: &mut Work, entry: &skald_model::LogEntry) -> Option<f64> {
        match &self.extractor {
            Extractor::One => Some(1.0),
            Extractor::LineBytes => Some(work.line_len(entry) as f64),
            Extractor::Label(unwrapper) => unwrapper.value(&mut work.labels),
        }
    }
}

fn too_many(max: usize) -> QueryError {
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
