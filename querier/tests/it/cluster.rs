//! A cluster that changes: replicas that rebuild, replicas that were replaced, partitions that come and go.

use std::sync::atomic::Ordering;

use skald_limits::Limits;
use skald_model::TenantId;
use skald_ring::{Coordinator, Partition, PartitionState, View};

use crate::world::{Reply, World, at, series};

async fn names(world: &World) -> Result<Vec<String>, String> {
    let params = [("query", "{job=\"a\"}[1h]"), ("time", &*at(3000))];
    let reply: Reply = world.get("/api/v1/query", &params).await;
    if reply.status != 200 {
        assert_eq!(reply.status, 503, "{}", reply.text());
        return Err(reply.json()["error"].as_str().unwrap().to_owned());
    }
    let result = reply.result();
    let name = |s: &serde_json::Value| s["metric"]["__name__"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = result.as_array().unwrap().iter().map(name).collect();
    names.sort();
    Ok(names)
}

/// Two partitions of three. Each ingester has a series of its own: what is found says who was asked.
fn world() -> World {
    let world = World::new(2, 3, Limits::default());
    for (p, replicas) in world.ingesters.iter().enumerate() {
        for (r, replica) in replicas.iter().enumerate() {
            let labels = [("__name__", &*format!("p{p}r{r}")), ("job", "a")];
            replica.put(&TenantId::single(), |recent| {
                recent.series.push(series(&labels, &[(0, 1.0)]));
            });
        }
    }
    world
}

/// A view of the first partition as `change` makes it.
fn one(world: &World, version: u64, change: impl FnOnce(&mut Partition)) -> View {
    let mut partition = world.partitions[0].clone();
    change(&mut partition);
    View::new(version, vec![partition]).unwrap()
}

fn looks(world: &World) -> usize {
    world.coordinator.looks.load(Ordering::SeqCst)
}

fn failures(world: &World, reason: &str) -> u64 {
    let name = format!("quorum_failures_total{{reason=\"{reason}\"}}");
    world.metric(&name).parse().unwrap()
}

#[tokio::test]
async fn a_replica_that_rebuilds_is_not_asked() {
    let world = world();
    world.coordinator.set(one(&world, 2, |p| p.replicas[0].rebuilding = true));
    assert_eq!(names(&world).await.unwrap(), ["p0r1", "p0r2"]);
    // Nor does it make up for another one.
    *world.ingesters[0][1].dead.lock() = true;
    let error = names(&world).await.unwrap_err();
    let text = "partition 0: only 1 of the 2 replicas needed can answer (1 more rebuild after they lost \
                their data): connection refused";
    assert!(error.contains(text), "{error}");
    assert_eq!(failures(&world, "unavailable"), 1);
}

#[tokio::test]
async fn two_replicas_that_rebuild_are_an_error_that_says_so() {
    let world = world();
    world.coordinator.set(one(&world, 2, |p| {
        p.replicas[0].rebuilding = true;
        p.replicas[2].rebuilding = true;
    }));
    let error = names(&world).await.unwrap_err();
    let text = "partition 0: 2 of its 3 replicas rebuild after they lost their data, and 2 complete ones \
                are needed";
    assert!(error.contains(text), "{error}");
    assert_eq!(failures(&world, "rebuilding"), 1);
    assert_eq!(looks(&world), 0);
}

#[tokio::test]
async fn partitions_that_hold_nothing_are_not_asked() {
    let world = world();
    for state in [PartitionState::Pending, PartitionState::Removed] {
        let mut partitions = world.partitions.clone();
        partitions[0].state = state;
        world.coordinator.set(View::new(2, partitions).unwrap());
        world.ingesters[0].iter().for_each(|i| *i.dead.lock() = true);
        assert_eq!(names(&world).await.unwrap(), ["p1r0", "p1r1"]);
        world.coordinator.set(one(&world, 3, |p| p.state = state));
        let none = names(&world).await.unwrap_err();
        assert!(none.contains("no partition is active yet"), "nobody knows what there is: {none}");
    }
    world.coordinator.set(one(&world, 4, |p| p.state = PartitionState::ReadOnly));
    names(&world).await.unwrap_err();
}

#[tokio::test]
async fn nothing_is_answered_before_the_cluster_is_known() {
    let world = world();
    world.coordinator.set(View::empty());
    assert!(names(&world).await.unwrap_err().contains("the cluster is not known yet"));
}

/// As after a restart of two replicas on other machines.
#[tokio::test]
async fn a_partition_whose_replicas_were_replaced_is_asked_again_in_the_new_view() {
    let world = world();
    world.coordinator.set(one(&world, 2, |_| ()));
    world.ingesters[0][..2].iter().for_each(|i| *i.replaced.lock() = true);
    let next = one(&world, 3, |p| p.replicas = world.partitions[1].replicas.clone());
    *world.coordinator.next.lock() = Some(next);
    assert_eq!(names(&world).await.unwrap(), ["p1r0", "p1r1"]);
    assert_eq!(failures(&world, "stale"), 1);
    assert_eq!(world.coordinator.view().version, 3);
}

#[tokio::test]
async fn a_partition_is_asked_again_once_and_only_if_its_replicas_changed() {
    let world = world();
    world.coordinator.set(one(&world, 2, |_| ()));
    world.ingesters.iter().flatten().for_each(|i| *i.replaced.lock() = true);
    *world.coordinator.next.lock() = Some(one(&world, 3, |_| ()));
    let error = names(&world).await.unwrap_err();
    assert!(error.contains("err-skald-stale-epoch"), "{error}");
    assert_eq!(failures(&world, "stale"), 1);
    let next = one(&world, 4, |p| p.replicas = world.partitions[1].replicas.clone());
    *world.coordinator.next.lock() = Some(next);
    names(&world).await.unwrap_err();
    assert_eq!(failures(&world, "stale"), 3, "before and after the look");
}

#[tokio::test]
async fn a_look_is_taken_when_one_of_three_was_replaced() {
    let world = world();
    world.coordinator.set(one(&world, 2, |_| ()));
    *world.ingesters[0][0].replaced.lock() = true;
    *world.coordinator.next.lock() = Some(one(&world, 3, |p| p.replicas[0].epoch = 5));
    assert_eq!(names(&world).await.unwrap(), ["p0r1", "p0r2"]);
    while world.coordinator.view().version < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(looks(&world), 1);
}

/// As of a querier that is cut off from the coordinator while a partition is added.
#[tokio::test]
async fn a_partition_that_only_ingesters_know_of_is_asked_or_the_answer_is_an_error() {
    let world = world();
    world.coordinator.set(one(&world, 2, |_| ()));
    let say = |view_version, partitions: &[u32]| {
        let readable = skald_rpc::Readable { view_version, partitions: partitions.to_vec() };
        world.ingesters[0].iter().for_each(|i| *i.readable.lock() = readable.clone());
    };
    say(1, &[0, 1]);
    assert_eq!(names(&world).await.unwrap(), ["p0r0", "p0r1"], "it has left since");
    say(3, &[0]);
    assert_eq!(names(&world).await.unwrap(), ["p0r0", "p0r1"]);
    assert_eq!(looks(&world), 0);
    say(3, &[0, 1]);
    let error = names(&world).await.unwrap_err();
    assert!(error.contains("partition 1 is read in view 3"), "{error}");
    assert_eq!((failures(&world, "stale"), looks(&world)), (1, 1));
    *world.coordinator.next.lock() = Some(View::new(3, world.partitions.clone()).unwrap());
    assert_eq!(names(&world).await.unwrap(), ["p0r0", "p0r1", "p1r0", "p1r1"]);
    assert_eq!(names(&world).await.unwrap(), ["p0r0", "p0r1", "p1r0", "p1r1"]);
    assert_eq!(looks(&world), 2);
}

#[tokio::test]
async fn what_there_is_comes_only_if_asked_for_and_says_what_is_missing() {
    let world = world();
    for replica in &world.ingesters[1][..2] {
        *replica.dead.lock() = true;
    }
    assert!(names(&world).await.unwrap_err().contains("partition 1"));
    let query = [("query", "{job=\"a\"}[1h]"), ("time", &*at(3000)), ("partial", "allow")];
    let reply = world.get("/api/v1/query", &query).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let result = reply.result();
    let mut found: Vec<&str> = result
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["metric"]["__name__"].as_str().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(
        found[2..],
        ["p1r2"],
        "two of the first partition, and the one that answers: {found:?}"
    );
    let text = "the result is partial: partition 1: only 1 of the 2 replicas needed can answer";
    let warning = reply.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.starts_with(text), "{warning}");
    assert_eq!(reply.headers["x-skald-partial"], "partitions without quorum: 1");
    for path in ["/api/v1/labels", "/api/v1/label/job/values", "/loki/api/v1/labels"] {
        assert_eq!(world.get(path, &[]).await.status, 503, "{path}");
        let reply = world.get(path, &[("partial", "allow")]).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.headers.contains_key("x-skald-partial"), "{path}");
    }
    let lines =
        [("query", "{app=\"x\"}"), ("start", &*at(0)), ("end", &*at(10)), ("partial", "allow")];
    let reply = world.get("/loki/api/v1/query_range", &lines).await;
    assert!(reply.json()["warnings"][0].as_str().unwrap().contains("partition 1"));
    // A complete answer says nothing.
    for replica in &world.ingesters[1][..2] {
        *replica.dead.lock() = false;
    }
    let reply = world.get("/api/v1/query", &query).await;
    assert!(reply.json()["warnings"].is_null() && !reply.headers.contains_key("x-skald-partial"));
}

#[tokio::test]
async fn replicas_that_rebuild_are_asked_for_a_partial_answer_only() {
    let world = world();
    world.coordinator.set(one(&world, 2, |p| {
        p.replicas[0].rebuilding = true;
        p.replicas[1].rebuilding = true;
    }));
    assert!(names(&world).await.is_err());
    let query = [("query", "{job=\"a\"}[1h]"), ("time", &*at(3000)), ("partial", "allow")];
    let reply = world.get("/api/v1/query", &query).await;
    assert_eq!(reply.result()[0]["metric"]["__name__"], "p0r2");
    assert!(reply.json()["warnings"][0].as_str().unwrap().contains("2 of its 3 replicas rebuild"));
}

#[tokio::test]
async fn partial_answers_are_refused_where_nobody_would_notice() {
    let world = world();
    let lines =
        [("query", "{app=\"x\"}"), ("start", &*at(0)), ("end", &*at(10)), ("partial", "allow")];
    let reply = world.get("/loki/api/v1/export", &lines).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("partial"), "{}", reply.text());
    let reply = world.get("/api/v1/labels", &[("partial", "yes")]).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("is not"), "{}", reply.text());
}
