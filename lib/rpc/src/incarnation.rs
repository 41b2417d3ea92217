//! Which incarnation of a replica a process is, and the gate that turns away calls meant for another.
//!
//! A caller says in the metadata of each call which replica and epoch of it the call is meant for:
//!
//! ```text
//! skald-replica: ingester-zone-a-0
//! skald-epoch:   7
//! ```
//!
//! So a caller with an old view of the cluster can neither push to nor read from a process that has taken
//! over an identity or an address. Epoch 0 on either side, or no metadata at all, means: not checked.

use std::sync::Arc;

use skald_model::ErrorKind;
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::RpcError;

const EPOCH: &str = "skald-epoch";
const REPLICA: &str = "skald-replica";

/// The replica that this process is, in which incarnation. Clones share it.
#[derive(Clone, Debug)]
pub struct Incarnation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    replica: String,
    epoch: u64,
    /// The highest epoch that a caller named for this replica.
    newest: watch::Sender<u64>,
}

/// Lets calls through that are meant for this incarnation.
#[derive(Clone, Debug)]
pub struct Gate(Incarnation);

/// Says in each call whom it is meant for.
#[derive(Clone, Debug)]
pub(crate) struct Addressee(Option<(MetadataValue<Ascii>, MetadataValue<Ascii>)>);

// === impl Incarnation ===

impl Incarnation {
    /// With epoch 0 every call is let through.
    pub fn new(replica: impl Into<String>, epoch: u64) -> Self {
        let newest = watch::Sender::new(epoch);
        Self(Arc::new(Inner { replica: replica.into(), epoch, newest }))
    }

    /// Lets every call through.
    pub fn unchecked() -> Self {
        Self::new("", 0)
    }

    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Completes with the epoch once a caller has named a higher one than this: somebody may have taken
    /// over. It is a hint, and whoever keeps the epochs knows. Cancel-safe.
    pub async fn superseded(&self) -> u64 {
        let mut newest = self.0.newest.subscribe();
        match newest.wait_for(|newest| *newest > self.0.epoch).await.map(|newest| *newest) {
            Ok(newest) => newest,
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether a call meant for `epoch` of `replica` may be answered here. gRPC calls are checked before
    /// they come through.
    pub fn check(&self, replica: &str, epoch: u64) -> Result<(), RpcError> {
        let (ours, name) = (self.0.epoch, &self.0.replica);
        if ours == 0 || epoch == 0 || (epoch == ours && replica == name) {
            return Ok(());
        }
        if replica == name {
            self.0.newest.send_if_modified(|newest| {
                let is_newer = epoch > *newest;
                *newest = epoch.max(*newest);
                is_newer
            });
        }
        let message = format!(
            "err-skald-stale-epoch: this is epoch {ours} of replica {name:?}, and the call is meant for \
             epoch {epoch} of {replica:?}"
        );
        Err(RpcError::new(ErrorKind::Conflict, message))
    }
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self(incarnation)
    }
}

impl Interceptor for Gate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata();
        if let Some(epoch) = text(metadata, EPOCH)? {
            let epoch = epoch.parse().map_err(|_| malformed(EPOCH))?;
            self.0.check(text(metadata, REPLICA)?.unwrap_or_default(), epoch)?;
        }
        Ok(request)
    }
}

fn text<'m>(metadata: &'m MetadataMap, key: &str) -> Result<Option<&'m str>, Status> {
    metadata.get(key).map(|value| value.to_str().map_err(|_| malformed(key))).transpose()
}

fn malformed(key: &str) -> Status {
    Status::invalid_argument(format!("metadata {key} is malformed"))
}

// === impl Addressee ===

impl Addressee {
    /// Epoch 0: anybody.
    pub(crate) fn new(replica: &str, epoch: u64) -> Result<Self, RpcError> {
        if epoch == 0 {
            return Ok(Self(None));
        }
        let invalid = |_| {
            let message = format!("replica id {replica:?} cannot be sent: it is not plain text");
            RpcError::new(ErrorKind::Invalid, message)
        };
        let replica = MetadataValue::try_from(replica).map_err(invalid)?;
        Ok(Self(Some((replica, MetadataValue::from(epoch)))))
    }
}

impl Interceptor for Addressee {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some((replica, epoch)) = &self.0 {
            request.metadata_mut().insert(REPLICA, replica.clone());
            request.metadata_mut().insert(EPOCH, epoch.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(ours: &Incarnation, replica: &str, epoch: u64) -> Result<(), RpcError> {
        let request = Addressee::new(replica, epoch).unwrap().call(Request::new(())).unwrap();
        Gate::new(ours.clone()).call(request).map(drop).map_err(RpcError::from)
    }

    #[test]
    fn calls_for_another_incarnation_are_refused() {
        let ours = Incarnation::new("a", 5);
        assert_eq!(call(&ours, "a", 5), Ok(()));
        assert_eq!(call(&ours, "a", 0), Ok(()));
        assert_eq!(call(&Incarnation::unchecked(), "a", 5), Ok(()));
        for (replica, epoch) in [("a", 4), ("a", 6), ("b", 5)] {
            let refused = call(&ours, replica, epoch).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Conflict);
            let named = format!(
                "err-skald-stale-epoch: this is epoch 5 of replica \"a\", and the call is meant for \
                 epoch {epoch} of {replica:?}"
            );
            assert_eq!(refused.message, named);
        }
    }

    #[test]
    fn metadata_that_cannot_be_read_is_refused() {
        let mut request = Request::new(());
        request.metadata_mut().insert(EPOCH, MetadataValue::from_static("-1"));
        let status = Gate::new(Incarnation::new("a", 5)).call(request).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(Addressee::new("a\nb", 5).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn a_caller_that_knows_a_newer_epoch_is_reported() {
        let ours = Incarnation::new("a", 5);
        let mut waiting = Box::pin(ours.superseded());
        // Neither an older epoch nor another replica's says anything.
        call(&ours, "a", 4).unwrap_err();
        call(&ours, "b", 9).unwrap_err();
        assert!(futures_util::poll!(&mut waiting).is_pending());
        call(&ours, "a", 7).unwrap_err();
        assert_eq!(waiting.await, 7);
        assert_eq!(ours.superseded().await, 7, "who asks late learns it too");
    }
}
