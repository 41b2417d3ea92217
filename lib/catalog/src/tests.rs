//! Tests of the manifest log against a store that fails, lies about it, and answers in any order.

mod commits;
mod faulty;
mod garbage;
mod golden;
mod model;
mod reads;

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use skald_model::TenantId;
use skald_runtime::{ManualClock, Rng};

use self::faulty::FaultyStore;
use crate::{Author, BlockMeta, Catalog, Change, Config, Signal};

const START_MS: i64 = 1_700_000_000_000;

/// A store, a clock, and the catalogs of several processes on them.
struct World {
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    rng: Rng,
    config: Config,
}

impl World {
    fn new(seed: u64) -> Self {
        let rng = Rng::seeded(seed);
        let store = Arc::new(FaultyStore::new(InMemory::new(), rng.clone()));
        Self { store, clock: ManualClock::at_ms(START_MS), rng, config: Config::default() }
    }

    /// The catalog of another process.
    fn catalog(&self, replica: &str, epoch: u64) -> Catalog {
        let store: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(&self.store);
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let author = Author { replica: replica.to_owned(), epoch };
        Catalog::new(store, clock, self.rng.clone(), author, self.config.clone())
    }

    /// Lets time pass for us and for the store.
    fn advance_ms(&self, ms: i64) {
        self.clock.advance_ms(ms);
        self.store.advance_ms(ms);
    }

    async fn upload(&self, id: &str) {
        let path = crate::path::block(&tenant(), id).join("data.parquet");
        self.store.inner.put(&path, Bytes::from_static(b"block").into()).await.unwrap();
        self.store.note_put(&path);
    }

    async fn has_objects(&self, id: &str) -> bool {
        let path = crate::path::block(&tenant(), id).join("data.parquet");
        self.store.inner.head(&path).await.is_ok()
    }
}

fn tenant() -> TenantId {
    TenantId::parse("team-a").unwrap()
}

fn block(id: &str) -> BlockMeta {
    BlockMeta {
        id: id.to_owned(),
        signal: Signal::Metrics.into(),
        min_time: 10,
        max_time: 20,
        n_series: 3,
        n_rows: 40,
        size_bytes: 500,
        crc32c: 0xdead_beef,
        level: 0,
        format_version: 1,
        sources: vec!["ingester-0".to_owned()],
    }
}

fn add(id: &str) -> Change {
    Change { adds: vec![block(id)], ..Change::default() }
}

fn remove(id: &str) -> Change {
    Change { removes: vec![id.to_owned()], ..Change::default() }
}

fn ids(view: &crate::View) -> Vec<&str> {
    view.blocks.iter().map(|b| b.id.as_str()).collect()
}
