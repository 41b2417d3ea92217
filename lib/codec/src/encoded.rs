//! Series as a reader gets them from where they are kept: labels in one run of bytes, samples still encoded.
//!
//! An ingester fills an [`Encoder`] under its lock, copying chunks as they are; a querier decodes one
//! series at a time. The same columns travel over gRPC (`skald.ingest.v1.EncodedSeries`).
//!
//! ```text
//! data    := section*                              of one series, in the order in which it was written
//! section := kind:u8 len:u32 LE body:len bytes
//! body    := a chunk of either kind                kind 0, docs/formats/chunk.md
//!          | { ts:i64 LE value:f64 LE }*           kind 1
//!          | { ts:i64 LE len:u32 LE histogram }*   kind 2, docs/formats/batch.md
//! ```
//!
//! Described in docs/formats/encoded-series.md.
//!
//! Invariants: decoding never panics whatever the bytes are; of samples of one source with the same
//! time the first written stays.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use skald_model::{Histogram, Labels, Series, SeriesId, TimeRange};

use crate::chunk::{self, ChunkError};
use crate::histogram;

/// The version of the sections written.
pub const VERSION: u32 = 1;

/// Bytes after which an [`Encoder`] is full.
const FULL: usize = 1 << 20;

/// Samples of a chunk that is encoded here.
const PIECE: usize = 240;

const CHUNK: u8 = 0;
const FLOATS: u8 = 1;
const HISTOGRAMS: u8 = 2;
const HEADER: usize = 5;
const FLOAT: usize = 16;

/// Some series of one source, each once. Clones share the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedSeries {
    pub labels: Bytes,
    pub label_ends: Vec<u32>,
    /// Empty when the labels are complete, and then say who the series are.
    pub ids: Vec<SeriesId>,
    pub data: Bytes,
    pub data_ends: Vec<u32>,
}

/// Collects [`EncodedSeries`].
#[derive(Debug, Default)]
pub struct Encoder {
    labels: Vec<u8>,
    label_ends: Vec<u32>,
    ids: Vec<SeriesId>,
    data: Vec<u8>,
    data_ends: Vec<u32>,
}

// === impl Encoder ===

impl Encoder {
    /// Appends a chunk to the series under way.
    pub fn chunk(&mut self, bytes: &[u8]) {
        self.header(CHUNK, bytes.len());
        self.data.extend_from_slice(bytes);
    }

