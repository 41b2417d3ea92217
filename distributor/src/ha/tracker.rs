//! Who is elected in each cluster of each tenant: a table in memory over the store of keys.
//!
//! ```text
//! <prefix><tenant>/<cluster>   skald_coord::record::HaRecord, see docs/formats/cluster.md
//! ```
//!
//! Invariants: only a compare-and-set elects; while the store is away the table stays as it is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use skald_coord::record::{HaRecord, decode, encode};
use skald_coord::{KeyStore, MemoryStore, Snapshot, StoreError};
use skald_limits::{Limits, Overrides};
use skald_model::TenantId;
use skald_runtime::{SharedClock, Shutdown};
use tracing::{debug, info, warn};

use super::election::{Verdict, judge};
use crate::metrics::Metrics;

/// Least time between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest time between them.
const LOOK: Duration = Duration::from_secs(5);
/// A cluster not heard of for so long is forgotten, unless the failover timeout is longer than half of it.
const FORGET_MS: i64 = 3_600_000;
/// Attempts of one election while others write the same key.
const ATTEMPTS: usize = 3;

/// Where elections are written down.
#[derive(Clone, Debug)]
pub struct Elections {
    store: Arc<dyn KeyStore>,
    prefix: String,
}

#[derive(Debug)]
pub(crate) struct Tracker {
    at: Elections,
    limits: Overrides,
    clock: SharedClock,
    metrics: Metrics,
    table: RwLock<Table>,
    /// Newest revision of the store that was seen.
    revision: AtomicU64,
    /// Why the store does not answer; empty if it does.
    trouble: Mutex<String>,
}

/// By tenant and cluster.
type Table = HashMap<String, HashMap<String, Known>>;

#[derive(Debug)]
struct Known {
    record: HaRecord,
    /// Of its key; 0 if the store has lost it.
    revision: u64,
    /// When samples of the elected replica last came, here or as the record says.
    heard_ms: AtomicI64,
}

// === impl Elections ===

impl Elections {
    /// Below `prefix` of a store that several distributors share.
    pub fn shared(store: Arc<dyn KeyStore>, prefix: String) -> Self {
        Self { store, prefix }
    }

    /// In the memory of this process.
    pub fn local() -> Self {
        Self { store: Arc::new(MemoryStore::default()), prefix: "/ha/".to_owned() }
    }

    fn below(&self, tenant: &str) -> String {
        format!("{}{tenant}/", self.prefix)
    }

    fn key(&self, tenant: &str, cluster: &str) -> String {
        let mut key = self.below(tenant);
        for b in cluster.bytes() {
            if b.is_ascii_alphanumeric() || b"-_.".contains(&b) {
                key.push(char::from(b));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(key, "%{b:02X}");
            }
        }
        key
    }
}

// === impl Known ===

impl Known {
    fn heard_ms(&self) -> i64 {
        self.heard_ms.load(Ordering::Relaxed)
    }
}

// === impl Tracker ===

