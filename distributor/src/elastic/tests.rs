use http::Method;
use serde_json::{Value, json};
use skald_limits::Limits;
use skald_model::{ErrorKind, TenantId};
use skald_rpc::ingester::Rejection;

use crate::testing::{Answer, Cluster, Mode, NOW_NS};

async fn bulk(cluster: &Cluster, path: &str, body: &str) -> Answer {
    cluster.post(path, &[("content-type", "application/x-ndjson")], body.into()).await
}

fn value(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).unwrap()
}

async fn ask(cluster: &Cluster, method: Method, path: &str) -> Answer {
    let request = http::Request::builder().method(method).uri(path);
    let request = request.extension(TenantId::parse("t").unwrap());
    cluster.send(request.body(axum::body::Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_document_has_its_status() {
    let cluster = Cluster::one(Limits::default());
    let body = concat!(
        r#"{"create":{"_index":"logs-app-default"}}"#,
        "\n",
        r#"{"@timestamp":"2026-01-01T00:00:00.5Z","message":"one","host":{"name":"h"}}"#,
        "\n",
        r#"{"index":{"_index":"other","_id":"7"}}"#,
        "\n",
        r#"{"@timestamp":"nonsense","message":"two"}"#,
        "\n",
        r#"{"delete":{"_index":"other","_id":"8"}}"#,
        "\n",
        r#"{"index":{}}"#,
        "\n",
        r#"{"message":"three"}"#,
        "\n",
    );
    let answer = bulk(&cluster, "/fallback/_bulk", body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
    let reply = value(&answer);
    assert_eq!(reply["errors"], true);
    let items = reply["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    let create = &items[0]["create"];
    assert_eq!((&create["status"], &create["_index"]), (&json!(201), &json!("logs-app-default")));
    assert_eq!(create["result"], "created");
    assert_eq!(
        (&items[1]["index"]["status"], &items[1]["index"]["_id"]),
        (&json!(400), &json!("7"))
    );
    let reason = items[1]["index"]["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("err-skald-document-time-invalid"), "{reason}");
    assert_eq!(items[2]["delete"]["status"], 400);
    assert_eq!(
        (&items[3]["index"]["status"], &items[3]["index"]["_index"]),
        (&json!(201), &json!("fallback"))
    );
    let data = cluster.data();
    let stream = &data.lines[r#"{host_name="h", service_name="unknown_service"}"#];
    assert_eq!((stream[0].ts - NOW_NS, stream[0].line.as_str()), (500_000_000, "one"));
    assert!(stream[0].metadata.contains(r#"_index="logs-app-default""#), "{}", stream[0].metadata);
    assert_eq!(data.lines.values().map(Vec::len).sum::<usize>(), 2);
}

#[tokio::test]
async fn success_has_the_bytes_that_fluent_bit_looks_for() {
    let cluster = Cluster::one(Limits::default());
    for path in ["/_bulk", "/elasticsearch/_bulk", "/elasticsearch/x/_bulk"] {
        let body = "{\"create\":{\"_index\":\"x\"}}\n{\"log\":\"line\"}";
        let answer = bulk(&cluster, path, body).await;
        assert_eq!(answer.status, 200, "{path}");
        let text = &answer.text;
        assert!(
            text.starts_with("{\"took\":") && text.contains("\"errors\":false,\"items\":["),
            "{text}"
        );
    }
}

#[tokio::test]
async fn requests_that_are_none_are_refused_whole() {
    let cluster = Cluster::one(Limits::default());
    for body in [
        "",
        "\n\n",
        "nonsense\n{}\n",
        "{\"index\":{}}\n",
        "{}\n{}\n",
        "{\"index\":{},\"create\":{}}\n{}\n",
        "{\"message\":\"forgot the action\"}\n",
        &format!("{{\"index\":{{\"_index\":\"{}\"}}}}\n{{}}\n", "x".repeat(1000)),
        &format!("{{\"index\":{}", "[".repeat(100_000)),
    ] {
        let answer = bulk(&cluster, "/_bulk", body).await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!(answer.status, 400, "{shown}");
        assert_eq!(value(&answer)["status"], 400, "{shown}");
        assert!(value(&answer)["error"]["reason"].is_string(), "{shown}");
    }
    let many = "{\"index\":{}}\n{}\n".repeat(200_001);
    assert_eq!(bulk(&cluster, "/_bulk", &many).await.status, 400);
    assert_eq!(cluster.data().lines.len(), 0);
}

#[tokio::test]
async fn what_may_succeed_later_is_429_or_503() {
    let cluster = Cluster::one(Limits::default());
    let body = "{\"index\":{}}\n{\"message\":\"m\"}\n";
    *cluster.ingesters[0].mode.lock() = Mode::Refusing(vec![Rejection {
        id: "err-skald-max-streams-per-user".into(),
        kind: ErrorKind::LimitExceeded,
        count: 1,
        message: "too many streams".into(),
    }]);
    let answer = bulk(&cluster, "/_bulk", body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(value(&answer)["items"][0]["index"]["status"], 429, "{}", answer.text);
    *cluster.ingesters[0].mode.lock() = Mode::Fail(ErrorKind::Unavailable);
    let answer = bulk(&cluster, "/_bulk", body).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(value(&answer)["error"]["type"], "unavailable_shards_exception");
}

#[tokio::test]
async fn shippers_find_what_they_ask_for_first() {
    let cluster = Cluster::one(Limits::default());
    for (method, path) in [
        (Method::GET, "/"),
        (Method::HEAD, "/"),
        (Method::GET, "/elasticsearch"),
        (Method::GET, "/elasticsearch/"),
        (Method::GET, "/_license?human=false"),
        (Method::GET, "/_xpack"),
        (Method::GET, "/_xpack/usage"),
        (Method::GET, "/_cluster/health"),
        (Method::GET, "/_nodes/http"),
        (Method::PUT, "/_index_template/filebeat-8.17.0"),
        (Method::HEAD, "/_index_template/filebeat-8.17.0"),
        (Method::PUT, "/_ilm/policy/filebeat"),
        (Method::GET, "/_data_stream/filebeat-8.17.0"),
        (Method::PUT, "/_ingest/pipeline/a"),
        (Method::PUT, "/logs"),
        (Method::HEAD, "/logs"),
    ] {
        let answer = ask(&cluster, method.clone(), path).await;
        assert_eq!(answer.status, 200, "{method} {path}");
        assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"), "{method} {path}");
    }
    let root = value(&ask(&cluster, Method::GET, "/").await);
    assert!(root["version"]["number"].as_str().unwrap().starts_with("8."));
    assert_eq!(
        value(&ask(&cluster, Method::GET, "/_license").await)["license"]["status"],
        "active"
    );
    assert_eq!(ask(&cluster, Method::GET, "/nothing").await.status, 404);
}
