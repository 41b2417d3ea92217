//! Which pushes are taken: those for this ingester's partition, made for a view of the cluster that is new enough.
//!
//! Whoever moves data between replicas or takes a partition out of use needs to know that nothing
//! is added behind its back by a distributor with an old view. It [raises](Admission::raise) the bar:
//!
//! ```text
//! bar up → pushes that were let in before have ended → flush → answer
//! ```
//!
//! So a push is either in what was flushed or refused, never in between.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use skald_model::ErrorKind;
use skald_rpc::RpcError;
use skald_rpc::ingester::PushRequest;
use tokio::sync::Notify;

/// The bar, and the pushes that were let in and have not ended.
#[derive(Debug)]
pub(crate) struct Admission {
    partition: Option<u32>,
    state: Mutex<State>,
    /// A push has ended.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    min_view_version: u64,
    /// The number of the next push.
    next: u64,
    inside: BTreeSet<u64>,
}

/// A push that was let in; ends when dropped.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    admission: &'a Admission,
    number: u64,
}

// === impl Admission ===

impl Admission {
    /// `None`: pushes for any partition.
    pub(crate) fn new(partition: Option<u32>) -> Self {
        Self { partition, state: Mutex::default(), left: Notify::new() }
    }

    /// Lets a push in, or says why not.
    pub(crate) fn enter(&self, request: &PushRequest) -> Result<Admitted<'_>, RpcError> {
        if let Some(ours) = self.partition.filter(|ours| *ours != request.partition) {
            let message = format!(
                "err-skald-wrong-partition: the push is for partition {}, and this ingester holds \
                 partition {ours}",
                request.partition,
            );
            return Err(RpcError::new(ErrorKind::Conflict, message));
        }
        let mut state = self.state.lock();
        if request.view_version < state.min_view_version {
            let message = format!(
                "err-skald-stale-view: the push was made for view {} of the cluster, and this ingester \
                 takes those for view {} and newer",
                request.view_version, state.min_view_version,
            );
            return Err(RpcError::new(ErrorKind::Conflict, message));
        }
        let number = state.next;
        state.next += 1;
        state.inside.insert(number);
        Ok(Admitted { admission: self, number })
    }

    /// Refuses pushes for older views from now on, and waits until those that are inside have ended.
    /// The bar never comes down. Cancel-safe: it stays up.
    pub(crate) async fn raise(&self, min_view_version: u64) {
        let first_outside = {
            let mut state = self.state.lock();
            state.min_view_version = state.min_view_version.max(min_view_version);
            state.next
        };
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Before the look, so that an end behind it is not missed.
            left.as_mut().enable();
            if self.state.lock().inside.first().is_none_or(|number| *number >= first_outside) {
                return;
            }
            left.await;
        }
    }
}

// === impl Admitted ===

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.admission.state.lock().inside.remove(&self.number);
        self.admission.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use skald_model::TenantId;

    use super::*;

    fn push(view_version: u64) -> PushRequest {
        let (tenant, batch) = (TenantId::single(), Bytes::new());
        PushRequest { tenant, partition: 3, view_version, batch }
    }

    #[test]
    fn pushes_for_another_partition_are_refused() {
        let refused = Admission::new(Some(4)).enter(&push(1)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert!(
            refused.message.starts_with("err-skald-wrong-partition: the push is for partition 3")
        );
        Admission::new(Some(3)).enter(&push(1)).unwrap();
        Admission::new(None).enter(&push(1)).unwrap();
    }

    #[tokio::test]
    async fn the_bar_refuses_older_views_and_never_comes_down() {
        let admission = Admission::new(None);
        admission.raise(5).await;
        admission.raise(2).await;
        let refused = admission.enter(&push(4)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        let text = "err-skald-stale-view: the push was made for view 4 of the cluster, and this ingester \
                    takes those for view 5 and newer";
        assert_eq!(refused.message, text);
        admission.enter(&push(5)).unwrap();
        admission.enter(&push(6)).unwrap();
    }

    #[tokio::test]
    async fn whoever_raises_waits_for_the_pushes_inside_and_for_no_later_ones() {
        let admission = Admission::new(None);
        let before = [admission.enter(&push(1)).unwrap(), admission.enter(&push(1)).unwrap()];
        let mut given_up = Box::pin(admission.raise(2));
        let mut raise = Box::pin(admission.raise(2));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        assert!(futures_util::poll!(&mut raise).is_pending());
        // The bar is up although nobody has waited to the end.
        drop(given_up);
        assert!(admission.enter(&push(1)).is_err());
        let _after = admission.enter(&push(2)).unwrap();
        for push in before {
            assert!(futures_util::poll!(&mut raise).is_pending());
            drop(push);
        }
        assert!(futures_util::poll!(&mut raise).is_ready());
    }
}
