//! Snapshots to blocks, in parts of a bounded size.

use skald_blocks::metric::SeriesRow;
use skald_blocks::{Encoded, LogBlockWriter, MetricBlockWriter, WriterOptions};
use skald_model::{Labels, LogEntry};

use crate::error::Error;
use crate::head::logs::{LogsSnapshot, entries_of};
use crate::head::metrics::{MetricsSnapshot, chunks_of};
use crate::index::Ref;
use crate::tenant::Tenant;

/// Series whose labels are made under one read lock.
const STEP: usize = 1024;

/// Where the next part begins: a series, and entries of it that are written already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    series: usize,
    entries: usize,
}

impl Cursor {
    pub(super) fn at_end(self, n_series: usize) -> bool {
        self.series >= n_series
    }
}

/// Encodes series until the block is full; `None` when the rest was empty.
pub(super) fn encode_metrics(
    tenant: &Tenant,
    snapshot: &MetricsSnapshot,
    from: Cursor,
    options: WriterOptions,
    max_bytes: usize,
) -> Result<(Option<Encoded>, Cursor), Error> {
    let mut writer = MetricBlockWriter::new(options);
    let mut cursor = from;
    while !cursor.at_end(snapshot.data.len()) && writer.size_hint() < max_bytes {
        let end = (cursor.series + STEP).min(snapshot.data.len());
        let part = snapshot.data.get(cursor.series..end).unwrap_or_default();
        // While the snapshot is outstanding the numbers of series stay.
        let labels: Vec<Labels> = {
            let head = tenant.metrics.read();
            let named = (number(cursor.series)..).zip(part).filter(|(_, d)| !d.is_empty());
            named.map(|(r, _)| head.index.labels(r)).collect()
        };
        for (labels, data) in labels.into_iter().zip(part.iter().filter(|d| !d.is_empty())) {
            let (floats, histograms) = chunks_of(data)?;
            let extra = data.extra.as_ref();
            let exemplars = extra.map(|e| e.exemplars.clone()).unwrap_or_default();
            writer.push(SeriesRow { labels, floats, histograms, exemplars })?;
        }
        cursor.series = end;
    }
    let encoded = if writer.is_empty() { None } else { Some(writer.finish()?) };
    Ok((encoded, cursor))
}

/// Encodes streams until the block is full; `None` when the rest was empty.
pub(super) fn encode_logs(
    tenant: &Tenant,
    snapshot: &LogsSnapshot,
    from: Cursor,
    options: WriterOptions,
    max_bytes: usize,
) -> Result<(Option<Encoded>, Cursor), Error> {
    let mut writer = LogBlockWriter::new(options);
    let mut cursor = from;
    while !cursor.at_end(snapshot.data.len()) && writer.size_hint() < max_bytes {
        let Some(data) = snapshot.data.get(cursor.series).filter(|d| !d.is_empty()) else {
            cursor = Cursor { series: cursor.series + 1, entries: 0 };
            continue;
        };
        let labels = tenant.logs.read().index.labels(number(cursor.series));
        let mut entries = entries_of(data, &snapshot.batches);
        let room = max_bytes - writer.size_hint();
        let mut rest = entries.split_off(cursor.entries.min(entries.len()));
        let n = fitting(&rest, room);
        if n < rest.len() {
            rest.truncate(n);
            cursor.entries += n;
        } else {
            cursor = Cursor { series: cursor.series + 1, entries: 0 };
        }
        writer.push(labels, rest)?;
    }
    let encoded = if writer.is_empty() { None } else { Some(writer.finish()?) };
    Ok((encoded, cursor))
}

/// How many entries fit, at least one.
fn fitting(entries: &[LogEntry], room: usize) -> usize {
    let mut bytes = 0;
    let fits = |e: &&LogEntry| {
        let before = bytes;
        bytes += e.line.len() + e.metadata.as_bytes().len() + 8;
        before < room
    };
    entries.iter().take_while(fits).count().max(1)
}

fn number(series: usize) -> Ref {
    Ref::try_from(series).unwrap_or(crate::index::GONE)
}
