//! The steps of one push.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use http::StatusCode;
use skald_model::TenantId;
use skald_runtime::{MemoryBudget, MemoryPermit};

use super::again::{Shipped, Spare};
use super::headers::{Encoding, Written};
use super::{Answer, Hints, Inner, body, headers};
use crate::config::Config;
use crate::deliver::Job as Delivery;
use crate::elastic::answer::Bulk;
use crate::elastic::{self, Item};
use crate::loki::{self, DecodeError};
use crate::metrics::{Protocol, ProtocolLabel};
use crate::refusal::Refusal;
use crate::rejects::{PARTIAL, Rejects, ids};
use crate::remote_write::{self, Context, Counts, Decoded, Duplicates};
use crate::ship::{Shipment, Stored};
use crate::{audit, json_lines, otlp};

/// Longest error text; Prometheus logs the first 1024 bytes.
const MAX_ANSWER: usize = 8 << 10;
/// Compression that is counted on when deciding where to decode.
const MAX_RATIO: u64 = 8;
/// About what an item of a bulk request takes, with its part of the answer.
const ITEM_BYTES: u64 = 256;

/// A body that was read, and what is needed to decode it on any thread.
pub(super) struct Job {
    pub(super) protocol: Protocol,
    pub(super) encoding: Encoding,
    pub(super) body: Bytes,
    permit: MemoryPermit,
    budget: MemoryBudget,
    max_decoded: u64,
    pub(super) hints: Hints,
}

/// What came of a body.
pub(super) struct Unpacked {
    pub(super) decoded: Decoded,
    pub(super) permit: MemoryPermit,
    /// Of a bulk request.
    pub(super) items: Vec<Item>,
}

impl Job {
    /// Whether decoding takes longer than an I/O thread may be held up.
    fn is_long(&self, inline_max: u64) -> bool {
        let unpacked = match (self.protocol, self.encoding) {
            // What gzip becomes is not known; text shrinks to about a tenth.
            (_, Encoding::Gzip | Encoding::Deflate | Encoding::Zstd) => {
                self.body.len().saturating_mul(10)
            }
            (p, Encoding::None) if !p.is_remote_write() && p != Protocol::loki_protobuf => {
                self.body.len()
            }
            // What is no snappy is refused at once.
            _ => snap::raw::decompress_len(&self.body).unwrap_or(0),
        };
        self.body.len() as u64 > inline_max || unpacked as u64 > MAX_RATIO * inline_max
    }
}

