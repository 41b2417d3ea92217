//! Prints what the bytes of a metric block are made of, for series as a Kubernetes cluster has them, and what
//! encoding and decoding them takes.
//!
//! `cargo bench -p skald-blocks --bench metric_bytes -- [pods] [scrapes] [samples per chunk] [jitter in ms]`
//! `cargo bench -p skald-blocks --bench metric_bytes -- FILE [samples per chunk]`
//!
//! FILE has scrapes of an exporter in the text format, each behind a line `# scrape <milliseconds>`.
//!
//! A pod has 125 series: four request histograms, counters (some idle, some slow, all reset now and then), CPU
//! seconds, memory in pages, gauges of few decimals, constants. It is scraped every 15 s, late by up to the jitter;
//! all its series have the time of the scrape.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::disallowed_types, reason = "measures real time outside any runtime")]

mod cross;
mod generated;
mod recorded;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use object_store::{ObjectStore, memory::InMemory};
use parquet::file::reader::{FileReader, SerializedFileReader};
use skald_blocks::{
    BlockId, Encoded, FooterCache, LabelWant, MetricBlockWriter, MetricReader, SeriesRow,
    ValueForm, WriterOptions, put_block,
};
use skald_codec::chunk::{decode_floats, encode_floats, grid};
use skald_model::{MatchOp, Matcher, Series, TenantId, TimeRange};

const T0: i64 = 1_760_000_000_000;
type Outcome<T> = Result<T, Box<dyn Error>>;

/// A row and of what sort it is.
pub(crate) struct Made {
    row: SeriesRow,
    shape: &'static str,
}

/// Bytes of chunks, by what they are for.
#[derive(Default)]
struct Parts {
    n_samples: usize,
    whole: usize,
    timestamps: usize,
    values: usize,
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |n: usize, default: usize| args.get(n).map_or(Ok(default), |text| text.parse());
    let rows = match args.first().filter(|arg| arg.parse::<u64>().is_err()) {
        Some(path) => recorded::rows(&std::fs::read_to_string(path)?, number(1, 960)?)?,
        None => {
            let (pods, scrapes) = (number(0, 40)?, number(1, 2880)?);
            let (len, jitter) = (number(2, 960)?, number(3, 3)?);
            (0..pods as u64).flat_map(|n| generated::pod(n, scrapes, len, jitter as u64)).collect()
        }
    };
    let mut shapes: BTreeMap<&str, Parts> = BTreeMap::new();
    for Made { row, shape } in &rows {
        let parts = shapes.entry(shape).or_default();
        for chunk in &row.floats {
            let Some((grid, off)) = grid::split(chunk)? else { continue };
            let mut body = Vec::new();
            off.put(0, &mut body);
            parts.n_samples += grid.count;
            parts.whole += chunk.len();
            parts.values += body.len() - 2;
            parts.timestamps += grid.timestamps_len();
        }
    }
    println!(
        "  {:>17} {:>8} {:>8} {:>8} {:>8}",
        "chunks, B/sample", "whole", "times", "heads", "values"
    );
    let mut all = Parts::default();
    for (shape, parts) in &shapes {
        print(shape, parts);
        all.n_samples += parts.n_samples;
        all.whole += parts.whole;
        all.timestamps += parts.timestamps;
        all.values += parts.values;
    }
    print("all", &all);
    codec(&rows)?;
    cross::print(&rows)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    for values in [ValueForm::AsTheyAre, ValueForm::Dense] {
        let options = WriterOptions::new(BlockId::new(T0, 1));
        let mut writer = MetricBlockWriter::new(WriterOptions { values, ..options });
        rows.iter().try_for_each(|made| writer.push(made.row.clone()))?;
        let start = Instant::now();
        let block = writer.finish()?;
        println!("  block, {values:?}: written in {:.2?}", start.elapsed());
        columns(&block)?;
        runtime.block_on(read(&block))?;
    }
    Ok(())
}

fn print(shape: &str, parts: &Parts) {
    let per = |bytes: usize| bytes as f64 / parts.n_samples as f64;
    let heads = parts.whole - parts.timestamps - parts.values;
    println!(
        "  {shape:>17} {:>8.3} {:>8.3} {:>8.3} {:>8.3}",
        per(parts.whole),
        per(parts.timestamps),
        per(heads),
        per(parts.values)
    );
}

