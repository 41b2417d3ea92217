//! Every route of the Loki API: its good answer and its refusals.

use serde_json::{Value, json};
use skald_limits::Limits;
use skald_model::{Labels, TenantId};

use crate::world::{BASE_NS, BASE_S, Refusal, Reply, World, at, stream};

const WEB: [(&str, &str); 2] = [("app", "web"), ("env", "prod")];
const API: [(&str, &str); 2] = [("app", "api"), ("env", "dev")];

/// One stream in a block, one in the head.
async fn world() -> World {
    let world = World::single();
    let t = TenantId::single();
    world.commit_streams(&t, &[stream(&WEB, &[(10, "<b>"), (20, "level=info x=1")])]).await;
    world.ingester().put(&t, |r| {
        let mut s = stream(&API, &[(30, "level=warn x=2")]);
        s.entries[0].metadata = Labels::from_pairs([("trace", "t1")]);
        r.streams.push(s);
    });
    world
}

async fn ask(world: &World, route: &str, params: &[(&str, &str)]) -> Reply {
    let (start, end) = (at(0), at(100));
    let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
    all.extend(params);
    world.get(&format!("/loki/api/v1/{route}"), &all).await
}

fn ns(s: i64) -> String {
    (BASE_NS + s * 1_000_000_000).to_string()
}

#[tokio::test]
async fn grafana_finds_us_healthy() {
    let world = World::single();
    let params = [("query", "vector(1)+vector(1)"), ("time", "4000000000")];
    let reply = world.get("/loki/api/v1/query", &params).await;
    assert_eq!(reply.result(), json!([{"metric": {}, "value": [4_000_000_000_i64, "2"]}]));
    assert_eq!(reply.data()["resultType"], "vector");
    let params = [("query", "vector(1)+vector(1)"), ("time", "4")];
    assert_eq!(
        world.get("/loki/api/v1/query", &params).await.result()[0]["value"],
        json!([4, "2"])
    );
    let info = world.get("/loki/api/v1/status/buildinfo", &[]).await.json();
    for key in ["version", "revision", "branch", "buildDate", "buildUser", "goVersion"] {
        assert!(info[key].is_string(), "{key}");
    }
}

