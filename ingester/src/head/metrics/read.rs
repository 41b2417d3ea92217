//! Reading buffers: what is needed is copied under the lock, decoding happens outside.

use std::sync::Arc;

use bytes::Bytes;
use skald_codec::chunk::{self, ChunkError};
use skald_model::{Exemplar, Histogram, Labels, Matcher, Series, TimeRange};

use super::data::Chunks;
use super::starts::Starts;
use super::{Extra, MetricsHead, MetricsSnapshot, SeriesData};
use crate::index::Ref;

/// Samples of a chunk in a block, at most.
const BLOCK_CHUNK: usize = 240;

/// A series picked under the lock: a copy of its buffers and its place in the snapshot.
#[derive(Debug)]
struct Picked {
    labels: Labels,
    r: Ref,
    own: SeriesData,
}

/// Picked series with the snapshot they may also have data in.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    series: Vec<Picked>,
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

    /// Copies what these series have in `range`.
    pub(crate) fn pick(&self, refs: &[Ref], range: TimeRange, into: &mut Selection) {
        for &r in refs {
            let Some(own) = self.data.get(r as usize) else { continue };
            if own.overlaps(range) || into.old(r).is_some_and(|d| d.overlaps(range)) {
                let labels = self.index.labels(r);
                into.series.push(Picked { labels, r, own: own.within(range) });
            }
        }
    }

    /// As [`Self::pick`], but labels only.
    pub(crate) fn pick_labels(&self, refs: &[Ref], range: TimeRange, into: &mut Selection) {
        for &r in refs {
            let Some(own) = self.data.get(r as usize) else { continue };
            if own.overlaps(range) || into.old(r).is_some_and(|d| d.overlaps(range)) {
                let (labels, own) = (self.index.labels(r), SeriesData::default());
                into.series.push(Picked { labels, r, own });
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
        self.series.into_iter().map(|p| p.labels).collect()
    }

    /// The exemplars in `range`, by time.
    pub(crate) fn exemplars(self, range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        let of = |data: &SeriesData| -> Vec<Exemplar> {
            let all = data.extra.as_ref().map(|e| e.exemplars.as_slice()).unwrap_or_default();
            all.iter().filter(|e| range.contains(e.timestamp_ms)).cloned().collect()
        };
        let mut out = Vec::new();
        for picked in self.series {
            let old = self.snapshot.as_ref().and_then(|s| s.data.get(picked.r as usize));
            let mut all = old.map(of).unwrap_or_default();
            all.extend(of(&picked.own));
            all.sort_by_key(|e| e.timestamp_ms);
            all.dedup();
            if !all.is_empty() {
                out.push((picked.labels, all));
            }
        }
        out
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
        if column_overlaps(&self.tail, range) || sealed(&self.sealed) {
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

    /// A copy of what lies in `range`.
    fn within(&self, range: TimeRange) -> Self {
        let extra = self.extra.as_ref().map(|e| {
            Box::new(Extra {
                late: cut(&e.late, range).to_vec(),
                sealed_histograms: e.sealed_histograms.clone(),
                histograms: cut(&e.histograms, range).to_vec(),
                late_histograms: cut(&e.late_histograms, range).to_vec(),
                exemplars: e.exemplars.clone(),
                ..Extra::default()
            })
        });
        Self { sealed: self.sealed.clone(), tail: cut(&self.tail, range).to_vec(), extra }
    }

    /// Appends the samples in `range` to `into`: in order, then late ones.
    fn decode(&self, range: TimeRange, into: &mut Series) -> Result<(), ChunkError> {
        let none = Starts::default();
        let starts = self.starts().unwrap_or(&none);
        for chunk in Chunks::new(&self.sealed) {
            chunk::decode_into(chunk?.1, range, into)?;
        }
        for (t, v) in cut(&self.tail, range) {
            into.push(*t, *v, starts.floats.at(*t));
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
