//! Requests to delete samples, as Prometheus's admin API takes them; and how to list and withdraw them,
//! as Cortex's did. They are kept in the tenant's manifest log, hide samples from everything that is
//! read at once, and compactors carry them out when nobody can withdraw them any more.

use http::StatusCode;
use skald_catalog::{DeleteRequest, Signal, bound_ns};
use skald_promql::syntax;

use super::{Notes, optional_time, success};
use crate::deletes::{count, requests};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::json::Json;
use crate::{Error, Querier};

/// `delete_series`: one request for each `match[]`.
pub(super) async fn add(querier: Querier, call: Call) -> Result<Answer, Error> {
    requests::check_allowed(&call.scope)?;
    let wanted = read(&call, querier.now_ms())?;
    if count::is_dry_run(&call)? {
        let mut all = Vec::with_capacity(wanted.len());
        for request in wanted {
            let touched = count::samples(&querier, &call, &request).await?;
            all.push((request.query, touched));
        }
        return Ok(success(256 * all.len(), Notes::default(), move |json| {
            json.raw("[");
            let mut first = true;
            for (selector, touched) in &all {
                json.sep(&mut first).raw(r#"{"selector":"#).string(selector);
                json.raw(r#","series":"#).uint(touched.series);
                json.raw(r#","samples":"#).uint(touched.rows);
                json.raw(r#","blocks":"#).uint(touched.blocks).raw("}");
            }
            json.raw("]");
        }));
    }
    if !wanted.is_empty() {
        requests::add(&querier, &call, wanted).await?;
    }
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

pub(super) async fn list(querier: Querier, call: Call) -> Result<Answer, Error> {
    requests::check_allowed(&call.scope)?;
    let what = |json: &mut Json, request: &DeleteRequest| {
        json.raw(r#""selectors":["#).string(&request.query).raw("]");
    };
    requests::list(&querier, &call.scope, Signal::Metrics, what).await
}

pub(super) async fn cancel(querier: Querier, call: Call) -> Result<Answer, Error> {
    requests::check_allowed(&call.scope)?;
    requests::cancel(&querier, &call, Signal::Metrics).await
}

/// `clean_tombstones`: there is nothing to hurry. Compactors delete what is due on their own.
pub(super) async fn clean(_: Querier, call: Call) -> Result<Answer, Error> {
    requests::check_allowed(&call.scope)?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

/// Checks what a client wants deleted. As in Prometheus the selectors may be empty, and a range in which
/// nothing lies is no error.
fn read(call: &Call, now_ms: i64) -> Result<Vec<DeleteRequest>, Error> {
    let params = &call.params;
    if params.all("match[]").next().is_none() {
        return Err(Error::Invalid("no match[] parameter provided".to_owned()));
    }
    let start_ns = optional_time(params, "start")?.map_or(i64::MIN, bound_ns);
    // What is to come is not there to be deleted.
    let end_ms = optional_time(params, "end")?.unwrap_or(now_ms).min(now_ms);
    let mut wanted = Vec::new();
    for text in params.all("match[]") {
        requests::check_length(text)?;
        syntax::parse_selector(text).map_err(|e| Error::parameter("match[]", e))?;
        wanted.push(DeleteRequest {
            query: text.to_owned(),
            start_ns,
            end_ns: bound_ns(end_ms),
            created_ms: now_ms,
            signal: Signal::Metrics.into(),
            ..DeleteRequest::default()
        });
    }
    wanted.retain(|request| request.start_ns <= request.end_ns);
    Ok(wanted)
}
