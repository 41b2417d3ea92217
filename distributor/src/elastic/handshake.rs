//! What shippers ask before they send, answered so that they go on: a version, a licence, health, and
//! yes to every template and policy that they want to install, none of which means anything here.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{Method, StatusCode};

use super::answer::json;

/// The version that is spoken: of the last major whose clients and bulk are what is served here.
const VERSION: &str = "8.17.0";
const UUID: &str = "c2thbGQtc2thbGQtc2thbGQ";

/// The routes, without those of bulk.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new()
        .route("/", get(root))
        .route("/_license", get(license))
        .route("/_xpack", get(xpack))
        .route("/_xpack/usage", get(empty))
        .route("/_cluster/health", get(health))
        .route("/_cluster/health/{*of}", get(health))
        .route("/_nodes", get(nodes))
        .route("/_nodes/{*of}", get(nodes))
        .route("/{index}", any(index));
    for path in [
        "/_template",
        "/_index_template",
        "/_component_template",
        "/_ilm/policy",
        "/_data_stream",
        "/_ingest/pipeline",
        "/_alias",
        "/_aliases",
    ] {
        router =
            router.route(path, any(installed)).route(&format!("{path}/{{*of}}"), any(installed));
    }
    router
}

pub(crate) async fn root() -> Response {
    json(
        StatusCode::OK,
        format!(
            r#"{{"name":"skald","cluster_name":"skald","cluster_uuid":"{UUID}","version":{{"number":"{VERSION}","build_flavor":"default","build_type":"tar","build_hash":"skald","build_date":"2026-01-01T00:00:00.000000000Z","build_snapshot":false,"lucene_version":"9.12.0","minimum_wire_compatibility_version":"7.17.0","minimum_index_compatibility_version":"7.0.0"}},"tagline":"You Know, for Search"}}"#
        ),
    )
}

async fn license() -> Response {
    // Far enough away for every client, and still a date.
    let body = format!(
        r#"{{"license":{{"status":"active","uid":"{UUID}","type":"basic","issue_date":"2026-01-01T00:00:00.000Z","issue_date_in_millis":1767225600000,"expiry_date_in_millis":4102444800000,"max_nodes":1000,"issued_to":"skald","issuer":"skald","start_date_in_millis":-1}}}}"#
    );
    json(StatusCode::OK, body)
}

async fn xpack() -> Response {
    let body = format!(
        r#"{{"build":{{"hash":"skald","date":"2026-01-01T00:00:00.000Z"}},"license":{{"uid":"{UUID}","type":"basic","mode":"basic","status":"active"}},"features":{{"ilm":{{"available":true,"enabled":true}}}},"tagline":"You know, for X"}}"#
    );
    json(StatusCode::OK, body)
}

async fn health() -> Response {
    json(StatusCode::OK, r#"{"cluster_name":"skald","status":"green","timed_out":false,"number_of_nodes":1,"number_of_data_nodes":1,"active_primary_shards":1,"active_shards":1,"relocating_shards":0,"initializing_shards":0,"unassigned_shards":0,"active_shards_percent_as_number":100.0}"#.to_owned())
}

async fn nodes() -> Response {
    let body = format!(
        r#"{{"_nodes":{{"total":1,"successful":1,"failed":0}},"cluster_name":"skald","nodes":{{"skald":{{"name":"skald","version":"{VERSION}","roles":["data","ingest","master"]}}}}}}"#
    );
    json(StatusCode::OK, body)
}

async fn empty() -> Response {
    json(StatusCode::OK, "{}".to_owned())
}

/// Templates, policies, pipelines: there already, or taken note of.
async fn installed(request: Request) -> Response {
    let body = match *request.method() {
        Method::GET | Method::HEAD => "{}",
        Method::PUT | Method::POST => r#"{"acknowledged":true}"#,
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    json(StatusCode::OK, body.to_owned())
}

/// `PUT` and `HEAD` of an index: there already. Nothing else is served under one word.
async fn index(request: Request) -> Response {
    match *request.method() {
        Method::PUT => {
            json(StatusCode::OK, r#"{"acknowledged":true,"shards_acknowledged":true}"#.to_owned())
        }
        Method::HEAD => json(StatusCode::OK, String::new()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
