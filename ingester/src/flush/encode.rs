//! Snapshots to blocks, in parts of a bounded size.

use skald_blocks::metric::SeriesRow;
use skald_blocks::{Encoded, LogBlockWriter, MetricBlockWriter, WriterOptions};
use skald_model::{Labels, LogEntry};
use tracing::error;

use crate::error::Error;
use crate::head::logs::{LogsSnapshot, ReadError, Run, entries_of};
use crate::head::metrics::{MetricsSnapshot, chunks_of};
use crate::index::Ref;
use crate::tenant::Tenant;

/// Series whose labels are made under one read lock.
const STEP: usize = 1024;

/// Where the next part begins: a series, and runs of a stream that are written already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    series: usize,
    runs: usize,
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
    let mut n_damaged = 0;
    // What they take until the block is encoded.
    let mut held = 0;
    while !cursor.at_end(snapshot.data.len()) && held < max_bytes {
        let Some(data) = snapshot.data.get(cursor.series).filter(|d| !d.is_empty()) else {
            cursor = Cursor { series: cursor.series + 1, runs: 0 };
            continue;
        };
        let (mut runs, mut n, mut at_end) = (0, 0, true);
        for run in data.runs().skip(cursor.runs) {
            if held >= max_bytes {
                at_end = false;
                break;
            }
            runs += 1;
            n += run.n as usize;
            held += cost(run);
        }
        let mut entries: Vec<LogEntry> = Vec::with_capacity(n);
        // The writer sorts and leaves out what is there twice.
        for run in data.runs().skip(cursor.runs).take(runs) {
            match entries_of(run, &snapshot.batches) {
                Ok(mut some) => entries.append(&mut some),
                // As replay does with a record that is damaged: the rest must not wait for it for ever.
                Err(ReadError::Checksum) => n_damaged += run.n,
                Err(e) => return Err(e.into()),
            }
        }
        cursor.runs += runs;
        if !entries.is_empty() {
            let labels = tenant.logs.read().index.labels(number(cursor.series));
            writer.push(labels, entries)?;
        }
        if at_end {
            cursor = Cursor { series: cursor.series + 1, runs: 0 };
        }
    }
    if n_damaged > 0 {
        let tenant = tenant.id.as_str();
        error!(tenant, entries = n_damaged, "entries that the disk damaged are lost");
    }
    let encoded = if writer.is_empty() { None } else { Some(writer.finish()?) };
    Ok((encoded, cursor))
}

/// Bytes that count: of the body, or of the entries where lines are so short that these take more.
fn cost(run: &Run) -> usize {
    (run.len as usize).max(run.n as usize * size_of::<LogEntry>())
}

fn number(series: usize) -> Ref {
    Ref::try_from(series).unwrap_or(crate::index::GONE)
}
