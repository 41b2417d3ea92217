//! A tenant's elected replicas as JSON, and that JSON as a page.

use std::fmt::Write;

use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use skald_model::TenantId;
use skald_runtime::html::escaped;

use super::Tracker;

/// The page for browsers, JSON for others.
pub(crate) fn show(tracker: &Tracker, tenant: &TenantId, headers: &HeaderMap) -> Response {
    let clusters = tracker.of(tenant).into_iter().map(|(record, heard_ms)| {
        json!({
            "cluster": record.cluster, "replica": record.replica,
            "elected_ms": record.elected_ms, "seen_ms": record.seen_ms, "heard_ms": heard_ms,
        })
    });
    let clusters: Vec<Value> = clusters.collect();
    let json =
        json!({"tenant": tenant.as_str(), "trouble": tracker.trouble(), "clusters": clusters});
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return Html(html(&json)).into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response()
}

fn html(json: &Value) -> String {
    let text = |v: &Value| match v {
        Value::String(s) => escaped(s),
        other => escaped(&other.to_string()),
    };
    let mut out = skald_runtime::html::head("Skald HA tracker");
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<h1>Elected replicas</h1><p>tenant {} {}</p>",
        text(&json["tenant"]),
        text(&json["trouble"])
    );
    out.push_str("<table><tr><th>cluster<th>replica<th>elected (ms)<th>heard (ms)</tr>");
    for c in json["clusters"].as_array().into_iter().flatten() {
        out.push_str("<tr>");
        for key in ["cluster", "replica", "elected_ms", "heard_ms"] {
            let _ = write!(out, "<td>{}", text(&c[key]));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></html>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_text_on_the_page() {
        let page = html(&json!({"clusters": [{"cluster": "<script>", "replica": "a&b"}]}));
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
        assert!(page.contains("a&amp;b"));
    }
}
