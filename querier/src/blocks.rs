//! Reads the blocks of a tenant that a request needs, a few at a time.
//!
//! Invariant: the blocks read are those of one view of the catalog at least as new as what the heads
//! relied on. When a block of that view is gone (compacted and collected meanwhile), the view is
//! read again and everything with it, once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::ObjectStore;
use skald_blocks::{
    BlockId, BlockMeta, CacheSizes, FooterCache, LogReader, MetricReader, ReadStats,
};
use skald_catalog::{Catalog, Change, CommitError, View};
use skald_model::{Chain, ErrorKind, Signal, TenantId, TimeRange};
use skald_runtime::ByteSize;
use tracing::debug;

use crate::Error;
use crate::config::Config;
use crate::memory::Size;
use crate::metrics::Metrics;
use crate::scope::Scope;

/// Where blocks are found and read.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    catalog: Catalog,
    store: Arc<dyn ObjectStore>,
    cache: Arc<FooterCache>,
    concurrency: usize,
    max_age: Duration,
    metrics: Metrics,
}

/// One block to be opened.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    store: Arc<dyn ObjectStore>,
    tenant: TenantId,
    meta: BlockMeta,
    cache: Arc<FooterCache>,
    stats: Arc<ReadStats>,
    /// Whether another wanted block has data of the same time.
    shares_time: bool,
}

/// Which blocks a request needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) signal: Signal,
    pub(crate) range: TimeRange,
    /// The manifest commit that heads relied on.
    pub(crate) manifest_version: u64,
}

// === impl Block ===

impl Block {
    /// Whether neither another wanted block nor `span` has data of the same time.
    pub(crate) fn is_alone(&self, span: Option<(i64, i64)>) -> bool {
        let meets = |(min, max)| self.meta.min_time <= max && min <= self.meta.max_time;
        !self.shares_time && !span.is_some_and(meets)
    }

    pub(crate) async fn metrics(self) -> Result<MetricReader, skald_blocks::Error> {
        let Self { store, tenant, meta, cache, stats, .. } = self;
        MetricReader::open_counted(store, &tenant, &meta, cache, stats).await
    }

    /// As [`logs`](Self::logs), if the footer is at hand.
    pub(crate) async fn cached_logs(self) -> Result<Option<LogReader>, skald_blocks::Error> {
        let Self { store, tenant, meta, cache, stats, .. } = self;
        LogReader::open_cached(store, &tenant, &meta, cache, stats).await
    }

    pub(crate) async fn logs(self) -> Result<LogReader, skald_blocks::Error> {
        let Self { store, tenant, meta, cache, stats, .. } = self;
        LogReader::open_counted(store, &tenant, &meta, cache, stats).await
    }
}

// === impl Blocks ===

impl Blocks {
    pub(crate) fn new(
        catalog: Catalog,
        store: Arc<dyn ObjectStore>,
        config: &Config,
        metrics: Metrics,
    ) -> Self {
        let bytes = |size: ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
        let cache = Arc::new(FooterCache::with_sizes(CacheSizes {
            footers: bytes(config.footer_cache_size),
            index: bytes(config.index_cache_size),
            pages: bytes(config.page_cache_size),
        }));
        let (concurrency, max_age) = (config.block_concurrency, config.view_max_age.0);
        Self { catalog, store, cache, concurrency, max_age, metrics }
    }

    /// Applies `read` to every wanted block; the answers come in no particular order.
    pub(crate) async fn read<T, F>(
        &self,
        scope: &Scope,
        wanted: Wanted,
        read: F,
    ) -> Result<Vec<T>, Error>
    where
        T: Size + Send,
        F: Fn(Block) -> BoxFuture<'static, Result<T, skald_blocks::Error>> + Sync,
    {
        let view = self.view(&scope.tenant, wanted.manifest_version).await?;
        let held = scope.memory.used();
        match self.read_view(scope, wanted, &view, &read).await {
            Err(Failure::Gone(error)) => {
                debug!(tenant = %scope.tenant, error = %Chain(&error), "block is gone, reading anew");
                self.metrics.view_retries.inc();
                scope.memory.return_to(held);
                let view = self.catalog.refresh(&scope.tenant).await.map_err(|e| of_catalog(&e))?;
                self.read_view(scope, wanted, &view, &read).await.map_err(Failure::into_error)
            }
            other => other.map_err(Failure::into_error),
        }
    }

    /// Whether a view that is not too old has blocks of the signal with data in the range.
    pub(crate) async fn any(&self, scope: &Scope, wanted: Wanted) -> Result<bool, Error> {
        let view = self.view(&scope.tenant, wanted.manifest_version).await?;
        Ok(Self::count_of(&view, wanted)? > 0)
    }

    /// How many blocks of the signal a view has with data in the range.
    pub(crate) fn count_of(view: &View, wanted: Wanted) -> Result<usize, Error> {
        let mut n = 0;
        for entry in &view.blocks {
            n += usize::from(signal(entry)? == wanted.signal && overlaps(entry, wanted.range));
        }
        Ok(n)
    }

    /// A view of this moment, after a block of another one was gone.
    pub(crate) async fn newest(&self, tenant: &TenantId) -> Result<Arc<View>, Error> {
        self.metrics.view_retries.inc();
        self.catalog.refresh(tenant).await.map_err(|e| of_catalog(&e))
    }

