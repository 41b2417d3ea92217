//! A batch after the first pass: everything decoded and checked, nothing changed yet.
//!
//! The pass runs outside all locks. Columns are flat, so that a batch costs a handful of allocations
//! whatever the number of its series.

mod logs;
mod metrics;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use skald_codec::batch::Batch;
use skald_codec::wire::WireError;
use skald_model::labels::InvalidLabels;
use skald_model::{ErrorKind, Labels, SeriesId, Signal};

pub(crate) use self::logs::{LogsBatch, LogsItem};
pub(crate) use self::metrics::{MetricsBatch, MetricsItem};

/// A checked batch.
#[derive(Debug)]
pub(crate) enum Parsed {
    Metrics(MetricsBatch),
    Logs(LogsBatch),
}

/// Why a batch is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidBatch {
    #[error("batch is malformed")]
    Wire(#[from] WireError),
    #[error("labels of item {item} are not canonical")]
    Labels { item: usize, source: InvalidLabels },
    #[error("item {item} has labels that are not those of its id")]
    WrongId { item: usize },
    #[error("an entry of item {item} is not valid UTF-8")]
    NotUtf8 { item: usize },
    #[error("structured metadata in item {item} is not canonical")]
    Metadata { item: usize, source: InvalidLabels },
    #[error("a timestamp of item {item} is out of range")]
    Timestamp { item: usize },
    #[error("batch of {0} bytes exceeds 4 GiB")]
    TooLarge(usize),
}

impl InvalidBatch {
    /// What the sender may do about it.
    pub(crate) fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Parsed {
    /// Decodes and checks a whole batch.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, InvalidBatch> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(InvalidBatch::TooLarge(bytes.len()));
        }
        let batch = Batch::parse(bytes)?;
        match batch.signal {
            Signal::Metrics => MetricsBatch::parse(batch, bytes).map(Self::Metrics),
            Signal::Logs => LogsBatch::parse(batch, bytes).map(Self::Logs),
        }
    }
}

/// Checks labels against their id.
fn labels(
    bytes: &Bytes,
    labels: Option<&[u8]>,
    id: SeriesId,
    item: usize,
) -> Result<Option<Labels>, InvalidBatch> {
    let Some(raw) = labels else { return Ok(None) };
    let labels = Labels::from_bytes(bytes.slice_ref(raw))
        .map_err(|source| InvalidBatch::Labels { item, source })?;
    if labels.id() == id { Ok(Some(labels)) } else { Err(InvalidBatch::WrongId { item }) }
}

/// Bounded by the length of the batch, which is below 4 GiB.
fn position(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
