//! What every route of the Prometheus API owes to HTTP: methods, origins, codings, forms.

use std::io::Read;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use skald_limits::Limits;
use skald_model::TenantId;
use skald_rpc::ingester::TenantUsage;

use crate::world::{BASE_S, Reply, World, at, series};

const A: [(&str, &str); 2] = [("__name__", "up"), ("job", "a")];
const B: [(&str, &str); 2] = [("__name__", "up"), ("job", "b")];

fn world() -> World {
    let world = World::single();
    world.ingester().put(&TenantId::single(), |r| {
        r.series.push(series(&A, &[(0, 1.0), (60, 2.0)]));
        r.series.push(series(&B, &[(0, 1.0), (60, 2.0)]));
    });
    world
}

async fn send(world: &World, method: Method, uri: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).unwrap(), Some(&TenantId::single())).await
}

#[tokio::test]
async fn pages_of_other_origins_may_ask() {
    let world = world();
    let origin = [("origin", "http://grafana.example")];
    let uri = "/api/v1/query?query=1";
    for (method, uri, status) in [
        (Method::OPTIONS, uri, 204),
        (Method::OPTIONS, "/prometheus/api/v1/labels", 204),
        (Method::GET, uri, 200),
        (Method::GET, "/api/v1/query?query=(", 400),
    ] {
        let reply = send(&world, method.clone(), uri, &origin).await;
        assert_eq!(reply.status, status, "{method} {uri}");
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        assert_eq!(reply.headers["access-control-allow-methods"], "GET, POST, OPTIONS");
        assert_eq!(reply.headers["access-control-expose-headers"], "Date");
        let allowed = reply.headers["access-control-allow-headers"].to_str().unwrap();
        assert!(allowed.starts_with("Accept, Authorization, Content-Type, Origin"), "{allowed}");
    }
    let same = send(&world, Method::GET, uri, &[]).await;
    assert!(!same.headers.contains_key("access-control-allow-origin"));
    let vary: Vec<_> = same.headers.get_all("vary").iter().collect();
    assert!(vary.iter().any(|v| *v == "Origin"), "{vary:?}");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let world = world();
    for uri in ["/api/v1/query?query=up", "/api/v1/labels", "/api/v1/status/buildinfo"] {
        let reply = send(&world, Method::HEAD, uri, &[]).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0), "{uri}");
        assert_eq!(reply.headers["content-type"], "application/json");
    }
}

/// Which methods a route takes.
#[tokio::test]
async fn forms_are_posted_only_where_clients_post_them() {
    let world = world();
    let q = [("query", "up"), ("start", "0"), ("end", "1"), ("step", "1"), ("match[]", "up")];
    let both = ["query", "query_range", "query_exemplars", "labels", "series", "format_query"];
    for route in both.into_iter().chain(["parse_query"]) {
        let path = format!("/api/v1/{route}");
        let (get, post) = (world.get(&path, &q).await, world.post(&path, &q).await);
        assert_eq!((get.status.as_u16(), post.status.as_u16()), (200, 200), "{route}");
        assert_eq!(get.text(), post.text(), "{route}");
    }
    for route in ["label/job/values", "metadata", "rules", "alerts", "status/buildinfo"] {
        let path = format!("/api/v1/{route}");
        assert_eq!(world.get(&path, &q).await.status, 200, "{route}");
        assert_eq!(world.post(&path, &q).await.status, 405, "{route}");
    }
    let read = send(&world, Method::GET, "/api/v1/read", &[]).await;
    assert_eq!(read.status, 405);
}

