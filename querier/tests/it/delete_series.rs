//! Requests to delete samples: taken, listed, withdrawn, and applied to everything that is read.

use http::{Method, Request};
use prost::Message;
use serde_json::{Value, json};
use skald_catalog::Change;
use skald_limits::{DeletionMode, Limits};
use skald_model::{Exemplar, Series, TenantId};
use skald_proto::public::prometheus as pb;
use skald_runtime::{HumanDuration, Rng};

use crate::frontend::{LENGTH_S, below, random_query, random_series};
use crate::prometheus::{read_query, read_request};
use crate::world::{BASE_MS, BASE_S, Reply, World, at, encode, labels, series};

const ADMIN: &str = "/api/v1/admin/tsdb";
const A: [(&str, &str); 2] = [("__name__", "up"), ("job", "a")];
const B: [(&str, &str); 2] = [("__name__", "up"), ("job", "b")];

/// `up` of two jobs: at 10, 20 and 30 seconds in a block, at 40 and 50 in the head.
async fn world(limits: Limits) -> World {
    let world = World::new(1, 1, limits);
    let t = TenantId::single();
    let block = [(10, 1.0), (20, 2.0), (30, 3.0)];
    world.commit_series(&t, &[series(&A, &block), series(&B, &block)]).await;
    let exemplar = |at: i64| Exemplar {
        labels: labels(&[("trace_id", "1")]),
        timestamp_ms: BASE_MS + at * 1000,
        value: 6.0,
    };
    world.ingester().put(&t, |r| {
        let head = [(40, 4.0), (50, 5.0)];
        r.series.extend([series(&A, &head), series(&B, &head)]);
        r.exemplars.push((labels(&A), vec![exemplar(41), exemplar(51)]));
    });
    world
}

async fn send(world: &World, method: Method, route: &str) -> Reply {
    let uri = format!("{ADMIN}/{route}");
    let request =
        Request::builder().method(method).uri(uri).body(axum::body::Body::empty()).unwrap();
    world.send(request, Some(&TenantId::single())).await
}

/// `up{job="a"}` between two seconds, both included.
fn delete_a(from: i64, to: i64) -> String {
    let (start, end) = (at(from), at(to));
    format!("delete_series?match%5B%5D=up%7Bjob%3D%22a%22%7D&start={start}&end={end}")
}

async fn instant(world: &World, query: &str) -> Value {
    world.get("/api/v1/query", &[("query", query), ("time", &at(60))]).await.result()
}

