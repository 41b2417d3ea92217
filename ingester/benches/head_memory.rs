//! Pushes 1 M series of 13 labels and 5 samples (or streams of 5 lines), and prints what they take in memory,
//! how long a start with their write-ahead log takes, and how long a flush.
//!
//! `cargo bench -p skald-ingester --bench head_memory -- [series] [samples] [logs]`
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a measurement by hand"
)]

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;
use skald_catalog::{Author, Catalog};
use skald_codec::batch::{LogsBuilder, MetricsBuilder};
use skald_ingester::{Config, Dependencies, Ingester};
use skald_limits::{Limits, Overrides};
use skald_model::{Labels, TenantId};
use skald_rpc::IngesterApi;
use skald_rpc::ingester::PushRequest;
use skald_runtime::{Rng, SharedClock, SystemClock};
use skald_wal::StdFs;
use tokio::time::{Instant, sleep};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PER_BATCH: u32 = 1000;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Metrics,
    Logs,
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = args.iter().filter_map(|a| a.parse::<u32>().ok());
    let (n_series, n_samples) = (numbers.next().unwrap_or(1_000_000), numbers.next().unwrap_or(5));
    let kind = if args.iter().any(|a| a == "logs") { Kind::Logs } else { Kind::Metrics };
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let n = f64::from(n_series);

    let before = rss();
    let ingester = open(dir.path(), &store).await;
    for t in 0..n_samples {
        let (started, cpu) = (Instant::now(), cpu_seconds());
        push_round(&ingester, t, n_series, kind).await;
        println!(
            "round {t}: {:?}, {:.2} CPU-s (making the batches included)",
            started.elapsed(),
            cpu_seconds() - cpu
        );
    }
    report(&ingester, n, before);
    drop(ingester);

    let log: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    let (started, cpu, before) = (Instant::now(), cpu_seconds(), rss());
    let ingester = open(dir.path(), &store).await;
    let (took, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let mb = log as f64 / 1e6;
    println!(
        "start with {mb:.0} MB of log: {took:.2} s, {cpu:.2} CPU-s, {:.0} MB per second of a core",
        mb / cpu
    );
    report(&ingester, n, before);

    let mut round = Pushes { n_series, kind, t: n_samples, first: 0 };
    let calm = round.times(&ingester, sleep(Duration::from_secs(3))).await;
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let flushing = ingester.clone();
    let flush = skald_runtime::spawn("flush", async move { flushing.flush(0).await.unwrap() });
    let meanwhile = round.times(&ingester, flush).await;
    let cpu = cpu_seconds() - cpu;
    println!("flush: {:?}, {cpu:.2} CPU-s with the pushes meanwhile", started.elapsed());
    println!("a push of {PER_BATCH}, ms: {calm} calm; {meanwhile} during the flush");
    println!("peak of it all: {:.0} MiB", status("VmHWM:") / f64::from(1 << 20));
}

async fn open(dir: &Path, store: &Arc<dyn ObjectStore>) -> Ingester {
    let clock: SharedClock = Arc::new(SystemClock);
    let rng = Rng::seeded(1);
    let author = Author { replica: "bench".to_owned(), epoch: 1 };
    let deps = Dependencies {
        catalog: Catalog::new(
            Arc::clone(store),
            Arc::clone(&clock),
            rng.clone(),
            author,
            skald_catalog::Config::default(),
        ),
        store: Arc::clone(store),
        limits: Overrides::fixed(Limits {
            max_global_series_per_user: 0,
            max_global_series_per_metric: 0,
            max_global_streams_per_user: 0,
            ..Limits::default()
        }),
        clock,
        rng,
        fs: Arc::new(StdFs),
        wal_dir: dir.to_owned(),
        replica: "bench".to_owned(),
        partition: None,
        coordinator: Arc::new(skald_ring::StaticCoordinator::alone("ingester-0")),
    };
    Ingester::open(Config::default(), deps, &mut Registry::default()).await.unwrap()
}

