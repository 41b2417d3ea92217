//! CPU time of the engine over encoded chunks in memory, without I/O.
//!
//! `cargo bench -p skald-promql --bench engine -- [shape] [runs] [threads]` prints, per query shape, the CPU
//! milliseconds (user) of one evaluation, all threads together, and the wall time.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program run by hand")]

use std::sync::Arc;

use skald_codec::chunk::{decode_floats, encode_floats};
use skald_model::{ErrorKind, Labels, Matcher};
use skald_promql::{
    Engine, EngineOptions, QueryOptions, Samples, Select, SeriesSet, SeriesSource, SourceError,
};
use skald_runtime::CpuPool;
use tokio::time::Instant;

const SCRAPE_MS: i64 = 15_000;
const SAMPLES: i64 = 2880;
const PER_CHUNK: usize = 240;
const START_MS: i64 = 1_700_000_000_000;
const END_MS: i64 = START_MS + SCRAPE_MS * SAMPLES;

#[derive(Debug)]
struct Chunk {
    first_ms: i64,
    last_ms: i64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Stored {
    labels: Labels,
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Store(Arc<Vec<Stored>>);

#[derive(Debug)]
struct Found {
    all: Arc<Vec<Stored>>,
    at: Vec<usize>,
    start: i64,
    end: i64,
}

#[async_trait::async_trait]
impl SeriesSource for Store {
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        let matching = |(_, s): &(usize, &Stored)| Matcher::all(&req.matchers, &s.labels);
        let at = self.0.iter().enumerate().filter(matching).map(|(i, _)| i).collect();
        let (start, end) = (req.range.start, req.range.end);
        Ok(Box::new(Found { all: Arc::clone(&self.0), at, start, end }))
    }
}

impl Found {
    fn chunks(&self, i: usize) -> impl Iterator<Item = &Chunk> {
        let within = |c: &&Chunk| c.last_ms >= self.start && c.first_ms < self.end;
        self.all[self.at[i]].chunks.iter().filter(within)
    }
}

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.at.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.all[self.at[i]].labels.clone()
    }

    fn n_samples(&self, i: usize) -> usize {
        self.chunks(i).count() * PER_CHUNK
    }

    fn size_bytes(&self) -> usize {
        (0..self.len()).flat_map(|i| self.chunks(i)).map(|c| c.bytes.len()).sum()
    }

    fn read(&self, i: usize, out: &mut Samples) -> Result<(), SourceError> {
        out.clear();
        for chunk in self.chunks(i) {
            decode_floats(&chunk.bytes, &mut out.times, &mut out.values)
                .map_err(|e| SourceError { kind: ErrorKind::Corrupt, message: e.to_string() })?;
        }
        let keep = out.times.partition_point(|t| *t < self.end);
        out.times.truncate(keep);
        out.values.truncate(keep);
        let skip = out.times.partition_point(|t| *t < self.start);
        out.times.drain(..skip);
        out.values.drain(..skip);
        Ok(())
    }
}

/// A counter or gauge that moves a little, from a fixed sequence.
fn samples(seed: u64, counter: bool) -> (Vec<i64>, Vec<f64>) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from(state >> 40).unwrap_or(0)
    };
    let offset = i64::from(next() % 15_000);
    let mut value = f64::from(next() % 1000);
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for i in 0..SAMPLES {
        times.push(START_MS + i * SCRAPE_MS + offset + i64::from(next() % 4));
        value = match counter {
            true if next() % 2000 == 0 => 0.0,
            true => value + f64::from(next() % 50),
            false => f64::from(next() % 10_000),
        };
        values.push(value);
    }
    (times, values)
}

