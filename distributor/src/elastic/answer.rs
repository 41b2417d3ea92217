//! Answers in Elasticsearch's shape. Keys stand in its order: Fluent Bit looks for the bytes
//! `"errors":false,"items":[`.

use std::fmt::Write as _;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use skald_model::ErrorKind;

use super::bulk::Item;
use crate::refusal::Refusal;
use crate::rejects::{Reject, Rejects};

/// What a bulk request came to, when it was one.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    pub(crate) items: Vec<Item>,
    /// What was refused while decoding: items name these by their ids.
    pub(crate) early: Rejects,
    /// What ingesters refused, of which items is not known.
    pub(crate) late: Rejects,
    pub(crate) took_ms: u128,
}

/// A JSON answer with the header that clients look for.
pub(crate) fn json(status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    response
}

/// The answer to a request that was refused as a whole.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let reason = refusal.body.trim_end();
    let kind = kind_of(refusal.status.as_u16());
    let body = serde_json::json!({
        "error": {
            "root_cause": [{ "type": kind, "reason": reason }],
            "type": kind,
            "reason": reason,
        },
        "status": refusal.status.as_u16(),
    });
    let mut response = json(refusal.status, body.to_string());
    if let Some(secs) = refusal.retry_after_secs {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

/// A status for each document.
pub(crate) fn bulk(outcome: &Bulk, ids: &str) -> Response {
    // Which documents ingesters refused is not known, so that all that went there are sent again if
    // that may help: what is stored already is stored once.
    let late = outcome.late.iter().next();
    let has_errors = late.is_some() || outcome.items.iter().any(|i| i.refused.is_some());
    let mut body = String::with_capacity(64 + 160 * outcome.items.len());
    put(&mut body, format_args!(r#"{{"took":{},"errors":{has_errors},"items":["#, outcome.took_ms));
    for (i, item) in outcome.items.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        let reject = match item.refused {
            Some(id) => outcome.early.iter().find(|r| r.id == id),
            None => late,
        };
        put_item(&mut body, item, i, ids, reject);
    }
    body.push_str("]}");
    json(StatusCode::OK, body)
}

fn put_item(body: &mut String, item: &Item, n: usize, ids: &str, reject: Option<&Reject>) {
    let action = item.action.as_str();
    let index = quoted(&item.index);
    let id = item.id.as_ref().map_or_else(|| format!("\"{ids}{n}\""), |id| quoted(id));
    put(body, format_args!(r#"{{"{action}":{{"_index":{index},"_id":{id},"#));
    match reject {
        None => body.push_str(
            r#""_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}}"#,
        ),
        Some(reject) => {
            let status = if reject.kind == ErrorKind::LimitExceeded { 429 } else { 400 };
            let (kind, reason) = (kind_of(status), quoted(&reason_of(reject)));
            put(
                body,
                format_args!(
                    r#""status":{status},"error":{{"type":"{kind}","reason":{reason}}}}}}}"#
                ),
            );
        }
    }
}

fn reason_of(reject: &Reject) -> String {
    if reject.message.contains(&*reject.id) {
        reject.message.clone()
    } else {
        format!("{} ({})", reject.message, reject.id)
    }
}

/// The word that Elasticsearch has for a status.
fn kind_of(status: u16) -> &'static str {
    match status {
        400 => "illegal_argument_exception",
        401 => "security_exception",
        404 => "resource_not_found_exception",
        413 => "content_too_long_exception",
        415 => "media_type_header_exception",
        429 => "es_rejected_execution_exception",
        503 | 504 => "unavailable_shards_exception",
        _ => "exception",
    }
}

fn quoted(text: &str) -> String {
    // A string always has a JSON form.
    serde_json::to_string(text).unwrap_or_default()
}

fn put(body: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = body.write_fmt(text);
}
