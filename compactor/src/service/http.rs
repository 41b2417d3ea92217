//! `POST /compact` and `GET /compactor/retention`.

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use skald_model::{Chain, TenantId};

use super::Compactor;

impl Compactor {
    /// For administrators: `POST /compact` answers 200 with a [`Report`](super::Report) as JSON once everything is
    /// compacted; `GET /compactor/retention?tenant=…` a [`Retention`](super::Retention).
    pub fn router(&self) -> axum::Router {
        axum::Router::new()
            .route("/compact", post(compact))
            .route("/compactor/retention", get(retention))
            .with_state(self.clone())
    }
}

async fn compact(State(compactor): State<Compactor>) -> Response {
    // A task of its own: a caller who gives up does not undo the work.
    let work = skald_runtime::spawn("compact", async move { compactor.compact_all().await });
    match work.await {
        Ok(Ok(report)) => json(&report),
        Ok(Err(err)) => failed(Chain(&err).to_string()),
        Err(err) => failed(err.to_string()),
    }
}

async fn retention(State(compactor): State<Compactor>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    // Names of tenants need no escaping.
    let named = query.split('&').find_map(|pair| pair.strip_prefix("tenant="));
    let tenant = match TenantId::parse(named.unwrap_or("")) {
        Ok(tenant) => tenant,
        Err(err) => return (StatusCode::BAD_REQUEST, format!("tenant: {err}\n")).into_response(),
    };
    match compactor.retention(&tenant).await {
        Ok(retention) => json(&retention),
        Err(err) => failed(Chain(&err).to_string()),
    }
}

fn json(answer: &impl Serialize) -> Response {
    match serde_json::to_string(answer) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(err) => failed(err.to_string()),
    }
}

fn failed(message: String) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
}
