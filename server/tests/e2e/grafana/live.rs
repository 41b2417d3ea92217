//! Live tailing through Grafana's proxy.

use futures_util::StreamExt;
use serde_json::{Value, json};
use skald_testkit::http::form;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{CATEGORIES, Grafana};
use crate::now_ms;

#[tokio::test(flavor = "multi_thread")]
async fn a_live_tail_shows_lines_with_their_labels() {
    let grafana = Grafana::start().await;
    let query = form(&[("query", r#"{app="live"} | logfmt"#)]);
    let url = format!("ws://{}/loki/api/v1/tail?{query}", grafana.server.http);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [("X-Scope-OrgID", "shop"), CATEGORIES] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let time = (now_ms() * 1_000_000).to_string();
    let value = json!([time, "level=info took=1s", { "trace_id": "t" }]);
    grafana.push(&json!({ "stream": { "app": "live" }, "values": [value] })).await;
    loop {
        let frame = tokio::time::timeout(skald_testkit::wait::PATIENCE, socket.next());
        let frame = frame.await.expect("a frame in time").unwrap().unwrap();
        let Ok(value) = serde_json::from_slice::<Value>(&frame.into_data()) else { continue };
        let Some(streams) = value["streams"].as_array().filter(|s| !s.is_empty()) else { continue };
        assert_eq!(streams[0]["stream"], json!({"app": "live", "service_name": "live"}));
        let entry = streams[0]["values"][0].as_array().unwrap();
        assert_eq!((&entry[0], &entry[1]), (&json!(time), &json!("level=info took=1s")));
        assert_eq!(entry[2]["parsed"], json!({"level": "info", "took": "1s"}));
        assert_eq!(entry[2]["structuredMetadata"]["trace_id"], "t");
        return;
    }
}
