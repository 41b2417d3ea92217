//! A cluster of coordinators without data: what they would have others flush is written down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use skald_ring::{Coordinator, PartitionState, Replica};
use skald_runtime::{Rng, Shutdown, SystemClock};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::record::Member;
use crate::store::{KeyStore, LeaseId, Snapshot, StoreError};
use crate::{Cluster, JoinError, Me, MemoryStore, Neighbours, Process, Timing, claim};

pub(super) const PREFIX: &str = "/skald/";

/// A store that can be away, or replaced by an empty one.
#[derive(Debug, Default)]
pub(super) struct Switched {
    inner: Mutex<Arc<MemoryStore>>,
    away: AtomicBool,
    /// By so much the next answer to a listing comes late, and is as old.
    late: Mutex<Duration>,
}

impl Switched {
    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(super) fn answer_late(&self, by: Duration) {
        *self.late.lock() = by;
    }

    pub(super) fn lose_everything(&self) {
        *self.inner.lock() = Arc::default();
    }

    /// What a restored backup of now would have.
    pub(super) async fn backup(&self) -> Arc<MemoryStore> {
        let (from, to) = (Arc::clone(&self.inner.lock()), MemoryStore::default());
        for entry in from.list(PREFIX).await.unwrap().entries {
            to.put(&entry.key, 0, entry.value, None).await.unwrap();
        }
        Arc::new(to)
    }

    pub(super) fn put_back(&self, backup: Arc<MemoryStore>) {
        *self.inner.lock() = backup;
    }

    fn store(&self) -> Result<Arc<MemoryStore>, StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("is away".to_owned())),
            false => Ok(Arc::clone(&self.inner.lock())),
        }
    }
}

#[async_trait]
impl KeyStore for Switched {
    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        let found = self.store()?.list(prefix).await;
        let late = std::mem::take(&mut *self.late.lock());
        tokio::time::sleep(late).await;
        found
    }

    async fn put(
        &self,
        key: &str,
        expected: u64,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Option<u64>, StoreError> {
        self.store()?.put(key, expected, value, lease).await
    }

    async fn delete(&self, key: &str, expected: u64) -> Result<bool, StoreError> {
        self.store()?.delete(key, expected).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.store()?.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, StoreError> {
        self.store()?.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store()?.revoke(lease).await
    }

    /// Never hints: everything must come right by looking at intervals.
    async fn changed(&self, _prefix: &str, _after: u64) {
        std::future::pending::<()>().await;
    }
}

/// What replicas were told, in order; those in `dead` do not answer.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) flushes: Mutex<Vec<(String, u64)>>,
    pub(super) dead: Mutex<Vec<String>>,
    pub(super) expired: Mutex<u32>,
}

#[async_trait]
impl Neighbours for Told {
    async fn flush(&self, replica: &Replica, min_view: u64) -> Result<(), String> {
        if self.dead.lock().contains(&replica.id.0) {
            return Err(format!("{} is dead", replica.id));
        }
        self.flushes.lock().push((replica.id.0.clone(), min_view));
        Ok(())
    }

    fn expire_blocks(&self) {
        *self.expired.lock() += 1;
    }
}

/// One process that runs.
pub(super) struct Node {
    pub(super) cluster: Cluster,
    stop: Shutdown,
    task: JoinHandle<()>,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) store: Arc<Switched>,
    pub(super) told: Arc<Told>,
    pub(super) nodes: BTreeMap<String, Node>,
    disks: BTreeMap<String, TempDir>,
    seed: u64,
}

pub(super) fn name(zone: char, partition: u32) -> String {
    format!("ingester-{zone}-{partition}")
}

impl World {
    /// Starts an ingester on the disk it had before, if it has one.
    pub(super) async fn start(&mut self, zone: char, partition: u32) {
        self.start_as(&name(zone, partition), zone, partition, "").await.unwrap();
    }

