//! Tests of whole blocks: written, stored in memory, read back.

mod damage;
mod dense;
mod early;
mod encoded;
mod foreign;
mod gets;
mod golden;
mod grids;
mod inspect;
mod log;
mod metric;
mod ordered;

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use skald_codec::chunk::{encode_floats, encode_histograms};
use skald_model::{Histogram, Labels, LogEntry, TenantId};

use crate::{
    BlockId, Encoded, FooterCache, LogBlockWriter, LogReader, MetricBlockWriter, MetricReader,
    SeriesRow, ValueForm, WriterOptions, put_block,
};

const STEP: i64 = 15_000;
const T0: i64 = 1_700_000_000_000;

fn options() -> WriterOptions {
    WriterOptions::new(BlockId::new(T0, 42))
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn float_chunk(samples: &[(i64, f64)]) -> Bytes {
    let (ts, vals): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
    let mut out = Vec::new();
    encode_floats(&ts, &vals, &mut out);
    out.into()
}

fn histogram_chunk(samples: &[(i64, Histogram)]) -> Bytes {
    let (ts, hs): (Vec<i64>, Vec<Histogram>) = samples.iter().cloned().unzip();
    let mut out = Vec::new();
    encode_histograms(&ts, &hs, &mut out);
    out.into()
}

fn floats(labels: Labels, samples: &[(i64, f64)]) -> SeriesRow {
    SeriesRow { labels, floats: vec![float_chunk(samples)], ..SeriesRow::default() }
}

fn entry(timestamp_ns: i64, line: &str, metadata: &[(&str, &str)]) -> LogEntry {
    LogEntry {
        timestamp_ns,
        line: Bytes::copy_from_slice(line.as_bytes()),
        metadata: labels(metadata),
    }
}

fn metric_block(rows: Vec<SeriesRow>) -> Encoded {
    let mut writer = MetricBlockWriter::new(options());
    rows.into_iter().for_each(|row| writer.push(row).unwrap());
    writer.finish().unwrap()
}

fn dense_block(rows: Vec<SeriesRow>) -> Encoded {
    let options = WriterOptions { values: ValueForm::Dense, ..options() };
    let mut writer = MetricBlockWriter::new(options);
    rows.into_iter().for_each(|row| writer.push(row).unwrap());
    writer.finish().unwrap()
}

fn log_block(streams: Vec<(Labels, Vec<LogEntry>)>, opts: WriterOptions) -> Encoded {
    let mut writer = LogBlockWriter::new(opts);
    streams.into_iter().for_each(|(labels, entries)| writer.push(labels, entries).unwrap());
    writer.finish().unwrap()
}

/// A store, its tenant and a cache.
struct Shelf {
    store: Arc<dyn ObjectStore>,
    tenant: TenantId,
    cache: Arc<FooterCache>,
}

impl Shelf {
    fn new() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            tenant: TenantId::single(),
            cache: Arc::new(FooterCache::new(64 << 20)),
        }
    }

    async fn metrics(&self, block: &Encoded) -> MetricReader {
        put_block(&self.store, &self.tenant, block).await.unwrap();
        let (store, cache) = (Arc::clone(&self.store), Arc::clone(&self.cache));
        MetricReader::open(store, &self.tenant, &block.meta, cache).await.unwrap()
    }

    async fn logs(&self, block: &Encoded) -> LogReader {
        put_block(&self.store, &self.tenant, block).await.unwrap();
        let (store, cache) = (Arc::clone(&self.store), Arc::clone(&self.cache));
        LogReader::open(store, &self.tenant, &block.meta, cache).await.unwrap()
    }
}
