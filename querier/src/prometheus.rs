//! The Prometheus HTTP API: routes, and what its handlers share.

mod delete;
mod exemplars;
mod labels;
mod language;
mod metadata;
mod name;
mod query;
mod read;
mod result;
mod status;
mod tree;

use axum::Router;
use axum::routing::any;
use http::StatusCode;
use skald_model::{Matcher, TimeRange};

use crate::http::body::PIECE;
use crate::http::cors;
use crate::http::params::Params;
use crate::http::reply::{Answer, Api};
use crate::http::route::{Class, Route};
use crate::http::time;
use crate::json::Json;
use crate::{Error, Querier};

/// Routes below `/api/v1`, to be mounted at `/` and at `/prometheus`.
///
/// Every request must carry an `Extension<TenantId>`; without one the answer is 401.
pub fn prometheus_router() -> Router<Querier> {
    let reads = |op| Route { api: Api::Prometheus, op, class: Class::Reads };
    let cheap = |op| Route { api: Api::Prometheus, op, class: Class::Cheap };
    Router::new()
        .route("/api/v1/query", reads("query").get_or_post(query::instant))
        .route("/api/v1/query_range", reads("query_range").get_or_post(query::range))
        .route("/api/v1/query_exemplars", reads("query_exemplars").get_or_post(exemplars::query))
        .route("/api/v1/format_query", cheap("format_query").get_or_post(language::format))
        .route("/api/v1/parse_query", cheap("parse_query").get_or_post(language::tree))
        .route("/api/v1/labels", reads("labels").get_or_post(labels::names))
        .route("/api/v1/label/{name}/values", reads("label_values").get(labels::values))
        .route("/api/v1/series", reads("series").get_or_post(labels::series))
        .route("/api/v1/metadata", reads("metadata").get(metadata::get))
        .route("/api/v1/read", reads("remote_read").post(read::read))
        .route("/api/v1/rules", cheap("rules").get(status::rules))
        .route("/api/v1/alerts", cheap("alerts").get(status::alerts))
        .route(
            "/api/v1/admin/tsdb/delete_series",
            cheap("delete_series").post_or_put(delete::add).merge(cheap("delete_requests").get(delete::list)),
        )
        .route(
            "/api/v1/admin/tsdb/cancel_delete_request",
            cheap("cancel_delete_request").post_or_put(delete::cancel),
        )
        .route(
            "/api/v1/admin/tsdb/clean_tombstones",
            cheap("clean_tombstones").post_or_put(delete::clean),
        )
        .route("/api/v1/status/buildinfo", cheap("buildinfo").get(status::buildinfo))
        .route("/api/v1/user_limits", cheap("user_limits").get(status::user_limits))
        .route("/api/v1/user_stats", reads("user_stats").get(status::user_stats))
        // Its presence would make Grafana take us for Thanos.
        .route("/api/v1/status/flags", any(|| std::future::ready(StatusCode::NOT_FOUND)))
        .layer(axum::middleware::from_fn(cors::allow))
}

/// Notes that go beside the data.
#[derive(Clone, Debug, Default)]
struct Notes {
    warnings: Vec<String>,
    infos: Vec<String>,
}

const TRUNCATED: &str = "results truncated due to limit";
/// Most notes of each kind.
const MAX_NOTES: usize = 10;

/// A successful answer around `data`.
fn success(size: usize, notes: Notes, data: impl FnOnce(&mut Json) + Send + 'static) -> Answer {
    Answer::json(size + 64, move |json| {
        json.raw(r#"{"status":"success","data":"#);
        data(json);
        list_notes(json, "warnings", "warning", &notes.warnings);
        list_notes(json, "infos", "info", &notes.infos);
        json.raw("}");
    })
}

/// As [`success`], with data that is written piece by piece.
fn success_in_pieces(
    size: usize,
    notes: Notes,
    mut data: impl FnMut(&mut Json) -> bool + Send + 'static,
) -> Answer {
    let mut begun = false;
    Answer::json_pieces(size + 64, move |json| {
        if !std::mem::replace(&mut begun, true) {
            json.raw(r#"{"status":"success","data":"#);
        }
        if data(json) {
            return true;
        }
        list_notes(json, "warnings", "warning", &notes.warnings);
        list_notes(json, "infos", "info", &notes.infos);
        json.raw("}");
        false
    })
}

/// Writes a list piece by piece, and lets go of what is written.
fn pieces<T: Send + 'static>(
    items: Vec<T>,
    mut write: impl FnMut(&mut Json, &T) + Send + 'static,
) -> impl FnMut(&mut Json) -> bool + Send + 'static {
    let (mut items, mut first, mut begun) = (items.into_iter(), true, false);
    move |json| {
        if !std::mem::replace(&mut begun, true) {
            json.raw("[");
        }
        while json.len() < PIECE {
            let Some(item) = items.next() else {
                json.raw("]");
                return false;
            };
            write(json.sep(&mut first), &item);
        }
        true
    }
}

fn list_notes(json: &mut Json, key: &str, word: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    let more = notes.len().saturating_sub(MAX_NOTES);
    let rest = (more > 0).then(|| format!("{more} more {word} annotations omitted"));
    json.raw(",").key(key).strings(notes.iter().take(MAX_NOTES).chain(rest.as_ref()));
}

/// `start` and `end` of a metadata request, both inclusive and both optional, in milliseconds.
fn optional_range(params: &Params) -> Result<TimeRange, Error> {
    let bound = |name, absent| Ok::<_, Error>(optional_time(params, name)?.unwrap_or(absent));
    let (start, end) = (bound("start", i64::MIN)?, bound("end", i64::MAX)?);
    Ok(TimeRange::new(start, end.saturating_add(1)))
}

/// A time that may be absent; Prometheus names such a parameter twice.
fn optional_time(params: &Params, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let cause =
        || format!("invalid time value for '{name}': cannot parse {text:?} to a valid timestamp");
    time::prometheus_time(text).map(Some).ok_or_else(|| Error::parameter(name, cause()))
}

fn parse_time(name: &str, text: &str) -> Result<i64, Error> {
    let cause = || format!("cannot parse {text:?} to a valid timestamp");
    time::prometheus_time(text).ok_or_else(|| Error::parameter(name, cause()))
}

/// `limit`: 0 or absent means none.
fn limit_of(params: &Params) -> Result<Option<usize>, Error> {
    let Some(text) = params.get("limit") else { return Ok(None) };
    let cause = || format!("strconv.Atoi: parsing {text:?}: invalid syntax");
    let n: i64 = text.parse().map_err(|_| Error::parameter("limit", cause()))?;
    let n =
        usize::try_from(n).map_err(|_| Error::parameter("limit", "limit must be non-negative"))?;
    Ok((n > 0).then_some(n))
}

/// Cuts `items` at `limit` and says so.
fn truncate<T>(items: &mut Vec<T>, limit: Option<usize>, notes: &mut Notes) {
    if let Some(limit) = limit.filter(|l| items.len() > *l) {
        items.truncate(limit);
        notes.warnings.push(TRUNCATED.to_owned());
    }
}

/// The `match[]` parameters, parsed; each must have a matcher that does not accept the empty string.
fn match_sets(params: &Params) -> Result<Vec<Vec<Matcher>>, Error> {
    let set = |text: &str| {
        let matchers = language::selector(text).map_err(|e| Error::Invalid(e.to_string()))?;
        if matchers.iter().all(Matcher::matches_empty) {
            let cause = "match[] must contain at least one non-empty matcher";
            return Err(Error::Invalid(cause.to_owned()));
        }
        Ok(matchers)
    };
    params.all("match[]").map(set).collect()
}
