//! A real etcd as the store of keys: compare-and-set as transactions on revisions, leases, watches as hints.
//!
//! Requirements: no state that outlives a connection but the token of a user, so that whatever happens to etcd,
//! the next call starts afresh; every call ends, after the deadline of each endpoint at the latest; nothing that
//! etcd answers is believed beyond its bounds.

mod answer;
mod auth;
mod config;
mod connection;
mod endpoints;
mod fault;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use skald_proto::public::etcd::kv_client::KvClient;
use skald_proto::public::etcd::lease_client::LeaseClient;
use skald_proto::public::etcd::watch_client::WatchClient;
use skald_proto::public::etcd::{
    Compared, Comparison, Condition, DeleteRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, Operation, PutRequest, RangeRequest, RangeResponse, TxnRequest,
    WatchCreateRequest, WatchRequest, condition, operation, watch_request,
};
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Request, Streaming};

use crate::etcd::answer::{Listing, range_end};
pub use crate::etcd::config::{EtcdConfig, EtcdTls, InvalidConfig};
use crate::etcd::endpoints::{Answer, Endpoints, Repeat};
use crate::etcd::fault::{Fault, FaultKind};
use crate::store::{KeyStore, LeaseId, MAX_VALUE, Snapshot, StoreError};

/// Entries that are asked for at once, and the largest message that they can fill.
const PAGE: usize = 256;
const MAX_MESSAGE: usize = PAGE * (MAX_VALUE + (8 << 10));

/// How long a watch that broke counts as no change.
const BROKEN_WATCH_PAUSE: Duration = Duration::from_millis(500);

/// The store of keys in etcd. Connects when first used.
pub struct EtcdStore {
    endpoints: Endpoints,
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.endpoints.addresses()).finish()
    }
}

// === impl EtcdStore ===

impl EtcdStore {
    /// A store that asks the endpoints of `config`; nothing is sent yet.
    pub fn connect(config: &EtcdConfig) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self { endpoints: Endpoints::new(config) })
    }

    async fn range(&self, request: &RangeRequest) -> Result<RangeResponse, StoreError> {
        let answer = self.endpoints.call(Repeat::Always, |channel, metadata| async move {
            let mut kv = KvClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
            Ok(kv.range(with(metadata, request.clone())).await?.into_inner())
        });
        Ok(answer.await?.body)
    }

    /// Does `then` if `key` was last written at `expected`; answers at which revision, or `None`.
    async fn if_unchanged(
        &self,
        key: &str,
        expected: u64,
        then: operation::Kind,
    ) -> Result<Option<u64>, StoreError> {
        // No key has a revision that is out of range.
        let Ok(expected) = i64::try_from(expected) else { return Ok(None) };
        let condition = Condition {
            comparison: Comparison::Equal.into(),
            compared: Compared::ModRevision.into(),
            key: Bytes::copy_from_slice(key.as_bytes()),
            with: Some(condition::With::ModRevision(expected)),
        };
        let then = vec![Operation { kind: Some(then) }];
        let request = &TxnRequest { conditions: vec![condition], then };
        let answer = self.endpoints.call(Repeat::Unsent, |channel, metadata| async move {
            Ok(KvClient::new(channel).txn(with(metadata, request.clone())).await?.into_inner())
        });
        let answer = answer.await?.body;
        if answer.succeeded { answer::revision(answer.header).map(Some) } else { Ok(None) }
    }

    /// Waits for the first event; `None` if the watch ended without one.
    async fn first_event(&self, prefix: &str, after: u64) -> Option<()> {
        let create = &WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            end: range_end(prefix),
            start_revision: i64::try_from(after.saturating_add(1)).ok()?,
            fragment: true,
        };
        let watch = self.endpoints.call(Repeat::Always, |channel, mut metadata| async move {
            // A member that is cut off from the others ends the watch instead of staying silent.
            metadata.insert("hasleader", "true".parse().map_err(|e| Fault::unsent(&e))?);
            let kind = Some(watch_request::Kind::Create(create.clone()));
            // etcd ends a watch whose requests end.
            let requests = stream::iter([WatchRequest { kind }]).chain(stream::pending());
            let mut client = WatchClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
            let mut events = client.watch(with(metadata, requests)).await?.into_inner();
            let created = next(&mut events).await?;
            Ok((created, events))
        });
        let Answer { body: (created, mut events), from } = watch.await.ok()?;
        let mut newest = created;
        loop {
            match newest {
                told if !told.events.is_empty() => return Some(()),
                told if told.canceled => return None,
                _progress => {}
            }
            newest = match next(&mut events).await {
                Ok(told) => told,
                Err(_broken) => {
                    self.endpoints.leave(from);
                    return None;
                }
            };
        }
    }
}

