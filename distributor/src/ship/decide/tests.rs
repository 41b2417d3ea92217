//! Rows of the table, and what must hold for every combination of answers in every order.

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
        Decision::Failed(failed) => format!("{:?}", failed.error.kind),
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

#[test]
fn transient_errors_are_reported_before_final_ones() {
    let e = |kind| RpcError::new(kind, "x");
    let both = worse(Some(e(ErrorKind::Invalid)), e(ErrorKind::Unavailable));
    assert_eq!(both.kind, ErrorKind::Unavailable);
    let both = worse(Some(e(ErrorKind::Timeout)), e(ErrorKind::Invalid));
    assert_eq!(both.kind, ErrorKind::Timeout);
}

/// Everything that a replica can answer, as far as the table tells it apart.
fn options() -> Vec<Answer> {
    let kinds = [
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::LimitExceeded,
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Cancelled,
        ErrorKind::Corrupt,
        ErrorKind::Internal,
    ];
    let mut options = vec![ok(0), ok(1), ok(2), other(1), other(2), both(1, 2)];
    options.extend(kinds.map(err));
    options
}

/// Refuses for another reason than [`ok`].
fn other(refused: u64) -> Answer {
    let mut outcome = ok(refused).unwrap();
    outcome.rejections.iter_mut().for_each(|r| r.id = "err-skald-max-series-per-user".to_owned());
    Ok(outcome)
}

fn both(late: u64, over: u64) -> Answer {
    let mut outcome = ok(late).unwrap();
    outcome.rejections.append(&mut other(over).unwrap().rejections);
    Ok(PushOutcome { samples: 10 - late - over, ..outcome })
}

/// What the client is told: stored, what it sent is wrong or too much, or come back.
fn class(decision: &Decision) -> &'static str {
    match decision {
        Decision::Wait => "wait",
        Decision::Stored(_) => "stored",
        Decision::Failed(Failed { error, .. }) => match error.kind {
            ErrorKind::Invalid | ErrorKind::LimitExceeded => "refused",
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Internal => "again",
            kind => panic!("{kind:?} means nothing to a client"),
        },
    }
}

fn count(answers: &[Answer], is: impl Fn(&Answer) -> bool) -> usize {
    answers.iter().filter(|a| is(a)).count()
}

fn is_kind(kind: ErrorKind) -> impl Fn(&Answer) -> bool {
    move |a| matches!(a, Err(e) if e.kind == kind)
}

/// How much of a reason each answer that stored refused.
fn counts_of(answers: &[Answer], id: &str) -> Vec<u64> {
    let of = |o: &PushOutcome| o.rejections.iter().filter(|r| r.id == id).map(|r| r.count).sum();
    answers.iter().flatten().map(of).collect()
}

/// What holds for any answers, all or some of three.
fn check(answers: &[Answer], decision: &Decision) {
    let n_ok = count(answers, Result::is_ok);
    let n_invalid = count(answers, is_kind(ErrorKind::Invalid));
    let n_refused = n_invalid + count(answers, is_kind(ErrorKind::LimitExceeded));
    let pending = 3 - answers.len();
    match decision {
        Decision::Wait => assert!(pending > 0, "{answers:?}"),
        Decision::Stored(outcome) => {
            assert!(n_ok >= 2, "{answers:?}");
            for r in &outcome.rejections {
                assert!(r.count > 0);
                let counts = counts_of(answers, &r.id);
                assert!(counts.contains(&r.count), "nobody refused that much: {answers:?}");
            }
            // What is not named is on two replicas.
            for id in ["err-skald-sample-out-of-order", "err-skald-max-series-per-user"] {
                let named: u64 =
                    outcome.rejections.iter().filter(|r| r.id == id).map(|r| r.count).sum();
                let holders = counts_of(answers, id).into_iter().filter(|n| *n <= named).count();
                assert!(holders >= 2, "{answers:?} became {outcome:?}");
            }
        }
        Decision::Failed(Failed { error, reason }) => {
            assert!(n_ok + pending < 2, "a quorum may still come: {answers:?}");
            match error.kind {
                ErrorKind::Invalid => assert!(n_invalid >= 2, "{answers:?}"),
                ErrorKind::LimitExceeded => assert!(n_refused >= 2, "{answers:?}"),
                _ => {
                    assert!(n_refused + pending < 2, "{answers:?}");
                    let n_stale = count(answers, is_kind(ErrorKind::Conflict));
                    assert_eq!(*reason == NoQuorum::stale, n_stale > 0, "{answers:?}");
                }
            }
        }
    }
}

#[test]
fn three_answers_decide_whatever_they_are_and_in_any_order() {
    let options = options();
    for a in &options {
        for b in &options {
            for c in &options {
                let complete = [a, b, c].map(Clone::clone);
                let decision = decide(3, &complete);
                check(&complete, &decision);
                for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                    let other = decide(3, &order.map(|i| complete[i].clone()));
                    assert_eq!(class(&other), class(&decision), "{complete:?} {order:?}");
                }
                // What was decided before the last answers came is not decided otherwise by them.
                for n in 0..3 {
                    let early = decide(3, &complete[..n]);
                    check(&complete[..n], &early);
                    if early != Decision::Wait {
                        assert_eq!(class(&early), class(&decision), "{complete:?} after {n}");
                    }
                }
            }
        }
    }
}

#[test]
fn one_answer_of_one_decides_whatever_it_is() {
    for answer in options() {
        let decision = decide(1, std::slice::from_ref(&answer));
        let expected = match &answer {
            Ok(_) => "stored",
            Err(e) if matches!(e.kind, ErrorKind::Invalid | ErrorKind::LimitExceeded) => "refused",
            Err(_) => "again",
        };
        assert_eq!(class(&decision), expected, "{answer:?}");
        if let (Ok(outcome), Decision::Stored(stored)) = (answer, decision) {
            assert_eq!(outcome, stored);
        }
    }
}

#[test]
fn what_different_replicas_refuse_is_refused_where_no_quorum_has_it() {
    let named = |answers: &[Answer]| match decide(3, answers) {
        Decision::Stored(o) => o.rejections.iter().map(|r| r.count).collect::<Vec<_>>(),
        decision => panic!("{decision:?}"),
    };
    let away = err(ErrorKind::Unavailable);
    assert_eq!(named(&[ok(2), other(1), away.clone()]), [1, 2], "each is on one replica only");
    assert_eq!(named(&[ok(2), ok(1), away]), [2]);
    assert!(named(&[ok(2), other(1), ok(0)]).is_empty(), "each is on two");
    assert_eq!(named(&[both(1, 2), other(2), ok(1)]), [1, 2]);
}
