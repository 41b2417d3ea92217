//! `POST /compact`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use skald_model::Chain;

use super::Compactor;

impl Compactor {
    /// `POST /compact`: answers 200 with a [`Report`](super::Report) as JSON once everything is compacted. For administrators.
    pub fn router(&self) -> axum::Router {
        axum::Router::new().route("/compact", post(compact)).with_state(self.clone())
    }
}

async fn compact(State(compactor): State<Compactor>) -> Response {
    // A task of its own: a caller who gives up does not undo the work.
    let work = skald_runtime::spawn("compact", async move { compactor.compact_all().await });
    let failed = |message: String| (StatusCode::INTERNAL_SERVER_ERROR, message).into_response();
    match work.await {
        Ok(Ok(report)) => match serde_json::to_string(&report) {
            Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            Err(err) => failed(err.to_string()),
        },
        Ok(Err(err)) => failed(Chain(&err).to_string()),
        Err(err) => failed(err.to_string()),
    }
}