#[async_trait]
impl KeyStore for EtcdStore {
    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        let mut listing = Listing::new(prefix);
        while let Some(request) = listing.next_page(PAGE) {
            listing.add(self.range(&request).await?)?;
        }
        Ok(listing.finish())
    }

    async fn put(
        &self,
        key: &str,
        expected: u64,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Option<u64>, StoreError> {
        if value.len() > MAX_VALUE {
            let text = format!("{key}: {} bytes are more than {MAX_VALUE}", value.len());
            return Err(StoreError::Refused(text));
        }
        let put = PutRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value,
            lease: lease.map_or(0, |lease| lease.0),
        };
        self.if_unchanged(key, expected, operation::Kind::Put(put)).await
    }

    async fn delete(&self, key: &str, expected: u64) -> Result<bool, StoreError> {
        // Revision 0 would be a key that does not exist.
        if expected == 0 {
            return Ok(false);
        }
        let delete = DeleteRequest { key: Bytes::copy_from_slice(key.as_bytes()) };
        let done = self.if_unchanged(key, expected, operation::Kind::Delete(delete)).await?;
        Ok(done.is_some())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        // Whole seconds, rounded up. A lease that was granted twice for one call ends on its own.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let request = LeaseGrantRequest { ttl_seconds: i64::try_from(seconds).unwrap_or(i64::MAX) };
        let answer = self.endpoints.call(Repeat::Always, |channel, metadata| async move {
            Ok(LeaseClient::new(channel).lease_grant(with(metadata, request)).await?.into_inner())
        });
        let granted = answer.await?.body;
        if !granted.error.is_empty() {
            return Err(StoreError::Refused(granted.error));
        }
        if granted.id == 0 || granted.ttl_seconds <= 0 {
            return Err(StoreError::Corrupt("a lease without an id or a time".to_owned()));
        }
        Ok(LeaseId(granted.id))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, StoreError> {
        let request = LeaseKeepAliveRequest { id: lease.0 };
        let answer = self.endpoints.call(Repeat::Always, |channel, metadata| async move {
            let mut client = LeaseClient::new(channel);
            let requests = with(metadata, stream::iter([request]));
            next(client.lease_keep_alive(requests).await?.get_mut()).await
        });
        let kept = answer.await?.body;
        if kept.id != lease.0 {
            return Err(StoreError::Corrupt("another lease than the one that was kept".to_owned()));
        }
        Ok(kept.ttl_seconds > 0)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        let request = LeaseRevokeRequest { id: lease.0 };
        let answer = self.endpoints.call(Repeat::Always, |channel, metadata| async move {
            match LeaseClient::new(channel).lease_revoke(with(metadata, request)).await {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                answered => Ok(answered.map(drop)?),
            }
        });
        answer.await.map(|answer| answer.body)
    }

    async fn changed(&self, prefix: &str, after: u64) {
        if self.first_event(prefix, after).await.is_none() {
            tokio::time::sleep(BROKEN_WATCH_PAUSE).await;
        }
    }
}

fn with<T>(metadata: MetadataMap, body: T) -> Request<T> {
    Request::from_parts(metadata, Extensions::default(), body)
}

/// The next message of a stream that must have one.
async fn next<T>(messages: &mut Streaming<T>) -> Result<T, Fault> {
    let message = messages.message().await?;
    message.ok_or_else(|| Fault::new(FaultKind::Lost, "the stream ended without an answer"))
}
