//! What each run of the fuzzer does with a whole block, metric or log: its checksums are made right again, so that
//! damage gets as far as the decoders, and everything a reader can do is done. An error or an answer, never a panic.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use skald_blocks::{
    BlockId, BlockMeta, Error, ExportLine, ExportSample, ExportValue, ExportWriter, FooterCache,
    LabelWant, LogReader, LogSearch, LogSelect, Metadata, MetricReader, SampleExportWriter,
    Streams, newest_version, path,
};
use skald_model::{Labels, Matcher, Series, Signal, TenantId, TimeRange};

const KEY_TAIL: &[u8] = b"skald.tail";
const STRIPE: usize = 16 << 10;
/// Batches of rows that are read of each block: a few bytes may say that there are millions.
const MOST_BATCHES: usize = 64;
/// Series that are looked at one by one.
const MOST_SERIES: usize = 4096;

pub(crate) fn run(data: &[u8]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut sealed = data.to_vec();
    seal(&mut sealed);
    let block = Bytes::from(sealed);
    runtime.block_on(async {
        let _ = metrics(&block).await;
        let _ = logs(&block).await;
    });
}

/// Makes the checksums of a block fit what it says: docs/formats/metric-block.md. Nothing if it does not say where
/// they are.
fn seal(block: &mut [u8]) -> Option<()> {
    let key = block.windows(KEY_TAIL.len()).rposition(|w| w == KEY_TAIL)?;
    // Behind a field header and a length: 16 digits, a dash, 8 digits.
    let value = key + KEY_TAIL.len() + 2;
    let digits = value + 17..value + 25;
    let data_len = std::str::from_utf8(block.get(value..value + 16)?).ok()?;
    let data_len = usize::from_str_radix(data_len, 16).ok()?;
    block.get(digits.clone())?;
    let sums: Vec<u8> = block
        .get(..data_len)?
        .chunks(STRIPE)
        .flat_map(|stripe| crc32c::crc32c(stripe).to_le_bytes())
        .collect();
    block.get_mut(data_len..data_len + sums.len())?.copy_from_slice(&sums);
    block.get_mut(digits.clone())?.copy_from_slice(b"00000000");
    let crc = crc32c::crc32c(block.get(data_len..)?);
    block.get_mut(digits)?.copy_from_slice(format!("{crc:08x}").as_bytes());
    Some(())
}

/// A block as the catalog might describe it, in a store.
async fn stored(
    block: &Bytes,
    signal: Signal,
) -> (Arc<dyn ObjectStore>, TenantId, BlockMeta, Arc<FooterCache>) {
    let (store, tenant) = (Arc::new(InMemory::new()), TenantId::single());
    let meta = BlockMeta {
        id: BlockId::new(1_700_000_000_000, 7),
        signal,
        min_time: i64::MIN,
        max_time: i64::MAX - 1,
        n_series: 1,
        n_rows: 1,
        size_bytes: block.len() as u64,
        crc32c: crc32c::crc32c(block),
        level: 0,
        format_version: newest_version(signal),
        sources: Vec::new(),
    };
    store.put(&path(&tenant, meta.id), block.clone().into()).await.expect("a store in memory");
    (store, tenant, meta, Arc::new(FooterCache::new(64 << 20)))
}

async fn metrics(block: &Bytes) -> Result<(), Error> {
    let (store, tenant, meta, cache) = stored(block, Signal::Metrics).await;
    let reader = MetricReader::open(store, &tenant, &meta, cache).await?;
    let all = TimeRange::ALL;
    let part = TimeRange::new(1_700_000_000_000, 1_700_000_060_000);
    let name = [Matcher::equal("__name__", "golden_1")];
    // Each on its own: what one refuses another may read.
    let _ = reader.labels(&name, part).await;
    let _ = reader.label_names(&[], all).await;
    let _ = reader.label_values("pod", &name, all).await;
    let _ = reader.exemplars(&[], all).await;
    let names = ["job".to_owned()];
    if let Ok(set) = reader.encoded(&name, part, LabelWant::OnlyWithIds(&names)).await {
        for i in 0..set.len().min(MOST_SERIES) {
            let mut series = Series::default();
            if set.decode(i, part, &mut series).is_ok() {
                assert!(series.timestamps.len() + series.histograms.len() <= set.n_samples(i));
            }
            let _ = (set.labels(i), set.id(i));
        }
    }
    let found = reader.select(&[], all).await;
    let mut rows = reader.rows();
    for _ in 0..MOST_BATCHES {
        if !matches!(rows.next().await, Ok(Some(_))) {
            break;
        }
    }
    let mut export = SampleExportWriter::new()?;
    for series in found?.iter().take(256) {
        for (t, v) in series.timestamps.iter().zip(&series.values).take(256) {
            let value = ExportValue::Float(*v);
            let (timestamp_ms, labels) = (*t, &series.labels);
            export.push(&ExportSample { timestamp_ms, start_ms: 0, value, labels })?;
        }
    }
    export.finish().map(drop)
}

async fn logs(block: &Bytes) -> Result<(), Error> {
    let (store, tenant, meta, cache) = stored(block, Signal::Logs).await;
    let reader = LogReader::open(store, &tenant, &meta, cache).await?;
    let (all, part) = (TimeRange::ALL, TimeRange::new(1_700_000_000_000_000_000, i64::MAX));
    let app = [Matcher::equal("app", "app-3")];
    let _ = reader.streams(&app, part).await;
    let _ = reader.stats(&[], part).await;
    let _ = reader.volumes(&[], all).await;
    let needle = [Bytes::from_static(b"line 7 ")];
    let _ = reader.select(&app, part, &needle, LogSelect::default()).await;
    let search = LogSearch {
        matchers: Vec::new(),
        range: part,
        needles: needle.to_vec(),
        wanted: LogSelect { needs_line: false, metadata: Metadata::none(), fields: None },
        streams: Streams::All,
        early: None,
        useful: None,
    };
    let _ = reader.times(&search, |_| ControlFlow::Continue(())).await;
    let _ = reader.count_rows_left(&search).await;
    if let Ok(mut rows) = reader.rows().await {
        for _ in 0..MOST_BATCHES {
            if !matches!(rows.next().await, Ok(Some(_))) {
                break;
            }
        }
    }
    let mut export = ExportWriter::new()?;
    for stream in reader.select(&[], all, &[], LogSelect::default()).await? {
        for entry in stream.entries.iter().take(256) {
            export.push(&ExportLine {
                timestamp_ns: entry.timestamp_ns,
                line: &entry.line,
                labels: &stream.labels,
                structured_metadata: &entry.metadata,
                parsed: &Labels::empty(),
            })?;
        }
    }
    export.finish().map(drop)
}
