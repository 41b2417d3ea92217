//! Reading the log: a checkpoint, then the commits behind it.
//!
//! A reader that missed more than the retention of commits would find nothing behind its view and
//! believe to be up to date. So a view is compared with the boundary (up to which commits may be
//! deleted) when it is read anew and at least once an hour: below it, reading starts over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use skald_model::{Chain, TenantId};
use skald_proto::catalog::Commit;
use tracing::{error, warn};

use crate::catalog::{Cached, Catalog};
use crate::frame::{self, Kind};
use crate::{Error, View, path};

/// Largest number of commits asked for at once.
const MAX_WINDOW: u64 = 16;
/// For so long after a look at the boundary nothing behind a view can have been deleted.
pub(crate) const VERIFY_EVERY: Duration = Duration::from_secs(3600);

/// Where to look for a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Hint,
    Listing,
}

impl Catalog {
    /// Every commit visible now, on top of what is `cached` if that can be trusted.
    pub(crate) async fn load_newer(
        &self,
        tenant: &TenantId,
        cached: Option<Cached>,
    ) -> Result<Cached, Error> {
        let fresh_at = self.inner.now();
        if let Some(c) = cached {
            let due = c.verified_at.elapsed(&self.inner) >= VERIFY_EVERY;
            let verified_at = if due { fresh_at } else { c.verified_at };
            let view = self.advance(tenant, c.view).await?;
            if !due || self.boundary(tenant).await? <= view.number {
                return Ok(Cached { view, fresh_at, verified_at });
            }
        }
        for start in [Start::Hint, Start::Listing, Start::Listing] {
            let base = self.base(tenant, start).await?;
            let view = self.advance(tenant, Arc::new(base)).await?;
            if self.boundary(tenant).await? <= view.number {
                return Ok(Cached { view, fresh_at, verified_at: fresh_at });
            }
        }
        let reason = "commits below the boundary are gone and no checkpoint has them";
        Err(Error::corrupt(&path::manifest(tenant), reason))
    }

    /// The state of a checkpoint; the empty one if there is none.
    async fn base(&self, tenant: &TenantId, start: Start) -> Result<View, Error> {
        let hinted = match start {
            Start::Hint => self.hint(tenant).await,
            Start::Listing => None,
        };
        if let Some(number) = hinted
            && let Ok(Some(view)) = self.checkpoint(tenant, number).await
        {
            return Ok(view);
        }
        for number in self.checkpoints(tenant).await?.into_iter().rev() {
            match self.checkpoint(tenant, number).await {
                Ok(Some(view)) => return Ok(view),
                Ok(None) => {}
                Err(e @ Error::Corrupt { .. }) => {
                    error!(%tenant, error = %Chain(&e), "checkpoint skipped");
                }
                Err(e) => return Err(e),
            }
        }
        Ok(View::empty(tenant, self.inner.clock.now_ms()))
    }

    /// The newest checkpoint that somebody wrote down. Only advice: whatever is wrong with it, there is none.
    async fn hint(&self, tenant: &TenantId) -> Option<u64> {
        let at = path::hint(tenant);
        let bytes = self.inner.objects.get(&at, Kind::Hint.max_size()).await.ok()??;
        match frame::decode_hint(&at, &bytes) {
            Ok(hint) => Some(hint.checkpoint).filter(|&n| n > 0),
            Err(e) => {
                warn!(%tenant, error = %Chain(&e), "hint ignored");
                None
            }
        }
    }

    pub(crate) async fn checkpoint(
        &self,
        tenant: &TenantId,
        number: u64,
    ) -> Result<Option<View>, Error> {
        let at = path::checkpoint(tenant, number);
        let Some(bytes) = self.inner.objects.get(&at, Kind::Checkpoint.max_size()).await? else {
            return Ok(None);
        };
        let checkpoint = frame::decode_checkpoint(&at, &bytes, number)?;
        let now_ms = self.inner.clock.now_ms();
        Ok(Some(View::from_checkpoint(tenant, checkpoint, now_ms)))
    }

    /// The numbers of all checkpoints, ascending.
    async fn checkpoints(&self, tenant: &TenantId) -> Result<Vec<u64>, Error> {
        let (dir, offset) = (path::manifest(tenant), path::before_checkpoints(tenant));
        let listed = self.inner.objects.list(&dir, Some(&offset)).await?;
        let mut found: Vec<u64> = listed
            .iter()
            .filter_map(|object| match path::classify(tenant, &object.location) {
                path::Kind::Checkpoint(n) => Some(n),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The largest number up to which commits may be deleted; 0 for none.
    pub(crate) async fn boundary(&self, tenant: &TenantId) -> Result<u64, Error> {
        let listed = self.inner.objects.list(&path::boundaries(tenant), None).await?;
        let numbers =
            listed.iter().filter_map(|object| match path::classify(tenant, &object.location) {
                path::Kind::Boundary(n) => Some(n),
                _ => None,
            });
        Ok(numbers.max().unwrap_or(0))
    }

    pub(crate) async fn read_commit(
        &self,
        tenant: &TenantId,
        number: u64,
    ) -> Result<Option<Commit>, Error> {
        let at = path::commit(tenant, number);
        match self.inner.objects.get(&at, Kind::Commit.max_size()).await? {
            Some(bytes) => frame::decode_commit(&at, &bytes, number).map(Some),
            None => Ok(None),
        }
    }

    /// Applies the commits behind `view`, in windows that grow as long as there are more.
    async fn advance(&self, tenant: &TenantId, view: Arc<View>) -> Result<Arc<View>, Error> {
        let mut next: Option<View> = None;
        let mut number = view.number;
        let mut window = 1;
        'read: loop {
            let numbers = number + 1..=number + window;
            let reads = numbers.map(|n| self.read_commit(tenant, n));
            for commit in join_all(reads).await {
                // What lies behind the first gap was not visible when the gap was seen.
                let Some(commit) = commit? else { break 'read };
                number = commit.number;
                next.get_or_insert_with(|| View::clone(&view)).apply(commit);
            }
            window = (window * 2).min(MAX_WINDOW);
        }
        Ok(match next {
            Some(mut next) => {
                next.loaded_at_ms = self.inner.clock.now_ms();
                Arc::new(next)
            }
            None => view,
        })
    }
}
