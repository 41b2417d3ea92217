//! What a block is made of, for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use skald_model::{Signal, TenantId};

use crate::{BlockMeta, Error, FooterCache, LogReader, MetricReader};

/// The layout of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockReport {
    /// What the footer says, by key.
    pub keys: BTreeMap<String, String>,
    /// In the order of the schema; a map has several.
    pub columns: Vec<ColumnReport>,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
}

/// One leaf column, all row groups together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnReport {
    pub path: String,
    /// As stored.
    pub bytes: u64,
    /// Before compression.
    pub raw_bytes: u64,
}

/// What reading all of a block found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// Series or streams.
    pub series: u64,
    /// Samples or lines.
    pub rows: u64,
}

/// Reads the footer of a block. Fails when it is damaged.
pub async fn inspect_block(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    meta: &BlockMeta,
) -> Result<BlockReport, Error> {
    let cache = Arc::new(FooterCache::new(usize::MAX));
    let footer = match meta.signal {
        Signal::Metrics => {
            MetricReader::open(Arc::clone(store), tenant, meta, cache).await?.object.footer
        }
        Signal::Logs => {
            LogReader::open(Arc::clone(store), tenant, meta, cache).await?.object.footer
        }
    };
    let mut report = BlockReport { keys: footer.keys(), ..BlockReport::default() };
    for group in footer.parquet().row_groups() {
        report.row_groups.push(count(group.num_rows()));
        for (i, chunk) in group.columns().iter().enumerate() {
            if report.columns.len() == i {
                let path = chunk.column_path().string();
                report.columns.push(ColumnReport { path, bytes: 0, raw_bytes: 0 });
            }
            if let Some(column) = report.columns.get_mut(i) {
                column.bytes += count(chunk.compressed_size());
                column.raw_bytes += count(chunk.uncompressed_size());
            }
        }
    }
    Ok(report)
}

/// Reads and decodes everything a block holds, after its checksum, and compares the counts with `meta`.
pub async fn read_block(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    meta: &BlockMeta,
) -> Result<BlockCounts, Error> {
    crate::verify_block(store, tenant, meta).await?;
    let cache = Arc::new(FooterCache::new(usize::MAX));
    let counts = match meta.signal {
        Signal::Metrics => {
            let reader = MetricReader::open(Arc::clone(store), tenant, meta, cache).await?;
            samples(reader, &crate::path(tenant, meta.id)).await?
        }
        Signal::Logs => {
            lines(LogReader::open(Arc::clone(store), tenant, meta, cache).await?).await?
        }
    };
    let expected = BlockCounts { series: meta.n_series, rows: meta.n_rows };
    if counts == expected {
        return Ok(counts);
    }
    let reason = format!("holds {counts:?}, the catalog says {expected:?}");
    Err(Error::corrupt(&crate::path(tenant, meta.id), reason))
}

async fn samples(reader: MetricReader, path: &Path) -> Result<BlockCounts, Error> {
    let mut rows = reader.rows();
    let mut counts = BlockCounts::default();
    let mut series = skald_model::Series::default();
    while let Some(batch) = rows.next().await? {
        for row in batch {
            counts.series += 1;
            for chunk in row.floats.iter().chain(&row.histograms) {
                (series.timestamps, series.values, series.histograms) = Default::default();
                let all = skald_model::TimeRange::ALL;
                skald_codec::chunk::decode_into(chunk, all, &mut series)
                    .map_err(|e| Error::corrupt(path, format!("chunk of {:?}: {e}", row.labels)))?;
                counts.rows += (series.timestamps.len() + series.histograms.len()) as u64;
            }
        }
    }
    Ok(counts)
}

async fn lines(reader: LogReader) -> Result<BlockCounts, Error> {
    let mut rows = reader.rows().await?;
    let mut counts = BlockCounts::default();
    let mut last = None;
    while let Some(batch) = rows.next().await? {
        for stream in batch {
            counts.rows += stream.entries.len() as u64;
            if last.as_ref() != Some(&stream.labels) {
                counts.series += 1;
                last = Some(stream.labels);
            }
        }
    }
    Ok(counts)
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
