//! Decodes remote write 1.0 and 2.0 into one metrics batch per partition.
//!
//! The walk borrows from the decompressed body; a series whose labels are known costs a hash, a lookup
//! and the copy of its samples. Invalid series, samples and exemplars are refused one by one, the rest
//! goes on.

mod exemplar;
mod histogram;
mod labels;
mod metadata;
mod sink;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::sync::Arc;

use skald_limits::Limits;
use skald_model::TenantId;
use skald_ring::View;

pub(crate) use labels::{labels_v1, labels_v2};
pub(crate) use v1::decode_v1;
pub(crate) use v2::decode_v2;

use crate::batches::Part;
use crate::buffer::Buffers;
use crate::cache::SeriesCache;
use crate::ha::{Tracker, Wanted};
use crate::rejects::Rejects;
use crate::source::{Pairing, Source};

/// What decoding needs to know beside the bytes.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) tenant: TenantId,
    pub(crate) limits: Arc<Limits>,
    pub(crate) view: Arc<View>,
    pub(crate) cache: Arc<SeriesCache>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) now_ns: i64,
    /// Where the tenant has high-availability pairs.
    pub(crate) ha: Option<Arc<Tracker>>,
}

// === impl Context ===

impl Context {
    fn pairing(&self) -> Option<Pairing> {
        self.ha.as_ref().map(|_| Pairing(Arc::clone(&self.limits)))
    }
}

/// What was dropped because another replica of its pair is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Duplicates {
    pub(crate) samples: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
}

/// What a push contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) samples: u64,
    /// Of replicas that are not elected; in no other count.
    pub(crate) duplicates: Duplicates,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
    pub(crate) metadata: u64,
    pub(crate) lines: u64,
    /// Lines and their structured metadata.
    pub(crate) line_bytes: u64,
}

/// A push ready to be shipped.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) parts: Vec<Part>,
    pub(crate) source: Source,
    pub(crate) counts: Counts,
    pub(crate) rejects: Rejects,
    /// Whose series are left out until somebody is elected.
    pub(crate) wanted: Wanted,
}