/// The values of `up{job="a"}` in the minute that has all.
async fn values(world: &World) -> Vec<String> {
    let found = instant(world, r#"up{job="a"}[1m]"#).await;
    let all = found[0]["values"].as_array().cloned().unwrap_or_default();
    all.iter().map(|v| v[1].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_a_request_names_is_hidden_everywhere_at_once() {
    let world = world(Limits::default()).await;
    assert_eq!(values(&world).await, ["1", "2", "3", "4", "5"]);
    let reply = send(&world, Method::PUT, &delete_a(20, 45)).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (204, ""));
    assert_eq!(values(&world).await, ["1", "5"]);
    // Where a query looks at none of the labels that say what is deleted.
    assert_eq!(instant(&world, "sum(count_over_time(up[1m]))").await[0]["value"][1], "7");
    assert_eq!(instant(&world, "count(up offset 15s)").await[0]["value"][1], "2");
    assert_eq!(
        instant(&world, "sum by (job) (sum_over_time(up[1m]))").await.as_array().unwrap().len(),
        2
    );
    let (start, end) = (at(10), at(50));
    let params = [
        ("query", "sum(last_over_time(up[5s]))"),
        ("start", &*start),
        ("end", &end),
        ("step", "10"),
    ];
    let steps = world.get("/api/v1/query_range", &params).await.result();
    let sums: Vec<&str> =
        steps[0]["values"].as_array().unwrap().iter().map(|v| v[1].as_str().unwrap()).collect();
    assert_eq!(sums, ["2", "2", "3", "4", "10"]);
    let params = [("query", "up"), ("start", &*start), ("end", &at(60))];
    let exemplars = world.get("/api/v1/query_exemplars", &params).await.data();
    let times: Vec<&Value> =
        exemplars[0]["exemplars"].as_array().unwrap().iter().map(|e| &e["timestamp"]).collect();
    assert_eq!(times, [&json!(BASE_S + 51)]);
    // Remote read, in samples and in chunks.
    for accepted in [0, 1] {
        let request = pb::ReadRequest {
            queries: vec![read_query()],
            accepted_response_types: vec![accepted],
        };
        let reply = world.send(read_request(&request), Some(&TenantId::single())).await;
        assert_eq!(reply.status, 200);
        let n = if accepted == 0 { n_samples(&reply) } else { n_in_chunks(&reply) };
        assert_eq!(n, 7, "{accepted}");
    }
    let other = crate::world::tenant("other");
    world.ingester().put(&other, |r| r.series.push(series(&A, &[(40, 4.0)])));
    let params = [("query", "up"), ("time", &*at(40))];
    assert_eq!(world.get_as(&other, "/api/v1/query", &params).await.result()[0]["value"][1], "4");
}

fn n_samples(reply: &Reply) -> usize {
    let mut plain = Vec::new();
    skald_codec::compress::snappy(&reply.body, 1 << 20, &mut plain).unwrap();
    let response = pb::ReadResponse::decode(plain.as_slice()).unwrap();
    response.results[0].timeseries.iter().map(|s| s.samples.len()).sum()
}

fn n_in_chunks(reply: &Reply) -> usize {
    let mut body = &reply.body[..];
    let mut n = 0;
    while !body.is_empty() {
        let len = usize::try_from(prost::encoding::decode_varint(&mut body).unwrap()).unwrap();
        let frame = pb::ChunkedReadResponse::decode(&body[4..4 + len]).unwrap();
        body = &body[4 + len..];
        let chunks = frame.chunked_series.iter().flat_map(|s| &s.chunks);
        // A chunk begins with the number of its samples.
        n += chunks.map(|c| usize::from(u16::from_be_bytes([c.data[0], c.data[1]]))).sum::<usize>();
    }
    n
}

#[tokio::test]
async fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let world = world(Limits::default()).await;
    let t = TenantId::single();
    // Copies count once; a block that has nothing of it is not touched.
    world.commit_series(&t, &[series(&A, &[(20, 2.0), (40, 4.0)])]).await;
    world.commit_series(&t, &[series(&B, &[(25, 2.0)])]).await;
    let dry = async |params: &str| {
        let reply = send(&world, Method::POST, &format!("{params}&dry_run=true")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.data()
    };
    let counts = |series: u64, samples: u64, blocks: u64| json!([{"selector": r#"up{job="a"}"#, "series": series, "samples": samples, "blocks": blocks}]);
    assert_eq!(dry(&delete_a(20, 45)).await, counts(1, 3, 2));
    assert_eq!(dry(&delete_a(31, 39)).await, counts(0, 0, 0));
    assert_eq!(dry(&delete_a(50, 60)).await, counts(1, 1, 0));
    let all = dry("delete_series?match[]=up&match[]=none").await;
    assert_eq!(all[0], json!({"selector": "up", "series": 2, "samples": 11, "blocks": 3}));
    assert_eq!(all[1], json!({"selector": "none", "series": 0, "samples": 0, "blocks": 0}));
    assert_eq!(send(&world, Method::GET, "delete_series").await.json(), json!([]));
    assert_eq!(values(&world).await.len(), 5);
    // What is hidden already is not counted again.
    send(&world, Method::POST, &delete_a(20, 30)).await;
    assert_eq!(dry(&delete_a(20, 45)).await[0]["samples"], 1);
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn requests_and_withdrawals_are_in_the_audit_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter("audit=info")
        .with_writer(move || writer.clone())
        .finish();
    // Of the whole process: a thread that has none of its own would switch the line off for all.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let world = world(Limits::default()).await;
    let of = |method: Method, uri: &str| {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("x-grafana-user", "eve");
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        let peer = skald_querier::Peer(([10, 0, 0, 7], 1234).into());
        request.extensions_mut().insert(peer);
        request
    };
    let t = crate::world::tenant("audited");
    let uri = format!("{ADMIN}/{}", delete_a(20, 45));
    world.send(of(Method::POST, &format!("{uri}&dry_run=true")), Some(&t)).await;
    assert_eq!(world.send(of(Method::POST, &uri), Some(&t)).await.status, 204);
    let listed = world.send(of(Method::GET, &format!("{ADMIN}/delete_series")), Some(&t)).await;
    let id = listed.json()[0]["request_id"].clone();
    let id = id.as_str().unwrap();
    let uri = format!("{ADMIN}/cancel_delete_request?request_id={id}");
    assert_eq!(world.send(of(Method::PUT, &uri), Some(&t)).await.status, 204);
    let line =
        format!("/loki/api/v1/delete?query=%7Ba%3D%22b%22%7D&start={}&end={}", at(5), at(45));
    assert_eq!(world.send(of(Method::PUT, &line), Some(&t)).await.status, 204);
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    // Other tests ask, too.
    lines.retain(|l| l["fields"]["tenant"] == t.as_str());
    let fields: Vec<&Value> = lines.iter().map(|l| &l["fields"]).collect();
    let samples = |event: &str| {
        json!({
            "message": "audit", "event": event, "outcome": "done", "tenant": t.as_str(), "user": "eve",
            "peer": "10.0.0.7:1234", "id": id, "deletes": "samples", "query": r#"up{job="a"}"#,
            "start": BASE_MS + 20_000, "end": BASE_MS + 45_000,
        })
    };
    assert_eq!(*fields[0], samples("delete_requested"));
    assert_eq!(*fields[1], samples("delete_withdrawn"));
    assert_eq!(
        (&fields[2]["deletes"], &fields[2]["query"]),
        (&json!("lines"), &json!(r#"{a="b"}"#))
    );
    assert_eq!((lines.len(), &lines[0]["target"]), (3, &json!("audit")));
}

#[tokio::test]
async fn a_dry_run_that_is_not_understood_deletes_nothing() {
    let world = world(Limits::default()).await;
    for value in ["True", "yes", "on", "2"] {
        let route = format!("{}&dry_run={value}", delete_a(20, 45));
        let reply = send(&world, Method::POST, &route).await;
        assert_eq!(reply.status, 400, "{value}: {}", reply.text());
        assert!(reply.text().contains("dry_run"), "{}", reply.text());
    }
    assert_eq!(send(&world, Method::GET, "delete_series").await.json(), json!([]));
}

#[tokio::test]
async fn patterns_of_all_open_requests_are_bounded_together() {
    let world = world(Limits::default()).await;
    let mut taken = 0;
    let refused = loop {
        let pattern = format!(r#"up{{a=~"\\w{{900}}x{taken}"}}"#);
        let route = format!("delete_series?{}", encode(&[("match[]", &pattern), ("end", &at(45))]));
        let reply = send(&world, Method::POST, &route).await;
        if reply.status != 204 {
            break reply;
        }
        taken += 1;
    };
    assert!((1..400).contains(&taken), "{taken}");
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("err-skald-max-delete-patterns"), "{}", refused.text());
}

#[tokio::test]
async fn series_of_which_nothing_is_left_in_the_range_are_not_listed() {
    let world = world(Limits::default()).await;
    let jobs = async |from: i64, to: i64| {
        let params = [("match[]", "up"), ("start", &*at(from)), ("end", &*at(to))];
        let found = world.get("/api/v1/series", &params).await.data();
        let jobs: Vec<String> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["job"].as_str().unwrap().to_owned())
            .collect();
        jobs
    };
    send(&world, Method::POST, &delete_a(5, 25)).await;
    assert_eq!(jobs(0, 60).await, ["a", "b"]);
    assert_eq!(jobs(5, 25).await, ["b"]);
    // The rest, in two pieces.
    send(&world, Method::POST, &delete_a(25, 42)).await;
    send(&world, Method::POST, &delete_a(42, 55)).await;
    assert_eq!(jobs(0, 60).await, ["b"]);
    assert_eq!(jobs(0, 30).await, ["b"]);
    // Names and values are those of what is stored.
    let params = [("match[]", "up"), ("start", &*at(0)), ("end", &*at(60))];
    let values = world.get("/api/v1/label/job/values", &params).await.data();
    assert_eq!(values, json!(["a", "b"]));
}

#[tokio::test]
async fn requests_are_listed_and_can_be_withdrawn_in_time() {
    let minute = HumanDuration::from_secs(60);
    let world = world(Limits { delete_request_cancel_period: minute, ..Limits::default() }).await;
    let both = "delete_series?match[]=up%7Bjob=%22a%22%7D&match[]=up%7Bjob=%22b%22%7D";
    assert_eq!(send(&world, Method::POST, both).await.status, 204);
    assert_eq!(instant(&world, "up").await, json!([]));
    let listed = send(&world, Method::GET, "delete_series").await.json();
    let all = listed.as_array().unwrap();
    let ids: Vec<&str> = all.iter().map(|d| d["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    let mut selectors: Vec<&str> =
        all.iter().map(|d| d["selectors"][0].as_str().unwrap()).collect();
    selectors.sort_unstable();
    assert_eq!(selectors, [r#"up{job="a"}"#, r#"up{job="b"}"#]);
    // No end means now.
    assert!(all.iter().all(|d| d["status"] == "received" && d["end_time"] == d["created_at"]));
    // The lists of lines and of samples are two.
    let lines = world.get("/loki/api/v1/delete", &[]).await.json();
    assert_eq!(lines, json!([]));
    let of_lines = Request::delete(format!("/loki/api/v1/delete?request_id={}", ids[0]));
    let of_lines = of_lines.body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.send(of_lines, Some(&TenantId::single())).await.status, 404);
    let cancel = async |id: &str| {
        send(&world, Method::POST, &format!("cancel_delete_request?request_id={id}")).await
    };
    for id in &ids {
        assert_eq!(cancel(id).await.status, 204);
    }
    assert_eq!(values(&world).await.len(), 5);
    let missing = cancel("none").await;
    assert_eq!((missing.status.as_u16(), &missing.json()["errorType"]), (404, &json!("not_found")));
    let old = skald_catalog::DeleteRequest {
        id: "old".to_owned(),
        query: "up".to_owned(),
        start_ns: i64::MIN,
        end_ns: i64::MAX,
        created_ms: BASE_MS,
        finished_ms: 0,
        signal: skald_catalog::Signal::Metrics.into(),
    };
    let change = Change { deletes: vec![old], ..Change::default() };
    world.catalog.commit(&TenantId::single(), change).await.unwrap();
    let late = cancel("old").await;
    assert_eq!(late.status, 400);
    assert!(late.text().contains("deadline of 1m"), "{}", late.text());
    assert_eq!(cancel("old&force=true").await.status, 204);
}

#[tokio::test]
async fn answers_are_those_of_prometheus() {
    let world = world(Limits::default()).await;
    let invalid = |name: &str, cause: &str| format!(r#"invalid parameter "{name}": {cause}"#);
    let time = |name: &str| {
        let cause =
            format!("invalid time value for '{name}': cannot parse \"x\" to a valid timestamp");
        invalid(name, &cause)
    };
    for (params, want) in [
        ("", "no match[] parameter provided".to_owned()),
        ("?match[]=", invalid("match[]", "unknown position: parse error: unexpected end of input")),
        (
            "?match[]=up%7B",
            invalid("match[]", "1:4: parse error: unexpected end of input inside braces"),
        ),
        (
            "?match[]=up&match[]=up%7B",
            invalid("match[]", "1:4: parse error: unexpected end of input inside braces"),
        ),
        ("?match[]=up%20offset%205m", invalid("match[]", "1:4: parse error: unexpected <offset>")),
        ("?match[]=up&start=x", time("start")),
        ("?match[]=up&end=x", time("end")),
    ] {
        let reply = send(&world, Method::POST, &format!("delete_series{params}")).await;
        assert_eq!(reply.status, 400, "{params}");
        let want = json!({"status": "error", "errorType": "bad_data", "error": want});
        assert_eq!(reply.json(), want, "{params}");
    }
    for nothing in ["&start=10&end=5", "&start=4000000000"] {
        let route = format!("delete_series?match[]=up{nothing}");
        assert_eq!(send(&world, Method::PUT, &route).await.status, 204);
    }
    let listed = send(&world, Method::GET, "delete_series").await.json();
    assert_eq!(listed, json!([]));
    for method in [Method::POST, Method::PUT] {
        let reply = send(&world, method, "clean_tombstones").await;
        assert_eq!((reply.status.as_u16(), reply.text()), (204, ""));
    }
    assert_eq!(send(&world, Method::GET, "clean_tombstones").await.status, 405);
    assert_eq!(send(&world, Method::DELETE, "delete_series?match[]=up").await.status, 405);
    // A form, below the other prefix; everything is a selector, too.
    let form = [("match[]", "{}"), ("start", ""), ("end", "")];
    let reply = world.post("/prometheus/api/v1/admin/tsdb/delete_series", &form).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_eq!(instant(&world, r#"{__name__=~".+"}"#).await, json!([]));
}

#[tokio::test]
async fn tenants_who_may_not_delete_are_refused() {
    let limits = Limits { deletion_mode: DeletionMode::Disabled, ..Limits::default() };
    let world = world(limits).await;
    for (method, route) in [
        (Method::POST, "delete_series?match[]=up"),
        (Method::GET, "delete_series"),
        (Method::POST, "cancel_delete_request?request_id=x"),
        (Method::PUT, "clean_tombstones"),
    ] {
        let reply = send(&world, method, route).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["errorType"]), (403, &json!("forbidden")));
        assert!(reply.text().contains("deletion_mode"), "{}", reply.text());
    }
    assert_eq!(values(&world).await.len(), 5);
}

/// Some of the samples of random data, as selectors and seconds.
const GONE: [(&str, i64, i64); 4] = [
    (r#"m{instance="i0"}"#, 0, LENGTH_S),
    (r#"{job="j1"}"#, 600, 900),
    ("n_total", 1200, 1210),
    (r#"{instance=~"i[45]"}"#, 850, 2000),
];

/// The series without these samples.
fn without(all: &[Series]) -> Vec<Series> {
    let mut left = all.to_vec();
    for s in &mut left {
        for (selector, from, to) in GONE {
            let matchers = skald_promql::syntax::parse_selector(selector).unwrap().matchers;
            if !skald_model::Matcher::all(&matchers, &s.labels) {
                continue;
            }
            let stays = |t: &i64| !(BASE_MS + from * 1000..=BASE_MS + to * 1000).contains(t);
            let points = s.timestamps.iter().copied().zip(s.values.iter().copied());
            let points: Vec<_> = points.filter(|(t, _)| stays(t)).collect();
            (s.timestamps, s.values) = points.into_iter().unzip();
        }
    }
    left.retain(|s| !s.is_empty());
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_see_what_a_store_without_the_samples_shows() {
    let rng = Rng::seeded(31);
    let (world, model) = (World::single(), World::single());
    let t = TenantId::single();
    let all = random_series(&rng);
    for (world, all) in [(&world, all.clone()), (&model, without(&all))] {
        // Some in a block, some in the head, some in both.
        let (mut block, mut head) = (all.clone(), all);
        let split = |s: &mut Series, keep: &dyn Fn(i64) -> bool| {
            let points = s.timestamps.iter().copied().zip(s.values.iter().copied());
            let points: Vec<_> = points.filter(|(t, _)| keep(t - BASE_MS)).collect();
            (s.timestamps, s.values) = points.into_iter().unzip();
        };
        block.iter_mut().for_each(|s| split(s, &|t| t < 2_000_000));
        head.iter_mut().for_each(|s| split(s, &|t| t > 1_500_000));
        block.retain(|s| !s.is_empty());
        head.retain(|s| !s.is_empty());
        world.commit_series(&t, &block).await;
        world.ingester().put(&t, |r| r.series = head);
    }
    for (selector, from, to) in GONE {
        let form = [("match[]", selector), ("start", &*at(from)), ("end", &*at(to))];
        let reply = world.post(&format!("{ADMIN}/delete_series"), &form).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    // What looks at some labels only, beside what is random.
    let mut queries: Vec<String> = [
        "m + on (instance) n_total",
        "m * on (job) group_left () (count by (job) (n_total))",
        "m and on (job) n_total",
        "n_total unless on (instance) m",
        "count by (instance) (m)",
        "quantile by (job) (0.5, n_total)",
        "group by (nothing) (m)",
        "absent(m{job=\"j1\"})",
        "sum(rate(n_total[5m])) / count(m)",
        "bottomk by (job) (1, m)",
    ]
    .map(str::to_owned)
    .into();
    queries.extend((0..300).map(|_| random_query(&rng, u32::try_from(below(&rng, 3)).unwrap())));
    let mut answered = 0;
    for query in queries {
        let start = i64::try_from(below(&rng, 2500)).unwrap();
        let end = start + i64::try_from(below(&rng, 1500)).unwrap();
        let (start, end) = (at(start), at(end));
        let params = [("query", &*query), ("start", &*start), ("end", &end), ("step", "37")];
        let want = model.get("/api/v1/query_range", &params).await;
        let got = world.get("/api/v1/query_range", &params).await;
        assert_eq!(got.status, want.status, "{params:?}");
        assert_eq!(got.json()["data"], want.json()["data"], "{params:?}");
        answered += usize::from(got.status == 200);
    }
    assert!(answered > 200, "{answered}");
}
