//! The batch: the one encoding of samples and lines between distributor, ingester, WAL and querier.
//!
//! A distributor turns any protocol into one batch per partition; the same bytes are the gRPC payload
//! and the WAL record; an ingester answers reads of its head with batches too. Series and streams are
//! named by their 128-bit id. Labels stand beside it only when the receiver may not know the series.
//!
//! ```text
//! batch    := version u8 = 1, kind u8 (1 metrics, 2 logs), base ivarint, n u32 LE, item*n, metadata
//! item     := id 16 B LE, flags u8, [labels: bytes if bit 0], body: bytes
//! body     := metrics: [floats if bit 1] [histograms if bit 2] [exemplars if bit 3] [starts if bit 4]
//!           | logs:    uvarint(n) { ivarint(ts - previous ts) bytes(line) bytes(structured metadata) }*n
//! floats   := uvarint(n) { ivarint(ts - previous ts) f64 }*n        the first ts is relative to base
//! histograms := uvarint(n) { ivarint(ts - previous ts) histogram }*n
//! exemplars  := uvarint(n) { ivarint(ts - previous ts) f64 bytes(labels) }*n
//! starts   := { uvarint(run) ivarint(start - previous start) }*      for all floats, then all histograms
//! metadata := nothing for logs; metrics: uvarint(n) { bytes(name) bytes(kind) bytes(help) bytes(unit) }*n
//! bytes    := uvarint(len) byte*len
//! ```
//! Format: docs/formats/batch.md. Times are milliseconds for metrics and nanoseconds for logs.

mod logs;
mod metrics;
#[cfg(test)]
mod tests;

pub use logs::{EntryView, LogsBuilder, StreamView};
pub use metrics::{MetricsBuilder, Samples, SeriesView, Starts};

use skald_model::{MetricMetadata, SeriesId, Signal};

use crate::wire::{WireError, count, put_bytes, take_array, take_bytes, take_ivarint};

/// The version written.
pub const VERSION: u8 = 1;

const HAS_LABELS: u8 = 1;
/// An item takes at least an id, flags and an empty body.
const MIN_ITEM: usize = 18;

/// The header of a batch whose items are read one after the other.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    pub signal: Signal,
    base: i64,
    n_left: usize,
    rest: &'a [u8],
}

/// An item before its body is decoded.
#[derive(Clone, Copy, Debug)]
struct Item<'a> {
    id: SeriesId,
    flags: u8,
    labels: Option<&'a [u8]>,
    body: &'a [u8],
}

// === impl Batch ===

