//! Measures the way of a push from the HTTP body to the batch: CPU time (Linux) and allocations per series or line.
//!
//! `cargo bench -p skald-distributor --bench decode`
//!
//! The ingester answers at once and keeps nothing. The bench fails if a known series costs an
//! allocation: what is left per request (body, batch, answer) does not depend on the number of series
//! but for the growth of its buffers.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use prometheus_client::registry::Registry;
use prost::Message;
use skald_distributor::{Config, Distributor, IngesterDirectory};
use skald_limits::{Limits, Overrides};
use skald_model::{
    ErrorKind, Exemplar, Labels, Matcher, MetricMetadata, Series, Signal, StreamEntries, TenantId,
    TimeRange,
};
use skald_proto::public::{loki, prometheus as v1, prometheus_v2 as v2};
use skald_ring::{Partition, PartitionState, Replica, ReplicaId, StaticCoordinator};
use skald_rpc::ingester::{
    Head, PushOutcome, PushRequest, SelectEntries, StreamStats, TenantUsage,
};
use skald_rpc::{IngesterApi, RpcError};
use skald_runtime::{ByteSize, Clock, SystemClock};
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt;

use counting::allocations;

const N_SERIES: usize = 2000;
const N_LINES: usize = 4000;
const N_REQUESTS: usize = 200;
const V1_TYPE: &str = "application/x-protobuf";
const V2_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Counts allocations of the whole process.
mod counting {
    #![expect(unsafe_code, reason = "a global allocator cannot be written without")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Counting;

    static COUNT: AtomicU64 = AtomicU64::new(0);

    // SAFETY: every call is passed on to the system's allocator unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller keeps the contract, which is the same.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            // SAFETY: as above.
            unsafe { System.dealloc(ptr, layout) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    pub(crate) fn allocations() -> u64 {
        COUNT.load(Ordering::Relaxed)
    }
}

/// Takes everything and keeps nothing.
#[derive(Debug)]
struct Nowhere;

fn not_here<T>() -> Result<T, RpcError> {
    Err(RpcError::new(ErrorKind::NotFound, "not part of the bench"))
}

#[async_trait]
impl IngesterApi for Nowhere {
    async fn push(&self, _: PushRequest) -> Result<PushOutcome, RpcError> {
        Ok(PushOutcome::default())
    }