    /// Starts one of any name; `disk` tells several disks of one name apart.
    pub(super) async fn start_as(
        &mut self,
        id: &str,
        zone: char,
        partition: u32,
        disk: &str,
    ) -> Result<(), JoinError> {
        let key = format!("{id}{disk}");
        let dir = self.disks.entry(key.clone()).or_insert_with(|| TempDir::new().unwrap());
        let dir = dir.path().to_owned();
        self.seed += 1;
        let member = Member {
            addr: format!("{key}:9095"),
            http: String::new(),
            zone: zone.to_string(),
            roles: vec!["ingester".to_owned()],
            version: "test".to_owned(),
            epoch: 0,
            ready: false,
        };
        let process = Process {
            id: id.to_owned(),
            member: member.clone(),
            replication_factor: 3,
            data_dir: dir.clone(),
        };
        let store: Arc<dyn KeyStore> = Arc::clone(&self.store) as _;
        let (prefix, clock) = (PREFIX.to_owned(), Arc::new(SystemClock));
        let cluster = Cluster::open(store, prefix, Timing::default(), process, clock).await?;
        cluster.set_neighbours(Arc::clone(&self.told) as _);
        let (rng, last) = (Rng::seeded(self.seed), cluster.picture());
        let claimed =
            claim(&*self.store, PREFIX, "skald", id, &dir, Some(&last), &rng).await.unwrap();
        cluster.set_ingester(Me {
            id: id.to_owned(),
            zone: zone.to_string(),
            addr: member.addr,
            partition,
            replication_factor: 3,
            incarnation: claimed,
            ready: false,
            drained: false,
        });
        cluster.set_ready();
        let stop = Shutdown::new();
        let task = skald_runtime::spawn("node", cluster.clone().run(stop.clone()));
        self.nodes.insert(key, Node { cluster, stop, task });
        Ok(())
    }

    /// Stops one in order.
    pub(super) async fn stop(&mut self, key: &str) {
        let node = self.nodes.remove(key).unwrap();
        node.stop.trigger();
        node.task.await.unwrap();
    }

    /// Ends one without a word.
    pub(super) async fn kill(&mut self, key: &str) {
        let node = self.nodes.remove(key).unwrap();
        node.task.abort();
        let _ = node.task.await;
        // The lease loop is a task of its own: with this it ends at its next turn, which it has before time passes.
        node.cluster.0.lease.lock().take();
        node.stop.trigger();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    pub(super) fn lose_disk(&mut self, key: &str) {
        self.disks.remove(key);
    }

    /// The file that keeps the last picture.
    pub(super) fn kept(&self, key: &str) -> PathBuf {
        self.disks[key].path().join("cluster.json")
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, seconds: u64) {
        // In steps, so that whatever waits for whatever gets its turn.
        let steps = (seconds * 10).min(1000);
        for _ in 0..steps {
            tokio::time::sleep(Duration::from_secs(seconds) / u32::try_from(steps).unwrap()).await;
        }
    }

    pub(super) fn of(&self, key: &str) -> &Cluster {
        &self.nodes[key].cluster
    }

    pub(super) fn state(&self, seen_by: &str, partition: u32) -> Option<PartitionState> {
        let picture = self.of(seen_by).picture();
        picture.partitions.get(&partition).map(|at| at.record.state)
    }

    pub(super) fn replica(&self, seen_by: &str, id: &str) -> Replica {
        let view = self.of(seen_by).view();
        let mut all = view.partitions.iter().flat_map(|p| &p.replicas);
        all.find(|r| r.id.0 == id).unwrap().clone()
    }

    /// Three ingesters of partition 0, which is active.
    pub(super) async fn of_three() -> Self {
        let mut world = Self::default();
        for zone in ['a', 'b', 'c'] {
            world.start(zone, 0).await;
        }
        world.pass(40).await;
        assert_eq!(world.state("ingester-a-0", 0), Some(PartitionState::Active));
        world
    }
}
