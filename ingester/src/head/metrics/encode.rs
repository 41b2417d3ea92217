//! Series as a reader gets them: chunks copied as they are, what is not sealed yet behind them.
//!
//! Runs under the head's lock, so it decodes no more than tails and allocates per thousands of series.

use std::sync::Arc;

use skald_codec::chunk::ChunkError;
use skald_codec::encoded::{EncodedSeries, Encoder};
use skald_model::{Histogram, Series, TimeRange};
use skald_rpc::ingester::SelectSeries;

use super::data::Chunks;
use super::read::cut;
use super::{MetricsHead, MetricsSnapshot, SeriesData};
use crate::index::Ref;

/// Encoded series, with the snapshot they may also have data in.
#[derive(Debug, Default)]
pub(crate) struct EncodedSelection {
    full: Vec<EncodedSeries>,
    encoder: Encoder,
    snapshot: Option<Arc<MetricsSnapshot>>,
    /// Numbers of the wanted label names; `None` = all.
    only: Option<Vec<u32>>,
    ids: bool,
    tail: Vec<(i64, f64)>,
    damaged: Option<ChunkError>,
    pub(crate) manifest_version: u64,
}

impl MetricsHead {
    /// The series to encode, with the snapshot and commit number of this moment.
    pub(crate) fn begin_encoding(&self, request: &SelectSeries) -> (Vec<Ref>, EncodedSelection) {
        let selection = EncodedSelection {
            snapshot: self.flushing.clone(),
            only: request.only.as_ref().map(|names| self.index.names(names)),
            ids: request.ids && request.only.is_some(),
            manifest_version: self.manifest_version,
            ..EncodedSelection::default()
        };
        (self.index.select(&request.matchers), selection)
    }

    /// Encodes what these series have in `range`.
    pub(crate) fn encode(&self, refs: &[Ref], range: TimeRange, into: &mut EncodedSelection) {
        for &r in refs {
            let old = into.snapshot.as_ref().and_then(|s| s.data.get(r as usize));
            for data in old.into_iter().chain(self.data.get(r as usize)) {
                if let Err(error) = data.encode(range, &mut into.encoder, &mut into.tail) {
                    into.damaged.get_or_insert(error);
                }
            }
            if into.encoder.has_data() {
                self.finish(r, into);
            }
        }
    }

    fn finish(&self, r: Ref, into: &mut EncodedSelection) {
        let id = into.ids.then(|| self.index.id(r));
        let only = into.only.as_deref();
        into.encoder.finish_series(id, |out| self.index.put_labels(r, only, out));
        if into.encoder.is_full() {
            into.full.push(std::mem::take(&mut into.encoder).finish());
        }
    }
}

impl EncodedSelection {
    /// All sets; none is empty.
    pub(crate) fn finish(self) -> Result<Vec<EncodedSeries>, ChunkError> {
        if let Some(error) = self.damaged {
            return Err(error);
        }
        let mut sets = self.full;
        sets.push(self.encoder.finish());
        sets.retain(|set| !set.is_empty());
        Ok(sets)
    }

    /// Decodes everything. Series without samples in `range` are left out.
    pub(crate) fn decode(self, range: TimeRange) -> Result<Vec<Series>, ChunkError> {
        let mut out = Vec::new();
        for set in self.finish()? {
            for i in 0..set.len() {
                let mut series = Series::new(set.labels(i));
                set.decode(i, range, &mut series)?;
                if !series.is_empty() {
                    out.push(series);
                }
            }
        }
        Ok(out)
    }
}

impl SeriesData {
    /// Appends what reaches into `range`: in order, then late ones.
    fn encode(
        &self,
        range: TimeRange,
        into: &mut Encoder,
        tail: &mut Vec<(i64, f64)>,
    ) -> Result<(), ChunkError> {
        let starts = self.starts();
        put_chunks(self.sealed(), range, into)?;
        tail.clear();
        tail.extend(self.tail().take_while(|(ts, _)| *ts < range.end));
        put_floats(cut(tail, range), starts.map(|s| |ts| s.floats.at(ts)), into);
        let Some(extra) = &self.extra else { return Ok(()) };
        let late = starts.filter(|s| !s.late.is_empty()).map(|s| |ts| s.of_late(ts));
        put_floats(cut(&extra.late, range), late, into);
        put_chunks(&extra.sealed_histograms, range, into)?;
        let in_order = starts.map(|s| |ts| s.histograms.at(ts));
        put_histograms(cut(&extra.histograms, range), in_order, into);
        put_histograms(cut(&extra.late_histograms, range), late, into);
        Ok(())
    }
}

/// Floats as they are, or with their start timestamps when there may be some.
fn put_floats(column: &[(i64, f64)], start: Option<impl Fn(i64) -> i64>, into: &mut Encoder) {
    let Some(start) = start else { return into.floats(column) };
    let mut samples = Series::default();
    for (t, v) in column {
        samples.push(*t, *v, start(*t));
    }
    into.started(&samples);
}

/// As [`put_floats`].
fn put_histograms(
    column: &[(i64, Histogram)],
    start: Option<impl Fn(i64) -> i64>,
    into: &mut Encoder,
) {
    let Some(start) = start else { return into.histograms(column) };
    let mut samples = Series::default();
    for (t, h) in column {
        samples.push_histogram(*t, h.clone(), start(*t));
    }
    into.started(&samples);
}

fn put_chunks(sealed: &[u8], range: TimeRange, into: &mut Encoder) -> Result<(), ChunkError> {
    for chunk in Chunks::new(sealed) {
        let (header, bytes) = chunk?;
        if range.overlaps(header.min_ts, header.max_ts) {
            into.chunk(bytes);
        }
    }
    Ok(())
}
