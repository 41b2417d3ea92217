//! A push that needs a replica elected first: decoded, voted on, decoded again.

use std::sync::Arc;

use http::StatusCode;
use skald_coord::StoreError;
use skald_ring::View;

use super::Inner;
use super::push::{Job, Unpacked};
use crate::refusal::Refusal;
use crate::rejects::ids;
use crate::remote_write::Context;

/// Elections may show that there are more: of a request with many clusters, or when another was faster.
const MAX_ROUNDS: usize = 3;

// === impl Inner ===

impl Inner {
    /// Decodes a push once all replicas in it are elected or not, and says for which view.
    pub(super) async fn decode_elected(
        &self,
        job: Job,
        mut ctx: Context,
    ) -> Result<(Arc<View>, Unpacked), Refusal> {
        if ctx.ha.is_none() || !job.protocol.is_remote_write() {
            return Ok((Arc::clone(&ctx.view), self.decode(job, ctx).await?));
        }
        let (protocol, encoding, hints) = (job.protocol, job.encoding, job.hints.clone());
        let (tenant, body) = (ctx.tenant.clone(), job.body.clone());
        let mut job = Some(job);
        for _ in 0..MAX_ROUNDS {
            let attempt = match job.take() {
                Some(job) => job,
                None => {
                    let permit = self.budget.try_take(body.len() as u64);
                    let permit = permit.map_err(|e| super::body::over_budget(&e))?;
                    self.job(protocol, encoding, body.clone(), permit, hints.clone())
                }
            };
            let (view, now_ns) = (Arc::clone(&ctx.view), ctx.now_ns);
            let mut unpacked = self.decode(attempt, ctx).await?;
            let wanted = std::mem::take(&mut unpacked.decoded.wanted);
            if wanted.is_empty() {
                return Ok((view, unpacked));
            }
            // Its memory is needed for the next round.
            drop(unpacked);
            for (cluster, replica) in wanted.iter() {
                let elected = self.ha.elect(&tenant, cluster, replica).await;
                elected.map_err(|e| not_elected(cluster, Some(&e)))?;
            }
            ctx = Context { now_ns, ..self.context(&tenant) };
        }
        Err(not_elected("", None))
    }
}

fn not_elected(cluster: &str, error: Option<&StoreError>) -> Refusal {
    let id = ids::NO_ELECTION;
    let why = error.map_or_else(
        || "too many elections at once, or an unreadable record".to_owned(),
        ToString::to_string,
    );
    let text = format!("{id}: no replica elected in cluster {cluster:?}: {why}: retry");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, id, text)
}
