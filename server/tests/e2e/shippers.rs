//! Every protocol of other log shippers over the wire, and back through Loki's API.

use serde_json::Value;
use skald_proto::public::otlp as pb;
use skald_testkit::{Client, payload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

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

/// Where a port that the configuration left open is.
fn port(builder: &skald_testkit::ServerBuilder, name: &str) -> String {
    let text = std::fs::read(builder.data_dir().join("addresses.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()[name].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_messages_are_found() {
    let builder = skald()
        .set("distributor.syslog.tcp_listen", "127.0.0.1:0")
        .set("distributor.syslog.udp_listen", "127.0.0.1:0");
    let server = builder.start().await;
    let mut tcp = TcpStream::connect(port(&builder, "syslog_tcp")).await.unwrap();
    let one = "<11>1 - h1 app 7 - - counted";
    let text = format!("{} {one}<11>1 - h1 app 7 - [x@1 k=\"v\"] by line\n", one.len());
    tcp.write_all(text.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    // The server closes the connection when it has stored all.
    tcp.read_to_end(&mut Vec::new()).await.unwrap();
    let query = r#"{hostname="h1", app_name="app", service_name="app"} | severity="err""#;
    let found = lines(&server.client, query).await;
    let found: Vec<_> = found.into_iter().map(|(_, line)| line).collect();
    assert_eq!(found, ["counted", "by line"]);
    let labels = labels_of(&server.client, r#"{hostname="h1"} |= "by line""#).await;
    assert_eq!((&labels["x_1_k"], &labels["detected_level"]), (&"v".into(), &"error".into()));
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    udp.send_to(b"<14>no header at all", port(&builder, "syslog_udp")).await.unwrap();
    let stored = || async {
        let found = lines(&server.client, r#"{hostname="127.0.0.1"}"#).await;
        (found.len() == 1).then_some(())
    };
    skald_testkit::wait::until("the datagram is stored", stored).await;
    // A frame that never ends, and one of a declared gigabyte.
    let mut tcp = TcpStream::connect(port(&builder, "syslog_tcp")).await.unwrap();
    for _ in 0..200 {
        tcp.write_all(&[b'x'; 10_000]).await.unwrap();
    }
    tcp.write_all(b"\n999999999 yy").await.unwrap();
    tcp.shutdown().await.unwrap();
    tcp.read_to_end(&mut Vec::new()).await.unwrap();
    let metrics = server.client.get("/metrics", &[]).await.text();
    let cut = r#"skald_distributor_dropped_messages_total{protocol="syslog_tcp",reason="cut"} 2"#;
    assert!(metrics.contains(cut), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_chunk_that_was_acknowledged_survives_a_crash() {
    let builder = skald().set("distributor.forward.listen", "127.0.0.1:0");
    let server = builder.start().await;
    let mut tcp = TcpStream::connect(port(&builder, "forward")).await.unwrap();
    let seconds = u32::try_from(now_ms() / 1000).unwrap();
    // ["app.web", time, {"message": "hello"}, {"chunk": "c1"}]
    let mut message = b"\x94\xa7app.web\xce".to_vec();
    message.extend(seconds.to_be_bytes());
    message.extend(b"\x81\xa7message\xa5hello\x81\xa5chunk\xa2c1");
    tcp.write_all(&message).await.unwrap();
    let mut ack = [0; 8];
    tcp.read_exact(&mut ack).await.unwrap();
    assert_eq!(&ack, b"\x81\xa3ack\xa2c1");
    server.kill();
    let server = builder.start().await;
    let found = lines(&server.client, r#"{tag="app.web"}"#).await;
    assert_eq!(found, [(i64::from(seconds) * 1_000_000_000, "hello".to_owned())]);
    // A declared gigabyte closes the connection.
    let mut tcp = TcpStream::connect(port(&builder, "forward")).await.unwrap();
    tcp.write_all(&[0x93, 0xdb, 0x40, 0, 0, 0]).await.unwrap();
    let mut rest = Vec::new();
    let _ = tcp.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert!(server.client.get("/ready", &[]).await.status.is_success());
}
