//! A push that replicas refused because the view it was made for is old, made again for a newer one, once.
//!
//! What some partition stored the first time is stored again, which changes nothing.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use skald_model::TenantId;
use skald_ring::View;

use super::headers::Encoding;
use super::push::{Job, Unpacked};
use super::{Hints, Inner};
use crate::elastic::Item;
use crate::metrics::Protocol;
use crate::rejects::Rejects;
use crate::remote_write::{Context, Counts, Decoded};
use crate::ship::{Shipment, Stored};

/// What is needed to make a push again.
pub(super) struct Spare {
    protocol: Protocol,
    encoding: Encoding,
    body: Bytes,
    hints: Hints,
    view_version: u64,
    /// The first time's, so that what has no time of its own is the same.
    now_ns: i64,
}

/// A push that was shipped, and what came of it.
pub(super) struct Shipped {
    pub(super) counts: Counts,
    pub(super) rejects: Rejects,
    /// Of a bulk request.
    pub(super) items: Vec<Item>,
    pub(super) stored: Stored,
}

// === impl Spare ===

impl Spare {
    /// `None` where no view is ever old: the ingesters of this process know what it knows.
    pub(super) fn of(job: &Job, ctx: &Context) -> Option<Self> {
        let is_remote = |view: &View| {
            let mut replicas = view.writable().flat_map(|p| &p.replicas);
            replicas.any(|r| !r.addr.is_empty())
        };
        is_remote(&ctx.view).then(|| Self {
            protocol: job.protocol,
            encoding: job.encoding,
            body: job.body.clone(),
            hints: job.hints.clone(),
            view_version: ctx.view.version,
            now_ns: ctx.now_ns,
        })
    }
}

// === impl Inner ===

impl Inner {
    /// Ships what a push was decoded to.
    pub(super) async fn ship(&self, tenant: &TenantId, view: &View, unpacked: Unpacked) -> Shipped {
        let Unpacked { decoded, permit, items } = unpacked;
        let Decoded { parts, source, counts, rejects, wanted: _ } = decoded;
        let mut stored = Stored::default();
        if !parts.is_empty() {
            let (tag, view_version) = (crate::cache::tag_of(view), view.version);
            let tenant = tenant.clone();
            let shipment = Shipment { tenant, view_version, tag, parts, source, _permit: permit };
            stored = self.shipper.ship(Arc::new(shipment)).await;
        }
        Shipped { counts, rejects, items, stored }
    }

    /// Makes a push again. `None` when there is no other view, or no memory to do it: then the first
    /// answer stands, and the client comes back.
    pub(super) async fn ship_again(&self, tenant: &TenantId, spare: Spare) -> Option<Shipped> {
        let Spare { protocol, encoding, body, hints, view_version, now_ns } = spare;
        let view = self.shipper.refresher.other(view_version).await?;
        view.writable().next()?;
        let permit = self.budget.try_take(body.len() as u64).ok()?;
        let ctx = Context { view: Arc::clone(&view), now_ns, ..self.context(tenant) };
        let job = self.job(protocol, encoding, body, permit, hints);
        let unpacked = self.decode(job, ctx).await.ok()?;
        // Its series are not in what was decoded.
        if !unpacked.decoded.wanted.is_empty() {
            return None;
        }
        tracing::debug!(%tenant, from = view_version, to = view.version, "push made again for a newer view");
        Some(self.ship(tenant, &view, unpacked).await)
    }
}
