//! Merges the rows that several blocks have of one series.
//!
//! Chunks that are long and overlap no other stay encoded as they are; the others are decoded, merged and
//! encoded anew: longer chunks are smaller. Of several samples at one time the same one stays whatever the order of the inputs: a
//! histogram before a float, the float with the larger bits (as an unsigned number, so that a stale
//! marker wins over a positive value), the histogram with the larger encoding; of equal ones that with
//! the later start timestamp.

use std::iter::repeat;

use bytes::Bytes;
use skald_blocks::SeriesRow;
use skald_codec::chunk::{self, ChunkError};
use skald_codec::histogram;
use skald_model::{Exemplar, Histogram, Series, TimeRange};

use super::BadInput;

/// Most samples of a chunk that is encoded here. Neighbours that are not more together become one.
///
/// Series of one scrape target come with equal borders of chunks, and leave with equal borders: so they go on
/// sharing timestamps.
const FLOATS_PER_CHUNK: usize = 1024;
const HISTOGRAMS_PER_CHUNK: usize = 120;
/// A chunk of histograms is closed earlier when they take this much memory.
const HISTOGRAM_BYTES: usize = 1 << 20;

/// The row of one input.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) input: usize,
    pub(super) row: SeriesRow,
}

#[derive(Debug)]
struct Chunk {
    input: usize,
    count: usize,
    min_ts: i64,
    max_ts: i64,
    bytes: Bytes,
}

/// Which samples of a series stay.
#[derive(Debug)]
pub(super) struct Stay {
    cutoff: i64,
    deleted: Vec<TimeRange>,
}

/// Merges `parts`, which have equal labels, and drops what does not stay.
pub(super) fn merge(parts: Vec<Part>, stay: &Stay) -> Result<SeriesRow, BadInput> {
    let mut out = SeriesRow::default();
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for Part { input, row } in parts {
        out.labels = row.labels;
        collect(input, row.floats, stay, &mut floats)?;
        collect(input, row.histograms, stay, &mut histograms)?;
        out.exemplars.extend(row.exemplars);
    }
    out.exemplars = exemplars(std::mem::take(&mut out.exemplars), stay);
    let taken = histogram_times(&floats, &histograms)?;
    for run in joined(runs(floats)) {
        merge_floats(run, stay, &taken, &mut out.floats)?;
    }
    for run in runs(histograms) {
        merge_histograms(run, stay, &mut out.histograms)?;
    }
    Ok(out)
}

// === impl Stay ===

impl Stay {
    /// What is neither before `cutoff` nor in any of `deleted`.
    pub(super) fn new(cutoff: Option<i64>, deleted: Vec<TimeRange>) -> Self {
        Self { cutoff: cutoff.unwrap_or(i64::MIN), deleted }
    }

    fn has(&self, ts: i64) -> bool {
        ts >= self.cutoff && !self.deleted.iter().any(|range| range.contains(ts))
    }

    /// Whether nothing goes of a chunk with these first and last times.
    fn has_all(&self, min_ts: i64, max_ts: i64) -> bool {
        min_ts >= self.cutoff && !self.deleted.iter().any(|range| range.overlaps(min_ts, max_ts))
    }

    /// Whether something may stay of it.
    fn may_have(&self, min_ts: i64, max_ts: i64) -> bool {
        let is_within = |range: &TimeRange| range.contains(min_ts) && range.contains(max_ts);
        max_ts >= self.cutoff && !self.deleted.iter().any(is_within)
    }
}

fn bad(input: usize) -> impl Fn(ChunkError) -> BadInput {
    move |err| BadInput { input, reason: format!("a chunk that cannot be decoded: {err}") }
}

fn collect(
    input: usize,
    chunks: Vec<Bytes>,
    stay: &Stay,
    out: &mut Vec<Chunk>,
) -> Result<(), BadInput> {
    for bytes in chunks {
        let head = chunk::peek(&bytes).map_err(bad(input))?;
        if head.count > 0 && stay.may_have(head.min_ts, head.max_ts) {
            let (count, min_ts, max_ts) = (head.count, head.min_ts, head.max_ts);
            out.push(Chunk { input, count, min_ts, max_ts, bytes });
        }
    }
    Ok(())
}

/// Chunks in time order, those that overlap together, exact copies once.
fn runs(mut chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    chunks.sort_by(|a, b| (a.min_ts, a.max_ts, &a.bytes).cmp(&(b.min_ts, b.max_ts, &b.bytes)));
    chunks.dedup_by(|a, b| a.bytes == b.bytes);
    let mut runs: Vec<Vec<Chunk>> = Vec::new();
    let mut end = i64::MIN;
    for chunk in chunks {
        match runs.last_mut() {
            Some(run) if chunk.min_ts <= end => {
                end = end.max(chunk.max_ts);
                run.push(chunk);
            }
            _ => {
                end = chunk.max_ts;
                runs.push(vec![chunk]);
            }
        }
    }
    runs
}

/// Neighbours put together while they make one chunk.
fn joined(runs: Vec<Vec<Chunk>>) -> Vec<Vec<Chunk>> {
    let count = |run: &[Chunk]| run.iter().map(|chunk| chunk.count).sum::<usize>();
    let mut out: Vec<Vec<Chunk>> = Vec::new();
    for mut run in runs {
        match out.last_mut() {
            Some(last) if count(last) + count(&run) <= FLOATS_PER_CHUNK => last.append(&mut run),
            _ => out.push(run),
        }
    }
    out
}

