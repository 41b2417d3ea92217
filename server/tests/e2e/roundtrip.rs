//! What is pushed is found, exactly once, before and after flush, compaction and restart.

use serde_json::json;
use skald_testkit::payload::{self, REMOTE_WRITE_V1, REMOTE_WRITE_V2};
use skald_testkit::{Client, Server};

use crate::{lines, now_ms, samples, skald};

async fn push_everything(client: &Client, t0: i64) {
    let v1 = payload::write_v1(vec![payload::series(
        &[("__name__", "requests_total"), ("job", "api")],
        &[(t0, 1.0), (t0 + 1000, 2.5), (t0 + 2000, f64::from_bits(0x7ff0_0000_0000_0002))],
    )]);
    let reply = client.post("/api/v1/push", &REMOTE_WRITE_V1, v1).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let v2 = payload::write_v2(&[(&[("__name__", "up"), ("job", "v2")], t0, 1.0)]);
    let reply = client.post("/api/v1/write", &REMOTE_WRITE_V2, v2).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_eq!(reply.headers["x-prometheus-remote-write-samples-written"], "1");
    let ns = t0 * 1_000_000;
    let json =
        payload::loki_json(&[(&[("app", "web")], &[(ns, "one"), (ns + 1, "level=warn two")])]);
    let reply =
        client.post("/loki/api/v1/push", &[("content-type", "application/json")], json).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    let proto = payload::loki_proto(r#"{app="db", env="p"}"#, &[(ns, "three")]);
    let reply = client
        .post("/loki/api/v1/push", &[("content-type", "application/x-protobuf")], proto)
        .await;
    assert_eq!(reply.status, 204, "{}", reply.text());
}

async fn expect_everything(client: &Client, t0: i64, when: &str) {
    let found = samples(client, "requests_total", "1h").await;
    assert_eq!(found, [(t0, "1".to_owned()), (t0 + 1000, "2.5".to_owned())], "{when}");
    assert_eq!(samples(client, r#"up{job="v2"}"#, "1h").await.len(), 1, "{when}");
    let ns = t0 * 1_000_000;
    let web = lines(client, r#"{app="web"}"#).await;
    assert_eq!(web, [(ns, "one".to_owned()), (ns + 1, "level=warn two".to_owned())], "{when}");
    assert_eq!(lines(client, r#"{app=~"web|db"} |= "e""#).await.len(), 3, "{when}");
    let names = client.get("/api/v1/label/__name__/values", &[]).await.json();
    assert_eq!(names["data"], json!(["requests_total", "up"]), "{when}");
    let start = (ns - 1_000_000_000).to_string();
    let apps = client.get("/loki/api/v1/label/app/values", &[("start", &start)]).await.json();
    assert_eq!(apps["data"], json!(["db", "web"]), "{when}");
    let count = r#"sum(count_over_time({app=~".+"}[1h]))"#;
    let result = client.get("/loki/api/v1/query", &[("query", count)]).await.result();
    assert_eq!(result[0]["value"][1], "3", "{when}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_found_at_every_stage() {
    let builder = skald();
    let server: Server = builder.start().await;
    let t0 = now_ms() - 10_000;
    push_everything(&server.client, t0).await;
    expect_everything(&server.client, t0, "in the head").await;
    let usage = server.client.get("/api/v1/user_stats", &[]).await.json();
    assert_eq!((&usage["numSeries"], &usage["numStreams"]), (&json!(2), &json!(2)), "{usage}");
    assert!(usage["ingestionRate"].as_f64() > Some(0.0), "{usage}");
    // The same again, as a client does that missed the answer.
    push_everything(&server.client, t0).await;
    expect_everything(&server.client, t0, "after a retry").await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    expect_everything(&server.client, t0, "flushed").await;
    push_everything(&server.client, t0).await;
    expect_everything(&server.client, t0, "after a retry behind the flush").await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    let reply = server.client.post("/compact", &[], "").await;
    assert!(reply.status.is_success(), "{}", reply.text());
    expect_everything(&server.client, t0, "compacted").await;
    assert_eq!(server.terminate().await, Some(0));
    let server = builder.start().await;
    expect_everything(&server.client, t0, "restarted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_me_commands_work() {
    let server = skald().start().await;
    for prefix in ["", "/prometheus"] {
        let path = format!("{prefix}/api/v1/query");
        let reply = server.client.post_form(&path, &[("query", "1+1"), ("time", "4")]).await;
        assert_eq!(reply.json()["data"]["result"], json!([4, "2"]));
    }
    let health = [("query", "vector(1)+vector(1)"), ("time", "4000000000")];
    let reply = server.client.get("/loki/api/v1/query", &health).await;
    assert_eq!(reply.result()[0]["value"][1], "2", "{}", reply.text());
    let info = server.client.get("/api/v1/status/buildinfo", &[]).await.json();
    assert!(info["data"]["version"].as_str().unwrap().starts_with('3'), "{info}");
    assert_eq!(server.client.get("/api/v1/status/flags", &[]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_delivers_lines_as_they_come() {
    use futures_util::StreamExt;
    let server = skald().start().await;
    let url = format!(
        "ws://{}/loki/api/v1/tail?query=%7Bapp%3D%22t%22%7D%20%7C%3D%20%22yes%22",
        server.http
    );
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let ns = now_ms() * 1_000_000;
    let body = payload::loki_json(&[(&[("app", "t")], &[(ns, "no"), (ns + 1, "yes 1")])]);
    let header = [("content-type", "application/json")];
    let reply = server.client.post("/loki/api/v1/push", &header, body).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    loop {
        let frame = tokio::time::timeout(skald_testkit::wait::PATIENCE, socket.next());
        let frame = frame.await.expect("a frame in time").unwrap().unwrap();
        let Ok(text) = frame.to_text() else { continue };
        let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { continue };
        let Some(streams) = value["streams"].as_array().filter(|s| !s.is_empty()) else { continue };
        assert_eq!(streams[0]["values"][0][1], "yes 1");
        assert_eq!(streams[0]["stream"]["app"], "t");
        return;
    }
}
