//! `query_range`, `query` and `format_query`.

use std::time::Duration;

use http::HeaderMap;
use skald_logql::{
    Direction, Engine, EngineOptions, EntrySource, Expr, InstantParams, QueryError, QueryResult,
    RangeParams, Value,
};
use tokio::time::Instant;

use super::page::{self, Paging};
use super::result::{Cost, Form, write};
use super::{Bounds, NS_PER_S, count, nanos, parse_time, source};
use crate::http::params::Params;
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::scope::Scope;
use crate::{Error, Querier};

pub(super) const DEFAULT_LIMIT: usize = 100;
/// Points of a range query that does not name its step.
const DEFAULT_POINTS: i64 = 250;

pub(super) async fn range(querier: Querier, call: Call) -> Result<Answer, Error> {
    let params = &call.params;
    let bounds = Bounds::of(params, querier.now_ns())?;
    let length = bounds.end.saturating_sub(bounds.start);
    check_length(&call.scope, length)?;
    let step_ns = step_ns(params, bounds)?;
    let request = RangeParams {
        query: query_text(params)?,
        start_ns: bounds.start,
        end_ns: bounds.end,
        step_ns,
        interval_ns: interval_ns(params)?,
        limit: count(params, "limit", DEFAULT_LIMIT)?,
        direction: direction(params, Direction::Backward)?,
    };
    let source = source(&querier, &call.scope).await?;
    let begun = Instant::now();
    if let Some(paging) = Paging::of(params, &request)? {
        let page = page::read(&call.scope, source.as_ref(), &request, paging).await?;
        return Ok(answer(call, page.result, page.next_cursor, begun.elapsed()));
    }
    let result = if is_drilldown(&call.headers) {
        partial(&call.scope, source.as_ref(), &request).await?
    } else {
        engine(&call.scope).query_range(source.as_ref(), &request).await.map_err(of_engine)?
    };
    Ok(answer(call, result, None, begun.elapsed()))
}

/// Lines that are nearer to each other than this are left out.
pub(super) fn interval_ns(params: &Params) -> Result<i64, Error> {
    let Some(text) = params.get("interval") else { return Ok(0) };
    match nanos("interval", text)? {
        ns if ns < 0 => Err(Error::Invalid("interval must be >= 0".to_owned())),
        ns => Ok(ns),
    }
}

/// Whether Grafana's Logs Drilldown asks. It shows some series with a warning rather than none.
fn is_drilldown(headers: &HeaderMap) -> bool {
    headers.get_all("x-query-tags").iter().filter_map(|v| v.to_str().ok()).any(|tags| {
        tags.split(',').any(|t| t.trim().eq_ignore_ascii_case("source=grafana-lokiexplore-app"))
    })
}

/// As many series as the tenant may have, with a warning if there are more.
async fn partial(
    scope: &Scope,
    source: &dyn EntrySource,
    request: &RangeParams,
) -> Result<QueryResult, Error> {
    let most = scope.limits.max_query_series;
    let options = EngineOptions { max_series: usize::MAX, ..options(scope) };
    let result = Engine::new(options).query_range(source, request).await;
    let mut result = result.map_err(of_engine)?;
    if let Value::Matrix(series) = &mut result.value
        && most > 0
        && series.len() > most
    {
        series.truncate(most);
        result.warnings.push(format!(
            "maximum number of series ({most}) reached for a single query; returning partial results"
        ));
    }
    Ok(result)
}

/// The distance of steps; the default gives about 250 of them.
pub(super) fn step_ns(params: &Params, bounds: Bounds) -> Result<i64, Error> {
    let length = bounds.end.saturating_sub(bounds.start);
    let step_ns = match params.get("step") {
        Some(text) => nanos("step", text)?,
        None => (length / NS_PER_S / DEFAULT_POINTS).max(1) * NS_PER_S,
    };
    if step_ns <= 0 {
        return Err(Error::Invalid(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
                .to_owned(),
        ));
    }
    Ok(step_ns)
}

