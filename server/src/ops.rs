//! What operators ask: is it ready, alive, what does it count, how is it configured, flush now.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::RwLock;
use serde::Deserialize;
use skald_model::Chain;
use skald_rpc::IngesterApi;
use tracing::error;

use crate::config::Config;
use crate::process_metrics;
use crate::registries::Registries;

/// Why the process does not serve, or that it does.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(Arc<RwLock<Option<&'static str>>>);

/// What the operational routes need.
#[derive(Debug, Clone)]
pub(crate) struct Ops {
    pub(crate) readiness: Readiness,
    pub(crate) registries: Registries,
    pub(crate) config: Arc<Config>,
    /// The ingester of this process, if there is one, from before its log is read.
    pub(crate) ingester: LateIngester,
}

/// Set when the roles are there.
pub(crate) type LateIngester = Arc<OnceLock<Arc<dyn IngesterApi>>>;

impl Readiness {
    pub(crate) fn starting() -> Self {
        Self(Arc::new(RwLock::new(Some("starting"))))
    }

    pub(crate) fn set_ready(&self) {
        *self.0.write() = None;
    }

    pub(crate) fn set_not_ready(&self, why: &'static str) {
        *self.0.write() = Some(why);
    }
}

/// `/ready`, `/livez`, `/metrics`, `/config`, `POST /flush`.
pub(crate) fn router(ops: Ops) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/readyz", get(ready))
        .route("/livez", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/flush", post(flush))
        .with_state(ops)
}

async fn ready(State(ops): State<Ops>) -> Response {
    match *ops.readiness.0.read() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(ops): State<Ops>) -> Response {
    let Ok(mut text) = ops.registries.encode() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    process_metrics::append(&mut text);
    text.push_str("# EOF\n");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[derive(Debug, Deserialize)]
struct ConfigQuery {
    mode: Option<String>,
}

async fn config(State(ops): State<Ops>, Query(query): Query<ConfigQuery>) -> Response {
    let text = |c: &Config| c.to_yaml().unwrap_or_default();
    let body = match query.mode.as_deref() {
        None => text(&ops.config),
        Some("defaults") => text(&Config::default()),
        Some("diff") => diff(&text(&Config::default()), &text(&ops.config)),
        Some(_) => {
            let message = "mode is one of: defaults, diff\n";
            return (StatusCode::BAD_REQUEST, message).into_response();
        }
    };
    ([(header::CONTENT_TYPE, "application/yaml")], body).into_response()
}

/// The lines of `now` that differ from the defaults, under their section headings.
fn diff(defaults: &str, now: &str) -> String {
    let mut out = String::new();
    let mut headings: Vec<&str> = Vec::new();
    let mut section = Vec::new();
    let known: std::collections::HashSet<(Vec<&str>, &str)> = lines_with_sections(defaults);
    for line in now.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        section.truncate(depth);
        if !known.contains(&(section.clone(), line)) {
            for heading in section.iter().filter(|h| !headings.contains(h)) {
                out.push_str(heading);
                out.push('\n');
            }
            headings.clone_from(&section);
            out.push_str(line);
            out.push('\n');
        }
        section.push(line);
    }
    out
}

fn lines_with_sections(text: &str) -> std::collections::HashSet<(Vec<&str>, &str)> {
    let mut section: Vec<&str> = Vec::new();
    let mut out = std::collections::HashSet::new();
    for line in text.lines() {
        section.truncate((line.len() - line.trim_start().len()) / 2);
        out.insert((section.clone(), line));
        section.push(line);
    }
    out
}

async fn flush(State(ops): State<Ops>) -> Response {
    let Some(ingester) = ops.ingester.get() else {
        return (StatusCode::NOT_FOUND, "no ingester in this process\n").into_response();
    };
    match ingester.flush(0).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            error!(error = %Chain(&error), "flush on request failed");
            let status = skald_rpc::status::of(error.kind()).http;
            (status, format!("{error}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_shows_changed_keys_under_their_sections() {
        let defaults = "a: 1\nlimits:\n  rate: 0\n  burst: 0\nz: 1\n";
        let now = "a: 1\nlimits:\n  rate: 5\n  burst: 0\nz: 2\n";
        assert_eq!(diff(defaults, now), "limits:\n  rate: 5\nz: 2\n");
        assert_eq!(diff(now, now), "");
    }
}