#[tokio::test]
async fn log_queries_answer_streams_with_all_labels_merged() {
    let world = world().await;
    let reply = ask(&world, "query_range", &[("query", r#"{app=~".+"}"#)]).await;
    assert_eq!(reply.data()["resultType"], "streams");
    assert_eq!(
        reply.result(),
        json!([
            {"stream": {"app": "api", "env": "dev", "trace": "t1"}, "values": [[ns(30), "level=warn x=2"]]},
            {"stream": {"app": "web", "env": "prod"}, "values": [[ns(20), "level=info x=1"], [ns(10), "<b>"]]},
        ])
    );
    assert!(reply.text().contains(r"\u003cb\u003e"), "lines are HTML-escaped");
    assert!(reply.data()["stats"]["summary"]["totalLinesProcessed"].is_number());
    let newest = [("query", r#"{app=~".+"}"#), ("limit", "1")];
    let result = ask(&world, "query_range", &newest).await.result();
    assert_eq!(result[0]["values"], json!([[ns(30), "level=warn x=2"]]));
    let oldest = [("query", r#"{app=~".+"}"#), ("limit", "1"), ("direction", "FORWARD")];
    let result = ask(&world, "query_range", &oldest).await.result();
    assert_eq!(result[0]["values"], json!([[ns(10), "<b>"]]));
}

#[tokio::test]
async fn labels_are_kept_apart_by_category_when_asked() {
    let world = world().await;
    let query = "%7Bapp%3D%22api%22%7D%20%7C%20logfmt";
    let uri = format!("/loki/api/v1/query_range?query={query}&start={}&end={}", at(0), at(100));
    let request = http::Request::get(uri)
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
        .body(axum::body::Body::empty())
        .unwrap();
    let reply = world.send(request, Some(&TenantId::single())).await;
    assert_eq!(reply.data()["encodingFlags"], json!(["categorize-labels"]));
    let categories =
        json!({"structuredMetadata": {"trace": "t1"}, "parsed": {"level": "warn", "x": "2"}});
    assert_eq!(
        reply.result(),
        json!([{"stream": {"app": "api", "env": "dev"}, "values": [[ns(30), "level=warn x=2", categories]]}])
    );
}

#[tokio::test]
async fn metric_queries_answer_matrices_and_vectors() {
    let world = world().await;
    let query = r#"sum by (app) (count_over_time({app=~".+"}[1m]))"#;
    let params = [("query", query), ("time", &at(60))];
    let reply = world.get("/loki/api/v1/query", &params).await;
    let point = |n: &str| json!([BASE_S + 60, n]);
    assert_eq!(
        reply.result(),
        json!([{"metric": {"app": "api"}, "value": point("1")}, {"metric": {"app": "web"}, "value": point("2")}])
    );
    let range = world
        .post(
            "/loki/api/v1/query_range",
            &[("query", query), ("start", &at(60)), ("end", &at(60)), ("step", "60000ms")],
        )
        .await;
    assert_eq!(range.data()["resultType"], "matrix");
    assert_eq!(
        range.result()[1],
        json!({"metric": {"app": "web"}, "values": [[BASE_S + 60, "2"]]})
    );
}

#[tokio::test]
async fn names_values_and_series_cover_head_and_block() {
    let world = world().await;
    for route in ["labels", "label"] {
        assert_eq!(ask(&world, route, &[]).await.data(), json!(["app", "env"]));
    }
    assert_eq!(ask(&world, "label/app/values", &[]).await.data(), json!(["api", "web"]));
    let some = [("query", r#"{env="prod"}"#)];
    assert_eq!(ask(&world, "label/app/values", &some).await.data(), json!(["web"]));
    let none = ask(&world, "label/none/values", &[]).await;
    assert_eq!(none.text(), r#"{"status":"success"}"#);
    let sets = [("match[]", r#"{app="web"}"#), ("match", r#"{env=~"dev|prod"}"#)];
    let both = json!([{"app": "api", "env": "dev"}, {"app": "web", "env": "prod"}]);
    assert_eq!(ask(&world, "series", &sets).await.data(), both);
    let none = [("match[]", r#"{app="none"}"#)];
    assert_eq!(ask(&world, "series", &none).await.data(), json!([]));
    // The default range is the last hour: it ends at the clock's 01:00 and begins at the base.
    assert_eq!(world.get("/loki/api/v1/labels", &[]).await.data(), json!(["app", "env"]));
    assert_eq!(
        world.get("/loki/api/v1/labels", &[("since", "1m")]).await.text(),
        r#"{"status":"success"}"#
    );
}

#[tokio::test]
async fn volumes_and_stats_need_no_lines() {
    let world = world().await;
    let by_name = [("query", r#"{app=~".+"}"#), ("aggregateBy", "labels")];
    let names = ask(&world, "index/volume", &by_name).await.result();
    assert_eq!(
        names,
        json!([{"metric": {"app": ""}, "value": [BASE_S + 100, "31"]}, {"metric": {"env": ""}, "value": [BASE_S + 100, "31"]}])
    );
    let both = [("query", "{}"), ("targetLabels", "env,none"), ("aggregateBy", "series")];
    assert_eq!(ask(&world, "index/volume", &both).await.result(), json!([]));
    let envs = [("query", "{}"), ("targetLabels", "env"), ("limit", "1")];
    assert_eq!(
        ask(&world, "index/volume", &envs).await.result(),
        json!([{"metric": {"env": "prod"}, "value": [BASE_S + 100, "17"]}])
    );
    let named = [
        ("query", r#"{app="web"}"#),
        ("step", "50"),
        ("aggregateBy", "labels"),
        ("targetLabels", "env"),
    ];
    assert_eq!(
        ask(&world, "index/volume_range", &named).await.result(),
        json!([{"metric": {"env": ""}, "values": [[BASE_S + 50, "17"]]}])
    );
    let stats = ask(&world, "index/stats", &[("query", r#"{app=~".+"}"#)]).await.json();
    assert_eq!((&stats["streams"], &stats["entries"]), (&json!(2), &json!(3)));
    assert_eq!(stats["bytes"], json!(3 + 14 + 14));
    let volume = ask(&world, "index/volume", &[("query", r#"{app=~".+"}"#)]).await;
    let t = BASE_S + 100;
    assert_eq!(
        volume.result(),
        json!([{"metric": {"app": "web"}, "value": [t, "17"]}, {"metric": {"app": "api"}, "value": [t, "14"]}])
    );
    let step = [("query", r#"{app="web"}"#), ("step", "50"), ("targetLabels", "app")];
    let volumes = ask(&world, "index/volume_range", &step).await;
    assert_eq!(volumes.data()["resultType"], "matrix");
    assert_eq!(
        volumes.result(),
        json!([{"metric": {"app": "web"}, "values": [[BASE_S + 50, "17"]]}])
    );
    let detected = ask(&world, "detected_labels", &[]).await.json();
    assert_eq!(
        detected["detectedLabels"],
        json!([{"label": "app", "cardinality": 2}, {"label": "env", "cardinality": 2}])
    );
    let limits = world.get("/loki/api/v1/drilldown-limits", &[]).await.json();
    assert_eq!(limits["limits"]["volume_enabled"], true);
}

#[tokio::test]
async fn fields_are_detected_in_lines_and_metadata() {
    let world = world().await;
    let json_line =
        stream(&[("app", "j")], &[(40, r#"{"took": "3ms", "ok": true, "a": {"b": 1}}"#)]);
    world.ingester().put(&TenantId::single(), |r| r.streams.push(json_line));
    let reply = ask(&world, "detected_fields", &[("query", r#"{app=~".+"}"#)]).await.json();
    let field = |label: &str, kind: &str, cardinality: u64, parsers: Value| json!({"label": label, "type": kind, "cardinality": cardinality, "parsers": parsers});
    assert_eq!(reply["limit"], 1000);
    let fields = reply["fields"].as_array().unwrap();
    let with_path = |label: &str, kind: &str, path: Value| {
        let mut want = field(label, kind, 1, json!(["json"]));
        want["jsonPath"] = path;
        want
    };
    for want in [
        field("level", "string", 2, json!(["logfmt"])),
        with_path("ok", "boolean", json!(["ok"])),
        with_path("took", "duration", json!(["took"])),
        with_path("a_b", "int", json!(["a", "b"])),
        field("trace", "string", 1, Value::Null),
        field("x", "int", 2, json!(["logfmt"])),
    ] {
        assert!(fields.contains(&want), "{want} in {reply}");
    }
}

#[tokio::test]
async fn the_values_of_a_field_are_listed() {
    let world = world().await;
    let query = ("query", r#"{app=~".+"}"#);
    let values = ask(&world, "detected_field/level/values", &[query]).await.json();
    assert_eq!(values, json!({"values": ["info", "warn"], "limit": 1000}));
    let values = ask(&world, "detected_field/x/values", &[query, ("limit", "1")]).await.json();
    assert_eq!(values, json!({"values": ["1"], "limit": 1}));
    let none = ask(&world, "detected_field/none/values", &[query]).await.json();
    assert_eq!(none["values"], json!([]));
}

#[tokio::test]
async fn drilldown_gets_some_series_and_a_warning_where_others_get_an_error() {
    let world = World::new(1, 1, Limits { max_query_series: 1, ..Limits::default() });
    let t = TenantId::single();
    world.commit_streams(&t, &[stream(&WEB, &[(10, "a")]), stream(&API, &[(10, "b")])]).await;
    let params = "query=count_over_time(%7Bapp%3D~%22.%2B%22%7D%5B1m%5D)&step=60";
    let uri = format!("/loki/api/v1/query_range?{params}&start={}&end={}", at(60), at(60));
    let request = || http::Request::get(&uri);
    let plain = request().body(axum::body::Body::empty()).unwrap();
    let refused = world.send(plain, Some(&t)).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().starts_with("maximum number of series (1) reached"),
        "{}",
        refused.text()
    );
    let tagged = request().header("X-Query-Tags", "Source=grafana-lokiexplore-app");
    let reply = world.send(tagged.body(axum::body::Body::empty()).unwrap(), Some(&t)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.result().as_array().unwrap().len(), 1);
    assert!(reply.json()["warnings"][0].as_str().unwrap().contains("partial results"));
}

#[tokio::test]
async fn patterns_come_with_level_and_counts_per_step() {
    let world = World::single();
    let t = TenantId::single();
    let line = |s: i64| (s, format!("request {s} took {s}ms to answer"));
    let lines: Vec<(i64, String)> = (0..40).map(line).collect();
    let lines: Vec<(i64, &str)> = lines.iter().map(|(s, l)| (*s, l.as_str())).collect();
    world.commit_streams(&t, &[stream(&WEB, &lines[..30])]).await;
    world.ingester().put(&t, |r| {
        let mut s = stream(&WEB, &lines[30..]);
        for e in &mut s.entries {
            e.metadata = Labels::from_pairs([("detected_level", "warn")]);
        }
        r.streams.push(s);
    });
    let params = [("query", r#"{app="web"}"#), ("step", "20s")];
    let reply = ask(&world, "patterns", &params).await.json();
    let pattern = "request <_> took <_> to answer";
    assert_eq!(
        reply,
        json!({"status": "success", "data": [
            {"pattern": pattern, "level": "unknown", "samples": [[BASE_S, 20], [BASE_S + 20, 10]]},
            {"pattern": pattern, "level": "warn", "samples": [[BASE_S + 20, 10]]},
        ]})
    );
}

#[tokio::test]
async fn format_query_prints_the_canonical_form() {
    let world = World::single();
    let params = [("query", r#"sum by(level)(rate({app="x"}|logfmt[5m]))"#)];
    let reply = world.get("/loki/api/v1/format_query", &params).await;
    assert_eq!(reply.data(), json!(r#"sum by (level)(rate({app="x"} | logfmt[5m]))"#));
}

#[tokio::test]
async fn refusals_are_plain_text() {
    let limits = Limits { max_entries_limit_per_query: 10, ..Limits::default() };
    let world = World::new(1, 1, limits);
    let ok = ("query", r#"{app="x"}"#);
    let distinct = ("query", r#"{app="x"} | distinct app"#);
    let cases: &[Refusal<'_>] = &[
        ("query_range", &[("query", "{")], "parse error"),
        ("query_range", &[], "parse error"),
        ("query_range", &[("query", "{}")], "parse error : queries require at least one"),
        ("query_range", &[ok, ("limit", "0")], "limit must be a positive value"),
        ("query_range", &[ok, ("limit", "11")], "max entries limit per query exceeded"),
        ("query_range", &[ok, ("limit", "x")], "could not parse 'limit'"),
        (
            "query_range",
            &[ok, ("step", "0")],
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        ("query_range", &[ok, ("direction", "x")], "invalid direction 'x'"),
        ("query_range", &[ok, ("interval", "-1")], "interval must be >= 0"),
        ("query_range", &[ok, ("cursor", "x")], "cursor is not one that"),
        ("query_range", &[ok, ("cursor", "1f5.0.1")], "cursor belongs to the other direction"),
        ("query_range", &[ok, ("cursor", ""), ("interval", "1")], "cursor and interval"),
        ("query_range", &[distinct, ("cursor", "")], "cursor and distinct"),
        ("query_range", &[("query", "vector(1)"), ("cursor", "")], "cursor needs a log query"),
        (
            "query_range",
            &[ok, ("start", "2"), ("end", "1")],
            "end timestamp must not be before or equal to start time",
        ),
        ("query_range", &[ok, ("start", "x")], "could not parse 'start'"),
        (
            "query_range",
            &[("query", r#"rate({app="x"}[1m])"#), ("start", "0"), ("end", "11001"), ("step", "1")],
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter",
        ),
        (
            "query",
            &[ok],
            "log queries are not supported as an instant query type, please change your query to a range query type",
        ),
        ("series", &[("match[]", "{")], "parse error"),
        ("labels", &[("query", "{a=")], "parse error"),
        ("index/stats", &[("query", "{")], "parse error"),
        ("index/volume", &[("aggregateBy", "x")], "invalid aggregation option"),
        ("tail", &[ok, ("delay_for", "6")], "delay_for can't be greater than 5"),
        ("tail", &[distinct], "tail takes no distinct"),
        ("tail", &[("query", r#"rate({app="x"}[1m])"#)], "tail needs a log query"),
        ("format_query", &[("query", "{")], "parse error"),
    ];
    for (route, params, want) in cases {
        let reply = world.get(&format!("/loki/api/v1/{route}"), params).await;
        assert_eq!(reply.status, 400, "{route} {params:?} {}", reply.text());
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
        assert!(reply.text().starts_with(want), "{route} {params:?}: {}", reply.text());
        assert!(serde_json::from_str::<Value>(reply.text()).is_err());
    }
}
