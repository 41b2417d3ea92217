//! The Loki data source: health check, queries of its backend, what its editor asks for.

use serde_json::{Value, json};

use super::{BASE_S, CATEGORIES, CHECKOUT, Grafana, data, ns, rows, shown, texts};

/// "Save and test": one vector with one sample of value 2.
#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_succeeds() {
    let grafana = Grafana::start().await;
    let params =
        [("query", "vector(1)+vector(1)"), ("time", "4000000000"), ("direction", "backward")];
    let data = data(&grafana.get("/loki/api/v1/query", &params, &[CATEGORIES]).await);
    assert_eq!(data["resultType"], "vector");
    let [sample] = data["result"].as_array().unwrap().as_slice() else { panic!("{data}") };
    assert!(sample["metric"].is_object() && sample["value"][0].is_number(), "{sample}");
    assert_eq!(sample["value"][1], "2");
}

/// A log query with all headers, in both directions, with its labels by category and its statistics.
#[tokio::test(flavor = "multi_thread")]
async fn log_queries_are_answered_as_frames_need_them() {
    let grafana = Grafana::start().await;
    let query = r#"{namespace=~"shop|bank"} | logfmt"#;
    let reply = grafana.range(query, &[("limit", "1000")], "datasample").await;
    assert_eq!(rows(&reply).len(), 70);
    let data = data(&reply);
    let streams = data["result"].as_array().unwrap();
    assert_eq!(streams.len(), 2, "structured metadata and parsed labels make no streams");
    let ledger = &streams[1];
    let labels =
        json!({"app": "ledger", "build": "7", "namespace": "bank", "service_name": "ledger"});
    assert_eq!(ledger["stream"], labels);
    let [time, line, categories] = ledger["values"][0].as_array().unwrap().as_slice() else {
        panic!("{ledger}")
    };
    assert_eq!(time, &json!(ns(545)));
    assert_eq!(line, r#"level=warn msg="slow <query>" rows=9 took=2.5s"#);
    assert_eq!(categories["structuredMetadata"], json!({"detected_level": "warn"}));
    let parsed = json!({"level": "warn", "msg": "slow <query>", "rows": "9", "took": "2.5s"});
    assert_eq!(categories["parsed"], parsed);
    statistics(&data["stats"]);
    let more = [("direction", "forward"), ("limit", "1")];
    let first = rows(&grafana.range(CHECKOUT, &more, "datasample").await);
    assert_eq!(first[0].0.to_string(), ns(0));
    let none = grafana.range(r#"{app="none"}"#, &[], "datasample").await;
    assert_eq!(rows(&none), []);
}

/// What the query inspector shows.
fn statistics(stats: &Value) {
    let numbers = [
        ("/summary/bytesProcessedPerSecond", 0.0),
        ("/summary/linesProcessedPerSecond", 0.0),
        ("/summary/totalBytesProcessed", 1.0),
        ("/summary/totalLinesProcessed", 70.0),
        ("/summary/execTime", 0.0),
        ("/querier/store/totalChunksRef", 1.0),
        ("/querier/store/totalChunksDownloaded", 1.0),
        ("/querier/store/chunksDownloadTime", 0.0),
        ("/querier/store/chunk/headChunkBytes", 0.0),
        ("/querier/store/chunk/headChunkLines", 0.0),
        ("/querier/store/chunk/decompressedBytes", 1.0),
        ("/querier/store/chunk/decompressedLines", 1.0),
        ("/querier/store/chunk/compressedBytes", 1.0),
        ("/querier/store/chunk/totalDuplicates", 0.0),
        ("/ingester/totalReached", 1.0),
        ("/ingester/totalChunksMatched", 0.0),
        ("/ingester/totalBatches", 0.0),
        ("/ingester/totalLinesSent", 0.0),
        ("/ingester/store/chunk/decompressedBytes", 0.0),
    ];
    for (path, least) in numbers {
        let number = stats.pointer(path).and_then(Value::as_f64);
        assert!(number >= Some(least), "{path} is {number:?} in {stats}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metric_queries_are_answered_as_frames_need_them() {
    let grafana = Grafana::start().await;
    let query = r#"sum by (namespace) (count_over_time({app=~".+"}[10m]))"#;
    let end = ns(600);
    let params = [("query", query), ("time", &end), ("direction", "backward"), ("limit", "100")];
    let instant = data(&grafana.get("/loki/api/v1/query", &params, &[CATEGORIES]).await);
    assert_eq!(instant["resultType"], "vector");
    let of = |namespace: &str, n: &str| json!({"metric": {"namespace": namespace}, "value": [BASE_S + 600, n]});
    // The line at the very start lies outside of the window.
    assert_eq!(instant["result"], json!([of("bank", "10"), of("shop", "59")]));
    let more = [("step", "60000ms"), ("limit", "1000")];
    let range = data(&grafana.range(query, &more, "datasample").await);
    assert_eq!(range["resultType"], "matrix");
    let shop = &range["result"][1];
    assert_eq!(shop["metric"], json!({"namespace": "shop"}));
    let points = shop["values"].as_array().unwrap();
    assert_eq!((points.len(), &points[10]), (11, &json!([BASE_S + 600, "59"])));
    let scalar = [("query", "1+1"), ("time", end.as_str()), ("direction", "backward")];
    let scalar = data(&grafana.get("/loki/api/v1/query", &scalar, &[CATEGORIES]).await);
    assert_eq!((&scalar["resultType"], &scalar["result"][1]), (&json!("scalar"), &json!("2")));
}

/// The histogram above the lines.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_volume_is_counted_by_level() {
    let grafana = Grafana::start().await;
    let query = r#"sum by (level, detected_level) (count_over_time({app=~"checkout|ledger"} | drop __error__ [1m]))"#;
    let volume = data(&grafana.range(query, &[("step", "60000ms")], "logvolhist").await);
    assert_eq!(volume["resultType"], "matrix");
    let totals: Vec<(Value, f64)> =
        volume["result"].as_array().unwrap().iter().map(total).collect();
    let level = |level: &str| json!({ "detected_level": level });
    assert_eq!(totals, [(level("error"), 6.0), (level("info"), 54.0), (level("warn"), 10.0)]);
}

fn total(series: &Value) -> (Value, f64) {
    let values = series["values"].as_array().unwrap();
    let numbers = values.iter().map(|v| v[1].as_str().unwrap().parse::<f64>().unwrap());
    (series["metric"].clone(), numbers.sum())
}

/// Some lines below a graph of a metric query.
#[tokio::test(flavor = "multi_thread")]
async fn samples_of_lines_come_with_every_header() {
    let grafana = Grafana::start().await;
    let context = json!({"expr": CHECKOUT, "from": super::START, "to": super::END}).to_string();
    let headers = [
        CATEGORIES,
        ("X-Query-Tags", "Source=logsample"),
        ("X-Loki-Query-Limits-Context", &context),
    ];
    let params = [
        ("query", CHECKOUT),
        ("start", super::START),
        ("end", super::END),
        ("step", "2000ms"),
        ("limit", "50"),
        ("direction", "backward"),
    ];
    let reply = grafana.get("/loki/api/v1/query_range", &params, &headers).await;
    let rows = rows(&reply);
    assert_eq!((rows.len(), rows[0].0.to_string()), (50, ns(590)));
    // What is large comes packed.
    let all = [("limit", "1000")];
    let packed = grafana.range(r#"{app=~".+"} | json | logfmt"#, &all, "logsample").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert_eq!(super::rows(&packed).len(), 70);
}

/// Labels, their values and streams, for the editor's suggestions.
#[tokio::test(flavor = "multi_thread")]
async fn the_editor_finds_labels_values_and_streams() {
    let grafana = Grafana::start().await;
    let labels = data(&grafana.resource("labels", &[]).await);
    assert_eq!(texts(&labels), ["app", "build", "namespace", "pod", "service_name"]);
    let some = data(&grafana.resource("labels", &[("query", CHECKOUT)]).await);
    assert_eq!(texts(&some), ["app", "namespace", "pod", "service_name"]);
    let values = data(&grafana.resource("label/namespace/values", &[]).await);
    assert_eq!(texts(&values), ["bank", "shop"]);
    let some = [("query", r#"{app="checkout"}"#)];
    let values = data(&grafana.resource("label/namespace/values", &some).await);
    assert_eq!(texts(&values), ["shop"]);
    // Asked before a query is sharded; there are none, which says: do not.
    let shards = shown(&grafana.resource("label/__stream_shard__/values", &some).await);
    assert_eq!(shards["data"].as_array().map_or(0, Vec::len), 0);
    let series = data(&grafana.resource("series", &[("match[]", CHECKOUT)]).await);
    let stream = json!({"app": "checkout", "namespace": "shop", "pod": "checkout-1", "service_name": "checkout"});
    assert_eq!(series, json!([stream]));
}

/// Asked at every keystroke.
#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_a_selector_is_told() {
    let grafana = Grafana::start().await;
    let stats = shown(&grafana.resource("index/stats", &[("query", CHECKOUT)]).await);
    assert_eq!((&stats["streams"], &stats["entries"]), (&json!(1), &json!(60)));
    assert!(stats["bytes"].as_u64() > Some(60 * 50) && stats["chunks"].is_number(), "{stats}");
    let none = shown(&grafana.resource("index/stats", &[("query", r#"{app="none"}"#)]).await);
    assert_eq!((&none["streams"], &none["bytes"]), (&json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_editor_finds_fields_and_their_values() {
    let grafana = Grafana::start().await;
    let query = [("query", CHECKOUT), ("limit", "1000"), ("line_limit", "100")];
    let fields = shown(&grafana.resource("detected_fields", &query).await);
    let field = fields["fields"].as_array().unwrap().iter().find(|f| f["label"] == "took").unwrap();
    assert_eq!((&field["type"], &field["cardinality"]), (&json!("duration"), &json!(1)));
    assert_eq!((&field["parsers"], &field["jsonPath"]), (&json!(["json"]), &json!(["took"])));
    let query = [("query", CHECKOUT), ("limit", "1000")];
    let values = shown(&grafana.resource("detected_field/level/values", &query).await);
    assert_eq!(values["values"], json!(["error", "info"]));
    let format = [("query", r#"sum(rate({app="checkout"}|json[5m]))"#)];
    let formatted = data(&grafana.resource("format_query", &format).await);
    assert_eq!(formatted, r#"sum(rate({app="checkout"} | json[5m]))"#);
}

/// Errors are shown word by word: a plain text, or the `message` of a JSON object.
#[tokio::test(flavor = "multi_thread")]
async fn errors_say_in_plain_text_what_is_wrong() {
    let grafana = Grafana::start().await;
    let parse = grafana.range("{app=", &[], "datasample").await;
    assert_eq!(parse.status, 400);
    assert!(parse.text().starts_with("parse error"), "{}", parse.text());
    let failed = r#"sum by (rows) (max_over_time({app="checkout"} | json | unwrap msg [1m]))"#;
    let failed = grafana.range(failed, &[], "datasample").await;
    assert_eq!(failed.status, 400);
    assert!(
        failed.text().starts_with("pipeline error: 'SampleExtractionErr'"),
        "{}",
        failed.text()
    );
    let resource = grafana.resource("label/app/values", &[("query", "{app=")]).await;
    assert_eq!(resource.status, 400);
    for reply in [parse, failed, resource] {
        assert!(reply.header(http::header::CONTENT_TYPE).starts_with("text/plain"));
        assert!(serde_json::from_slice::<Value>(&reply.body).is_err(), "{}", reply.text());
    }
}

/// The alerting page asks for rules and probes whether there is a ruler; 404 says there is none.
#[tokio::test(flavor = "multi_thread")]
async fn the_alerting_page_finds_no_ruler() {
    let grafana = Grafana::start().await;
    let rules = data(&grafana.get("/prometheus/api/v1/rules", &[], &[]).await);
    assert_eq!(rules["groups"], json!([]));
    let routes = [
        "/api/prom/rules/test/test",
        "/loki/api/v1/rules",
        "/loki/api/v1/rules/test/test",
        // Of a Prometheus data source, by its kind.
        "/rules/test/test",
        "/config/v1/rules/test/test",
    ];
    for route in routes {
        let reply = grafana.get(route, &[("subtype", "cortex")], &[]).await;
        assert_eq!(reply.status, 404, "{route}");
        // Anything else is shown as an error of the page.
        assert!(reply.text().contains("page not found"), "{route}: {}", reply.text());
    }
}
