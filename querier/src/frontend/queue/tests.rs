use futures_util::FutureExt;

use super::*;

const ONE: Bounds = Bounds { max_concurrent: 1, max_waiting: 2, cost: 1 };

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn unlimited() -> Queue {
    Queue::new(0, Gauges::default())
}

fn is_idle(queue: &Queue) -> bool {
    let state = queue.0.state.lock();
    let Gauges { waiting, running } = &queue.0.gauges;
    assert_eq!((waiting.get(), running.get()), (0, 0));
    state.gates.is_empty() && state.running == 0
}

#[tokio::test]
async fn queries_run_in_order_up_to_the_bound() {
    let (q, t) = (unlimited(), tenant("a"));
    let first = q.enter(&t, ONE).await.unwrap();
    let mut second = Box::pin(q.enter(&t, ONE));
    let mut third = Box::pin(q.enter(&t, ONE));
    assert!(second.as_mut().now_or_never().is_none());
    assert!(third.as_mut().now_or_never().is_none());
    assert_eq!(q.0.gauges.waiting.get(), 2);
    let refused = q.enter(&t, ONE).await.unwrap_err().to_string();
    assert!(refused.starts_with("too many outstanding requests"), "{refused}");
    for part in ["limit: 1", "limit: 2", "max_outstanding_requests_per_tenant"] {
        assert!(refused.contains(part), "{refused}");
    }
    drop(first);
    let second = second.await.unwrap();
    assert!(third.as_mut().now_or_never().is_none());
    drop(second);
    drop(third.await.unwrap());
    assert!(is_idle(&q));
}

#[tokio::test]
async fn a_waiter_that_leaves_frees_its_place_and_its_turn() {
    let (q, t) = (unlimited(), tenant("a"));
    let first = q.enter(&t, ONE).await.unwrap();
    let mut gone = Box::pin(q.enter(&t, ONE));
    assert!(gone.as_mut().now_or_never().is_none());
    let mut left = Box::pin(q.enter(&t, ONE));
    assert!(left.as_mut().now_or_never().is_none());
    drop(left);
    assert_eq!(q.0.gauges.waiting.get(), 1);
    let mut late = Box::pin(q.enter(&t, ONE));
    assert!(late.as_mut().now_or_never().is_none());
    // Given its turn, but dropped before it looked.
    drop(first);
    drop(gone);
    drop(late.await.unwrap());
    assert!(is_idle(&q));
}

#[tokio::test]
async fn tenants_take_turns_at_the_places_of_the_process() {
    let q = Queue::new(1, Gauges::default());
    let held = q.enter(&tenant("busy"), ONE).await.unwrap();
    let many = Bounds { max_concurrent: 10, max_waiting: 10, cost: 1 };
    let (busy, quiet) = (tenant("busy"), tenant("quiet"));
    let mut waiting: Vec<_> = [(&busy, "b1"), (&busy, "b2"), (&quiet, "q1"), (&busy, "b3")]
        .map(|(t, name)| Box::pin(q.enter(t, many).map(move |p| (name, p.unwrap()))))
        .into();
    for w in &mut waiting {
        assert!(w.as_mut().now_or_never().is_none());
    }
    let mut order = Vec::new();
    let mut permit = held;
    while !waiting.is_empty() {
        drop(permit);
        let (at, (name, next)) = (0..waiting.len())
            .find_map(|i| Some((i, waiting[i].as_mut().now_or_never()?)))
            .unwrap();
        drop(waiting.remove(at));
        order.push(name);
        permit = next;
    }
    assert_eq!(order, ["q1", "b1", "b2", "b3"]);
    drop(permit);
    assert!(is_idle(&q));
}

#[tokio::test]
async fn a_tenant_with_costly_queries_gets_fewer_places() {
    let q = Queue::new(3, Gauges::default());
    let bounds = |cost| Bounds { max_concurrent: 10, max_waiting: 10, cost };
    let (dear, cheap) = (tenant("dear"), tenant("cheap"));
    let _long = q.enter(&dear, bounds(5)).await.unwrap();
    let _one = q.enter(&cheap, bounds(1)).await.unwrap();
    let two = q.enter(&cheap, bounds(1)).await.unwrap();
    let mut again = Box::pin(q.enter(&dear, bounds(5)));
    let mut more = Box::pin(q.enter(&cheap, bounds(1)));
    assert!(again.as_mut().now_or_never().is_none());
    assert!(more.as_mut().now_or_never().is_none());
    drop(two);
    assert!(again.as_mut().now_or_never().is_none());
    assert!(more.as_mut().now_or_never().is_some());
    // Dropped at once, that place goes to who waits still.
    assert!(again.as_mut().now_or_never().is_some());
}

#[tokio::test]
async fn a_tenant_at_its_own_bound_does_not_hold_others_up() {
    let q = Queue::new(2, Gauges::default());
    let held = q.enter(&tenant("a"), ONE).await.unwrap();
    let mut own = Box::pin(q.enter(&held.held.as_ref().unwrap().1, ONE));
    assert!(own.as_mut().now_or_never().is_none());
    assert!(q.enter(&tenant("b"), ONE).now_or_never().unwrap().is_ok());
    assert!(own.as_mut().now_or_never().is_none());
}