impl Inner {
    /// All of it. An `Err` means that nothing was stored.
    pub(super) async fn push(
        &self,
        protocol: Protocol,
        hints: Hints,
        tenant: &TenantId,
        request: Request,
    ) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        let encoding = match protocol {
            Protocol::loki_json | Protocol::loki_protobuf => headers::loki_encoding(&head.headers)?,
            Protocol::remote_write_v1 | Protocol::remote_write_v2 => {
                headers::check_write_encoding(&head.headers)?;
                Encoding::Snappy
            }
            _ => headers::encoding(&head.headers)?,
        };
        let (body, permit) = body::read(&self.config, &self.budget, &head.headers, body).await?;
        let labels = ProtocolLabel { protocol };
        self.metrics.bytes.get_or_create(&labels).inc_by(body.len() as u64);
        let job = self.job(protocol, encoding, body, permit, hints);
        let ctx = self.context(tenant);
        self.writable(&ctx)?;
        let spare = Spare::of(&job, &ctx);
        let (view, unpacked) = self.decode_elected(job, ctx).await?;
        let counts = unpacked.decoded.counts;
        let n_duplicates = counts.duplicates.samples + counts.duplicates.histograms;
        self.metrics
            .samples
            .get_or_create(&labels)
            .inc_by(counts.samples + counts.histograms + n_duplicates);
        self.metrics.deduplicate(tenant, n_duplicates);
        self.metrics.lines.get_or_create(&labels).inc_by(counts.lines);
        if let Some(over) = self.over_rate(tenant, &counts) {
            let reason = over.refusal.id.trim_start_matches("err-skald-").replace('-', "_");
            self.metrics.discard_one(tenant, reason, over.count);
            return Err(over.refusal);
        }
        let mut shipped = self.ship(tenant, &view, unpacked).await;
        if shipped.stored.is_stale
            && let Some(spare) = spare
            && let Some(again) = self.ship_again(tenant, spare).await
        {
            shipped = again;
        }
        Ok(self.conclude(protocol, tenant, shipped))
    }

    pub(super) fn job(
        &self,
        protocol: Protocol,
        encoding: Encoding,
        body: Bytes,
        permit: MemoryPermit,
        hints: Hints,
    ) -> Job {
        let max_decoded = max_decoded(&self.config, protocol);
        Job { protocol, encoding, body, permit, budget: self.budget.clone(), max_decoded, hints }
    }

    /// Counts what was refused and says what became of a push.
    fn conclude(&self, protocol: Protocol, tenant: &TenantId, shipped: Shipped) -> Answer {
        let Shipped { counts, rejects: mut all, items, mut stored } = shipped;
        self.metrics.discard(tenant, &all);
        self.metrics.discard(tenant, &stored.rejects);
        self.metrics.cache_entries.set(i64::try_from(self.cache.len()).unwrap_or(i64::MAX));
        let late = std::mem::take(&mut stored.rejects);
        let bulk = (!items.is_empty() && stored.error.is_none()).then(|| {
            let (early, late) = (all.clone(), late.clone());
            Bulk { items, early, late, took_ms: 0 }
        });
        all.append(late);
        Answer { bulk, ..answer(protocol, tenant, &counts, &all, &stored) }
    }

    /// Whether anybody takes data now.
    fn writable(&self, ctx: &Context) -> Result<(), Refusal> {
        if ctx.view.writable().next().is_some() {
            return Ok(());
        }
        self.shipper.refresher.hint(ctx.view.version);
        let id = ids::NO_PARTITION;
        let text = format!(
            "{id}: no partition takes data now (of {} in view {} of the cluster): retry",
            ctx.view.partitions.len(),
            ctx.view.version,
        );
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, id, text))
    }

    /// Unpacks and decodes, on the CPU pool when the body is long.
    pub(super) async fn decode(&self, job: Job, ctx: Context) -> Result<Unpacked, Refusal> {
        if !job.is_long(self.config.decode_inline_max.0) {
            return decode(job, &ctx);
        }
        let failed = |e| {
            let text = format!("{}: {e}", ids::INTERNAL);
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ids::INTERNAL, text)
        };
        self.pool.run(move || decode(job, &ctx)).await.map_err(failed)?
    }

    /// Decodes and ships what a listener read. See [`super::Distributor::attempt`].
    pub(super) async fn attempt(
        &self,
        tenant: &TenantId,
        job: &Arc<Delivery>,
        received_ns: i64,
    ) -> Result<(), u64> {
        let bytes = job.body.len() as u64;
        let Ok(mut permit) = self.budget.try_take(bytes) else { return Err(0) };
        let ctx = Context { now_ns: received_ns, ..self.context(tenant) };
        self.writable(&ctx).map_err(|_| 0u64)?;
        let (view_version, tag) = (ctx.view.version, crate::cache::tag_of(&ctx.view));
        let decoded = if bytes > self.config.decode_inline_max.0 {
            let job = Arc::clone(job);
            let decoding = self.pool.run(move || (job.decode)(&ctx, &job.body)).await;
            decoding.map_err(|_| 0u64)?
        } else {
            (job.decode)(&ctx, &job.body)
        };
        let Decoded { parts, source, counts, rejects, wanted: _ } = decoded;
        let batches: usize = parts.iter().map(|p| p.batch.len() + 8 * p.items.len()).sum();
        permit.grow(batches as u64).map_err(|_| counts.lines)?;
        let done = |discarded: &Rejects| {
            let labels = ProtocolLabel { protocol: job.protocol };
            self.metrics.bytes.get_or_create(&labels).inc_by(bytes);
            self.metrics.lines.get_or_create(&labels).inc_by(counts.lines);
            self.metrics.discard(tenant, discarded);
        };
        if let Some(over) = self.over_rate(tenant, &counts) {
            if !over.for_ever {
                return Err(counts.lines);
            }
            done(&rejects);
            let reason = over.refusal.id.trim_start_matches("err-skald-").replace('-', "_");
            self.metrics.discard_one(tenant, reason, over.count);
            return Ok(());
        }
        let tenant_id = tenant.clone();
        let shipment =
            Shipment { tenant: tenant_id, view_version, tag, parts, source, _permit: permit };
        let mut stored = self.shipper.ship(Arc::new(shipment)).await;
        if stored.is_stale {
            // The next attempt is made with it.
            self.shipper.refresher.other(view_version).await;
        }
        let mut all = rejects;
        all.append(std::mem::take(&mut stored.rejects));
        match stored.error.map(|e| Refusal::from_rpc(&e)) {
            Some(refusal) if refusal.status.is_server_error() || refusal.is_retryable() => {
                tracing::debug!(
                    reason = refusal.id,
                    error = refusal.body,
                    "delivery is tried again"
                );
                return Err(counts.lines);
            }
            Some(refusal) => {
                tracing::warn!(%tenant, error = refusal.body, "a batch was refused for good");
                self.metrics.discard_one(tenant, "refused_batch".to_owned(), counts.lines);
            }
            None => {}
        }
        done(&all);
        Ok(())
    }
}

