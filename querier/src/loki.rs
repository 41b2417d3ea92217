//! The Loki HTTP API: routes, and what its handlers share.

mod counted;
mod delete;
mod explain;
mod export;
mod fields;
mod labels;
mod page;
mod patterns;
mod query;
mod result;
mod stats;
mod status;
mod tail;

use axum::Router;
use axum::routing::get;
use skald_logql::EntrySource;
use skald_model::{Matcher, TimeRange};

use crate::http::params::Params;
use crate::http::reply::Api;
use crate::http::route::{Class, Route};
use crate::http::time;
use crate::scope::Scope;
use crate::source::shown;
use crate::{Error, Querier};

/// Routes below `/loki/api/v1`.
///
/// Every request must carry an `Extension<TenantId>`; without one the answer is 401.
pub fn loki_router() -> Router<Querier> {
    let reads = |op| Route { api: Api::Loki, op, class: Class::Reads };
    let cheap = |op| Route { api: Api::Loki, op, class: Class::Cheap };
    let at = |path: &str| format!("/loki/api/v1/{path}");
    Router::new()
        .route(&at("query_range"), reads("loki_query_range").get_or_post(query::range))
        .route(&at("query"), reads("loki_query").get_or_post(query::instant))
        .route(&at("explain"), reads("loki_explain").get_or_post(explain::explain))
        .route(&at("export"), reads("loki_export").get_or_post(export::export))
        .route(&at("labels"), reads("loki_labels").get_or_post(labels::names))
        .route(&at("label"), reads("loki_labels").get_or_post(labels::names))
        .route(&at("label/{name}/values"), reads("loki_label_values").get_or_post(labels::values))
        .route(&at("series"), reads("loki_series").get_or_post(labels::series))
        .route(&at("index/stats"), reads("loki_index_stats").get_or_post(stats::stats))
        .route(&at("index/volume"), reads("loki_volume").get_or_post(stats::volume))
        .route(&at("index/volume_range"), reads("loki_volume_range").get_or_post(stats::volumes))
        .route(&at("detected_fields"), reads("loki_detected_fields").get_or_post(fields::detected))
        .route(
            &at("detected_field/{name}/values"),
            reads("loki_detected_field_values").get_or_post(fields::values),
        )
        .route(&at("detected_labels"), reads("loki_detected_labels").get_or_post(labels::detected))
        .route(&at("delete"), cheap("loki_delete").any(delete::requests))
        .route(&at("patterns"), reads("loki_patterns").get_or_post(patterns::patterns))
        .route(&at("format_query"), cheap("loki_format_query").get_or_post(query::format))
        .route(&at("drilldown-limits"), cheap("loki_limits").get(status::drilldown_limits))
        .route("/config/tenant/v1/limits", cheap("loki_limits").get(status::drilldown_limits))
        .route(&at("status/buildinfo"), cheap("loki_buildinfo").get(status::buildinfo))
        .route(&at("tail"), get(tail::tail))
}

/// The entries that queries of the request may show.
async fn source(querier: &Querier, scope: &Scope) -> Result<Box<dyn EntrySource>, Error> {
    shown(querier.fanout(), scope).await
}

const NS_PER_S: i64 = 1_000_000_000;

/// `start` and `end` of a request, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    start: i64,
    end: i64,
}

// === impl Bounds ===

impl Bounds {
    /// Reads `start`, `end` and `since`; the default is the last hour.
    fn of(params: &Params, now_ns: i64) -> Result<Self, Error> {
        let end = match params.get("end") {
            Some(text) => parse_time("end", text)?,
            None => now_ns,
        };
        let since = match params.get("since") {
            Some(text) => nanos("since", text)?,
            None => 3600 * NS_PER_S,
        };
        let start = match params.get("start") {
            Some(text) => parse_time("start", text)?,
            None => end.min(now_ns).saturating_sub(since),
        };
        if end < start {
            let text = "end timestamp must not be before or equal to start time";
            return Err(Error::Invalid(text.to_owned()));
        }
        Ok(Self { start, end })
    }

    /// With the end included, for requests about streams.
    fn inclusive(self) -> TimeRange {
        TimeRange::new(self.start, self.end.saturating_add(1))
    }
}

fn parse_time(name: &str, text: &str) -> Result<i64, Error> {
    time::loki_time(text)
        .ok_or_else(|| Error::Invalid(format!("could not parse '{name}' parameter: {text:?}")))
}

/// A duration parameter in nanoseconds.
fn nanos(name: &str, text: &str) -> Result<i64, Error> {
    time::duration_ms(text)
        .and_then(|ms| ms.checked_mul(1_000_000))
        .ok_or_else(|| Error::Invalid(format!("could not parse '{name}' parameter: {text:?}")))
}

/// A positive integer parameter.
fn count(params: &Params, name: &str, absent: usize) -> Result<usize, Error> {
    let Some(text) = params.get(name) else { return Ok(absent) };
    let bad = || Error::Invalid(format!("could not parse '{name}' parameter: {text:?}"));
    let n: i64 = text.parse().map_err(|_| bad())?;
    match usize::try_from(n) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(Error::Invalid(format!("{name} must be a positive value"))),
    }
}

/// A selector that must select something by content.
fn selector(text: &str) -> Result<Vec<Matcher>, Error> {
    let matchers = skald_logql::parse_selector(text).map_err(|e| Error::Invalid(e.to_string()))?;
    skald_logql::check_selector(&matchers).map_err(|e| Error::Invalid(e.to_string()))?;
    Ok(matchers)
}