impl Tracker {
    pub(crate) fn new(
        at: Elections,
        limits: Overrides,
        clock: SharedClock,
        metrics: Metrics,
    ) -> Self {
        Self {
            at,
            limits,
            clock,
            metrics,
            table: RwLock::default(),
            revision: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    /// What becomes of samples of `replica` that came at `now_ms`. Never waits, allocates nothing.
    pub(crate) fn judge(
        &self,
        tenant: &TenantId,
        limits: &Limits,
        cluster: &str,
        replica: &str,
        now_ms: i64,
    ) -> Verdict {
        let table = self.table.read();
        let clusters = table.get(tenant.as_str());
        let known = clusters.and_then(|c| c.get(cluster));
        let elected = known.map(|k| (k.record.replica.as_str(), k.heard_ms()));
        let n_clusters = clusters.map_or(0, HashMap::len);
        let verdict = judge(elected, n_clusters, replica, now_ms, limits);
        if let Some(known) = known
            && verdict == Verdict::Accept
        {
            known.heard_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
        verdict
    }

    /// Has `replica` elected, unless somebody else was meanwhile. An error means that the store is away and nothing
    /// is decided.
    pub(crate) async fn elect(
        &self,
        tenant: &TenantId,
        cluster: &str,
        replica: &str,
    ) -> Result<(), StoreError> {
        let limits = self.limits.get(tenant);
        let name = tenant.as_str();
        let key = self.at.key(name, cluster);
        for attempt in 0..ATTEMPTS {
            let now_ms = self.clock.now_ms();
            if attempt > 0 || self.revision_of(name, cluster) == 0 {
                self.look(&self.at.below(name)).await?;
            }
            if self.judge(tenant, &limits, cluster, replica, now_ms) != Verdict::Elect {
                return Ok(());
            }
            let expected = self.revision_of(name, cluster);
            let (cluster, replica) = (cluster.to_owned(), replica.to_owned());
            let record = HaRecord { cluster, replica, elected_ms: now_ms, seen_ms: now_ms };
            let value = encode(&record);
            if let Some(revision) = self.at.store.put(&key, expected, value, None).await? {
                info!(%tenant, cluster = record.cluster, replica = record.replica, "replica elected");
                self.metrics.ha_elections.inc();
                self.learn(name, record, revision);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at the store, writes down who was heard, forgets who was not.
    pub(crate) async fn round(&self) -> Result<(), StoreError> {
        if !self.is_used() {
            return Ok(());
        }
        self.look(&self.at.prefix).await?;
        let now_ms = self.clock.now_ms();
        for (tenant, mut record, revision, heard_ms) in self.all() {
            let Ok(id) = TenantId::parse(&tenant) else { continue };
            let limits = self.limits.get(&id);
            let key = self.at.key(&tenant, &record.cluster);
            let silent_ms = now_ms.saturating_sub(heard_ms);
            let failover_ms = limits.ha_tracker_failover_timeout.as_millis();
            if heard_ms - record.seen_ms >= limits.ha_tracker_update_timeout.as_millis() {
                record.seen_ms = heard_ms;
                let written = self.at.store.put(&key, revision, encode(&record), None).await?;
                if let Some(revision) = written {
                    self.learn(&tenant, record, revision);
                }
            } else if silent_ms > FORGET_MS.max(failover_ms.saturating_mul(2)) {
                debug!(tenant, cluster = record.cluster, "cluster not heard of, forgotten");
                if revision == 0 || self.at.store.delete(&key, revision).await? {
                    self.forget(&tenant, &record.cluster, revision);
                }
            }
        }
        Ok(())
    }

    /// Keeps the table and the store alike until `stop`.
    pub(crate) async fn run(&self, stop: &Shutdown) {
        while !stop.is_triggered() {
            match self.round().await {
                Ok(()) => self.trouble.lock().clear(),
                Err(error) => {
                    let mut trouble = self.trouble.lock();
                    if trouble.is_empty() {
                        warn!(%error, "store of elections does not answer, those elected stay");
                    }
                    *trouble = error.to_string();
                }
            }
            let after = self.revision.load(Ordering::Acquire);
            let hint = async {
                tokio::time::sleep(PAUSE).await;
                self.at.store.changed(&self.at.prefix, after).await;
            };
            tokio::select! {
                () = stop.wait() => return,
                () = hint => {}
                () = tokio::time::sleep(self.longest_wait()) => {}
            }
        }
    }

    /// What is known of a tenant's clusters, sorted, with the time at which each was last heard here or elsewhere.
    pub(super) fn of(&self, tenant: &TenantId) -> Vec<(HaRecord, i64)> {
        let table = self.table.read();
        let known = table.get(tenant.as_str()).into_iter().flat_map(HashMap::values);
        let mut all: Vec<_> = known.map(|k| (k.record.clone(), k.heard_ms())).collect();
        all.sort_by(|a, b| a.0.cluster.cmp(&b.0.cluster));
        all
    }

    pub(super) fn trouble(&self) -> String {
        self.trouble.lock().clone()
    }

    fn is_used(&self) -> bool {
        let accepts = |l: &Limits| l.accept_ha_samples;
        accepts(&self.limits.defaults()) || self.limits.tenants().iter().any(|(_, l)| accepts(l))
    }

    fn longest_wait(&self) -> Duration {
        let tenants = self.limits.tenants();
        let all = tenants.iter().map(|(_, l)| l.ha_tracker_update_timeout.0);
        let default = self.limits.defaults().ha_tracker_update_timeout.0;
        all.chain([default]).fold(LOOK, Duration::min).max(PAUSE)
    }

    fn revision_of(&self, tenant: &str, cluster: &str) -> u64 {
        let table = self.table.read();
        table.get(tenant).and_then(|c| c.get(cluster)).map_or(0, |k| k.revision)
    }

    fn all(&self) -> Vec<(String, HaRecord, u64, i64)> {
        let table = self.table.read();
        let all = table.iter().flat_map(|(tenant, clusters)| {
            let of = |k: &Known| (tenant.clone(), k.record.clone(), k.revision, k.heard_ms());
            clusters.values().map(of)
        });
        all.collect()
    }

    /// Takes over what the store has below `prefix`.
    async fn look(&self, prefix: &str) -> Result<(), StoreError> {
        let before = self.revision.load(Ordering::Acquire);
        let snapshot = self.at.store.list(prefix).await?;
        if snapshot.revision < before {
            warn!(found = snapshot.revision, before, "store of elections has lost what it knew");
            // Those elected stay, and are written again.
            let mut table = self.table.write();
            table.values_mut().flat_map(HashMap::values_mut).for_each(|k| k.revision = 0);
            self.revision.store(snapshot.revision, Ordering::Release);
        }
        self.revision.fetch_max(snapshot.revision, Ordering::AcqRel);
        self.take(prefix, &snapshot);
        Ok(())
    }

    fn take(&self, prefix: &str, snapshot: &Snapshot) {
        let mut found: HashMap<&str, HashMap<String, u64>> = HashMap::new();
        for entry in &snapshot.entries {
            let path = entry.key.strip_prefix(&self.at.prefix).unwrap_or_default();
            let Some((tenant, _)) = path.split_once('/') else { continue };
            match decode::<HaRecord>(&entry.key, &entry.value) {
                Ok(record) => {
                    let of_tenant = found.entry(tenant).or_default();
                    of_tenant.insert(record.cluster.clone(), entry.revision);
                    self.learn(tenant, record, entry.revision);
                }
                Err(error) => debug!(%error, "record of an election cannot be read"),
            }
        }
        let mut table = self.table.write();
        for (tenant, clusters) in table.iter_mut() {
            if !self.at.below(tenant).starts_with(prefix) {
                continue;
            }
            let there = found.get(tenant.as_str());
            clusters.retain(|cluster, known| {
                let is_there = there.is_some_and(|t| t.contains_key(cluster));
                // What was written after the listing is no less true; 0 waits to be written again.
                is_there || known.revision == 0 || known.revision > snapshot.revision
            });
        }
        table.retain(|_, clusters| !clusters.is_empty());
    }

    /// Remembers a record that the store had at `revision`, unless a newer one is known.
    fn learn(&self, tenant: &str, record: HaRecord, revision: u64) {
        self.revision.fetch_max(revision, Ordering::AcqRel);
        let mut table = self.table.write();
        let clusters = table.entry(tenant.to_owned()).or_default();
        let known = clusters.get(&record.cluster);
        if known.is_some_and(|k| k.revision >= revision) {
            return;
        }
        let same = known.filter(|k| k.record.replica == record.replica);
        let heard_ms = same.map_or(record.seen_ms, |k| k.heard_ms().max(record.seen_ms));
        let heard_ms = AtomicI64::new(heard_ms);
        clusters.insert(record.cluster.clone(), Known { record, revision, heard_ms });
    }

    fn forget(&self, tenant: &str, cluster: &str, revision: u64) {
        let mut table = self.table.write();
        if let Some(clusters) = table.get_mut(tenant)
            && clusters.get(cluster).is_some_and(|k| k.revision == revision)
        {
            clusters.remove(cluster);
        }
    }
}
