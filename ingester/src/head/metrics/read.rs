//! Reading buffers: labels and exemplars for readers, everything for a flush.

use std::sync::Arc;

use bytes::Bytes;
use skald_codec::chunk::{self, ChunkError};
use skald_model::{Exemplar, Histogram, Labels, Matcher, Series, TimeRange};

use super::data::Chunks;
use super::starts::Starts;
use super::{MetricsHead, MetricsSnapshot, SeriesData};
use crate::index::Ref;

/// Samples of a chunk in a block, at most.
const BLOCK_CHUNK: usize = 240;

/// Series picked under the lock, with copies of their exemplars if these are wanted.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    series: Vec<(Labels, Vec<Exemplar>)>,
    snapshot: Option<Arc<MetricsSnapshot>>,
    pub(crate) manifest_version: u64,
}

impl MetricsHead {
    /// The series to pick from, with the snapshot and commit number of this moment.
    pub(crate) fn begin(&self, matchers: &[Matcher]) -> (Vec<Ref>, Selection) {
        let selection = Selection {
            series: Vec::new(),
            snapshot: self.flushing.clone(),
            manifest_version: self.manifest_version,
        };
        (self.index.select(matchers), selection)
    }

    /// Copies the exemplars that these series have in `range`.
    pub(crate) fn pick_exemplars(&self, refs: &[Ref], range: TimeRange, into: &mut Selection) {
        for &r in refs {
            let buffers = into.old(r).into_iter().chain(self.data.get(r as usize));
            let exemplars = buffers.filter_map(|d| d.extra.as_ref()).flat_map(|e| &e.exemplars);
            let in_range = exemplars.filter(|e| range.contains(e.timestamp_ms));
            let all: Vec<Exemplar> = in_range.cloned().collect();
            if !all.is_empty() {
                into.series.push((self.index.labels(r), all));
            }
        }
    }

    /// Takes the labels of those of these series that have data in `range`.
    pub(crate) fn pick_labels(&self, refs: &[Ref], range: TimeRange, into: &mut Selection) {
        for &r in refs {
            let Some(own) = self.data.get(r as usize) else { continue };
            if own.overlaps(range) || into.old(r).is_some_and(|d| d.overlaps(range)) {
                into.series.push((self.index.labels(r), Vec::new()));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn buffers(&self, r: Ref) -> &SeriesData {
        &self.data[r as usize]
    }
}

impl Selection {
    /// What the snapshot has of a series.
    fn old(&self, r: Ref) -> Option<&SeriesData> {
        self.snapshot.as_ref()?.data.get(r as usize)
    }

    /// The label sets.
    pub(crate) fn labels(self) -> Vec<Labels> {
        self.series.into_iter().map(|(labels, _)| labels).collect()
    }

    /// The exemplars by time, each once.
    pub(crate) fn exemplars(mut self) -> Vec<(Labels, Vec<Exemplar>)> {
        for (_, all) in &mut self.series {
            all.sort_by_key(|e| e.timestamp_ms);
            all.dedup();
        }
        self.series
    }
}

impl SeriesData {
    /// Whether any buffer reaches into `range`; exact to the chunk.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        let sealed = |bytes| {
            Chunks::new(bytes)
                .filter_map(Result::ok)
                .any(|(h, _)| range.overlaps(h.min_ts, h.max_ts))
        };
        let mut tail = self.tail().take_while(|(ts, _)| *ts < range.end);
        if sealed(self.sealed()) || tail.any(|(ts, _)| range.contains(ts)) {
            return true;
        }
        self.extra.as_ref().is_some_and(|e| {
            column_overlaps(&e.late, range)
                || column_overlaps(&e.histograms, range)
                || column_overlaps(&e.late_histograms, range)
                || sealed(&e.sealed_histograms)
                || e.exemplars.iter().any(|x| range.contains(x.timestamp_ms))
        })
    }

    /// Appends the samples in `range` to `into`: in order, then late ones.
    fn decode(&self, range: TimeRange, into: &mut Series) -> Result<(), ChunkError> {
        let none = Starts::default();
        let starts = self.starts().unwrap_or(&none);
        for chunk in Chunks::new(self.sealed()) {
            chunk::decode_into(chunk?.1, range, into)?;
        }
        for (t, v) in self.tail().filter(|(t, _)| range.contains(*t)) {
            into.push(t, v, starts.floats.at(t));
        }
        let Some(extra) = &self.extra else { return Ok(()) };
        for (t, v) in cut(&extra.late, range) {
            into.push(*t, *v, starts.of_late(*t));
        }
        for chunk in Chunks::new(&extra.sealed_histograms) {
            chunk::decode_into(chunk?.1, range, into)?;
        }
        for (t, h) in cut(&extra.histograms, range) {
            into.push_histogram(*t, h.clone(), starts.histograms.at(*t));
        }
        for (t, h) in cut(&extra.late_histograms, range) {
            into.push_histogram(*t, h.clone(), starts.of_late(*t));
        }
        Ok(())
    }
}

/// Encodes the buffers of one series as chunks for a block: floats, then histograms.
pub(crate) fn chunks_of(data: &SeriesData) -> Result<(Vec<Bytes>, Vec<Bytes>), ChunkError> {
    let mut series = Series::default();
    data.decode(TimeRange::ALL, &mut series)?;
    series.sort();
    let mut starts = series.starts.chunks(BLOCK_CHUNK);
    let floats = series
        .timestamps
        .chunks(BLOCK_CHUNK)
        .zip(series.values.chunks(BLOCK_CHUNK))
        .map(|(ts, values)| {
            let mut out = Vec::new();
            let starts = starts.next().unwrap_or_default();
            chunk::encode_started_floats(ts, values, starts, &mut out);
            out.into()
        })
        .collect();
    let mut histograms = Vec::new();
    let mut starts = series.histogram_starts.chunks(BLOCK_CHUNK);
    let mut rest = series.histograms;
    while !rest.is_empty() {
        let tail = rest.split_off(BLOCK_CHUNK.min(rest.len()));
        let (ts, all): (Vec<i64>, Vec<Histogram>) = rest.into_iter().unzip();
        let mut out = Vec::new();
        chunk::encode_started_histograms(&ts, &all, starts.next().unwrap_or_default(), &mut out);
        histograms.push(out.into());
        rest = tail;
    }
    Ok((floats, histograms))
}

fn column_overlaps<T>(column: &[(i64, T)], range: TimeRange) -> bool {
    match (column.first(), column.last()) {
        (Some((min, _)), Some((max, _))) => range.overlaps(*min, *max),
        _ => false,
    }
}

/// The part of an ascending column in `range`.
pub(super) fn cut<T>(column: &[(i64, T)], range: TimeRange) -> &[(i64, T)] {
    let from = column.partition_point(|(t, _)| *t < range.start);
    let to = column.partition_point(|(t, _)| *t < range.end);
    column.get(from..to).unwrap_or_default()
}
