//! Heads, replicas and blocks together give every sample and line once.

use serde_json::json;
use skald_limits::Limits;
use skald_model::TenantId;
use skald_runtime::ByteSize;

use crate::world::{BASE_NS, BASE_S, Reply, World, at, series, stream};

const UP: [(&str, &str); 2] = [("__name__", "up"), ("job", "a")];
const APP: [(&str, &str); 1] = [("app", "x")];

async fn up(world: &World) -> Reply {
    world.get("/api/v1/query", &[("query", "up[1h]"), ("time", &at(3000))]).await
}

fn values(reply: &Reply) -> Vec<(i64, String)> {
    let result = reply.result();
    assert!(result.as_array().unwrap().len() <= 1, "{result}");
    let Some(values) = result[0]["values"].as_array() else { return Vec::new() };
    let point = |v: &serde_json::Value| {
        (v[0].as_i64().unwrap() - BASE_S, v[1].as_str().unwrap().to_owned())
    };
    values.iter().map(point).collect()
}

fn want(points: &[(i64, &str)]) -> Vec<(i64, String)> {
    points.iter().map(|(t, v)| (*t, (*v).to_owned())).collect()
}

async fn lines(world: &World) -> Vec<(i64, String)> {
    let params = [
        ("query", r#"{app="x"}"#),
        ("start", &at(0)),
        ("end", &at(3000)),
        ("direction", "forward"),
    ];
    let result = world.get("/loki/api/v1/query_range", &params).await.result();
    let mut out = Vec::new();
    for stream in result.as_array().unwrap() {
        for value in stream["values"].as_array().unwrap() {
            let ns: i64 = value[0].as_str().unwrap().parse().unwrap();
            out.push(((ns - BASE_NS) / 1_000_000_000, value[1].as_str().unwrap().to_owned()));
        }
    }
    out
}

#[tokio::test]
async fn head_and_block_overlap_and_every_sample_comes_once() {
    let world = World::single();
    let t = TenantId::single();
    world.commit_series(&t, &[series(&UP, &[(0, 1.0), (60, 2.0), (120, 3.0)])]).await;
    world.ingester().put(&t, |r| r.series.push(series(&UP, &[(120, 3.0), (180, 4.0)])));
    assert_eq!(values(&up(&world).await), want(&[(0, "1"), (60, "2"), (120, "3"), (180, "4")]));
}

#[tokio::test]
async fn lines_in_head_and_block_come_once() {
    let world = World::single();
    let t = TenantId::single();
    world.commit_streams(&t, &[stream(&APP, &[(1, "a"), (2, "b"), (2, "c")])]).await;
    world.ingester().put(&t, |r| r.streams.push(stream(&APP, &[(2, "c"), (2, "d"), (3, "e")])));
    let mut got = lines(&world).await;
    got.sort();
    assert_eq!(got, want(&[(1, "a"), (2, "b"), (2, "c"), (2, "d"), (3, "e")]));
}

#[tokio::test]
async fn counting_lines_without_reading_them_counts_copies_once() {
    let world = World::single();
    let t = TenantId::single();
    // Two replicas' blocks of the same lines, and a block that stands alone in time.
    let copies = [stream(&APP, &[(1, "a"), (1, "b"), (2, "a")])];
    world.commit_streams(&t, &copies).await;
    world.commit_streams(&t, &copies).await;
    world.commit_streams(&t, &[stream(&APP, &[(100, "a"), (100, "b")])]).await;
    world.ingester().put(&t, |r| r.streams.push(stream(&APP, &[(2, "a"), (3, "c")])));
    let params = [("query", r#"sum(count_over_time({app="x"}[1h]))"#), ("time", &at(3000))];
    let result = world.get("/loki/api/v1/query", &params).await.result();
    assert_eq!(result[0]["value"][1], "6");
}

#[tokio::test]
async fn three_replicas_are_one() {
    let world = World::new(2, 3, Limits::default());
    let t = TenantId::single();
    for replica in &world.ingesters[0] {
        replica.put(&t, |r| {
            r.series.push(series(&UP, &[(0, 1.0), (60, 2.0)]));
            r.streams.push(stream(&APP, &[(1, "a"), (1, "b")]));
        });
    }
    // Written while the first replica was away.
    for replica in &world.ingesters[0][1..] {
        replica.put(&t, |r| {
            r.series = vec![series(&UP, &[(0, 1.0), (60, 2.0), (120, 3.0)])];
        });
    }
    assert_eq!(values(&up(&world).await), want(&[(0, "1"), (60, "2"), (120, "3")]));
    assert_eq!(lines(&world).await, want(&[(1, "a"), (1, "b")]));
}

#[tokio::test]
async fn one_dead_replica_of_three_changes_nothing() {
    let world = World::new(2, 3, Limits::default());
    let t = TenantId::single();
    for replica in world.ingesters.iter().flatten() {
        replica.put(&t, |r| r.series.push(series(&UP, &[(0, 1.0)])));
    }
    for dead in 0..3 {
        *world.ingesters[1][dead].dead.lock() = true;
        assert_eq!(values(&up(&world).await), want(&[(0, "1")]));
        *world.ingesters[1][dead].dead.lock() = false;
    }
}

#[tokio::test]
async fn two_dead_replicas_of_a_partition_are_an_error_that_names_it() {
    let world = World::new(2, 3, Limits::default());
    for replica in &world.ingesters[1][..2] {
        *replica.dead.lock() = true;
    }
    let reply = up(&world).await;
    assert_eq!(reply.status, 503);
    let body = reply.json();
    assert_eq!(body["errorType"], "unavailable");
    assert!(body["error"].as_str().unwrap().contains("partition 1"), "{body}");
    let params = [("query", r#"{app="x"}"#), ("start", &at(0)), ("end", &at(10))];
    let reply = world.get("/loki/api/v1/query_range", &params).await;
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("partition 1"));
}

#[tokio::test]
async fn a_slow_replica_is_not_waited_for() {
    let world = World::new(1, 3, Limits::default());
    for replica in &world.ingesters[0] {
        replica.put(&TenantId::single(), |r| r.series.push(series(&UP, &[(0, 1.0)])));
    }
    // Never notified: the answer must come from the other two.
    *world.ingesters[0][0].gate.lock() = Some(Default::default());
    assert_eq!(values(&up(&world).await), want(&[(0, "1")]));
}

#[tokio::test]
async fn data_that_moves_from_head_to_block_is_never_missed() {
    let world = World::single();
    let t = TenantId::single();
    world.ingester().put(&t, |r| r.series.push(series(&UP, &[(0, 1.0), (60, 2.0)])));
    // The querier now holds a view without the block.
    assert_eq!(values(&up(&world).await), want(&[(0, "1"), (60, "2")]));
    let version = world.commit_series(&t, &[series(&UP, &[(0, 1.0), (60, 2.0)])]).await;
    world.ingester().forget(&t, version);
    // No time has passed, so only the head's word makes the view new enough.
    assert_eq!(values(&up(&world).await), want(&[(0, "1"), (60, "2")]));
}

#[tokio::test]
async fn a_block_compacted_away_is_found_in_its_successor() {
    let world = World::single();
    let t = TenantId::single();
    world.commit_series(&t, &[series(&UP, &[(0, 1.0)])]).await;
    // The querier learns of the block, but has nothing of its samples in memory.
    let absent = world.get("/api/v1/query", &[("query", "down[1h]"), ("time", &at(3000))]).await;
    assert_eq!(values(&absent), []);
    let gone = world.lose_blocks(&t).await;
    // The querier's view still names the lost block.
    let writer = skald_blocks::WriterOptions::new(skald_blocks::BlockId::new(1, 99));
    let mut writer = skald_blocks::MetricBlockWriter::new(writer);
    let mut chunk = Vec::new();
    let s = series(&UP, &[(0, 1.0)]);
    skald_codec::chunk::encode_floats(&s.timestamps, &s.values, &mut chunk);
    let row = skald_blocks::SeriesRow {
        labels: s.labels,
        floats: vec![chunk.into()],
        ..skald_blocks::SeriesRow::default()
    };
    writer.push(row).unwrap();
    let merged = writer.finish().unwrap();
    skald_blocks::put_block(&world.store, &t, &merged).await.unwrap();
    world.commit(&t, &merged.meta, &gone).await;
    assert_eq!(values(&up(&world).await), want(&[(0, "1")]));
    assert_eq!(world.metric("view_retries_total"), "1");
}

#[tokio::test]
async fn a_lost_block_is_an_error_and_not_a_gap() {
    let world = World::single();
    let t = TenantId::single();
    world.commit_series(&t, &[series(&UP, &[(0, 1.0)])]).await;
    world.lose_blocks(&t).await;
    let reply = up(&world).await;
    assert_eq!(
        (reply.status.as_u16(), reply.json()["errorType"].clone()),
        (500, json!("internal"))
    );
}

#[tokio::test]
async fn a_query_over_its_memory_is_refused_with_the_setting() {
    let limits = Limits { max_query_memory: ByteSize(64), ..Limits::default() };
    let world = World::new(1, 1, limits);
    let points: Vec<(i64, f64)> = (0..100).map(|i| (i, 1.0)).collect();
    world.ingester().put(&TenantId::single(), |r| r.series.push(series(&UP, &points)));
    let reply = up(&world).await;
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("max_query_memory"), "{}", reply.text());
}

#[tokio::test]
async fn a_query_over_too_many_series_is_refused_with_the_setting() {
    let limits = Limits { max_fetched_series_per_query: 1, ..Limits::default() };
    let world = World::new(1, 1, limits);
    world.ingester().put(&TenantId::single(), |r| {
        r.series.push(series(&UP, &[(0, 1.0)]));
        r.series.push(series(&[("__name__", "up"), ("job", "b")], &[(0, 1.0)]));
    });
    let reply = up(&world).await;
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("max_fetched_series_per_query"), "{}", reply.text());
}

#[tokio::test]
async fn queries_beyond_the_queue_are_refused_with_429() {
    let limits = Limits {
        max_concurrent_queries: 1,
        max_outstanding_requests_per_tenant: 0,
        ..Limits::default()
    };
    let world = World::new(1, 1, limits);
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    *world.ingester().gate.lock() = Some(std::sync::Arc::clone(&gate));
    let mut first = Box::pin(up(&world));
    assert!(futures_util::FutureExt::now_or_never(first.as_mut()).is_none());
    let refused = up(&world).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["errorType"], "too_many_requests");
    assert!(refused.text().contains("too many outstanding requests"));
    let other =
        world.get_as(&crate::world::tenant("other"), "/api/v1/query", &[("query", "1")]).await;
    assert_eq!(other.status, 200);
    // A client that goes away frees its place.
    drop(first);
    *world.ingester().gate.lock() = None;
    assert_eq!(up(&world).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_too_long_times_out() {
    let world = World::single();
    *world.ingester().gate.lock() = Some(Default::default());
    let params = [("query", "up"), ("timeout", "2s")];
    let reply = world.get("/api/v1/query", &params).await;
    assert_eq!((reply.status.as_u16(), reply.json()["errorType"].clone()), (503, json!("timeout")));
}
