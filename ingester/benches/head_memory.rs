//! Pushes 1 M series of 13 labels and 5 samples, and prints what they take in memory and how long it took.
//!
//! `cargo bench -p skald-ingester --bench head_memory -- [series] [samples]`
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a measurement by hand"
)]

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;
use skald_catalog::{Author, Catalog};
use skald_codec::batch::MetricsBuilder;
use skald_ingester::{Config, Dependencies, Ingester};
use skald_limits::{Limits, Overrides};
use skald_model::{Labels, TenantId};
use skald_rpc::IngesterApi;
use skald_rpc::ingester::PushRequest;
use skald_runtime::{Rng, SharedClock, SystemClock};
use skald_wal::StdFs;
use tokio::time::Instant;

const PER_BATCH: u32 = 1000;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse::<u32>().ok());
    let (n_series, n_samples) = (args.next().unwrap_or(1_000_000), args.next().unwrap_or(5));
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let clock: SharedClock = Arc::new(SystemClock);
    let rng = Rng::seeded(1);
    let author = Author { replica: "bench".to_owned(), epoch: 1 };
    let deps = Dependencies {
        catalog: Catalog::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            rng.clone(),
            author,
            skald_catalog::Config::default(),
        ),
        store,
        limits: Overrides::fixed(Limits::default()),
        clock,
        rng,
        fs: Arc::new(StdFs),
        wal_dir: dir.path().to_owned(),
        replica: "bench".to_owned(),
        partition: None,
        coordinator: Arc::new(skald_ring::StaticCoordinator::alone("ingester-0")),
    };
    let ingester = Ingester::open(Config::default(), deps, &mut Registry::default()).await.unwrap();
    let tenant = TenantId::single();
    let before = rss();
    for t in 0..n_samples {
        let started = Instant::now();
        for first in (0..n_series).step_by(PER_BATCH as usize) {
            let mut b = MetricsBuilder::new(i64::from(t) * 15_000);
            for i in first..(first + PER_BATCH).min(n_series) {
                let labels = labels(i);
                let sample = (i64::from(t) * 15_000, f64::from(i % 100) + f64::from(t));
                b.series(labels.id(), (t == 0).then_some(&labels), &[sample], &[], &[]);
            }
            let request = PushRequest {
                tenant: tenant.clone(),
                partition: 0,
                view_version: 1,
                batch: b.finish(),
            };
            ingester.push(request).await.unwrap();
        }
        println!("round {t}: {:?} (making the batches included)", started.elapsed());
    }
    let n = f64::from(n_series);
    let report = ingester.memory_report(&tenant);
    for (part, bytes) in &report {
        println!("{part:>16}: {:7.1} B/series", *bytes as f64 / n);
    }
    let total: usize = report.iter().map(|(_, b)| b).sum();
    println!("{:>16}: {:7.1} B/series", "accounted", total as f64 / n);
    println!("{:>16}: {:7.1} B/series", "resident", (rss() - before) / n);
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
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    let kb: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
    kb * 1024.0
}
