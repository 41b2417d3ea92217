//! Takes what a push holds from the tenant's rates, or refuses it.

use http::StatusCode;
use skald_model::TenantId;

use super::Inner;
use crate::refusal::Refusal;
use crate::rejects::ids;
use crate::remote_write::Counts;

/// A push above the tenant's rate.
pub(super) struct OverRate {
    pub(super) refusal: Refusal,
    pub(super) count: u64,
    /// It is more than may come at once, ever.
    pub(super) for_ever: bool,
}

impl Inner {
    /// `None` when it may be stored.
    pub(super) fn over_rate(&self, tenant: &TenantId, counts: &Counts) -> Option<OverRate> {
        let limits = self.limits.get(tenant);
        let now = self.clock.now_ns();
        let refuse = |id: &'static str, count, text, for_ever| {
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, id, text);
            Some(OverRate { refusal, count, for_ever })
        };
        let n = counts.samples + counts.histograms;
        let (rate, burst) = (limits.ingestion_rate, limits.sample_burst());
        if !self.sample_rates.try_take(tenant, float(n + counts.metadata), rate, burst, now) {
            let id = ids::INGESTION_RATE;
            let text = format!(
                "{id}: ingestion rate limit ({rate}) exceeded while adding {n} samples and {} \
                 metadata (tenant {tenant}, burst {burst}, setting ingestion_rate)",
                counts.metadata
            );
            return refuse(id, n, text, false);
        }
        let (rate, burst) = (limits.line_rate_bytes(), limits.line_burst_bytes());
        if !self.line_rates.try_take(tenant, float(counts.line_bytes), rate, burst, now) {
            let id = ids::RATE_LIMITED;
            let text = format!(
                "ingestion rate limit exceeded for user {tenant} (limit: {rate:.0} bytes/sec) while \
                 attempting to ingest '{}' lines totaling '{}' bytes, reduce log volume or contact \
                 your Loki administrator to see if the limit can be increased ({id}, setting \
                 ingestion_rate_mb)",
                counts.lines, counts.line_bytes
            );
            return refuse(id, counts.lines, text, float(counts.line_bytes) > burst);
        }
        None
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one push are far below 2^53")]
fn float(n: u64) -> f64 {
    n as f64
}
