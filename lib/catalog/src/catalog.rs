//! The handle: cached views, and what keeps blocks from being deleted under a query.
//!
//! Invariant: the cached view of a tenant never goes back. A view is pinned as long as anybody holds it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use object_store::ObjectStore;
use parking_lot::Mutex;
use skald_model::{Chain, TenantId};
use skald_proto::catalog::Author;
use skald_runtime::{Rng, SharedClock};
use tokio::time::Instant;
use tracing::warn;

use crate::gc::Sightings;
use crate::objects::Objects;
use crate::{Config, Error, View, path};

/// Tenants without commits are forgotten when more than this many are cached.
const MAX_TENANTS: usize = 10_000;

/// The manifest logs of all tenants. Clones share caches and locks.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
    pub(crate) author: Arc<Author>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) objects: Objects,
    pub(crate) clock: SharedClock,
    pub(crate) rng: Rng,
    pub(crate) config: Config,
    tenants: Mutex<HashMap<TenantId, Arc<Tenant>>>,
    /// Views that were read before this are out of date, however young.
    expired: Mutex<Option<Instant>>,
}

/// What this process knows of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    cached: Mutex<Option<Cached>>,
    pins: Mutex<Vec<Weak<View>>>,
    refreshing: tokio::sync::Mutex<()>,
    /// Commits of this process go one by one.
    pub(crate) committing: tokio::sync::Mutex<()>,
    pub(crate) sightings: tokio::sync::Mutex<Sightings>,
}

/// A view and how far it can be trusted.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    pub(crate) view: Arc<View>,
    /// It held every commit that was visible at this moment.
    pub(crate) fresh_at: Stamp,
    /// No commit behind it was deleted at this moment.
    pub(crate) verified_at: Stamp,
}

/// A moment by two clocks, since one stops with the machine and the other may be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    at: Instant,
    wall_ms: i64,
}

// === impl Stamp ===

impl Stamp {
    /// The longer of the times that passed by both clocks.
    pub(crate) fn elapsed(self, inner: &Inner) -> Duration {
        let wall = inner.clock.now_ms().saturating_sub(self.wall_ms);
        self.at.elapsed().max(Duration::from_millis(u64::try_from(wall).unwrap_or(0)))
    }
}

// === impl Inner ===

impl Inner {
    pub(crate) fn now(&self) -> Stamp {
        Stamp { at: Instant::now(), wall_ms: self.clock.now_ms() }
    }

    /// Whether a view may be used that was read at `stamp` and may be `max_age` old.
    fn is_fresh(&self, stamp: Stamp, max_age: Duration) -> bool {
        let expired = *self.expired.lock();
        expired.is_none_or(|at| stamp.at > at) && stamp.elapsed(self) <= max_age
    }

