//! `GET /compactor/retention`: which retention a tenant has, and what the next round would remove by it.
//!
//! It says what the list of blocks says: rows within blocks are not looked at, and merges, which come before
//! bytes are counted, may leave fewer bytes than there are now.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skald_catalog::{BlockMeta, Signal, View};
use skald_limits::StreamRetention;
use skald_model::TenantId;

use super::{CompactError, Compactor};
use crate::plan::{Effort, Rules, over_size};

/// The retention of a tenant, and what it means for what is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    pub tenant: String,
    pub metrics: OfSignal,
    pub logs: OfSignal,
    /// Of logs, rules that count instead of the period.
    pub streams: Vec<StreamRetention>,
    /// Log blocks behind the period of some stream's rule: lines go where they have such streams.
    pub blocks_past_a_stream_rule: u64,
    /// Requests to delete that would be carried out.
    pub due_deletes: u64,
}

/// The retention of one signal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfSignal {
    /// `0s`: for ever.
    pub period: String,
    /// What is older goes: milliseconds of samples, nanoseconds of lines.
    pub cutoff: Option<i64>,
    /// 0: unlimited.
    pub max_bytes: u64,
    pub stored: Amount,
    /// Blocks that are past the period as a whole.
    pub past_period: Amount,
    /// The oldest of the others that are too much.
    pub over_bytes: Amount,
    /// Blocks of which some rows may be past the period: these go when they are merged.
    pub partly_past_period: u64,
}

/// Blocks, and samples or lines in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub blocks: u64,
    pub bytes: u64,
    pub rows: u64,
}

// === impl Compactor ===

impl Compactor {
    /// What the next round would remove of a tenant. Changes nothing.
    pub async fn retention(&self, tenant: &TenantId) -> Result<Retention, CompactError> {
        let inner = &self.inner;
        let view = inner.parts.catalog.refresh(tenant).await?;
        let rules = inner.rules(tenant, Effort::Routine, &view);
        let limits = inner.parts.overrides.get(tenant);
        let of = |signal, period: skald_runtime::HumanDuration| OfSignal {
            period: period.to_string(),
            ..of_signal(&view, &rules, signal)
        };
        let logs = view.blocks.iter().filter(|b| b.signal() == Signal::Logs);
        let past = logs.filter(|b| !rules.is_expired(b) && rules.logs.cutoffs_passed(b) > 0);
        let due = rules.logs.deletes().len() + rules.samples.deletes().len();
        Ok(Retention {
            tenant: tenant.to_string(),
            metrics: of(Signal::Metrics, limits.compactor_blocks_retention_period),
            logs: of(Signal::Logs, limits.retention_period),
            streams: limits.retention_stream.clone(),
            blocks_past_a_stream_rule: past.count() as u64,
            due_deletes: due as u64,
        })
    }
}

fn of_signal(view: &View, rules: &Rules, signal: Signal) -> OfSignal {
    let all = view.blocks.iter().filter(|b| b.signal() == signal);
    let (past, kept): (Vec<_>, Vec<_>) = all.cloned().partition(|b| rules.is_expired(b));
    let cutoff = rules.cutoff(signal);
    let partly = kept.iter().filter(|b| cutoff.is_some_and(|cutoff| b.min_time < cutoff)).count();
    let max_bytes = rules.max_bytes(signal);
    OfSignal {
        period: String::new(),
        cutoff,
        max_bytes,
        stored: Amount::of(past.iter().chain(&kept)),
        past_period: Amount::of(&past),
        over_bytes: Amount::of(&over_size(&kept, signal, max_bytes)),
        partly_past_period: partly as u64,
    }
}

// === impl Amount ===

impl Amount {
    fn of<'a>(blocks: impl IntoIterator<Item = &'a Arc<BlockMeta>>) -> Self {
        blocks.into_iter().fold(Self::default(), |sum, block| Self {
            blocks: sum.blocks + 1,
            bytes: sum.bytes.saturating_add(block.size_bytes),
            rows: sum.rows.saturating_add(block.n_rows),
        })
    }
}
