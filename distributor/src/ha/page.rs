//! A tenant's elected replicas as JSON, and that JSON as a page.

use std::fmt::Write;

use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use skald_model::TenantId;

use super::Tracker;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Skald HA tracker</title>\
<style>body{font:15px system-ui,sans-serif;margin:2em;color:#222;background:#fff}\
table{border-collapse:collapse}td,th{padding:.3em .8em;border:1px solid #ccc;text-align:left}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}}</style>\
<h1>Elected replicas</h1>";

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
    let mut out = String::from(HEAD);
    // Writing to a string cannot fail.
    let _ = write!(out, "<p>tenant {} {}</p>", text(&json["tenant"]), text(&json["trouble"]));
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

fn escaped(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
