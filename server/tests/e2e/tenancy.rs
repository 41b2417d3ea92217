//! Three tenants with equal names and different secrets: no route shows one tenant another's.

use bytes::Bytes;
use http::Method;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::{Client, Server};

use crate::{now_ms, skald};

const ORIGIN: (&str, &str) = ("origin", "http://grafana.example");
const TENANTS: [&str; 3] = ["team-a", "team-b", "team-c"];

fn secret(tenant: &str) -> String {
    format!("secret-of-{tenant}")
}

async fn push(server: &Server, t0: i64) {
    for tenant in TENANTS {
        let client = server.client.clone().with_tenant(tenant);
        let secret = secret(tenant);
        let series = payload::series(&[("__name__", "same"), ("s", &secret)], &[(t0, 1.0)]);
        let body = payload::write_v1(vec![series]);
        let reply = client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
        assert!(reply.status.is_success(), "{}", reply.text());
        let body = payload::loki_json(&[(
            &[("app", "same"), ("s", &secret)],
            &[(t0 * 1_000_000, &secret)],
        )]);
        let header = [("content-type", "application/json")];
        let reply = client.post("/loki/api/v1/push", &header, body).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
        // Of nothing that is looked for, by a name that nobody else may see.
        let form = [("match[]", &*format!(r#"gone{{s="{secret}"}}"#))];
        let reply = client.post_form("/api/v1/admin/tsdb/delete_series", &form).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
        let form = [("query", &*format!(r#"{{app="gone", s="{secret}"}}"#)), ("start", "1")];
        let reply = client.post_form("/loki/api/v1/delete", &form).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
}

/// Every route that answers from data, with parameters that find something.
fn routes(t0: i64) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let start = ((t0 - 60_000) / 1000).to_string();
    let end = ((t0 + 60_000) / 1000).to_string();
    let at = |p: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let mut p: Vec<_> = p.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        p.extend([("start", start.clone()), ("end", end.clone())]);
        p
    };
    let time = |q: &str| vec![("query", q.to_owned()), ("time", end.clone())];
    vec![
        ("/api/v1/query", time("same[1h]")),
        ("/prometheus/api/v1/query", time("count by (s) (same)")),
        ("/api/v1/query_range", {
            let mut p = at(&[("query", "same")]);
            p.push(("step", "15".into()));
            p
        }),
        ("/api/v1/series", at(&[("match[]", "same")])),
        ("/api/v1/labels", at(&[])),
        ("/api/v1/label/s/values", at(&[])),
        ("/api/v1/metadata", vec![]),
        ("/api/v1/query_exemplars", at(&[("query", "same")])),
        ("/api/v1/admin/tsdb/delete_series", vec![]),
        ("/loki/api/v1/delete", vec![]),
        ("/loki/api/v1/query_range", at(&[("query", r#"{app="same"}"#)])),
        ("/loki/api/v1/explain", at(&[("query", r#"{app="same"}"#)])),
        ("/loki/api/v1/export", at(&[("query", r#"{app="same"}"#)])),
        ("/loki/api/v1/query", time(r#"sum by (s) (count_over_time({app="same"}[1h]))"#)),
        ("/loki/api/v1/series", at(&[("match[]", r#"{app="same"}"#)])),
        ("/loki/api/v1/labels", at(&[])),
        ("/loki/api/v1/label/s/values", at(&[])),
        ("/loki/api/v1/index/volume", at(&[("query", r#"{app="same"}"#), ("targetLabels", "s")])),
        (
            "/loki/api/v1/index/volume_range",
            at(&[("query", r#"{app="same"}"#), ("targetLabels", "s")]),
        ),
        ("/loki/api/v1/detected_labels", at(&[("query", r#"{app="same"}"#)])),
        ("/loki/api/v1/detected_fields", at(&[("query", r#"{app="same"}"#)])),
        ("/loki/api/v1/index/stats", at(&[("query", r#"{app="same"}"#)])),
    ]
}

async fn check(base: &Client, t0: i64) {
    for (path, params) in routes(t0) {
        let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (*k, v.as_str())).collect();
        for tenant in TENANTS {
            let reply = base.clone().with_tenant(tenant).get(path, &params).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            for other in TENANTS.iter().filter(|t| **t != tenant) {
                assert!(
                    !reply.text().contains(&secret(other)),
                    "{path} shows {tenant} {other}'s data"
                );
            }
        }
        let reply = base.clone().with_tenant("nobody").get(path, &params).await;
        assert!(!reply.text().contains("secret-of"), "{path} shows a stranger: {}", reply.text());
        assert_eq!(base.get(path, &params).await.status, 401, "{path} without a tenant");
        for bad in ["../team-a", "team-a|team-b", "%2e%2e", ".", "__x", &"x".repeat(151)] {
            let reply = base.clone().with_tenant(bad).get(path, &params).await;
            assert_eq!(reply.status, 400, "{path} with tenant {bad:?}");
        }
    }
    let mine = base.clone().with_tenant("team-a");
    let reply = mine.get("/api/v1/label/s/values", &[]).await;
    assert!(reply.text().contains(&secret("team-a")), "the owner sees it: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_shows_another_tenants_data() {
    let server = skald().set("auth.mode", "trusted-proxy").start().await;
    let t0 = now_ms() - 5_000;
    push(&server, t0).await;
    check(&server.client, t0).await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    assert!(server.client.post("/compact", &[], "").await.status.is_success());
    check(&server.client, t0).await;
    let metrics = server.client.get("/metrics", &[]).await.text();
    assert!(!metrics.contains("secret-of"));
    // A browser asks so before it sends the tenant's header.
    let asked = Method::OPTIONS;
    let reply = server.client.send(asked, "/api/v1/query", &[ORIGIN], Bytes::new()).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
    assert!(reply.headers["access-control-allow-headers"].to_str().unwrap().contains("OrgID"));
    for (path, headers) in [("/api/v1/push", &REMOTE_WRITE_V1[..]), ("/loki/api/v1/push", &[])] {
        assert_eq!(server.client.post(path, headers, "").await.status, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auth_the_header_is_ignored() {
    let server = skald().start().await;
    let t0 = now_ms() - 5_000;
    push(&server, t0).await;
    let stranger = server.client.clone().with_tenant("stranger");
    let found = stranger.get("/api/v1/label/s/values", &[]).await.json();
    assert_eq!(found["data"].as_array().unwrap().len(), 3);
}
