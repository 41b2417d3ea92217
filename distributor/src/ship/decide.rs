//! The decision table: what the answers of some replicas mean for the whole partition. A pure function.
//!
//! | answers                                                   | decision                              |
//! |-----------------------------------------------------------|---------------------------------------|
//! | a quorum stored everything                                | stored                                |
//! | a quorum stored, its members refuse the same things       | stored, with what they refused        |
//! | a quorum stored, others may still have stored more        | wait; at the end see below            |
//! | no quorum possible, a quorum says invalid                 | invalid: the client must not retry    |
//! | … a quorum says invalid or over a limit                   | over a limit: the client may retry    |
//! | … and that cannot happen any more                         | unavailable, timeout or internal      |
//!
//! Where replicas that stored refuse different things, a thing counts as refused if so many refuse it
//! that no quorum has it. For one reason those who refuse more are taken to refuse what the others do.

use skald_model::ErrorKind;
use skald_ring::quorum;
use skald_rpc::RpcError;
use skald_rpc::ingester::{PushOutcome, Rejection};

use crate::metrics::NoQuorum;

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    Wait,
    Stored(PushOutcome),
    Failed(Failed),
}

/// Why a partition did not take a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failed {
    pub(super) error: RpcError,
    pub(super) reason: NoQuorum,
}

impl Failed {
    pub(super) fn internal(what: &str) -> Self {
        let error = RpcError::new(ErrorKind::Internal, what);
        Self { error, reason: NoQuorum::internal }
    }
}

/// Decides on the `answers` that came so far of `n` replicas.
pub(super) fn decide(n: usize, answers: &[Result<PushOutcome, RpcError>]) -> Decision {
    let need = quorum::write(n);
    let pending = n.saturating_sub(answers.len());
    let mut stored: Vec<&PushOutcome> = answers.iter().filter_map(|a| a.as_ref().ok()).collect();
    if stored.len() >= need {
        stored.sort_by_key(|o| refused(o));
        // Of the best quorum, the member that refused most.
        let worst = stored[need - 1];
        let agree = stored.iter().filter(|o| same_refusals(o, worst)).count() >= need;
        return if refused(worst) == 0 || agree || pending == 0 {
            Decision::Stored(common(&stored, need))
        } else {
            Decision::Wait
        };
    }
    if stored.len() + pending >= need {
        return Decision::Wait;
    }
    let errors: Vec<&RpcError> = answers.iter().filter_map(|a| a.as_ref().err()).collect();
    let of = |kind| errors.iter().filter(move |e| e.kind == kind).copied();
    let n_invalid = of(ErrorKind::Invalid).count();
    let n_refused = n_invalid + of(ErrorKind::LimitExceeded).count();
    if n_refused >= need {
        let (kind, reason) = if n_invalid >= need {
            (ErrorKind::Invalid, NoQuorum::invalid)
        } else {
            (ErrorKind::LimitExceeded, NoQuorum::limit)
        };
        let failed = |e: &RpcError| Decision::Failed(Failed { error: e.clone(), reason });
        return of(kind).next().map_or(Decision::Wait, failed);
    }
    if n_refused + pending >= need {
        return Decision::Wait;
    }
    let error = no_quorum(&errors, need, n);
    let reason = match error.kind {
        _ if of(ErrorKind::Conflict).next().is_some() => NoQuorum::stale,
        ErrorKind::Timeout => NoQuorum::timeout,
        ErrorKind::Internal => NoQuorum::internal,
        _ => NoQuorum::unavailable,
    };
    Decision::Failed(Failed { error, reason })
}

/// The error of two that the client must hear about: a transient one before a final one.
pub(super) fn worse(a: Option<RpcError>, b: RpcError) -> RpcError {
    let rank = |e: &RpcError| match e.kind {
        ErrorKind::Invalid => 0,
        ErrorKind::LimitExceeded => 1,
        _ => 2,
    };
    match a {
        Some(a) if rank(&a) >= rank(&b) => a,
        _ => b,
    }
}

fn no_quorum(errors: &[&RpcError], need: usize, n: usize) -> RpcError {
    let has = |kind| errors.iter().any(|e| e.kind == kind);
    let is_internal = |e: &&RpcError| matches!(e.kind, ErrorKind::Internal | ErrorKind::Corrupt);
    let kind = match () {
        // Fencing, an unknown partition, a caller that went away: another view or try mends them.
        () if has(ErrorKind::Unavailable) || has(ErrorKind::Conflict) => ErrorKind::Unavailable,
        () if has(ErrorKind::Timeout) => ErrorKind::Timeout,
        () if errors.iter().any(is_internal) => ErrorKind::Internal,
        () => ErrorKind::Unavailable,
    };
    let transient =
        |e: &&&RpcError| !matches!(e.kind, ErrorKind::Invalid | ErrorKind::LimitExceeded);
    let first = errors.iter().find(transient).map_or("", |e| e.message.as_str());
    RpcError::new(kind, format!("fewer than {need} of {n} replicas took the push: {first}"))
}

/// What those who stored have done as a quorum. `stored` is sorted by how much each refused.
fn common(stored: &[&PushOutcome], need: usize) -> PushOutcome {
    let mut rejections: Vec<Rejection> = Vec::new();
    for r in stored.iter().flat_map(|o| &o.rejections) {
        if rejections.iter().any(|known| known.id == r.id) {
            continue;
        }
        let of = |o: &&PushOutcome| {
            let same = o.rejections.iter().filter(|other| other.id == r.id);
            same.map(|other| other.count).sum::<u64>()
        };
        let mut counts: Vec<u64> = stored.iter().map(of).collect();
        counts.sort_unstable();
        match counts.get(need - 1) {
            None | Some(0) => {}
            Some(count) => rejections.push(Rejection { count: *count, ..r.clone() }),
        }
    }
    let n: u64 = rejections.iter().map(|r| r.count).sum();
    let like = stored.iter().rev().find(|o| refused(o) <= n).or(stored.first());
    let counts = like.map_or_else(PushOutcome::default, |o| PushOutcome::clone(o));
    PushOutcome { rejections, ..counts }
}

fn refused(outcome: &PushOutcome) -> u64 {
    outcome.rejections.iter().map(|r| r.count).sum()
}

fn same_refusals(a: &PushOutcome, b: &PushOutcome) -> bool {
    let keys = |o: &PushOutcome| {
        let mut keys: Vec<_> = o.rejections.iter().map(|r| (r.id.clone(), r.count)).collect();
        keys.sort_unstable();
        keys
    };
    keys(a) == keys(b)
}

#[cfg(test)]
mod tests;
