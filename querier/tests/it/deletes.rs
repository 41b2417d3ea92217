//! Requests to delete lines: taken, listed, withdrawn, and applied to everything that is read.

use http::{Method, Request};
use serde_json::{Value, json};
use skald_catalog::Change;
use skald_limits::{DeletionMode, Limits};
use skald_model::TenantId;

use crate::world::{BASE_NS, BASE_S, Reply, World, at, stream};

const WEB: [(&str, &str); 1] = [("app", "web")];
const API: [(&str, &str); 1] = [("app", "api")];

async fn world(limits: Limits) -> World {
    let world = World::new(1, 1, limits);
    let t = TenantId::single();
    let web = stream(&WEB, &[(10, "user=1 a"), (20, "user=2 b"), (30, "user=1 c")]);
    world.commit_streams(&t, &[web, stream(&API, &[(15, "user=1 d")])]).await;
    world
        .ingester()
        .put(&t, |r| r.streams.push(stream(&WEB, &[(40, "user=1 e"), (50, "user=2 f")])));
    world
}

async fn send(world: &World, method: Method, params: &str) -> Reply {
    let uri = format!("/loki/api/v1/delete?{params}");
    let request =
        Request::builder().method(method).uri(uri).body(axum::body::Body::empty()).unwrap();
    world.send(request, Some(&TenantId::single())).await
}

/// `{app="web"} |= "user=1"` from the 5th to the 45th second.
fn request() -> String {
    let query = "%7Bapp%3D%22web%22%7D%20%7C%3D%20%22user%3D1%22";
    format!("query={query}&start={}&end={}", at(5), at(45))
}