#[tokio::test]
async fn large_answers_are_packed_and_sent_in_pieces() {
    let world = World::new(1, 1, Limits::default());
    world.ingester().put(&TenantId::single(), |r| {
        for i in 0..40 {
            let i = format!("{i:02}");
            let points: Vec<_> = (0..600).map(|t| (t, 0.125)).collect();
            r.series.push(series(&[("__name__", "up"), ("i", &i)], &points));
        }
    });
    let uri = format!("/api/v1/query_range?query=up&start={}&end={}&step=1", at(0), at(599));
    let plain = send(&world, Method::GET, &uri, &[]).await;
    assert!(plain.body.len() > 500_000 && !plain.headers.contains_key("content-encoding"));
    let result = plain.result();
    assert_eq!(result.as_array().unwrap().len(), 40);
    for (i, s) in result.as_array().unwrap().iter().enumerate() {
        assert_eq!(s["metric"]["i"], format!("{i:02}"));
        assert_eq!(s["values"].as_array().unwrap().len(), 600);
        assert_eq!(s["values"][599], json!([BASE_S + 599, "0.125"]));
    }
    for coding in ["gzip", "deflate"] {
        let reply = send(&world, Method::GET, &uri, &[("accept-encoding", coding)]).await;
        assert_eq!(reply.headers["content-encoding"], coding);
        let mut text = Vec::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(reply.body.as_ref()).read_to_end(&mut text),
            _ => flate2::read::ZlibDecoder::new(reply.body.as_ref()).read_to_end(&mut text),
        }
        .unwrap();
        assert_eq!(text, plain.body, "{coding}");
        assert!(reply.body.len() < plain.body.len() / 4);
    }
}

#[tokio::test]
async fn what_a_limit_cuts_off_is_told() {
    let world = world();
    let cut = |reply: &Reply| -> Value { reply.json()["warnings"].clone() };
    let (start, end) = (at(0), at(60));
    let base = [("match[]", "up"), ("query", "up"), ("start", &start), ("end", &end)];
    for (route, count) in
        [("labels", 1), ("label/job/values", 1), ("series", 1), ("query", 1), ("query_range", 1)]
    {
        let path = format!("/api/v1/{route}");
        let with = |limit: &'static str| {
            let mut params = base.to_vec();
            params.extend([("time", end.as_str()), ("step", "60"), ("limit", limit)]);
            params
        };
        let reply = world.get(&path, &with("1")).await;
        let data = reply.data();
        let list = data.as_array().or_else(|| data["result"].as_array()).unwrap();
        assert_eq!(list.len(), count, "{route}");
        assert_eq!(cut(&reply), json!(["results truncated due to limit"]), "{route}");
        for all in ["0", "2", "40000"] {
            let reply = world.get(&path, &with(all)).await;
            assert!(cut(&reply).is_null(), "{route} {all}");
        }
    }
}

#[tokio::test]
async fn every_failure_has_its_status_and_type() {
    let t = TenantId::single();
    let full = || {
        let limits = Limits { max_samples_per_query: 1, ..Limits::default() };
        let world = World::new(1, 1, limits);
        world.ingester().put(&t, |r| {
            r.series.push(series(&A, &[(0, 1.0)]));
            r.series.push(series(&B, &[(0, 1.0)]));
        });
        world
    };
    let (ok, full) = (world(), full());
    let time = at(60);
    for (world, query, status, kind) in [
        (&ok, "up{", 400, "bad_data"),
        (&ok, "up + on () up", 422, "execution"),
        (&full, "up", 422, "execution"),
    ] {
        let reply = world.get("/api/v1/query", &[("query", query), ("time", &time)]).await;
        assert_eq!(reply.status, status, "{query} {}", reply.text());
        let body = reply.json();
        assert_eq!((&body["status"], &body["errorType"]), (&json!("error"), &json!(kind)));
        assert_eq!(reply.headers["content-type"], "application/json");
    }
    let slow = ok.get("/api/v1/query", &[("query", "up"), ("timeout", "0")]).await;
    assert_eq!((slow.status.as_u16(), &slow.json()["errorType"]), (503, &json!("timeout")));
    let nobody = Request::get("/api/v1/query?query=1").body(Body::empty()).unwrap();
    let nobody = ok.send(nobody, None).await;
    assert_eq!((nobody.status.as_u16(), &nobody.json()["status"]), (401, &json!("error")));
}