    /// Waits before the `n`-th retry: longer each time, never the same.
    pub(crate) async fn back_off(&self, n: u32) {
        let most = 50u64 << n.min(7);
        let ms = most / 2 + self.rng.below(most / 2 + 1);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

// === impl Tenant ===

impl Tenant {
    pub(crate) fn cached(&self) -> Option<Cached> {
        self.cached.lock().clone()
    }

    /// Makes `next` the cached view unless a newer one is there.
    pub(crate) fn publish(&self, next: Cached) -> Cached {
        let mut cached = self.cached.lock();
        if let Some(have) = &mut *cached
            && have.view.number >= next.view.number
        {
            if have.view.number == next.view.number {
                have.fresh_at = next.fresh_at;
                have.verified_at = next.verified_at;
            }
            return have.clone();
        }
        let mut pins = self.pins.lock();
        pins.retain(|pin| pin.strong_count() > 0);
        pins.push(Arc::downgrade(&next.view));
        *cached = Some(next.clone());
        next
    }

    /// Drops a view that turned out to be wrong.
    pub(crate) fn forget(&self) {
        *self.cached.lock() = None;
    }

    pub(crate) fn is_pinned(&self, block: &str) -> bool {
        let alive: Vec<Arc<View>> = self.pins.lock().iter().filter_map(Weak::upgrade).collect();
        alive.iter().any(|view| view.block(block).is_some())
    }
}

// === impl Catalog ===

impl Catalog {
    /// `author` is who signs the commits of this handle.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        clock: SharedClock,
        rng: Rng,
        author: Author,
        config: Config,
    ) -> Self {
        let objects = Objects { store, timeout: config.request_timeout.0 };
        let (tenants, expired) = (Mutex::default(), Mutex::default());
        let inner = Inner { objects, clock, rng, config, tenants, expired };
        Self { inner: Arc::new(inner), author: Arc::new(author) }
    }

    /// The same catalog (caches, locks, pins) for another author.
    pub fn with_author(&self, author: Author) -> Self {
        Self { inner: Arc::clone(&self.inner), author: Arc::new(author) }
    }

    /// From now on only views that were read later are used: somebody relies on commits made before this
    /// call, and does not know their numbers.
    pub fn expire(&self) {
        *self.inner.expired.lock() = Some(Instant::now());
    }

    pub fn author(&self) -> &Author {
        &self.author
    }

    pub(crate) fn tenant(&self, tenant: &TenantId) -> Arc<Tenant> {
        let mut tenants = self.inner.tenants.lock();
        if let Some(found) = tenants.get(tenant) {
            return Arc::clone(found);
        }
        if tenants.len() >= MAX_TENANTS {
            tenants.retain(|_, t| {
                Arc::strong_count(t) > 1 || t.cached().is_some_and(|c| c.view.number > 0)
            });
        }
        Arc::clone(tenants.entry(tenant.clone()).or_default())
    }

    /// The cached view if it is not older than `max_age` of the configuration, else a refreshed one.
    ///
    /// While the store is away the cached view serves up to `max_staleness`. A tenant that nobody
    /// wrote to has an empty view of number 0. Cancel-safe, as all readers here.
    pub async fn view(&self, tenant: &TenantId) -> Result<Arc<View>, Error> {
        let config = &self.inner.config;
        let error = match self.view_within(tenant, config.max_age.0).await {
            Err(e) if e.is_transient() => e,
            other => return other,
        };
        match self.tenant(tenant).cached() {
            Some(c) if self.inner.is_fresh(c.fresh_at, config.max_staleness.0) => {
                warn!(%tenant, error = %Chain(&error), "manifest not refreshed, using an older view");
                Ok(c.view)
            }
            _ => Err(error),
        }
    }

    /// The cached view if it is not older than `max_age`, else a refreshed one or an error.
    pub async fn view_within(
        &self,
        tenant: &TenantId,
        max_age: Duration,
    ) -> Result<Arc<View>, Error> {
        let state = self.tenant(tenant);
        if let Some(c) = state.cached()
            && !max_age.is_zero()
            && self.inner.is_fresh(c.fresh_at, max_age)
        {
            return Ok(c.view);
        }
        self.refresh_state(tenant, &state).await
    }

    /// A view that holds every commit visible at the time of the call.
    pub async fn refresh(&self, tenant: &TenantId) -> Result<Arc<View>, Error> {
        self.refresh_state(tenant, &self.tenant(tenant)).await
    }

    async fn refresh_state(&self, tenant: &TenantId, state: &Tenant) -> Result<Arc<View>, Error> {
        let asked = Instant::now();
        let _turn = state.refreshing.lock().await;
        // Somebody else may have begun and ended a refresh while this one waited.
        let cached = state.cached();
        if let Some(c) = &cached
            && c.fresh_at.at > asked
        {
            return Ok(Arc::clone(&c.view));
        }
        let next = self.load_newer(tenant, cached).await?;
        Ok(state.publish(next).view)
    }

    /// A view of commit `number` or later, not older than `max_age` of the configuration.
    ///
    /// Waits up to `visibility_timeout` for the commit to appear, then fails as `Unavailable`.
    pub async fn view_at_least(&self, tenant: &TenantId, number: u64) -> Result<Arc<View>, Error> {
        let view = self.view(tenant).await?;
        if view.number >= number {
            return Ok(view);
        }
        let started = Instant::now();
        let mut have = view.number;
        for attempt in 0.. {
            match self.refresh(tenant).await {
                Ok(view) if view.number >= number => return Ok(view),
                Ok(view) => have = view.number,
                Err(e) if !e.is_transient() => return Err(e),
                Err(_) => {}
            }
            if started.elapsed() >= self.inner.config.visibility_timeout.0 {
                break;
            }
            self.inner.back_off(attempt).await;
        }
        Err(Error::NotVisible { wanted: number, have })
    }

    /// Whether a view that somebody in this process holds has the block.
    pub fn is_pinned(&self, tenant: &TenantId, block: &str) -> bool {
        self.tenant(tenant).is_pinned(block)
    }

    /// Every tenant that has objects, in order. Directories that are no tenant's are left out.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        let root = path::tenants();
        let objects = &self.inner.objects;
        let listed = tokio::time::timeout(
            objects.timeout.saturating_mul(10),
            objects.store.list_with_delimiter(Some(&root)),
        );
        let listed = listed.await.map_err(|_| Error::Timeout { path: root.to_string() })?;
        let listed = listed.map_err(|e| Error::store(&root, e))?;
        let mut found: Vec<_> = listed.common_prefixes.iter().filter_map(path::tenant_of).collect();
        found.sort_unstable();
        Ok(found)
    }
}
