//! Callers with an old view of the cluster: what they are refused, and that a flush with a bar is final.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skald_model::{ErrorKind, Labels, Signal, TenantId, TimeRange};
use skald_rpc::ingester::{Listing, PushOutcome, PushRequest, SelectEntries};
use skald_rpc::{Clients, Incarnation, IngesterApi, IngesterService, Readable, RpcError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::support::*;

async fn push(node: &Node, view_version: u64, batch: Bytes) -> Result<PushOutcome, RpcError> {
    let tenant = TenantId::single();
    node.ingester.push(PushRequest { tenant, partition: 0, view_version, batch }).await
}

#[tokio::test]
async fn pushes_for_another_partition_are_a_conflict() {
    let node = Machine::new().start().await;
    let (tenant, batch) = (TenantId::single(), samples(0..1, 1, Send::Labels));
    let request = PushRequest { tenant, partition: 1, view_version: 1, batch };
    let refused = node.ingester.push(request).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.starts_with("err-skald-wrong-partition: "), "{refused}");
    assert!(node.head().await.is_empty());
}

#[tokio::test]
async fn a_flush_with_a_bar_refuses_older_views_from_then_on() {
    let node = Machine::new().start().await;
    push(&node, 4, samples(0..1, 1, Send::Labels)).await.unwrap();
    node.ingester.flush(5).await.unwrap();
    let refused = push(&node, 4, samples(0..1, 2, Send::Labels)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.starts_with("err-skald-stale-view: "), "{refused}");
    push(&node, 5, samples(0..1, 3, Send::Labels)).await.unwrap();
    node.ingester.flush(0).await.unwrap();
    push(&node, 4, samples(0..1, 4, Send::Labels)).await.unwrap_err();
    assert_eq!(node.floats_once().await, floats(0..1, &[1, 3]));
}

#[tokio::test]
async fn the_bar_is_up_even_if_the_flush_fails() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    push(&node, 1, samples(0..1, 1, Send::Labels)).await.unwrap();
    machine.store.fail();
    node.ingester.flush(2).await.unwrap_err();
    push(&node, 1, samples(0..1, 2, Send::Labels)).await.unwrap_err();
    machine.store.heal();
    node.ingester.refuse_older_than(3).await;
    push(&node, 2, samples(0..1, 3, Send::Labels)).await.unwrap_err();
}

/// Whoever asked for the flush reads blocks only from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_for_an_old_view_is_in_blocks_when_the_flush_is_answered() {
    for round in [0, 1, 5, 20] {
        let mut machine = Machine::new();
        let node = Arc::new(machine.start().await);
        let writers: Vec<JoinHandle<i64>> = (0..4).map(|n| write(Arc::clone(&node), n)).collect();
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        node.ingester.flush(2).await.unwrap();
        let mut expected = Floats::new();
        for (n, writer) in writers.into_iter().enumerate() {
            let times: Vec<i64> = (1..=writer.await.unwrap()).collect();
            expected.extend(floats(n..=n, &times));
        }
        assert!(node.head().await.is_empty());
        assert_eq!(node.floats_once().await, expected);
    }
}

/// Writes one series for view 1 until that is refused; answers the newest time that was stored.
fn write(node: Arc<Node>, n: usize) -> JoinHandle<i64> {
    skald_runtime::spawn("writer", async move {
        let mut t = 1;
        loop {
            match push(&node, 1, samples(n..=n, t, Send::Labels)).await {
                Ok(outcome) => assert_eq!(outcome.samples, 1),
                Err(e) => {
                    assert_eq!(e.kind, ErrorKind::Conflict, "{e}");
                    return t - 1;
                }
            }
            t += 1;
        }
    })
}

/// Serves the node on a port of its own as `epoch` of replica `a`.
async fn serve(node: &Node, epoch: u64) -> (String, Incarnation) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let incarnation = Incarnation::new("a", epoch);
    let service = IngesterService::server(Arc::new(node.ingester.clone()), incarnation.clone());
    let server = Server::builder().add_service(service);
    skald_runtime::spawn("grpc", server.serve_with_incoming(TcpListenerStream::new(listener)));
    (addr, incarnation)
}

