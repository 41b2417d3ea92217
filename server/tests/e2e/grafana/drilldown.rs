//! Logs Drilldown: its landing page, and the tabs of one service.

use serde_json::{Value, json};

use super::{BASE_S, CATEGORIES, DRILLDOWN, Grafana, NS, data, rows, shown, texts};

const CHECKOUT: &str = r#"{service_name="checkout"}"#;

/// Asked first, and kept for a day.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told() {
    let grafana = Grafana::start().await;
    for route in ["/loki/api/v1/drilldown-limits", "/config/tenant/v1/limits"] {
        let body = shown(&grafana.get(route, &[], &[DRILLDOWN]).await);
        let limits = &body["limits"];
        assert_eq!(
            (&limits["max_query_series"], &limits["volume_enabled"]),
            (&json!(10), &json!(true))
        );
        assert!(limits["discover_log_levels"].is_boolean(), "{body}");
        for duration in ["query_timeout", "retention_period", "max_query_length"] {
            let text = limits[duration].as_str().unwrap();
            let known = |c: char| c.is_ascii_digit() || "ywdhms".contains(c);
            assert!(!text.is_empty() && text.chars().all(known), "{duration} {text}");
        }
        assert_eq!(body["pattern_ingester_enabled"], true);
        assert!(body["version"].is_string());
    }
}

/// Services with their volumes; `service_name` is there though nobody sent it.
#[tokio::test(flavor = "multi_thread")]
async fn the_landing_page_lists_services() {
    let grafana = Grafana::start().await;
    let all = r#"{service_name=~".+"}"#;
    let targets: [&[(&str, &str)]; 2] = [&[("targetLabels", "service_name")], &[]];
    for target in targets {
        let params = [&[("query", all), ("limit", "5000")][..], target].concat();
        let volume = data(&grafana.drilldown("index/volume", &params).await);
        assert_eq!(volume["resultType"], "vector");
        let result = volume["result"].as_array().unwrap();
        let names: Vec<&str> =
            result.iter().map(|r| r["metric"]["service_name"].as_str().unwrap()).collect();
        assert_eq!(names, ["checkout", "ledger"], "the largest first");
        assert!(
            result.iter().all(|r| r["value"][1].as_str().unwrap().parse::<u64>().unwrap() > 100)
        );
    }
    let labels = data(&grafana.drilldown("labels", &[]).await);
    assert!(texts(&labels).contains(&"service_name"), "{labels}");
    let volumes = [("query", all), ("targetLabels", "service_name"), ("step", "60s")];
    let volumes = data(&grafana.drilldown("index/volume_range", &volumes).await);
    assert_eq!(volumes["resultType"], "matrix");
    assert_eq!(volumes["result"][0]["metric"], json!({"service_name": "checkout"}));
}