fn max_decoded(config: &Config, protocol: Protocol) -> u64 {
    if protocol.is_remote_write() {
        config.max_decoded_size.0
    } else {
        config.max_decoded_logs_size.0
    }
}

fn decode(job: Job, ctx: &Context) -> Result<Unpacked, Refusal> {
    let Job { protocol, encoding, body, mut permit, budget, max_decoded: max, hints } = job;
    let mut items = Vec::new();
    let setting = "distributor.max_decoded_size";
    let decoded = match protocol {
        Protocol::remote_write_v1 => {
            let unpacked = body::snappy(&body, max, setting, &mut permit, &ctx.buffers)?;
            remote_write::decode_v1(ctx, unpacked).map_err(Refusal::malformed)?
        }
        Protocol::remote_write_v2 => {
            let unpacked = body::snappy(&body, max, setting, &mut permit, &ctx.buffers)?;
            remote_write::decode_v2(ctx, unpacked).map_err(Refusal::malformed)?
        }
        Protocol::loki_protobuf => {
            let buffers = &ctx.buffers;
            let unpacked =
                body::unpack_loki_proto(body, encoding, max, &budget, &mut permit, buffers)?;
            loki::decode_proto(ctx, unpacked).map_err(undecodable)?
        }
        Protocol::loki_json => {
            let unpacked = body::unpack(body, encoding, max, &budget, &mut permit)?;
            loki::decode_json(ctx, unpacked).map_err(undecodable)?
        }
        Protocol::otlp_protobuf => {
            let unpacked = body::unpack(body, encoding, max, &budget, &mut permit)?;
            otlp::decode_proto(ctx, &unpacked).map_err(Refusal::malformed)?
        }
        Protocol::otlp_json => {
            let unpacked = body::unpack(body, encoding, max, &budget, &mut permit)?;
            otlp::decode_json(ctx, &unpacked).map_err(Refusal::malformed)?
        }
        Protocol::elasticsearch_bulk => {
            let unpacked = body::unpack(body, encoding, max, &budget, &mut permit)?;
            let read = elastic::decode_bulk(ctx, &hints.index, &unpacked);
            let (decoded, read) = read.map_err(Refusal::malformed)?;
            items = read;
            decoded
        }
        Protocol::json_lines => {
            let unpacked = body::unpack(body, encoding, max, &budget, &mut permit)?;
            json_lines::decode_lines(ctx, hints.shape, &unpacked)
        }
        Protocol::kubernetes_audit => {
            let unpacked = body::unpack(body, encoding, max, &budget, &mut permit)?;
            audit::decode_audit(ctx, &unpacked).map_err(Refusal::malformed)?
        }
        // These have listeners of their own and come by `attempt`.
        Protocol::syslog_tcp | Protocol::syslog_udp | Protocol::fluent_forward => {
            let text = format!("{}: no protocol of HTTP", ids::INTERNAL);
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ids::INTERNAL, text));
        }
    };
    let batches: usize = decoded.parts.iter().map(|p| p.batch.len() + 8 * p.items.len()).sum();
    permit.grow(batches as u64).map_err(|e| body::over_budget(&e))?;
    // Of the answer that will say what became of them.
    permit.grow(ITEM_BYTES * items.len() as u64).map_err(|e| body::over_budget(&e))?;
    Ok(Unpacked { decoded, permit, items })
}

