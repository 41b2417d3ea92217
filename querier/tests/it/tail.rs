//! The live tail over a real websocket.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use futures_util::StreamExt;
use serde_json::{Value, json};
use skald_limits::Limits;
use skald_model::TenantId;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::fake::FakeIngester;
use crate::world::{BASE_NS, World, at, stream};

const APP: [(&str, &str); 1] = [("app", "x")];

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Serves the world on a free port; answers the base address.
async fn serve(world: &World) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = world.router.clone().layer(Extension(TenantId::single()));
    skald_runtime::spawn("test-server", async move { axum::serve(listener, router).await });
    format!("ws://{address}/loki/api/v1/tail")
}

async fn open(address: &str, params: &str) -> Socket {
    let query = "%7Bapp%3D%22x%22%7D%20%7C%3D%20%22keep%22";
    let url = format!("{address}?query={query}&start={}&{params}", at(0));
    connect_async(url).await.unwrap().0
}

/// The next frame of data; pings pass by.
async fn frame(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(30), socket.next()).await;
        match message.expect("a frame").unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Until the tail is open at every ingester.
async fn tailed(ingesters: &[Arc<FakeIngester>]) {
    while ingesters.iter().any(|i| i.tails.lock().is_empty()) {
        tokio::task::yield_now().await;
    }
}

fn ns(s: i64) -> String {
    (BASE_NS + s * 1_000_000_000).to_string()
}

#[tokio::test]
async fn recent_lines_come_first_then_each_new_one_once() {
    let world = World::new(1, 3, Limits::default());
    let t = TenantId::single();
    let old = stream(&APP, &[(1, "keep old"), (2, "drop"), (3, "keep newer")]);
    for replica in &world.ingesters[0] {
        replica.put(&t, |r| r.streams.push(old.clone()));
    }
    let address = serve(&world).await;
    let mut socket = open(&address, "limit=10").await;
    let first = frame(&mut socket).await;
    let app = json!({"app": "x"});
    let values = json!([[ns(1), "keep old"], [ns(3), "keep newer"]]);
    assert_eq!(first["streams"], json!([{"stream": app, "values": values}]));
    tailed(&world.ingesters[0]).await;
    let fresh = stream(&APP, &[(3, "keep newer"), (4, "keep <fresh>"), (5, "drop")]);
    for replica in &world.ingesters[0] {
        replica.arrive(&t, std::slice::from_ref(&fresh));
        replica.arrive(&crate::world::tenant("other"), &[stream(&APP, &[(9, "keep out")])]);
    }
    let second = frame(&mut socket).await;
    assert_eq!(second["streams"], json!([{"stream": app, "values": [[ns(4), "keep <fresh>"]]}]));
    world.ingesters[0][1].arrive(&t, &[stream(&APP, &[(6, "keep last")])]);
    let third = frame(&mut socket).await;
    assert_eq!(third["streams"][0]["values"], json!([[ns(6), "keep last"]]));
    assert!(third.get("dropped_entries").is_none());
}

#[tokio::test]
async fn a_tail_ends_when_a_partition_has_no_quorum() {
    let world = World::new(1, 3, Limits::default());
    let address = serve(&world).await;
    let mut socket = open(&address, "limit=1").await;
    tailed(&world.ingesters[0]).await;
    world.ingesters[0][0].tails.lock().clear();
    world.ingesters[0][1].tails.lock().clear();
    let closed = loop {
        match socket.next().await {
            Some(Ok(Message::Close(frame))) => break frame,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(closed.unwrap().reason.contains("partition 0"));
}

#[tokio::test]
async fn tails_beyond_the_limit_are_refused_until_one_ends() {
    let limits = Limits { max_concurrent_tail_requests: 1, ..Limits::default() };
    let world = World::new(1, 1, limits);
    let address = serve(&world).await;
    let first = open(&address, "limit=1").await;
    let url = format!("{address}?query=%7Bapp%3D%22x%22%7D");
    let refused = connect_async(url.as_str()).await.unwrap_err().to_string();
    assert!(refused.contains("400"), "{refused}");
    drop(first);
    // The server notices that the client is gone.
    while connect_async(url.as_str()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn delayed_lines_are_sorted() {
    let world = World::single();
    let t = TenantId::single();
    let address = serve(&world).await;
    let mut socket = open(&address, "delay_for=1").await;
    tailed(&world.ingesters[0]).await;
    world.ingester().arrive(&t, &[stream(&APP, &[(9, "keep late")])]);
    world.ingester().arrive(&t, &[stream(&APP, &[(8, "keep early")])]);
    let got = frame(&mut socket).await;
    assert_eq!(got["streams"][0]["values"], json!([[ns(8), "keep early"], [ns(9), "keep late"]]));
}

#[tokio::test]
async fn a_reader_that_never_reads_holds_up_nobody_and_is_told_what_it_lost() {
    let world = World::single();
    let t = TenantId::single();
    let address = serve(&world).await;
    let mut socket = open(&address, "limit=1").await;
    tailed(&world.ingesters[0]).await;
    let long = format!("keep {}", "x".repeat(1 << 20));
    let mut sent = 0;
    // More than the buffers of both ends and the queue hold; nothing of it is read.
    while world.metric("tail_dropped_entries_total") == "0" {
        sent += 1;
        world.ingester().arrive(&t, &[stream(&APP, &[(sent, &long)])]);
        tokio::task::yield_now().await;
    }
    assert!(sent < 200, "{sent} MiB were taken for a reader that reads nothing");
    world.ingester().arrive(&t, &[stream(&APP, &[(sent + 1, "keep short")])]);
    let mut lost = Vec::new();
    while lost.is_empty() {
        let got = frame(&mut socket).await;
        lost.extend(got["dropped_entries"].as_array().cloned().unwrap_or_default());
        world.ingester().arrive(&t, &[stream(&APP, &[(1000 + sent, "keep going")])]);
        sent += 1;
    }
    assert_eq!(lost[0]["labels"], json!({"app": "x"}));
}

#[tokio::test]
async fn several_streams_share_a_frame_and_keep_their_categories() {
    let world = World::single();
    let t = TenantId::single();
    let address = serve(&world).await;
    let query = "%7Bapp%3D~%22x%7Cy%22%7D%20%7C%20logfmt";
    let url = format!("{address}?query={query}&start={}", at(0));
    let mut request =
        tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(url)
            .unwrap();
    let flag = http::HeaderValue::from_static("categorize-labels");
    request.headers_mut().insert("X-Loki-Response-Encoding-Flags", flag);
    let (mut socket, _) = connect_async(request).await.unwrap();
    tailed(&world.ingesters[0]).await;
    let other = stream(&[("app", "y")], &[(1, "k=2")]);
    world.ingester().arrive(&t, &[stream(&APP, &[(1, "k=1")]), other]);
    let got = frame(&mut socket).await;
    assert_eq!(got["encodingFlags"], json!(["categorize-labels"]));
    let one = |app: &str, k: &str| json!({"stream": {"app": app}, "values": [[ns(1), format!("k={k}"), {"parsed": {"k": k}}]]});
    assert_eq!(got["streams"], json!([one("x", "1"), one("y", "2")]));
}
