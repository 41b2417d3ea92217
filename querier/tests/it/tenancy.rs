//! No route answers without a tenant, and none shows what another tenant has.

use axum::body::Body;
use http::Request;
use prost::Message;
use skald_limits::Limits;
use skald_model::{Exemplar, MetricMetadata, TenantId};
use skald_proto::public::prometheus as pb;

use crate::world::{BASE_MS, Reply, World, at, labels, series, stream, tenant};

/// A word that is in everything the first tenant has.
const SECRET: &str = "hush";

fn routes() -> Vec<Request<Body>> {
    let range = format!("start={}&end={}&step=60&time={}", at(0), at(60), at(60));
    let get = |uri: String| Request::get(uri).body(Body::empty()).unwrap();
    let mut all = Vec::new();
    for prefix in ["/api/v1", "/prometheus/api/v1"] {
        for route in [
            "query?query=hush",
            "query_range?query=hush",
            "query_exemplars?query=hush",
            "labels?a=b",
            "label/__name__/values?a=b",
            "series?match[]=hush",
            "metadata?a=b",
            "rules?a=b",
            "alerts?a=b",
            "status/buildinfo?a=b",
        ] {
            all.push(get(format!("{prefix}/{route}&{range}")
                .replace('[', "%5B")
                .replace(']', "%5D")));
        }
        let request = pb::ReadRequest {
            queries: vec![pb::Query {
                start_timestamp_ms: BASE_MS,
                end_timestamp_ms: BASE_MS + 60_000,
                ..pb::Query::default()
            }],
            accepted_response_types: Vec::new(),
        };
        let packed = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
        all.push(Request::post(format!("{prefix}/read")).body(Body::from(packed)).unwrap());
    }
    let selector = "%7Bapp%3D~%22.%2B%22%7D";
    for route in [
        format!("query_range?query={selector}"),
        format!("query?query=count_over_time({selector}%5B1h%5D)"),
        "labels?a=b".to_owned(),
        "label?a=b".to_owned(),
        "label/app/values?a=b".to_owned(),
        format!("series?match={selector}"),
        format!("index/stats?query={selector}"),
        format!("index/volume?query={selector}"),
        format!("index/volume_range?query={selector}"),
        format!("detected_fields?query={selector}"),
        format!("detected_field/app/values?query={selector}"),
        "detected_labels?a=b".to_owned(),
        format!("patterns?query={selector}"),
        "delete?a=b".to_owned(),
        format!("format_query?query={selector}"),
        "drilldown-limits?a=b".to_owned(),
        "status/buildinfo?a=b".to_owned(),
        format!("tail?query={selector}"),
    ] {
        all.push(get(format!("/loki/api/v1/{route}&{range}")));
    }
    all
}

async fn world() -> (World, TenantId) {
    let world = World::new(1, 1, Limits::default());
    let owner = tenant("owner");
    let name = [("__name__", SECRET)];
    world.commit_series(&owner, &[series(&name, &[(0, 1.0)])]).await;
    world.commit_streams(&owner, &[stream(&[("app", SECRET)], &[(1, SECRET)])]).await;
    world.ingester().put(&owner, |r| {
        r.series.push(series(&name, &[(60, 1.0)]));
        r.streams.push(stream(&[("app", SECRET)], &[(2, SECRET)]));
        let e = Exemplar { labels: labels(&[("t", SECRET)]), timestamp_ms: BASE_MS, value: 1.0 };
        r.exemplars.push((labels(&name), vec![e]));
        r.metadata.push(MetricMetadata { name: SECRET.to_owned(), ..MetricMetadata::default() });
    });
    (world, owner)
}

fn shows_secret(reply: &Reply) -> bool {
    let mut plain = Vec::new();
    let packed = reply.headers.get("content-encoding").is_some_and(|e| e == "snappy");
    if packed {
        skald_codec::compress::snappy(&reply.body, 1 << 20, &mut plain).unwrap();
    } else {
        plain = reply.body.to_vec();
    }
    plain.windows(SECRET.len()).any(|w| w == SECRET.as_bytes())
}

#[tokio::test]
async fn every_route_wants_a_tenant() {
    let (world, _) = world().await;
    for request in routes() {
        let path = request.uri().path().to_owned();
        let reply = world.send(request, None).await;
        assert_eq!(reply.status, 401, "{path}");
        assert!(reply.text().contains("no org id"), "{path}");
    }
}

#[tokio::test]
async fn no_route_shows_what_another_tenant_has() {
    let (world, owner) = world().await;
    let other = tenant("other");
    let mut shown = 0;
    for (mine, theirs) in routes().into_iter().zip(routes()) {
        let path = mine.uri().path().to_owned();
        if path.ends_with("/tail") {
            continue;
        }
        let reply = world.send(theirs, Some(&other)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(!shows_secret(&reply), "{path}: {:?}", reply.body);
        let reply = world.send(mine, Some(&owner)).await;
        assert_eq!(reply.status, 200, "{path}");
        shown += usize::from(shows_secret(&reply));
    }
    // What the owner sees proves that the test would notice.
    assert!(shown >= 19, "{shown}");
}
