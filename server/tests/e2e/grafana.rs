//! What Grafana's Loki data source and its Logs Drilldown send, as they send it, and what they read of the answers.
//!
//! Half of the data is in a block and half in the head, so that every answer needs both.

mod context;
mod datasource;
mod drilldown;
mod live;

use std::io::Read;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use skald_testkit::http::form;
use skald_testkit::{Client, Reply, Server};

use crate::skald;

/// 2026-01-01T00:00:00Z
const BASE_S: i64 = 1_767_225_600;
const NS: i64 = 1_000_000_000;
/// The range that a dashboard shows, as the data source's backend writes it and as the browser does.
const START: &str = "1767225600000000000";
const END: &str = "1767226200000000000";
const START_ISO: &str = "2026-01-01T00:00:00.000Z";
const END_ISO: &str = "2026-01-01T00:10:00.000Z";

/// JSON lines, one each ten seconds.
const CHECKOUT: &str = r#"{app="checkout"}"#;
const DRILLDOWN: (&str, &str) = ("X-Query-Tags", "Source=grafana-lokiexplore-app");
const CATEGORIES: (&str, &str) = ("X-Loki-Response-Encoding-Flags", "categorize-labels");

/// A Grafana with one Loki data source.
struct Grafana {
    server: Server,
    client: Client,
}

// === impl Grafana ===

impl Grafana {
    async fn start() -> Self {
        let builder = skald()
            .set("auth.mode", "trusted-proxy")
            .set("limits.reject_old_samples", "false")
            .set("limits.out_of_order_time_window", "2h")
            .set("limits.max_query_series", "10");
        let server = builder.start().await;
        // As set in the data source; the rest is what Go's client adds.
        let client = server
            .client
            .clone()
            .with_tenant("shop")
            .with_header("User-Agent", "Grafana/12.1.0")
            .with_header("Accept-Encoding", "gzip");
        let this = Self { server, client };
        this.push(&checkout(0..30)).await;
        this.push(&ledger(0..5)).await;
        assert!(this.client.post("/flush", &[], "").await.status.is_success());
        this.push(&checkout(30..60)).await;
        this.push(&ledger(5..10)).await;
        this
    }

    async fn push(&self, stream: &Value) {
        let body = json!({ "streams": [stream] }).to_string();
        let header = [("content-type", "application/json")];
        let reply = self.client.post("/loki/api/v1/push", &header, body).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    /// A GET with parameters in the order of their names, as Go encodes them; the answer unpacked.
    async fn get(&self, route: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
        let mut params = params.to_vec();
        params.sort_unstable();
        let path = match form(&params) {
            query if query.is_empty() => route.to_owned(),
            query => format!("{route}?{query}"),
        };
        unpacked(self.client.send(Method::GET, &path, headers, Bytes::new()).await)
    }

    /// A query of the backend over the dashboard's range.
    async fn range(&self, query: &str, more: &[(&str, &str)], tag: &str) -> Reply {
        let own = [("query", query), ("start", START), ("end", END), ("step", "1000ms")];
        let named = |name: &str| more.iter().any(|(n, _)| *n == name);
        let mut params: Vec<_> = own.into_iter().filter(|(name, _)| !named(name)).collect();
        if !named("direction") {
            params.push(("direction", "backward"));
        }
        params.extend(more);
        let tag = format!("Source={tag}");
        let headers = [CATEGORIES, ("X-Query-Tags", &tag)];
        self.get("/loki/api/v1/query_range", &params, &headers).await
    }

    /// What the browser asks for through the backend.
    async fn resource(&self, name: &str, params: &[(&str, &str)]) -> Reply {
        let mut params = params.to_vec();
        params.extend([("start", START), ("end", END)]);
        self.get(&format!("/loki/api/v1/{name}"), &params, &[]).await
    }

    /// As [`Self::resource`], by Logs Drilldown.
    async fn drilldown(&self, name: &str, params: &[(&str, &str)]) -> Reply {
        let mut params = params.to_vec();
        params.extend([("start", START_ISO), ("end", END_ISO)]);
        self.get(&format!("/loki/api/v1/{name}"), &params, &[DRILLDOWN]).await
    }
}

fn unpacked(mut reply: Reply) -> Reply {
    if reply.headers.get("content-encoding").is_some_and(|c| c == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(reply.body.as_ref()).read_to_end(&mut plain).unwrap();
        reply.body = plain.into();
    }
    reply
}

fn ns(s: i64) -> String {
    ((BASE_S + s) * NS).to_string()
}

fn checkout(numbers: std::ops::Range<i64>) -> Value {
    let value = |i: i64| {
        let level = if i % 10 == 0 { "error" } else { "info" };
        let line = json!({ "level": level, "msg": format!("order {i} placed in store"), "order": { "id": i }, "took": "12ms" });
        json!([ns(i * 10), line.to_string(), { "trace_id": format!("t{i}") }])
    };
    let labels = json!({ "app": "checkout", "namespace": "shop", "pod": "checkout-1" });
    json!({ "stream": labels, "values": numbers.map(value).collect::<Vec<_>>() })
}

fn ledger(numbers: std::ops::Range<i64>) -> Value {
    let line = |i: i64| format!(r#"level=warn msg="slow <query>" rows={i} took=2.5s"#);
    let values = numbers.map(|i| json!([ns(i * 60 + 5), line(i)]));
    let labels = json!({ "app": "ledger", "namespace": "bank", "build": "7" });
    json!({ "stream": labels, "values": values.collect::<Vec<_>>() })
}

/// The body of an answer that can be shown.
fn shown(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let kind = reply.header(http::header::CONTENT_TYPE);
    assert!(kind.starts_with("application/json"), "{kind}");
    reply.json()
}

/// `data` of an answer in the envelope.
fn data(reply: &Reply) -> Value {
    let mut body = shown(reply);
    assert_eq!(body["status"], "success", "{body}");
    body["data"].take()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

/// All (time, line) pairs of all streams, as they come; checks each as the data source's reader does.
fn rows(reply: &Reply) -> Vec<(i64, String)> {
    let data = data(reply);
    assert_eq!(data["resultType"], "streams");
    // Read in one pass: what comes late is not known when lines are read.
    let text = reply.text();
    let at = |key: &str| text.find(&format!(r#""{key}":"#)).unwrap();
    assert!(at("resultType") < at("encodingFlags") && at("encodingFlags") < at("result"));
    assert_eq!(data["encodingFlags"], json!(["categorize-labels"]));
    let mut out = Vec::new();
    for stream in data["result"].as_array().unwrap() {
        assert!(stream["stream"].as_object().unwrap().values().all(Value::is_string), "{stream}");
        for value in stream["values"].as_array().unwrap() {
            let [time, line, categories] =
                <&[Value; 3]>::try_from(&value.as_array().unwrap()[..]).unwrap();
            for (name, labels) in categories.as_object().unwrap() {
                assert!(["structuredMetadata", "parsed"].contains(&name.as_str()), "{name}");
                assert!(labels.as_object().unwrap().values().all(Value::is_string), "{labels}");
            }
            let time = time.as_str().unwrap().parse().unwrap();
            out.push((time, line.as_str().unwrap().to_owned()));
        }
    }
    out
}
