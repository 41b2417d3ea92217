//! The rule by which a replica is elected. Pure.

use skald_limits::Limits;

/// What becomes of the samples of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the elected one.
    Accept,
    /// Another is.
    Drop,
    /// It is to be elected: nobody is, or who is has been silent for too long.
    Elect,
    /// The tenant has as many clusters as it may.
    TooMany,
}

/// Judges `replica` of a cluster, of which `elected` was last heard at that time (Unix milliseconds); the tenant has
/// `n_clusters`.
pub(super) fn judge(
    elected: Option<(&str, i64)>,
    n_clusters: usize,
    replica: &str,
    now_ms: i64,
    limits: &Limits,
) -> Verdict {
    let failover_ms = limits.ha_tracker_failover_timeout.as_millis();
    let max = limits.ha_max_clusters;
    match elected {
        None if max > 0 && n_clusters >= max => Verdict::TooMany,
        None => Verdict::Elect,
        Some((who, _)) if who == replica => Verdict::Accept,
        Some((_, heard_ms)) if now_ms.saturating_sub(heard_ms) > failover_ms => Verdict::Elect,
        Some(_) => Verdict::Drop,
    }
}