/// Times of the histograms that might stand where a float stands, sorted.
fn histogram_times(floats: &[Chunk], histograms: &[Chunk]) -> Result<Vec<i64>, BadInput> {
    let overlap = |h: &Chunk| floats.iter().any(|f| f.min_ts <= h.max_ts && h.min_ts <= f.max_ts);
    let mut decoded = Vec::new();
    for chunk in histograms.iter().filter(|h| overlap(h)) {
        chunk::decode_histograms(&chunk.bytes, &mut decoded).map_err(bad(chunk.input))?;
    }
    let mut times: Vec<i64> = decoded.into_iter().map(|(ts, _)| ts).collect();
    times.sort_unstable();
    times.dedup();
    Ok(times)
}

fn merge_floats(
    run: Vec<Chunk>,
    stay: &Stay,
    taken: &[i64],
    out: &mut Vec<Bytes>,
) -> Result<(), BadInput> {
    if let [chunk] = &run[..] {
        let next_taken = taken.partition_point(|ts| *ts < chunk.min_ts);
        let free = taken.get(next_taken).is_none_or(|ts| *ts > chunk.max_ts);
        if stay.has_all(chunk.min_ts, chunk.max_ts) && free {
            out.push(chunk.bytes.clone());
            return Ok(());
        }
    }
    let decoded = decode(&run)?;
    let starts = decoded.starts.into_iter().chain(repeat(0));
    let mut samples: Vec<(i64, u64, i64)> = decoded
        .timestamps
        .into_iter()
        .zip(decoded.values)
        .zip(starts)
        .filter(|((ts, _), _)| stay.has(*ts) && taken.binary_search(ts).is_err())
        .map(|((ts, value), start)| (ts, value.to_bits(), start))
        .collect();
    samples.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
    samples.dedup_by_key(|(ts, ..)| *ts);
    for piece in samples.chunks(FLOATS_PER_CHUNK) {
        let mut series = Series::default();
        for (ts, bits, start) in piece {
            series.push(*ts, f64::from_bits(*bits), *start);
        }
        let mut bytes = Vec::new();
        let Series { timestamps, values, starts, .. } = &series;
        chunk::encode_started_floats(timestamps, values, starts, &mut bytes);
        out.push(bytes.into());
    }
    Ok(())
}

/// All samples of overlapping chunks of one kind, as they stand.
fn decode(run: &[Chunk]) -> Result<Series, BadInput> {
    let mut series = Series::default();
    for chunk in run {
        chunk::decode_into(&chunk.bytes, TimeRange::ALL, &mut series).map_err(bad(chunk.input))?;
    }
    Ok(series)
}

fn merge_histograms(run: Vec<Chunk>, stay: &Stay, out: &mut Vec<Bytes>) -> Result<(), BadInput> {
    if let [chunk] = &run[..]
        && stay.has_all(chunk.min_ts, chunk.max_ts)
    {
        out.push(chunk.bytes.clone());
        return Ok(());
    }
    let decoded = decode(&run)?;
    let starts = decoded.histogram_starts.into_iter().chain(repeat(0));
    let mut samples: Vec<((i64, Histogram), i64)> =
        decoded.histograms.into_iter().zip(starts).collect();
    samples.retain(|((ts, _), _)| stay.has(*ts));
    samples.sort_by_key(|((ts, _), _)| *ts);
    samples.dedup_by(|next, kept| {
        let same_time = next.0.0 == kept.0.0;
        let rank = |((_, h), start): &((i64, Histogram), i64)| (encoded(h), *start);
        if same_time && rank(next) > rank(kept) {
            std::mem::swap(next, kept);
        }
        same_time
    });
    let (mut piece, mut bytes) = (Series::default(), 0);
    for ((ts, histogram), start) in samples {
        if piece.histograms.len() >= HISTOGRAMS_PER_CHUNK || bytes >= HISTOGRAM_BYTES {
            out.push(encode_histograms(std::mem::take(&mut piece)));
            bytes = 0;
        }
        bytes += histogram.size_bytes();
        piece.push_histogram(ts, histogram, start);
    }
    if !piece.histograms.is_empty() {
        out.push(encode_histograms(piece));
    }
    Ok(())
}

fn encoded(histogram: &Histogram) -> Vec<u8> {
    let mut bytes = Vec::new();
    histogram::encode(histogram, &mut bytes);
    bytes
}

fn encode_histograms(piece: Series) -> Bytes {
    let (times, histograms): (Vec<i64>, Vec<Histogram>) = piece.histograms.into_iter().unzip();
    let mut bytes = Vec::new();
    chunk::encode_started_histograms(&times, &histograms, &piece.histogram_starts, &mut bytes);
    bytes.into()
}

fn exemplars(mut all: Vec<Exemplar>, stay: &Stay) -> Vec<Exemplar> {
    all.retain(|e| stay.has(e.timestamp_ms));
    let key = |e: &Exemplar| (e.timestamp_ms, e.value.to_bits());
    all.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.labels.cmp(&b.labels)));
    all.dedup_by(|a, b| key(a) == key(b) && a.labels == b.labels);
    all
}
