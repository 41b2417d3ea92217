//! Every route of the Prometheus API: its good answer and its refusals.

use prost::Message;
use serde_json::json;
use skald_limits::Limits;
use skald_model::{BucketCounts, Exemplar, Histogram, MetricMetadata, ResetHint, Span, TenantId};
use skald_proto::public::prometheus as pb;

use crate::world::{BASE_MS, BASE_S, Refusal, World, at, labels, series};

const A: [(&str, &str); 2] = [("__name__", "up"), ("job", "a")];
const B: [(&str, &str); 3] = [("__name__", "up"), ("job", "b"), ("x.y", "ü")];

/// One series in a block, one in the head.
async fn world() -> World {
    let world = World::single();
    let t = TenantId::single();
    world.commit_series(&t, &[series(&A, &[(0, 1.0), (60, 2.5)])]).await;
    world.ingester().put(&t, |r| r.series.push(series(&B, &[(0, 1e21), (60, f64::NAN)])));
    world
}

#[tokio::test]
async fn grafana_finds_us_healthy() {
    let world = World::single();
    for path in ["/api/v1/query", "/prometheus/api/v1/query"] {
        let reply = world.post(path, &[("query", "1+1"), ("time", "4")]).await;
        assert_eq!(
            reply.text(),
            r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#
        );
        assert_eq!(reply.headers["content-type"], "application/json");
    }
    let info = world.get("/api/v1/status/buildinfo", &[]).await.data();
    assert!(info["version"].as_str().unwrap().starts_with("3."), "{info}");
    assert!(info.get("features").is_none(), "features would promise a ruler");
    assert_eq!(world.get("/api/v1/status/flags", &[]).await.status, 404);
    assert_eq!(world.get("/api/v1/rules", &[]).await.data(), json!({"groups": []}));
    assert_eq!(world.get("/api/v1/alerts", &[]).await.data(), json!({"alerts": []}));
}