/// The graph of each service on the landing page.
#[tokio::test(flavor = "multi_thread")]
async fn lines_are_counted_by_level() {
    let grafana = Grafana::start().await;
    let query = r#"sum(count_over_time({service_name="checkout"} | detected_level != "" [1m])) by (detected_level)"#;
    let levels =
        data(&grafana.range(query, &[("step", "60000ms")], "grafana-lokiexplore-app").await);
    let levels: Vec<&Value> = levels["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["metric"]["detected_level"])
        .collect();
    assert_eq!(levels, ["error", "info"]);
    let end = super::ns(600);
    let query = r#"sum(count_over_time({service_name="checkout"} | detected_level=~"error" [10m])) by (detected_level)"#;
    let params = [("query", query), ("time", end.as_str()), ("direction", "backward")];
    let instant = data(&grafana.get("/loki/api/v1/query", &params, &[CATEGORIES, DRILLDOWN]).await);
    assert_eq!(instant["result"][0]["value"][1], "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_labels_tab_shows_labels_that_are_worth_it() {
    let grafana = Grafana::start().await;
    for query in [CHECKOUT, "", r#"{service_name=~".+"}"#] {
        let body = shown(&grafana.drilldown("detected_labels", &[("query", query)]).await);
        let labels = body["detectedLabels"].as_array().unwrap();
        let of = |name: &str| labels.iter().find(|l| l["label"] == name);
        assert!(of("build").is_none(), "numbers only identify: {body}");
        assert_eq!(of("pod").unwrap()["cardinality"], 1);
        let services = if query == CHECKOUT { 1 } else { 2 };
        assert_eq!(of("service_name").unwrap()["cardinality"], services, "{query}");
    }
    let none = [("query", r#"{service_name="none"}"#)];
    assert_eq!(
        shown(&grafana.drilldown("detected_labels", &none).await)["detectedLabels"],
        json!([])
    );
    let by_pod = r#"sum(count_over_time({service_name="checkout", pod != ""} [1m])) by (pod)"#;
    let by_pod =
        data(&grafana.range(by_pod, &[("step", "60000ms")], "grafana-lokiexplore-app").await);
    assert_eq!(by_pod["result"][0]["metric"], json!({"pod": "checkout-1"}));
}

/// Fields with type, parser and path; structured metadata has no parser.
#[tokio::test(flavor = "multi_thread")]
async fn the_fields_tab_tells_parsed_fields_from_metadata() {
    let grafana = Grafana::start().await;
    let query = [("query", r#"{service_name=~"checkout|ledger"}"#)];
    let body = shown(&grafana.drilldown("detected_fields", &query).await);
    assert!(body["limit"].is_number());
    let field = |name: &str| {
        let fields = body["fields"].as_array().unwrap();
        fields.iter().find(|f| f["label"] == name).unwrap_or_else(|| panic!("{name} in {body}"))
    };
    let id = field("order_id");
    assert_eq!((&id["type"], &id["parsers"]), (&json!("int"), &json!(["json"])));
    assert_eq!((&id["jsonPath"], &id["cardinality"]), (&json!(["order", "id"]), &json!(60)));
    assert_eq!(field("rows")["parsers"], json!(["logfmt"]));
    let trace = field("trace_id");
    assert!(trace["parsers"].is_null() && trace.get("parsers").is_some(), "{trace}");
    assert_eq!((&trace["type"], &trace["cardinality"]), (&json!("string"), &json!(60)));
    let mut of_level = texts(&field("level")["parsers"]);
    of_level.sort_unstable();
    assert_eq!(of_level, ["json", "logfmt"]);
    let values = grafana.drilldown("detected_field/trace_id/values", &query).await;
    assert_eq!(texts(&shown(&values)["values"]).len(), 60);
    let by_field = r#"sum by (level) (count_over_time({service_name="checkout"} | json level="level" | drop __error__, __error_details__ | level!="" [1m]))"#;
    let by_field =
        data(&grafana.range(by_field, &[("step", "60000ms")], "grafana-lokiexplore-app").await);
    assert_eq!(by_field["result"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_tab_shows_lines_however_they_are_written() {
    let grafana = Grafana::start().await;
    let query =
        r#"{service_name=~"checkout|ledger"} | json | logfmt | drop __error__, __error_details__"#;
    let reply = grafana.range(query, &[("limit", "1000")], "grafana-lokiexplore-app").await;
    assert_eq!(rows(&reply).len(), 70);
    let data = data(&reply);
    for stream in data["result"].as_array().unwrap() {
        let parsed = &stream["values"][0][2]["parsed"];
        assert!(parsed["took"].is_string() && parsed.get("__error__").is_none(), "{parsed}");
    }
}

/// Without patterns the tab hides on 404; an empty list is a list.
#[tokio::test(flavor = "multi_thread")]
async fn the_patterns_tab_shows_what_lines_have_in_common() {
    let grafana = Grafana::start().await;
    let params = [("query", CHECKOUT), ("step", "60s")];
    let patterns = data(&grafana.drilldown("patterns", &params).await);
    let patterns = patterns.as_array().unwrap();
    assert!(!patterns.is_empty());
    let mut n_lines = 0;
    for p in patterns {
        assert!(p["level"].is_string(), "{p}");
        for sample in p["samples"].as_array().unwrap() {
            let (time, n) = (sample[0].as_i64().unwrap(), sample[1].as_i64().unwrap());
            assert!((BASE_S..BASE_S + 600).contains(&time), "in seconds: {sample}");
            n_lines += n;
        }
        // A click on one makes it a filter.
        let filter = format!(r#"{CHECKOUT} |> `{}`"#, p["pattern"].as_str().unwrap());
        let found =
            rows(&grafana.range(&filter, &[("limit", "1000")], "grafana-lokiexplore-app").await);
        assert!(!found.is_empty(), "{filter}");
    }
    assert_eq!(n_lines, 60);
    let none = [("query", r#"{service_name="none"}"#), ("step", "60s")];
    assert_eq!(data(&grafana.drilldown("patterns", &none).await), json!([]));
}

/// Too many series: some of them and a notice, where others get an error.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_series_are_some_with_a_notice() {
    let grafana = Grafana::start().await;
    let query = r#"sum by (trace_id) (count_over_time({service_name="checkout"} [10m]))"#;
    let more = [("step", "600000ms")];
    let reply = grafana.range(query, &more, "grafana-lokiexplore-app").await;
    assert_eq!(data(&reply)["result"].as_array().unwrap().len(), 10);
    let warnings = reply.json()["warnings"].clone();
    assert!(texts(&warnings)[0].contains("maximum number of series (10) reached"), "{warnings}");
    let refused = grafana.range(query, &more, "datasample").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().starts_with("maximum number of series (10) reached"));
}

/// Times as the browser writes them mean the same as nanoseconds.
#[tokio::test(flavor = "multi_thread")]
async fn browser_times_are_read() {
    let grafana = Grafana::start().await;
    let query = [("query", CHECKOUT)];
    let iso = shown(&grafana.drilldown("index/stats", &query).await);
    assert_eq!(iso, shown(&grafana.resource("index/stats", &query).await));
    let half =
        [("query", CHECKOUT), ("start", "2026-01-01T00:05:00.000Z"), ("end", super::END_ISO)];
    let half = grafana.get("/loki/api/v1/query_range", &half, &[CATEGORIES, DRILLDOWN]).await;
    assert!(rows(&half).iter().all(|(t, _)| *t >= (BASE_S + 300) * NS));
    assert_eq!(rows(&half).len(), 30);
}
