//! Which path is which protocol, and how each answers.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use skald_model::TenantId;

use super::{Answer, Distributor, Hints, headers};
use crate::metrics::Protocol;
use crate::refusal::Refusal;
use crate::rejects::PARTIAL;
use crate::{elastic, json_lines, otlp};

/// All push routes.
pub(super) fn all() -> Router<Distributor> {
    let elastic = elastic::handshake::routes()
        .route("/_bulk", post(bulk).put(bulk))
        .route("/{index}/_bulk", post(bulk).put(bulk));
    Router::new()
        .route("/distributor/ha_tracker", get(ha_tracker))
        .route("/api/v1/push", post(remote_write))
        .route("/api/v1/write", post(remote_write))
        .route("/api/prom/push", post(remote_write))
        .route("/loki/api/v1/push", post(loki_push))
        .route("/otlp/v1/logs", post(otlp_logs))
        .route("/v1/logs", post(otlp_logs))
        .route("/insert/jsonline", post(lines))
        .route("/k8s/audit", post(audit))
        .nest("/elasticsearch", elastic.clone())
        .route("/elasticsearch/", get(elastic::handshake::root))
        .merge(elastic)
}

async fn remote_write(State(distributor): State<Distributor>, request: Request) -> Response {
    let version = headers::version(request.headers());
    let protocol = match version {
        Ok(Protocol::remote_write_v2) => Protocol::remote_write_v2,
        _ => Protocol::remote_write_v1,
    };
    let answer = match version {
        Ok(_) => distributor.0.answer(protocol, Hints::default(), request).await,
        Err(refusal) => Answer { refusal: Some(refusal), ..Answer::default() },
    };
    let written = answer.written;
    let mut response = distributor.0.respond(protocol, answer);
    if protocol == Protocol::remote_write_v2 {
        written.put(response.headers_mut());
    }
    response
}

/// Shows a tenant its own clusters only.
async fn ha_tracker(State(distributor): State<Distributor>, request: Request) -> Response {
    let Some(tenant) = request.extensions().get::<TenantId>() else {
        return (http::StatusCode::UNAUTHORIZED, "no org id\n").into_response();
    };
    crate::ha::show(&distributor.0.ha, tenant, request.headers())
}

async fn loki_push(State(distributor): State<Distributor>, request: Request) -> Response {
    let protocol = headers::loki_protocol(request.headers());
    let answer = distributor.0.answer(protocol, Hints::default(), request).await;
    distributor.0.respond(protocol, answer)
}

async fn otlp_logs(State(distributor): State<Distributor>, request: Request) -> Response {
    let this = &distributor.0;
    let (protocol, answer) = match headers::otlp_protocol(request.headers()) {
        Ok(protocol) => (protocol, this.answer(protocol, Hints::default(), request).await),
        Err(refusal) => {
            let answer = Answer { refusal: Some(refusal), ..Answer::default() };
            (Protocol::otlp_protobuf, answer)
        }
    };
    let response = match &answer.refusal {
        None => http::StatusCode::NO_CONTENT.into_response(),
        Some(refusal) => otlp::answer::refused(protocol, refusal),
    };
    this.note(protocol, answer.refusal.as_ref().map(|r| r.id), &response);
    response
}

async fn bulk(State(distributor): State<Distributor>, request: Request) -> Response {
    let this = &distributor.0;
    let protocol = Protocol::elasticsearch_bulk;
    let path = request.uri().path();
    let index = path.strip_suffix("/_bulk").unwrap_or_default().trim_start_matches('/');
    let hints = Hints { index: index.to_owned(), ..Hints::default() };
    let answer = this.answer(protocol, hints, request).await;
    let reason = answer.refusal.as_ref().map(|r| r.id);
    let response = match (&answer.bulk, &answer.refusal) {
        (Some(bulk), _) => elastic::answer::bulk(bulk, &format!("{:016x}-", this.rng.next_u64())),
        (None, Some(refusal)) => elastic::answer::refused(refusal),
        // Every bulk request that was read has items.
        (None, None) => elastic::answer::json(http::StatusCode::OK, "{}".to_owned()),
    };
    this.note(protocol, reason, &response);
    response
}

async fn lines(State(distributor): State<Distributor>, request: Request) -> Response {
    let protocol = Protocol::json_lines;
    let (head, body) = request.into_parts();
    let answer = match json_lines::shape_of(&head) {
        Ok(shape) => {
            let hints = Hints { shape, ..Hints::default() };
            let request = Request::from_parts(head, body);
            distributor.0.answer(protocol, hints, request).await
        }
        Err(why) => Answer { refusal: Some(Refusal::malformed(why)), ..Answer::default() },
    };
    distributor.0.respond(protocol, answer)
}

async fn audit(State(distributor): State<Distributor>, request: Request) -> Response {
    let this = &distributor.0;
    let protocol = Protocol::kubernetes_audit;
    let mut answer = this.answer(protocol, Hints::default(), request).await;
    let is_partial = |r: &Refusal| r.id == PARTIAL && !r.is_retryable();
    if let Some(partial) = answer.refusal.take_if(|r| is_partial(r)) {
        // The API server repeats whatever is no success, and the rest is stored.
        let response = (http::StatusCode::OK, partial.body).into_response();
        this.note(protocol, Some(partial.id), &response);
        return response;
    }
    this.respond(protocol, answer)
}