    /// Appends floats to the series under way.
    pub fn floats(&mut self, column: &[(i64, f64)]) {
        if column.is_empty() {
            return;
        }
        self.header(FLOATS, column.len() * FLOAT);
        for (ts, value) in column {
            self.data.extend_from_slice(&ts.to_le_bytes());
            self.data.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Appends histograms to the series under way.
    pub fn histograms(&mut self, column: &[(i64, Histogram)]) {
        if column.is_empty() {
            return;
        }
        let at = self.data.len();
        self.header(HISTOGRAMS, 0);
        for (ts, h) in column {
            self.data.extend_from_slice(&ts.to_le_bytes());
            let len_at = self.data.len();
            self.data.extend_from_slice(&[0; 4]);
            histogram::encode(h, &mut self.data);
            self.patch(len_at, len_at + 4);
        }
        self.patch(at + 1, at + HEADER);
    }

    /// Appends samples that ascend, of which some have start timestamps, to the series under way: as chunks.
    pub fn started(&mut self, samples: &Series) {
        let (times, values) = (&samples.timestamps, &samples.values);
        let pieces = times.chunks(PIECE).zip(values.chunks(PIECE));
        let mut starts = samples.starts.chunks(PIECE);
        for (times, values) in pieces {
            let starts = starts.next().unwrap_or_default();
            self.encode(|out| chunk::encode_started_floats(times, values, starts, out));
        }
        let mut starts = samples.histogram_starts.chunks(PIECE);
        for piece in samples.histograms.chunks(PIECE) {
            let (times, all): (Vec<i64>, Vec<Histogram>) = piece.iter().cloned().unzip();
            let starts = starts.next().unwrap_or_default();
            self.encode(|out| chunk::encode_started_histograms(&times, &all, starts, out));
        }
    }

    fn encode(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let at = self.data.len();
        self.header(CHUNK, 0);
        put(&mut self.data);
        self.patch(at + 1, at + HEADER);
    }

    /// Whether anything was appended to the series under way.
    pub fn has_data(&self) -> bool {
        self.data.len() > self.data_ends.last().map_or(0, |end| *end as usize)
    }

    /// Ends the series under way; `put_labels` appends its canonical labels, or those wanted of them.
    pub fn finish_series(&mut self, id: Option<SeriesId>, put_labels: impl FnOnce(&mut Vec<u8>)) {
        put_labels(&mut self.labels);
        self.label_ends.push(number(self.labels.len()));
        self.data_ends.push(number(self.data.len()));
        self.ids.extend(id);
    }

    /// Whether what follows belongs into the next set.
    pub fn is_full(&self) -> bool {
        self.data.len() + self.labels.len() >= FULL
    }

    pub fn finish(self) -> EncodedSeries {
        EncodedSeries {
            labels: self.labels.into(),
            label_ends: self.label_ends,
            ids: self.ids,
            data: self.data.into(),
            data_ends: self.data_ends,
        }
    }

    fn header(&mut self, kind: u8, len: usize) {
        self.data.push(kind);
        self.data.extend_from_slice(&number(len).to_le_bytes());
    }

    /// Writes at `at` how many bytes stand behind `from`.
    fn patch(&mut self, at: usize, from: usize) {
        let len = number(self.data.len() - from).to_le_bytes();
        self.data[at..at + 4].copy_from_slice(&len);
    }
}

/// A set is closed at a megabyte; one series of a head is far below 4 GiB.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

// === impl EncodedSeries ===

impl EncodedSeries {
    /// Series that are decoded already, raw.
    pub fn of(series: &[Series]) -> Vec<Self> {
        let mut out = Vec::new();
        let mut encoder = Encoder::default();
        let mut floats = Vec::new();
        for s in series {
            if s.starts.is_empty() && s.histogram_starts.is_empty() {
                floats.clear();
                floats.extend(s.timestamps.iter().copied().zip(s.values.iter().copied()));
                encoder.floats(&floats);
                encoder.histograms(&s.histograms);
            } else {
                encoder.started(s);
            }
            encoder.finish_series(None, |out| out.extend_from_slice(s.labels.as_bytes()));
            if encoder.is_full() {
                out.push(std::mem::take(&mut encoder).finish());
            }
        }
        out.push(encoder.finish());
        out.retain(|set| !set.is_empty());
        out
    }

    pub fn len(&self) -> usize {
        self.data_ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.data_ends.is_empty()
    }

    /// Bytes of memory held.
    pub fn size_bytes(&self) -> usize {
        self.labels.len()
            + self.data.len()
            + self.ids.len() * size_of::<SeriesId>()
            + self.len() * 2 * size_of::<u32>()
    }

    /// Labels of series `i`, without copying.
    pub fn labels(&self, i: usize) -> Labels {
        let (from, to) = span(&self.label_ends, i);
        if to > self.labels.len() || from > to {
            return Labels::empty();
        }
        Labels::from_canonical(self.labels.slice(from..to))
    }

    /// Who series `i` is.
    pub fn id(&self, i: usize) -> SeriesId {
        self.ids.get(i).copied().unwrap_or_else(|| self.labels(i).id())
    }

    /// The sections of series `i`.
    pub fn bytes(&self, i: usize) -> &[u8] {
        let (from, to) = span(&self.data_ends, i);
        self.data.get(from..to).unwrap_or_default()
    }

    /// At most how many samples series `i` has, from headers.
    pub fn n_samples(&self, i: usize) -> usize {
        let count = |(kind, body): (u8, &[u8])| match kind {
            CHUNK => chunk::peek(body).map_or(0, |header| header.count),
            FLOATS => body.len() / FLOAT,
            _ => Histograms(body).count(),
        };
        Sections(self.bytes(i)).filter_map(Result::ok).map(count).sum()
    }

    /// Appends the samples of series `i` in `range` to `into`, sorted, one per time.
    ///
    /// `into` has no samples before; its labels are left alone.
    pub fn decode(&self, i: usize, range: TimeRange, into: &mut Series) -> Result<(), ChunkError> {
        for section in Sections(self.bytes(i)) {
            match section? {
                (CHUNK, bytes) => chunk::decode_into(bytes, range, into)?,
                (FLOATS, bytes) => decode_floats(bytes, range, into),
                (HISTOGRAMS, bytes) => {
                    for h in Histograms(bytes) {
                        let (ts, mut bytes) = h?;
                        if range.contains(ts) {
                            let h = histogram::decode(&mut bytes);
                            let h = h.map_err(|_| ChunkError::Malformed("histogram"))?;
                            into.histograms.push((ts, h));
                        }
                    }
                }
                _ => return Err(ChunkError::Malformed("section kind")),
            }
        }
        into.pad_starts();
        into.sort();
        Ok(())
    }

    /// Checks what came from outside: as many labels as data, ends that ascend, canonical labels.
    pub fn check(&self) -> Result<(), ChunkError> {
        let bad = Err(ChunkError::Malformed("columns of encoded series"));
        let fits = |ends: &[u32], bytes: &Bytes| {
            ends.is_sorted() && ends.last().map_or(0, |e| *e as usize) == bytes.len()
        };
        let n = self.len();
        if self.label_ends.len() != n || !(self.ids.is_empty() || self.ids.len() == n) {
            return bad;
        }
        if !fits(&self.label_ends, &self.labels) || !fits(&self.data_ends, &self.data) {
            return bad;
        }
        let canonical = |i| Labels::from_bytes(self.labels(i).as_bytes().clone()).is_ok();
        if (0..n).all(canonical) { Ok(()) } else { bad }
    }
}

fn span(ends: &[u32], i: usize) -> (usize, usize) {
    let end = |i: usize| ends.get(i).map_or(0, |end| *end as usize);
    (i.checked_sub(1).map_or(0, end), end(i))
}

fn decode_floats(bytes: &[u8], range: TimeRange, into: &mut Series) {
    let (all, _) = bytes.as_chunks::<FLOAT>();
    into.timestamps.reserve(all.len());
    into.values.reserve(all.len());
    for one in all {
        let word = u128::from_le_bytes(*one);
        #[expect(clippy::cast_possible_truncation, reason = "two words of 64 bits")]
        let (ts, bits) = ((word as u64).cast_signed(), (word >> 64) as u64);
        if range.contains(ts) {
            into.timestamps.push(ts);
            into.values.push(f64::from_bits(bits));
        }
    }
}

/// Iterates over sections.
#[derive(Clone, Debug)]
struct Sections<'a>(&'a [u8]);

impl<'a> Iterator for Sections<'a> {
    type Item = Result<(u8, &'a [u8]), ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, mut rest) = self.0.split_first()?;
        let body = take_sized(&mut rest);
        self.0 = if body.is_some() { rest } else { &[] };
        Some(body.map(|body| (kind, body)).ok_or(ChunkError::Truncated))
    }
}

/// Iterates over raw histograms.
#[derive(Clone, Debug)]
struct Histograms<'a>(&'a [u8]);

impl<'a> Iterator for Histograms<'a> {
    type Item = Result<(i64, &'a [u8]), ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = self.0.split_first_chunk::<8>().and_then(|(ts, mut rest)| {
            let body = take_sized(&mut rest)?;
            self.0 = rest;
            Some((i64::from_le_bytes(*ts), body))
        });
        if taken.is_none() {
            self.0 = &[];
        }
        Some(taken.ok_or(ChunkError::Truncated))
    }
}

fn take_sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let (body, tail) = tail.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    *rest = tail;
    Some(body)
}