async fn lines(world: &World, params: &[(&str, &str)]) -> Vec<String> {
    let (start, end) = (at(0), at(100));
    let mut all =
        vec![("query", r#"{app=~".+"}"#), ("start", start.as_str()), ("end", end.as_str())];
    all.extend(params);
    let reply = world.get("/loki/api/v1/query_range", &all).await;
    let mut lines: Vec<String> = Vec::new();
    for s in reply.result().as_array().unwrap() {
        let values = s["values"].as_array().unwrap();
        lines.extend(values.iter().map(|v| v[1].as_str().unwrap().to_owned()));
    }
    lines.sort();
    lines
}

#[tokio::test]
async fn what_a_request_names_is_hidden_everywhere_at_once() {
    let world = world(Limits::default()).await;
    assert_eq!(lines(&world, &[]).await.len(), 6);
    let reply = send(&world, Method::PUT, &request()).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (204, ""));
    let left = ["user=1 d", "user=2 b", "user=2 f"];
    assert_eq!(lines(&world, &[]).await, left);
    // The limit counts lines that are shown.
    assert_eq!(lines(&world, &[("limit", "2")]).await, ["user=2 b", "user=2 f"]);
    assert_eq!(lines(&world, &[("limit", "2"), ("cursor", "")]).await.len(), 2);
    let count = |query: &'static str| {
        let world = &world;
        async move {
            let params = [("query", query), ("time", &*at(60))];
            world.get("/loki/api/v1/query", &params).await.result()
        }
    };
    let value = |n: &str| json!([BASE_S + 60, n]);
    let web = count(r#"sum(count_over_time({app="web"}[1m]))"#).await;
    assert_eq!(web[0]["value"], value("2"));
    let (start, end) = (at(0), at(100));
    let get = |route: &'static str| {
        let (world, start, end) = (&world, start.clone(), end.clone());
        async move {
            let params = [("query", r#"{app=~".+"}"#), ("start", &*start), ("end", &*end)];
            world.get(&format!("/loki/api/v1/{route}"), &params).await
        }
    };
    let stats = get("index/stats").await.json();
    assert_eq!(
        (&stats["streams"], &stats["entries"], &stats["bytes"]),
        (&json!(2), &json!(3), &json!(24))
    );
    let volume = get("index/volume").await.result();
    assert_eq!(volume[0], json!({"metric": {"app": "web"}, "value": [BASE_S + 100, "16"]}));
    let fields = get("detected_field/user/values").await.json();
    assert_eq!(fields["values"], json!(["1", "2"]));
    let other = world.get_as(&crate::world::tenant("other"), "/loki/api/v1/delete", &[]).await;
    assert_eq!(other.json(), json!([]));
}

#[tokio::test]
async fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let world = world(Limits::default()).await;
    let reply = send(&world, Method::PUT, &format!("{}&dry_run=true", request())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let query = r#"{app="web"} |= "user=1""#;
    let want = json!({"query": query, "streams": 1, "lines": 3, "bytes": 24, "blocks": 1});
    assert_eq!(reply.data(), want);
    assert_eq!(send(&world, Method::GET, "").await.json(), json!([]));
    assert_eq!(lines(&world, &[]).await.len(), 6);
}

#[tokio::test]
async fn requests_are_listed_and_can_be_withdrawn_in_time() {
    let limits = Limits {
        delete_request_cancel_period: skald_runtime::HumanDuration::from_secs(60),
        ..Limits::default()
    };
    let world = world(limits).await;
    send(&world, Method::POST, &request()).await;
    let listed = send(&world, Method::GET, "").await.json();
    let created = listed[0]["created_at"].clone();
    let id = listed[0]["request_id"].as_str().unwrap().to_owned();
    assert_eq!(
        listed,
        json!([{
            "request_id": id, "start_time": BASE_S + 5, "end_time": BASE_S + 45,
            "query": r#"{app="web"} |= "user=1""#, "status": "received", "created_at": created,
        }])
    );
    assert_eq!(send(&world, Method::DELETE, "request_id=none").await.status, 404);
    assert_eq!(send(&world, Method::DELETE, &format!("request_id={id}")).await.status, 204);
    assert_eq!(lines(&world, &[]).await.len(), 6);
    // Requests that are old, and finished ones.
    let delete = |id: &str, finished_ms: i64| skald_catalog::DeleteRequest {
        id: id.to_owned(),
        query: r#"{app="web"}"#.to_owned(),
        start_ns: BASE_NS,
        end_ns: BASE_NS + 100_000_000_000,
        created_ms: BASE_NS / 1_000_000,
        finished_ms,
        signal: 0,
    };
    let change = Change { deletes: vec![delete("old", 0), delete("done", 1)], ..Change::default() };
    world.catalog.commit(&TenantId::single(), change).await.unwrap();
    let late = send(&world, Method::DELETE, "request_id=old").await;
    assert_eq!(late.status, 400);
    assert!(late.text().contains("deadline of 1m"), "{}", late.text());
    assert_eq!(send(&world, Method::DELETE, "request_id=done").await.status, 400);
    assert_eq!(send(&world, Method::DELETE, "request_id=old&force=true").await.status, 204);
    let listed = send(&world, Method::GET, "").await.json();
    let states: Vec<&Value> = listed.as_array().unwrap().iter().map(|d| &d["status"]).collect();
    assert_eq!(states, [&json!("processed")]);
    assert_eq!(lines(&world, &[]).await.len(), 6, "what is finished hides nothing");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = world(Limits::default()).await;
    let ok = "query=%7Bapp%3D%22web%22%7D";
    for (params, want) in [
        ("start=1", "query not set"),
        (ok, "start time not set"),
        ("query=%7B&start=1", "parse error"),
        ("query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)&start=1", "a log query is needed"),
        ("query=%7B%7D&start=1", "queries require at least one"),
        (&format!("{ok}&start=x"), "invalid start time"),
        (&format!("{ok}&start=1&end=x"), "invalid end time"),
        (&format!("{ok}&start=1&end=4000000000"), "deletes in the future are not allowed"),
        (&format!("{ok}&start=5&end=5"), "start time can't be greater than or equal to end time"),
        (&format!("{ok}&start=5&end=9&max_interval=0"), "invalid max_interval"),
        (&format!("{ok}&start=5&end=9&max_interval=1h"), "max_interval can't be greater"),
    ] {
        let reply = send(&world, Method::PUT, params).await;
        assert_eq!(reply.status, 400, "{params}");
        assert!(reply.text().contains(want), "{params}: {}", reply.text());
    }
    assert_eq!(send(&world, Method::GET, "").await.json(), json!([]));
    let limits = Limits { deletion_mode: DeletionMode::Disabled, ..Limits::default() };
    let world = World::new(1, 1, limits);
    for method in [Method::PUT, Method::GET, Method::DELETE] {
        let reply = send(&world, method, &request()).await;
        assert_eq!(reply.status, 403);
        assert!(reply.text().contains("deletion_mode"), "{}", reply.text());
    }
}
