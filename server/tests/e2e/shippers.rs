//! Every protocol of other log shippers over the wire, and back through Loki's API.

use serde_json::Value;
use skald_proto::public::otlp as pb;
use skald_testkit::{Client, payload};

use crate::{lines, now_ms, skald};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn now_ns() -> i64 {
    now_ms() * 1_000_000
}

/// The stream and metadata of the one line that `query` finds.
async fn labels_of(client: &Client, query: &str) -> Value {
    let start = (now_ms() - 3_600_000).to_string() + "000000";
    let params = [("query", query), ("start", &start), ("limit", "10")];
    let result = client.get("/loki/api/v1/query_range", &params).await.result();
    assert_eq!(result.len(), 1, "one stream: {result:?}");
    result[0]["stream"].clone()
}

fn export(ns: i64, line: &str) -> bytes::Bytes {
    let text = |s: &str| pb::AnyValue { value: Some(pb::any_value::Value::StringValue(s.into())) };
    let pair = |k: &str, v: &str| pb::KeyValue { key: k.into(), value: Some(text(v)) };
    let record = pb::LogRecord {
        time_unix_nano: u64::try_from(ns).unwrap(),
        severity_number: 13,
        body: Some(text(line)),
        attributes: vec![pair("http.route", "/cart")],
        trace_id: vec![0xaa; 16].into(),
        ..pb::LogRecord::default()
    };
    let scope_logs = pb::ScopeLogs { log_records: vec![record], ..pb::ScopeLogs::default() };
    let attributes = vec![pair("service.name", "shop"), pair("host.name", "h1")];
    let resource = pb::Resource { attributes, dropped_attributes_count: 0 };
    let resource_logs = pb::ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        schema_url: String::new(),
    };
    payload::proto(&pb::ExportLogsServiceRequest { resource_logs: vec![resource_logs] })
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_exports_are_found() {
    let server = skald().start().await;
    let client = &server.client;
    let ns = now_ns();
    let proto = [("content-type", "application/x-protobuf")];
    let reply = client.post("/otlp/v1/logs", &proto, export(ns, "from protobuf")).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
            "scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{}","body":{{"stringValue":"from json"}}}}]}}]}}]}}"#,
        ns + 1
    );
    let reply = client.post("/v1/logs", &JSON, json).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    let found = lines(client, r#"{service_name="shop"}"#).await;
    assert_eq!(found, [(ns, "from protobuf".to_owned()), (ns + 1, "from json".to_owned())]);
    let labels = labels_of(client, r#"{service_name="shop"} | http_route="/cart""#).await;
    assert_eq!(labels["detected_level"], "warn");
    assert_eq!(labels["host_name"], "h1");
    assert_eq!(labels["trace_id"], "aa".repeat(16).as_str());
    let deep = format!(r#"{{"resourceLogs":{}"#, "[".repeat(100_000));
    let reply = client.post("/v1/logs", &JSON, deep).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["code"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_documents_are_found() {
    let server = skald().start().await;
    let client = &server.client;
    let root = client.get("/", &[]).await;
    assert_eq!(root.headers["x-elastic-product"], "Elasticsearch");
    let ns = now_ns();
    let body = format!(
        "{{\"create\":{{\"_index\":\"logs-web-prod\"}}}}\n{{\"@timestamp\":{ns},\"message\":\"one\",\"app\":\"web\",\"user\":{{\"id\":7}}}}\n\
         {{\"index\":{{\"_index\":\"x\"}}}}\n{{\"@timestamp\":\"never\",\"message\":\"two\"}}\n"
    );
    let header = [("content-type", "application/x-ndjson")];
    let reply = client.post("/_bulk", &header, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let items = reply.json();
    assert_eq!(items["items"][0]["create"]["status"], 201);
    assert_eq!(items["items"][1]["index"]["status"], 400);
    assert_eq!(lines(client, r#"{app="web"}"#).await, [(ns, "one".to_owned())]);
    let labels = labels_of(client, r#"{app="web"} | user_id="7""#).await;
    assert_eq!(labels["_index"], "logs-web-prod");
    let deep = format!("{{\"index\":{}", "{\"a\":".repeat(100_000));
    assert_eq!(client.post("/_bulk", &header, deep).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_and_audit_events_are_found() {
    let server = skald().start().await;
    let client = &server.client;
    let ns = now_ns();
    let body = format!("{{\"ts\":\"{ns}\",\"text\":\"hello\",\"pod\":\"p1\",\"n\":1}}\n");
    let path = "/insert/jsonline?_time_field=ts&_msg_field=text&_stream_fields=pod";
    let reply = client.post(path, &[], body).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_eq!(lines(client, r#"{pod="p1"} | n="1""#).await, [(ns, "hello".to_owned())]);
    let event = r#"{"kind":"Event","auditID":"a","verb":"get","user":{"username":"eve"}}"#;
    assert_eq!(client.post("/k8s/audit", &JSON, event).await.status, 204);
    let found = lines(client, r#"{service_name="kube-apiserver-audit"} | user="eve""#).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, event);
}
