//! The buffers of one series between two flushes.
//!
//! ```text
//! bytes  := sealed, tail                one buffer, so that a series has one allocation
//! sealed := { u32 LE len, chunk }*      chunks of 32 samples (skald_codec::chunk), ascending
//! tail   := samples behind them, ascending (tail.rs)
//! extra  := what few series have: late samples, histograms, exemplars, start timestamps
//! ```

use skald_codec::chunk::{self, ChunkError, ChunkHeader};
use skald_model::{Exemplar, Histogram};

use super::starts::Starts;
use super::tail::{self, Last, Tail};
use super::{Scratch, Stamp};

/// Samples of the tail that make a sealed chunk.
const SEAL_AT: u8 = 32;

#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesData {
    bytes: Vec<u8>,
    /// Length of the sealed part.
    sealed_len: u32,
    /// Samples of the tail.
    n_tail: u8,
    pub(crate) extra: Option<Box<Extra>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// Late floats, ascending.
    pub(crate) late: Vec<(i64, f64)>,
    pub(crate) sealed_histograms: Vec<u8>,
    pub(crate) histograms: Vec<(i64, Histogram)>,
    pub(crate) late_histograms: Vec<(i64, Histogram)>,
    /// By time, newest last.
    pub(crate) exemplars: Vec<Exemplar>,
    pub(super) starts: Option<Box<Starts>>,
    /// Bytes of histograms and exemplars.
    pub(super) bytes: usize,
}

/// Iterates over the chunks of a `sealed` buffer.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<'a>(&'a [u8]);

// === impl SeriesData ===

