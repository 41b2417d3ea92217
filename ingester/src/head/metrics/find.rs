//! Looks for a sample at an exact time, to tell a repetition from a conflict.

use skald_codec::chunk;

use super::append::hash;
use super::data::Chunks;
use super::{Kind, MetricsHead, Scratch, SeriesData};
use crate::index::Ref;

impl MetricsHead {
    /// The sample of a series at `ts`, in the head or in a snapshot not committed yet.
    pub(super) fn find(&mut self, r: Ref, ts: i64) -> Option<(Kind, u64)> {
        let scratch = &mut self.scratch;
        find_in(&self.data[r as usize], ts, scratch).or_else(|| {
            let snapshot = self.flushing.as_ref()?;
            find_in(snapshot.data.get(r as usize)?, ts, scratch)
        })
    }
}

fn find_in(data: &SeriesData, ts: i64, scratch: &mut Scratch) -> Option<(Kind, u64)> {
    let float = |v: f64| (Kind::Float, v.to_bits());
    if let Some((_, v)) = data.tail().find(|(t, _)| *t == ts) {
        return Some(float(v));
    }
    if let Some(v) = find_sealed(data.sealed(), ts, scratch) {
        return Some(float(v));
    }
    let extra = data.extra.as_ref()?;
    if let Some(v) = at(&extra.late, ts) {
        return Some(float(*v));
    }
    let raw = at(&extra.histograms, ts).or_else(|| at(&extra.late_histograms, ts));
    if let Some(h) = raw {
        return Some((Kind::Histogram, hash(h, &mut scratch.bytes)));
    }
    let bytes = covering(&extra.sealed_histograms, ts)?;
    let all = &mut scratch.samples.histograms;
    all.clear();
    chunk::decode_histograms(bytes, all).ok()?;
    at(all, ts).map(|h| (Kind::Histogram, hash(h, &mut scratch.bytes)))
}

fn find_sealed(sealed: &[u8], ts: i64, scratch: &mut Scratch) -> Option<f64> {
    let bytes = covering(sealed, ts)?;
    scratch.ts.clear();
    scratch.values.clear();
    chunk::decode_floats(bytes, &mut scratch.ts, &mut scratch.values).ok()?;
    let i = scratch.ts.binary_search(&ts).ok()?;
    scratch.values.get(i).copied()
}

/// The chunk whose time range holds `ts`: they ascend and do not overlap.
fn covering(sealed: &[u8], ts: i64) -> Option<&[u8]> {
    Chunks::new(sealed)
        .filter_map(Result::ok)
        .find(|(h, _)| h.min_ts <= ts && ts <= h.max_ts)
        .map(|(_, bytes)| bytes)
}

fn at<T>(column: &[(i64, T)], ts: i64) -> Option<&T> {
    let i = column.binary_search_by_key(&ts, |(t, _)| *t).ok()?;
    column.get(i).map(|(_, v)| v)
}
