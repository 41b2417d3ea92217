//! `delete`: requests to delete lines. They are kept in the tenant's manifest log, hide lines from
//! queries at once, and compactors carry them out when nobody can withdraw them any more.

use http::{Method, StatusCode};
use skald_catalog::{DeleteRequest, Signal};
use skald_logql::Selection;

use super::nanos;
use crate::deletes::{count, requests};
use crate::http::params::Params;
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::http::time;
use crate::{Error, Querier};

const NS_PER_MS: i64 = 1_000_000;

/// The methods of the route.
pub(super) async fn requests(querier: Querier, call: Call) -> Result<Answer, Error> {
    requests::check_allowed(&call.scope)?;
    match call.method {
        Method::PUT | Method::POST => add(querier, call).await,
        Method::DELETE => requests::cancel(&querier, &call, Signal::Logs).await,
        Method::GET | Method::HEAD => {
            let what = |json: &mut crate::json::Json, request: &DeleteRequest| {
                json.raw(r#""query":"#).html_string(&request.query);
            };
            requests::list(&querier, &call.scope, Signal::Logs, what).await
        }
        other => {
            Err(Error::Invalid(format!("no method {other} here, but GET, POST, PUT and DELETE")))
        }
    }
}

async fn add(querier: Querier, call: Call) -> Result<Answer, Error> {
    let request = read(&call.params, querier.now_ms())?;
    if count::is_dry_run(&call)? {
        let touched = count::lines(&querier, &call, &request).await?;
        return Ok(Answer::json(256, move |json| {
            json.raw(r#"{"status":"success","data":{"query":"#).html_string(&request.query);
            json.raw(r#","streams":"#).uint(touched.series);
            json.raw(r#","lines":"#).uint(touched.rows);
            json.raw(r#","bytes":"#).uint(touched.bytes);
            json.raw(r#","blocks":"#).uint(touched.blocks).raw("}}");
        }));
    }
    requests::add(&querier, &call, vec![request]).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

/// Checks what a client wants deleted.
fn read(params: &Params, now_ms: i64) -> Result<DeleteRequest, Error> {
    let invalid = |text: &str| Error::Invalid(text.to_owned());
    let query = params.get("query").ok_or_else(|| invalid("query not set"))?;
    requests::check_length(query)?;
    Selection::parse(query).map_err(|e| Error::Invalid(e.to_string()))?;
    let start = params.get("start").ok_or_else(|| invalid("start time not set"))?;
    let start_ns = at(start)
        .ok_or_else(|| invalid("invalid start time: require unix seconds or RFC3339 format"))?;
    let now_ns = now_ms.saturating_mul(NS_PER_MS);
    let end_ns = match params.get("end") {
        Some(end) => at(end)
            .ok_or_else(|| invalid("invalid end time: require unix seconds or RFC3339 format"))?,
        None => now_ns,
    };
    if end_ns > now_ns {
        return Err(invalid("deletes in the future are not allowed"));
    }
    if start_ns >= end_ns {
        return Err(invalid("start time can't be greater than or equal to end time"));
    }
    if let Some(text) = params.get("max_interval") {
        let ns = nanos("max_interval", text);
        let ns = ns
            .ok()
            .filter(|ns| *ns >= super::NS_PER_S)
            .ok_or_else(|| invalid("invalid max_interval: valid time units are 's', 'm', 'h'"))?;
        // Blocks are the units of work here; the interval is only checked.
        if ns > end_ns.saturating_sub(start_ns) {
            return Err(invalid("max_interval can't be greater than the interval to be deleted"));
        }
    }
    let query = query.to_owned();
    Ok(DeleteRequest { query, start_ns, end_ns, created_ms: now_ms, ..DeleteRequest::default() })
}

fn at(text: &str) -> Option<i64> {
    time::loki_time(text)
}
