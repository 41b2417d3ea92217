//! A querier with everything it stands on, and short ways to fill it and to ask it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use prometheus_client::registry::Registry;
use serde_json::Value;
use skald_blocks::{
    BlockId, BlockMeta, LogBlockWriter, MetricBlockWriter, SeriesRow, WriterOptions, put_block,
};
use skald_catalog::{Author, Catalog, Change};
use skald_limits::{Limits, Overrides};
use skald_model::{Labels, LogEntry, Series, Signal, StreamEntries, TenantId};
use skald_querier::{Config, Dependencies, Querier, loki_router, prometheus_router};
use skald_ring::{Partition, PartitionState, Replica, ReplicaId, View};
use skald_runtime::{ManualClock, Rng};
use tower::ServiceExt;

use crate::fake::{Changing, Directory, FakeIngester};

/// 2026-01-01T00:00:00Z.
pub(crate) const BASE_S: i64 = 1_767_225_600;
pub(crate) const BASE_MS: i64 = BASE_S * 1000;
pub(crate) const BASE_NS: i64 = BASE_MS * 1_000_000;

/// A route, its parameters, and how the refusal begins.
pub(crate) type Refusal<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

pub(crate) struct World {
    /// By partition, then replica.
    pub(crate) ingesters: Vec<Vec<Arc<FakeIngester>>>,
    pub(crate) coordinator: Arc<Changing>,
    /// Of the first view.
    pub(crate) partitions: Vec<Partition>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) catalog: Catalog,
    pub(crate) router: Router,
    parts: Dependencies,
    registry: Registry,
    rng: Rng,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Self { status, headers, body }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// `data` of a successful answer.
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["data"].clone()
    }

    /// `data.result` of a successful query.
    pub(crate) fn result(&self) -> Value {
        self.data()["result"].clone()
    }
}

impl World {
    /// One partition with one replica.
    pub(crate) fn single() -> Self {
        Self::new(1, 1, Limits::default())
    }

    pub(crate) fn new(n_partitions: u32, n_replicas: usize, limits: Limits) -> Self {
        let clock = ManualClock::at_ms(BASE_MS + 3_600_000);
        let rng = Rng::seeded(7);
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        // Who writes blocks and who reads them know of each other only through the store.
        let catalog = |replica: &str| {
            let author = Author { replica: replica.to_owned(), epoch: 1 };
            let config = skald_catalog::Config::default();
            let clock = Arc::<ManualClock>::clone(&clock);
            Catalog::new(Arc::clone(&store), clock, rng.clone(), author, config)
        };
        let (catalog, readers) = (catalog("writer"), catalog("reader"));
        let mut by_id = HashMap::new();
        let mut ingesters = Vec::new();
        let mut partitions = Vec::new();
        for p in 0..n_partitions {
            let mut replicas = Vec::new();
            let mut fakes = Vec::new();
            for r in 0..n_replicas {
                let id = format!("p{p}-r{r}");
                let fake = Arc::new(FakeIngester::default());
                by_id.insert(id.clone(), Arc::clone(&fake));
                fakes.push(fake);
                let (id, zone) = (ReplicaId(id), format!("zone-{r}"));
                replicas.push(Replica {
                    id,
                    addr: String::new(),
                    zone,
                    epoch: 0,
                    rebuilding: false,
                });
            }
            ingesters.push(fakes);
            partitions.push(Partition { id: p, state: PartitionState::Active, replicas });
        }
        let view = View::new(1, partitions.clone()).unwrap();
        let coordinator = Arc::new(Changing::new(view));
        let parts = Dependencies {
            coordinator: Arc::<Changing>::clone(&coordinator),
            directory: Arc::new(Directory(by_id)),
            catalog: readers,
            store: Arc::clone(&store),
            limits: Overrides::fixed(limits),
            clock,
        };
        let mut registry = Registry::default();
        let querier = Querier::new(Config::default(), parts.clone(), &mut registry);
        let router = prometheus_router()
            .merge(Router::new().nest("/prometheus", prometheus_router()))
            .merge(loki_router())
            .with_state(querier);
        Self { ingesters, coordinator, partitions, store, catalog, router, parts, registry, rng }
    }

    /// One more querier over the same data.
    pub(crate) fn another(&self, config: Config) -> Another {
        let mut registry = Registry::default();
        let querier = Querier::new(config, self.parts.clone(), &mut registry);
        let router = prometheus_router().merge(loki_router()).with_state(querier);
        Another { router, registry }
    }

    pub(crate) fn ingester(&self) -> &FakeIngester {
        &self.ingesters[0][0]
    }

    /// Stores and commits a metric block; answers the commit's number.
    pub(crate) async fn commit_series(&self, tenant: &TenantId, series: &[Series]) -> u64 {
        let mut writer = MetricBlockWriter::new(WriterOptions::new(self.block_id()));
        for s in series {
            writer.push(row(s)).unwrap();
        }
        let encoded = writer.finish().unwrap();
        put_block(&self.store, tenant, &encoded).await.unwrap();
        self.commit(tenant, &encoded.meta, &[]).await
    }