pub(super) async fn instant(querier: Querier, call: Call) -> Result<Answer, Error> {
    let params = &call.params;
    let time_ns = match params.get("time") {
        Some(text) => parse_time("time", text)?,
        None => querier.now_ns(),
    };
    count(params, "limit", DEFAULT_LIMIT)?;
    direction(params, Direction::Backward)?;
    let request = InstantParams { query: query_text(params)?, time_ns };
    let source = source(&querier, &call.scope).await?;
    let begun = Instant::now();
    let result =
        engine(&call.scope).query_instant(source.as_ref(), &request).await.map_err(of_engine)?;
    Ok(answer(call, result, None, begun.elapsed()))
}

pub(super) async fn format(_: Querier, call: Call) -> Result<Answer, Error> {
    let expr: Expr = skald_logql::parse(&query_text(&call.params)?)
        .map_err(|e| Error::Invalid(e.to_string()))?;
    let text = expr.to_string();
    Ok(Answer::json(text.len() + 64, move |json| {
        json.raw(r#"{"status":"success","data":"#).string(&text).raw("}");
    }))
}

fn answer(
    call: Call,
    mut result: QueryResult,
    next_cursor: Option<String>,
    elapsed: Duration,
) -> Answer {
    let categorize = categorizes(&call.headers);
    let cost = Cost::of(&call, elapsed);
    result.warnings.extend(call.scope.partial.warnings());
    write(result, cost, Form { categorize, next_cursor })
}

/// Whether the client wants stream labels, structured metadata and parsed labels apart.
pub(super) fn categorizes(headers: &HeaderMap) -> bool {
    headers.get_all("x-loki-response-encoding-flags").iter().any(|flags| {
        let flags = flags.to_str().unwrap_or("");
        flags.split(',').any(|f| f.trim() == "categorize-labels")
    })
}

pub(super) fn engine(scope: &Scope) -> Engine {
    Engine::new(options(scope))
}

/// The tenant's limits in the engine's terms.
pub(super) fn options(scope: &Scope) -> EngineOptions {
    let limits = &scope.limits;
    let or_max = |n: usize| if n == 0 { usize::MAX } else { n };
    EngineOptions {
        max_series: or_max(limits.max_query_series),
        max_entries: or_max(limits.max_entries_limit_per_query),
        max_line_bytes: or_max(usize::try_from(limits.max_query_memory.0).unwrap_or(usize::MAX)),
        max_samples: or_max(limits.max_samples_per_query),
        ..EngineOptions::default()
    }
}

pub(super) fn query_text(params: &Params) -> Result<String, Error> {
    let missing = || Error::Invalid("parse error : syntax error: unexpected $end".to_owned());
    params.get("query").map(str::to_owned).ok_or_else(missing)
}

pub(super) fn direction(params: &Params, absent: Direction) -> Result<Direction, Error> {
    match params.get("direction") {
        None => Ok(absent),
        Some(d) if d.eq_ignore_ascii_case("backward") => Ok(Direction::Backward),
        Some(d) if d.eq_ignore_ascii_case("forward") => Ok(Direction::Forward),
        Some(other) => Err(Error::Invalid(format!("invalid direction '{other}'"))),
    }
}

pub(super) fn check_length(scope: &Scope, length_ns: i64) -> Result<(), Error> {
    let limit = scope.limits.max_query_length;
    if limit.is_zero() || length_ns <= limit.as_nanos() {
        return Ok(());
    }
    let length = skald_runtime::HumanDuration(Duration::from_nanos(length_ns.unsigned_abs()));
    Err(Error::Limit(format!(
        "the query time range exceeds the limit (query length: {length}, limit: {limit}) \
         (err-skald-max-query-length); to adjust, set max_query_length"
    )))
}

pub(super) fn of_engine(e: QueryError) -> Error {
    let text = e.to_string();
    match e {
        QueryError::Parse(_) | QueryError::Invalid(_) | QueryError::Pipeline(_) => {
            Error::Invalid(text)
        }
        QueryError::Limit(_) => Error::Limit(text),
        QueryError::Source(source) => Error::of_kind(source.kind, source.message),
        QueryError::Cancelled => Error::Canceled,
        QueryError::Internal(_) => Error::Internal(text),
    }
}