impl<'a> Batch<'a> {
    /// Reads the header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut rest = bytes;
        let [version, kind] = take_array(&mut rest)?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let signal = match kind {
            1 => Signal::Metrics,
            2 => Signal::Logs,
            _ => return Err(WireError::Range("batch kind")),
        };
        let base = take_ivarint(&mut rest)?;
        let n_left = usize::try_from(u32::from_le_bytes(take_array(&mut rest)?))
            .map_err(|_| WireError::Range("count"))?;
        if n_left.saturating_mul(MIN_ITEM) > rest.len() {
            return Err(WireError::Range("count"));
        }
        Ok(Self { signal, base, n_left, rest })
    }

    /// What the first time of each series or stream is relative to.
    pub fn base(&self) -> i64 {
        self.base
    }

    /// Items not yet read.
    pub fn n_items(&self) -> usize {
        self.n_left
    }

    /// The next series; `None` after the last or when the batch holds logs.
    pub fn next_series(&mut self) -> Result<Option<SeriesView<'a>>, WireError> {
        if self.signal != Signal::Metrics {
            return Ok(None);
        }
        Ok(self.next_item()?.map(|item| SeriesView::new(item, self.base)))
    }

    /// The next stream; `None` after the last or when the batch holds metrics.
    pub fn next_stream(&mut self) -> Result<Option<StreamView<'a>>, WireError> {
        if self.signal != Signal::Logs {
            return Ok(None);
        }
        self.next_item()?.map(|item| StreamView::of_item(item, self.base)).transpose()
    }

    /// The metric metadata behind the items; call once all series were read.
    pub fn metadata(mut self) -> Result<Vec<MetricMetadata>, WireError> {
        if self.signal == Signal::Logs {
            return Ok(Vec::new());
        }
        while self.next_item()?.is_some() {}
        let mut rest = self.rest;
        let n = count(&mut rest, 4)?;
        let text = |rest: &mut &[u8]| {
            let bytes = take_bytes(rest)?;
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| WireError::Range("text"))
        };
        (0..n)
            .map(|_| {
                Ok(MetricMetadata {
                    name: text(&mut rest)?,
                    kind: text(&mut rest)?,
                    help: text(&mut rest)?,
                    unit: text(&mut rest)?,
                })
            })
            .collect()
    }

    fn next_item(&mut self) -> Result<Option<Item<'a>>, WireError> {
        if self.n_left == 0 {
            return Ok(None);
        }
        self.n_left -= 1;
        let id = SeriesId(u128::from_le_bytes(take_array(&mut self.rest)?));
        let [flags] = take_array(&mut self.rest)?;
        let labels = if flags & HAS_LABELS == 0 { None } else { Some(take_bytes(&mut self.rest)?) };
        let body = take_bytes(&mut self.rest)?;
        Ok(Some(Item { id, flags, labels, body }))
    }
}

/// Copies the items at `positions` (ascending) of `batch` into a new batch, with the labels that `labels_of` knows.
///
/// Used to send once more what a receiver answered it does not know. Metadata is left out: it was taken already.
pub fn with_labels(
    batch: &[u8],
    positions: &[u32],
    mut labels_of: impl FnMut(SeriesId) -> Option<skald_model::Labels>,
) -> Result<Vec<u8>, WireError> {
    let mut source = Batch::parse(batch)?;
    let mut out = header(source.signal, source.base);
    let mut wanted = positions.iter().copied().peekable();
    let mut n = 0u32;
    let mut position = 0u32;
    while let Some(item) = source.next_item()? {
        if wanted.next_if_eq(&position).is_some() {
            let labels = labels_of(item.id);
            let bytes = labels.as_ref().map(|l| &l.as_bytes()[..]).or(item.labels);
            put_item(&mut out, item.id, item.flags, bytes, item.body);
            n += 1;
        }
        position += 1;
    }
    finish(&mut out, n);
    if source.signal == Signal::Metrics {
        out.push(0);
    }
    Ok(out)
}

/// Version, kind, base and a place for the count.
fn header(signal: Signal, base: i64) -> Vec<u8> {
    let kind = match signal {
        Signal::Metrics => 1,
        Signal::Logs => 2,
    };
    let mut out = vec![VERSION, kind];
    crate::wire::put_ivarint(&mut out, base);
    out.extend_from_slice(&[0; 4]);
    out
}

/// Where the count stands: behind version, kind and the varint.
fn count_offset(out: &[u8]) -> usize {
    2 + out[2..].iter().take_while(|b| **b & 0x80 != 0).count() + 1
}

fn finish(out: &mut [u8], n: u32) {
    let at = count_offset(out);
    out[at..at + 4].copy_from_slice(&n.to_le_bytes());
}

fn put_item(out: &mut Vec<u8>, id: SeriesId, flags: u8, labels: Option<&[u8]>, body: &[u8]) {
    put_head(out, id, flags, labels);
    put_bytes(out, body);
}

/// What stands before the body of an item.
fn put_head(out: &mut Vec<u8>, id: SeriesId, flags: u8, labels: Option<&[u8]>) {
    out.extend_from_slice(&id.0.to_le_bytes());
    match labels {
        Some(labels) => {
            out.push(flags | HAS_LABELS);
            put_bytes(out, labels);
        }
        None => out.push(flags & !HAS_LABELS),
    }
}