impl SeriesData {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.extra.is_none()
    }

    /// Chunks, see [`Chunks`].
    pub(super) fn sealed(&self) -> &[u8] {
        self.bytes.get(..self.sealed_len as usize).unwrap_or_default()
    }

    /// The samples behind the sealed ones, ascending.
    pub(super) fn tail(&self) -> Tail<'_> {
        Tail::new(self.bytes.get(self.sealed_len as usize..).unwrap_or_default())
    }

    /// The byte behind which the next sample is written.
    pub(super) fn newest_byte(&self) -> u8 {
        self.bytes.last().copied().unwrap_or_default()
    }

    pub(super) fn has_tail(&self) -> bool {
        self.n_tail > 0
    }

    /// Bytes of the buffer that floats in order are in.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The time of the first sample since the last cut that came in order.
    pub(super) fn oldest_in_order(&self) -> Option<i64> {
        let first = |sealed| Chunks::new(sealed).next()?.ok().map(|(header, _)| header.min_ts);
        let float = first(self.sealed()).or_else(|| self.tail().next().map(|(ts, _)| ts));
        let histogram = self.extra.as_ref().and_then(|e| {
            first(&e.sealed_histograms).or_else(|| e.histograms.first().map(|(ts, _)| *ts))
        });
        float.into_iter().chain(histogram).min()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |e| e.heap_bytes());
        self.bytes.capacity() + extra
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_with(Box::default)
    }

    /// Appends a float newer than all before; `last` is that of the tail, `None` when that is empty.
    ///
    /// Answers what the next one follows if it comes to the same tail.
    pub(super) fn push(
        &mut self,
        stamp: Stamp,
        value: f64,
        last: Option<Last>,
        scratch: &mut Scratch,
    ) -> Last {
        let last = tail::push(&mut self.bytes, last, stamp.ts, value.to_bits());
        self.n_tail += 1;
        if let Some(starts) = self.starts_for(stamp) {
            starts.floats.push(stamp);
        }
        if self.n_tail >= SEAL_AT {
            self.seal(scratch);
        }
        last
    }

    /// Makes a chunk of the tail.
    fn seal(&mut self, scratch: &mut Scratch) {
        scratch.ts.clear();
        scratch.values.clear();
        scratch.starts.clear();
        for (ts, value) in self.tail() {
            scratch.ts.push(ts);
            scratch.values.push(value);
        }
        if let Some(steps) = self.starts().map(|s| &s.floats).filter(|s| !s.is_empty()) {
            scratch.starts.extend(scratch.ts.iter().map(|t| steps.at(*t)));
        }
        scratch.bytes.clear();
        let Scratch { ts, values, starts, bytes, .. } = scratch;
        chunk::encode_started_floats(ts, values, starts, bytes);
        self.bytes.truncate(self.sealed_len as usize);
        put_chunk(&mut self.bytes, bytes);
        // The buffers of one series between two flushes are far from 4 GiB.
        self.sealed_len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.n_tail = 0;
        if let Some(starts) = self.extra.as_mut().and_then(|e| e.starts.as_mut()) {
            starts.floats.clear();
        }
    }

    /// Appends a histogram newer than all before.
    pub(super) fn push_histogram(&mut self, stamp: Stamp, h: &Histogram, scratch: &mut Scratch) {
        if let Some(starts) = self.starts_for(stamp) {
            starts.histograms.push(stamp);
        }
        let extra = self.extra_mut();
        extra.bytes += h.size_bytes();
        extra.histograms.push((stamp.ts, h.clone()));
        if extra.histograms.len() < usize::from(SEAL_AT) {
            return;
        }
        let (times, all): (Vec<i64>, Vec<Histogram>) = extra.histograms.drain(..).unzip();
        let raw: usize = all.iter().map(Histogram::size_bytes).sum();
        scratch.bytes.clear();
        scratch.starts.clear();
        if let Some(steps) = extra.starts.as_mut().map(|s| &mut s.histograms) {
            scratch.starts.extend(times.iter().map(|t| steps.at(*t)));
            steps.clear();
        }
        let Scratch { starts, bytes, .. } = scratch;
        chunk::encode_started_histograms(&times, &all, starts, bytes);
        put_chunk(&mut extra.sealed_histograms, &scratch.bytes);
        extra.bytes = extra.bytes.saturating_sub(raw);
    }

    /// Puts a late float in its place.
    pub(super) fn insert_late(&mut self, stamp: Stamp, value: f64) {
        self.late_start(stamp);
        insert_sorted(&mut self.extra_mut().late, stamp.ts, value);
    }

    /// Puts a late histogram in its place.
    pub(super) fn insert_late_histogram(&mut self, stamp: Stamp, h: &Histogram) {
        self.late_start(stamp);
        let extra = self.extra_mut();
        extra.bytes += h.size_bytes();
        insert_sorted(&mut extra.late_histograms, stamp.ts, h.clone());
    }

    fn late_start(&mut self, stamp: Stamp) {
        if stamp.start != 0
            && let Some(starts) = self.starts_for(stamp)
        {
            starts.insert_late(stamp);
        }
    }

    /// Keeps the newest `max` exemplars; whether this one is new and kept.
    pub(super) fn add_exemplar(&mut self, e: &Exemplar, max: usize) -> bool {
        if max == 0 {
            return false;
        }
        let extra = self.extra_mut();
        let same = |x: &Exemplar| {
            x.timestamp_ms == e.timestamp_ms
                && x.value.to_bits() == e.value.to_bits()
                && x.labels == e.labels
        };
        if extra.exemplars.iter().any(same) {
            return false;
        }
        let at = extra.exemplars.partition_point(|x| x.timestamp_ms <= e.timestamp_ms);
        extra.exemplars.insert(at, e.clone());
        extra.bytes += exemplar_bytes(e);
        if extra.exemplars.len() > max {
            let oldest = extra.exemplars.remove(0);
            extra.bytes = extra.bytes.saturating_sub(exemplar_bytes(&oldest));
            return at > 0;
        }
        true
    }
}

impl Extra {
    fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.late.capacity() * size_of::<(i64, f64)>()
            + self.sealed_histograms.capacity()
            + self.starts.as_ref().map_or(0, |starts| starts.heap_bytes())
            + self.bytes
    }
}

fn exemplar_bytes(e: &Exemplar) -> usize {
    size_of::<Exemplar>() + e.labels.as_bytes().len()
}

fn insert_sorted<T>(column: &mut Vec<(i64, T)>, ts: i64, value: T) {
    let at = column.partition_point(|(t, _)| *t < ts);
    column.insert(at, (ts, value));
}

fn put_chunk(sealed: &mut Vec<u8>, bytes: &[u8]) {
    // A chunk of 32 samples is far from 4 GiB.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // Room for this one and no doubling: most series seal few chunks between two flushes.
    sealed.reserve_exact(4 + bytes.len());
    sealed.extend_from_slice(&len.to_le_bytes());
    sealed.extend_from_slice(bytes);
}

// === impl Chunks ===

impl<'a> Chunks<'a> {
    pub(crate) fn new(sealed: &'a [u8]) -> Self {
        Self(sealed)
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(ChunkHeader, &'a [u8]), ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.0.split_first_chunk::<4>().and_then(|(len, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)
        });
        let Some((bytes, rest)) = split else {
            self.0 = &[];
            return Some(Err(ChunkError::Truncated));
        };
        self.0 = rest;
        Some(chunk::peek(bytes).map(|header| (header, bytes)))
    }
}