#[tokio::test]
async fn remote_calls_for_another_incarnation_are_a_conflict() {
    let node = Machine::new().start().await;
    let (addr, incarnation) = serve(&node, 7).await;
    let clients = Clients::new(Duration::from_secs(60));
    let tenant = TenantId::single();
    let batch = samples(0..3, 1, Send::Labels);
    let request = PushRequest { tenant: tenant.clone(), partition: 0, view_version: 1, batch };
    for (replica, epoch) in [("a", 7), ("a", 0), ("b", 0)] {
        let client = clients.ingester(&addr, replica, epoch);
        assert_eq!(client.push(request.clone()).await.unwrap().samples, 3);
    }
    // Far more than fits into the windows of a connection: the refusal comes before the body was read.
    let large = PushRequest { batch: large(), ..request };
    for (replica, epoch) in [("a", 6), ("a", 8), ("b", 7)] {
        let client = clients.ingester(&addr, replica, epoch);
        let refused = [
            client.push(large.clone()).await.unwrap_err(),
            client.select_series(&tenant, &[], TimeRange::ALL).await.unwrap_err(),
            client.flush(9).await.unwrap_err(),
        ];
        for e in refused {
            assert_eq!(e.kind, ErrorKind::Conflict, "{e}");
            let numbers =
                format!("epoch 7 of replica \"a\", and the call is meant for epoch {epoch}");
            assert!(e.message.contains("err-skald-stale-epoch: "), "{e}");
            assert!(e.message.contains(&numbers), "{e}");
        }
    }
    assert_eq!(incarnation.superseded().await, 8);
    let client = clients.ingester(&addr, "a", 7);
    client.flush(2).await.unwrap();
    let refused = client.push(PushRequest { batch: samples(0..1, 2, Send::Labels), ..large }).await;
    assert!(refused.unwrap_err().message.contains("err-skald-stale-view"), "the bar went along");
    assert_eq!(node.floats_once().await, floats(0..3, &[1]));
}

fn large() -> Bytes {
    let labels = Labels::from_pairs([("a", "1")]);
    let mut batch = skald_codec::batch::LogsBuilder::new(0);
    batch.stream(labels.id(), Some(&labels));
    batch.entry(1, &vec![b'x'; 16 << 20], &Labels::empty());
    batch.finish()
}

#[tokio::test]
async fn answers_say_which_partitions_there_are() {
    let node = Machine::new().start().await;
    let (addr, _) = serve(&node, 7).await;
    let remote = Clients::new(Duration::from_secs(60)).ingester(&addr, "a", 7);
    let known = Readable { view_version: 1, partitions: vec![0] };
    let select = SelectEntries {
        matchers: Vec::new(),
        range: TimeRange::ALL,
        needles: Vec::new(),
        limit: 9,
        backward: false,
    };
    for has_data in [false, true] {
        if has_data {
            push(&node, 1, samples(0..3, 1, Send::Labels)).await.unwrap();
        }
        let (tenant, all) = (TenantId::single(), TimeRange::ALL);
        let local: Arc<dyn IngesterApi> = Arc::new(node.ingester.clone());
        for ingester in [local, Arc::clone(&remote) as Arc<dyn IngesterApi>] {
            let said = [
                ingester.select_series(&tenant, &[], all).await.unwrap().readable,
                ingester.select_entries(&tenant, &select).await.unwrap().readable,
                ingester.labels(&tenant, Signal::Metrics, &[], all).await.unwrap().readable,
                ingester.list(&tenant, &Listing::Names, &[], all).await.unwrap().readable,
                ingester.exemplars(&tenant, &[], all).await.unwrap().readable,
                ingester.stats(&tenant, &[], all).await.unwrap().readable,
            ];
            assert!(said.iter().all(|said| *said == known), "{has_data} {said:?}");
        }
    }
}
