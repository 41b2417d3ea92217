//! `explain`: what a query asks blocks for and what it looked at, for data of which that is known.

use serde_json::{Value, json};
use skald_model::TenantId;

use crate::world::{Refusal, World, at, stream};

/// Four blocks of two streams with 500 lines each and an hour between; one line has the needle. A
/// block of metrics that is none of our business, and a head.
async fn world() -> World {
    let world = World::single();
    let t = TenantId::single();
    for hour in 0..4 {
        let text = |n: i64| match (hour, n) {
            (2, 250) => "user=4711 said the magic word".to_owned(),
            _ => format!("user={n} level=info took={n}ms in block {hour}"),
        };
        let lines: Vec<(i64, String)> = (0..500).map(|n| (hour * 3600 + n, text(n))).collect();
        let lines: Vec<(i64, &str)> = lines.iter().map(|(s, l)| (*s, l.as_str())).collect();
        let dull: Vec<(i64, &str)> = lines.iter().map(|(s, _)| (*s, "level=warn dull")).collect();
        let streams = [stream(&[("app", "web")], &lines), stream(&[("app", "db")], &dull)];
        world.commit_streams(&t, &streams).await;
    }
    world.commit_series(&t, &[crate::world::series(&[("__name__", "m")], &[(0, 1.0)])]).await;
    world
}

async fn explain(world: &World, params: &[(&str, &str)]) -> Value {
    let (start, end) = (at(0), at(4 * 3600));
    let mut all = params.to_vec();
    if !params.iter().any(|(name, _)| *name == "time") {
        all.extend([("start", start.as_str()), ("end", end.as_str())]);
    }
    world.get("/loki/api/v1/explain", &all).await.data()
}