    async fn select_series(
        &self,
        _: &TenantId,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError> {
        not_here()
    }

    async fn select_entries(
        &self,
        _: &TenantId,
        _: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError> {
        not_here()
    }

    async fn labels(
        &self,
        _: &TenantId,
        _: Signal,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError> {
        not_here()
    }

    async fn metadata(&self, _: &TenantId) -> Result<Vec<MetricMetadata>, RpcError> {
        not_here()
    }

    async fn exemplars(
        &self,
        _: &TenantId,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError> {
        not_here()
    }

    async fn usage(&self, _: &TenantId) -> Result<TenantUsage, RpcError> {
        not_here()
    }

    async fn stats(
        &self,
        _: &TenantId,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError> {
        not_here()
    }

    async fn tail(
        &self,
        _: &TenantId,
        _: &[Matcher],
    ) -> Result<ReceiverStream<Vec<StreamEntries>>, RpcError> {
        not_here()
    }

    async fn flush(&self, _: u64) -> Result<(), RpcError> {
        Ok(())
    }
}

impl IngesterDirectory for Nowhere {
    fn ingester(&self, _: &Replica) -> Arc<dyn IngesterApi> {
        Arc::new(Self)
    }
}

fn router_with(limits: Limits) -> Result<Router, Box<dyn std::error::Error>> {
    let replica = Replica {
        id: ReplicaId("a".into()),
        addr: String::new(),
        zone: String::new(),
        epoch: 0,
        rebuilding: false,
    };
    let partition = Partition { id: 0, state: PartitionState::Active, replicas: vec![replica] };
    let coordinator = StaticCoordinator::new(vec![partition])?;
    let config = Config { decode_inline_max: ByteSize(1 << 30), ..Config::default() };
    let distributor = Distributor::new(
        config,
        Arc::new(coordinator),
        Arc::new(Nowhere),
        Overrides::fixed(limits),
        Arc::new(SystemClock),
        &mut Registry::default(),
    );
    Ok(distributor.router())
}

/// Eleven labels as a Kubernetes scrape has them.
fn labels(n: usize) -> Vec<(&'static str, String)> {
    vec![
        ("__name__", "http_request_duration_seconds_bucket".to_owned()),
        ("cluster", "eu-west-1-production".to_owned()),
        ("container", "checkout".to_owned()),
        ("endpoint", "http-metrics".to_owned()),
        ("handler", format!("/api/v1/orders/{}", n % 40)),
        ("instance", format!("10.12.{}.{}:8080", n / 250, n % 250)),
        ("job", "monitoring/checkout".to_owned()),
        ("le", format!("0.{:03}", n % 12)),
        ("method", "POST".to_owned()),
        ("namespace", "shop".to_owned()),
        ("pod", format!("checkout-7d4b9c6f5d-{n:05}")),
    ]
}

fn compress(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap_or_default()
}

fn write_v1(first: usize, n_samples: usize, now_ms: i64) -> Vec<u8> {
    let series = |n| v1::TimeSeries {
        labels: labels(n)
            .into_iter()
            .map(|(name, value)| v1::Label { name: name.into(), value })
            .collect(),
        samples: (0..n_samples)
            .map(|i| v1::Sample { value: 0.5 + n as f64, timestamp: now_ms + i as i64 * 15_000 })
            .collect(),
        ..v1::TimeSeries::default()
    };
    let timeseries = (first..first + N_SERIES).map(series).collect();
    compress(&v1::WriteRequest { timeseries, metadata: vec![] }.encode_to_vec())
}

fn write_v2(now_ms: i64) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut refs = |text: &str| {
        let at = symbols.iter().position(|s| s == text).unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        u32::try_from(at).unwrap_or_default()
    };
    let mut series = |n| v2::TimeSeries {
        labels_refs: labels(n).iter().flat_map(|(n, v)| [refs(n), refs(v)]).collect(),
        samples: vec![v2::Sample { value: n as f64, timestamp: now_ms, start_timestamp: 0 }],
        ..v2::TimeSeries::default()
    };
    let timeseries = (0..N_SERIES).map(&mut series).collect();
    compress(&v2::Request { symbols, timeseries }.encode_to_vec())
}

/// Lines and their bytes.
fn push_logs(now_ns: i64) -> (Vec<u8>, usize) {
    let line = |n: usize| {
        let mut text = String::new();
        let _ = write!(
            text,
            "ts=2026-01-01T00:00:00.{n:06}Z caller=worker.go:{} level=info msg=\"request served\" \
             duration={}ms path=/api/v1/users/{n} status=200 bytes={}",
            n % 300,
            n % 977,
            n * 37
        );
        text
    };
    let stream = |s: usize| loki::StreamAdapter {
        labels: format!("{{app=\"worker\", namespace=\"shop\", pod=\"worker-{s}\"}}"),
        entries: (0..N_LINES / 20)
            .map(|n| loki::EntryAdapter {
                timestamp: Some(loki::Timestamp { seconds: now_ns / 1_000_000_000, nanos: 1 }),
                line: line(s * 1000 + n),
                structured_metadata: vec![],
            })
            .collect(),
        hash: 0,
    };
    let request = loki::PushRequest { streams: (0..20).map(stream).collect() };
    let bytes = request.streams.iter().flat_map(|s| &s.entries).map(|e| e.line.len()).sum();
    (compress(&request.encode_to_vec()), bytes)
}

/// Time on a CPU of the main thread, which does all the work; the machine may be busy with others.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

struct Case<'a> {
    name: &'a str,
    path: &'a str,
    content_type: &'a str,
    n_items: usize,
    bytes_per_item: f64,
}

/// What a run took.
struct Taken {
    elapsed: Duration,
    allocations: u64,
    n_items: usize,
    ok: bool,
}

/// Sends the bodies in turn.
async fn run(case: &Case<'_>, router: &Router, bodies: &[Vec<u8>]) -> Taken {
    let requests: Vec<_> = bodies
        .iter()
        .map(|body| {
            Request::post(case.path)
                .extension(TenantId::single())
                .header("content-type", case.content_type)
                .body(Body::from(body.clone()))
                .unwrap_or_default()
        })
        .collect();
    let (before, started) = (allocations(), cpu_time());
    let mut ok = true;
    for request in requests {
        let status = router.clone().oneshot(request).await.map(|r| r.status());
        ok &= status.is_ok_and(|s| s == 204);
    }
    Taken {
        elapsed: cpu_time().saturating_sub(started),
        allocations: allocations() - before,
        n_items: bodies.len() * case.n_items,
        ok,
    }
}

/// Sends one body until its series are known, then often; answers allocations per item.
async fn run_known(case: &Case<'_>, router: &Router, body: Vec<u8>) -> f64 {
    run(case, router, std::slice::from_ref(&body)).await;
    print_result(case, &run(case, router, &vec![body; N_REQUESTS]).await)
}

#[expect(clippy::print_stdout, reason = "the result of the bench")]
fn print_result(case: &Case<'_>, taken: &Taken) -> f64 {
    let n = taken.n_items as f64;
    let ns = taken.elapsed.as_secs_f64() * 1e9 / n;
    let per_item = taken.allocations as f64 / n;
    let mb = case.bytes_per_item * 1e3 / ns;
    println!(
        "{:32} {ns:8.1} ns/item {:8.2} M items/s {mb:8.0} MB/s {per_item:8.4} allocations/item{}",
        case.name,
        1e3 / ns,
        if taken.ok { "" } else { "  FAILED" },
    );
    per_item
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now_ms = SystemClock.now_ms();
    let router = router_with(Limits::default())?;
    let write = |name, content_type, body: &[u8]| {
        let bytes = snap::raw::decompress_len(body).unwrap_or(0);
        let bytes_per_item = bytes as f64 / N_SERIES as f64;
        Case { name, path: "/api/v1/push", content_type, n_items: N_SERIES, bytes_per_item }
    };
    let unknown: Vec<_> = (0..40).map(|i| write_v1((i + 1) * 10_000, 1, now_ms)).collect();
    let case = write("v1, unknown series", V1_TYPE, &unknown[0]);
    print_result(&case, &run(&case, &router, &unknown).await);

    let mut known = Vec::new();
    for (name, content_type, body) in [
        ("v1, known series, 1 sample", V1_TYPE, write_v1(0, 1, now_ms)),
        ("v1, known series, 5 samples", V1_TYPE, write_v1(0, 5, now_ms)),
        ("v2, known series, 1 sample", V2_TYPE, write_v2(now_ms)),
    ] {
        known.push(run_known(&write(name, content_type, &body), &router, body).await);
    }
    // A label that all series have stands in for that of a replica.
    let replica = "container".to_owned();
    let pairs = Limits { accept_ha_samples: true, ha_replica_label: replica, ..Limits::default() };
    let with_pairs = router_with(pairs)?;
    for (name, content_type, body) in [
        ("v1, known series of a pair", V1_TYPE, write_v1(0, 1, now_ms)),
        ("v2, known series of a pair", V2_TYPE, write_v2(now_ms)),
    ] {
        known.push(run_known(&write(name, content_type, &body), &with_pairs, body).await);
    }
    let (body, bytes) = push_logs(now_ms * 1_000_000);
    let case = Case {
        name: "loki protobuf, known streams",
        path: "/loki/api/v1/push",
        content_type: V1_TYPE,
        n_items: N_LINES,
        bytes_per_item: bytes as f64 / N_LINES as f64,
    };
    known.push(run_known(&case, &router, body).await);
    if known.iter().any(|per_item| *per_item > 0.1) {
        return Err("a known series or line costs an allocation".into());
    }
    Ok(())
}
