//! The cluster as JSON, and that JSON as a page.

use std::fmt::Write;

use serde_json::{Value, json};
use skald_coord::{Cluster, Picture};
use skald_ring::Coordinator;
use skald_runtime::html::{escaped, head};

/// Everything that is known, sorted.
pub(super) fn json(cluster: &Cluster, picture: &Picture) -> Value {
    let members: Vec<Value> = picture
        .members
        .iter()
        .map(|(id, at)| {
            let m = &at.record;
            json!({
                "id": id, "zone": m.zone, "roles": m.roles, "addr": m.addr, "http": m.http,
                "version": m.version, "epoch": m.epoch, "ready": m.ready,
            })
        })
        .collect();
    let replica = |seat: &skald_coord::record::Seat| {
        let epoch = picture.epochs.get(&seat.id).map(|at| &at.record);
        let member = picture.members.get(&seat.id);
        json!({
            "id": seat.id, "zone": seat.zone, "addr": seat.addr,
            "epoch": epoch.map_or(0, |e| e.epoch),
            "rebuilding": epoch.is_some_and(|e| e.rebuilding),
            "live": member.is_some(),
            "ready": member.is_some_and(|m| m.record.ready),
            "is": standing(picture, &seat.id),
        })
    };
    let partitions: Vec<Value> = picture
        .partitions
        .iter()
        .map(|(n, at)| {
            let replicas: Vec<Value> = at.record.replicas.iter().map(replica).collect();
            json!({
                "partition": n, "state": at.record.state, "since_ms": at.record.since_ms,
                "replicas": replicas,
            })
        })
        .collect();
    json!({
        "self": cluster.id(),
        "view_version": cluster.view().version,
        "replication_factor": picture.settings.as_ref().map(|s| s.record.replication_factor),
        "trouble": cluster.trouble(),
        "partitions": partitions,
        "members": members,
    })
}

/// What a replica, or any member, is.
pub(super) fn standing(picture: &Picture, id: &str) -> &'static str {
    match picture.members.get(id) {
        None => "away",
        Some(at) if !at.record.ready => "starting",
        Some(_) if picture.epochs.get(id).is_some_and(|at| at.record.rebuilding) => "rebuilding",
        Some(_) => "ready",
    }
}

/// Two tables: partitions with their replicas, members.
pub(super) fn html(json: &Value) -> String {
    let mut out = head("Skald cluster");
    let text = |v: &Value| match v {
        Value::String(s) => escaped(s),
        Value::Array(all) => {
            escaped(&all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        Value::Null => String::new(),
        other => escaped(&other.to_string()),
    };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<h1>Cluster</h1><p>seen by {}, view {}, {} replica(s) of each partition</p>",
        text(&json["self"]),
        text(&json["view_version"]),
        text(&json["replication_factor"]),
    );
    if let Some(trouble) = json["trouble"].as_str() {
        let _ = write!(out, "<p class=bad>the last view stays in force: {}</p>", escaped(trouble));
    }
    out.push_str("<h2>Partitions</h2><table><tr><th>partition<th>state<th>replica<th>zone<th>address<th>epoch<th>is</tr>");
    for p in json["partitions"].as_array().into_iter().flatten() {
        for r in p["replicas"].as_array().into_iter().flatten() {
            let is = text(&r["is"]);
            let class = if is == "ready" { "" } else { " class=bad" };
            let _ = write!(out, "<tr{class}>");
            for v in [&p["partition"], &p["state"], &r["id"], &r["zone"], &r["addr"], &r["epoch"]] {
                let _ = write!(out, "<td>{}", text(v));
            }
            let _ = write!(out, "<td>{is}</tr>");
        }
    }
    out.push_str("</table><h2>Members</h2><table><tr><th>member<th>roles<th>zone<th>gRPC<th>HTTP<th>version<th>ready</tr>");
    for m in json["members"].as_array().into_iter().flatten() {
        out.push_str("<tr>");
        for key in ["id", "roles", "zone", "addr", "http", "version", "ready"] {
            let _ = write!(out, "<td>{}", text(&m[key]));
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
    fn names_from_elsewhere_are_text_on_the_page() {
        let json = json!({
            "self": "<b>", "view_version": 3, "trouble": "etcd & co",
            "partitions": [{"partition": 0, "state": "active", "replicas": [
                {"id": "<script>", "zone": "a", "addr": "x:1", "epoch": 1, "live": true, "ready": true, "rebuilding": true, "is": "rebuilding"},
            ]}],
            "members": [{"id": "m", "roles": ["a", "\"b\""]}],
        });
        let page = html(&json);
        assert!(!page.contains("<script>") && !page.contains("<b>"));
        assert!(page.contains("&lt;script&gt;") && page.contains("rebuilding"));
        assert!(page.contains("etcd &amp; co") && page.contains("a, &quot;b&quot;"));
    }
}
