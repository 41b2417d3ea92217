//! The store of keys in etcd: against a real one where there is one, and against one that misbehaves.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod etcd;
mod failures;
mod fake;
mod secure;