    /// A view that is not too old and has commit `at_least`. Its blocks stay while it is held.
    pub(crate) async fn view(&self, tenant: &TenantId, at_least: u64) -> Result<Arc<View>, Error> {
        let view = self.catalog.view_within(tenant, self.max_age).await;
        let view = match view {
            Ok(view) if view.number >= at_least => Ok(view),
            Ok(_) => self.catalog.view_at_least(tenant, at_least).await,
            Err(e) => Err(e),
        };
        view.map_err(|e| of_catalog(&e))
    }

    /// A view with every commit that is visible now.
    pub(crate) async fn fresh_view(&self, tenant: &TenantId) -> Result<Arc<View>, Error> {
        self.catalog.refresh(tenant).await.map_err(|e| of_catalog(&e))
    }

    /// Commits a change of what the tenant wants, not of its blocks.
    pub(crate) async fn commit(
        &self,
        tenant: &TenantId,
        change: Change,
    ) -> Result<u64, CommitError> {
        self.catalog.commit(tenant, change).await
    }

    /// Applies `read` to the wanted blocks of one view.
    pub(crate) async fn read_view<T, F>(
        &self,
        scope: &Scope,
        wanted: Wanted,
        view: &View,
        read: &F,
    ) -> Result<Vec<T>, Failure>
    where
        T: Size + Send,
        F: Fn(Block) -> BoxFuture<'static, Result<T, skald_blocks::Error>> + Sync,
    {
        let mut needed = Vec::new();
        for entry in &view.blocks {
            if signal(entry).map_err(Failure::Other)? != wanted.signal {
                continue;
            }
            let is_needed = overlaps(entry, wanted.range);
            // A tenant may have thousands of blocks, of which a query needs a few.
            if !is_needed && !scope.reads.are_by_block() {
                continue;
            }
            let meta = meta(entry).map_err(Failure::Other)?;
            scope.reads.consider(meta.id);
            if is_needed {
                needed.push(self.block(scope, meta));
            }
        }
        mark_shared(&mut needed);
        let one = |block: Block| {
            scope.add_block();
            let answer = read(block);
            async move {
                let answer = answer.await.map_err(Failure::from)?;
                scope.memory.take(answer.size_bytes()).map_err(Failure::Other)?;
                Ok(answer)
            }
        };
        stream::iter(needed).map(one).buffer_unordered(self.concurrency).try_collect().await
    }

    fn block(&self, scope: &Scope, meta: BlockMeta) -> Block {
        Block {
            store: Arc::clone(&self.store),
            tenant: scope.tenant.clone(),
            stats: scope.reads.of(meta.id),
            meta,
            cache: Arc::clone(&self.cache),
            shares_time: false,
        }
    }
}

fn corrupt(b: &skald_catalog::BlockMeta) -> Error {
    Error::Internal(format!("catalog describes a block {:?} of unknown kind", b.id))
}

fn signal(b: &skald_catalog::BlockMeta) -> Result<Signal, Error> {
    match b.signal() {
        skald_catalog::Signal::Metrics => Ok(Signal::Metrics),
        skald_catalog::Signal::Logs => Ok(Signal::Logs),
        skald_catalog::Signal::Unspecified => Err(corrupt(b)),
    }
}

fn overlaps(b: &skald_catalog::BlockMeta, range: TimeRange) -> bool {
    range.overlaps(b.min_time, b.max_time)
}

/// The catalog's description of a block in the reader's terms.
fn meta(b: &skald_catalog::BlockMeta) -> Result<BlockMeta, Error> {
    Ok(BlockMeta {
        id: BlockId::parse(&b.id).map_err(|_| corrupt(b))?,
        signal: signal(b)?,
        min_time: b.min_time,
        max_time: b.max_time,
        n_series: b.n_series,
        n_rows: b.n_rows,
        size_bytes: b.size_bytes,
        crc32c: b.crc32c,
        level: b.level,
        format_version: b.format_version,
        sources: b.sources.clone(),
    })
}

fn of_catalog(e: &skald_catalog::Error) -> Error {
    Error::of_kind(e.kind(), Chain(e).to_string())
}

/// Sorts by time and marks blocks whose times overlap.
fn mark_shared(blocks: &mut [Block]) {
    blocks.sort_by_key(|b| b.meta.min_time);
    let mut latest: Option<usize> = None;
    for i in 0..blocks.len() {
        if let Some(j) = latest
            && blocks[i].meta.min_time <= blocks[j].meta.max_time
        {
            blocks[i].shares_time = true;
            blocks[j].shares_time = true;
        }
        if latest.is_none_or(|j| blocks[j].meta.max_time < blocks[i].meta.max_time) {
            latest = Some(i);
        }
    }
}

/// Why a view could not be read.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A block of the view does not exist any more.
    Gone(skald_blocks::Error),
    Other(Error),
}

// === impl Failure ===

impl Failure {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Gone(e) => of_block(&e),
            Self::Other(e) => e,
        }
    }
}

impl From<skald_blocks::Error> for Failure {
    fn from(e: skald_blocks::Error) -> Self {
        match e.kind() {
            ErrorKind::NotFound => Self::Gone(e),
            _ => Self::Other(of_block(&e)),
        }
    }
}

/// A missing block is our loss, not the caller's wrong request.
fn of_block(e: &skald_blocks::Error) -> Error {
    let text = Chain(e).to_string();
    match e.kind() {
        ErrorKind::NotFound | ErrorKind::Invalid => Error::Internal(text),
        kind => Error::of_kind(kind, text),
    }
}
