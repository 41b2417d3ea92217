//! What queries ask of the object store: counted per query and per tenant, and no more than three requests for a
//! block whose footer is known.
#![expect(clippy::print_stdout, reason = "docs/performance.md has these figures")]

use bytes::Bytes;
use serde_json::Value;
use skald_model::{Labels, LogEntry, Series, StreamEntries, TenantId};
use skald_querier::Config;
use skald_runtime::{ByteSize, HumanDuration};

use crate::world::{Another, BASE_MS, BASE_NS, BASE_S, World, series, tenant};

const BLOCKS: i64 = 10;
/// Seconds of data in a block.
const SPAN: i64 = 60;

fn metrics(block: i64) -> Vec<Series> {
    let one = |i: i64| {
        let timestamps: Vec<i64> =
            (0..12).map(|s| BASE_MS + (block * SPAN + s * 5) * 1000).collect();
        let noise = |t: &i64| i32::try_from((t * 7919 + i * 104_729) % 1_000_003).unwrap().into();
        Series {
            labels: Labels::from_pairs([
                ("__name__", format!("metric_{:03}", i % 100).as_str()),
                ("namespace", format!("ns-{}", i / 100 % 4).as_str()),
                ("pod", format!("pod-{:05}", i * 7919 % 99_991).as_str()),
            ]),
            values: timestamps.iter().map(noise).collect(),
            timestamps,
            ..Series::default()
        }
    };
    (0..8_000).map(one).collect()
}

fn lines(block: i64) -> Vec<StreamEntries> {
    let stream = |app: i64| {
        let noise = |i: i64| {
            let n = i * 2_654_435_761 + app * 97 + block;
            n.wrapping_mul(6_364_136_223_846_793_005).cast_unsigned()
        };
        let entry = |i: i64| LogEntry {
            timestamp_ns: BASE_NS + block * SPAN * 1_000_000_000 + i * 10_000_000,
            line: format!("block {block} line {i} trace={:016x}", noise(i)).into(),
            metadata: Labels::empty(),
        };
        let labels = Labels::from_pairs([("app", format!("app-{app}").as_str())]);
        StreamEntries { labels, entries: (0..5_000).map(entry).collect() }
    };
    (0..8).map(stream).collect()
}

/// A range query over the first `n` blocks: what it says of its costs, and its answer.
async fn ask(querier: &Another, path: &str, query: &str, n: i64) -> (Value, Value) {
    let at = |s: i64| (BASE_S + s).to_string();
    let (start, end) = (at(0), at(n * SPAN - 1));
    let params = [
        ("query", query),
        ("start", &start),
        ("end", &end),
        ("step", "10"),
        ("stats", "all"),
        ("limit", "100"),
    ];
    let data = querier.get(path, &params).await.data();
    (data["stats"].clone(), data["result"].clone())
}

#[tokio::test]
async fn a_metric_by_name_and_namespace_takes_three_requests_for_a_block() {
    let (world, t) = (World::single(), TenantId::single());
    for block in 0..BLOCKS {
        world.commit_series(&t, &metrics(block)).await;
    }
    let whole = Config { lookback_delta: HumanDuration::from_secs(5), ..Config::default() };
    let (nothing, path) = (ByteSize(0), "/api/v1/query_range");
    let only_footers =
        Config { index_cache_size: nothing, page_cache_size: nothing, ..whole.clone() };
    let query = r#"sum by (namespace) (metric_042{namespace="ns-2"})"#;
    for n in [1, BLOCKS] {
        let querier = world.another(only_footers.clone());
        let mut costs = Vec::new();
        for _ in 0..2 {
            let (stats, result) = ask(&querier, path, query, n).await;
            assert_eq!(result.as_array().map(Vec::len), Some(1), "{result}");
            assert_eq!(stats["store"]["blocks"], n, "{stats}");
            costs.push(stats["store"].clone());
        }
        println!("metric by name and namespace, {n} blocks: {} then {}", costs[0], costs[1]);
        let requests = |i: usize| costs[i]["requests"].as_i64().unwrap();
        assert!(requests(0) <= 4 * n, "{costs:?}");
        assert!((1..=3 * n).contains(&requests(1)), "{costs:?}");
        assert!(costs[1]["bytes"].as_u64() > Some(0), "{costs:?}");
        assert_eq!(costs[1]["footerCacheHits"], n, "{costs:?}");
        let total = requests(0) + requests(1);
        let counted = querier.metric(r#"store_requests_total{tenant="default"}"#);
        assert_eq!(counted, total.to_string(), "all that the queries said");
        assert_eq!(querier.metric("query_store_requests_count"), "2");
        assert_eq!(querier.metric("query_store_requests_sum"), format!("{total}.0"));

        let querier = world.another(whole.clone());
        ask(&querier, path, query, n).await;
        let (stats, _) = ask(&querier, path, query, n).await;
        let (requests, bytes) = (&stats["store"]["requests"], &stats["store"]["bytes"]);
        assert_eq!((requests, bytes), (&0.into(), &0.into()), "all is cached");
    }
}

#[tokio::test]
async fn lines_take_three_requests_for_a_block() {
    let (world, t) = (World::single(), TenantId::single());
    for block in 0..BLOCKS {
        world.commit_streams(&t, &lines(block)).await;
    }
    let line: Bytes = lines(0)[5].entries[777].line.clone();
    let (_, trace) = std::str::from_utf8(&line).unwrap().split_once("trace=").unwrap();
    let needle = format!(r#"{{app=~".+"}} |= "{trace}""#);
    for (name, query) in [("needle", needle.as_str()), ("stream", r#"{app="app-3"}"#)] {
        for n in [1, BLOCKS] {
            let querier = world.another(Config::default());
            let mut costs = Vec::new();
            for _ in 0..2 {
                let (stats, result) = ask(&querier, "/loki/api/v1/query_range", query, n).await;
                assert!(!result.as_array().unwrap().is_empty());
                let store = &stats["querier"]["store"];
                let of = |key: &str| store[key].as_i64().unwrap();
                costs.push((of("objectRequests"), of("objectBytes")));
            }
            println!("{name}, {n} blocks: {:?} then {:?}", costs[0], costs[1]);
            // The first reads the footers, too.
            assert!((1..=4 * n).contains(&costs[0].0), "{name}, {n} blocks: {costs:?}");
            assert!((1..=2 * n).contains(&costs[1].0), "{name}, {n} blocks: {costs:?}");
        }
    }
}

#[tokio::test]
async fn requests_are_counted_for_their_tenant_alone() {
    let world = World::single();
    for (id, n) in [("a", 1), ("b", 3)] {
        for block in 0..n {
            let one = series(&[("__name__", "up")], &[(block * 10, 1.0)]);
            world.commit_series(&tenant(id), &[one]).await;
        }
    }
    for id in ["a", "b", "stranger"] {
        let (start, end) = (BASE_S.to_string(), (BASE_S + 60).to_string());
        let params = [("match[]", "up"), ("start", start.as_str()), ("end", end.as_str())];
        assert_eq!(world.get_as(&tenant(id), "/api/v1/series", &params).await.status, 200);
    }
    let of = |id: &str| world.metric(&format!(r#"store_requests_total{{tenant="{id}"}}"#));
    let (a, b): (u64, u64) = (of("a").parse().unwrap(), of("b").parse().unwrap());
    assert!(a > 0 && b == 3 * a, "{a} {b}");
    let bytes = world.metric(r#"store_bytes_total{tenant="a"}"#);
    assert!(bytes.parse::<u64>().unwrap() > 0);
    assert!(!world.metrics().contains("stranger"), "who has no blocks is not named");
}
