//! What operators see and do of the cluster: `/cluster`, `/drain`, and the hook that Kubernetes controllers call
//! before they take a pod away.

pub(crate) mod metrics;
mod page;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use skald_coord::{Cluster, DrainError};
use skald_model::Chain;
use skald_ring::PartitionState;

/// The cluster of this process, with the partition of its ingester.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) cluster: Cluster,
    pub(crate) partition: Option<u32>,
}

/// `/cluster`, `/drain`, `/ingester/prepare-downscale`.
pub(crate) fn router(seat: Seat) -> Router {
    Router::new()
        .route("/cluster", get(show))
        .route("/drain", post(drain).delete(undrain))
        .route("/ingester/prepare-downscale", get(prepared).post(prepare).delete(unprepare))
        .with_state(seat)
}

async fn show(State(seat): State<Seat>, headers: HeaderMap) -> Response {
    let picture = seat.cluster.picture();
    let json = page::json(&seat.cluster, &picture);
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        Html(page::html(&json)).into_response()
    } else {
        Json(json).into_response()
    }
}

/// JSON as a body.
struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0.to_string()).into_response()
    }
}

#[derive(Debug, Deserialize)]
struct Which {
    partition: Option<u32>,
}

impl Seat {
    /// The partition that was named, or the one of this process.
    fn which(&self, which: &Which) -> Result<u32, (StatusCode, &'static str)> {
        let message = "no ingester in this process: name a partition (?partition=N)\n";
        which.partition.or(self.partition).ok_or((StatusCode::BAD_REQUEST, message))
    }
}

async fn drain(State(seat): State<Seat>, Query(which): Query<Which>) -> Response {
    match seat.which(&which) {
        Ok(n) => answer(n, seat.cluster.drain(n).await),
        Err(refused) => refused.into_response(),
    }
}

async fn undrain(State(seat): State<Seat>, Query(which): Query<Which>) -> Response {
    match seat.which(&which) {
        Ok(n) => answer(n, seat.cluster.undrain(n).await),
        Err(refused) => refused.into_response(),
    }
}

fn answer(n: u32, done: Result<PartitionState, DrainError>) -> Response {
    match done {
        Ok(state) => Json(json!({"partition": n, "state": state})).into_response(),
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &DrainError) -> Response {
    let status = match error {
        DrainError::Unknown(_) => StatusCode::NOT_FOUND,
        DrainError::LastActive(_) | DrainError::State { .. } | DrainError::Conflict(_) => {
            StatusCode::CONFLICT
        }
        DrainError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("err-skald-drain: {}\n", Chain(error))).into_response()
}

// --- before a pod goes: 200 once it may ---

async fn prepare(State(seat): State<Seat>) -> Response {
    let n = match seat.which(&Which { partition: None }) {
        Ok(n) => n,
        Err(refused) => return refused.into_response(),
    };
    match seat.cluster.drain(n).await {
        Ok(PartitionState::Removed) => {
            Json(prepared_json(n, PartitionState::Removed)).into_response()
        }
        // The controller asks again until all is in the store.
        Ok(state) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(prepared_json(n, state))).into_response()
        }
        Err(error) => refusal(&error),
    }
}

async fn unprepare(State(seat): State<Seat>) -> Response {
    undrain(State(seat), Query(Which { partition: None })).await
}

async fn prepared(State(seat): State<Seat>) -> Response {
    let n = match seat.which(&Which { partition: None }) {
        Ok(n) => n,
        Err(refused) => return refused.into_response(),
    };
    let picture = seat.cluster.picture();
    match picture.partitions.get(&n) {
        Some(at) => Json(prepared_json(n, at.record.state)).into_response(),
        None => refusal(&DrainError::Unknown(n)),
    }
}

fn prepared_json(n: u32, state: PartitionState) -> Value {
    let prepared = state == PartitionState::Removed;
    json!({"partition": n, "state": state, "prepared": prepared})
}