    /// Stores and commits a log block.
    pub(crate) async fn commit_streams(&self, tenant: &TenantId, streams: &[StreamEntries]) -> u64 {
        let mut writer = LogBlockWriter::new(WriterOptions::new(self.block_id()));
        for s in streams {
            writer.push(s.labels.clone(), s.entries.clone()).unwrap();
        }
        let encoded = writer.finish().unwrap();
        put_block(&self.store, tenant, &encoded).await.unwrap();
        self.commit(tenant, &encoded.meta, &[]).await
    }

    pub(crate) async fn commit(
        &self,
        tenant: &TenantId,
        meta: &BlockMeta,
        removes: &[String],
    ) -> u64 {
        let signal = match meta.signal {
            Signal::Metrics => skald_catalog::Signal::Metrics,
            Signal::Logs => skald_catalog::Signal::Logs,
        };
        let add = skald_catalog::BlockMeta {
            id: meta.id.to_string(),
            signal: signal.into(),
            min_time: meta.min_time,
            max_time: meta.max_time,
            n_series: meta.n_series,
            n_rows: meta.n_rows,
            size_bytes: meta.size_bytes,
            crc32c: meta.crc32c,
            level: meta.level,
            format_version: meta.format_version,
            sources: meta.sources.clone(),
        };
        let change = Change { adds: vec![add], removes: removes.to_vec(), ..Change::default() };
        self.catalog.commit(tenant, change).await.unwrap()
    }

    /// Deletes the object of every block that the catalog of `tenant` lists now; answers their ids.
    pub(crate) async fn lose_blocks(&self, tenant: &TenantId) -> Vec<String> {
        let view = self.catalog.refresh(tenant).await.unwrap();
        let mut ids = Vec::new();
        for block in &view.blocks {
            let id = BlockId::parse(&block.id).unwrap();
            self.store.delete(&skald_blocks::path(tenant, id)).await.unwrap();
            ids.push(block.id.clone());
        }
        ids
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> String {
        metric(&self.registry, name)
    }

    /// All metrics as they are scraped.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    fn block_id(&self) -> BlockId {
        BlockId::new(BASE_MS, self.rng.next_u128())
    }

    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        tenant: Option<&TenantId>,
    ) -> Reply {
        if let Some(tenant) = tenant {
            request.extensions_mut().insert(tenant.clone());
        }
        Reply::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// A GET as the tenant `default`.
    pub(crate) async fn get(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        self.get_as(&TenantId::single(), path, params).await
    }

    pub(crate) async fn get_as(
        &self,
        tenant: &TenantId,
        path: &str,
        params: &[(&str, &str)],
    ) -> Reply {
        let uri = format!("{path}?{}", encode(params));
        let request = Request::get(uri).body(Body::empty()).unwrap();
        self.send(request, Some(tenant)).await
    }

    /// A form POST as the tenant `default`.
    pub(crate) async fn post(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(encode(params)))
            .unwrap();
        self.send(request, Some(&TenantId::single())).await
    }
}

/// A querier with a configuration of its own.
pub(crate) struct Another {
    router: Router,
    registry: Registry,
}

impl Another {
    pub(crate) async fn get(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        self.get_with(path, params, &[]).await
    }

    pub(crate) async fn get_with(
        &self,
        path: &str,
        params: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Reply {
        let uri = format!("{path}?{}", encode(params));
        let request = headers.iter().fold(Request::get(uri), |r, (n, v)| r.header(*n, *v));
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(TenantId::single());
        Reply::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) fn metric(&self, name: &str) -> String {
        metric(&self.registry, name)
    }
}

fn metric(registry: &Registry, name: &str) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

pub(crate) fn encode(params: &[(&str, &str)]) -> String {
    let escape = |s: &str| -> String { s.bytes().map(|b| format!("%{b:02x}")).collect() };
    let pairs: Vec<String> =
        params.iter().map(|(n, v)| format!("{}={}", escape(n), escape(v))).collect();
    pairs.join("&")
}

fn row(s: &Series) -> SeriesRow {
    let mut floats = Vec::new();
    skald_codec::chunk::encode_floats(&s.timestamps, &s.values, &mut floats);
    SeriesRow { labels: s.labels.clone(), floats: vec![floats.into()], ..SeriesRow::default() }
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// Samples at seconds after the base.
pub(crate) fn series(pairs: &[(&str, &str)], points: &[(i64, f64)]) -> Series {
    let (timestamps, values) = points.iter().map(|(s, v)| (BASE_MS + s * 1000, *v)).unzip();
    Series { labels: labels(pairs), timestamps, values, ..Series::default() }
}

/// Lines at seconds after the base.
pub(crate) fn stream(pairs: &[(&str, &str)], lines: &[(i64, &str)]) -> StreamEntries {
    let entry = |(s, line): &(i64, &str)| LogEntry {
        timestamp_ns: BASE_NS + s * 1_000_000_000,
        line: Bytes::copy_from_slice(line.as_bytes()),
        metadata: Labels::empty(),
    };
    StreamEntries { labels: labels(pairs), entries: lines.iter().map(entry).collect() }
}

/// Seconds after the base as the APIs take them.
pub(crate) fn at(s: i64) -> String {
    (BASE_S + s).to_string()
}