#[tokio::test]
async fn times_and_durations_have_two_forms_each() {
    let world = world();
    let want = world.get("/api/v1/query", &[("query", "up"), ("time", &at(60))]).await;
    assert_eq!(want.result().as_array().unwrap().len(), 2);
    for time in ["2026-01-01T00:01:00Z", "2026-01-01T01:01:00.0001+01:00", "1767225660.0004"] {
        let got = world.get("/api/v1/query", &[("query", "up"), ("time", time)]).await;
        assert_eq!(got.text(), want.text(), "{time}");
    }
    let fraction = world.get("/api/v1/query", &[("query", "1"), ("time", "1.0054")]).await;
    assert!(fraction.text().contains(r#"[1.005,"1"]"#), "{}", fraction.text());
    let (start, end) = (at(0), at(60));
    let range = |step: &'static str| {
        let params = [("query", "up"), ("start", &*start), ("end", &*end), ("step", step)];
        params.map(|(n, v)| (n.to_owned(), v.to_owned()))
    };
    let mut texts = Vec::new();
    for step in ["30", "30s", "0.5m30000ms", "30.0"] {
        let params = range(step);
        let params: Vec<_> = params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let reply = world.get("/api/v1/query_range", &params).await;
        texts.push((step, reply.status.as_u16(), reply.text().to_owned()));
    }
    assert_eq!(texts[0].2, texts[1].2);
    assert_eq!((texts[2].1, texts[0].2 == texts[3].2), (400, true), "{texts:?}");
    let back = world
        .get("/api/v1/query", &[("query", "up"), ("time", &at(90)), ("lookback_delta", "10s")])
        .await;
    assert_eq!(back.result(), json!([]));
}

#[tokio::test]
async fn a_tenant_is_told_its_limits() {
    let limits = Limits { max_samples_per_query: 123, ..Limits::default() };
    let world = World::new(1, 1, limits);
    let told = world.get("/api/v1/user_limits", &[]).await.json();
    assert_eq!(told["max_samples_per_query"], 123);
    assert!(told["max_query_memory"].is_string() && told["query_timeout"].is_string(), "{told}");
}

#[tokio::test]
async fn a_tenant_is_told_what_it_has_and_sends() {
    let world = World::new(2, 3, Limits::default());
    let of = |series, samples_per_second| TenantUsage {
        series,
        samples_per_second,
        streams: 1,
        entries_per_second: 0.5,
    };
    for (partition, usage) in [(0, of(10, 1.5)), (1, of(20, 2.0))] {
        for replica in 0..3 {
            let ingester = &world.ingesters[partition][replica];
            ingester.put(&TenantId::single(), |recent| recent.usage = usage);
        }
    }
    let told = world.get("/api/v1/user_stats", &[]).await.json();
    let expected = json!({
        "ingestionRate": 3.5, "numSeries": 30, "APIIngestionRate": 3.5, "RuleIngestionRate": 0,
        "logIngestionRate": 1, "numStreams": 2,
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn statistics_are_told_when_asked_for() {
    let world = world();
    for value in ["true", "all"] {
        let params = [("query", "up"), ("time", &at(60)), ("stats", value)];
        let reply = world.get("/api/v1/query", &params).await;
        assert!(reply.json().get("warnings").is_none());
        let stats = reply.data()["stats"].clone();
        for key in [
            "evalTotalTime",
            "resultSortTime",
            "queryPreparationTime",
            "innerEvalTime",
            "execQueueTime",
            "execTotalTime",
        ] {
            assert!(stats["timings"][key].is_number(), "{key}");
        }
        assert_eq!(stats["samples"]["totalQueryableSamples"], 2);
        assert_eq!(stats["samples"]["samplesRead"], 2);
        assert!(stats["samples"]["peakSamples"].is_u64());
        assert!(stats["samples"]["samplesReadPerStep"].is_null() == (value == "true"), "{stats}");
    }
    let (start, end) = (at(60), at(75));
    let params =
        [("query", "up"), ("start", &*start), ("end", &*end), ("step", "15"), ("stats", "all")];
    let stats = world.get("/api/v1/query_range", &params).await.data()["stats"].clone();
    let steps = json!([BASE_S + 60, BASE_S + 75].map(|s| [s, 2]));
    assert_eq!(stats["samples"]["totalQueryableSamplesPerStep"], steps, "{stats}");
    assert_eq!(stats["samples"]["samplesReadPerStep"].as_array().unwrap().len(), 2, "{stats}");
    assert!(world.get("/api/v1/query", &[("query", "up")]).await.data().get("stats").is_none());
}