#[tokio::test]
async fn instant_queries_answer_vectors() {
    let world = world().await;
    let params = [("query", r#"up{job="a"}"#), ("time", &at(60))];
    let want = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{"__name__":"up","job":"a"}},"value":[{},"2.5"]}}]}}}}"#,
        BASE_S + 60
    );
    assert_eq!(world.get("/api/v1/query", &params).await.text(), want);
    assert_eq!(world.post("/api/v1/query", &params).await.text(), want);
    let none = world.get("/api/v1/query", &[("query", "nothing")]).await;
    assert_eq!(none.text(), r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#);
    let string = world.get("/api/v1/query", &[("query", r#""a""#), ("time", "1.5")]).await;
    assert_eq!(string.data(), json!({"resultType": "string", "result": [1.5, "a"]}));
}

#[tokio::test]
async fn range_queries_answer_matrices_sorted_by_labels() {
    let world = world().await;
    let params = [("query", "up"), ("start", &at(0)), ("end", &at(60)), ("step", "60")];
    let result = world.get("/api/v1/query_range", &params).await.result();
    let (t0, t1) = (BASE_S, BASE_S + 60);
    assert_eq!(
        result,
        json!([
            {"metric": {"__name__": "up", "job": "a"}, "values": [[t0, "1"], [t1, "2.5"]]},
            {"metric": {"__name__": "up", "job": "b", "x.y": "ü"}, "values": [[t0, "1e+21"], [t1, "NaN"]]},
        ])
    );
}

#[tokio::test]
async fn native_histograms_are_answered_with_their_buckets() {
    let world = World::single();
    let histogram = Histogram {
        schema: 0,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 0.001,
        sum: 6.5,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: BucketCounts::Integer {
            count: 5,
            zero_count: 1,
            positive: vec![1, 2],
            negative: Vec::new(),
        },
    };
    world.ingester().put(&TenantId::single(), |r| {
        let mut s = series(&A, &[]);
        s.histograms.push((BASE_MS, histogram));
        r.series.push(s);
    });
    let result = world.get("/api/v1/query", &[("query", "up"), ("time", &at(0))]).await.result();
    assert_eq!(
        result[0]["histogram"],
        json!([BASE_S, {"count": "5", "sum": "6.5", "buckets": [
            [3, "-0.001", "0.001", "1"], [0, "1", "2", "1"], [0, "2", "4", "3"]]}])
    );
}

/// Route, parameters and how the error begins.
const BAD_PARAMETERS: &[Refusal<'static>] = &[
    (
        "query",
        &[("query", "up"), ("time", "x")],
        r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
    ),
    ("query", &[("query", "up{")], r#"invalid parameter "query": "#),
    ("query", &[], r#"invalid parameter "query": "#),
    ("query", &[("query", "up"), ("timeout", "x")], r#"invalid parameter "timeout": "#),
    (
        "query",
        &[("query", "up"), ("limit", "-1")],
        r#"invalid parameter "limit": limit must be non-negative"#,
    ),
    (
        "query",
        &[("query", "up"), ("limit", "x")],
        r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#,
    ),
    (
        "query",
        &[("query", "up"), ("lookback_delta", "x")],
        r#"error parsing lookback delta duration: cannot parse "x" to a valid duration"#,
    ),
    (
        "query_range",
        &[("query", "up"), ("start", "0"), ("end", "10"), ("step", "0")],
        r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
    ),
    (
        "query_range",
        &[("query", "up"), ("start", "10"), ("end", "9"), ("step", "1")],
        r#"invalid parameter "end": end timestamp must not be before start time"#,
    ),
    (
        "query_range",
        &[("query", "up"), ("start", "0"), ("end", "11001"), ("step", "1")],
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
    ),
    (
        "query_range",
        &[("query", "up"), ("end", "1"), ("step", "1")],
        r#"invalid parameter "start": "#,
    ),
    (
        "query_range",
        &[("query", "up"), ("start", "0"), ("end", "1"), ("step", "x")],
        r#"invalid parameter "step": cannot parse "x" to a valid duration"#,
    ),
    ("series", &[], "no match[] parameter provided"),
    ("series", &[("match[]", "{")], r#"invalid parameter "match[]": "#),
    ("series", &[("match[]", r#"{a=""}"#)], r#"invalid parameter "match[]": "#),
    (
        "labels",
        &[("start", "x")],
        r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#,
    ),
    ("labels", &[("match[]", r#"{a=""}"#)], "match[] must contain at least one non-empty matcher"),
    (
        "query_exemplars",
        &[("query", "up"), ("start", "5"), ("end", "4")],
        "end timestamp must not be before start timestamp",
    ),
    ("metadata", &[("limit", "x")], "limit must be a number"),
];

#[tokio::test]
async fn bad_parameters_are_named() {
    let world = World::single();
    for (route, params, want) in BAD_PARAMETERS {
        let reply = world.get(&format!("/api/v1/{route}"), params).await;
        assert_eq!(reply.status, 400, "{route} {params:?} {}", reply.text());
        let body = reply.json();
        assert_eq!((&body["status"], &body["errorType"]), (&json!("error"), &json!("bad_data")));
        let error = body["error"].as_str().unwrap();
        assert!(error.starts_with(want), "{route} {params:?}: {error}");
    }
    assert_eq!(world.post("/api/v1/label/a/values", &[]).await.status, 405);
}

#[tokio::test]
async fn unknown_values_of_stats_are_answered_with_a_warning() {
    let world = World::single();
    let reply = world.get("/api/v1/query", &[("query", "1"), ("stats", "some")]).await;
    let warning = "value \"some\" for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"";
    assert_eq!(reply.json()["warnings"], json!([warning]));
    assert!(reply.data()["stats"].is_object());
}

#[tokio::test]
async fn hostile_queries_are_refused_and_do_no_harm() {
    let world = World::single();
    let nested = "(".repeat(20_000);
    let long = "a".repeat(900_000);
    for query in ["foo[1e300]", "foo offset Inf", "\u{0}", "{}", nested.as_str(), long.as_str()] {
        let reply = world.post("/api/v1/query", &[("query", query)]).await;
        assert!(
            reply.status.is_client_error(),
            "{} {}",
            reply.status,
            &query[..query.len().min(20)]
        );
    }
    let params = [("query", "up"), ("start", "-1e300"), ("end", "1e300"), ("step", "1")];
    assert_eq!(world.get("/api/v1/query_range", &params).await.status, 400);
    let big = "x".repeat(2 << 20);
    assert_eq!(world.post("/api/v1/query", &[("query", &big)]).await.status, 413);
    assert_eq!(world.get("/api/v1/query", &[("query", "1")]).await.status, 200);
}

#[tokio::test]
async fn names_values_and_series_cover_head_and_block() {
    let world = world().await;
    assert_eq!(world.get("/api/v1/labels", &[]).await.data(), json!(["__name__", "job", "x.y"]));
    let some = [("match[]", r#"up{job="a"}"#), ("start", &at(0)), ("end", &at(0))];
    assert_eq!(world.post("/api/v1/labels", &some).await.data(), json!(["__name__", "job"]));
    let values = |name: &'static str| {
        let world = &world;
        async move { world.get(&format!("/api/v1/label/{name}/values"), &[]).await.data() }
    };
    assert_eq!(values("job").await, json!(["a", "b"]));
    assert_eq!(values("U__x_2e_y").await, json!(["ü"]));
    assert_eq!(values("x.y").await, json!(["ü"]));
    assert_eq!(values("none").await, json!([]));
    let sets =
        world.post("/api/v1/series", &[("match[]", "up"), ("match[]", r#"{job="a"}"#)]).await;
    assert_eq!(
        sets.data(),
        json!([{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b", "x.y": "ü"}])
    );
    let later = [("match[]", "up"), ("start", &at(1000))];
    assert_eq!(world.get("/api/v1/series", &later).await.data(), json!([]));
}

#[tokio::test]
async fn limits_cut_lists_with_a_warning() {
    let world = world().await;
    for (path, extra) in [
        ("/api/v1/labels", ("a", "b")),
        ("/api/v1/label/job/values", ("a", "b")),
        ("/api/v1/series", ("match[]", "up")),
        ("/api/v1/query", ("query", "up offset -1m @ 1767225600")),
        ("/api/v1/query_range", ("query", "up @ 1767225600")),
    ] {
        let params = [
            extra,
            ("limit", "1"),
            ("time", &at(0)),
            ("start", &at(0)),
            ("end", &at(60)),
            ("step", "60"),
        ];
        let reply = world.get(path, &params).await;
        let body = reply.json();
        let data = if body["data"].is_array() { &body["data"] } else { &body["data"]["result"] };
        assert_eq!(data.as_array().unwrap().len(), 1, "{path} {body}");
        assert_eq!(body["warnings"], json!(["results truncated due to limit"]), "{path}");
        let all = world
            .get(
                path,
                &[
                    extra,
                    ("limit", "0"),
                    ("time", &at(0)),
                    ("start", &at(0)),
                    ("end", &at(60)),
                    ("step", "60"),
                ],
            )
            .await;
        assert!(all.json().get("warnings").is_none(), "{path}");
    }
}

#[tokio::test]
async fn metadata_is_grouped_by_name() {
    let world = World::single();
    let entry = |name: &str, help: &str| MetricMetadata {
        name: name.to_owned(),
        kind: "counter".to_owned(),
        help: help.to_owned(),
        unit: String::new(),
    };
    world.ingester().put(&TenantId::single(), |r| {
        r.metadata = vec![entry("b", "2"), entry("a", "1"), entry("a", "3")];
    });
    let one = |help: &str| json!({"type": "counter", "help": help, "unit": ""});
    let all = world.get("/api/v1/metadata", &[]).await.data();
    assert_eq!(all, json!({"a": [one("1"), one("3")], "b": [one("2")]}));
    let few = world.get("/api/v1/metadata", &[("limit", "1"), ("limit_per_metric", "1")]).await;
    assert_eq!(few.data(), json!({"a": [one("1")]}));
    let named = world.get("/api/v1/metadata", &[("metric", "b")]).await;
    assert_eq!(named.data(), json!({"b": [one("2")]}));
}

#[tokio::test]
async fn exemplars_are_found_by_the_selectors_of_a_query() {
    let world = World::single();
    let exemplar = |t: i64| Exemplar {
        labels: labels(&[("trace_id", "1")]),
        timestamp_ms: BASE_MS + t,
        value: 6.0,
    };
    world.ingester().put(&TenantId::single(), |r| {
        r.exemplars.push((labels(&A), vec![exemplar(479), exemplar(5000)]));
    });
    let params =
        [("query", r#"rate(up{job="a"}[5m]) / sum(up)"#), ("start", &at(0)), ("end", &at(1))];
    let reply = world.post("/api/v1/query_exemplars", &params).await;
    assert_eq!(
        reply.text(),
        format!(
            r#"{{"status":"success","data":[{{"seriesLabels":{{"__name__":"up","job":"a"}},"exemplars":[{{"labels":{{"trace_id":"1"}},"value":"6","timestamp":{BASE_S}.479}}]}}]}}"#
        )
    );
    let none = world.get("/api/v1/query_exemplars", &[("query", "down")]).await;
    assert_eq!(none.data(), json!([]));
}

#[tokio::test]
async fn large_answers_are_compressed_when_asked() {
    let world = World::single();
    world.ingester().put(&TenantId::single(), |r| {
        let points: Vec<(i64, f64)> = (0..1000).map(|i| (i, 1.0)).collect();
        r.series.push(series(&A, &points));
    });
    let uri = format!("/api/v1/query?query=up[1h]&time={}", at(1000));
    let uri = uri.replace('[', "%5B").replace(']', "%5D");
    let request = || http::Request::get(&uri).header("accept-encoding", "gzip");
    let t = TenantId::single();
    let zipped = world.send(request().body(axum::body::Body::empty()).unwrap(), Some(&t)).await;
    assert_eq!(zipped.headers["content-encoding"], "gzip");
    let plain = skald_codec::compress::gzip(&zipped.body, 1 << 20).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(body["data"]["result"][0]["values"].as_array().unwrap().len(), 1000);
    let small = http::Request::get("/api/v1/query?query=1").header("accept-encoding", "gzip");
    let small = world.send(small.body(axum::body::Body::empty()).unwrap(), Some(&t)).await;
    assert!(!small.headers.contains_key("content-encoding"));
}

pub(crate) fn read_request(request: &pb::ReadRequest) -> http::Request<axum::body::Body> {
    let packed = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
    http::Request::post("/api/v1/read")
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .body(axum::body::Body::from(packed))
        .unwrap()
}

pub(crate) fn read_query() -> pb::Query {
    let matcher = pb::LabelMatcher {
        r#type: pb::label_matcher::Type::Eq.into(),
        name: "__name__".to_owned(),
        value: "up".to_owned(),
    };
    pb::Query {
        start_timestamp_ms: BASE_MS,
        end_timestamp_ms: BASE_MS + 60_000,
        matchers: vec![matcher],
        hints: None,
    }
}

#[tokio::test]
async fn remote_read_answers_samples() {
    let world = world().await;
    // 0 stands first, 7 is of a later day.
    let accepted = vec![7, 0, 1];
    let request =
        pb::ReadRequest { queries: vec![read_query()], accepted_response_types: accepted };
    let reply = world.send(read_request(&request), Some(&TenantId::single())).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.headers["content-type"], "application/x-protobuf");
    assert_eq!(reply.headers["content-encoding"], "snappy");
    let mut plain = Vec::new();
    skald_codec::compress::snappy(&reply.body, 1 << 20, &mut plain).unwrap();
    let response = pb::ReadResponse::decode(plain.as_slice()).unwrap();
    let series = &response.results[0].timeseries;
    assert_eq!(series.len(), 2);
    assert_eq!(series[0].labels[1].value, "a");
    let points: Vec<_> =
        series[0].samples.iter().map(|s| (s.timestamp - BASE_MS, s.value)).collect();
    assert_eq!(points, [(0, 1.0), (60_000, 2.5)]);
}

/// The messages of a stream of frames, their lengths and checksums checked.
fn frames(mut body: &[u8]) -> Vec<pb::ChunkedReadResponse> {
    let mut out = Vec::new();
    while !body.is_empty() {
        let len = usize::try_from(prost::encoding::decode_varint(&mut body).unwrap()).unwrap();
        let (crc, rest) = body.split_at(4);
        let (message, rest) = rest.split_at(len);
        assert_eq!(crc, crc32c::crc32c(message).to_be_bytes());
        assert!(len <= 1 << 20, "{len}");
        out.push(pb::ChunkedReadResponse::decode(message).unwrap());
        body = rest;
    }
    out
}

#[tokio::test]
async fn remote_read_streams_chunks_to_who_asks_for_them() {
    let world = world().await;
    let t = TenantId::single();
    // Enough that one series takes several frames, and the answer several pieces.
    let wide = |i: i64| Histogram {
        schema: 8,
        reset_hint: ResetHint::Gauge,
        zero_threshold: 0.0,
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: 4000 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: BucketCounts::Float {
            count: 1.0,
            zero_count: 0.0,
            positive: (0..4000).map(|b| f64::from(b) * 1.1 + i as f64 / 3.0).collect(),
            negative: Vec::new(),
        },
    };
    world.ingester().put(&t, |r| {
        let mut big = series(&[("__name__", "up"), ("job", "0")], &[]);
        big.histograms = (0..50).map(|i| (BASE_MS + i, wide(i))).collect();
        r.series.push(big);
    });
    let request = pb::ReadRequest {
        queries: vec![read_query(), read_query()],
        accepted_response_types: vec![1, 0],
    };
    let reply = world.send(read_request(&request), Some(&t)).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(
        reply.headers["content-type"],
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    assert!(!reply.headers.contains_key("content-encoding"));
    let frames = frames(&reply.body);
    let told: Vec<_> = frames
        .iter()
        .map(|f| (f.query_index, f.chunked_series[0].labels[1].value.as_str()))
        .collect();
    let mut once = told.clone();
    once.dedup();
    assert_eq!(once, [(0, "0"), (0, "a"), (0, "b"), (1, "0"), (1, "a"), (1, "b")]);
    assert!(told.len() > once.len(), "the wide series needs more than one frame");
    let times = frames[..told.len() / 2 - 2].iter().flat_map(|f| &f.chunked_series[0].chunks);
    let times: Vec<_> = times.map(|c| (c.min_time_ms, c.max_time_ms, c.r#type)).collect();
    assert!(times.is_sorted() && times.iter().all(|c| c.2 == 3), "{times:?}");
    let small = &frames[told.len() / 2 - 2].chunked_series[0];
    assert_eq!(small.chunks[0].r#type, 1);
    assert_eq!(
        (small.chunks[0].min_time_ms, small.chunks[0].max_time_ms),
        (BASE_MS, BASE_MS + 60_000)
    );
}

#[tokio::test]
async fn remote_read_refuses_what_it_cannot_serve() {
    let world = world().await;
    let t = TenantId::single();
    let unknown = pb::ReadRequest { queries: vec![], accepted_response_types: vec![7] };
    assert_eq!(world.send(read_request(&unknown), Some(&t)).await.status, 400);
    let mut bad = read_query();
    bad.matchers[0].r#type = 2;
    bad.matchers[0].value = "(".to_owned();
    let bad = pb::ReadRequest { queries: vec![bad], accepted_response_types: vec![] };
    assert_eq!(world.send(read_request(&bad), Some(&t)).await.status, 400);
    let garbage =
        http::Request::post("/api/v1/read").body(axum::body::Body::from("garbage")).unwrap();
    assert_eq!(world.send(garbage, Some(&t)).await.status, 400);
    let limits = Limits { max_samples_per_query: 1, ..Limits::default() };
    let small = World::new(1, 1, limits);
    small.ingester().put(&t, |r| r.series.push(series(&A, &[(0, 1.0), (1, 1.0)])));
    let request = pb::ReadRequest { queries: vec![read_query()], accepted_response_types: vec![] };
    let reply = small.send(read_request(&request), Some(&t)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("max_samples_per_query"));
}

#[tokio::test]
async fn queries_are_formatted_and_parsed() {
    let world = World::single();
    let query = "sum  by(a)(rate(m{b='c'}[300s]))";
    let formatted = world.get("/api/v1/format_query", &[("query", query)]).await.data();
    assert_eq!(formatted, "sum by (a) (rate(m{b=\"c\"}[5m]))");
    let query = "sum(m) > bool on (a) x offset 2s";
    let tree = world.post("/api/v1/parse_query", &[("query", query)]).await.data();
    assert_eq!(tree["type"], "binaryExpr");
    assert_eq!(tree["bool"], true);
    assert_eq!(tree["matching"]["labels"][0], "a");
    assert_eq!(tree["lhs"]["op"], "sum");
    assert_eq!(tree["rhs"]["offset"], 2000);
    assert_eq!(tree["rhs"]["matchers"][0]["value"], "x");
    for path in ["/api/v1/format_query", "/api/v1/parse_query"] {
        let reply = world.get(path, &[("query", "foo{")]).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("1:5: parse error: "));
    }
}