fn store(n: usize) -> Store {
    let names = [
        ("requests_total", true),
        ("cpu_seconds_total", true),
        ("memory_bytes", false),
        ("duration_seconds_bucket", true),
    ];
    let series = (0..n).map(|i| {
        let (name, counter) = names[i % names.len()];
        let pod = format!("checkout-{}-7f9c8d-{:05}", i / 200, i / 40);
        let app = format!("app-{}", i / 200 % 20);
        let le = format!("{}", 1 << (i / 4 % 10));
        let id = format!("{i}");
        let mut pairs = vec![
            (Labels::NAME, name),
            ("app", app.as_str()),
            ("cluster", "eu-west-1-production"),
            ("container", "server"),
            ("endpoint", "http-metrics"),
            ("instance", pod.as_str()),
            ("job", "kubernetes/pods"),
            ("namespace", app.as_str()),
            ("pod", pod.as_str()),
            ("region", "eu-west-1"),
            ("service", "checkout"),
            ("zone", "eu-west-1a"),
            ("id", id.as_str()),
        ];
        if name.ends_with("bucket") {
            pairs.push(("le", le.as_str()));
        }
        let (times, values) = samples(i as u64 + 1, counter);
        let chunks = times.chunks(PER_CHUNK).zip(values.chunks(PER_CHUNK)).map(|(t, v)| {
            let mut bytes = Vec::new();
            encode_floats(t, v, &mut bytes);
            Chunk { first_ms: t[0], last_ms: *t.last().unwrap(), bytes }
        });
        Stored { labels: Labels::from_pairs(pairs), chunks: chunks.collect() }
    });
    let mut all: Vec<Stored> = series.collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Store(Arc::new(all))
}

/// User and system time of this process in milliseconds.
fn cpu_ms() -> f64 {
    let mut total = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let path = task.path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        total += text.split(' ').next().and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0) / 1e6;
    }
    total
}

const SHAPES: [(&str, &str, i64); 11] = [
    ("rate12h", "sum by (app) (rate(requests_total[5m]))", 60_000),
    ("gauge12h", "sum by (namespace) (memory_bytes)", 60_000),
    ("raw12h", "memory_bytes", 60_000),
    ("max12h", "max by (app) (max_over_time(memory_bytes[1h]))", 300_000),
    (
        "p99",
        "histogram_quantile(0.99, sum by (le, app) (rate(duration_seconds_bucket[5m])))",
        60_000,
    ),
    ("ratio", "sum(rate(requests_total[5m])) / sum(rate(requests_total[5m])) < 2", 60_000),
    ("subquery", "max by (app) (max_over_time(rate(requests_total[5m])[30m:1m]))", 300_000),
    ("stddev", "stddev by (app) (memory_bytes * 2)", 60_000),
    ("topk", "topk(10, sum by (pod) (rate(cpu_seconds_total[5m])))", 0),
    ("instant", "sum by (namespace) (memory_bytes)", 0),
    ("count", "count by (__name__) ({region=\"eu-west-1\"})", 0),
];

fn main() {
    let args: Vec<String> = std::env::args().filter(|arg| arg != "--bench").collect();
    let only = args.get(1).map_or("", String::as_str);
    let runs: u32 = args.get(2).and_then(|n| n.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let small = store(3000);
    let mut large = None;
    let options = EngineOptions { max_samples: usize::MAX, ..EngineOptions::default() };
    let threads = args.get(3).and_then(|n| n.parse().ok()).unwrap_or(1);
    // The evaluation itself takes one of the slots.
    let engine = Engine::new(options).on(CpuPool::new(threads));
    let options = QueryOptions::default();
    for (name, query, step) in SHAPES.iter().filter(|(n, ..)| n.starts_with(only)) {
        let source = if *step == 0 { &*large.get_or_insert_with(|| store(20_000)) } else { &small };
        let run = async || match step {
            0 => engine.instant(source, query, END_MS, &options).await,
            step => engine.range(source, query, START_MS, END_MS, *step, &options).await,
        };
        let result = runtime.block_on(run()).unwrap();
        let (cpu, begin) = (cpu_ms(), Instant::now());
        for _ in 0..runs {
            runtime.block_on(run()).unwrap();
        }
        let n = f64::from(runs);
        println!(
            "{name:10} cpu {:9.2} ms  wall {:9.2} ms  fetch {:6.2} ms  {} series  {query}",
            (cpu_ms() - cpu) / n,
            begin.elapsed().as_secs_f64() * 1000.0 / n,
            f64::from(u32::try_from(result.stats.fetch_us).unwrap_or(u32::MAX)) / 1000.0,
            result.stats.series_read,
        );
    }
}