/// Times of self-contained chunks.
fn codec(rows: &[Made]) -> Outcome<()> {
    let (mut ts, mut values, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let (mut decode, mut encode, mut n) = (0.0, 0.0, 0.0);
    for chunk in rows.iter().flat_map(|made| &made.row.floats) {
        ts.clear();
        values.clear();
        out.clear();
        let start = Instant::now();
        decode_floats(chunk, &mut ts, &mut values)?;
        decode += start.elapsed().as_nanos() as f64;
        let start = Instant::now();
        encode_floats(&ts, &values, &mut out);
        encode += start.elapsed().as_nanos() as f64;
        n += ts.len() as f64;
    }
    println!("  chunks: encode {:.1} ns, decode {:.2} ns a sample", encode / n, decode / n);
    Ok(())
}

/// What the parts of a block take.
fn columns(block: &Encoded) -> Outcome<()> {
    let reader = SerializedFileReader::new(block.bytes.clone())?;
    let n = block.meta.n_rows as f64;
    let (mut labels, mut chunks, mut raw, mut others) = (0, 0, 0, 0);
    for column in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let size = column.compressed_size();
        match column.column_path().string().as_str() {
            "floats" | "histograms" => {
                chunks += size;
                raw += column.uncompressed_size();
            }
            name if name.starts_with("l_") => labels += size,
            _ => others += size,
        }
    }
    let keys = reader.metadata().file_metadata().key_value_metadata();
    let grids = keys.into_iter().flatten().find(|kv| kv.key == "skald.grids.length");
    let grids: i64 = grids.and_then(|kv| kv.value.as_deref()?.parse().ok()).unwrap_or(0);
    let size = i64::try_from(block.meta.size_bytes)?;
    println!("  block: {size} bytes, version {}", block.meta.format_version);
    for (what, bytes) in [
        ("all", size),
        ("chunks", chunks),
        ("(before zstd)", raw),
        ("grids", grids),
        ("labels", labels),
        ("times, counts", others),
        ("footer, sums", size - chunks - grids - labels - others),
    ] {
        println!("  {what:>17} {:>8.4} B/sample", bytes as f64 / n);
    }
    Ok(())
}

/// Times of decoding a block whose pages are in memory, one thread.
async fn read(block: &Encoded) -> Outcome<()> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let tenant = TenantId::single();
    put_block(&store, &tenant, block).await?;
    let cache = Arc::new(FooterCache::new(1 << 30));
    let reader = MetricReader::open(store, &tenant, &block.meta, cache).await?;
    let all = TimeRange::ALL;
    let last = TimeRange::new(block.meta.max_time - 3_600_000, i64::MAX);
    let le = |le: &str| vec![Matcher::equal("le", le)];
    let buckets = vec![Matcher::new(MatchOp::NotEqual, "le", "")?];
    for (what, matchers, range) in [
        ("everything", Vec::new(), all),
        ("the last hour", Vec::new(), last),
        ("all buckets", buckets.clone(), all),
        ("all buckets, the last hour", buckets, last),
        ("buckets le=0.05", le("0.05"), all),
        ("buckets le=2.5", le("2.5"), all),
        ("buckets le=+Inf", le("+Inf"), all),
    ] {
        let mut best = f64::MAX;
        let (mut n, mut series) = (0, Series::default());
        for _ in 0..5 {
            let set = reader.encoded(&matchers, range, LabelWant::All).await?;
            n = 0;
            let start = Instant::now();
            for i in 0..set.len() {
                series.timestamps.clear();
                series.values.clear();
                set.decode(i, range, &mut series)?;
                n += series.timestamps.len();
            }
            best = best.min(start.elapsed().as_nanos() as f64);
        }
        if n > 0 {
            println!("  decode {what}: {n} samples, {:.2} ns each", best / n as f64);
        }
    }
    let (mut rows, mut n) = (reader.rows(), 0);
    let start = Instant::now();
    while let Some(batch) = rows.next().await? {
        n += batch.len();
    }
    println!("  {n} rows for compaction in {:.2?}", start.elapsed());
    Ok(())
}