/// A sample or a line of each series.
async fn push_round(ingester: &Ingester, t: u32, n_series: u32, kind: Kind) {
    let mut pushes = Pushes { n_series, kind, t, first: 0 };
    while pushes.t == t {
        ingester.push(pushes.next()).await.unwrap();
    }
}

/// One push after another, each of the next series.
struct Pushes {
    n_series: u32,
    kind: Kind,
    t: u32,
    first: u32,
}

impl Pushes {
    fn next(&mut self) -> PushRequest {
        let all = self.first..(self.first + PER_BATCH).min(self.n_series);
        let t = self.t;
        self.first += PER_BATCH;
        if self.first >= self.n_series {
            (self.first, self.t) = (0, t + 1);
        }
        let batch = match self.kind {
            Kind::Metrics => {
                let mut b = MetricsBuilder::new(i64::from(t) * 15_000);
                for i in all {
                    let labels = labels(i);
                    let sample = (i64::from(t) * 15_000, f64::from(i % 100) + f64::from(t));
                    b.series(labels.id(), (t == 0).then_some(&labels), &[sample], &[], &[]);
                }
                b.finish()
            }
            Kind::Logs => {
                let mut b = LogsBuilder::new(i64::from(t) * 15_000_000_000);
                for i in all {
                    let labels = labels(i);
                    b.stream(labels.id(), (t == 0).then_some(&labels));
                    let line = format!("level=info msg=\"request {i} done\" status=200 took={t}ms");
                    let at = i64::from(t) * 15_000_000_000 + i64::from(i);
                    b.entry(at, line.as_bytes(), &Labels::default());
                }
                b.finish()
            }
        };
        PushRequest { tenant: TenantId::single(), partition: 0, view_version: 1, batch }
    }

    /// Pushes until `end`, a tenth of the time; answers how long pushes took.
    async fn times(&mut self, ingester: &Ingester, end: impl Future) -> String {
        let mut end = pin!(end);
        let mut times = Vec::new();
        loop {
            let request = self.next();
            let started = Instant::now();
            ingester.push(request).await.unwrap();
            times.push(started.elapsed());
            tokio::select! {
                _ = &mut end => break,
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
        times.sort_unstable();
        let at = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        format!("p50 {:.1}, p99 {:.1}, max {:.1} of {}", at(50), at(99), at(100), times.len())
    }
}

fn report(ingester: &Ingester, n: f64, rss_before: f64) {
    let report = ingester.memory_report(&TenantId::single());
    for (part, bytes) in report.iter().filter(|(_, bytes)| *bytes > 0) {
        println!("{part:>16}: {:7.1} B/series", *bytes as f64 / n);
    }
    let total: usize = report.iter().map(|(_, b)| b).sum();
    println!("{:>16}: {:7.1} B/series", "accounted", total as f64 / n);
    println!("{:>16}: {:7.1} B/series", "resident", (rss() - rss_before) / n);
}

/// 13 labels as a container metric has them: 12 shared by many, one of 30 pods each.
fn labels(i: u32) -> Labels {
    let pod = i / 100;
    let text = [
        format!("metric_{}_total", i % 100),
        format!("api-{}-{pod:08x}", pod % 50),
        format!("10.{}.{}.{}:8080", pod >> 16, (pod >> 8) & 255, pod & 255),
        format!("namespace-{}", pod % 40),
        format!("node-{}", pod % 300),
    ];
    Labels::from_pairs([
        ("__name__", text[0].as_str()),
        ("pod", &text[1]),
        ("instance", &text[2]),
        ("namespace", &text[3]),
        ("node", &text[4]),
        ("cluster", "production-eu-1"),
        ("region", "eu-central-1"),
        ("job", "kubernetes-pods"),
        ("container", ["app", "sidecar"][i as usize % 2]),
        ("code", ["200", "404", "500"][i as usize % 3]),
        ("method", ["GET", "POST"][i as usize / 2 % 2]),
        ("env", "prod"),
        ("team", "platform"),
    ])
}

fn rss() -> f64 {
    status("VmRSS:")
}

fn status(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap_or_default();
    let kb: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
    kb * 1024.0
}

/// Of all threads of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    ticks / 100.0
}
