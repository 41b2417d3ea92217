//! Prints sizes and times of writing and reading a metric block and a log block.
//!
//! `cargo bench -p skald-blocks --bench block -- [directory to keep the blocks in]`

#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::disallowed_types, reason = "measures real time outside any runtime")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use object_store::{ObjectStore, memory::InMemory};
use skald_blocks::{
    BlockId, Encoded, FooterCache, LogBlockWriter, LogReader, LogSelect, Metadata,
    MetricBlockWriter, MetricReader, SeriesRow, WriterOptions, put_block,
};
use skald_codec::chunk::encode_floats;
use skald_model::{Labels, LogEntry, MatchOp, Matcher, TenantId, TimeRange};

const T0: i64 = 1_700_000_000_000;
const N_SERIES: u64 = 100_000;
const N_SAMPLES: i64 = 120;
const N_LINES: i64 = 1_000_000;
const N_STREAMS: i64 = 500;

type Outcome = Result<(), Box<dyn Error>>;

struct Bench {
    store: Arc<dyn ObjectStore>,
    tenant: TenantId,
    cache: Arc<FooterCache>,
    keep: Option<String>,
}

fn main() -> Outcome {
    let bench = Bench {
        store: Arc::new(InMemory::new()),
        tenant: TenantId::single(),
        cache: Arc::new(FooterCache::new(256 << 20)),
        keep: std::env::args().skip(1).find(|arg| arg != "--bench"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    runtime.block_on(bench.metrics())?;
    runtime.block_on(bench.logs())
}

fn noise(i: u64) -> u64 {
    let mut x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 29
}

fn series(i: u64) -> SeriesRow {
    let (metric, pod) = (i % 200, i / 200);
    let labels = Labels::from_pairs([
        ("__name__", format!("app_metric_{metric:03}_total")),
        ("cluster", "eu-west-1".to_owned()),
        ("namespace", format!("team-{}", pod % 20)),
        ("job", format!("team-{}/app-{}", pod % 20, pod % 60)),
        ("container", format!("app-{}", pod % 60)),
        ("pod", format!("app-{}-{:08x}-{:04x}", pod % 60, noise(pod % 60) >> 32, noise(pod) >> 48)),
        ("instance", format!("10.0.{}.{}:8080", pod / 250, pod % 250)),
        ("node", format!("node-{}", pod % 40)),
        ("endpoint", "http-metrics".to_owned()),
        ("service", format!("app-{}", pod % 60)),
    ]);
    let mut last = (noise(i) % 10_000) as f64;
    let (ts, vals): (Vec<i64>, Vec<f64>) = (0..N_SAMPLES)
        .map(|s| {
            let r = noise(i * 1000 + s.unsigned_abs());
            last += match metric % 4 {
                0 => 0.0,
                1 => (r % 20) as f64,
                2 => (r % 7) as f64 - 3.0,
                _ => (r % 300) as f64 / 100.0,
            };
            (T0 + s * 15_000, (last * 100.0).round() / 100.0)
        })
        .unzip();
    let mut chunk = Vec::new();
    encode_floats(&ts, &vals, &mut chunk);
    SeriesRow { labels, floats: vec![chunk.into()], ..SeriesRow::default() }
}

fn line(i: i64) -> (Labels, LogEntry) {
    let r = noise(i.unsigned_abs());
    let stream = i % N_STREAMS;
    let labels = Labels::from_pairs([
        ("app", format!("app-{}", stream % 50)),
        ("cluster", "eu-west-1".to_owned()),
        ("namespace", format!("team-{}", stream % 20)),
        ("pod", format!("app-{}-{:08x}", stream % 50, noise(stream.unsigned_abs()) >> 32)),
    ]);
    let line = format!(
        "level={} ts={} caller=handler.go:{} msg=\"request served\" method=GET path=/api/v1/items/{} status={} duration={}ms trace_id={:016x}",
        ["info", "info", "info", "warn", "error"][(r % 5) as usize],
        T0 + i,
        r % 400,
        r % 10_000,
        [200, 200, 200, 404, 500][(r >> 8) as usize % 5],
        r % 1500,
        noise(r)
    );
    let metadata = Labels::from_pairs([("detected_level", ["info", "warn"][(r % 2) as usize])]);
    (labels, LogEntry { timestamp_ns: (T0 + i) * 1_000_000, line: line.into(), metadata })
}

// === impl Bench ===

impl Bench {
    async fn store(&self, what: &str, block: &Encoded) -> Outcome {
        put_block(&self.store, &self.tenant, block).await?;
        if let Some(keep) = &self.keep {
            std::fs::write(format!("{keep}/{what}.parquet"), &block.bytes)?;
        }
        Ok(())
    }

    async fn metrics(&self) -> Outcome {
        let rows: Vec<SeriesRow> = (0..N_SERIES).map(series).collect();
        let chunk_bytes: usize = rows.iter().flat_map(|r| &r.floats).map(Bytes::len).sum();
        let start = Instant::now();
        let mut writer = MetricBlockWriter::new(WriterOptions::new(BlockId::new(T0, 1)));
        rows.into_iter().try_for_each(|row| writer.push(row))?;
        let block = writer.finish()?;
        let took = start.elapsed();
        let n = block.meta.n_rows as f64;
        println!("metrics: {} series, {} samples", block.meta.n_series, block.meta.n_rows);
        println!(
            "  write {took:.2?}, {} bytes = {:.3} B/sample, chunks {:.3}",
            block.meta.size_bytes,
            block.meta.size_bytes as f64 / n,
            chunk_bytes as f64 / n
        );
        self.store("metrics", &block).await?;
        let (store, cache) = (Arc::clone(&self.store), Arc::clone(&self.cache));
        let reader = MetricReader::open(store, &self.tenant, &block.meta, cache).await?;
        println!("  open: {:?}", reader.read_stats().snapshot());
        let name = Matcher::equal("__name__", "app_metric_101_total");
        let pod = Matcher::new(MatchOp::Regex, "pod", "app-7-.*")?;
        for (what, matchers) in [
            ("name", vec![name.clone()]),
            ("name + pod regex", vec![name, pod.clone()]),
            ("pod regex", vec![pod]),
            ("everything", Vec::new()),
        ] {
            let before = reader.read_stats().snapshot();
            let start = Instant::now();
            let found = reader.select(&matchers, TimeRange::ALL).await?;
            let took = start.elapsed();
            let after = reader.read_stats().snapshot();
            println!(
                "  select {what}: {} series in {took:.2?}, {} GETs, {} bytes",
                found.len(),
                after.gets - before.gets,
                after.bytes - before.bytes
            );
        }
        let start = Instant::now();
        let n = reader.labels(&[], TimeRange::ALL).await?.len();
        println!("  labels: {n} in {:.2?}", start.elapsed());
        let start = Instant::now();
        let (mut rows, mut n) = (reader.rows(), 0);
        while let Some(batch) = rows.next().await? {
            n += batch.len();
        }
        println!("  rows: {n} in {:.2?}", start.elapsed());
        Ok(())
    }

    async fn logs(&self) -> Outcome {
        let mut streams: Vec<(Labels, Vec<LogEntry>)> = Vec::new();
        for i in 0..N_LINES {
            let (labels, entry) = line(i);
            match streams.get_mut(usize::try_from(i % N_STREAMS)?) {
                Some(stream) => stream.1.push(entry),
                None => streams.push((labels, vec![entry])),
            }
        }
        let raw: usize = streams.iter().flat_map(|s| &s.1).map(|e| e.line.len()).sum();
        let start = Instant::now();
        let mut writer = LogBlockWriter::new(WriterOptions::new(BlockId::new(T0, 2)));
        streams.into_iter().try_for_each(|(labels, entries)| writer.push(labels, entries))?;
        let block = writer.finish()?;
        let took = start.elapsed();
        println!(
            "logs: {} lines in {} streams, {raw} bytes of lines",
            block.meta.n_rows, block.meta.n_series
        );
        println!(
            "  write {took:.2?} = {:.0} MB/s, {} bytes = raw / {:.1}",
            raw as f64 / 1e6 / took.as_secs_f64(),
            block.meta.size_bytes,
            raw as f64 / block.meta.size_bytes as f64
        );
        self.store("logs", &block).await?;
        let (store, cache) = (Arc::clone(&self.store), Arc::clone(&self.cache));
        let reader = LogReader::open(store, &self.tenant, &block.meta, cache).await?;
        println!("  open: {:?}", reader.read_stats().snapshot());
        let app = [Matcher::equal("app", "app-7")];
        let trace = Bytes::from(format!("{:016x}", noise(noise(123_456))));
        let lines = || LogSelect { needs_line: true, metadata: Metadata::none(), fields: None };
        for (what, matchers, needles, wanted) in [
            ("app", &app[..], vec![], LogSelect::default()),
            ("all lines", &[], vec![], lines()),
            ("all lines with metadata", &[], vec![], LogSelect::default()),
            ("needle in one line", &[], vec![trace], LogSelect::default()),
            ("needle in a fifth", &[], vec![Bytes::from_static(b"level=error")], lines()),
            ("absent needle", &[], vec![Bytes::from_static(b"not to be found")], lines()),
        ] {
            let before = reader.read_stats().snapshot();
            let start = Instant::now();
            let found = reader.select(matchers, TimeRange::ALL, &needles, wanted).await?;
            let took = start.elapsed();
            let after = reader.read_stats().snapshot();
            println!(
                "  select {what}: {} lines in {took:.2?}, {} GETs, {} bytes",
                found.iter().map(|s| s.entries.len()).sum::<usize>(),
                after.gets - before.gets,
                after.bytes - before.bytes
            );
        }
        let start = Instant::now();
        let (mut rows, mut n) = (reader.rows().await?, 0);
        while let Some(batch) = rows.next().await? {
            n += batch.iter().map(|s| s.entries.len()).sum::<usize>();
        }
        println!("  rows: {n} in {:.2?}", start.elapsed());
        Ok(())
    }
}