fn undecodable(e: DecodeError) -> Refusal {
    let text = e.to_string();
    match e {
        DecodeError::NoStreams => {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, ids::NO_STREAMS, text)
        }
        DecodeError::LabelsTooLong(_) => {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ids::BODY_TOO_LARGE, text)
        }
        DecodeError::Malformed(_) | DecodeError::Json(_) => Refusal::malformed(text),
    }
}

/// What to say at the end: an error of a partition before refusals, and those before success.
fn answer(
    protocol: Protocol,
    tenant: &TenantId,
    counts: &Counts,
    rejects: &Rejects,
    stored: &Stored,
) -> Answer {
    let (outcome, dropped) = (&stored.outcome, &counts.duplicates);
    // What was dropped for another replica is done with: a sender that reads of nothing written takes it for lost.
    let written = Written {
        samples: outcome.samples + dropped.samples,
        histograms: outcome.histograms + dropped.histograms,
        exemplars: outcome.exemplars + dropped.exemplars,
    };
    let refusal = match &stored.error {
        Some(e) => Some(Refusal::from_rpc(e)),
        None if rejects.is_empty() => None,
        None => {
            let status = if rejects.is_retryable() {
                StatusCode::TOO_MANY_REQUESTS
            } else {
                StatusCode::BAD_REQUEST
            };
            let text = if protocol.is_remote_write() {
                describe_samples(tenant, counts, rejects)
            } else {
                describe_lines(tenant, counts, rejects)
            };
            Some(Refusal::new(status, PARTIAL, text))
        }
    };
    let n_other = counts.samples + counts.histograms + counts.exemplars;
    let is_duplicate = *dropped != Duplicates::default() && n_other == 0;
    Answer { written, refusal, is_duplicate, bulk: None }
}

/// Id and numbers first: senders log only the beginning.
fn describe_samples(tenant: &TenantId, counts: &Counts, rejects: &Rejects) -> String {
    let mut text = String::new();
    let total = counts.samples + counts.histograms;
    for r in rejects.iter() {
        let id_in_message = r.message.starts_with(&*r.id);
        let prefix = if id_in_message { String::new() } else { format!("{}: ", r.id) };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{prefix}{} of {total} samples refused: {}, tenant {tenant}",
            r.count, r.message
        );
    }
    crate::rejects::cut(&mut text, MAX_ANSWER);
    text
}

/// The texts that Loki's users know, one line each.
fn describe_lines(tenant: &TenantId, counts: &Counts, rejects: &Rejects) -> String {
    let mut text = String::new();
    for r in rejects.iter() {
        text.push_str(&r.message);
        if !r.message.contains(&*r.id) {
            // Writing to a string cannot fail.
            let _ = write!(text, " ({})", r.id);
        }
        text.push('\n');
    }
    let (n, total) = (rejects.total(), counts.lines);
    let _ = write!(text, "user '{tenant}', total ignored: {n} out of {total}");
    crate::rejects::cut(&mut text, MAX_ANSWER);
    text
}