#[tokio::test]
async fn a_needle_skips_every_block_but_its_own() {
    let world = world().await;
    let query = r#"{app="web"}|="magic word"|logfmt"#;
    let data = explain(&world, &[("query", query)]).await;
    assert_eq!(data["query"], r#"{app="web"} |= "magic word" | logfmt"#);
    assert_eq!((&data["type"], &data["evaluation"]), (&json!("log"), &json!("range")));
    let [pushed] = data["pushed_down"].as_array().unwrap().as_slice() else { panic!("{data}") };
    assert_eq!(pushed["selector"], r#"{app="web"}"#);
    assert_eq!(pushed["text"], json!(["magic word"]));
    assert_eq!(pushed["columns"], json!(["timestamp", "structured_metadata", "line"]));
    assert_eq!(pushed["start"], "2026-01-01T00:00:00.000000000Z");
    assert_eq!(pushed["end"], "2026-01-01T04:00:00.000000000Z");
    let blocks = &data["blocks"];
    assert_eq!((&blocks["considered"], &blocks["opened"]), (&json!(4), &json!(4)));
    assert_eq!((&blocks["skipped_by_text"], &blocks["read"]), (&json!(3), &json!(1)), "{data}");
    assert_eq!(data["lines"]["passed"], 1);
    let result = json!({"type": "streams", "groups": 1, "values": 1});
    assert_eq!(data["result"], result);
    assert!(data["rows"]["decoded"].as_u64() <= Some(500), "{data}");
    assert!(
        data["bytes"]["fetched"].as_u64() > Some(0) && data["bytes"]["requests"].as_u64() > Some(4)
    );
    assert!(data["heads"]["answers"].as_u64() >= Some(1));
    assert!(data["memory"]["peak"].as_u64() > Some(0), "{data}");
}

#[tokio::test]
async fn rows_are_told_by_why_they_were_skipped() {
    let world = world().await;
    // One read of everything: a metric query over the whole range.
    let query = r#"sum(count_over_time({app="web"} |= "level" [4h]))"#;
    let data = explain(&world, &[("query", query), ("time", &at(4 * 3600))]).await;
    assert_eq!((&data["type"], &data["evaluation"]), (&json!("metric"), &json!("instant")));
    assert_eq!(data["pushed_down"][0]["reads"], 1);
    let rows = json!({
        "considered": 4000,
        "skipped_by_labels": 2000,
        "skipped_by_time": 0,
        "skipped_by_text": 0,
        "decoded": 2000,
    });
    assert_eq!(data["rows"], rows);
    assert_eq!(data["row_groups"], json!({"considered": 4, "skipped": 0, "read": 4}));
    // Less the very first line, which is at the open end of the window, and the one without the text.
    let lines = (&data["lines"]["processed"], &data["lines"]["passed"]);
    assert_eq!(lines, (&json!(1998), &json!(1998)));
    // Their times: which lines have the text is known without building any.
    assert_eq!(data["bytes"]["decoded"], 2000 * 8, "{data}");
    assert_eq!(data["result"], json!({"type": "vector", "groups": 1, "values": 1}));
}

#[tokio::test]
async fn blocks_out_of_range_or_without_streams_are_told_apart() {
    let world = world().await;
    let query = ("query", r#"count_over_time({app="web"}[10m])"#);
    let one = explain(&world, &[query, ("time", &at(3600 + 600))]).await;
    let blocks = &one["blocks"];
    assert_eq!((&blocks["considered"], &blocks["outside_time"]), (&json!(4), &json!(3)), "{one}");
    assert_eq!((&blocks["opened"], &blocks["read"]), (&json!(1), &json!(1)));
    // Lines are counted without being read.
    assert_eq!(one["pushed_down"][0]["columns"], json!(["timestamp", "structured_metadata"]));
    // Nor is metadata, where nothing but the group's labels matters.
    let query = ("query", r#"sum by (app) (count_over_time({app="web"}[10m]))"#);
    let sum = explain(&world, &[query, ("time", &at(3600 + 600))]).await;
    assert_eq!(sum["pushed_down"][0]["metadata"], json!(["app"]));
    let none = explain(&world, &[("query", r#"{app="none"}"#)]).await;
    assert_eq!(
        (&none["blocks"]["skipped_by_labels"], &none["blocks"]["read"]),
        (&json!(4), &json!(0))
    );
    assert_eq!((&none["rows"]["decoded"], &none["bytes"]["decoded"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn each_selector_of_a_query_is_told() {
    let world = world().await;
    let query = r#"sum(rate({app="web"} |= "user" [1h])) / sum(rate({app="db"}[1h]))"#;
    let data = explain(&world, &[("query", query), ("time", &at(3600))]).await;
    let mut selectors: Vec<&str> = data["pushed_down"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["selector"].as_str().unwrap())
        .collect();
    selectors.sort_unstable();
    assert_eq!(selectors, [r#"{app="db"}"#, r#"{app="web"}"#]);
    let scalar = explain(&world, &[("query", "vector(1)"), ("time", "4")]).await;
    assert_eq!((&scalar["pushed_down"], &scalar["blocks"]["considered"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn refusals_are_those_of_the_query() {
    let world = World::single();
    let log = ("query", r#"{app="x"}"#);
    let cases: &[Refusal<'_>] = &[
        ("explain", &[], "parse error"),
        ("explain", &[("query", "{")], "parse error"),
        ("explain", &[log, ("limit", "0")], "limit must be a positive value"),
        (
            "explain",
            &[log, ("time", "4")],
            "log queries are not supported as an instant query type",
        ),
        ("explain", &[log, ("time", "x")], "could not parse 'time'"),
    ];
    for (route, params, want) in cases {
        let reply = world.get(&format!("/loki/api/v1/{route}"), params).await;
        assert_eq!(reply.status, 400, "{params:?} {}", reply.text());
        assert!(reply.text().starts_with(want), "{params:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_look_at_how_much_is_to_be_searched_counts_for_nothing() {
    let world = world().await;
    let (start, end) = (at(0), at(4 * 3600));
    let query = r#"{app="web"} |= "magic word""#;
    let params = [("query", query), ("start", start.as_str()), ("end", end.as_str())];
    let ask = || async { world.get("/loki/api/v1/query_range", &params).await.data() };
    let first = ask().await;
    assert!(first["stats"]["summary"]["splits"].as_u64() > Some(1), "{first}");
    // What tells is at hand now: the whole range is searched in one go, each of four blocks for streams, then for lines.
    let second = ask().await;
    assert_eq!(second["result"], first["result"]);
    assert_eq!(second["stats"]["summary"]["splits"], 1, "{second}");
    assert_eq!(second["stats"]["querier"]["store"]["totalChunksRef"], 8, "{second}");
}
