//! Deletion on request, from the answer to the blocks.

use serde_json::json;
use skald_testkit::Server;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};

use crate::{lines, now_ms, samples, skald};

async fn push(server: &Server, t0: i64) {
    let of = |job: &str| {
        payload::series(&[("__name__", "m"), ("job", job)], &[(t0, 1.0), (t0 + 1000, 2.0)])
    };
    let body = payload::write_v1(vec![of("a"), of("b")]);
    let reply = server.client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let at = |ms: i64| (t0 + ms) * 1_000_000;
    let body = payload::loki_json(&[(&[("app", "a")], &[(at(0), "user=1"), (at(1), "user=2")])]);
    let header = [("content-type", "application/json")];
    assert_eq!(server.client.post("/loki/api/v1/push", &header, body).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_hidden_at_once_and_then_gone() {
    let builder = skald()
        .set("limits.delete_request_cancel_period", "0s")
        .set("compactor.delete_settle", "0s");
    let server = builder.start().await;
    let t0 = now_ms() - 60_000;
    push(&server, t0).await;
    let end = format!("{}.{:03}", t0 / 1000, t0 % 1000);
    let form = [("match[]", r#"m{job="a"}"#), ("end", &*end)];
    let admin = "/api/v1/admin/tsdb/delete_series";
    let reply = server.client.post_form(admin, &form).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    let form = [("query", r#"{app="a"} |= "user=1""#), ("start", "0")];
    assert_eq!(server.client.post_form("/loki/api/v1/delete", &form).await.status, 204);
    let check = async |status: &str| {
        let left = samples(&server.client, r#"m{job="a"}"#, "1h").await;
        assert_eq!(left, [(t0 + 1000, "2".to_owned())], "{status}");
        assert_eq!(samples(&server.client, r#"m{job="b"}"#, "1h").await.len(), 2);
        let left = lines(&server.client, r#"{app="a"}"#).await;
        assert_eq!(left, [((t0 + 1) * 1_000_000, "user=2".to_owned())], "{status}");
        for list in [admin, "/loki/api/v1/delete"] {
            let listed = server.client.get(list, &[]).await.json();
            assert_eq!(listed[0]["status"], status, "{listed}");
        }
    };
    check("received").await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    check("received").await;
    let report = server.client.post("/compact", &[], "").await.json();
    assert_eq!(report["blocks_written"], json!(2));
    // The requests hide nothing any more: it is the blocks that lack what was named.
    check("processed").await;
}
