//! What `logcli` sends, as it sends it, and what it reads of the answers.

use serde_json::{Value, json};
use skald_testkit::{Client, Server};

use crate::skald;

/// 2026-01-01T00:00:00Z
const BASE_NS: i64 = 1_767_225_600_000_000_000;
const START: (&str, &str) = ("start", "1767225600000000000");
const END: (&str, &str) = ("end", "1767229200000000000");
const QUERY: (&str, &str) = ("query", r#"{app="cli"}"#);

/// Thirty lines, three of each time, in a block and in the head.
async fn start() -> (Server, Client) {
    let server = skald()
        .set("auth.mode", "trusted-proxy")
        .set("limits.reject_old_samples", "false")
        .set("limits.out_of_order_time_window", "2h")
        .start()
        .await;
    let client = server.client.clone().with_tenant("cli").with_header("User-Agent", "loki-logcli");
    for part in 0..2 {
        let value = |i: i64| {
            let at = BASE_NS + (part * 5 + i / 3) * 60_000_000_000;
            json!([at.to_string(), format!("level=info i={}", part * 15 + i)])
        };
        let values: Vec<Value> = (0..15).map(value).collect();
        let body = json!({"streams": [{"stream": {"app": "cli"}, "values": values}]}).to_string();
        let header = [("content-type", "application/json")];
        assert_eq!(client.post("/loki/api/v1/push", &header, body).await.status, 204);
        if part == 0 {
            assert!(client.post("/flush", &[], "").await.status.is_success());
        }
    }
    (server, client)
}

async fn get(client: &Client, route: &str, params: &[(&str, &str)]) -> Value {
    let reply = client.get(&format!("/loki/api/v1/{route}"), params).await;
    assert_eq!(reply.status, 200, "{route}: {}", reply.text());
    reply.json()
}

fn pairs(body: &Value) -> Vec<(i64, String)> {
    let mut out = Vec::new();
    for stream in body["data"]["result"].as_array().unwrap() {
        for v in stream["values"].as_array().unwrap() {
            out.push((v[0].as_str().unwrap().parse().unwrap(), v[1].as_str().unwrap().to_owned()));
        }
    }
    out
}

/// Batches forward: each begins at the last time seen, and lines seen at that time are left out.
#[tokio::test(flavor = "multi_thread")]
async fn batches_overlap_by_a_time_and_lose_nothing() {
    let (_server, client) = start().await;
    let (mut seen, mut from): (Vec<(i64, String)>, String) = (Vec::new(), START.1.to_owned());
    loop {
        let more = [("limit", "7"), ("direction", "FORWARD"), ("start", from.as_str()), END, QUERY];
        let body = get(&client, "query_range", &more).await;
        assert!(body["data"]["stats"]["summary"]["execTime"].is_number(), "read with --stats");
        let page = pairs(&body);
        let fresh: Vec<_> = page.iter().filter(|line| !seen.contains(line)).cloned().collect();
        if fresh.is_empty() {
            break;
        }
        from = page[page.len() - 1].0.to_string();
        seen.extend(fresh);
    }
    assert_eq!(seen.len(), 30);
    assert!(seen.windows(2).all(|w| w[0].0 <= w[1].0));
    let more = [("limit", "30"), ("direction", "BACKWARD"), START, END, QUERY];
    let mut backward = pairs(&get(&client, "query_range", &more).await);
    assert_eq!(backward.len(), 30);
    backward.reverse();
    assert!(backward.windows(2).all(|w| w[0].0 <= w[1].0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_is_answered() {
    let (_server, client) = start().await;
    let rate = ("query", r#"sum(count_over_time({app="cli"}[5m]))"#);
    let step = [rate, START, END, ("step", "60.000000"), ("interval", "0"), ("limit", "30")];
    let range = get(&client, "query_range", &step).await;
    assert_eq!(range["data"]["resultType"], "matrix");
    let at = [rate, ("time", "1767225840000000000"), ("limit", "30"), ("direction", "BACKWARD")];
    let instant = get(&client, "query", &at).await;
    assert_eq!(instant["data"]["result"][0]["value"][1], "15");
    assert_eq!(get(&client, "labels", &[START, END]).await["data"], json!(["app", "service_name"]));
    let values = get(&client, "label/app/values", &[START, END]).await;
    assert_eq!(values["data"], json!(["cli"]));
    let series = get(&client, "series", &[("match", QUERY.1), START, END]).await;
    assert_eq!(series["data"], json!([{"app": "cli", "service_name": "cli"}]));
    let stats = get(&client, "index/stats", &[QUERY, START, END]).await;
    assert_eq!((&stats["streams"], &stats["entries"]), (&json!(1), &json!(30)));
    let volume = [QUERY, START, END, ("limit", "30"), ("aggregateBy", "series")];
    let volume = get(&client, "index/volume", &volume).await;
    assert_eq!(volume["data"]["result"][0]["metric"], json!({"app": "cli"}));
    let volumes = [QUERY, START, END, ("limit", "30"), ("step", "600.000000")];
    let volumes = get(&client, "index/volume_range", &volumes).await;
    assert_eq!(volumes["data"]["resultType"], "matrix");
    let fields = [QUERY, START, END, ("line_limit", "1000"), ("limit", "100")];
    let fields = get(&client, "detected_fields", &fields).await;
    assert!(fields["fields"].as_array().unwrap().iter().any(|f| f["label"] == "i"), "{fields}");
    let patterns = get(&client, "patterns", &[QUERY, START, END, ("step", "60.000000")]).await;
    assert_eq!(patterns["status"], "success");
    let formatted = get(&client, "format_query", &[QUERY]).await;
    assert_eq!(formatted["data"], QUERY.1);
}

/// Lines are deleted on request, the requests listed and withdrawn.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_asked_for_listed_and_withdrawn() {
    let (_server, client) = start().await;
    let form = skald_testkit::http::form(&[QUERY, ("start", "1767225600"), ("end", "1767229200")]);
    let asked = client.post(&format!("/loki/api/v1/delete?{form}"), &[], "").await;
    assert_eq!(asked.status, 204, "{}", asked.text());
    let listed = get(&client, "delete", &[]).await;
    let [request] = listed.as_array().unwrap().as_slice() else { panic!("{listed}") };
    for key in ["request_id", "query", "status"] {
        assert!(request[key].is_string(), "{key} in {request}");
    }
    for key in ["start_time", "end_time", "created_at"] {
        assert!(request[key].is_number(), "{key} in {request}");
    }
    let path =
        format!("/loki/api/v1/delete?request_id={}", request["request_id"].as_str().unwrap());
    let gone = client.send(http::Method::DELETE, &path, &[], bytes::Bytes::new()).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    let all = [("limit", "100"), START, END, QUERY];
    assert_eq!(pairs(&get(&client, "query_range", &all).await).len(), 30);
}
