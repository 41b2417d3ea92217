//! The decision table: what the answers of some replicas mean for the whole partition. A pure function.
//!
//! | answers                                                   | decision                              |
//! |-----------------------------------------------------------|---------------------------------------|
//! | a quorum stored everything                                | stored                                |
//! | a quorum stored, its members refuse the same things       | stored, with what they refused        |
//! | a quorum stored, others may still have stored more        | wait; at the end the quorum's worst    |
//! | no quorum possible, a quorum says invalid                 | invalid: the client must not retry    |
//! | … a quorum says invalid or over a limit                   | over a limit: the client may retry    |
//! | … and that cannot happen any more                         | unavailable, timeout or internal      |

use skald_model::ErrorKind;
use skald_ring::quorum;
use skald_rpc::RpcError;
use skald_rpc::ingester::PushOutcome;

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    Wait,
    Stored(PushOutcome),
    Failed(RpcError),
}

/// Decides on the `answers` that came so far of `n` replicas.
pub(super) fn decide(n: usize, answers: &[Result<PushOutcome, RpcError>]) -> Decision {
    let need = quorum::write(n);
    let pending = n.saturating_sub(answers.len());
    let mut stored: Vec<&PushOutcome> = answers.iter().filter_map(|a| a.as_ref().ok()).collect();
    if stored.len() >= need {
        stored.sort_by_key(|o| refused(o));
        // Of the best quorum, the member that refused most: what it has, all have.
        let worst = stored[need - 1];
        let agree = stored.iter().filter(|o| same_refusals(o, worst)).count() >= need;
        return if refused(worst) == 0 || agree || pending == 0 {
            Decision::Stored(worst.clone())
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
        let kind = if n_invalid >= need { ErrorKind::Invalid } else { ErrorKind::LimitExceeded };
        return of(kind).next().map_or(Decision::Wait, |e| Decision::Failed(e.clone()));
    }
    if n_refused + pending >= need {
        return Decision::Wait;
    }
    Decision::Failed(no_quorum(&errors, need, n))
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
mod tests {
    use skald_rpc::ingester::Rejection;

    use super::*;

    type Answer = Result<PushOutcome, RpcError>;

    fn ok(refused: u64) -> Answer {
        let rejections = if refused == 0 {
            vec![]
        } else {
            let message = "late".to_owned();
            let id = "err-skald-sample-out-of-order".to_owned();
            vec![Rejection { id, kind: ErrorKind::Invalid, count: refused, message }]
        };
        Ok(PushOutcome { samples: 10 - refused, rejections, ..PushOutcome::default() })
    }

    fn err(kind: ErrorKind) -> Answer {
        Err(RpcError::new(kind, "no"))
    }

    fn word(n: usize, answers: &[Answer]) -> String {
        match decide(n, answers) {
            Decision::Wait => "wait".to_owned(),
            Decision::Stored(o) => format!("stored {}", o.samples),
            Decision::Failed(e) => format!("{:?}", e.kind),
        }
    }

    #[test]
    fn one_replica_decides_alone() {
        assert_eq!(word(1, &[]), "wait");
        assert_eq!(word(1, &[ok(0)]), "stored 10");
        assert_eq!(word(1, &[ok(3)]), "stored 7");
        assert_eq!(word(1, &[err(ErrorKind::Invalid)]), "Invalid");
        assert_eq!(word(1, &[err(ErrorKind::LimitExceeded)]), "LimitExceeded");
        for kind in [ErrorKind::Unavailable, ErrorKind::Conflict, ErrorKind::NotFound] {
            assert_eq!(word(1, &[err(kind)]), "Unavailable");
        }
        assert_eq!(word(1, &[err(ErrorKind::Timeout)]), "Timeout");
        assert_eq!(word(1, &[err(ErrorKind::Internal)]), "Internal");
    }

    #[test]
    fn two_of_three_are_a_quorum() {
        assert_eq!(word(3, &[ok(0)]), "wait");
        assert_eq!(word(3, &[ok(0), ok(0)]), "stored 10");
        assert_eq!(word(3, &[err(ErrorKind::Unavailable), ok(0)]), "wait");
        assert_eq!(word(3, &[err(ErrorKind::Unavailable), ok(0), ok(0)]), "stored 10");
    }

    #[test]
    fn what_only_one_replica_has_is_not_stored() {
        assert_eq!(word(3, &[ok(0), ok(2)]), "wait");
        assert_eq!(word(3, &[ok(0), ok(2), ok(0)]), "stored 10");
        assert_eq!(word(3, &[ok(0), ok(2), err(ErrorKind::Timeout)]), "stored 8");
        assert_eq!(word(3, &[ok(2), ok(2)]), "stored 8", "they agree: no need to wait");
    }

    #[test]
    fn a_4xx_needs_a_quorum_of_its_own() {
        use ErrorKind::{Invalid, LimitExceeded, Timeout, Unavailable};
        assert_eq!(word(3, &[err(Invalid), err(Invalid)]), "Invalid");
        assert_eq!(word(3, &[err(Invalid), err(LimitExceeded)]), "LimitExceeded");
        assert_eq!(word(3, &[err(Invalid), err(Unavailable)]), "wait");
        assert_eq!(word(3, &[err(Invalid), err(Unavailable), err(Invalid)]), "Invalid");
        assert_eq!(word(3, &[err(Invalid), err(Unavailable), err(Timeout)]), "Unavailable");
        assert_eq!(word(3, &[err(Invalid), err(Unavailable), ok(0)]), "Unavailable");
        assert_eq!(word(3, &[err(Timeout), err(Timeout)]), "Timeout");
    }

    /// Every combination of three answers: success iff two succeeded, never 4xx unless two said so, never `wait` at the end.
    #[test]
    fn all_combinations_end_in_a_decision() {
        let kinds = [
            ErrorKind::Invalid,
            ErrorKind::LimitExceeded,
            ErrorKind::Unavailable,
            ErrorKind::Timeout,
            ErrorKind::Internal,
            ErrorKind::Conflict,
        ];
        let mut options = vec![ok(0), ok(1)];
        options.extend(kinds.map(err));
        let is_4xx = |a: &Answer| matches!(a, Err(e) if matches!(e.kind, ErrorKind::Invalid | ErrorKind::LimitExceeded));
        for a in &options {
            for b in &options {
                for c in &options {
                    let answers = [a.clone(), b.clone(), c.clone()];
                    let n_ok = answers.iter().filter(|a| a.is_ok()).count();
                    let n_4xx = answers.iter().filter(|a| is_4xx(a)).count();
                    match decide(3, &answers) {
                        Decision::Wait => panic!("{answers:?}"),
                        Decision::Stored(_) => assert!(n_ok >= 2),
                        Decision::Failed(e) => {
                            assert!(n_ok < 2);
                            assert_eq!(n_4xx >= 2, is_4xx(&Err(e)), "{answers:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn transient_errors_are_reported_before_final_ones() {
        let e = |kind| RpcError::new(kind, "x");
        let both = worse(Some(e(ErrorKind::Invalid)), e(ErrorKind::Unavailable));
        assert_eq!(both.kind, ErrorKind::Unavailable);
        let both = worse(Some(e(ErrorKind::Timeout)), e(ErrorKind::Invalid));
        assert_eq!(both.kind, ErrorKind::Timeout);
    }
}
