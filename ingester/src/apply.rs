//! Applying a checked batch to a head, for a push and for replay alike.
//!
//! Runs under the head's write lock. It answers what was refused, so that a push can log exactly what
//! was accepted: the batch as it came when nothing was refused, else [`accepted_metrics`] or
//! [`accepted_logs`]. Replay therefore needs no limit and no window: all it reads was accepted, and
//! whatever was acknowledged is taken again whatever the limits are by then.
//!
//! Should the WAL refuse a record (disk full), the samples stay in the head unacknowledged: they may
//! appear, and a retry finds them repeated and logs them.

mod logs;
mod metrics;
mod reject;
mod rewrite;

use skald_limits::Limits;
use skald_model::{Labels, SeriesId, TenantId};
use skald_rpc::ingester::PushOutcome;

pub(crate) use self::logs::{plan_logs, store_logs};
pub(crate) use self::metrics::apply_metrics;
pub(crate) use self::rewrite::{accepted_logs, accepted_metrics, logs_labels, metrics_labels};
use crate::index::Ref;

/// By which rules samples are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) limits: &'a Limits,
    pub(crate) mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A push; `share` partitions divide a tenant's global limits among them.
    Push { share: u64 },
    /// From the WAL: everything was accepted before.
    Replay,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) outcome: PushOutcome,
    /// Known series whose labels are not in the WAL since the last cut and not in this batch.
    pub(crate) relog: Vec<(SeriesId, Ref)>,
    pub(crate) refused: Refused,
}

/// Positions that were not stored, ascending.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// Whole items.
    pub(crate) items: Vec<u32>,
    /// In the batch's column of floats.
    pub(crate) floats: Vec<u32>,
    /// In the batch's column of histograms.
    pub(crate) histograms: Vec<u32>,
}

impl Refused {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.floats.is_empty() && self.histograms.is_empty()
    }
}

impl Rules<'_> {
    /// This ingester's share of a global limit; `None` = unlimited.
    fn share_of(&self, global: u64) -> Option<u64> {
        match self.mode {
            Mode::Push { share } if global > 0 => Some(global.div_ceil(share.max(1))),
            _ => None,
        }
    }
}

/// Labels as they stand in messages: long ones are cut.
fn shown(labels: &Labels) -> String {
    const MAX: usize = 512;
    let mut text = labels.to_string();
    if text.len() > MAX {
        let end = (0..=MAX).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn position(n: usize) -> u32 {
    // Bounded by the length of the batch, which is below 4 GiB.
    u32::try_from(n).unwrap_or(u32::MAX)
}
